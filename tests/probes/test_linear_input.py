"""What the linear probe refuses, in one line that says why; and what it leaves out, with its reason in the result."""

import numpy as np
import pytest
from PIL import Image

from dit_lens.facts import image_sha256
from dit_lens.probing import BadParams, MissingCapture, analyze, prepare
from dit_lens.puzzles import named_puzzle, recognise, unseen
from dit_lens.testing import check_probe, synthetic_store
from dit_lens_probes.alike import UnlikeTraces
from dit_lens_probes.linear import Linear
from dit_lens_probes.linear.facts import fact_of
from dit_lens_probes.linear.labels import Frames, source_of
from dit_lens_probes.masks import as_answered, token_shares

NAMES = tuple("abcdef")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return synthetic_store(tmp_path_factory.mktemp("s") / "s.zarr", ["block.out:raw"], NAMES)


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "labels.csv"
        path.write_text(text)
        return str(path)

    return write


def csv_of(labels, head="trace,label"):
    return "\n".join([head, *(",".join(map(str, row)) for row in labels)]) + "\n"


HALVES = csv_of(zip(NAMES, "xyxyxy", strict=True))


@pytest.mark.parametrize("params", [{}, {"rows": "token", "tokens": 7, "project": 3}])
def test_it_conforms(tmp_path, params):
    path = tmp_path / "l.csv"
    rows = [(trace, frame, "xyz"[(at + frame) % 3]) for at, trace in enumerate("abc") for frame in range(3)]
    path.write_text(csv_of(rows, "trace,frame,label"))
    given = {"csv": str(path), "folds": 3, "controls": 1, "alphas": [0.1, 1.0], **params}
    given["capture"] = "block.out:raw[branch=cond,step=0:2,layer=1:3]"
    assert check_probe(Linear, given)[-1] == "draw"


# Refused before anything is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"split": "token"},
            "split=token is refused, because tokens of one video are alike: .* leave linear.split out",
        ),
        ({"label": "mask:path", "rows": "trace"}, "a row cannot have several labels; .* allowed token or finer"),
        ({"capture": "block.out:energy"}, "holds no vector for a layer; got 'block.out:energy'"),
        ({"capture": "latent:raw"}, "holds no vector for a layer"),
        ({"capture": "block.out:mean:token", "rows": "token"}, "a row for each token needs a capture with it"),
        ({"capture": "block.out:mean", "label": "mask:path"}, "needs a capture with it; .* without frame"),
        ({"kind": "number", "model": "logistic"}, "logistic regression tells classes"),
        ({"csv": "no-such.csv"}, r"linear.csv cannot be read; got 'no-such.csv' \(no such file\)"),
        ({"folds": 2}, "folds cannot be used; got 2"),
        ({"alphas": [0.0]}, "alphas"),
        ({"controls": 0}, "controls cannot be used; got 0"),
    ],
)
def test_parameters_are_refused(store, params, words):
    with pytest.raises(BadParams, match=words):
        prepare(store, Linear, params)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (csv_of([("a", 1), ("b", 2)]), "no label of 4 of 6 traces; got none for 'c'"),
        (csv_of([("a", 1)], "trace,labels"), "no column 'label'; .* did you mean 'labels'"),
        (csv_of([("a", 0, 1)], "trace,token,label"), "has tokens but no frames"),
        (csv_of([("a", "x", 1)], "trace,frame,label"), "line 2 of 'labels.csv' has no frame; got 'x'"),
        (csv_of([("a", 1), ("a", 2)]), "labels the same twice; got line 3"),
    ],
)
def test_tables_are_refused(store, table, text, words):
    with pytest.raises(BadParams, match=words):
        prepare(store, Linear, {"csv": table(text), "label": "label"})


