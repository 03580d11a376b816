"""Text for the placeholders of the pages whose experiments are traces, read by a probe that changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from anatomy.sections.markdown import table
from anatomy.shares import Estimate, mean
from experiments.found import Found, Interval
from experiments.told import told

__all__ = ["behaviours", "energy", "steps"]


def steps(found: Mapping[str, Found]) -> dict[str, str]:
    """Of forks, what is seen by step, and how the seeds of each end."""
    one = found["steps"]
    names = {"several": "both routes seen", "readable": "final answer was read", "final": "answer is final"}
    sigmas = one.document["found"]["sigma"]
    rows = [
        [step, f"{sigma:.3f}", *(_share(one, name, "fork", step) for name in names)]
        for step, sigma in zip(one.labels("step"), sigmas, strict=True)
    ]
    first, last = one.labels("step")[0], one.labels("step")[-1]
    return {
        **told(one, "filmstrip", "readings", "commitment"),
        "by_step": table(["step", "sigma", *names.values()], rows),
        "first": f"step {first}",
        "last": f"step {last}",
        "several_first": str(_share(one, "several", "fork", first)),
        "several_last": str(_share(one, "several", "fork", last)),
        "solved": str(_solved(one, "fork")),
        "revised": str(_share(one, "revised", "fork", last)),
        "seeds": _seeds(one),
    }


def behaviours(found: Mapping[str, Found]) -> dict[str, str]:
    """Of each kind of puzzle, when its answers are there and how many were given up."""
    one = found["behaviours"]
    first, last = one.labels("step")[0], one.labels("step")[-1]
    head = ["puzzles", "videos with an answer", "solved", f"read at step {first}", f"final at step {first}"]
    rows = [
        [
            task,
            _answered(one, task),
            str(_solved(one, task)),
            *(_share(one, name, task, first) for name in ("readable", "final")),
            _half(one, "readable", task),
            _half(one, "final", task),
            _share(one, "revised", task, last),
        ]
        for task in one.labels("task")
    ]
    return {
        **told(one, "commitment", "filmstrip"),
        "by_task": table([*head, "half were read by", "half are final by", "gave another answer up"], rows),
        "memory": _memory(_solved(one, "occlusion")),
    }


def energy(found: Mapping[str, Found]) -> dict[str, str]:
    """How much of the energy is on what is in the picture, by layer."""
    one = found["energy"]
    every = one.labels("step")
    shown = list(dict.fromkeys([every[0], every[len(every) // 2], every[-1]]))
    rows = [
        [layer, *(one.interval("times", step=step, layer=layer) for step in shown)] for layer in one.labels("layer")
    ]
    return {
        **told(one, "curves", "layers_by_frames"),
        "by_layer": table(["layer", *(f"step {step}" for step in shown)], rows),
        "even": f"{one.interval('even'):.3f}",  # the shares are small
        "most": _most(one),
    }


def _share(one: Found, name: str, task: str, step: int) -> Interval:
    return one.interval(name, task=task, step=step)


def _videos(one: Found, task: str) -> list[list[Any]]:
    """Of every video of a kind of puzzle: which puzzle, the answer, whether it is solved."""
    names = ("kind", "asked", "answer", "solved")
    kinds, puzzles, answers, solved = (one.table[name].values.tolist() for name in names)
    return [video for kind, *video in zip(kinds, puzzles, answers, solved, strict=True) if kind == task]


def _answered(one: Found, task: str) -> str:
    answers = [answer for _, answer, _ in _videos(one, task)]
    return f"{sum(answer != '' for answer in answers)} of {len(answers)}"


def _solved(one: Found, task: str) -> Estimate:
    by_puzzle: dict[str, list[float]] = {}
    for asked, _, solved in _videos(one, task):
        by_puzzle.setdefault(asked, []).append(solved)
    return mean(list(by_puzzle.values()))


def _seeds(one: Found) -> str:
    """A row for each fork: which answers its seeds give in the end."""
    by_fork: dict[str, Counter[str]] = {}
    for asked, answer, _ in _videos(one, "fork"):
        by_fork.setdefault(asked, Counter())[answer or "no whole route"] += 1
    rows = [
        [fork, ", ".join(f"{count} x {answer}" for answer, count in sorted(counts.items()))]
        for fork, counts in by_fork.items()
    ]
    return table(["fork", "answers of its seeds"], rows)


def _half(one: Found, name: str, task: str) -> str:
    """The first step that was read by which it holds of half of the puzzles."""
    sigmas = one.document["found"]["sigma"]
    for step, sigma in zip(one.labels("step"), sigmas, strict=True):
        if _share(one, name, task, step).mean >= 0.5:
            return f"step {step} (σ {sigma:.3f})"
    return "none"


def _memory(solved: Estimate) -> str:
    if solved.value < 0.5:
        return (
            f"Of the occlusions {solved} are solved, fewer than half: what tiny-wan says about memory is weak evidence "
            f"either way."
        )
    return (
        f"Of the occlusions {solved} are solved: something of what is hidden is kept. Where, this does not say; that "
        f"is asked by changing it."
    )


def _most(one: Found) -> str:
    """Where the share is farthest from what it would be if all tokens were alike."""
    means = one.table["times_mean"].transpose("step", "layer").values
    step, layer = np.unravel_index(int(np.abs(means - 1).argmax()), means.shape)
    at = {"step": one.labels("step")[int(step)], "layer": one.labels("layer")[int(layer)]}
    return f"after layer {at['layer']} at step {at['step']}, with {one.interval('times', **at)} times as much"
