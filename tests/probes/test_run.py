import logging

import numpy as np
import pytest
import xarray as xr
from pydantic import BaseModel

from dit_lens import Capture, Selection
from dit_lens.probing import (
    BadParams,
    MissingCapture,
    NothingToAnalyze,
    ProbeFailed,
    analyze,
    captures_for,
    draw_result,
    get_probe,
    make_probe,
    prepare,
)
from dit_lens.probing.fold import Fold
from dit_lens.testing import SMALL, synthetic_store
from dit_lens_probes.energy import Energy
from dit_lens_stores import ArraySpec, UnknownTrace, create_store


class Watcher:
    """A probe that reports what its chunks were."""

    name, version, api_version, summary, access = "watcher", "1", 1, "What was seen.", "step"
    wanted = (Capture("block.out", "energy"),)

    class Params(BaseModel):
        pass

    def __init__(self, params=None):
        self.seen = []

    def captures(self):
        return list(self.wanted)

    def map(self, chunk):
        self.seen.append(chunk)
        return 1

    def combine(self, states):
        return sum(states)

    def finish(self, state):
        return xr.Dataset({"chunks": state})

    def draw(self, result):
        return {}


def variant(**members):
    return type("Variant", (Watcher,), members)


@pytest.mark.parametrize(("access", "chunks"), [("frame", 24), ("step", 8), ("trace", 2)])
def test_access_decides_how_traces_are_cut(energies, access, chunks):
    probe, progress = variant(access=access)(), []
    assert analyze(energies, probe, progress=lambda *at: progress.append(at))["chunks"] == chunks
    size = energies["a"]["block.out.energy"].nbytes * 2
    assert progress == [(size // chunks * done, size) for done in range(1, chunks + 1)]
    sizes = {"step": 4 if access == "trace" else 1, "frame": 1 if access == "frame" else 3}
    assert {dim: probe.seen[-1].sizes[dim] for dim in sizes} == sizes


def test_a_chunk_is_in_memory_and_says_what_it_is(energies):
    probe = Watcher()
    analyze(energies, probe)
    chunk = probe.seen[5]
    assert chunk.attrs["trace_id"] == "b"
    assert chunk.attrs["manifest"]["model"] == "synthetic"
    assert (chunk["step"].item(), chunk["sigma"].item(), chunk["expert"].item()) == (1, 0.93, "transformer")
    assert isinstance(chunk["block.out.energy"].variable._data, np.ndarray)
    assert "video" not in chunk
    expected = energies["b"]["block.out.energy"].sel(step=[1])
    np.testing.assert_array_equal(chunk["block.out.energy"].values, expected.values)


def test_arrays_that_hold_different_labels_meet_in_one_chunk(tmp_path):
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:energy[step=0:2,layer=1]", "latent:raw[step=1:]"], ["a"])
    probe = variant(wanted=(Capture("block.out", "energy"), Capture("latent", "raw")))()
    assert analyze(store, probe)["chunks"] == 4
    assert [sorted(chunk.data_vars) for chunk in probe.seen] == [
        ["block.out.energy"],
        ["block.out.energy", "latent.raw"],
        ["latent.raw"],
        ["latent.raw"],
    ]
    assert probe.seen[1]["layer"].values.tolist() == [1]


def test_a_capture_with_a_selection_gets_what_it_selects(energies):
    probe = variant(wanted=(Capture("block.out", "energy", Selection(step="1:3", layer=-1, branch="uncond")),))()
    analyze(energies, probe, traces=["b"])
    assert [chunk["step"].item() for chunk in probe.seen] == [1, 2]
    assert probe.seen[0]["layer"].values.tolist() == [2]
    assert probe.seen[0]["branch"].values.tolist() == ["uncond"]


def test_a_selected_expert_leaves_its_steps(energies):
    probe = variant(wanted=(Capture("block.out", "energy", Selection(expert="transformer_2")),))()
    analyze(energies, probe, traces=["a"])
    assert [chunk["step"].item() for chunk in probe.seen] == [2, 3]


def test_store_without_the_capture_is_refused_with_the_command(tmp_path):
    store = synthetic_store(tmp_path / "s.zarr", ["latent:raw"])
    with pytest.raises(MissingCapture) as info:
        analyze(store, "energy")
    assert str(info.value) == (
        "trace 'a' does not hold 'block.out.energy', which probe 'energy' needs; got latent.raw, video; "
        "record it into a new store with 'dit-lens trace synthetic --capture block.out:energy --out NEW.zarr'"
    )
    assert info.value.exit_code == 2


@pytest.mark.parametrize(
    ("select", "words"),
    [
        (Selection(layer=0), r"does not hold layer 0 of 'block\.out\.energy'; got layer 1, 2"),
        (Selection(layer=7), "0 to 2"),
    ],
)
def test_store_without_the_labels_is_refused(tmp_path, select, words):
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:energy[layer=1:]"])
    probe = variant(wanted=(Capture("block.out", "energy", select),))()
    with pytest.raises(MissingCapture, match=words):
        analyze(store, probe)
    assert probe.seen == []


def test_trace_without_video_is_refused_only_if_it_is_needed(tmp_path):
    store = synthetic_store(tmp_path / "s.zarr", video=False)
    analyze(store, "energy")
    with pytest.raises(MissingCapture, match="does not hold 'video', which probe 'energy' draws on"):
        analyze(store, "energy", {"overlay": True})


def test_incomplete_traces_are_left_out_and_said(tmp_path, caplog):
    store = synthetic_store(tmp_path / "s.zarr", traces=["a"])
    store.begin("late", [ArraySpec("x", ("step",), {"step": (0,)}, ("step",))], [], {})
    with caplog.at_level(logging.WARNING):
        result = analyze(store, Energy)
    assert (result.attrs["traces"], result.attrs["skipped"]) == (["a"], ["late: running"])
    assert "1 traces are not complete and were left out: late: running" in caplog.text


def test_nothing_to_analyze(tmp_path):
    with pytest.raises(NothingToAnalyze, match="got no trace, allowed complete traces"):
        analyze(create_store(tmp_path / "s.zarr"), Energy)


def test_unknown_trace_is_refused(energies):
    with pytest.raises(UnknownTrace):
        analyze(energies, Energy, traces=["nope"])


def test_result_says_what_it_was_made_from(energies):
    result = analyze(energies, "energy", {"clip_high": 95}, traces=["b"])
    attrs = result.attrs
    assert (attrs["probe"], attrs["probe_version"], attrs["traces"]) == ("energy", "1.0", ["b"])
    assert make_probe("energy", Energy.Params.model_validate_json(attrs["params"]).model_dump()).params.clip_high == 95
    assert attrs["captures"] == ["block.out:energy"]
    assert len(attrs["manifest_sha256"][0]) == 64


def test_the_path_will_do_for_the_store(energies):
    assert analyze(str(energies.path), Energy).identical(analyze(energies, Energy))


def test_prepare_checks_everything_and_computes_nothing(energies, monkeypatch):
    monkeypatch.setattr(Energy, "map", lambda *_: pytest.fail("a chunk was read"))
    assert [cut.trace_id for cut in prepare(energies, "energy").cuts] == ["a", "b"]
    with pytest.raises(UnknownTrace):
        prepare(energies, Energy, traces=["nope"])
    with pytest.raises(MissingCapture, match=r"does not hold 'latent\.raw'"):
        prepare(energies, variant(wanted=(Capture("latent", "raw"),)))


def test_captures_may_be_text(energies):
    assert captures_for(variant(wanted=("latent", "block.out:energy[layer=2]"))) == (
        Capture("latent"),
        Capture("block.out", "energy", Selection(layer=2)),
    )


@pytest.mark.parametrize("members", [{"captures": lambda self: 1 / 0}, {"__init__": lambda *_: 1 / 0}, {"wanted": [7]}])
def test_a_probe_that_cannot_say_what_it_needs_is_named(members):
    with pytest.raises(ProbeFailed, match=r"probe 'watcher' 1 .*(ZeroDivisionError|TypeError)"):
        captures_for(variant(**members))


def fail(*_):
    raise KeyError("lost\nsomething")


@pytest.mark.parametrize("method", ["captures", "map", "combine", "finish"])
def test_a_probe_that_raises_is_named(energies, method):
    with pytest.raises(ProbeFailed, match=r"probe 'watcher' 1 of module .* failed in .*KeyError") as info:
        analyze(energies, variant(**{method: fail}))
    assert "\n" not in str(info.value)
    assert isinstance(info.value.__cause__, KeyError)
    assert info.value.exit_code == 1


def test_the_chunk_that_failed_is_named(energies):
    with pytest.raises(ProbeFailed, match="on trace 'a' step 0; got KeyError"):
        analyze(energies, variant(map=fail))


def test_a_drawing_that_raises_is_named(energies):
    with pytest.raises(ProbeFailed, match="failed in draw; got KeyError"):
        draw_result(variant(draw=fail)(), xr.Dataset())


def test_a_probe_must_finish_with_a_dataset(energies):
    with pytest.raises(ProbeFailed, match=r"failed in finish; got a int, allowed an xarray.Dataset"):
        analyze(energies, variant(finish=lambda self, state: state))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"stepp": 1}, r"knows no parameter 'stepp'; got 'stepp', allowed clip_low, .*; did you mean 'step'\?"),
        (
            {"scale": "loud"},
            "refuses its parameters: scale cannot be used; got 'loud', allowed robust, raw; choose one of those",
        ),
        (
            {"step": "x", "clip_low": 200},
            "clip_low cannot be used; got 200, allowed 0 or more and less than 100; choose one of those; "
            "step cannot be used; got 'x', allowed a whole number; write one",
        ),
        (
            {"clip_low": 60, "clip_high": 40},
            "got clip_low 60, clip_high 40, allowed clip_low below clip_high; change one of them",
        ),
        ({"step": 4}, "finds no step 4; got 4, allowed 0 to 3; choose a step of those"),
        ({"step": -5}, "finds no step -5; got -5, allowed 0 to 3"),
        ({"layer": 3}, "finds no layer 3; got 3, allowed 0 to 2; choose a layer of those"),
        ({"branch": "cnod"}, r"finds no branch 'cnod'; got 'cnod', allowed cond, uncond; did you mean 'cond'\?"),
        ({"trace": "c"}, "finds no trace 'c'; got 'c', allowed a, b; choose a trace of those"),
    ],
)
def test_bad_parameters_are_refused_in_one_line_before_anything_is_read(energies, monkeypatch, params, words):
    monkeypatch.setattr(Energy, "map", lambda *_: pytest.fail("a chunk was read"))
    with pytest.raises(BadParams, match=words) as info:
        analyze(energies, "energy", params)
    assert "\n" not in str(info.value)
    assert "pydantic.dev" not in str(info.value)


def test_parameters_for_a_probe_that_has_its_own_are_refused(energies):
    with pytest.raises(BadParams, match="was given with its parameters already; got step, allowed none"):
        analyze(energies, Energy(), {"step": 1})


def test_text_is_read_as_parameters():
    probe = make_probe(get_probe("energy"), {"step": "2", "overlay": "true", "clip_low": "2.5"})
    assert (probe.params.step, probe.params.overlay, probe.params.clip_low) == (2, True, 2.5)


def test_an_analysis_holds_few_states():
    held, most = 0, 0

    def combine(states):
        nonlocal held
        held -= len(states) - 1
        return sum(states)

    fold = Fold(combine)
    for number in range(1000):
        held += 1
        fold.add(number)
        most = max(most, held)
    assert fold.result() == 499500
    assert most <= 11  # log2(1000) + 1


def test_a_fold_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="a fold of no states has no result"):
        Fold(sum).result()


def test_small_layout_has_two_experts():
    assert len(set(SMALL.experts)) == 2
