"""What is selected is read by the model's own labels, when it is asked for; what is not done is never given as data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import dit_lens
from dit_lens_stores import ArraySpec, Coordinate, NotDone, Store, StoreError, TraceWriter, create_store, open_store

DIMS = ("step", "layer", "frame", "token")
LABELS = {"step": (0, 1, 5), "layer": (2, 3, 7), "frame": (0, 1), "token": range(10)}
ENERGY = ArraySpec("energy", DIMS, LABELS, DIMS[:2])
BITS = ArraySpec("bits", DIMS, LABELS | {"layer": (3,), "token": (1, 2, 9)}, DIMS[:2], encoding="bits")


def value(step: int, layer: int) -> npt.NDArray[np.float32]:
    return np.arange(20, dtype=np.float32).reshape(2, 10) + 32 * step + 1024 * layer


def half(store: Store) -> TraceWriter:
    """Step 0 whole, of step 1 layer 3 alone, nothing of step 5; of the bits only step 5."""
    writer = store.begin("t0", [ENERGY, BITS], [Coordinate("sigma", "step", [1.0, 0.5, 0.25])], {"seed": 1})
    for step, layer in ((0, 2), (0, 3), (0, 7), (1, 3)):
        writer.write("energy", {"step": step, "layer": layer}, value(step, layer))
    writer.write("bits", {"step": 5, "layer": 3}, np.full((2, 3), 1.5, np.float32))
    writer.fail("stopped")
    return writer


def test_what_is_done_of_an_incomplete_trace_is_read(store: Store) -> None:
    half(store)
    energy = dit_lens.open(store.path)["t0"]["energy"]
    assert energy.sel(step=1, layer=3).values.tobytes() == value(1, 3).tobytes()
    whole = energy.sel(step=0).values
    assert all(whole[i].tobytes() == value(0, layer).tobytes() for i, layer in enumerate((2, 3, 7)))
    assert energy.sel(step=0, layer=[7, 2], token=slice(3, 5)).shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("selection", "named"),
    [
        ({"step": 1}, "energy[step=1, layer=2], energy[step=1, layer=7],"),
        ({"step": [0, 5], "layer": 3}, "energy[step=5, layer=3],"),
        ({"step": 5, "layer": 2, "frame": 1, "token": 4}, "energy[step=5, layer=2],"),
        ({}, "energy[step=1, layer=2], energy[step=1, layer=7], energy[step=5, layer=2] and 2 more,"),
    ],
)
def test_a_selection_that_touches_what_is_not_done_names_it(
    store: Store, selection: dict[str, Any], named: str
) -> None:
    half(store)
    selected = store["t0"]["energy"].sel(selection)
    with pytest.raises(NotDone) as caught:
        _ = selected.values
    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        f"reading trace 't0' found what is not done in '{store.path}'; got {named} allowed events that were written; "
        f"trace it again, or open it with get('t0', partial=True)"
    )


def test_partial_gives_nan_for_exactly_what_is_not_done(store: Store) -> None:
    half(store)
    trace = store.get("t0", partial=True)
    there = trace["energy"].notnull().all(["frame", "token"])
    assert there.values.tolist() == [[True] * 3, [False, True, False], [False] * 3]
    assert trace["bits"].notnull().sum(["layer", "frame", "token"]).values.tolist() == [0, 0, 6]
    assert trace["bits"].dtype == np.float32


def test_bytes_without_a_mark_are_not_data(store: Store) -> None:
    """A process killed between a shard and its marks leaves values that nobody vouches for."""
    half(store)
    marks = zarr.open_array(store.path / "t0" / "energy_done", mode="r+")
    marks[0, 1] = 0
    trace = store.get("t0", partial=True)
    assert np.isnan(trace["energy"].sel(step=0, layer=3).values).all()
    assert np.isfinite(trace["energy"].sel(step=0, layer=[2, 7]).values).all()
    with pytest.raises(NotDone, match=r"got energy\[step=0, layer=3\], allowed"):
        _ = store["t0"]["energy"].sel(step=0).values


def test_sel_on_a_trace_selects_in_every_array_that_holds_it(full: Store) -> None:
    trace = full["t0"]
    chosen = trace.sel(step=1, layer=3)
    assert set(chosen.data_vars) == {"block.out.raw", "block.out.energy", "latent.energy", "video"}
    assert (int(chosen.step), int(chosen.layer), float(chosen.sigma)) == (1, 3, 0.75)
    assert chosen["block.out.energy"].dims == ("branch", "frame", "token")
    assert set(trace.sel(layer=2).data_vars) == {"block.out.energy", "latent.energy", "video"}
    assert trace.sel(layer=range(1, 3)).layer.values.tolist() == [1, 2]
    assert trace.sel(branch="cond", layer=slice(1, 3)).layer.values.tolist() == [1, 2, 3]
    energy = trace["block.out.energy"].sel(step=1, layer=3)
    assert chosen["block.out.energy"].values.tobytes() == energy.values.tobytes()


def test_sel_names_what_the_trace_does_not_hold(full: Store) -> None:
    cases = {
        "sel of trace 't0' has no such dimension; got 'stp', allowed branch, step, layer, frame, token, channel, "
        "video_frame, video_y, video_x, rgb; did you mean 'step'?": {"stp": 1},
        "sel of trace 't0' has no such layer; got 9, allowed 0, 1, 2, 3; select what the trace holds": {
            "layer": [1, 9]
        },
        "sel of trace 't0' has no such branch; got 'con', allowed cond, uncond; did you mean 'cond'?": {
            "branch": "con"
        },
    }
    for said, selection in cases.items():
        with pytest.raises(StoreError) as caught:
            full["t0"].sel(**selection)
        assert str(caught.value) == said


def test_nothing_is_read_before_it_is_asked_for(full: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from dit_lens_stores.places import LocalPlace

    read: list[str] = []
    fetch = LocalPlace._pread

    def note(self: LocalPlace, key: str, start: int, length: int) -> bytes | None:
        read.append(key)
        return fetch(self, key, start, length)

    monkeypatch.setattr(LocalPlace, "_pread", note)
    array = open_store(full.path)["t0"]["block.out.energy"].sel(step=[0, 2]).transpose("layer", ...)
    _ = repr(array)
    assert not any("block.out.energy/c/" in key for key in read)
    _ = array.sel(branch="cond", step=2).values
    assert {key for key in read if "block.out.energy/c/" in key} == {"t0/block.out.energy/c/0/2/0/0/0"}


def test_an_array_that_is_changed_in_memory_does_not_change_the_store(full: Store) -> None:
    array = full["t0"]["latent.energy"]
    before = array.values.copy()
    array[0, 0] = 5
    assert float(array[0, 0]) == 5
    assert full["t0"]["latent.energy"].values.tobytes() == before.tobytes()


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sharded values whose chunks and shards divide no dimension evenly."""
    dims = ("step", "layer", "frame", "token", "channel")
    labels: dict[str, Any] = {"step": (0, 1), "layer": range(0, 10, 2), "frame": range(3), "token": range(14)}
    spec = ArraySpec("x", dims, labels | {"channel": range(7)}, dims[:2])
    store = create_store(tmp_path_factory.mktemp("wide") / "a.zarr")
    writer = store.begin("t0", [spec], [], {})
    rng = np.random.default_rng(0)
    for event in spec.events():
        writer.write("x", event, rng.standard_normal(spec.event_shape).astype(np.float32))
    writer.finish()
    return store.path


