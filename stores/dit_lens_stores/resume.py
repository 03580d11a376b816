"""Go on with a trace that is not complete, without ever mixing two runs.

A run that resumes computes everything again, and records from the first step of which anything is missing. What an
earlier run has put in place before that step is kept if it can be vouched for: the latents that every one of those
steps started from, and the ones that the last of them left, are known by their sha256, and the writer compares them
with what the new run computes. Everything from that step on is taken back: first its marks, then its files. Another
configuration is refused, its first difference named; another environment (versions, device) begins the trace anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import MemoryStore

from dit_lens_stores.errors import OtherSettings, StoreError
from dit_lens_stores.index import read_attributes
from dit_lens_stores.latents import Journal
from dit_lens_stores.layout import Layout
from dit_lens_stores.places import LocalPlace
from dit_lens_stores.prepare import OWN_LABELS, Plan, allocate
from dit_lens_stores.presence import lost_events
from dit_lens_stores.schema import DONE_SUFFIX, EXPECTED, NOT_PART, WRITTEN
from dit_lens_stores.shard_file import PARTIAL
from dit_lens_stores.sinks import MarksFile
from dit_lens_stores.vectors import Contents

__all__ = ["ENVIRONMENT", "Left", "look_at", "refuse_other_settings", "take_back"]

ENVIRONMENT = ("versions", "git", "device")
"""Entries of a manifest that say where a run was made, not what was asked of it."""
_STEP = "step"
_COMPARED = ("encoding", OWN_LABELS)
_SHOWN = 120
_ENDLESS = 2**62

Marks = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Left:
    """What an earlier run left of a trace.

    Attributes
    ----------
    steps : int
        All that belongs to the steps before this one is kept.
    latents : tuple of str
        The sha256 of what those steps started from, and of what the last one left.
    marks : mapping of str to array
        The done marks of what is kept.
    metadata : mapping of str to bytes
        The metadata of the arrays as they are when a trace begins, by path inside the trace.
    anew : str or None
        Why nothing is kept although something was done.

    Examples
    --------
    >>> Left().steps
    0
    """

    steps: int = 0
    latents: tuple[str, ...] = ()
    marks: Mapping[str, Marks] = field(default_factory=dict)
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    anew: str | None = None


def look_at(store: Path, trace_id: str, plan: Plan, manifest: Mapping[str, Any]) -> Left:
    """Find out what of a trace can be kept; nothing is changed.

    Parameters
    ----------
    store : pathlib.Path
    trace_id : str
        Of a trace that is not complete, or of none.
    plan : Plan
        What the trace shall hold now.
    manifest : mapping
        What it is begun with now.

    Returns
    -------
    Left

    Raises
    ------
    OtherSettings
        If it was begun with another configuration.
    """
    folder = store / trace_id
    attributes = read_attributes(folder)
    if attributes is None:
        return Left()
    stored = attributes.get("manifest", {})
    where = f"trace '{trace_id}' of '{store}'"
    refuse_other_settings(where, stored, manifest)
    fresh = _as_laid_out(plan)
    if not all((folder / key).is_file() for key in fresh):
        return Left()  # killed before it was laid out
    _refuse_other_layout(where, folder, fresh)
    try:
        marks = _marks(Contents(LocalPlace(store), trace_id, attributes), plan)
    except StoreError:
        return Left(anew="its done marks cannot be read")
    journal = Journal(folder).read()
    steps = _first_missing(plan, marks, len(journal) - 1)
    something = any((values == WRITTEN).any() for values in marks.values())
    if something and (name := _other_environment(stored, manifest)):
        return Left(anew=name)
    if steps < 1:
        lost = something and len(journal) < 2 <= _first_missing(plan, marks, _ENDLESS)
        return Left(anew="nothing vouches for what was recorded" if lost else None)
    kept = _before(plan, marks, steps)
    metadata = {key: content for key, content in fresh.items() if key.endswith("/zarr.json")}
    return Left(steps, journal[: steps + 1], kept, metadata)


def refuse_other_settings(where: str, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise if a manifest differs from what is asked for now, the environment aside.

    Examples
    --------
    >>> refuse_other_settings("trace 'a'", {"steps": 20, "sigmas": []}, {"steps": 20})
    >>> refuse_other_settings("trace 'a'", {"scheduler": {"shift": 5}}, {"scheduler": {"shift": 3}})
    Traceback (most recent call last):
    ...
    dit_lens_stores.errors.OtherSettings: trace 'a' was begun with other settings; got scheduler.shift 3, allowed 5; ...
    """
    for name, wanted in given.items():
        if name not in ENVIRONMENT and (found := _difference(name, stored.get(name), wanted)):
            path, there, now = found
            shown = f"{path} {_short(now)}, allowed {_short(there)}"
            if path.endswith("sha256") or "sha256." in path:
                shown = f"another {path}, allowed the same"
            raise OtherSettings(
                f"{where} was begun with other settings; got {shown}; use the same settings, another name or another "
                f"store, or remove the trace"
            )


