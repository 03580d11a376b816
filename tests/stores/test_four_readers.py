"""Every file that the writer makes is read bit for bit by zarr-python, xarray, tensorstore and the zarrs pipeline."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import pytest
import tensorstore
import xarray as xr
import zarr
import zarrs  # noqa: F401  # registers its pipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lens_stores import ArraySpec, create_store, union_labels
from dit_lens_stores.encodings import encode

Values = npt.NDArray[Any]
DIMS = ("branch", "step", "layer", "frame", "token", "channel")


def read_zarr(trace: Path, name: str) -> Values:
    return np.asarray(zarr.open_array(trace / name, mode="r")[...])


def read_zarrs(trace: Path, name: str) -> Values:
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return read_zarr(trace, name)


def read_xarray(trace: Path, name: str) -> Values:
    return xr.open_zarr(trace, consolidated=False, chunks=None, mask_and_scale=False)[name].values


def read_tensorstore(trace: Path, name: str) -> Values:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(trace / name)}}
    return np.asarray(tensorstore.open(spec, read=True).result().read().result())


READERS: list[Callable[[Path, str], Values]] = [read_zarr, read_zarrs, read_xarray, read_tensorstore]


def labels(limit: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.sets(st.integers(0, limit), min_size=1, max_size=3).map(lambda found: tuple(sorted(found)))


@st.composite
def specs(draw: st.DrawFn) -> list[ArraySpec]:
    """Two arrays whose labels differ, so that each has chunks with gaps and chunks in which it holds nothing."""
    made = []
    for number in range(2):
        held: dict[str, Any] = {dim: draw(labels(4)) for dim in DIMS[1:]}
        held = {"branch": draw(st.sampled_from([("cond",), ("cond", "uncond")]))} | held
        dims = DIMS if draw(st.booleans()) else DIMS[:5]
        encoding = draw(st.sampled_from(["exact", "bits", "float16", "bitround:3"]))
        compressor = draw(st.sampled_from(["auto", "lz4", "zstd", "none"]))
        options = {"encoding": encoding, "compressor": compressor, "checksum": draw(st.booleans())}
        made.append(ArraySpec(f"a{number}", dims, {dim: held[dim] for dim in dims}, dims[:3], **options))
    return made


def any_values(spec: ArraySpec, number: int) -> Values:
    """Any bit pattern that the encoding holds: NaN with payloads, infinities, denormals, huge numbers."""
    noise = np.random.default_rng(number)
    if spec.encoding == "float16":
        return noise.integers(0, 2**16, spec.event_shape, dtype=np.uint16).view(np.float16)
    bits = noise.integers(0, 2**32, spec.event_shape, dtype=np.uint32)
    if spec.encoding.startswith("bitround"):
        return np.where(noise.random(spec.event_shape) < 0.1, np.nan, bits.astype(np.float32) - 2**31).astype("f4")
    return (bits & np.uint32(0xFFFF0000 if spec.encoding == "bits" else 0xFFFFFFFF)).view(np.float32)


def expected(spec: ArraySpec, union: dict[str, Any], data: dict[int, Values]) -> Values:
    """What is on disk, worked out from the definition."""
    whole = np.full([len(union[dim]) for dim in spec.dims], spec.fill, spec.stored_dtype)
    inner = [[union[dim].index(label) for label in spec.labels[dim]] for dim in spec.value_dims]
    for number, values in data.items():
        at = [[union[dim].index(spec.events()[number][dim])] for dim in spec.event_dims]
        whole[np.ix_(*at, *inner)] = encode(values, spec.encoding)
    return whole


@settings(max_examples=30, deadline=None)
@given(made=specs(), data=st.data(), encoders=st.sampled_from([0, 1, 2]))
def test_four_readers_agree_to_the_bit(
    made: list[ArraySpec], data: st.DataObject, encoders: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = create_store(tmp_path_factory.mktemp("four") / "a.zarr")
    writer = store.begin("t0", made, [], {}, encoders=encoders)
    order = data.draw(st.permutations([(spec, number) for spec in made for number in range(len(spec.events()))]))
    kept = order[: data.draw(st.integers(0, len(order)))]
    for spec, number in kept:
        writer.write(spec.name, spec.events()[number], any_values(spec, number))
    writer.fail("stopped")
    for spec in made:
        there = {number: any_values(spec, number) for other, number in kept if other is spec}
        wanted = expected(spec, union_labels(made), there)
        for read in READERS:
            got = read(store.path / "t0", spec.name)
            assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
            assert got.tobytes() == wanted.tobytes(), read.__name__


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("channels", [256, 2000])
def test_every_chunk_has_the_very_bytes_that_zarr_python_writes(tmp_path: Path, channels: int, rounded: bool) -> None:
    held: dict[str, Any] = dict(zip(DIMS[1:], map(range, (1, 3, 4, 64, channels)), strict=True))
    spec = ArraySpec("x", DIMS[1:], held, DIMS[1:3])
    values = np.random.default_rng(0).standard_normal((3, *spec.event_shape)).astype(np.float32)
    patterns = (values.view(np.uint32) >> 16).astype(np.uint16)
    values = (patterns.astype(np.uint32) << 16).view(np.float32) if rounded else values
    store = create_store(tmp_path / "a.zarr")
    writer = store.begin("t0", [spec], [], {})
    for number, event in enumerate(spec.events()):
        writer.write("x", event, patterns[number] if rounded else values[number])
    writer.finish()
    ours = store.path / "t0" / "x"
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "zarr.json").write_bytes((ours / "zarr.json").read_bytes())
    zarr.open_array(theirs, mode="r+", config={"write_empty_chunks": True})[...] = values[None]
    first, second = (chunks_of((folder / "c/0/0/0/0/0").read_bytes(), 12) for folder in (ours, theirs))
    assert first == second
    assert len(first[0]) > 1000
    for read in READERS:
        assert read(store.path / "t0", "x").tobytes() == values.tobytes(), read.__name__


def chunks_of(shard: bytes, count: int) -> list[bytes]:
    """Take a shard apart by the definition of ``sharding_indexed``."""
    index, (crc,) = shard[-16 * count - 4 : -4], struct.unpack("<I", shard[-4:])
    assert google_crc32c.value(index) == crc
    numbers = struct.unpack(f"<{2 * count}Q", index)
    return [shard[at : at + size] for at, size in zip(numbers[::2], numbers[1::2], strict=True)]


def test_a_shard_that_goes_past_the_last_layer_is_read(tmp_path: Path) -> None:
    held: dict[str, Any] = {"step": (0,), "layer": range(7), "token": range(2**18)}  # 4 events of 1 MB in a chunk
    spec = ArraySpec("x", ("step", "layer", "token"), held, ("step", "layer"))
    values = np.random.default_rng(0).standard_normal((7, 2**18)).astype(np.float32)
    store = create_store(tmp_path / "a.zarr")
    writer = store.begin("t0", [spec], [], {})
    for number, event in enumerate(spec.events()):
        writer.write("x", event, values[number])
    writer.finish()
    array = zarr.open_array(store.path / "t0" / "x", mode="r")
    assert (array.shape, array.chunks, array.shards) == ((1, 7, 2**18), (1, 4, 2**18), (1, 8, 2**18))
    for read in READERS:
        assert read(store.path / "t0", "x").tobytes() == values.tobytes()
    assert store["t0"]["x"].values.tobytes() == values.tobytes()
    assert store["t0"]["x"].sel(layer=6).values.tobytes() == values[6].tobytes()


def test_chunks_in_which_nothing_is_held_are_absent(tmp_path: Path) -> None:
    held: dict[str, Any] = {"step": (0,), "layer": (1,), "frame": (2,), "token": range(4), "channel": range(4)}
    spec = ArraySpec("x", DIMS[1:], held, DIMS[1:3])
    other = ArraySpec("y", DIMS[2:4], {"layer": range(3), "frame": range(3)}, ("layer",))
    store = create_store(tmp_path / "a.zarr")
    writer = store.begin("t0", [spec, other], [], {})
    writer.write("x", spec.events()[0], np.ones(spec.event_shape, np.float32))
    writer.fail("stopped")
    shard = (store.path / "t0/x/c/0/0/0/0/0").read_bytes()
    numbers = np.frombuffer(shard[-9 * 16 - 4 : -4], "<u8").reshape(9, 2)
    assert [place for place, (start, _) in enumerate(numbers) if start != 2**64 - 1] == [1 * 3 + 2]
