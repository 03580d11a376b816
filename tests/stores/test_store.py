"""A store is a mapping of traces with an index, and says what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from dit_lens_stores import ArraySpec, Store, TraceWriter, create_store, open_store


@pytest.fixture
def two(full: Store, begin: Callable[..., TraceWriter]) -> Store:
    """One complete trace and one that runs."""
    begin("t1").update_manifest({"seed": 4})
    return full


def test_a_store_is_a_mapping_of_traces(two: Store) -> None:
    store = open_store(str(two.path))
    assert store.traces == tuple(store) == ("t0", "t1")
    assert (len(store), "t0" in store, "t9" in store) == (2, True, False)
    assert (store.status("t0"), store.status("t1")) == ("complete", "running")


def test_the_index_is_one_small_file(two: Store) -> None:
    attributes = json.loads((two.path / "zarr.json").read_text())["attributes"]
    assert attributes["dit_lens_format"] == "1.0"
    assert set(attributes["software"]) == {"python", "dit-lens", "zarr", "xarray", "numpy"}
    entry = two.index["t0"]
    assert (entry["status"], entry["model"], entry["seed"]) == ("complete", "tiny", 3)
    assert entry["arrays"] == ["block.out.raw", "block.out.energy", "latent.energy", "video"]
    assert not any("consolidated_metadata" in file.read_text() for file in two.path.rglob("zarr.json"))


def test_two_writers_of_one_store_keep_each_others_entries(two: Store, specs: list[ArraySpec]) -> None:
    second = create_store(two.path).begin("t2", specs, [], {})
    two.begin("t3", specs, [], {}).fail("stopped")
    second.fail("stopped")
    assert [two.index[trace_id]["status"] for trace_id in two] == ["complete", "running", "failed", "failed"]


def test_a_trace_knows_its_manifest_and_arrays(two: Store) -> None:
    trace = two["t0"]
    assert trace.manifest == {"model": "tiny", "seed": 3, "size": [64, 64]}
    assert two.get("t1", partial=True).manifest["seed"] == 3  # what is noted while it runs is there when it ends
    assert tuple(trace) == trace.arrays == ("block.out.raw", "block.out.energy", "latent.energy", "video")
    assert (len(trace), "video" in trace, trace.reason, trace.missing()) == (4, True, None, [])
    assert trace.dataset.attrs == {"trace_id": "t0", "status": "complete"}


def test_reprs_say_what_there_is(two: Store, begin: Callable[..., TraceWriter]) -> None:
    assert repr(two).splitlines() == [
        f"<dit-lens store '{two.path}': 2 traces>",
        "  t0                       complete",
        "  t1                       running",
    ]
    shown = repr(two["t0"]).splitlines()
    assert shown[0] == "<dit-lens trace 't0': complete>"
    assert shown[4] == "  latent.energy            (step 3, frame 2)"
    assert repr(begin("t5")) == "<TraceWriter 't5': running, 34 events missing>"