def test_a_table_that_is_no_text_is_refused(store, tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(BadParams, match="no table in UTF-8"):
        prepare(store, Linear, {"csv": str(path), "label": "label"})


def test_traces_of_no_puzzle_have_no_labels_of_one(store):
    with pytest.raises(BadParams, match="trace 'a' is not of a shipped puzzle, so it has no label 'answer'"):
        prepare(store, Linear, {})


def test_fewer_traces_than_folds_are_refused(store, table):
    with pytest.raises(BadParams, match="needs a video for each fold; got 6 traces, allowed 7 or more"):
        prepare(store, Linear, {"csv": table(HALVES), "label": "label", "folds": 7})


def test_too_much_memory_is_refused_before_and_while_reading(store, table):
    params = {"csv": table(HALVES), "label": "label", "rows": "token", "memory": 1e-5}
    with pytest.raises(
        BadParams, match=r"more memory than linear.memory; got .* GB, allowed 1e-05 GB; take fewer cells"
    ):
        analyze(store, Linear, params)
    probe = Linear(Linear.Params(**params))
    states = [state for state, _ in zip(_states(probe, store), range(6), strict=False)]
    with pytest.raises(BadParams, match=r"more memory than linear\.memory"):
        probe.combine(states)


def _states(probe, store):
    from dit_lens.probing.chunks import cut_trace

    for trace in store.traces:
        cut = cut_trace(trace, store[trace], probe)
        yield from (probe.map(cut.chunk(place)) for place in cut.places)


# Refused once labels or manifests are known -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "params", "words"),
    [
        ("xxxxxx", {}, "all labels are the same; got 'x'"),
        ("xxxxxy", {}, "class 'y' is of one video, which cannot be learned and tested"),
        ("xyxyxy", {"kind": "number"}, "linear.kind=number needs numbers; got 'x' of trace 'a'"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(store, table, labels, params, words):
    with pytest.raises(BadParams, match=words):
        analyze(store, Linear, {"csv": table(csv_of(zip(NAMES, labels, strict=True))), "label": "label", **params})


def test_traces_of_one_picture_are_too_few_videos(tmp_path, monkeypatch, table):
    from dit_lens.testing import synthetic

    real = synthetic._manifest
    monkeypatch.setattr(synthetic, "_manifest", lambda *given: {**real(*given), "prompt": "one"})
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:raw"], NAMES, video=False)
    with pytest.raises(BadParams, match="got 1 videos with labels, allowed 5 or more; trace more"):
        analyze(store, Linear, {"csv": table(HALVES), "label": "label"})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": {"id": "other"}}, "agree in model; got .* allowed one of them; choose traces with --trace"),
        ({"weights_sha256": {"transformer": "1"}}, "agree in weights_sha256"),
        ({"tokens": [3, 2, 10]}, "agree in tokens"),
        ({"sigmas": [1.0, 0.5]}, "agree in sigmas"),
    ],
)
def test_unlike_traces_are_refused(tmp_path, monkeypatch, table, changed, words):
    from dit_lens.testing import synthetic

    real = synthetic._manifest
    path = tmp_path / "s.zarr"
    synthetic_store(path, ["block.out:raw[step=0]"], NAMES[:5], video=False)
    monkeypatch.setattr(synthetic, "_manifest", lambda *given: {**real(*given), **changed})
    store = synthetic_store(path, ["block.out:raw[step=0]"], NAMES[5:], video=False)
    for probe, params in ((Linear, {"csv": table(HALVES), "label": "label"}), ("pca", {})):
        with pytest.raises(UnlikeTraces, match=words):
            analyze(store, probe, params)


def test_other_selections_are_refused(tmp_path, table):
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:raw[layer=0:2]"], NAMES[:5], video=False)
    synthetic_store(store.path, ["block.out:raw[layer=1:3]"], NAMES[5:], video=False)
    with pytest.raises(UnlikeTraces, match="agree in layer"):
        analyze(store, Linear, {"csv": table(HALVES), "label": "label"})
    steps = synthetic_store(tmp_path / "t.zarr", ["block.out:raw[step=0:2]"], NAMES[:5], video=False)
    synthetic_store(steps.path, ["block.out:raw[step=1]"], NAMES[5:], video=False)
    with pytest.raises(BadParams, match="hold the same steps; got 1 of 2 in 'f'"):
        analyze(steps, Linear, {"csv": table(HALVES), "label": "label"})


# NaN with a reason -----------------------------------------------------------------------------------------------


def test_a_cell_that_cannot_be_scored_is_nan_with_its_reason(store, table):
    probe = Linear(Linear.Params(csv=table(HALVES), label="label", controls=1, folds=3))
    states = list(_states(probe, store))
    for state in states:
        for cells in state.cells.values():
            cells.values[0, 0] = 3.0  # the same everywhere
            cells.values[1, 2] = np.nan
    result = probe.finish(probe.combine(states))
    assert (result["reason"].sel(branch="cond", layer=0) == "the representation is the same in all rows").all()
    assert (result["reason"].sel(branch="uncond", layer=2) == "values are not finite").all()
    empty = result["reason"] != ""
    for name in ("score", "score_low", "control", "selectivity"):
        assert result[name].isnull().equals(empty), name
    assert np.isfinite(result["control_highest"]).all()
    assert sorted(probe.draw(result)) == ["map", "steps"]


def test_a_trace_with_an_empty_label_is_left_out_and_named(store, table):
    text = csv_of(zip(NAMES, ["x", "y", "x", "y", "x", ""], strict=True))
    probe = Linear(Linear.Params(csv=table(text + "g,z\n"), label="label", controls=1, folds=3))
    states = list(_states(probe, store))
    result = probe.finish(probe.combine(states))
    assert result.attrs["traces_without_label"] == ["f"]
    assert result.attrs["videos"] == 5
    assert result["by_video"].sel(video="f").isnull().all()


# Puzzles ---------------------------------------------------------------------------------------------------------


def manifest_of(puzzle, **changed):
    picture = Image.fromarray(puzzle.first_frame())
    return {"prompt": puzzle.prompt, "image_sha256": image_sha256(picture), "tokens": [5, 8, 8], **changed}


@pytest.mark.parametrize("name", ["maze-5x5-3-seed-0", "fork-cue-5x5-1-seed-12", "grounding-4-seed-0.edited-1a2b"])
def test_a_puzzle_is_recognised_by_what_it_showed(name):
    puzzle = named_puzzle(name)
    assert recognise(name, manifest_of(puzzle)) == puzzle
    assert recognise(name, manifest_of(puzzle, prompt="Draw a dog.")) is None
    assert recognise(name, manifest_of(puzzle, image_sha256="0" * 64)) is None


@pytest.mark.parametrize("name", ["maze-5x5-3", "maze-5x4-3-seed-0", "mazes-3-seed-0", "maze-99x99-3-seed-0", "a"])
def test_what_is_named_after_no_puzzle_is_none(name):
    assert named_puzzle(name) is None
    assert recognise(name, {}) is None


@pytest.mark.parametrize("task", ["maze", "fork", "grounding", "occlusion"])
def test_every_kind_of_puzzle_says_what_it_can_be_labelled_by(task):
    puzzle = unseen(task, 0)
    with pytest.raises(BadParams, match=f"a {puzzle.label} has no label 'nonsense'; .* allowed .*solved, mask:NAME"):
        fact_of(puzzle, "nonsense")
    assert fact_of(puzzle, "solved", puzzle.clip()) is True


def test_a_fork_is_labelled_by_the_route_that_its_video_took():
    fork = unseen("fork", 2)
    other = as_answered(fork, fork.__class__(**{**vars(fork), "drawn": 1 - fork.drawn}).clip())
    assert other.drawn == 1 - fork.drawn
    for puzzle in (fork, other):
        assert fact_of(fork, "given", puzzle.clip()) == f"route-{puzzle.drawn}"
        assert fact_of(fork, "given_move", puzzle.clip()) == fork.moves[puzzle.drawn]
    assert fact_of(fork, "given", np.repeat(fork.clip()[:1], 17, axis=0)) is None


def test_labels_of_tokens_are_the_cells_of_the_route():
    import xarray as xr

    maze = unseen("maze", 0, size=5)
    video = xr.DataArray(maze.clip(), dims=("video_frame", "video_y", "video_x", "rgb"))
    chunk = xr.Dataset({"video": video}).assign_attrs(trace_id="maze-5x5-0-seed-0", manifest=manifest_of(maze))
    places = tuple((y, x) for y in range(8) for x in range(8))
    labels = source_of(Linear.Params(label="mask:path")).of(chunk, Frames((0, 4), tuple(range(64)), places))
    route = set(maze.route[1:-1])
    marked = {place for place, label in zip(places, labels[:64], strict=True) if label}
    assert route <= marked <= set(maze.route)
    assert labels[:64].tolist() == labels[64:].tolist()


def test_a_trace_that_only_bears_the_name_of_a_puzzle_is_refused(tmp_path):
    names = [f"maze-5x5-{number}-seed-0" for number in range(5)]
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:raw"], names)
    with pytest.raises(
        BadParams, match=r"not of a shipped puzzle, .* another first frame or prompt than its name says"
    ):
        analyze(store, Linear, {"label": "size"})
    with pytest.raises(BadParams, match="a maze-5x5 has no label 'colour'"):
        prepare(store, Linear, {"label": "colour"})
    with pytest.raises(BadParams, match=r"linear.label names a mask that maze-5x5 does not have; got 'mark'"):
        prepare(store, Linear, {"label": "mask:mark"})


def test_labels_of_the_video_need_the_video(tmp_path):
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:raw"], ["maze-5x5-0-seed-0"], video=False)
    with pytest.raises(MissingCapture, match="does not hold 'video'"):
        prepare(store, Linear, {"label": "given"})


def test_a_mask_that_does_not_fit_the_tokens_is_refused():
    with pytest.raises(BadParams, match="17 frames of 64 x 64 pixels does not fit the tokens; got 5 frames of 7 x 8"):
        token_shares(np.zeros((17, 64, 64), dtype=bool), (5, 7, 8))


def test_another_branch_than_there_is_cannot_be_drawn(store, table):
    params = {"csv": table(HALVES), "label": "label", "controls": 1, "folds": 3, "alphas": [1.0], "branch": "cnod"}
    probe = Linear(Linear.Params(**params))
    result = probe.finish(probe.combine(list(_states(probe, store))))
    with pytest.raises(BadParams, match=r"finds no branch 'cnod'; .* did you mean 'cond'"):
        probe.draw(result)
