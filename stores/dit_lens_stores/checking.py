"""Check a store against itself: every chunk against its checksum, every mark against the bytes that it promises.

All that a reader relies on is read once, chunk by chunk, so the memory does not grow with the store. What is wrong is
told by address: the events whose values are in a bad chunk, with branch, step and layer. Shards leave no byte outside
their chunks and their index, so a bit that flipped anywhere in one is found. If a list of hashes lies in the store
(``SHA256SUMS``), every file is compared with it as well.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dit_lens_stores.attribute_checks import coordinate_problem, is_unnamed_array, own_labels_problems
from dit_lens_stores.chunk_checks import Values
from dit_lens_stores.errors import StoreError, UnknownTrace
from dit_lens_stores.manifests import manifest_problems
from dit_lens_stores.members import Members
from dit_lens_stores.nodes import read_group
from dit_lens_stores.opening import StoreReader
from dit_lens_stores.places import LocalPlace, Place, place_of
from dit_lens_stores.report import Problem, Report
from dit_lens_stores.schema import EXPECTED, SUMS
from dit_lens_stores.share.extras import read_sums
from dit_lens_stores.share.files import is_extra, is_part
from dit_lens_stores.vectors import Contents
from dit_lens_stores.zipped import ZipPlace

__all__ = ["verify"]

_STATUSES = ("running", "complete", "failed")
_BLOCK = 4 * 2**20
_LIMIT = 64 * 2**20


def verify(store: str | Path | Place, *, traces: Sequence[str] | None = None) -> Report:
    """Check a store, or some of its traces.

    Parameters
    ----------
    store : str, pathlib.Path or Place
        A folder, a zip, or an address; of an address every byte is fetched.
    traces : sequence of str, optional
        All if not given.

    Returns
    -------
    Report

    Raises
    ------
    NotAStore, UnknownFormat, Corrupt
        If there is no store that could be checked.
    UnknownTrace
        If it holds no trace of a name.

    Examples
    --------
    >>> from dit_lens_stores import ArraySpec, create_store
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> writer = store.begin("t0", [ArraySpec("x", ("step",), {"step": (0, 1)}, ("step",))], [], {})
    >>> for step in (0, 1):
    ...     writer.write("x", {"step": step}, np.float32(step))
    >>> writer.finish()
    >>> report = verify(store.path)
    >>> report.ok, report.events, report.files
    (True, 2, 2)
    """
    reader = StoreReader(place_of(store))
    _ = reader.attributes
    names = reader.traces if traces is None else tuple(traces)
    for name in names:
        if name not in reader:
            raise UnknownTrace(
                f"verify found no trace in '{reader.url}'; got '{name}', allowed {', '.join(reader.traces)}; name one "
                f"of them"
            )
    found = [_Trace(reader, name) for name in names]
    for trace in found:
        trace.check()
    problems = [problem for trace in found for problem in trace.problems]
    sums, wrong = _check_sums(reader.place) if traces is None else (0, [])
    lost, strangers = _beside(reader) if traces is None else ([], [])
    return Report(
        reader.url,
        len(names),
        sum(trace.values.files for trace in found),
        sum(trace.values.events for trace in found),
        sum(trace.values.bytes for trace in found),
        (*problems, *lost, *wrong),
        tuple(trace.name for trace in found if trace.status != "complete"),
        (*strangers, *(file for trace in found for file in trace.leftovers)),
        sums,
    )


class _Trace:
    """The check of one trace."""

    def __init__(self, store: StoreReader, name: str) -> None:
        self.name, self.status = name, "running"
        self.problems: list[Problem] = []
        self.leftovers: list[str] = []
        self.values = Values(store.place, name, self.problems)
        self._place, self._entry = store.place, store.index[name]

    def check(self) -> None:
        """Fill in what is wrong."""
        try:
            attributes = read_group(self._place, self.name)
            contents = Contents(self._place, self.name, attributes or {})
            members = Members(contents)
        except StoreError as error:
            self._add(str(error))
            return
        if attributes is None:  # killed before it was laid out, or lost
            if self._entry.get("status") == "complete":
                self._add("no such file, though the index calls the trace complete", file="zarr.json")
            self.leftovers += [file for file in _files(self._place, self.name) if not is_part(file)]
            return
        self._check_attributes(attributes)
        if contents.laid_out():
            for name in self._readable(contents):
                self._check_array(contents, name)
            self._check_coordinates(contents, members)
        self._check_strangers(contents, members)

    def _check_attributes(self, attributes: dict[str, Any]) -> None:
        self.status = str(attributes.get("status"))
        if self.status not in _STATUSES:
            self._add(f"status {self.status!r}", file="zarr.json")
        for problem in manifest_problems(attributes.get("manifest")):
            self._add(problem, file="zarr.json")
        if self.status == "complete" and (self._entry.get("status"), self._entry.get("arrays")) != (
            self.status,
            attributes.get("arrays"),
        ):
            self._add(f"the index says {self._entry.get('status')} and {self._entry.get('arrays')}", file="zarr.json")

    def _readable(self, contents: Contents) -> Iterator[str]:
        """The arrays whose metadata and marks can be read; labels are read on the way."""
        for name in contents.arrays:
            try:
                node, _ = contents.node(name), contents.marks(name)
                wrong = list(own_labels_problems(contents, name))
                for dim in node.dims:
                    contents.labels(dim)
            except StoreError as error:
                self._add(str(error), name)
                continue
            self.problems += [Problem(what, self.name, name, {}, f"{self.name}/{name}/zarr.json") for what in wrong]
            yield name

    def _check_coordinates(self, contents: Contents, members: Members) -> None:
        for name in contents.coordinates:
            try:
                contents.vector(name)
            except StoreError as error:
                self._add(str(error), name)
                continue
            if self.status == "complete" and (what := coordinate_problem(contents, members, name)):
                self._add(what, name, f"{self.name}/{name}/zarr.json")

    def _check_array(self, contents: Contents, name: str) -> None:
        marks, dims = contents.marks(name), contents.mark_dims(name)
        labels = [contents.labels(dim) for dim in dims]
        if self.status == "complete":
            for at in np.argwhere(marks == EXPECTED).tolist():
                event = {dim: held[i] for dim, held, i in zip(dims, labels, at, strict=True)}
                self.problems.append(Problem("not done in a complete trace", self.name, name, event))
        promised = self.values.check(contents, name)
        for file in _files(self._place, f"{self.name}/{name}/c"):
            if file in promised:
                continue
            if self.status == "complete" and not file.endswith(".partial"):
                self._add("a file that no mark promises", name, file)
            else:
                self.leftovers.append(file)

    def _check_strangers(self, contents: Contents, members: Members) -> None:
        """Files that are none of the trace's; those beside the chunks of arrays were looked at with the arrays."""
        for file in _files(self._place, self.name):
            inside = file.partition("/")[2]
            name, _, rest = inside.partition("/")
            if members.hold(inside) or (name in contents.arrays and rest.startswith("c/")):
                continue
            if self.status == "complete" and is_unnamed_array(self._place, self.name, inside):
                self._add("an array that the trace does not name", name, file)
            else:
                self.leftovers.append(file)

    def _add(self, what: str, array: str = "", file: str = "") -> None:
        self.problems.append(
            Problem(what, self.name, array, {}, f"{self.name}/{file}" if file == "zarr.json" else file)
        )


