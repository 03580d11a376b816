"""The edits of a run, as its manifest states them: in words, and the places at which the page marks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from dit_lens.errors import BadSelection
from dit_lens.selection import Selection, pick

__all__ = ["edits_of"]

_AXES = {"step": "steps", "layer": "layers", "frame": "frames", "branch": "branches"}


def edits_of(manifest: Mapping[str, Any], labels: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The edits of a run.

    Parameters
    ----------
    manifest : mapping
    labels : mapping
        By axis (``step``, ``layer``, ``frame``, ``branch``) all labels of the run.

    Returns
    -------
    list of dict
        ``text``; and ``steps``, ``layers``, ``frames``, ``branches``: None for all.

    Examples
    --------
    >>> edit = {"site": "block.out", "op": "scale", "where": "step=0,layer=2:4"}
    >>> edit["source"] = [{"kind": "constant", "value": 0.5}]
    >>> found = edits_of({"edits": [edit]}, {"step": range(4), "layer": range(6)})
    >>> found[0]["text"], found[0]["steps"], found[0]["layers"], found[0]["frames"]
    ('block.out: scale, constant 0.5, at step=0,layer=2:4', [0], [2, 3], None)
    """
    stated = manifest.get("edits")
    known = [edit for edit in stated if isinstance(edit, Mapping)] if isinstance(stated, (list, tuple)) else []
    return [{"text": _text(edit), **_places(edit, manifest, labels)} for edit in known]


def _text(edit: Mapping[str, Any]) -> str:
    sources = edit.get("source")
    listed = sources if isinstance(sources, (list, tuple)) else []
    given = " + ".join(_source(source) for source in listed if isinstance(source, Mapping))
    where = f"at {edit['where']}" if edit.get("where") else "everywhere"
    within = "within a mask" if edit.get("mask") else ""
    deed = ", ".join(filter(None, (str(edit.get("op", "")), given, where, within)))
    return f"{edit.get('site', '')}: {deed}"


def _source(source: Mapping[str, Any]) -> str:
    facts = {name: value for name, value in source.items() if name != "kind" and isinstance(value, (str, int, float))}
    named = [str(value) if name == "value" else f"{name} {value}" for name, value in facts.items() if value != ""]
    return " ".join([str(source.get("kind", "")), ", ".join(named)]).strip()


def _places(
    edit: Mapping[str, Any], manifest: Mapping[str, Any], labels: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    """Of a selection that cannot be read, no place is marked; the words still say where."""
    nowhere: dict[str, Any] = {name: [] for name in _AXES.values()}
    with suppress(BadSelection):
        where = Selection.parse(str(edit.get("where", "")))
        places = {name: _picked(axis, where, labels) for axis, name in _AXES.items()}
        return _of_experts(places, where, manifest, labels)
    return nowhere


def _picked(axis: str, where: Selection, labels: Mapping[str, Sequence[Any]]) -> list[Any] | None:
    terms = getattr(where, axis)
    return None if terms is None else list(pick(axis, terms, tuple(labels.get(axis, ())), str(where), "edit"))


def _of_experts(
    places: dict[str, Any], where: Selection, manifest: Mapping[str, Any], labels: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    """Steps of other experts than the named ones are not edited."""
    experts = manifest.get("experts")
    if where.expert is None or not isinstance(experts, (list, tuple)):
        return places
    steps = labels.get("step", ()) if places["steps"] is None else places["steps"]
    return places | {"steps": [step for step in steps if step < len(experts) and experts[step] in where.expert]}
