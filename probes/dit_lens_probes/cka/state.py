"""What is kept of traces until all of them have been read, and what must not be put together.

A piece is what the measure keeps of one representation: of CKA, a triangle of each of its Gram matrices. Pieces are
keyed by their address, so merging is a union whose order cannot matter. Values that come from different weights, from
another grid of tokens or from another noise schedule are refused: a step index means nothing without its sigma.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from dit_lens.probing import BadParams

if TYPE_CHECKING:
    import xarray as xr

    from dit_lens_probes.similarity import Facts, Sketch

__all__ = ["Address", "Grid", "Piece", "Pieces", "grid_of", "merge", "weights_of"]

Address = tuple[str, str, int, int]
"""Trace, branch, step, layer."""
StepFacts = tuple[tuple[str, Any], ...]
_STEP_COORDS = ("sigma", "timestep", "expert")


@dataclass(frozen=True)
class Piece:
    """One representation, as plain values, so that a state can be left in a file.

    Attributes
    ----------
    kept : tuple or None
        The fields of a ``Sketch``; None if nothing can be said of the representation.
    known : tuple
        The fields of its ``Facts``.
    """

    kept: tuple[Any, ...] | None
    known: tuple[Any, ...]

    @classmethod
    def of(cls, sketch: Sketch | None, facts: Facts) -> Piece:
        """From what was measured."""
        return cls(None if sketch is None else _values(sketch), _values(facts))

    @property
    def sketch(self) -> Sketch | None:
        """What the measure keeps."""
        from dit_lens_probes.similarity import Sketch

        return None if self.kept is None else Sketch(*self.kept)

    @property
    def facts(self) -> Facts:
        """What was found in the rows."""
        from dit_lens_probes.similarity import Facts

        return Facts(*self.known)


@dataclass(frozen=True)
class Grid:
    """What traces must agree in to be put into one result.

    Attributes
    ----------
    weights : str
        The hashes of the weights; empty where they are allowed to differ.
    tokens : str
        The selection of tokens, and the grid that it is of.
    """

    weights: str
    tokens: str


@dataclass(frozen=True)
class Pieces:
    """Everything that was read.

    Attributes
    ----------
    pieces : mapping of Address to Piece
    grids : mapping of str to Grid
        By trace.
    steps : mapping of (str, int) to tuple
        By trace and step: sigma, timestep and expert.
    """

    pieces: Mapping[Address, Piece] = field(default_factory=dict)
    grids: Mapping[str, Grid] = field(default_factory=dict)
    steps: Mapping[tuple[str, int], StepFacts] = field(default_factory=dict)


def merge(states: Sequence[Pieces]) -> Pieces:
    """Unite what was read.

    Raises
    ------
    BadParams
        If traces are of different models, grids or schedules.

    Examples
    --------
    >>> merge([Pieces(), Pieces()])
    Pieces(pieces={}, grids={}, steps={})
    """
    whole = Pieces(
        {key: value for state in states for key, value in state.pieces.items()},
        {key: value for state in states for key, value in state.grids.items()},
        {key: value for state in states for key, value in state.steps.items()},
    )
    _refuse_strangers(whole)
    return whole


def grid_of(chunk: xr.Dataset, array: xr.DataArray, other_model: bool) -> Grid:
    """What the trace of a chunk must agree in with others."""
    manifest = chunk.attrs["manifest"]
    rows = {dim: array[dim].values.tolist() for dim in ("frame", "token") if dim in array.coords}
    drawn = {name: array.attrs.get(name) for name in ("tokens", "batch", "batches", "seed", "reduced")}
    places = {name: array[name].values.tolist() for name in ("y", "x") if name in array.coords}
    tokens = {"grid": manifest.get("tokens"), **rows, **places, **({} if rows else drawn)}
    return Grid("" if other_model else weights_of(manifest), json.dumps(tokens, sort_keys=True, default=str))


def weights_of(manifest: Mapping[str, Any]) -> str:
    """What tells the weights of one trace from those of another.

    Examples
    --------
    >>> weights_of({"weights_sha256": {"b": "1", "a": "0"}})
    '{"loras": null, "weights": {"a": "0", "b": "1"}}'
    """
    known = {"weights": manifest.get("weights_sha256"), "loras": manifest.get("loras")}
    return json.dumps(known, sort_keys=True, default=str)


def steps_of(trace: str, chunk: xr.Dataset) -> dict[tuple[str, int], StepFacts]:
    """Sigma, timestep and expert of the steps of a chunk."""
    known = [name for name in _STEP_COORDS if name in chunk.coords and chunk[name].dims == ("step",)]
    return {
        (trace, int(step)): tuple((name, chunk[name].values.tolist()[at]) for name in known)
        for at, step in enumerate(chunk["step"].values)
    }


def _values(record: Sketch | Facts) -> tuple[Any, ...]:
    return tuple(getattr(record, field.name) for field in fields(record))


def _refuse_strangers(state: Pieces) -> None:
    first, *others = sorted(state.grids) or [""]
    for other in others:
        _refuse_other_grid(state, first, other)
    schedule: dict[int, tuple[str, StepFacts]] = {}
    for trace, step in sorted(state.steps):
        found = state.steps[trace, step]
        known_trace, known = schedule.setdefault(step, (trace, found))
        if repr(known) != repr(found):  # NaN is not equal to itself
            raise BadParams(
                f"probe 'cka' cannot put step {step} of '{trace}' beside that of '{known_trace}'; got "
                f"{_words(found)} and {_words(known)}, allowed one schedule; name traces of one by --trace"
            )


def _refuse_other_grid(state: Pieces, first: str, other: str) -> None:
    mine, theirs = state.grids[first], state.grids[other]
    if mine.weights != theirs.weights:
        raise BadParams(
            f"probe 'cka' reads traces of one model; got '{first}' and '{other}' of different weights, allowed the "
            f"same weights_sha256; name traces of one model by --trace, or set cka.other_model=true"
        )
    if mine.tokens != theirs.tokens:
        raise BadParams(
            f"probe 'cka' reads traces of the same tokens; got '{first}' and '{other}' of different grids or "
            f"selections, allowed one; name traces of one by --trace"
        )


def _words(facts: StepFacts) -> str:
    return " ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in facts)
