"""Whether the family unpacks latents as the pipeline does, seen at the door of the autoencoder.

A pipeline that packs rows and columns into a sequence has no place in front of the denoiser where they are told apart,
so that moving latents there shows only what the family itself says. But it unpacks them for its autoencoder: what that
is handed must be the last latents as the family reads them, up to a factor and an offset a channel.

Shapes: B batch, C latent channels, F latent frames, H, W latent height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from einops import rearrange

from dit_lens.engine.scheduler import StepCall, observed_scheduler
from dit_lens.testing.adapter.report import Broken, Moot
from dit_lens.testing.adapter.subject import Subject

__all__ = ["decoded"]

_ALIKE = 0.9  # cosine; some pipelines add a little noise before they decode


class _Enough(Exception):
    """The autoencoder was reached."""


def decoded(subject: Subject) -> str:
    """The autoencoder is handed the last latents as the family reads them."""
    last, handed_BCFHW = _handed(subject)
    ours_BCFHW = subject.family.latents_of(last, subject.layout.latent)
    frames = handed_BCFHW.shape[2] if handed_BCFHW.ndim == 5 else 0
    ours_BCFHW = ours_BCFHW[:, :, -frames:]  # what stands before the video's own frames is not decoded
    if ours_BCFHW.shape != handed_BCFHW.shape:
        seen = f"the autoencoder is handed {tuple(handed_BCFHW.shape)}, not {tuple(ours_BCFHW.shape)}"
        if subject.family.latent == "b c f h w":
            raise Moot(f"{seen}, and the latents are not packed")
        raise Broken(seen, "correct Family.latent, latent_shape or pack")
    alike_F = _cosines(_by_frame(subject, ours_BCFHW), _by_frame(subject, handed_BCFHW))
    other = [str(at) for at, alike in enumerate(alike_F) if alike < _ALIKE]
    if 2 * len(other) > len(alike_F) or len(other) == len(alike_F):
        raise Broken(
            f"the autoencoder is handed other latents (cosine {min(alike_F):.2f} in the worst channel)",
            "correct Family.latent or pack",
        )
    replaced = f"; the pipeline puts another frame {', '.join(other)} in" if other else ""
    least = min(alike for alike in alike_F if alike >= _ALIKE)
    return f"{subject.family.latent}, as the autoencoder is handed them (cosine {least:.4f} or more){replaced}"


def _handed(subject: Subject) -> tuple[torch.Tensor, torch.Tensor]:
    """The last latents of the scheduler, and the first thing that the autoencoder is to decode."""
    pipeline, lasts = subject.pipeline, list[torch.Tensor]()
    if not callable(getattr(getattr(pipeline, "vae", None), "decode", None)):
        raise Moot("the pipeline has no autoencoder: how latents are packed is taken on trust")

    def around(_call: StepCall) -> Callable[[Any], None]:
        return lambda latents: lasts.append(latents.detach().clone())

    arguments = subject.batch.arguments(pipeline, subject.family)
    with observed_scheduler(pipeline.scheduler, lambda: None, around), _intercepted(pipeline.vae) as handed:
        before = pipeline.__dict__.get("_progress_bar_config")
        pipeline.set_progress_bar_config(**{**(before or {}), "disable": True})
        try:
            pipeline(**arguments, output_type="pt", return_dict=False)
        except _Enough:
            pipeline.maybe_free_model_hooks()
        finally:
            pipeline.__dict__.pop("_progress_bar_config", None)
            if before is not None:
                pipeline._progress_bar_config = before
    if not (lasts and handed):
        raise Moot("the pipeline decodes by another way")
    video = handed[0] if handed[0].ndim == 5 else handed[0][:, :, None]
    return lasts[-1], video


@contextmanager
def _intercepted(vae: Any) -> Iterator[list[torch.Tensor]]:
    """While inside, ``vae.decode`` keeps what it is handed and ends the run."""
    handed: list[torch.Tensor] = []

    def decode(values: torch.Tensor, *_args: Any, **_kwargs: Any) -> Any:
        handed.append(values.detach().clone())
        raise _Enough

    before = vae.__dict__.get("decode")
    vae.__dict__["decode"] = decode
    try:
        yield handed
    finally:
        del vae.__dict__["decode"]
        if before is not None:
            vae.__dict__["decode"] = before


def _by_frame(subject: Subject, values_BCFHW: torch.Tensor) -> torch.Tensor:
    """Frames, channels, places; a place that is packed into the channels may be scaled by itself, and counts as one."""
    pack = subject.family.pack if "p" in subject.family.latent else 1
    return rearrange(values_BCFHW.cpu().double(), "b c f (h p) (w q) -> f (c p q) (b h w)", p=pack, q=pack)


def _cosines(ours: torch.Tensor, theirs: torch.Tensor) -> list[float]:
    """How alike two videos are, in the worst channel of each frame."""
    ours, theirs = (values - values.mean(-1, keepdim=True) for values in (ours, theirs))
    alike: list[float] = torch.nn.functional.cosine_similarity(ours, theirs, dim=-1).min(dim=1).values.tolist()
    return alike