@st.composite
def indexers(draw: st.DrawFn) -> dict[str, Any]:
    sizes = {"step": 2, "layer": 5, "frame": 3, "token": 14, "channel": 7}
    found: dict[str, Any] = {}
    for dim in draw(st.sets(st.sampled_from(sorted(sizes)))):
        size = sizes[dim]
        at = st.integers(-size, size - 1)
        ends = st.none() | st.integers(-size, size + 2)  # before the first, xarray itself goes wrong backwards
        slices = st.builds(slice, ends, ends, st.sampled_from([None, 1, 2, 3, -1, -2]))
        found[dim] = draw(at | st.lists(at, max_size=6) | slices)
    return found


@settings(max_examples=150, deadline=None)
@given(indexers())
def test_any_selection_is_what_zarr_and_numpy_give(wide: Path, selection: dict[str, Any]) -> None:
    whole = xr.DataArray(
        zarr.open_array(wide / "t0" / "x", mode="r")[...], dims=("step", "layer", "frame", "token", "channel")
    )
    expected, found = whole.isel(selection), open_store(wide)["t0"]["x"].isel(selection)
    assert found.shape == expected.shape
    assert found.values.tobytes() == np.ascontiguousarray(expected.values).tobytes()


def test_plain_xarray_and_ours_agree(full: Store) -> None:
    plain = xr.open_zarr(full.path, group="t0", consolidated=False, chunks=None)
    ours = full["t0"].dataset
    for name in ours.data_vars:
        assert ours[name].values.tobytes() == plain[name].values.tobytes()
    assert set(ours.coords) == set(plain.coords)


def test_a_reader_imports_neither_torch_nor_a_client_it_does_not_need(full: Store) -> None:
    import subprocess

    code = (
        "import sys; from dit_lens_stores import open_store; t = open_store(sys.argv[1])['t0']; t.dataset.load(); "
        "print([n for n in ('torch', 'fsspec', 'huggingface_hub', 'obstore', 'dit_lens') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(full.path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['fsspec']")  # zarr or xarray may bring fsspec


def test_done_marks_have_their_labels(store: Store, begin: Callable[..., TraceWriter]) -> None:
    half(store)
    done = store["t0"].done("energy")
    assert int(done.sel(step=1, layer=3)) == 1
    assert done.dims == ("step", "layer")
    assert store["t0"].done("bits").sel(layer=2).values.tolist() == [2, 2, 2]
