"""The one tree of errors: everything that dit-lens raises on purpose is a ``DitLensError``.

The root lives in ``dit_lens_stores``, because the store is the lowest of the three packages and must stand without the
others; every other class lives in the room that raises it, and all are found here (loaded when they are first named).
Every class also inherits the builtin that fits, and carries ``exit_code``: 1 when a check failed, 2 when nothing was
started, 3 when something is there and not whole, 4 when a run was refused because it would not fit. A message is one
line: what failed, where, the value, what is allowed, and one remedy.

Examples
--------
>>> from dit_lens.errors import DitLensError, IncompleteTrace
>>> DitLensError.exit_code, IncompleteTrace.exit_code
(2, 3)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from dit_lens_stores.errors import (
    Busy,
    Corrupt,
    Damaged,
    DitLensError,
    DuplicateEvent,
    NotAStore,
    NotDone,
    OtherRun,
    OtherSettings,
    StoreError,
    StoreExists,
    UnknownArray,
    UnknownFormat,
    UnknownTrace,
    Unreachable,
    close_match,
)

if TYPE_CHECKING:
    from dit_lens.bench.errors import BadBench, BadScores, OtherBench
    from dit_lens.engine.errors import (
        BadBlock,
        BadEdit,
        BadRequest,
        BadSelection,
        BadSize,
        BeyondFloat16,
        DiskFull,
        DiskTooSmall,
        FlowClosed,
        IncompleteTrace,
        MissedEdit,
        OutOfOrder,
        OverBudget,
        UnexpectedVisit,
        UnknownCapture,
        UnknownModel,
        UnsupportedNNsight,
        Untraceable,
    )
    from dit_lens.figures.errors import BadFigure, FigureError, FigureInTheWay, UnknownFigure
    from dit_lens.notebook.errors import MissingWidgets
    from dit_lens.probing.errors import (
        BadParams,
        BadScheduler,
        BadShard,
        BadState,
        BrokenProbe,
        MissingCapture,
        MissingDask,
        MissingShard,
        NonConformingProbe,
        NotAResult,
        NothingToAnalyze,
        OtherShard,
        ProbeError,
        ProbeFailed,
        ResultExists,
        SameStore,
        UnknownProbe,
        WorkersLost,
    )
    from dit_lens.puzzles.errors import BadPuzzle
    from dit_lens.report.errors import (
        BadReportPath,
        CapTooSmall,
        ForeignStore,
        MixedTraces,
        NoResults,
        ReportError,
        ReportExists,
    )
    from dit_lens.testing.errors import AdapterFailed
    from dit_lens.tiny.errors import BadRecipe

__all__ = [
    "AdapterFailed",
    "BadBench",
    "BadBlock",
    "BadEdit",
    "BadFigure",
    "BadParams",
    "BadPuzzle",
    "BadRecipe",
    "BadReportPath",
    "BadRequest",
    "BadScheduler",
    "BadScores",
    "BadSelection",
    "BadShard",
    "BadSize",
    "BadState",
    "BeyondFloat16",
    "BrokenProbe",
    "Busy",
    "CapTooSmall",
    "Corrupt",
    "Damaged",
    "DiskFull",
    "DiskTooSmall",
    "DitLensError",
    "DuplicateEvent",
    "FigureError",
    "FigureInTheWay",
    "FlowClosed",
    "ForeignStore",
    "IncompleteTrace",
    "MissedEdit",
    "MissingCapture",
    "MissingDask",
    "MissingShard",
    "MissingWidgets",
    "MixedTraces",
    "NoResults",
    "NonConformingProbe",
    "NotAResult",
    "NotAStore",
    "NotDone",
    "NothingToAnalyze",
    "OtherBench",
    "OtherRun",
    "OtherSettings",
    "OtherShard",
    "OutOfOrder",
    "OverBudget",
    "ProbeError",
    "ProbeFailed",
    "ReportError",
    "ReportExists",
    "ResultExists",
    "SameStore",
    "StoreError",
    "StoreExists",
    "UnexpectedVisit",
    "UnknownArray",
    "UnknownCapture",
    "UnknownFigure",
    "UnknownFormat",
    "UnknownModel",
    "UnknownProbe",
    "UnknownTrace",
    "Unreachable",
    "UnsupportedNNsight",
    "Untraceable",
    "WorkersLost",
    "close_match",
]

_ROOMS = ("engine", "probing", "puzzles", "testing", "tiny", "bench", "figures", "report", "notebook")


def __getattr__(name: str) -> object:
    """Find a class in the room that raises it."""
    if name in __all__:
        for room in _ROOMS:
            found: object = getattr(import_module(f"dit_lens.{room}.errors"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module 'dit_lens.errors' has no attribute {name!r}")
