"""How far the activations of a run are from those of another, layer by layer, without keeping a trace of either.

An edit that gives back what it was given changes nothing, and sees every event where it lies. Of the run that is
compared to, it writes the events to one raw file; of any other, it reads the event of the same address from that file
and reduces both to one number, on the device, before the next layer runs. The memory that it takes is one event.

Shapes: S steps, B branches, L layers, F frames, N tokens of a frame, C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from dit_lens.edits import Edit, Function
from dit_lens.engine.disk import check_free

if TYPE_CHECKING:
    from dit_lens.address import Address
    from dit_lens.engine.layout import Layout

__all__ = ["LayerDistances", "relative_distance"]

_SITE = "block.out"
Measure = Callable[[torch.Tensor, torch.Tensor], float]


class LayerDistances:
    """The activations of one run, in a file, and the distances of others from them.

    Parameters
    ----------
    path : pathlib.Path
        A new file in a scratch folder.
    layout : Layout
        Of the run that is compared to; others may start late or stop early.
    layers : tuple of int
        Which layers.

    Examples
    --------
    >>> clean = LayerDistances(folder / "clean.raw", context.layout, layers=(0, 10, 20))  # doctest: +SKIP
    >>> context.lens.generate(request, edits=[clean.keeping()])  # doctest: +SKIP
    >>> found = clean.empty()  # doctest: +SKIP
    >>> context.lens.generate(request, edits=[noise, clean.comparing(found)])  # doctest: +SKIP
    """

    def __init__(self, path: Path, layout: Layout, layers: tuple[int, ...]) -> None:
        self._steps, self.layers, self.branches = layout.steps, layers, layout.branches
        self._where = f"layer={'+'.join(map(str, layers))}"
        shape = (*self.shape, *layout.event_shape(_SITE))
        self._file_SBLFNC = np.memmap(path, dtype=np.float32, mode="w+", shape=shape)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Steps, branches and layers."""
        return self._steps, len(self.branches), len(self.layers)

    @staticmethod
    def check_room(folder: Path, layout: Layout, layers: tuple[int, ...]) -> None:
        """Refuse before anything runs if the disk has no room for the file.

        Raises
        ------
        DiskTooSmall
        """
        size = 4 * layout.steps * len(layout.branches) * len(layers) * prod(layout.event_shape(_SITE))
        check_free(folder, size)

    def empty(self) -> npt.NDArray[np.float64]:
        """For distances (S, B, L); zero where nothing was compared, as in steps that a late start left out."""
        return np.zeros(self.shape)

    def keeping(self) -> Edit:
        """The edit that writes a run's activations to the file, and changes nothing."""

        def keep(address: Address, values: torch.Tensor) -> torch.Tensor:
            self._file_SBLFNC[self._place(address)] = values.float().cpu().numpy()
            return values

        return self._edit(keep)

    def comparing(self, found_SBL: npt.NDArray[np.float64], measure: Measure | None = None) -> Edit:
        """The edit that fills an array with distances from the file, and changes nothing.

        Parameters
        ----------
        found_SBL : numpy.ndarray
        measure : callable, optional
            Of values (F, N, C) and those of the file; by default their relative distance.
        """
        distance = measure or relative_distance

        def compare(address: Address, values: torch.Tensor) -> torch.Tensor:
            kept = torch.from_numpy(self._file_SBLFNC[self._place(address)])
            found_SBL[self._place(address)] = distance(values, kept.to(values.device))
            return values

        return self._edit(compare)

    def _edit(self, function: Callable[[Any, torch.Tensor], torch.Tensor]) -> Edit:
        return Edit(_SITE, self._where, "replace", Function(function))

    def _place(self, address: Address) -> tuple[int, int, int]:
        layer = -1 if address.layer is None else int(address.layer)
        return address.step, self.branches.index(str(address.branch)), self.layers.index(layer)


def relative_distance(values: torch.Tensor, clean: torch.Tensor) -> float:
    """L2 norm of the difference over the L2 norm of the clean values.

    Examples
    --------
    >>> relative_distance(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 4.0]))
    0.75
    """
    values, clean = values.float(), clean.float()
    return float(torch.linalg.vector_norm(values - clean) / torch.linalg.vector_norm(clean))
