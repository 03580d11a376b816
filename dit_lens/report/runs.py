"""The runs of a report: each trace in words, with its steps, its edits and its last frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dit_lens.report.axes import labels_of
from dit_lens.report.edited import edits_of
from dit_lens.report.films import Film, frames_of_film, frames_of_result
from dit_lens.report.frames import Frames
from dit_lens.report.quantise import Blobs
from dit_lens.report.sorting import Sorted, each_trace, mates_of, title_of
from dit_lens.report.sprites import as_images, notes_on_size
from dit_lens.report.stored import Stored, latent_frames
from dit_lens.report.words import Words, manifest_words

__all__ = ["build_runs"]

_SIDE = 256
_STEP_FACTS = ("sigma", "timestep", "expert")
Step = dict[str, Any]


def build_runs(
    traces: Sequence[str], found: Sequence[Sorted], films: Sequence[Film], stored: Stored, budget: float, blobs: Blobs
) -> tuple[list[dict[str, Any]], list[str]]:
    """Make the runs of a page.

    Parameters
    ----------
    traces : sequence of str
    found : sequence of Sorted
    films : sequence of Film
    stored : Stored
    budget : float
        Bytes for the frames of all of them.
    blobs : Blobs

    Returns
    -------
    tuple of list
        The runs, and notes on them.
    """
    runs, without, lossy, sizes = [], [], [], {}
    for trace in traces:
        manifest = stored.traces[trace].manifest if trace in stored.traces else {}
        frames, images = _frames(trace, found, films, stored), None
        if frames is not None:
            images, exact = as_images(list(frames.pictures), blobs, _SIDE, budget / len(traces))
            sizes[f"Frames of {trace}"] = (frames.pictures[0], images)
            images |= {"labels": frames.labels, "words": frames.words}
            lossy += [] if exact else [trace]
        else:
            without.append(trace)
        steps = _steps(manifest) or _steps_of_results(trace, found)
        words = manifest_words(manifest) + _facts(trace, found)
        edits = edits_of(manifest, _labels(manifest, steps, found))
        runs.append({"trace": trace, "words": words, "steps": steps, "edits": edits, "frames": images})
    return runs, [*notes_on_size(sizes), *_notes(without, lossy, bool(stored.traces))]


def _notes(without: Sequence[str], lossy: Sequence[str], has_store: bool) -> list[str]:
    notes = [f"Frames of {', '.join(lossy)} are compressed with losses."] if lossy else []
    if without:
        remedy = "" if has_store else " Name the store with --store to show the frames and what the manifests say."
        notes.append(f"There are no frames of {', '.join(without)}: maps lie on an empty ground.{remedy}")
    return notes


def _frames(trace: str, found: Sequence[Sorted], films: Sequence[Film], stored: Stored) -> Frames | None:
    """The video as it was recorded, then what a result holds; only then is anything decoded."""
    recorded = stored.recorded(trace)
    if recorded is not None:
        return recorded
    held = frames_of_result(found, trace)
    held = frames_of_film(films, trace) if held is None else held
    return stored.decoded(trace) if held is None else held


def _steps(manifest: Mapping[str, Any]) -> list[Step]:
    """From the manifest; nothing if it does not list them."""
    experts = manifest.get("experts")
    count = len(experts) if isinstance(experts, (list, tuple)) else 0
    columns = {"sigma": manifest.get("sigmas"), "timestep": manifest.get("timesteps"), "expert": experts}
    held = {
        name: column if isinstance(column, (list, tuple)) and len(column) == count else [None] * count
        for name, column in columns.items()
    }
    return [_step(step, {name: column[step] for name, column in held.items()}) for step in range(count)]


def _steps_of_results(trace: str, found: Sequence[Sorted]) -> list[Step]:
    """The steps that results know of, with what stands along them."""
    known: dict[int, Step] = {}
    for one in found:
        data = one.source.data
        if "step" not in data.coords or trace not in one.source.traces:
            continue
        facts: dict[str, list[Any]] = {}
        for name in _STEP_FACTS:
            if name in data.coords:
                own = dict(each_trace(one.source, data[name]))
                values = own.get(trace, own.get(None))
                if values is not None and values.dims == ("step",):
                    facts[name] = values.values.tolist()
        for at, step in enumerate(labels_of(data["step"], "step")):
            known.setdefault(int(step), _step(int(step), {name: values[at] for name, values in facts.items()}))
    return [known[step] for step in sorted(known)]


def _step(step: int, facts: Mapping[str, Any]) -> Step:
    numbers = {name: _number(facts.get(name)) for name in ("sigma", "timestep")}
    return {"step": step, **numbers, "expert": str(facts.get("expert") or "")}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) else None


def _labels(manifest: Mapping[str, Any], steps: Sequence[Step], found: Sequence[Sorted]) -> dict[str, Sequence[Any]]:
    """All labels of a run by axis: layers of the model's configuration, or those that results hold."""
    denoisers = manifest.get("denoisers")
    configs = denoisers.values() if isinstance(denoisers, Mapping) else ()
    layers = max((_whole(config.get("num_layers")) for config in configs if isinstance(config, Mapping)), default=0)
    held = sorted({label for one in found for label in _held(one, "layer") if isinstance(label, int)})
    branches = manifest.get("branches")
    return {
        "step": [step["step"] for step in steps],
        "layer": range(layers) if layers else held,
        "frame": range(latent_frames(manifest)),
        "branch": branches if isinstance(branches, (list, tuple)) else (),
    }


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _held(one: Sorted, dim: str) -> Iterable[Any]:
    data = one.source.data
    return labels_of(data[dim], dim) if dim in data.coords and data[dim].dims == (dim,) else ()


def _facts(trace: str, found: Sequence[Sorted]) -> Words:
    """What results say of a run in one number or word."""
    words = []
    for one in found:
        for name in one.facts:
            lines, control = _fact(one, name, trace, ""), mates_of(one.source.data, name).get("control")
            words += lines
            if lines and control:
                words += _fact(one, control, trace, ", control")
    return words


def _fact(one: Sorted, name: str, trace: str, what: str) -> Words:
    """A line for each branch, with the interval where there is one."""
    values = _of_trace(one, name, trace)
    if values is None:
        return []
    mates, title = mates_of(one.source.data, name), f"{title_of(values)}{what}"
    branches = labels_of(values, "branch") if "branch" in values.dims else [""]
    texts = [_short(value) for value in np.atleast_1d(values.values).tolist()]
    ends = [_of_trace(one, mates[end], trace) for end in ("low", "high") if end in mates]
    for at, pair in enumerate(zip(*(np.atleast_1d(end.values).tolist() for end in ends), strict=True)):
        texts[at] += f" [{', '.join(map(_short, pair))}]" if texts[at] and all(map(_short, pair)) else ""
    head = f"{one.source.name}: {title}"
    pairs = zip(branches, texts, strict=True)
    return [[f"{head}, {branch}" if len(branches) > 1 else head, text] for branch, text in pairs if text]


def _of_trace(one: Sorted, name: str, trace: str) -> Any:
    """What a variable holds of a trace; of all traces alike, if it does not tell them apart."""
    own = dict(each_trace(one.source, one.source.data[name]))
    return own.get(trace, own.get(None))


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if np.isfinite(value) else ""
    return str(value)