def _difference(path: str, there: Any, now: Any) -> tuple[str, Any, Any] | None:
    """The first entry in which two pieces of JSON differ; the order of captures is none."""
    if isinstance(there, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys([*now, *there]):
            if found := _difference(f"{path}.{name}", there.get(name), now.get(name)):
                return found
        return None
    if path == "captures" and isinstance(there, list) and isinstance(now, list):
        there, now = sorted(map(str, there)), sorted(map(str, now))
    return None if there == now else (path, there, now)


def _other_environment(stored: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    for name in ENVIRONMENT:
        if name in given and (found := _difference(name, stored.get(name), given[name])):
            path, there, now = found
            return f"{path} was {_short(there)}, is {_short(now)}"
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _as_laid_out(plan: Plan) -> dict[str, bytes]:
    """Every file of a trace that has just been laid out, by path inside the trace; its own attributes aside."""
    files: dict[str, Any] = {}
    allocate(zarr.create_group(MemoryStore(files), zarr_format=3), plan)
    return {key: content.to_bytes() for key, content in files.items() if key != "zarr.json"}


def _refuse_other_layout(where: str, folder: Path, fresh: Mapping[str, bytes]) -> None:
    for key, content in fresh.items():
        name = key.partition("/")[0]
        there = (folder / key).read_bytes()
        if key.endswith("/zarr.json"):
            same = _shape_of(there) == _shape_of(content)
        else:
            same = there == content or name.endswith(DONE_SUFFIX) or _changes(fresh, name)
        if not same:
            raise OtherSettings(
                f"{where} was begun with another layout; got another '{name}', allowed the one that it has; use the "
                f"same captures, another name or another store, or remove the trace"
            )


def _changes(fresh: Mapping[str, bytes], name: str) -> bool:
    """Whether a vector is set while the model runs: coordinates along steps are, their labels are not."""
    return name != _STEP and json.loads(fresh[f"{name}/zarr.json"])["dimension_names"] == [_STEP]


def _shape_of(content: bytes) -> Any:
    """Metadata of an array without the attributes that do not decide how it is laid out."""
    try:
        node = json.loads(content)
        attributes = node.pop("attributes", {})
        return node, {name: attributes.get(name) for name in _COMPARED}
    except (ValueError, AttributeError):
        return None


def _marks(contents: Contents, plan: Plan) -> dict[str, Marks]:
    """The marks of every array; what is marked and whose file is lost is expected."""
    found = {}
    for spec in plan.arrays:
        marks = contents.marks(spec.name).copy()
        for at in lost_events(contents, spec.name):
            marks[at] = EXPECTED
        found[spec.name] = marks
    return found


def _first_missing(plan: Plan, marks: Mapping[str, Marks], vouched: int) -> int:
    """The first step of which anything is missing, or for which no hash vouches."""
    first = vouched
    for spec in plan.arrays:
        if _STEP in spec.event_dims:
            axis = spec.event_dims.index(_STEP)
            missing = np.unique(np.argwhere(marks[spec.name] == EXPECTED)[:, axis])
            labels = [label for label in plan.labels[_STEP] if isinstance(label, int)]
            first = min([first, *(labels[i] for i in missing.tolist())])
    return first


def _before(plan: Plan, marks: Mapping[str, Marks], steps: int) -> dict[str, Marks]:
    """The marks with everything taken back from a step on; what has no step comes after all of them."""
    kept = {name: found.copy() for name, found in marks.items()}
    late = [i for i, label in enumerate(plan.labels.get(_STEP, ())) if not (isinstance(label, int) and label < steps)]
    stepped = [spec for spec in plan.arrays if _STEP in spec.event_dims]
    for spec in stepped:
        at = (slice(None),) * spec.event_dims.index(_STEP) + (late,)
        kept[spec.name][at] = np.where(kept[spec.name][at] == NOT_PART, NOT_PART, EXPECTED)
    whole = not any((kept[spec.name] == EXPECTED).any() for spec in stepped)
    for spec in plan.arrays:
        if spec not in stepped and not whole:
            kept[spec.name][kept[spec.name] == WRITTEN] = EXPECTED
    return kept


def take_back(trace: Path, plan: Plan, left: Left) -> None:
    """Bring a trace to the state of a run that was stopped after the steps that are kept.

    Marks go before files, so that a mark never promises what is not there, also if this is killed.

    Parameters
    ----------
    trace : pathlib.Path
        Folder of the trace.
    plan : Plan
    left : Left
    """
    group = zarr.open_group(trace, mode="r+", zarr_format=3)
    for spec in plan.arrays:
        done = group[spec.name + DONE_SUFFIX]
        assert isinstance(done, zarr.Array)
        MarksFile(done).put(left.marks[spec.name])
    for spec in plan.arrays:
        _delete_unmarked(trace / spec.name, plan.layouts[spec.name], left.marks[spec.name])
    for key, content in left.metadata.items():
        if (trace / key).read_bytes() != content:
            _replace(trace / key, content)
    Journal(trace).replace(left.latents)
    for partial in [path for path in trace.rglob("*.partial") if path != Journal(trace).path]:
        partial.unlink()


def _delete_unmarked(array: Path, layout: Layout, marks: Marks) -> None:
    events = layout.shard[: marks.ndim]
    kept = {tuple(int(i) // size for i, size in zip(at, events, strict=True)) for at in np.argwhere(marks == WRITTEN)}
    rest = (0,) * (len(layout.shape) - marks.ndim)
    names = {"/".join(map(str, (*at, *rest))) for at in kept}
    chunks = array / "c"
    for file in [path for path in chunks.rglob("*") if path.is_file()]:
        if file.relative_to(chunks).as_posix() not in names:
            file.unlink()


def _replace(file: Path, content: bytes) -> None:
    partial = file.with_name(file.name + PARTIAL)
    partial.write_bytes(content)
    partial.replace(file)
