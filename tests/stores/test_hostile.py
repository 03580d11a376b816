"""A store from anywhere: whatever it holds, the answer is one line or the right values, and nothing else happens."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import pytest

from dit_lens_stores import ArraySpec, Coordinate, Corrupt, DitLensError, StoreError, create_store, open_store
from dit_lens_stores.places import Place
from dit_lens_stores.root import Store

RAW, ENERGY = "block.out.raw", "block.out.energy"
ARRAYS = (RAW, ENERGY, "bits", "video")
Read = dict[str, npt.NDArray[Any]]


class Kept(Place):
    """A store in memory, one file of which may be another than it was."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.name, self.files = "kept.zarr", files

    def read(self, key: str, limit: int) -> bytes | None:
        assert len(self.files.get(key, b"")) <= limit
        return self.files.get(key)

    def read_range(self, key: str, start: int, length: int) -> bytes | None:
        return self.files[key][start : start + length] if key in self.files else None

    def read_tail(self, key: str, length: int) -> bytes | None:
        return self.files[key][-length:] if key in self.files else None

    def size(self, key: str) -> int | None:
        return len(self.files[key]) if key in self.files else None


def small_store(path: Path) -> Store:
    """One complete trace: raw in shards, energy in chunks, a video, words and numbers as labels."""
    store = create_store(path)
    dims = ("branch", "step", "layer", "frame", "token", "channel")
    labels: dict[str, Any] = {"branch": ("cond", "uncond"), "step": (0, 1), "layer": (3, 7), "frame": range(2)}
    labels |= {"token": range(6), "channel": range(8)}
    specs = [
        ArraySpec(RAW, dims, labels, dims[:3]),
        ArraySpec(ENERGY, dims[:5], {dim: labels[dim] for dim in dims[:5]} | {"layer": (7,)}, dims[:3]),
        ArraySpec("bits", dims[1:5], {dim: labels[dim] for dim in dims[1:5]}, ("step",), encoding="bits"),
        ArraySpec("video", ("video_frame", "rgb"), {"video_frame": (0, 1), "rgb": ("r", "g", "b")}, dtype="uint8"),
    ]
    coordinates = [Coordinate("sigma", "step", [1.0, 0.5]), Coordinate("expert", "step", ["first", "second"])]
    writer = store.begin("t0", specs, coordinates, {"seed": 1, "model": "tiny"})
    rng = np.random.default_rng(0)
    for spec in specs:
        for event in spec.events():
            noise = rng.standard_normal(spec.event_shape).astype(np.float32)
            values = (noise.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
            writer.write(spec.name, event, values if spec.dtype == "float32" else (noise > 0).astype(np.uint8))
    writer.finish()
    return store


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    root = small_store(tmp_path_factory.mktemp("hostile") / "a.zarr").path
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}


@pytest.fixture(scope="module")
def truth(files: dict[str, bytes]) -> Read:
    return read_all(Kept(files))


def read_all(place: Place | Path, arrays: Sequence[str] = ()) -> Read:
    """Everything that a store holds, or a few arrays, through the public reader."""
    found: Read = {}
    store = open_store(place)
    for trace_id in store.traces:
        trace = store[trace_id]
        found[f"{trace_id}/status"] = np.array([trace.status])
        for name in [name for name in trace.arrays if not arrays or name in arrays]:
            array = trace[name]
            found[f"{trace_id}/{name}"] = array.values
            found |= {f"{trace_id}/{name}/{coord}": held.values for coord, held in array.coords.items()}
    return found


def answer(files: dict[str, bytes], change: dict[str, bytes], arrays: Sequence[str] = ()) -> Read | str:
    try:
        return read_all(Kept(files | change), arrays)
    except DitLensError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 1000
    return said


