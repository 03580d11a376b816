"""Labels of traces: where they come from, and what they belong to.

A label belongs to a trace, to a frame or to a token; its *level* says which. The labels of one trace are a flat array
of objects, one entry for the trace, one a frame, or one a token of every frame; None where there is no label. Rows of
features point into it, so permuting labels between videos is to point into the array of another video.

What a puzzle knows is read from the puzzle itself, which ``dit_lens.puzzles.recognise`` makes again and compares with
what the trace was given; nothing is believed for the name of a trace alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from dit_lens.probing import BadParams
from dit_lens.puzzles import named_puzzle, recognise
from dit_lens_probes.linear.facts import fact_of, needs_video
from dit_lens_probes.linear.table import Table, read_table
from dit_lens_probes.masks import as_answered, puzzle_mask, token_shares

if TYPE_CHECKING:
    import xarray as xr

    from dit_lens.puzzles import Puzzle
    from dit_lens_probes.linear.params import LinearParams

__all__ = ["LEVELS", "Frames", "Level", "Source", "Values", "source_of"]

Level = Literal["trace", "frame", "token"]
LEVELS: tuple[Level, ...] = ("trace", "frame", "token")
Values = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Frames:
    """The frames and tokens of a chunk, by the model's own numbers; empty where a capture has none."""

    frames: tuple[int, ...]
    tokens: tuple[int, ...]
    places: tuple[tuple[int, int], ...]


class Source(Protocol):
    """Where labels come from."""

    @property
    def level(self) -> Level:
        """What a label belongs to."""

    @property
    def needs_video(self) -> bool:
        """Whether it takes the decoded video."""

    def check(self, traces: Sequence[str]) -> None:
        """Refuse what can be seen from the names of traces alone, before anything is read."""

    def of(self, chunk: xr.Dataset, at: Frames) -> Values:
        """The labels of the trace of a chunk."""


def source_of(params: LinearParams) -> Source:
    """Where the labels that parameters name come from.

    Raises
    ------
    BadParams
        If the table cannot be read.

    Examples
    --------
    >>> from dit_lens_probes.linear.params import LinearParams
    >>> source_of(LinearParams(label="mask:path")).level, source_of(LinearParams()).level
    ('token', 'trace')
    """
    if params.csv:
        return _Csv(read_table(params.csv, params.label))
    if params.label.startswith("mask:"):
        return _Mask(params.label.removeprefix("mask:"))
    return _Fact(params.label)


@dataclass(frozen=True)
class _Csv:
    table: Table
    needs_video: bool = False

    @property
    def level(self) -> Level:
        return self.table.level

    def check(self, traces: Sequence[str]) -> None:
        absent = [trace for trace in traces if trace not in self.table.traces]
        if absent:
            message = f"'{self.table.name}' has no label of {len(absent)} of {len(traces)} traces; got none for"
            raise BadParams(
                f"{message} '{absent[0]}', allowed a row for every trace; add it, or choose traces with --trace"
            )

    def of(self, chunk: xr.Dataset, at: Frames) -> Values:
        trace = str(chunk.attrs["trace_id"])
        keys: list[tuple[Any, ...]] = [(trace, None, None)]
        if self.level != "trace":
            tokens: Sequence[int | None] = at.tokens if self.level == "token" else [None]
            keys = [(trace, frame, token) for frame in at.frames for token in tokens]
        return _objects([self.table.labels.get(key) for key in keys])


@dataclass(frozen=True)
class _Fact:
    name: str
    level: Level = "trace"

    @property
    def needs_video(self) -> bool:
        return needs_video(self.name)

    def check(self, traces: Sequence[str]) -> None:
        for trace in traces:
            puzzle = _named(trace, self.name)
            if not self.needs_video:
                fact_of(puzzle, self.name)

    def of(self, chunk: xr.Dataset, at: Frames) -> Values:
        return _objects([fact_of(_puzzle(chunk, self.name), self.name, _video(chunk))])


@dataclass(frozen=True)
class _Mask:
    name: str
    level: Level = "token"
    needs_video: bool = True

    def check(self, traces: Sequence[str]) -> None:
        for trace in traces:
            puzzle_mask(_named(trace, f"mask:{self.name}"), self.name, "linear.label")

    def of(self, chunk: xr.Dataset, at: Frames) -> Values:
        """A token is in the mask if any pixel of it is, in the last video frame: the answer as a whole."""
        puzzle = as_answered(_puzzle(chunk, f"mask:{self.name}"), _video(chunk))
        last_FHW = puzzle_mask(puzzle, self.name, "linear.label")[-1:]
        grid = chunk.attrs["manifest"].get("tokens")
        if not grid or not at.places:
            message = f"labels of 'mask:{self.name}' need tokens with their places; got a trace without"
            raise BadParams(f"{message}, allowed one of a shipped puzzle; take a capture with tokens")
        shares_yx = token_shares(last_FHW, (1, int(grid[1]), int(grid[2])))[0]
        return _objects([bool(shares_yx[place] > 0) for _ in at.frames for place in at.places])


def _named(trace: str, label: str) -> Puzzle:
    puzzle = named_puzzle(trace)
    return puzzle if puzzle is not None else _refuse(trace, label, "a name that is not that of one")


def _puzzle(chunk: xr.Dataset, label: str) -> Puzzle:
    trace, manifest = str(chunk.attrs["trace_id"]), chunk.attrs["manifest"]
    puzzle = recognise(trace, manifest)
    return puzzle if puzzle is not None else _refuse(trace, label, "another first frame or prompt than its name says")


def _refuse(trace: str, label: str, got: str) -> Puzzle:
    message = f"trace '{trace}' is not of a shipped puzzle, so it has no label '{label}'; got {got}"
    raise BadParams(f"{message}, allowed traces of 'dit-lens trace --task'; give labels with linear.csv=FILE")


def _video(chunk: xr.Dataset) -> npt.NDArray[np.uint8] | None:
    if "video" not in chunk:
        return None
    return np.asarray(chunk["video"].transpose("video_frame", "video_y", "video_x", "rgb").values)


def _objects(values: Sequence[object]) -> Values:
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made
