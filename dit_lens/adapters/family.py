"""What the engine must know about a model family, and nothing more.

A family names its denoiser class, the module lists that hold the layers, and the pipelines that it was checked with;
the functions answer what differs between families: how a video's size becomes a latent shape, which expert a timestep
belongs to, how the pipeline is called, and how latents become pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dit_lens.generation import Generation, Size

__all__ = ["Family", "Stack"]


@dataclass(frozen=True)
class Stack:
    """One list of layers in a denoiser.

    Attributes
    ----------
    path : str
        Attribute path of the module list.
    video : int
        Which item is the video stream where a layer returns a tuple.

    Examples
    --------
    >>> Stack("transformer_blocks").video_of(("video", "text"))
    'video'
    """

    path: str
    video: int = 0

    def video_of(self, output: Any) -> Any:
        """The video stream in what a layer returned."""
        return output[self.video] if isinstance(output, tuple) else output


@dataclass(frozen=True)
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
        In the order in which they run; layers are numbered through.
    experts : tuple of str
        Pipeline components that may be denoisers, of which at least one must be there.
    size : Size
        Height, width and frames when neither the request nor the image says them.
    branches : callable
        Names of the branches of a request, in the order in which they run.
    width, grid : callable
        Of a denoiser: channels of its residual stream; token grid (frames, rows, columns) of a latent shape (C, F, H,
        W).
    latent_shape : callable
        Latent shape (C, F, H, W) of a pipeline and a size.
    check : callable
        Raises ``BadRequest`` if the pipeline cannot run a request of a size.
    expert_at : callable
        Which expert a timestep belongs to.
    arguments : callable
        Keyword arguments of the pipeline's call.
    decode : callable
        Latents to pixels in [0, 1], shape (F, H, W, 3).
    """

    name: str
    model: str
    pipelines: tuple[str, ...]
    stacks: tuple[Stack, ...]
    experts: tuple[str, ...]
    size: Size
    branches: Callable[[Generation], tuple[str, ...]]
    width: Callable[[Any], int]
    grid: Callable[[Any, tuple[int, int, int, int]], tuple[int, int, int]]
    latent_shape: Callable[[Any, Size], tuple[int, int, int, int]]
    check: Callable[[Any, Generation, Size], None]
    expert_at: Callable[[Any, float], str]
    arguments: Callable[[Any, Generation, Size], Mapping[str, Any]]
    decode: Callable[[Any, torch.Tensor], Any]

    def denoisers(self, pipeline: Any) -> dict[str, Any]:
        """The denoisers of a pipeline by expert, with a ``torch.compile`` wrapper taken off."""
        found = ((name, getattr(pipeline, name, None)) for name in self.experts)
        return {name: getattr(model, "_orig_mod", model) for name, model in found if model is not None}

    def layers(self, denoiser: Any) -> list[tuple[Stack, Any]]:
        """All layers of a denoiser in order, each with the stack that it belongs to."""
        return [(stack, layer) for stack in self.stacks for layer in denoiser.get_submodule(stack.path)]