def equal(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> bool:
    """Bit for bit; words by their letters."""
    if expected.dtype == object:
        return bool(found.tolist() == expected.tolist())
    return found.tobytes() == expected.tobytes()


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One small change: a bit, a byte, a piece that is gone or doubled, another number in a word of JSON."""
    at, kind = int(rng.integers(len(content))), int(rng.integers(5))
    if kind == 0:
        return content[:at] + bytes([content[at] ^ 1 << int(rng.integers(8))]) + content[at + 1 :]
    if kind == 1:
        return content[:at] + rng.bytes(1) + content[at + 1 :]
    if kind == 2:
        return content[:at]
    if kind == 3:
        return content[:at] + content[at + int(rng.integers(1, 9)) :]
    return content[:at] + content[at : at + int(rng.integers(1, 9))] * 2 + content[at:]


def check_values(found: Read | str, truth: Read, key: str) -> None:
    """Values that come back are the right ones: what no checksum covers may only have changed names and numbers."""
    if isinstance(found, str):
        return
    for name, values in found.items():
        if name in truth and f"{name}/c/" in key:
            assert equal(values, truth[name]), (key, name)


def fuzz(files: dict[str, bytes], truth: Read, rounds: int, seed: int) -> int:
    rng, refused = np.random.default_rng(seed), 0
    names = [name for name in files if not name.endswith("/c")]
    for number in range(rounds):
        key = names[number % len(names)]
        touched = key.split("/")[1].removesuffix("_done") if "/" in key else ENERGY
        found = answer(files, {key: mutated(files[key], rng)}, [touched if touched in ARRAYS else ENERGY])
        refused += isinstance(found, str)
        check_values(found, truth, key)
    return refused


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))])
def test_small_changes_are_refused_in_one_line_or_change_no_value(
    files: dict[str, bytes], truth: Read, seed: int
) -> None:
    modules, before = set(sys.modules), dict(files)
    assert fuzz(files, truth, 2500, seed) > 1250
    assert (set(sys.modules) - modules, files) == (set(), before)


def test_small_changes_take_no_memory(files: dict[str, bytes], truth: Read) -> None:
    tracemalloc.start()
    fuzz(files, truth, 200, 8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 2**20


def shards(files: dict[str, bytes]) -> list[str]:
    return [key for key in files if key.startswith((f"t0/{RAW}/c/", f"t0/{ENERGY}/c/", "t0/bits/c/", "t0/video/c/"))]


def test_any_flipped_bit_of_values_is_reported_with_its_place(files: dict[str, bytes]) -> None:
    rng, flips = np.random.default_rng(1), 0
    for key in shards(files):
        content, array = files[key], key.split("/")[1]
        for at in rng.choice(len(content), 60):
            flipped = content[:at] + bytes([content[at] ^ 1 << int(rng.integers(8))]) + content[at + 1 :]
            trace = open_store(Kept(files | {key: flipped}))["t0"]
            with pytest.raises(Corrupt) as caught:
                _ = trace[array].values
            said, flips = str(caught.value), flips + 1
            assert "of trace 't0' failed in 'kept.zarr'" in said
            assert f"reading {array}" in said
            assert f"in '{key}'" in said
            if array != "video":
                step = key.split("/c/")[1].split("/")[0 if array == "bits" else 1]
                assert f"step={step}" in said
            if array in (RAW, ENERGY):
                assert "layer=" in said
    assert flips > 600


def test_one_flipped_bit_is_reported_exactly(files: dict[str, bytes]) -> None:
    key = f"t0/{RAW}/c/0/1/0/0/0/0"
    flipped = bytes([files[key][20] ^ 4]).join((files[key][:20], files[key][21:]))
    trace = open_store(Kept(files | {key: flipped}))["t0"]
    with pytest.raises(Corrupt) as caught:
        _ = trace[RAW].values
    assert str(caught.value) == (
        f"reading {RAW}[branch=cond, step=1, layer=3] of trace 't0' failed in 'kept.zarr'; got a crc32c that does not "
        f"fit in '{key}', allowed the bytes that were written; copy the file again, or trace it again"
    )
    assert trace[RAW].sel(branch="uncond").values.shape == (2, 2, 2, 6, 8)


def sealed(content: bytes) -> bytes:
    """Bytes with a crc32c that fits: what somebody would write who means harm."""
    return content + struct.pack("<I", google_crc32c.value(content))


def test_chunks_whose_checksum_was_made_to_fit_are_bounded(files: dict[str, bytes]) -> None:
    key, rng = f"t0/{ENERGY}/c/0/1/0/0/0", np.random.default_rng(3)
    inner = files[key][:-4]
    bomb = bytearray(inner)
    bomb[4:8] = struct.pack("<I", 2**31 - 1)
    found = answer(files, {key: sealed(bytes(bomb))})
    assert isinstance(found, str)
    assert "a chunk that unpacks to 2147483647 bytes" in found
    for _ in range(300):
        answer(files, {key: sealed(mutated(inner, rng))})


def test_an_index_that_was_made_to_fit_is_bounded(files: dict[str, bytes]) -> None:
    key, rng = f"t0/{RAW}/c/0/1/0/0/0/0", np.random.default_rng(4)
    count = 16 * 4
    body, index = files[key][: -count - 4], files[key][-count - 4 : -4]
    for offset, length in ((0, 2**40), (2**63, 100), (2**64 - 1, 5), (10**6, 100), (0, 0)):
        found = answer(files, {key: body + sealed(struct.pack("<2Q", offset, length) + index[16:])})
        assert isinstance(found, str)
    gone = answer(files, {key: body + sealed(b"\xff" * 16 + index[16:])})
    assert isinstance(gone, str)
    assert "has lost what was written" in gone
    for _ in range(300):
        answer(files, {key: body + sealed(mutated(index, rng)[:count].ljust(count, b"\0"))})


def edited(files: dict[str, bytes], key: str, edit: Callable[[Any], object]) -> dict[str, bytes]:
    node = json.loads(files[key])
    edit(node)
    return {key: json.dumps(node).encode()}


def put(path: str, value: Any) -> Callable[[Any], None]:
    def edit(node: Any) -> None:
        *outer, last = path.split("/")
        for part in outer:
            node = node[int(part) if part.isdigit() else part]
        node[int(last) if last.isdigit() else last] = value

    return edit


ABSURD: list[tuple[str, str, Any, str]] = [
    (RAW, "shape", [10**12, 2, 2, 2, 6, 8], "got shape .1000000000000, 2"),
    (RAW, "shape", [10**12] * 6, "got shape"),
    (RAW, "shape", [-1, 2, 2, 2, 6, 8], "got shape"),
    (RAW, "shape", [2.0, 2, 2, 2, 6, 8], "got shape"),
    (RAW, "shape", [True, 2, 2, 2, 6, 8], "got shape"),
    (RAW, "chunk_grid/configuration/chunk_shape", [10**9] * 6, "got chunk_shape"),
    (RAW, "chunk_grid/configuration/chunk_shape", [1, 1, 2**25, 2, 6, 8], "chunks in a shard"),
    (RAW, "chunk_grid/name", "rectilinear", "got chunk grid 'rectilinear'"),
    (RAW, "codecs/0/configuration/chunk_shape", [0, 1, 1, 1, 6, 8], "got chunk_shape"),
    (RAW, "codecs/0/configuration/chunk_shape", [1, 1, 1, 1, 5, 8], "allowed whole chunks"),
    (RAW, "codecs/0/configuration/index_location", "start", "another form of shard"),
    (
        RAW,
        "codecs/0/configuration/codecs/1/name",
        "os.system",
        "got codec 'os.system', allowed bytes, vlen-utf8, blosc",
    ),
    (RAW, "codecs/0/configuration/codecs/0/configuration", {"endian": "big"}, "got big-endian bytes"),
    (RAW, "data_type", "complex128", "got data type 'complex128'"),
    (RAW, "data_type", {"name": "numpy.object", "configuration": {}}, "got data type"),
    (RAW, "data_type", "float64", "got float64 of encoding 'exact'"),
    (RAW, "data_type", "uint16", "got fill value 'NaN' of uint16"),
    (RAW, "fill_value", "0xZZ", "got fill value '0xZZ'"),
    (RAW, "dimension_names", ["../../x"] * 6, "got dimension names"),
    (RAW, "dimension_names", ["..", "step", "layer", "frame", "token", "channel"], "got the name '..'"),
    (RAW, "storage_transformers", [{"name": "x"}], "another kind of node"),
    (RAW, "attributes/encoding", "pickle", "got encoding 'pickle'"),
    (RAW, "attributes/encoding", "bits", "got float32 of encoding 'bits'"),
    (ENERGY, "attributes/own_labels", {"layer": [99]}, "attribute 'own_labels' of another form"),
    (ENERGY, "attributes/own_labels", {"layer": []}, "attribute 'own_labels' of another form"),
    ("step", "shape", [10**12], "got shape"),
    ("step", "shape", [3], "one chunk, at most"),
    (f"{RAW}_done", "shape", [2, 2, 3], "one chunk, at most"),
]


@pytest.mark.parametrize(("array", "path", "value", "said"), ABSURD)
def test_absurd_metadata_is_refused_before_memory_is_taken(
    files: dict[str, bytes], array: str, path: str, value: Any, said: str
) -> None:
    modules = set(sys.modules)
    change = edited(files, f"t0/{array}/zarr.json", put(path, value))
    tracemalloc.start()
    store = open_store(Kept(files | change))
    assert store["t0"].status == "complete"
    with pytest.raises(Corrupt, match=said):
        _ = store["t0"][RAW if array not in (ENERGY, "step") else ENERGY].values
    assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    tracemalloc.stop()
    assert set(sys.modules) == modules


@pytest.mark.parametrize(
    ("key", "path", "value", "said"),
    [
        ("zarr.json", "attributes/traces", [], "no index of traces"),
        ("zarr.json", "attributes/traces", {"../other": {}}, "a trace called '../other'"),
        ("zarr.json", "attributes/traces", {"t0": "complete"}, "no index of traces"),
        ("zarr.json", "attributes/dit_lens_format", "2.0", "got format '2.0', allowed 1.x"),
        ("zarr.json", "attributes/dit_lens_format", {"x": 1}, "cannot read"),
        ("t0/zarr.json", "attributes/arrays", ["../../etc/passwd"], "attribute 'arrays' of another form"),
        ("t0/zarr.json", "attributes/arrays", [1], "attribute 'arrays' of another form"),
        ("t0/zarr.json", "attributes/coordinates", "sigma ../x", "attribute 'coordinates' of another form"),
        ("t0/zarr.json", "attributes", 5, "attributes that are no object"),
        ("t0/zarr.json", "node_type", "array", "another kind of node"),
    ],
)
def test_absurd_groups_are_refused(files: dict[str, bytes], key: str, path: str, value: Any, said: str) -> None:
    found = answer(files, edited(files, key, put(path, value)))
    assert isinstance(found, str)
    assert said in found


def test_a_later_minor_format_is_read_and_what_is_new_in_it_passed_over(files: dict[str, bytes], truth: Read) -> None:
    change = edited(files, "zarr.json", put("attributes/dit_lens_format", "1.9"))
    change |= edited({"zarr.json": change["zarr.json"]}, "zarr.json", put("attributes/new", {"a": 1}))
    change |= edited(files, "t0/zarr.json", put("attributes/new", [1]))
    found = answer(files, change)
    assert isinstance(found, dict)
    assert all(equal(found[name], truth[name]) for name in truth)


def test_json_that_is_too_deep_or_too_large_is_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    found = answer(files, {"t0/zarr.json": b"[" * 100_000})
    assert isinstance(found, str)
    store = small_store(tmp_path / "a.zarr")
    with (store.path / "t0" / "zarr.json").open("r+b") as file:
        file.truncate(2**30)
    with pytest.raises(Corrupt, match="got 1073741824 bytes or more, allowed 67108864"):
        _ = store["t0"]


def test_more_than_fits_memory_is_refused_and_a_part_of_it_is_read(tmp_path: Path) -> None:
    """Ten thousand by ten thousand by ten thousand: honest labels, 4 TB of values, almost all of them absent."""
    side = range(10_000)
    spec = ArraySpec("x", ("step", "token", "channel"), dict.fromkeys(("step", "token", "channel"), side), ("step",))
    store = create_store(tmp_path / "a.zarr")
    store.begin("t0", [spec], [], {})
    array = store.get("t0", partial=True)["x"]
    with pytest.raises(StoreError, match=r"takes 4000\.0 GB; got more than there is"):
        _ = array.values
    assert np.isnan(array.isel(step=5, token=slice(2), channel=slice(3)).values).all()


CODE = "__import__('os').system('touch owned')"


def test_code_in_a_manifest_stays_text(files: dict[str, bytes], tmp_path: Path) -> None:
    manifest = {
        "prompt": CODE,
        "model": "!!python/object/apply:os.system ['true']",
        "__class__": "os.system",
        "probe": "evil.module:Evil",
        "pickle": "gASVIAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAR0cnVllIWUUpQu",
    }
    modules = set(sys.modules)
    trace = open_store(Kept(files | edited(files, "t0/zarr.json", put("attributes/manifest", manifest))))["t0"]
    assert trace.manifest == manifest
    assert trace[RAW].values.shape == (2, 2, 2, 2, 6, 8)
    assert set(sys.modules) == modules


@pytest.mark.parametrize("what", ["shard", "array", "trace", "root"])
def test_links_out_of_the_folder_are_refused(tmp_path: Path, what: str) -> None:
    inside, outside = tmp_path / "in" / "a.zarr", tmp_path / "out" / "a.zarr"
    for path in (inside, outside):
        path.parent.mkdir()
        small_store(path)
    part = {"shard": f"t0/{RAW}/c/0/0/0/0/0/0", "array": f"t0/{RAW}", "trace": "t0", "root": "zarr.json"}[what]
    target = inside / part
    _ = shutil.rmtree(target) if target.is_dir() else target.unlink()
    target.symlink_to(outside / part)
    with pytest.raises(Corrupt, match="refused; got a link out of the folder, allowed files inside it"):
        _ = open_store(inside)["t0"][RAW].values


def test_a_link_to_the_store_itself_and_links_inside_it_are_followed(tmp_path: Path) -> None:
    store = small_store(tmp_path / "a.zarr")
    values = store["t0"][RAW].values
    (tmp_path / "link").symlink_to(store.path)
    shard = store.path / "t0" / RAW / "c/0/0/0/0/0/0"
    shard.rename(store.path / "moved")
    shard.symlink_to(store.path / "moved")
    assert open_store(tmp_path / "link")["t0"][RAW].values.tobytes() == values.tobytes()


def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    store = small_store(tmp_path / "a.zarr")
    (store.path / "t0" / "zarr.json").unlink()
    os.mkfifo(store.path / "t0" / "zarr.json")
    with pytest.raises(StoreError, match="never laid out"):
        _ = store["t0"]


def packed(files: dict[str, bytes], path: Path, kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["../evil", "t0/../../evil", "/etc/evil", "t0//x", "a\\..\\b", "./x"])
def test_a_zip_with_names_that_lead_out_is_refused(files: dict[str, bytes], tmp_path: Path, name: str) -> None:
    made = packed(files | {name: b"evil"}, tmp_path / "a.zip")
    with pytest.raises(Corrupt, match="got a name that leads out of it"):
        open_store(made)
    assert [file.name for file in tmp_path.rglob("*")] == ["a.zip"]


def test_a_zip_bomb_is_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    made = packed(files | {f"t0/{RAW}/c/0/0/0/0/0/0": b"\0" * 50_000_000}, tmp_path / "a.zip", zipfile.ZIP_DEFLATED)
    assert made.stat().st_size < 500_000
    tracemalloc.start()
    with pytest.raises(Corrupt, match=r"got a compressed member .*, allowed stored ones; pack the store again"):
        open_store(made)
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()


def test_a_zip_that_names_something_twice_is_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    made = packed(files, tmp_path / "a.zip")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(made, "a") as again:
        again.writestr("zarr.json", b"{}")
    with pytest.raises(Corrupt, match="got one name twice"):
        open_store(made)


def test_fuzzed_zips(files: dict[str, bytes], tmp_path: Path, truth: Read) -> None:
    whole = packed(files, tmp_path / "a.zip").read_bytes()
    rng, directory = np.random.default_rng(7), whole.rfind(b"PK\x05\x06")
    start = struct.unpack("<I", whole[directory + 16 : directory + 20])[0]
    for _ in range(400):
        (tmp_path / "b.zip").write_bytes(whole[:start] + mutated(whole[start:], rng))
        try:
            found: Read | str = read_all(tmp_path / "b.zip")
        except DitLensError as error:
            found = str(error)
            assert "\n" not in found
        if isinstance(found, dict) and found.keys() == truth.keys():
            assert all(equal(found[name], truth[name]) for name in truth)
