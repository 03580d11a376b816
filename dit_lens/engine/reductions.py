"""What is kept of a tensor: selected, reduced and rounded where it lives, then moved to the host once, as a copy.

A reducer belongs to one capture of one run. The numbers that select, the permutation of a Gram matrix and the matrix
of a projection are made once per device, not per event; a run of neighbouring numbers selects by a view.

Shapes: N rows, H what is kept beside them, C channels, K components, M minibatches, B tokens in each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dit_lens.captures import SITES, Resolved
from dit_lens.engine import draws
from dit_lens.engine.errors import BeyondFloat16
from dit_lens.engine.layout import Layout
from dit_lens.engine.projections import grams, project
from dit_lens.engine.statistics import energy, mean, std, top
from dit_lens.reductions import read_axes, read_batches

__all__ = ["Reducer"]


class Reducer:
    """Keeps of every event what one capture asks for.

    Parameters
    ----------
    resolved : Resolved
    layout : Layout

    Attributes
    ----------
    positions : dict of str to tuple of int
        Where the chosen labels lie along each of the site's dimensions.
    partial : frozenset of str
        The dimensions of which not all labels are chosen; with none, ``select`` gives what it is given.
    makes_anew : bool
        Whether what ``reduce`` gives never shares memory with what it is given.

    Examples
    --------
    >>> from dit_lens.captures import Capture
    >>> steps = {"experts": ("transformer",), "timesteps": (999.0,), "sigmas": (1.0,)}
    >>> sizes = {"layers": 2, "tokens": (3, 2, 2), "channels": 5, "latent": (16, 3, 4, 4), "video": (9, 32, 32)}
    >>> layout = Layout(branches=("cond",), dtype="float32", **steps, **sizes)
    >>> reducer = Reducer(Capture.parse("block.out:mean:token[frame=1:]").resolve(layout), layout)
    >>> reducer.positions["frame"], reducer(torch.ones(3, 4, 5)).shape
    ((1, 2), torch.Size([2, 5]))
    """

    def __init__(self, resolved: Resolved, layout: Layout) -> None:
        capture = resolved.capture
        self._capture, self._site = capture, SITES[capture.site]
        whole = {dim: layout.labels(dim, capture.site) for dim in resolved.chosen}
        self.positions = {
            dim: tuple(map({label: at for at, label in enumerate(whole[dim])}.__getitem__, labels))
            for dim, labels in resolved.chosen.items()
        }
        self.partial = frozenset(dim for dim, at in self.positions.items() if len(at) != len(whole[dim]))
        self.makes_anew = capture.reduction != "raw"
        self._made: dict[tuple[str, torch.device], torch.Tensor] = {}
        self._reduced, self._rounds = self._how(), capture.dtype != "float32"

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Select, then reduce."""
        return self.reduce(self.select(values))

    def select(self, values: torch.Tensor) -> torch.Tensor:
        """The chosen part of an event: a view where neighbouring numbers are chosen, the tensor itself where all are.

        Parameters
        ----------
        values : Tensor
            The whole of the site's value dimensions, in their order.
        """
        if not self.partial:
            return values
        for axis, dim in enumerate(self._site.value_dims):
            if dim not in self.partial:
                continue
            at = self.positions[dim]
            step = _step(at)
            if step:
                values = values[(slice(None),) * axis + (slice(at[0], at[-1] + 1, step),)]
            else:
                values = values.index_select(axis, self._constant(dim, at, values.device))
        return values

    def reduce(self, values: torch.Tensor) -> torch.Tensor:
        """What is kept of a selected event, on its device.

        Parameters
        ----------
        values : Tensor
            As ``select`` gives it; or computed for the chosen labels alone, as attention probabilities are.

        Returns
        -------
        Tensor
            float32; or bfloat16, where every value is one (the flow's ``stored_values`` keeps its bits); or float16 or
            uint16, if the capture asks for that. It may be a view of the values.

        Raises
        ------
        BeyondFloat16
        """
        reduced = self._reduced(values.detach() if values.requires_grad else values)
        return self._round(reduced) if self._rounds or reduced.dtype != torch.float32 else reduced

    def _how(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """What the capture's reduction does, looked up once for all events."""
        name, dims = self._capture.reduction, self._site.value_dims
        feature = dims.index(self._site.feature_dim)
        if name == "raw":
            return _as_it_is
        if name == "energy":
            return partial(energy, dim=feature)
        if name in ("mean", "std"):
            axes = [dims.index(dim) for dim in read_axes(self._capture.argument)]
            return partial(mean if name == "mean" else std, dims=axes)
        return partial(self._projected if name == "project" else self._of_rows, feature)

    def _projected(self, feature: int, values: torch.Tensor) -> torch.Tensor:
        values = values.movedim(feature, -1)
        channels, components = values.shape[-1], int(self._capture.argument)
        matrix_CK = self._constant("component", (channels, components), values.device)
        out_NHK = project(values.reshape(-1, 1, channels), matrix_CK)
        return out_NHK.reshape(*values.shape[:-1], components).movedim(-1, feature)

    def _of_rows(self, feature: int, values: torch.Tensor) -> torch.Tensor:
        """``gram`` and ``top``: the tokens are counted through, the rest is kept."""
        values = values.movedim(feature, -1)
        counted = len(self._site.token_dims)
        tokens, kept, channels = prod(values.shape[:counted]), values.shape[counted:-1], values.shape[-1]
        rows_NHC = values.reshape(tokens, prod(kept), channels)
        if self._capture.reduction == "top":
            out = top(rows_NHC, int(self._capture.argument))
        else:
            size, count = read_batches(self._capture.argument, tokens)
            out = grams(rows_NHC, self._constant("gram_batch", (tokens, count, size), values.device))
        return out.reshape(*kept, *out.shape[1:])

    def _constant(self, name: str, numbers: Sequence[int], device: torch.device) -> torch.Tensor:
        """What does not change from event to event, made once on every device."""
        key = name, device
        if key not in self._made:
            self._made[key] = torch.as_tensor(_make(name, numbers)).to(device)
        return self._made[key]

    def _round(self, values: torch.Tensor) -> torch.Tensor:
        dtype = self._capture.dtype
        if dtype == "bfloat16":
            return values.to(torch.bfloat16)
        if dtype == "bits":
            return values.to(torch.bfloat16).view(torch.uint16)
        if dtype == "float16":
            return _as_float16(values, self._capture.array)
        return values if values.dtype in (torch.float32, torch.bfloat16) else values.to(torch.float32)


def _as_it_is(values: torch.Tensor) -> torch.Tensor:
    return values


def _make(name: str, numbers: Sequence[int]) -> npt.NDArray[Any]:
    if name == "component":
        channels, components = numbers
        return draws.projection(draws.SEED, channels, components)
    if name == "gram_batch":
        tokens, count, size = numbers
        return draws.permutation(draws.SEED, tokens)[: count * size].reshape(count, size)
    return np.asarray(numbers, dtype=np.int64)


def _step(numbers: Sequence[int]) -> int:
    """The distance of evenly spaced numbers, 0 of others."""
    steps = {after - before for before, after in pairwise(numbers)} or {1}
    return steps.pop() if len(steps) == 1 else 0


def _as_float16(values: torch.Tensor, array: str) -> torch.Tensor:
    """Round, and look: what overflows would be read as infinite, and nothing would say so."""
    half = values.to(torch.float16)
    beyond = half.isinf() & values.isfinite()
    if bool(beyond.any()):
        worst = float(values[beyond].abs().max())
        raise BeyondFloat16(
            f"values of {array} do not fit float16; got {worst:.6g}, allowed {torch.finfo(torch.float16).max:.0f} at "
            f"most; capture it as float32, without @float16"
        )
    return half
