"""Forks: both routes in x0 of step 0, one in the video, and how seeds split between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from anatomy.figures.style import new_figure, plain
from anatomy.found import Found
from anatomy.tables import SplitRow, split_rows
from anatomy.tables.splits import VISIBLE

__all__ = ["draw"]

_ROUTES = ("#0072B2", "#E69F00", "#009E73")
_HATCHES = ("", "///", "...")


def draw(found: Found) -> Figure:
    """Left and middle how blue the two routes are, at the beginning and in the end; right the split."""
    records = found["splits"]["records"]
    figure = new_figure(3.5)
    first, final, split = figure.subplots(1, 3, width_ratios=[1, 1, 1.15])
    two = [record for record in records if record["routes"] == 2]
    sigma = found["splits"]["schedule"][0]["sigma"]
    _scatter(first, two, "first", f"x0 of step 0 (σ {sigma:.2f})")
    _scatter(final, two, "final", "the video")
    _bars(split, split_rows(records))
    return figure


def _scatter(axis: Axes, records: Sequence[Mapping[str, Any]], when: str, title: str) -> None:
    for number, record in enumerate(records):
        places = [seed[when]["visible"] for seed in record["seeds"]]
        across, up = ([place[i] for place in places] for i in (0, 1))
        style: Any = {"s": 22, "alpha": 0.75, "linewidths": 0.8, "zorder": 3, "clip_on": False}
        axis.scatter(across, up, marker="osD^vXP*"[number % 8], facecolors="none", edgecolors="#0072B2", **style)
    for line in (axis.axvline, axis.axhline):
        line(VISIBLE, color="#666666", linewidth=0.9, linestyle=(0, (3, 2)))
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="route 0: floor 0, paint 1", ylabel="route 1", title=title)
    axis.set_box_aspect(1)
    plain(axis)


def _bars(axis: Axes, rows: Sequence[SplitRow]) -> None:
    first_none = next((place for place, row in enumerate(rows) if row.none), None)
    for place, row in enumerate(rows):
        begin = 0
        for route, count in enumerate(row.taken):
            label = f"route {route}" if place == _first_with(rows, route) else None
            style: Any = {"color": _ROUTES[route], "hatch": _HATCHES[route], "edgecolor": "white", "label": label}
            axis.barh(place, count, left=begin, height=0.66, **style)
            begin += count
        if row.none:
            label = "none whole" if place == first_none else None
            axis.barh(place, row.none, left=begin, height=0.66, color="#cccccc", edgecolor="white", label=label)
    axis.set_box_aspect(1)
    axis.set_yticks(range(len(rows)), [row.label.replace(" no", "\nno") for row in rows])
    axis.set(xlabel="seeds", title="route that each seed takes", ylim=(len(rows) - 0.4, -0.6))
    plain(axis)
    axis.legend(ncols=2, fontsize=7.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.17))


def _first_with(rows: Sequence[SplitRow], route: int) -> int:
    return next(place for place, row in enumerate(rows) if len(row.taken) > route)
