"""What the engine must know about a model family, and nothing more.

A family names its denoiser class, the module lists that hold the layers, and the pipelines that it was checked with.
Layouts are einops patterns, so that a new family is one to three lines; the functions answer what differs between
families beyond that, and have defaults that fit most of them (``dit_lens.adapters.defaults``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from dit_lens.adapters import defaults
from dit_lens.adapters.stack import Stack
from dit_lens.generation import Generation, Size

__all__ = ["Family", "Stack"]

Latent = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A model family.

    Attributes
    ----------
    name : str
    model : str
        Class name of the denoiser.
    pipelines : tuple of str
        Class names of the pipelines that a ``Generation`` can drive.
    stacks : tuple of Stack
        Layers are numbered through, in this order.
    experts : tuple of str
        Pipeline components that may be denoisers, of which at least one must be there.
    size : Size
        Height, width and frames when neither the request nor the image says them.
    guidance : {"sequential", "batched", "none"}
        Whether the branches are calls of their own, rows of one batch (``uncond`` first), or only ``cond`` runs.
    guidance_argument : str
        Name of the guidance scale in the pipeline's call.
    contexts : mapping of str to str
        Branch by the name that the pipeline gives to ``cache_context``, where it is not the branch's own.
    latent, velocity : str
        Layout of the latents that the scheduler steps, and of what the denoiser returns, as the left side of an einops
        pattern over b, c, f, h, w (and p, q: rows and columns packed into the channels).
    pack : int
        Extent of p and q.
    argument : str
        Name of the latents in the denoiser's call.
    image_per_row : bool
        Whether a batch needs its picture, or the video that it starts from, once for every row.
    batches : bool
        Whether one call of the pipelines can draw several videos.
    copies_embeddings : bool
        Whether the pipelines copy embeddings that they are given, for several videos of one prompt.
    learns_variance : bool
        Whether the denoiser returns twice the channels, the second half being a variance.
    preconditioned : bool
        Whether the pipeline mixes what the denoiser returns with the latent before the scheduler steps by it, so that
        it is no velocity and no clean latent follows from it.
    branches : callable, optional
        Names of the branches of a request, in the order in which they run.
    steps : callable
        Number of denoising steps of a request.
    knows_schedule : bool
        Whether ``scheduler.set_timesteps(steps)`` alone gives the timesteps of a run.
    tells_timestep : bool
        Whether the ``_current_timestep`` of the pipeline is that of its scheduler.
    width, heads : callable
        Of a denoiser: channels of its residual stream; heads and channels of a head of its attention.
    text_tokens : callable
        Of a pipeline and a request: tokens of the prompt in cross-attention, 0 if not known.
    grid : callable
        Token grid (frames, rows, columns) of a denoiser and a latent shape (C, F, H, W).
    latent_shape : callable
        Latent shape (C, F, H, W) of a pipeline and a size.
    leading_frames : callable
        Latent frames that a request puts before the video's own.
    pinned : callable
        Latent frames that the pipeline puts back at every input of the denoiser, whatever the solver has of them; None
        where it is not known.
    check : callable
        Raises ``BadRequest`` if the pipeline cannot run a request of a size.
    expert_at : callable
        Which expert a timestep belongs to.
    arguments : callable
        Keyword arguments of the pipeline's call.
    decode : callable or None
        Latents to pixels in [0, 1], shape (F, H, W, 3); None where the family cannot.
    """

    name: str
    model: str
    pipelines: tuple[str, ...]
    stacks: tuple[Stack, ...]
    size: Size
    experts: tuple[str, ...] = ("transformer",)
    guidance: Literal["sequential", "batched", "none"] = "sequential"
    guidance_argument: str = "guidance_scale"
    contexts: Mapping[str, str] = field(default_factory=dict)
    latent: str = "b c f h w"
    velocity: str = ""
    pack: int = 2
    argument: str = "hidden_states"
    image_per_row: bool = False
    batches: bool = True
    copies_embeddings: bool = True
    learns_variance: bool = False
    preconditioned: bool = False
    branches: Callable[[Family, Generation], tuple[str, ...]] = defaults.branches
    steps: Callable[[Any, Generation], int] = defaults.steps
    knows_schedule: bool = False
    tells_timestep: bool = True
    width: Callable[[Any], int] = defaults.width
    heads: Callable[[Any], tuple[int, int]] = defaults.heads
    text_tokens: Callable[[Any, Generation], int] = defaults.text_tokens
    grid: Callable[[Any, Latent], tuple[int, int, int]] = defaults.grid
    latent_shape: Callable[[Any, Size], Latent] = defaults.latent_shape
    leading_frames: Callable[[Any, Generation], int] = defaults.leading_frames
    pinned: Callable[[Any, Generation], tuple[int, ...] | None] = defaults.pinned
    check: Callable[[Any, Generation, Size], None] = defaults.check
    expert_at: Callable[[Any, float], str] = defaults.expert_at
    arguments: Callable[[Family, Any, Generation, Size], Mapping[str, Any]] = defaults.arguments
    decode: Callable[[Any, torch.Tensor], Any] | None = None

    def denoisers(self, pipeline: Any) -> dict[str, Any]:
        """The denoisers of a pipeline by expert, with a ``torch.compile`` wrapper taken off."""
        found = ((name, getattr(pipeline, name, None)) for name in self.experts)
        return {name: getattr(model, "_orig_mod", model) for name, model in found if model is not None}

    def layers(self, denoiser: Any) -> list[tuple[Stack, str, Any]]:
        """All layers of a denoiser in order: the stack that it belongs to, its path, and the module."""
        return [
            (stack, f"{stack.path}.{number}", layer)
            for stack in self.stacks
            for number, layer in enumerate(stack.layers(denoiser))
        ]

    def latents_of(self, values: torch.Tensor, latent: Latent) -> torch.Tensor:
        """Latents of the scheduler's layout as (B, C, F, H, W).

        Examples
        --------
        >>> family = Family(name="packed", model="", pipelines=(), stacks=(), size=Size(4, 4, 1), latent="b (f h w) c")
        >>> family.latents_of(torch.zeros(1, 24, 8), (8, 2, 3, 4)).shape
        torch.Size([1, 8, 2, 3, 4])
        """
        return defaults.unpack(values, self.latent, latent, self.pack)

    def packed(self, latents_BCFHW: torch.Tensor) -> torch.Tensor:
        """Latents in the scheduler's layout: the inverse of ``latents_of``.

        Examples
        --------
        >>> family = Family(name="packed", model="", pipelines=(), stacks=(), size=Size(4, 4, 1), latent="b (f h w) c")
        >>> family.packed(torch.zeros(1, 8, 2, 3, 4)).shape
        torch.Size([1, 24, 8])
        """
        return defaults.pack(latents_BCFHW, self.latent, self.pack)

    def velocity_of(self, output: torch.Tensor, latent: Latent) -> torch.Tensor:
        """What the denoiser returned as (B, C, F, H, W)."""
        channels = latent[0] * (2 if self.learns_variance else 1)
        whole = defaults.unpack(output, self.velocity or self.latent, (channels, *latent[1:]), self.pack)
        return whole[:, : latent[0]]

    def with_velocity(self, output: torch.Tensor, velocity_BCFHW: torch.Tensor) -> torch.Tensor:
        """What the denoiser returned with another velocity in it: the inverse of ``velocity_of``; a variance stays.

        Examples
        --------
        >>> family = Family(name="both", model="", pipelines=(), stacks=(), size=Size(4, 4, 1), learns_variance=True)
        >>> family.with_velocity(torch.ones(1, 4, 1, 2, 2), torch.zeros(1, 2, 1, 2, 2))[0, :, 0, 0, 0]
        tensor([0., 0., 1., 1.])
        """
        _, channels, *extent = velocity_BCFHW.shape
        pattern, whole = self.velocity or self.latent, velocity_BCFHW
        if self.learns_variance:
            latent = (2 * channels, extent[0], extent[1], extent[2])
            variance = defaults.unpack(output, pattern, latent, self.pack)[:, channels:]
            whole = torch.cat([velocity_BCFHW, variance], dim=1)
        return whole if pattern == "b c f h w" else defaults.pack(whole, pattern, self.pack)
