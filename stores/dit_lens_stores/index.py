"""The root of a store: its format number and the index of its traces, both in the attributes of the root group.

One request reads the whole index. It is a convenience, the group of a trace is the truth about it: the index is
written before a trace begins and after it ends, so a process that is killed leaves at worst an entry that still says
"running".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zarr

from dit_lens_stores.errors import StoreError
from dit_lens_stores.schema import SUMS

__all__ = ["as_json", "enter_complete", "read_attributes", "summarise", "write_entry"]

_SUMMARY_KEYS = ("model", "prompt", "seed", "steps", "guidance", "dtype")


def read_attributes(group: Path) -> dict[str, Any] | None:
    """Read the attributes of a Zarr v3 group on disk, or None if there is none.

    Examples
    --------
    >>> read_attributes(Path("no-such-folder")) is None
    True
    """
    try:
        node = json.loads((group / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # nothing there, no folder, no JSON
        return None
    known = isinstance(node, dict) and node.get("node_type") == "group"
    return dict(node.get("attributes", {})) if known else None


def write_entry(path: Path, trace_id: str, entry: Mapping[str, Any]) -> None:
    """Set one entry of the index, leaving the others as they are on disk now.

    The caller holds the store's lock (`dit_lens_stores.claim.locked`): this reads all entries and writes all of them.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> write_entry(store.path, "t0", {"status": "running"})
    >>> store.index
    {'t0': {'status': 'running'}}
    """
    root = zarr.open_group(path, mode="r+", zarr_format=3)  # opened anew: attributes are cached by the group object
    traces = dict(root.attrs["traces"]) | {trace_id: dict(entry)}  # type: ignore[arg-type]
    root.update_attributes({"traces": traces})


def enter_complete(path: Path, trace_id: str) -> None:
    """Give a complete trace that is in its folder its entry in the index again, if that was lost.

    The caller holds the store's lock.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> attributes = {"status": "complete", "arrays": [], "manifest": {"seed": 3}}
    >>> _ = zarr.create_group(store.path / "t0", zarr_format=3, attributes=attributes)
    >>> enter_complete(store.path, "t0")
    >>> store.index
    {'t0': {'status': 'complete', 'arrays': [], 'seed': 3}}
    """
    folder = path / trace_id
    attributes = (None if folder.is_symlink() else read_attributes(folder)) or {}
    manifest, arrays = attributes.get("manifest"), attributes.get("arrays")
    if attributes.get("status") != "complete" or not isinstance(manifest, dict) or not isinstance(arrays, list):
        return
    known = (read_attributes(path) or {}).get("traces", {}).get(trace_id, {})
    if (known.get("status"), known.get("arrays")) != ("complete", arrays):
        (path / SUMS).unlink(missing_ok=True)  # they are of the index as it was
        write_entry(path, trace_id, {"status": "complete", "arrays": arrays} | summarise(manifest))


def summarise(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the few plain facts of a manifest that the index repeats.

    Examples
    --------
    >>> summarise({"model": "tiny-wan", "seed": 3, "scheduler": {"shift": 5}})
    {'model': 'tiny-wan', 'seed': 3}
    """
    return {key: manifest[key] for key in _SUMMARY_KEYS if isinstance(manifest.get(key), str | int | float)}


def as_json(what: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a mapping as JSON gives it back.

    Parameters
    ----------
    what : str
        What it is, for the message.
    value : mapping

    Returns
    -------
    dict

    Raises
    ------
    StoreError
        If JSON cannot hold it (an object, NaN).

    Examples
    --------
    >>> as_json("manifest", {"size": (64, 64)})
    {'size': [64, 64]}
    """
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"{what} cannot be stored; got {error}, allowed what JSON holds; make it numbers and words"
        ) from None
    return copy
