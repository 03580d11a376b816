"""One list of layers in a denoiser, and how the tokens of the video lie in what its layers take and return.

Three things differ between families: the video stream may be one of several that a layer returns, text tokens may
stand before or behind it in the same sequence, and a layer may see the frames (or the places) as rows of its batch.

Shapes: B rows of the batch, F frames of tokens, N tokens of a frame, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from einops import rearrange

__all__ = ["Stack"]

_MAPS = {"attn1": ("attn1.frames", "attn1.rows"), "attn2": ("attn2.words",)}
"""What is computed of an attention's probabilities."""


@dataclass(frozen=True)
class Stack:
    """One list of layers in a denoiser.

    Attributes
    ----------
    path : str
        Attribute path of the module list.
    video : int
        Which item is the video stream where a layer returns a tuple.
    text : {"none", "prefix", "suffix"}
        Whether text tokens stand before or behind the video's in the same sequence.
    fold : {"none", "space", "time"}
        What a row of the layer's batch holds: a whole video, one frame, or one place over all frames.
    argument : str
        Name of the video stream among the layer's arguments.
    position : int
        Its position, where it is not given by name.
    inside : mapping of str to str
        Submodules of a layer by their part of a site's name: ``attn1``, ``attn2`` and ``ffn``.
    probabilities : bool
        Whether ``attn1`` and ``attn2`` see queries, keys and values of the video alone and in its order, so that
        ``attn1.q`` and the like are sites.

    Examples
    --------
    >>> stack = Stack("transformer_blocks", inside={"attn1": "attn1", "ffn": "ff"})
    >>> stack.video_of(("video", "text")), stack.sites
    ('video', ('attn1.out', 'ffn.out'))
    """

    path: str
    video: int = 0
    text: Literal["none", "prefix", "suffix"] = "none"
    fold: Literal["none", "space", "time"] = "none"
    argument: str = "hidden_states"
    position: int = 0
    inside: Mapping[str, str] = field(default_factory=dict)
    probabilities: bool = False

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites inside a layer of this stack."""
        outs = tuple(f"{part}.out" for part in ("attn1", "attn2", "ffn") if part in self.inside)
        heads = tuple(site for part in ("attn1", "attn2") if part in self.inside for site in self.heads_of(part))
        return (*outs, *heads)

    def heads_of(self, part: str) -> tuple[str, ...]:
        """The sites of a part that need its queries, keys or values."""
        if not self.probabilities or part not in _MAPS:
            return ()
        return (*(f"{part}.{name}" for name in "qkv"), *_MAPS[part])

    def part(self, layer: Any, part: str) -> Any:
        """The submodule of a layer that is a part; None, if the layer was built without it."""
        for name in self.inside[part].split("."):
            layer = getattr(layer, name, None)
        return layer

    def layers(self, denoiser: Any) -> tuple[Any, ...]:
        """The layers of a denoiser; none, where it was built without this stack."""
        module = denoiser
        for name in self.path.split("."):
            module = getattr(module, name, None)
        return () if module is None else tuple(module)

    def video_of(self, output: Any) -> Any:
        """The video stream in what a layer returned."""
        return output[self.video] if isinstance(output, (tuple, list)) else output

    def with_video(self, output: Any, values: Any) -> Any:
        """What a layer returned with another video stream in it: the inverse of ``video_of``.

        Examples
        --------
        >>> Stack("blocks", video=1).with_video(("text", "video"), "other")
        ('text', 'other')
        """
        if not isinstance(output, (tuple, list)):
            return values
        items = [values if at == self.video % len(output) else item for at, item in enumerate(output)]
        return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)

    def argument_of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The video stream in what a layer is called with."""
        return kwargs[self.argument] if self.argument in kwargs else args[self.position]

    def frames(self, values: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
        """The video's tokens as (B, F, N, C).

        Raises
        ------
        ValueError
            If the tokens do not fill the grid.

        Examples
        --------
        >>> Stack("blocks").frames(torch.zeros(2, 12, 5), (3, 2, 2)).shape
        torch.Size([2, 3, 4, 5])
        >>> Stack("blocks", text="prefix").frames(torch.zeros(1, 19, 5), (3, 2, 2)).shape
        torch.Size([1, 3, 4, 5])
        """
        frames, tokens = grid[0], grid[1] * grid[2]
        if self.fold == "space":
            return rearrange(values, "(b f) n c -> b f n c", f=frames, n=tokens)
        if self.fold == "time":
            return rearrange(values, "(b n) f c -> b f n c", f=frames, n=tokens)
        if self.text == "prefix":
            values = values[:, -frames * tokens :]
        elif self.text == "suffix":
            values = values[:, : frames * tokens]
        if values.ndim == 3 and values.shape[1] == frames * tokens:  # einops takes longer than many a reduction
            return values.view(-1, frames, tokens, values.shape[2])
        return rearrange(values, "b (f n) c -> b f n c", f=frames, n=tokens)

    def with_frames(self, values: torch.Tensor, frames_BFNC: torch.Tensor) -> torch.Tensor:
        """A stream with other tokens of the video in it: the inverse of ``frames``; text beside them stays.

        Parameters
        ----------
        values : torch.Tensor
            The stream as the layer has it.
        frames_BFNC : torch.Tensor

        Returns
        -------
        torch.Tensor
            Of the shape of ``values``, which is left as it was.

        Examples
        --------
        >>> stack, stream = Stack("blocks", text="prefix"), torch.arange(14.0).view(1, 14, 1)
        >>> stack.with_frames(stream, torch.zeros(1, 3, 4, 1))[0, :4, 0]
        tensor([0., 1., 0., 0.])
        """
        if self.fold == "space":
            return rearrange(frames_BFNC, "b f n c -> (b f) n c").reshape(values.shape)
        if self.fold == "time":
            return rearrange(frames_BFNC, "b f n c -> (b n) f c").reshape(values.shape)
        video = rearrange(frames_BFNC, "b f n c -> b (f n) c")
        if self.text == "prefix":
            return torch.cat([values[:, : -video.shape[1]], video], dim=1)
        if self.text == "suffix":
            return torch.cat([video, values[:, video.shape[1] :]], dim=1)
        return video.reshape(values.shape)
