"""What is written comes back bit for bit, under its own labels, whatever the selections and the order of the events."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lens_stores import ArraySpec, Coordinate, Store, TraceWriter, create_store, open_store, union_labels

SPECIAL = np.array([0x7F800000, 0xFF800000, 0x80000000, 0x00010000, 0x7F7F0000, 0x3F800000], np.uint32).view(np.float32)


def test_every_array_comes_back_bit_for_bit(full: Store, specs: list[ArraySpec], as_union: Callable[..., Any]) -> None:
    trace, labels = open_store(full.path)["t0"], union_labels(specs)
    for spec in specs:
        got = trace.dataset[spec.name].values
        assert got.dtype == spec.dtype
        assert got.tobytes() == as_union(spec, labels).tobytes()


def test_an_array_carries_its_own_labels_and_nothing_else(full: Store, values_of: Callable[..., Any]) -> None:
    raw = full["t0"]["block.out.raw"]
    assert raw.dims == ("branch", "step", "layer", "frame", "token", "channel")
    assert raw.branch.values.tolist() == ["cond"]
    assert (raw.layer.values.tolist(), raw.frame.values.tolist(), raw.token.values.tolist()) == ([1, 3], [1], [0, 2, 5])
    assert (raw.y.values.tolist(), raw.x.values.tolist()) == ([0, 0, 1], [0, 2, 2])
    assert raw.attrs == {"source_dtype": "bfloat16", "encoding": "exact"}
    assert not np.isnan(raw.values).any()
    spec = ArraySpec(raw.name, raw.dims, {dim: tuple(raw.indexes[dim].tolist()) for dim in raw.dims}, raw.dims[:3])
    for number, event in enumerate(spec.events()):
        assert raw.sel(event).values.tobytes() == values_of(spec, number).tobytes()


def test_cells_outside_a_selection_are_nan_and_marked_so(full: Store) -> None:
    trace = full["t0"]
    marks = trace.done("block.out.raw")
    assert marks.sel(branch="cond", layer=[1, 3]).values.tolist() == [[1, 1]] * 3
    assert (marks.sel(branch="uncond") == 2).all()
    assert (marks.sel(layer=[0, 2]) == 2).all()
    assert np.isnan(trace.dataset["block.out.raw"].sel(layer=[0, 2]).values).all()
    assert not np.isnan(trace.dataset["block.out.energy"].values).any()


def test_coordinates_set_while_running_are_there(full: Store) -> None:
    energy = full["t0"]["block.out.energy"].sel(branch="cond", step=2)
    assert (energy.sigma.item(), energy.timestep.item(), energy.expert.item()) == (0.25, 250, "transformer_2")


def test_special_bfloat16_values_keep_their_bits(store: Store) -> None:
    spec = ArraySpec("x", ("step", "channel"), {"step": (0,), "channel": range(6)}, ("step",))
    writer = store.begin("t0", [spec], [], {})
    writer.write("x", {"step": 0}, SPECIAL)
    writer.finish()
    assert store["t0"]["x"].values.tobytes() == SPECIAL.tobytes()


def test_zeros_are_stored_and_what_is_not_written_is_nan(store: Store) -> None:
    spec = ArraySpec("x", ("step", "channel"), {"step": (0, 1), "channel": range(6)}, ("step",))
    writer = store.begin("t0", [spec], [], {})
    writer.write("x", {"step": 0}, np.zeros(6, np.float32))
    writer.fail("stopped")
    x = store.get("t0", partial=True)["x"].values
    assert (x[0] == 0).all()
    assert np.isnan(x[1]).all()


@pytest.mark.parametrize("dtype", [np.float16, np.int16, np.uint8])
def test_narrower_numbers_widen_exactly(store: Store, dtype: Any) -> None:
    writer = store.begin("t0", [ArraySpec("x", ("step",), {"step": (0,)}, ("step",))], [], {})
    writer.write("x", {"step": 0}, dtype(7))
    writer.finish()
    assert store["t0"]["x"].values.tolist() == [7.0]


def test_reading_is_lazy_and_a_saved_selection_can_be_written_again(full: Store, tmp_path: Path) -> None:
    trace = full["t0"]
    assert not any(variable._in_memory for variable in trace.dataset.data_vars.values())
    trace["block.out.raw"].isel(step=slice(0, 2)).to_dataset().to_zarr(tmp_path / "copy.zarr", consolidated=False)


def _labels(draw: st.DrawFn, limit: int) -> tuple[int, ...]:
    return tuple(sorted(draw(st.sets(st.integers(0, limit), min_size=1, max_size=3))))


@st.composite
def captures(draw: st.DrawFn) -> tuple[list[ArraySpec], list[tuple[int, int]]]:
    """Two or three arrays of one model with selections of their own, and all their events in any order."""
    specs = []
    for number in range(draw(st.integers(2, 3))):
        labels: dict[str, Any] = {dim: _labels(draw, 5) for dim in ("step", "layer", "frame", "token")}
        words = st.sampled_from([("cond",), ("uncond",), ("cond", "uncond"), ("uncond", "cond")])
        labels = {"branch": draw(words)} | labels | ({"channel": (0, 1)} if draw(st.booleans()) else {})
        events = draw(st.integers(0, 3))
        specs.append(ArraySpec(f"site.{number}", tuple(labels), labels, tuple(labels)[:events]))
        if events == 0:  # the words of a dimension inside the values must keep one order in all arrays
            specs[-1] = ArraySpec(f"site.{number}", tuple(labels)[1:], {d: labels[d] for d in tuple(labels)[1:]})
    order = [(array, event) for array, spec in enumerate(specs) for event in range(len(spec.events()))]
    return specs, draw(st.permutations(order))


@settings(max_examples=25, deadline=None)
@given(drawn=captures(), cut=st.integers(0, 100))
def test_any_selections_in_any_order_read_back(
    drawn: tuple[list[ArraySpec], list[tuple[int, int]]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    specs, order = drawn
    store = create_store(tmp_path_factory.mktemp("any") / "a.zarr")
    writer = store.begin("t0", specs, [], {})
    kept = order[: max(1, len(order) * cut // 100)]
    data = {(a, e): _noise(specs[a], e) for a, e in kept}
    for a, e in kept:
        writer.write(specs[a].name, specs[a].events()[e], data[a, e])
    _end(writer, whole=len(kept) == len(order))
    trace = open_store(store.path).get("t0", partial=True)
    for a, spec in enumerate(specs):
        read = trace[spec.name]
        assert {dim: set(read[dim].values.tolist()) for dim in read.dims} == {d: set(v) for d, v in spec.labels.items()}
        for e, event in enumerate(spec.events()):
            there = (a, e) in data
            assert (
                np.array_equal(read.sel(event).values, data[a, e]) if there else np.isnan(read.sel(event).values).all()
            )
            assert ((spec.name, event) in trace.missing()) == (not there)


def _noise(spec: ArraySpec, event: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(event).standard_normal(spec.event_shape).astype(np.float32)


def _end(writer: TraceWriter, whole: bool) -> None:
    writer.finish() if whole else writer.fail("stopped")


def _record_files(monkeypatch: pytest.MonkeyPatch, root: Path) -> list[str]:
    files: list[str] = []
    replace = Path.replace

    def record(self: Path, target: Path) -> Path:
        files.append(str(target.relative_to(root)))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", record)
    return files


def test_the_layers_of_a_step_are_one_file_written_once_and_only_captured_chunks_are_in_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, values_of: Callable[..., Any]
) -> None:
    dims = ("branch", "step", "layer", "frame", "token", "channel")
    labels = {"branch": ("cond", "uncond"), "step": (0, 1), "layer": range(4), "frame": range(8), "token": range(64)}
    whole = ArraySpec("e", dims[:5], labels, dims[:3])
    raw = ArraySpec("r", dims, labels | {"frame": (3,), "channel": range(32)}, dims[:3])
    writer = store.begin("t0", [whole, raw], [], {})
    files = _record_files(monkeypatch, store.path)
    for step in (0, 1):
        for layer in range(4):
            for branch in ("cond", "uncond"):  # batched guidance: two shards grow at a time
                event = {"branch": branch, "step": step, "layer": layer}
                writer.write("r", event, values_of(raw, layer))
    writer.drain()
    shards = [file for file in files if file.startswith("t0/r/c/")]
    assert len(shards) == len(set(shards)) == 4
    assert (store.path / shards[0]).stat().st_size < 2 * 4 * 64 * 32 * 4  # 4 events of one frame, not of eight
    array = zarr.open_array(store.path, path="t0/r", mode="r")
    assert (array.chunks, array.shards) == ((1, 1, 1, 1, 64, 32), (1, 1, 4, 8, 64, 32))


def test_a_shard_that_was_put_in_place_early_keeps_its_events(store: Store) -> None:
    spec = ArraySpec("x", ("step", "layer"), {"step": (0, 1), "layer": (0, 1, 2)}, ("step", "layer"))
    writer = store.begin("t0", [spec], [], {})
    order = [(0, 1), (1, 0), (0, 0), (0, 2), (1, 1), (1, 2)]  # step 1 begins: step 0 is put in place with one layer
    for number, (step, layer) in enumerate(order):
        writer.write("x", {"step": step, "layer": layer}, np.float32(number))
    writer.finish()
    assert store["t0"]["x"].values.tolist() == [[2, 0, 3], [1, 4, 5]]


def test_memory_is_bounded_by_two_shards_and_does_not_grow_with_steps(store: Store) -> None:
    shard_bytes = 3 * 4 * 64 * 256 * 4
    for steps in (2, 32):  # one shard grows, one is being written, and there is one coded chunk
        assert _peak_while_tracing(store, steps) < 3 * shard_bytes


def _peak_while_tracing(store: Store, steps: int) -> int:
    dims = ("step", "layer", "frame", "token", "channel")
    labels = {"step": range(steps), "layer": range(3), "frame": range(4), "token": range(64), "channel": range(256)}
    spec = ArraySpec("r", dims, labels, dims[:2])
    writer = store.begin(f"t{steps}", [spec], [], {}, queue_bytes=0)
    values = np.random.default_rng(0).standard_normal(spec.event_shape).astype(np.float32)
    tracemalloc.start()
    for event in spec.events():
        writer.write("r", event, values)
        assert writer.buffered <= 2 * 3 * math.prod(spec.event_shape) * 4  # one shard grows, one is being written
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    writer.finish()
    return peak


def test_a_run_again_ends_with_the_same_bytes(
    store: Store, begin: Callable[..., TraceWriter], specs: list[ArraySpec], fill: Callable[..., None]
) -> None:
    fill(begin("again"), specs, 2)  # left as a killed process leaves it
    for trace_id in ("again", "once"):
        writer = begin(trace_id)
        fill(writer, specs)
        writer.finish()
    once, again = (_values_on_disk(store.path / trace_id) for trace_id in ("once", "again"))
    assert once == again


def _values_on_disk(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file() and file.parent != folder]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_a_coordinate_given_as_a_list_is_over_the_union(store: Store) -> None:
    specs = [ArraySpec(name, ("step",), {"step": labels}, ("step",)) for name, labels in (("a", (0, 4)), ("b", (2, 4)))]
    store.begin("t0", specs, [Coordinate("sigma", "step", [0.9, 0.5, 0.1])], {}).fail("stopped")
    trace = store.get("t0", partial=True)
    assert trace["b"].sigma.values.tolist() == [0.5, 0.1]
