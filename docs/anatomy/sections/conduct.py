"""How answers come about: forks, prompts and cues, energy, and the two sweeps."""

from __future__ import annotations

from collections.abc import Sequence

from anatomy.found import Found
from anatomy.groups import BY_NAME
from anatomy.sections.markdown import number, table
from anatomy.tables import (
    SweepRow,
    chosen_right,
    expected_minority,
    frame_rows,
    layer_rows,
    split_rows,
    step_rows,
    swap_rows,
    visible_routes,
)
from dit_lens.puzzles.canvas import FRAMES

__all__ = ["texts"]

_ASKED = ("fork-prompt", "fork-cue", "grounding")


def texts(found: Found) -> dict[str, str]:
    """By placeholder."""
    courses = found["courses"]["records"]
    return {
        "visible_table": _visible(found),
        "split_table": _splits(found),
        "choice_table": _choices(found),
        "swap_table": _swaps(found),
        "energy_table": _energy(found),
        "steps_table": _sweep(
            "steps", step_rows(found["steps"]["records"], courses, found["courses"]["settings"]["steps"])
        ),
        "frames_table": _sweep("frames", frame_rows(found["frames"]["records"], courses, FRAMES)),
    }


def _visible(found: Found) -> str:
    rows = []
    for routes in (2, 3):
        records = [record for record in found["splits"]["records"] if record["routes"] == routes]
        for when, title in (("first", "x0 of step 0"), ("final", "the video")) if records else ():
            seen = visible_routes(records, when)
            rows.append([f"{routes} routes", title, len(records), seen.every, seen.one, seen.solved])
    return table(
        ["forks with", "in", "forks", "every route visible", "exactly one visible", "one whole route, right"], rows
    )


def _splits(found: Found) -> str:
    rows = [
        [
            row.label,
            *(" / ".join(map(str, row.taken)), row.none),
            number(row.minority),
            number(expected_minority(row.whole, len(row.taken))),
        ]
        for row in split_rows(found["splits"]["records"])
    ]
    return table(["fork", "seeds by route", "no whole route", "least taken", "expected of even odds"], rows)


def _choices(found: Found) -> str:
    rows = []
    for name in _ASKED:
        every, answered = chosen_right(found["courses"]["records"], name)
        rows.append([BY_NAME[name].title, every.n, every, answered.n, answered])
    return table(["kind", "n", "right choice", "with an answer", "right choice of those"], rows)


def _swaps(found: Found) -> str:
    rows = [[row.task, row.flips.n, row.flips, row.stays, row.other] for row in swap_rows(found["swaps"]["records"])]
    return table(["task", "pairs", "follows", "same answer to both", "anything else"], rows)


def _energy(found: Found) -> str:
    rows = []
    for what, title in (("foreground", "not floor"), ("drawn", "to be drawn")):
        for row in layer_rows(found["energy"]["records"], what, step=0):
            shares = [number(value, 3) for value in (row.even, row.first, row.middle, row.last)]
            peak = f"layer {row.peak_layer}: {row.peak:.3f} ({row.lowest:.3f} to {row.highest:.3f})"
            rows.append([BY_NAME[row.group].task, title, row.n, *shares, peak])
    head = [
        "kind",
        "pixels",
        "n",
        "if even",
        "first layer",
        "middle layer",
        "last layer",
        "largest (range over puzzles)",
    ]
    return table(head, rows)


def _sweep(what: str, rows: Sequence[SweepRow]) -> str:
    cut = what == "frames"
    head = ["group", what, "n", "solved", "mean score", *(["training clip, cut"] if cut else [])]
    return table(
        head,
        [
            [row.group, row.setting, row.solved.n, row.solved, row.score, *([number(row.cut)] if cut else [])]
            for row in rows
        ],
    )