def _files(place: Place, folder: str) -> Iterator[str]:
    """The files below a folder on this machine or in a zip, as paths inside the store."""
    if isinstance(place, ZipPlace):
        yield from sorted(key for key in place.members if key.startswith(f"{folder}/" if folder else ""))
    if not isinstance(place, LocalPlace):
        return
    for at, _, names in os.walk(place.path / folder):
        yield from sorted(Path(at, name).relative_to(place.path).as_posix() for name in names)


def _beside(store: StoreReader) -> tuple[list[Problem], list[str]]:
    """Traces that the index does not name, and files beside the traces that are no part of a store."""
    files = [file for file in _files(store.place, "") if file != "zarr.json" and not is_extra(file)]
    metadata = [file for file in files if file.endswith("/zarr.json") and file.count("/") == 1]
    traces = [name for file in metadata if _is_trace(store.place, name := file.partition("/")[0])]
    known = {*store.traces, *traces}  # read again: one may have been begun meanwhile
    lost = [
        Problem("a trace that the index does not name", name, file=f"{name}/zarr.json")
        for name in traces
        if name not in store
    ]
    return lost, [file for file in files if "/" not in file or file.partition("/")[0] not in known]


def _is_trace(place: Place, name: str) -> bool:
    try:
        attributes = read_group(place, name) or {}
    except StoreError:
        return False
    return attributes.get("status") in _STATUSES and {"manifest", "arrays"} <= set(attributes)


def _check_sums(place: Place) -> tuple[int, list[Problem]]:
    data = place.read(SUMS, _LIMIT)
    if data is None:
        return 0, []
    try:
        sums = read_sums(data, place.name)
    except StoreError as error:
        return 0, [Problem(str(error), file=SUMS)]
    wrong = []
    for key, expected in sums.items():
        found = _hash(place, key)
        if found != expected:
            what = "no such file, though it has a hash" if found is None else "another sha256 than it had"
            wrong.append(Problem(what, key.partition("/")[0] if "/" in key else "", "", {}, key))
    return len(sums), wrong


def _hash(place: Place, key: str) -> str | None:
    size = place.size(key)
    if size is None:
        return None
    digest = hashlib.sha256()
    for start in range(0, size, _BLOCK):
        digest.update(place.read_range(key, start, min(_BLOCK, size - start)) or b"")
    return digest.hexdigest()
