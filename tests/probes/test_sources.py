"""Several stores in one analysis: what their traces are called, and that the answer is that of each store."""

from __future__ import annotations

import numpy as np
import pytest

from dit_lens.probing import NothingToAnalyze, SameStore, analyze, prepare
from dit_lens.testing import synthetic_store
from dit_lens_stores import UnknownTrace, open_store


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two stores that share the trace ``a``, which holds other values in the second."""
    folder = tmp_path_factory.mktemp("two")
    clean = synthetic_store(folder / "clean.zarr", traces=["a", "b"], video=False)
    noised = synthetic_store(folder / "noised.zarr", ["block.out:energy[layer=1:]"], ["a", "c"], video=False)
    return clean, noised


def test_an_id_that_both_hold_gets_the_name_of_its_store(two):
    result = analyze(two, "energy")
    assert result.attrs["traces"] == ["clean/a", "b", "noised/a", "c"]
    for trace, store in (("clean/a", two[0]), ("b", two[0]), ("noised/a", two[1]), ("c", two[1])):
        own = analyze(store, "energy", traces=[trace.rpartition("/")[2]])
        found = result["energy"].sel(trace=trace, layer=own["layer"])
        np.testing.assert_array_equal(found.values, own["energy"].values[0])
    assert np.isnan(result["energy"].sel(trace="noised/a", layer=0)).all()


def test_a_name_does_not_depend_on_the_order_of_the_stores(two):
    assert sorted(analyze(two[::-1], "energy").attrs["traces"]) == sorted(analyze(two, "energy").attrs["traces"])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["noised/a"], ["noised/a"]),
        (["a"], ["clean/a", "noised/a"]),
        (["c", "clean/a", "c"], ["c", "clean/a"]),
    ],
)
def test_traces_are_chosen_by_name_or_by_id(two, wanted, found):
    assert [cut.trace_id for cut in prepare(two, "energy", traces=wanted).cuts] == found


def test_stores_of_one_name_are_told_apart_by_their_folders(tmp_path):
    paths = [tmp_path / "x" / "run.zarr", tmp_path / "y" / "run.zarr", tmp_path / "y" / "other.zarr"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        synthetic_store(path, traces=["a"], video=False)
    assert [cut.trace_id for cut in prepare(paths, "energy").cuts] == ["x/run/a", "y/run/a", "y/other/a"]
    assert [cut.trace_id for cut in prepare(paths[1:], "energy").cuts] == ["run/a", "other/a"]


def test_a_store_is_opened_by_its_path_from_any_folder(two, tmp_path, monkeypatch):
    monkeypatch.chdir(two[0].path.parent)
    analysis = prepare(["clean.zarr", "noised.zarr"], "energy")
    monkeypatch.chdir(tmp_path)
    assert analysis.origins[0].open().id == "a"


@pytest.mark.parametrize(
    ("choose", "error", "words"),
    [
        (lambda two: [], NothingToAnalyze, "got no store, allowed one or more; name a store"),
        (
            lambda two: [two[0], str(two[0].path)],
            SameStore,
            "a store was given twice; got '.*clean.zarr', allowed each",
        ),
    ],
)
def test_stores_that_do_not_go_together_are_refused(two, choose, error, words):
    with pytest.raises(error, match=words) as info:
        analyze(choose(two), "energy")
    assert info.value.exit_code == 2


def test_an_unknown_trace_is_refused_with_those_that_are_there(two):
    with pytest.raises(UnknownTrace) as info:
        analyze(two, "energy", traces=["clean/d"])
    assert str(info.value) == (
        "no store holds a trace of that name; got 'clean/d', allowed clean/a, b, noised/a, c; did you mean 'clean/a'?"
    )


def test_a_store_of_nothing_beside_others_is_no_error(two, tmp_path):
    from dit_lens_stores import create_store

    empty = create_store(tmp_path / "empty.zarr")
    assert analyze([*two, empty], "energy").sizes["trace"] == 4
    with pytest.raises(NothingToAnalyze, match="the stores have nothing to analyze; got no trace"):
        analyze([empty, create_store(tmp_path / "nothing.zarr")], "energy")


def test_stores_may_be_given_open(two):
    assert analyze([open_store(two[0].path), two[1].path], "energy").identical(analyze(two, "energy"))
