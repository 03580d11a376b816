"""What most families have in common: the answers that a family gives unless it says otherwise.

All of it is read from the configurations that diffusers keeps with every model, and from the signature of the
pipeline's call.

Shapes: B batch, C latent channels, F latent frames, H, W latent height and width.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange

from dit_lens.generation import Generation, Size

if TYPE_CHECKING:
    from dit_lens.adapters.family import Family

__all__ = [
    "arguments",
    "branches",
    "check",
    "compression",
    "expert_at",
    "grid",
    "heads",
    "latent_shape",
    "leading_frames",
    "pack",
    "padded_text",
    "pinned",
    "steps",
    "text_tokens",
    "unpack",
    "width",
]

_TEMPORAL = ("vae_scale_factor_temporal", "vae_temporal_compression_ratio", "vae_temporal_scale_factor")
_SPATIAL = ("vae_scale_factor_spatial", "vae_spatial_compression_ratio", "vae_spatial_scale_factor", "vae_scale_factor")


def branches(family: Family, request: Generation) -> tuple[str, ...]:
    """Both branches under guidance, otherwise ``cond`` alone."""
    return ("cond", "uncond") if request.guidance > 1 and family.guidance != "none" else ("cond",)


def steps(_pipeline: Any, request: Generation) -> int:
    """As many as were asked for."""
    return request.steps


def width(denoiser: Any) -> int:
    """Channels of the residual stream: all heads side by side."""
    count, channels = heads(denoiser)
    return count * channels


def heads(denoiser: Any) -> tuple[int, int]:
    """Number of attention heads, and channels of one."""
    return int(denoiser.config.num_attention_heads), int(denoiser.config.attention_head_dim)


def text_tokens(_pipeline: Any, _request: Generation) -> int:
    """Not known."""
    return 0


def padded_text(pipeline: Any, request: Generation) -> int:
    """Of pipelines that pad every prompt to the length that their call names; embeddings are taken as they are."""
    if request.extra.get("prompt_embeds") is not None:
        return int(request.extra["prompt_embeds"].shape[1])
    stated = inspect.signature(type(pipeline).__call__).parameters["max_sequence_length"].default
    return int(request.extra.get("max_sequence_length", stated))


def grid(denoiser: Any, latent: tuple[int, int, int, int]) -> tuple[int, int, int]:
    """Divide the latent's extents by those of a patch.

    ``patch_size`` is (frames, rows, columns), or one number for rows and columns with ``patch_size_t`` for the frames.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> grid(SimpleNamespace(config=SimpleNamespace(patch_size=2, patch_size_t=None)), (16, 3, 8, 6))
    (3, 4, 3)
    """
    patch = denoiser.config.patch_size
    if isinstance(patch, int):
        patch = (getattr(denoiser.config, "patch_size_t", None) or 1, patch, patch)
    frames, rows, columns = (extent // size for extent, size in zip(latent[1:], patch, strict=True))
    return frames, rows, columns


def compression(pipeline: Any) -> tuple[int, int]:
    """Frames of the video in one of the latents, and pixels in one of its rows or columns."""
    return _first(pipeline, _TEMPORAL, 1), _first(pipeline, _SPATIAL, 1)


def latent_shape(pipeline: Any, size: Size) -> tuple[int, int, int, int]:
    """From the channels of the denoiser and the compression of the autoencoder."""
    temporal, spatial = compression(pipeline)
    channels = int(pipeline.transformer.config.in_channels)
    return channels, (size.frames - 1) // temporal + 1, size.height // spatial, size.width // spatial


def pinned(_pipeline: Any, request: Generation) -> tuple[int, ...] | None:
    """No frame without a picture or a video; with one, nobody knows which."""
    named = [name for name, value in request.extra.items() if not isinstance(value, (str, int, float, type(None)))]
    shown = request.image is not None or any("prompt" not in name and name != "latents" for name in named)
    return None if shown else ()


def leading_frames(_pipeline: Any, _request: Generation) -> int:
    """The latents hold the video alone."""
    return 0


def check(_pipeline: Any, _request: Generation, _size: Size) -> None:
    """Leave it to the pipeline."""


def expert_at(_pipeline: Any, _timestep: float) -> str:
    """There is one expert."""
    return "transformer"


def arguments(family: Family, pipeline: Any, request: Generation, size: Size) -> dict[str, Any]:
    """Those that the pipeline's call names; what the request adds in ``extra`` comes last.

    Parameters
    ----------
    family : Family
    pipeline : diffusers.DiffusionPipeline
    request : Generation
    size : Size

    Returns
    -------
    dict
    """
    offered = {
        "image": None if request.image is None else request.image.convert("RGB"),
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "height": size.height,
        "width": size.width,
        "num_frames": size.frames,
        "num_inference_steps": request.steps,
        family.guidance_argument: request.guidance,
    }
    names = inspect.signature(type(pipeline).__call__).parameters
    given = {name: value for name, value in offered.items() if name in names and value is not None}
    replaced = {"prompt": "prompt_embeds", "negative_prompt": "negative_prompt_embeds"}
    # None, not left out: some calls have a text as default, and refuse it beside its embeddings
    kept = {name: None if replaced.get(name) in request.extra else value for name, value in given.items()}
    return {**kept, **request.extra}


def unpack(values: torch.Tensor, pattern: str, latent: tuple[int, int, int, int], pack: int) -> torch.Tensor:
    """Latents of a family's layout as (B, C, F, H, W).

    Parameters
    ----------
    values : torch.Tensor
    pattern : str
        Left side of an einops pattern, see ``Family``.
    latent : tuple of int
        C, F, H, W.
    pack : int
        Rows and columns that were packed into the channels.

    Examples
    --------
    >>> unpack(torch.zeros(2, 12, 16), "b (h w) (c p q)", (4, 1, 8, 6), 2).shape
    torch.Size([2, 4, 1, 8, 6])
    """
    if pattern == "b c f h w":
        return values
    _, frames, rows, columns = latent
    names = _names(pattern)
    packed = pack if "p" in names else 1
    extents = {"c": latent[0], "f": frames, "h": rows // packed, "w": columns // packed, "p": pack, "q": pack}
    return rearrange(values, f"{pattern} -> {_unpacked(names)}", **{name: extents[name] for name in names - {"b"}})


def pack(values_BCFHW: torch.Tensor, pattern: str, extent: int) -> torch.Tensor:
    """Latents in a family's layout: the inverse of ``unpack``.

    Parameters
    ----------
    values_BCFHW : torch.Tensor
    pattern : str
    extent : int
        Rows and columns to pack into the channels.

    Examples
    --------
    >>> pack(torch.zeros(2, 4, 1, 8, 6), "b (h w) (c p q)", 2).shape
    torch.Size([2, 12, 16])
    """
    names = _names(pattern)
    extents = {name: extent for name in "pq" if name in names}
    return rearrange(values_BCFHW, f"{_unpacked(names)} -> {pattern}", **extents)


def _names(pattern: str) -> set[str]:
    return set(pattern.replace("(", " ").replace(")", " ").split())


def _unpacked(names: set[str]) -> str:
    return f"b c {'f' if 'f' in names else '1'} {'(h p) (w q)' if 'p' in names else 'h w'}"


def _first(pipeline: Any, names: tuple[str, ...], otherwise: int) -> int:
    return next((int(value) for name in names if (value := getattr(pipeline, name, None))), otherwise)
