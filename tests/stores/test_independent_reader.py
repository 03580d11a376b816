"""A reader written from docs/format.md alone: json, struct, numpy and the codecs that it names; nothing of ours."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import google_crc32c
import jsonschema
import numcodecs
import numpy as np
import numpy.typing as npt
import pytest

from dit_lens_stores import ArraySpec, Store, create_store
from dit_lens_stores.schema import CONVENTION

Array = npt.NDArray[Any]
FORMAT_PAGE = Path(__file__).parents[2] / "docs" / "format.md"


class Reader:
    """Reads one array of one trace."""

    def __init__(self, root: Path, trace: str, name: str) -> None:
        self.folder = root / trace / name
        node = json.loads((self.folder / "zarr.json").read_text())
        self.shape, self.dims = node["shape"], node.get("dimension_names") or []
        self.grid = node["chunk_grid"]["configuration"]["chunk_shape"]
        self.attributes, self.fill, self.type = node["attributes"], node["fill_value"], node["data_type"]
        self.codecs, self.inner = node["codecs"], None
        if self.codecs[0]["name"] == "sharding_indexed":
            settings = self.codecs[0]["configuration"]
            self.inner, self.codecs = settings["chunk_shape"], settings["codecs"]

    def read(self) -> Array:
        dtype = object if self.type == "string" else self.type
        fill = float("nan") if self.fill == "NaN" else self.fill
        files = [-(-size // chunk) for size, chunk in zip(self.shape, self.grid, strict=True)]
        whole = np.full([n * chunk for n, chunk in zip(files, self.grid, strict=True)], fill, dtype)
        for at in product(*map(range, files)):
            path = self.folder.joinpath("c", *map(str, at))
            if path.exists():
                corner = [i * chunk for i, chunk in zip(at, self.grid, strict=True)]
                self._file(path.read_bytes(), whole, corner)
        return whole[tuple(map(slice, self.shape))]

    def _file(self, data: bytes, whole: Array, corner: list[int]) -> None:
        if self.inner is None:
            return self._put(data, self.grid, whole, corner)
        counts = [size // chunk for size, chunk in zip(self.grid, self.inner, strict=True)]
        index = checked(data[-16 * prod(counts) - 4 :])
        for number, at in enumerate(product(*map(range, counts))):
            offset, length = struct.unpack_from("<2Q", index, 16 * number)
            if offset != 2**64 - 1:
                place = [c + i * chunk for c, i, chunk in zip(corner, at, self.inner, strict=True)]
                self._put(data[offset : offset + length], self.inner, whole, place)
        return None

    def _put(self, data: bytes, shape: list[int], whole: Array, corner: list[int]) -> None:
        for codec in reversed(self.codecs[1:]):
            data = checked(data) if codec["name"] == "crc32c" else unpacked(codec["name"], data)
        values = (
            np.array(words(data), object) if self.type == "string" else np.frombuffer(data, f"<{letter(self.type)}")
        )
        whole[tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))] = values.reshape(shape)


def letter(name: str) -> str:
    return {"float": "f", "uint": "u", "int": "i"}[name.rstrip("0123456789")] + str(
        int(name.lstrip("abcdefilntou")) // 8
    )


def checked(data: bytes) -> bytes:
    assert google_crc32c.value(data[:-4]) == struct.unpack("<I", data[-4:])[0]
    return data[:-4]


def unpacked(name: str, data: bytes) -> bytes:
    return bytes({"blosc": numcodecs.Blosc(), "zstd": numcodecs.Zstd()}[name].decode(data))


def words(data: bytes) -> list[str]:
    found, at = [], 4
    for _ in range(struct.unpack_from("<I", data)[0]):
        length = struct.unpack_from("<I", data, at)[0]
        found.append(data[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return found


def values_of(reader: Reader) -> Array:
    stored = reader.read()
    if reader.attributes.get("encoding") == "bits":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored


def compare(store: Store, trace_id: str) -> int:
    root, compared = store.path, 0
    trace = store.get(trace_id, partial=True)
    attributes = json.loads((root / trace_id / "zarr.json").read_text())["attributes"]
    assert attributes["status"] == trace.status
    assert tuple(attributes["arrays"]) == trace.arrays
    for name in attributes["arrays"]:
        reader, marks = Reader(root, trace_id, name), Reader(root, trace_id, f"{name}_done").read()
        whole, ours = values_of(reader), trace.dataset[name]
        assert (tuple(reader.dims), whole.dtype) == (ours.dims, ours.dtype)
        assert whole[marks == 1].tobytes() == ours.values[marks == 1].tobytes()
        assert marks.tobytes() == trace.done(name).values.tobytes()
        for dim, labels in reader.attributes.get("own_labels", {}).items():
            assert trace[name][dim].values.tolist() == labels
        for coord in [*reader.dims, *attributes["coordinates"].split()]:
            if coord in ours.coords:
                read = Reader(root, trace_id, coord).read()
                assert read.tolist() == ours[coord].values.tolist() or read.tobytes() == ours[coord].values.tobytes()
        compared += 1
    return compared


def test_a_reader_written_from_the_page_reads_every_bit(full: Store) -> None:
    root = json.loads((full.path / "zarr.json").read_text())["attributes"]
    assert root["dit_lens_format"].startswith("1.")
    assert list(root["traces"]) == ["t0"]
    assert compare(full, "t0") == 4


def test_it_reads_what_was_left_incomplete(store: Store, specs: list[ArraySpec], begin: Callable[..., Any]) -> None:
    writer = begin("t1")
    for spec in specs[:2]:
        for number, event in enumerate(spec.events()[:3]):
            writer.write(spec.name, event, np.full(spec.event_shape, number, np.float32))
    writer.fail("stopped")
    assert compare(store, "t1") == 4


@pytest.mark.parametrize("encoding", ["exact", "bits", "float16", "bitround:7"])
def test_it_reads_every_encoding(tmp_path: Path, encoding: str) -> None:
    dims = ("step", "layer", "frame", "token", "channel")
    labels = {"step": (0, 3), "layer": (1, 2, 5), "frame": (0, 1), "token": range(6), "channel": range(8)}
    spec = ArraySpec("x", dims, labels, dims[:2], encoding=encoding)
    store = create_store(tmp_path / "a.zarr")
    writer = store.begin("t0", [spec], [], {})
    rng = np.random.default_rng(0)
    for event in spec.events():
        values = rng.standard_normal(spec.event_shape).astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
        writer.write("x", event, values.view(np.float32))
    writer.finish()
    assert compare(store, "t0") == 1


def test_the_page_names_what_is_written(full: Store) -> None:
    page = FORMAT_PAGE.read_text()
    root = json.loads((full.path / "zarr.json").read_text())["attributes"]
    assert root["zarr_conventions"] == [CONVENTION]
    assert CONVENTION["uuid"] in page
    nodes = [json.loads(file.read_text()) for file in full.path.rglob("zarr.json")]
    written = {codec["name"] for node in nodes for codec in node.get("codecs", [])}
    written |= {
        inner["name"]
        for node in nodes
        for codec in node.get("codecs", [])
        for inner in codec.get("configuration", {}).get("codecs", [])
    }
    assert "sharding_indexed" in written
    written |= {node.get("data_type", "uint8") for node in nodes}
    written |= set(json.loads((full.path / "t0/zarr.json").read_text())["attributes"])
    assert [name for name in sorted(written) if f"`{name}`" not in page] == []


def test_the_schema_of_the_manifest_holds(full: Store) -> None:
    schema = json.loads((Path(__file__).parents[2] / "stores/dit_lens_stores/manifest.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = full["t0"].manifest | {"model": "tiny-wan", "revision": None, "seed": 3, "steps": 20, "guidance": 5.0}
    good |= {"weights_sha256": {"transformer": "0" * 64}, "sigmas": [1.0, 0.5], "tokens": [5, 8, 8], "ours": {"a": 1}}
    good |= {"scheduler": {"class": "UniPCMultistepScheduler", "config": {"shift": 5.0}}}
    assert list(validator.iter_errors(good)) == []
    for field, value in {"seed": "3", "steps": 0, "image_sha256": "abc", "scheduler": {}, "tokens": [0]}.items():
        assert [next(iter(error.path)) for error in validator.iter_errors(good | {field: value})] == [field]
