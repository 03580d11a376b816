"""Where a swap acts: its steps, branches, windows of layers and tokens, in the model's own numbers.

Shapes: V video frames, H, W pixels; F, Y, X a grid of tokens or of the latent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dit_lens import Mask, Selection
from dit_lens.captures import Capture
from dit_lens.probing import BadParams
from dit_lens_probes.edited import chosen_labels
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    from dit_lens.bench import Question
    from dit_lens.engine.layout import Layout
    from dit_lens_probes.swap.params import SwapParams

__all__ = ["Places", "find_places", "pooled_mask", "token_mask"]

_OF_TOKENS = ("frame", "token", "y", "x")


@dataclass(frozen=True)
class Places:
    """The places of a swap.

    Attributes
    ----------
    steps : tuple of int
    windows : tuple of tuple of int
        Layers that are swapped together.
    branches : tuple of str
    tokens : Selection
        Of frames and tokens.
    """

    steps: tuple[int, ...]
    windows: tuple[tuple[int, ...], ...]
    branches: tuple[str, ...]
    tokens: Selection

    @property
    def layers(self) -> tuple[int, ...]:
        """Every layer that is swapped at all."""
        return tuple(sorted({layer for window in self.windows for layer in window}))

    def where(self, layers: tuple[int, ...]) -> Selection:
        """The selection of an edit."""
        return replace(self.tokens, step=self.steps, layer=layers, branch=self.branches)

    @property
    def captures(self) -> list[Capture]:
        """What a donor must hold: the residual stream wherever it is swapped, and x0 after the last swap."""
        there = Selection(step=self.steps, layer=self.layers, branch=self.branches)
        return [Capture("block.out", select=there), self.read]

    @property
    def read(self) -> Capture:
        """What is read of every run."""
        return Capture("x0.guided", select=Selection(step=self.steps[-1:]))


def find_places(layout: Layout, params: SwapParams) -> Places:
    """Turn the parameters into the model's own numbers.

    Raises
    ------
    BadParams, BadSelection
        If the run has no such places.

    Examples
    --------
    >>> from dit_lens.engine.layout import Layout
    >>> from dit_lens_probes.swap.params import SwapParams
    >>> steps = {"experts": ("transformer",) * 2, "timesteps": (999.0, 500.0), "sigmas": (1.0, 0.5)}
    >>> sizes = {"layers": 5, "tokens": (5, 9, 9), "channels": 8, "latent": (4, 5, 9, 9), "video": (17, 72, 72)}
    >>> layout = Layout(branches=("cond", "uncond"), dtype="float32", **steps, **sizes)
    >>> find_places(layout, SwapParams(window=3)).windows
    ((0, 1, 2), (1, 2, 3), (2, 3, 4))
    """
    tokens = Selection.parse(params.tokens)
    if foreign := [axis for axis in tokens.axes if axis not in _OF_TOKENS]:
        raise BadParams(
            f"probe 'swap' selects no such axis with tokens; got {foreign[0]}, allowed {', '.join(_OF_TOKENS)}; use "
            f"swap.steps, swap.layers and swap.branches"
        )
    return Places(
        chosen_labels("swap.steps", "step", params.steps, layout.labels("step", "block.out")),
        _windows(layout.layers, params),
        chosen_labels("swap.branches", "branch", params.branches, layout.branches),
        tokens,
    )


def token_mask(questions: tuple[Question, Question], name: str, layout: Layout) -> Mask | None:
    """The tokens in which a mask of either puzzle has a pixel; None for all.

    Raises
    ------
    BadParams
        If a puzzle has no such mask, or it does not fit the run.
    """
    places = pooled_mask(questions, name, layout, layout.tokens, layout.frame_stride)
    return None if places is None else Mask.of(places)


def pooled_mask(
    questions: tuple[Question, Question], name: str, layout: Layout, grid: tuple[int, int, int], stride: int = 1
) -> npt.NDArray[np.bool_] | None:
    """Where in a grid a mask of either puzzle has a pixel; None for everywhere.

    Parameters
    ----------
    questions : tuple of Question
    name : str
    layout : Layout
    grid : tuple of int
        Frames, rows, columns.
    stride : int
        Latent frames in a frame of the grid.
    """
    if name == "all":
        return None
    pixels_VHW = np.logical_or(*(_pixels(question, name) for question in questions))
    frames, latent = pixels_VHW.shape[0], layout.latent[1]
    every = (frames - 1) // max(latent - 1, 1)
    fits = layout.video[0] == frames and every * (latent - 1) == frames - 1
    if not fits or pixels_VHW.shape[1] % grid[1] or pixels_VHW.shape[2] % grid[2]:
        raise BadParams(
            f"probe 'swap' cannot lay the mask '{name}' over the run; got {layout.video[0]} frames and a grid of "
            f"{' x '.join(map(str, grid))}, allowed {frames} frames, and rows and columns that divide "
            f"{pixels_VHW.shape[1]} pixels; run the puzzles at their own size"
        )
    blocks = pixels_VHW.reshape(frames, grid[1], pixels_VHW.shape[1] // grid[1], grid[2], -1).any(axis=(2, 4))
    of_frame = -(-np.arange(frames) // max(every, 1)) // stride  # the first latent frame holds one video frame alone
    places = np.zeros(grid, bool)
    np.logical_or.at(places, of_frame, blocks)
    return places


def _pixels(question: Question, name: str) -> npt.NDArray[np.bool_]:
    masks = {} if question.puzzle is None else question.puzzle.masks()
    if name not in masks:
        known = ["all", *masks]
        hint = close_match(name, known) or "; choose one of those"
        raise BadParams(
            f"probe 'swap' finds no such mask for '{question.name}'; got '{name}', allowed {', '.join(known)}{hint}"
        )
    return masks[name]


def _windows(layers: int, params: SwapParams) -> tuple[tuple[int, ...], ...]:
    if params.window > layers:
        raise BadParams(
            f"probe 'swap' swaps no such window; got {params.window} layers, allowed 1 to {layers}; make it narrower"
        )
    last = layers - params.window
    begins: tuple[int, ...] = chosen_labels("swap.layers", "layer", params.layers, range(layers))
    beyond = [layer for layer in begins if layer > last]
    if params.layers and beyond:
        raise BadParams(
            f"probe 'swap' has a window that ends beyond the model; got {params.window} layers from {beyond[0]} on, "
            f"allowed first layers of 0 to {last}; begin earlier, or make it narrower"
        )
    return tuple(tuple(range(layer, layer + params.window)) for layer in begins if layer <= last)
