"""A manifest and the attributes of a result, in words: labelled lines that a reader of the page understands.

Manifests come from anywhere, so nothing is taken for granted: whatever is missing or of another kind is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dit_lens.report.places import without_folders
from dit_lens.report.sources import Source

__all__ = ["Words", "manifest_words", "result_words"]

Words = list[list[str]]
_HASH = 12
_PLAIN = {
    "model": "Model",
    "revision": "Revision",
    "licence": "Licence",
    "prompt": "Prompt",
    "negative_prompt": "Negative prompt",
    "seed": "Seed",
    "guidance": "Guidance",
    "guidance_2": "Guidance of the second expert",
    "adapter": "Adapter",
    "dtype": "Type",
    "device": "Device",
}
_LAST = ("adapter", "dtype", "device")
_OF_RESULT = {
    "probe_package": "Package",
    "params": "Parameters",
    "captures": "Captures",
    "controls": "Controls",
    "edits": "Edits",
    "questions": "Questions",
    "warnings": "Warnings",
    "skipped": "Left out",
    "software": "Software",
}


def manifest_words(manifest: Mapping[str, Any]) -> Words:
    """What a run was, line by line.

    Examples
    --------
    >>> manifest_words({"model": "tiny-wan", "seed": 0, "height": 64, "width": 64, "frames": 17, "steps": 20})
    [['Model', 'tiny-wan'], ['Seed', '0'], ['Steps', '20'], ['Size', '64 x 64, 17 frames']]
    """
    first = [_line(manifest, name) for name in _PLAIN if name not in _LAST]
    last = [_line(manifest, name) for name in _LAST]
    made = [*first, *_course(manifest), *last, *_lists(manifest), *_origin(manifest)]
    return [[label, text] for label, text in made if text]


def result_words(source: Source) -> Words:
    """What a result is, line by line.

    Examples
    --------
    >>> import xarray as xr
    >>> result_words(Source("mine", xr.Dataset(attrs={"probe": "mine", "probe_version": "1.0"}), {"a": ""}))
    [['Probe', 'mine 1.0'], ['Traces', 'a']]
    """
    attrs = source.data.attrs
    probe = " ".join(str(attrs[name]) for name in ("probe", "probe_version") if name in attrs)
    rest = [(label, _text(without_folders(attrs.get(name)))) for name, label in _OF_RESULT.items()]
    lines = [("Probe", probe), ("Traces", ", ".join(source.traces)), *rest]
    return [[label, text] for label, text in lines if text]


def _line(manifest: Mapping[str, Any], name: str) -> tuple[str, str]:
    value = manifest.get(name)
    return _PLAIN[name], _text(without_folders(value) if name == "model" else value)


def _course(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Scheduler, size, experts and what departs from the plain run."""
    height, width, frames = (manifest.get(name) for name in ("height", "width", "frames"))
    tokens = manifest.get("tokens")
    grid = " x ".join(map(str, tokens)) if isinstance(tokens, (list, tuple)) else ""
    resets, start = manifest.get("resets"), manifest.get("start")
    return [
        ("Steps", _text(manifest.get("steps"))),
        ("Scheduler", _class_of(manifest.get("scheduler"))),
        ("Pipeline", _class_of(manifest.get("pipeline"))),
        ("Experts", _experts(manifest.get("experts"))),
        ("Branches", _text(manifest.get("branches"))),
        ("Size", f"{width} x {height}, {frames} frames" if height and width else ""),
        ("Tokens", f"{grid} (frames x rows x columns)" if grid else ""),
        ("Solver forgets before steps", _text(resets)),
        ("Goes on from", _text(start)),
        ("LoRAs", _text(manifest.get("loras"))),
    ]


def _lists(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [("Captures", _text(manifest.get("captures"))), ("Versions", _pairs(manifest.get("versions")))]


def _origin(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    git, weights = manifest.get("git"), manifest.get("weights_sha256")
    state = ""
    if isinstance(git, Mapping) and git.get("commit"):
        state = (
            f"{git.get('of', '')} {str(git['commit'])[:_HASH]}{', with changes' if git.get('dirty') else ''}".strip()
        )
    return [
        ("Git", state),
        ("First frame, sha256", str(manifest.get("image_sha256") or "")[:_HASH]),
        ("Weights, sha256", _pairs(weights, _HASH)),
    ]


def _experts(experts: Any) -> str:
    """Each with the steps that it runs."""
    if not isinstance(experts, (list, tuple)):
        return ""
    found: dict[str, list[int]] = {}
    for step, expert in enumerate(experts):
        found.setdefault(str(expert), []).append(step)
    return ", ".join(f"{expert} (steps {steps[0]} to {steps[-1]})" for expert, steps in found.items())


def _class_of(part: Any) -> str:
    return str(part.get("class", "")) if isinstance(part, Mapping) else ""


def _pairs(value: Any, length: int | None = None) -> str:
    if not isinstance(value, Mapping):
        return ""
    return ", ".join(f"{name} {str(entry)[:length]}" for name, entry in value.items())


def _text(value: Any) -> str:
    """A value on one line; nothing for what is not there."""
    if value is None or (isinstance(value, (list, tuple, Mapping)) and not value):
        return ""
    if isinstance(value, str):
        return "" if value == "{}" else value
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(entry) for entry in value)
    return json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, Mapping) else str(value)
