"""Text for every placeholder of the pages; whatever is a number, or follows from one, is made here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from anatomy.sections.markdown import table
from experiments.found import Found, Interval
from experiments.texts_traced import behaviours, energy, steps
from experiments.told import told

__all__ = ["PAGES", "texts_of"]

_KINDS = {"paper": "unit noise instead", "dose": "exchanged at the step's sigma"}
_SOURCES = {"donor": "the donor", "random": "an unrelated run", "noise": "noise of the same norm"}


def texts_of(page: str, found: Mapping[str, Found]) -> dict[str, str]:
    """The placeholders of one page, by name."""
    return PAGES[page](found)


def _noise(found: Mapping[str, Found]) -> dict[str, str]:
    one = found["noise"]
    return {
        **told(one, "scores_at_step", "scores_at_frame", "injection_by_observation"),
        "clean": str(one.interval("clean_score")),
        "by_step": _noise_table(one, "step", one.document["found"]["sigma"]),
        "by_frame": _noise_table(one, "frame", None),
        "contrast": _contrast(one),
    }


def _noise_table(one: Found, at: str, sigmas: Sequence[float] | None) -> str:
    kinds = one.labels("kind")
    head = [at, *(["sigma"] if sigmas else []), *(f"score, {_KINDS[kind]}" for kind in kinds)]
    head += [f"effect, {_KINDS[kind]}" for kind in kinds]
    rows = []
    for number, label in enumerate(one.labels(at)):
        places = [{"level": "state", "kind": kind, at: label} for kind in kinds]
        scores = [one.interval(f"score_at_{at}", **place) for place in places]
        effects = [one.interval(f"effect_at_{at}", **place) for place in places]
        rows.append([label, *([f"{sigmas[number]:.3f}"] if sigmas else []), *scores, *effects])
    return table(head, rows)


def _contrast(one: Found) -> str:
    """Of each kind, the most that noise in a step and in a frame took from the score."""
    lines = []
    for kind in one.labels("kind"):
        worst = {at: _lowest(one, kind, at) for at in ("step", "frame")}
        (step, by_step), (frame, by_frame) = worst["step"], worst["frame"]
        lines.append(
            f"- {_KINDS[kind]}: at most {by_step} in one step (step {step}), and {by_frame} in one frame in all "
            f"steps (latent frame {frame})"
        )
    return "\n".join(lines)


def _lowest(one: Found, kind: str, at: str) -> tuple[int, Interval]:
    effects = {
        label: one.interval(f"effect_at_{at}", level="state", kind=kind, **{at: label}) for label in one.labels(at)
    }
    label = min(effects, key=lambda each: effects[each].mean)
    return label, effects[label]


def _swap(found: Mapping[str, Found]) -> dict[str, str]:
    one = found["swap"]
    return {**told(one, "effect_by_layer"), "effects": _swap_table(one, "effect"), "half": _first_above(one, "effect")}


def _swap_table(one: Found, name: str) -> str:
    head = ["layer", *(_SOURCES[source] for source in one.labels("source"))]
    rows = [
        [
            layer,
            *(one.interval(name, direction="forward", source=source, layer=layer) for source in one.labels("source")),
        ]
        for layer in one.labels("layer")
    ]
    return table(head, rows)


def _first_above(one: Found, name: str, half: float = 0.5) -> str:
    means = {
        each: one.interval(name, direction="forward", source="donor", layer=each).mean for each in one.labels("layer")
    }
    return next((f"layer {layer}" for layer, mean in means.items() if mean >= half), "no layer")


def _ensemble(found: Mapping[str, Found]) -> dict[str, str]:
    one = found["ensemble"]
    scores = [
        [name, one.interval("score", condition=name), one.interval("solved", condition=name), _cost(one, name)]
        for name in one.labels("condition")
    ]
    says = [f"- {line}" for line in one.table["says"].values.tolist()]
    return {
        **told(one, "scores"),
        "scores": table(["condition", "score", "solved", "calls of the denoisers"], scores),
        "differences": "\n".join(says),
        "verdict": _verdict(one),
    }


def _cost(one: Found, name: str) -> str:
    cost = float(one.table["cost"].sel(condition=name))
    return "-" if np.isnan(cost) else f"{cost:.0f}"


def _verdict(one: Found) -> str:
    """Which baselines the ensemble is told apart from, in words."""
    says = dict(zip(one.labels("baseline"), one.table["says"].values.tolist(), strict=True))
    apart = {word: [name for name, line in says.items() if line.endswith(word)] for word in ("better", "worse")}
    parts = [f"{word} than {', '.join(f'`{name}`' for name in names)}" for word, names in apart.items() if names]
    return f"The ensemble is {' and '.join(parts) or 'within noise of every baseline'}."


PAGES: dict[str, Callable[[Mapping[str, Found]], dict[str, str]]] = {
    "noise": _noise,
    "swap": _swap,
    "ensemble": _ensemble,
    "steps": steps,
    "behaviours": behaviours,
    "energy": energy,
}
"""By the name of the page, which is that of its template as well."""
