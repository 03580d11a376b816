"""Made-up measurements for the page on tiny-wan, as small as they can be."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from anatomy.groups import GROUPS, ONE_OF_EACH
from anatomy.parts.films import packed
from anatomy.parts.sweeps import FRAMES_GROUPS, STEPS_GROUPS
from anatomy.settings import Settings

READ = [0, 1, 3]
SETTINGS = Settings(n=2, steps=4, reads=3, forks=1, forks_of_three=1, seeds=2, swaps=1, maps=1, sweep=2)


def score(solved: bool, answer: str | None, routes: int = 0) -> dict[str, Any]:
    made: dict[str, Any] = {"solved": solved, "answer": answer, "overall": 1.0 if solved else 0.25}
    return {**made, **({"visible": [0.5] * routes} if routes else {})}


def course(group: str, index: int, x0: list[dict[str, Any]], final: dict[str, Any], cells: int = 5) -> dict[str, Any]:
    named = {"group": group, "index": index, "label": group, "route_cells": cells, "asked": "route-0"}
    return {**named, "read": READ, "x0": x0, "final": final}


@pytest.fixture
def courses() -> list[dict[str, Any]]:
    """Of every group one puzzle that is right from the second reading on, and one that gives no answer at all."""
    right, none = score(True, "route-0"), score(False, None)
    return [
        made
        for group in GROUPS
        for made in (
            course(group.name, 0, [none, right, right], right),
            course(group.name, 1, [none, none, none], none, cells=22 if group.name == "maze-long" else 9),
        )
    ]


@pytest.fixture
def found(courses: list[dict[str, Any]]) -> dict[str, Any]:
    """All parts."""
    schedule = [
        {"step": step, "sigma": sigma, "expert": expert}
        for step, (sigma, expert) in enumerate(
            [(1.0, "transformer"), (0.95, "transformer"), (0.8, "transformer_2"), (0.5, "transformer_2")]
        )
    ]
    sweep = [{"index": index, **score(index == 0, None)} for index in (0, 1)]
    route, other = score(True, "route-1", 2), score(True, "route-0", 2)
    records = {
        "courses": courses,
        "splits": [
            {"variant": name, "index": 0, "label": "fork-5x5", "routes": routes, "seeds": seeds}
            for name, routes in (("free", 2), ("three", 3))
            for seeds in [
                [
                    {
                        "seed": 0,
                        "first": score(False, None, routes),
                        "final": {**route, "visible": [0.0, 1.0, 0.0][:routes]},
                    }
                ]
            ]
        ],
        "swaps": [
            {
                "task": task,
                "index": 0,
                "label": task,
                "rows": [{**route, "asked": "route-1"}, {**other, "asked": "route-0"}],
            }
            for task in ("grounding", "fork")
        ],
        "steps": [{"group": name, "steps": steps, **row} for name in STEPS_GROUPS for steps in (1, 2) for row in sweep],
        "frames": [
            {"group": name, "frames": frames, **row, "cut": score(True, None)}
            for name in FRAMES_GROUPS
            for frames in (5, 9)
            for row in sweep
        ],
        "energy": [
            {
                "group": name,
                "index": 0,
                "label": name,
                "solved": True,
                "layers": [0, 1, 2],
                "even": {"foreground": 0.2, "drawn": 0.1},
                "share": {"foreground": [[0.1, 0.2, 0.3]] * 4, "drawn": [[0.1, 0.1, 0.2]] * 4},
            }
            for name in ONE_OF_EACH
        ],
        "films": [
            {
                "group": name,
                "prompt": "Draw the path.",
                "read": [0, 1],
                "x0": [score(False, None), score(True, "route-0")],
                "final": score(True, "route-0"),
                "pictures": packed(np.zeros((4 * 64, 5 * 64, 3), dtype=np.uint8)),
            }
            for name in ONE_OF_EACH
        ],
    }
    facts = {
        "model": "tiny-wan",
        "weights": {"weights_sha256": {"vae": "0" * 64}},
        "schedule": schedule,
        "machine": "2 cores, no GPU",
        "python": "3.11",
        "versions": {"torch": "2"},
        "date": "2026-01-01",
        "command": "make anatomy",
        "workers": 2,
        "quick": False,
        "seconds": 1,
        "settings": asdict(SETTINGS),
    }
    return {name: {**facts, "records": part} for name, part in records.items()}
