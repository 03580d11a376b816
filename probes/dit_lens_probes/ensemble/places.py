"""Where an ensemble acts: its steps and branches, its layers, and the other windows that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dit_lens import Selection
from dit_lens.captures import Capture
from dit_lens_probes.edited import chosen_labels

if TYPE_CHECKING:
    from dit_lens.engine.layout import Layout
    from dit_lens_probes.ensemble.params import EnsembleParams

__all__ = ["Places", "find_places"]


@dataclass(frozen=True)
class Places:
    """The places of an ensemble.

    Attributes
    ----------
    steps : tuple of int
    branches : tuple of str
    windows : mapping of str to tuple of int
        The layers of ``ensemble``, and of the windows beside it.
    """

    steps: tuple[int, ...]
    branches: tuple[str, ...]
    windows: Mapping[str, tuple[int, ...]]

    def where(self, layers: tuple[int, ...], steps: tuple[int, ...] | None = None) -> Selection:
        """The selection of an edit or a capture."""
        return Selection(step=steps or self.steps, layer=layers, branch=self.branches)

    @property
    def capture(self) -> Capture:
        """The residual stream wherever it is averaged."""
        layers = sorted({layer for window in self.windows.values() for layer in window})
        return Capture("block.out", select=self.where(tuple(layers)))


def find_places(layout: Layout, params: EnsembleParams) -> Places:
    """Turn the parameters into the model's own numbers.

    Raises
    ------
    BadSelection
        If the run has no such places.

    Examples
    --------
    >>> from dit_lens.engine.layout import Layout
    >>> from dit_lens_probes.ensemble.params import EnsembleParams
    >>> steps = {"experts": ("transformer",) * 2, "timesteps": (999.0, 500.0), "sigmas": (1.0, 0.5)}
    >>> sizes = {"layers": 40, "tokens": (5, 9, 9), "channels": 8, "latent": (4, 5, 9, 9), "video": (17, 72, 72)}
    >>> layout = Layout(branches=("cond", "uncond"), dtype="float32", **steps, **sizes)
    >>> {name: (layers[0], layers[-1]) for name, layers in find_places(layout, EnsembleParams()).windows.items()}
    {'ensemble': (20, 29), 'window_first': (0, 9), 'window_all': (0, 39)}
    """
    depth = layout.layers
    middle = tuple(range(depth // 2, max(3 * depth // 4, depth // 2 + 1)))
    chosen = chosen_labels("ensemble.layers", "layer", params.layers, range(depth)) if params.layers else middle
    others = {"window_first": tuple(range(max(depth // 4, 1))), "window_all": tuple(range(depth))}
    return Places(
        chosen_labels("ensemble.steps", "step", params.steps, layout.labels("step", "block.out")),
        chosen_labels("ensemble.branches", "branch", params.branches, layout.branches),
        {"ensemble": chosen, **{name: window for name, window in others.items() if name in params.baselines}},
    )
