"""Panels follow from dimensions: of shipped probes, and of results that nobody has seen before."""

from __future__ import annotations

import io

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from dit_lens.probing import load_result
from dit_lens.report import make_report
from dit_lens.report.apart import tell_apart

STEPS = {
    "step": [0, 1, 2, 3],
    "sigma": ("step", [1.0, 0.9, 0.5, 0.1]),
    "expert": ("step", ["transformer", "transformer", "transformer_2", "transformer_2"]),
}
RNG = np.random.default_rng(1)


def report_of(variables, coords=STEPS, **attrs):
    """A report of one result that was never saved."""
    return make_report([xr.Dataset(variables, coords=coords, attrs={"probe": "mine", "traces": ["a"], **attrs})])


def test_every_value_of_every_map_is_that_of_the_result(folder, read_array):
    report, result = make_report([folder / "energy.zarr"]), load_result(folder / "energy.zarr")
    maps = report.payload["maps"]
    assert {(one["name"], one["trace"]) for one in maps} == {(n, t) for n in ("energy", "robust") for t in "ab"}
    for one in maps:
        exact = result[one["name"]].sel(trace=one["trace"]).transpose("branch", "step", "layer", "frame", "y", "x")
        back, error = read_array(one["data"], report.blobs), one["data"]["error"]
        assert np.array_equal(np.isnan(back), np.isnan(exact))
        assert float(np.nanmax(np.abs(back - exact))) == pytest.approx(error, rel=1e-9)
        assert [axis["values"] for axis in one["axes"]] == [exact[axis["dim"]].values.tolist() for axis in one["axes"]]
        assert all(axis["kept"] == axis["of"] == len(axis["values"]) for axis in one["axes"])
    assert len({tuple(one["range"]) for one in maps if one["name"] == "energy"}) == 1
    assert any("largest error, as measured" in note for note in report.payload["notes"])


def test_matrices_are_those_of_the_result(folder, read_array):
    report, result = make_report([folder / "energy.zarr"]), load_result(folder / "energy.zarr")
    (mean,) = [one for one in report.payload["matrices"] if (one["name"], one["trace"]) == ("mean", "b")]
    exact = result["mean"].sel(trace="b").transpose("branch", "step", "layer").values
    back = read_array(mean["data"], report.blobs)
    assert np.abs(back - exact).max() == pytest.approx(mean["data"]["error"])
    assert mean["pages"] == {"dim": "branch", "values": ["cond", "uncond"]}
    assert mean["page_sets"] == {"branch": ["cond", "uncond"]}
    assert (mean["row_sets"], mean["column_sets"]) == ({"step": [0, 1, 2, 3]}, {"layer": [0, 1, 2]})
    assert mean["rows"]["experts"] == result["expert"].values.tolist()
    assert mean["rows"]["sigmas"] == pytest.approx(result["sigma"].values)


def test_maps_lack_no_dimension_and_tokens_find_their_places(read_array):
    values = RNG.normal(size=(4, 3)).astype(np.float32)
    tokens = {"y": ("token", [0, 0, 1]), "x": ("token", [2, 5, 2])}
    report = report_of({"here": (("step", "token"), values)}, {**STEPS, **tokens})
    (one,) = report.payload["maps"]
    assert [axis["values"] for axis in one["axes"]] == [[None], [0, 1, 2, 3], [None], [None], [0, 1], [2, 5]]
    back = read_array(one["data"], report.blobs)[0, :, 0, 0]
    assert back[:, 0, 0] == pytest.approx(values[:, 0], abs=one["data"]["error"])
    assert back[:, 1, 0] == pytest.approx(values[:, 2], abs=one["data"]["error"])
    assert np.isnan(back[:, 1, 1]).all()


def test_further_dimensions_make_maps_of_their_own():
    report = report_of({"map": (("step", "y", "x", "colour"), RNG.normal(size=(4, 2, 2, 3)))})
    assert [one["name"] for one in report.payload["maps"]] == [f"map, colour {at}" for at in range(3)]


def test_the_few_values_that_differ_keep_their_colour():
    values = np.zeros((1, 10, 100))
    values[0, 3, 7] = 1.0
    report = report_of({"dominance": (("step", "y", "x"), values)}, {"step": [0]})
    assert report.payload["maps"][0]["range"] == [0.0, 1.0]
    assert not any("colours run from" in note for note in report.payload["notes"])


def test_two_results_of_one_probe_are_told_apart(read_array):
    dims, attrs = ("step", "y", "x"), {"probe": "energy", "traces": ["a", "b"]}
    values = RNG.normal(size=(2, 2, 4, 2, 2))
    both = [
        xr.Dataset({"energy": (("trace", *dims), own)}, {"trace": ["a", "b"], "step": range(4)}, attrs)
        for own in values
    ]
    report = make_report(both)
    maps = report.payload["maps"]
    assert [(one["id"], one["trace"]) for one in maps] == [
        (f"energy ({number})/energy", trace) for number in (1, 2) for trace in "ab"
    ]
    assert [one["title"] for one in maps] == [f"energy, energy ({number})" for number in (1, 1, 2, 2)]
    for one, exact in zip(maps, values.reshape(4, 4, 2, 2), strict=True):
        back = read_array(one["data"], report.blobs)[0, :, 0, 0]
        assert back == pytest.approx(exact, abs=2 * one["data"]["error"])


def test_what_is_equal_after_all_has_an_address_of_its_own():
    one = {"trace": "a", "result": "r", "name": "n", "title": "t"}
    told = tell_apart([one, one, one | {"name": "m"}, one | {"trace": "b"}])
    assert [(own["id"], own["title"]) for own in told] == [
        ("r/n", "t, n, r/n"),
        ("r/n (2)", "t, n, r/n (2)"),
        ("r/m", "t, m"),
        ("r/n", "t, n, r/n"),
    ]


def test_a_map_over_all_traces_has_a_stage_of_its_own():
    data = {"mean": (("step", "y", "x"), RNG.normal(size=(4, 2, 2)))}
    report = report_of(data, traces=["a", "b"])
    assert [run["trace"] for run in report.payload["runs"]] == ["a", "b", "all traces"]
    assert report.payload["maps"][0]["trace"] == "all traces"


def test_a_comparison_of_all_with_all_is_cut_twice(read_array):
    values = RNG.normal(size=(4, 3, 4, 3))
    coords = {**STEPS, "layer": [0, 5, 9], "step_b": STEPS["step"], "layer_b": [0, 5, 9]}
    coords["expert_b"] = ("step_b", STEPS["expert"][1])
    report = report_of({"similarity": (("step", "layer", "step_b", "layer_b"), values)}, coords)
    layers, steps = report.payload["matrices"]
    assert read_array(layers["data"], report.blobs)[2] == pytest.approx(values[2, :, 2, :], abs=1e-3)
    assert read_array(steps["data"], report.blobs)[1] == pytest.approx(values[:, 1, :, 1], abs=1e-3)
    assert (layers["page_sets"], layers["row_sets"]) == ({"step": [0, 1, 2, 3]}, {"layer": [0, 5, 9]})
    assert (steps["columns"]["dim"], steps["columns"]["experts"]) == ("step_b", STEPS["expert"][1])


def test_of_two_cuts_the_one_that_is_not_drawn_is_named():
    """300 steps are too many to choose from, 2 layers are not."""
    axes = {dim: range(size) for dim, size in (("step", 300), ("layer", 2), ("step_b", 300), ("layer_b", 2))}
    report = report_of({"cka": (tuple(axes), RNG.random((300, 2, 300, 2)))}, axes)
    assert [matrix["title"] for matrix in report.payload["matrices"]] == ["cka: step by step at each layer"]
    (note,) = [note for note in report.payload["notes"] if "not drawn" in note]
    assert note == "mine: not drawn: cka layer by layer at each step (300 step are more than 256 pages)."


def test_what_is_done_and_what_is_observed_face_each_other():
    values = RNG.normal(size=(4, 4, 2, 3))
    coords = {**STEPS, "observed": STEPS["step"], "observed_sigma": ("observed", STEPS["sigma"][1])}
    dims = ("step", "observed", "kind", "question")
    data = {"distance": ((*dims, "seed"), values[..., None])}
    report = report_of(data, {**coords, "kind": ["gauss", "dose"]}, traces=[])
    (matrix,) = report.payload["matrices"]
    assert (matrix["rows"]["dim"], matrix["columns"]["dim"], matrix["trace"]) == ("step", "observed", None)
    assert (matrix["row_sets"], matrix["column_sets"]) == ({}, {"step": [0, 1, 2, 3]})
    assert matrix["columns"]["sigmas"] == STEPS["sigma"][1]
    assert matrix["title"] == "distance, mean over 3 questions"
    assert (matrix["diverging"], matrix["range"][0]) == (True, -matrix["range"][1])


def test_a_curve_has_its_interval_its_control_and_its_floor():
    name, attrs = "score_at_step", {"long_name": "score by the rules"}
    variables = {f"{name}_{end}": ("step", [0.1, 0.2, 0.3, np.nan], attrs) for end in ("mean", "low", "high")}
    variables |= {f"control_{name}_{end}": ("step", [0.5, 0.5, 0.5, 0.5], attrs) for end in ("mean", "low", "high")}
    variables |= {"floor": ("question", [0.0, 0.2]), "clean_score_mean": ((), 0.75, attrs)}
    variables[name] = (("question", "step"), RNG.normal(size=(2, 4)))
    report = report_of(variables, traces=[])
    (curve,) = report.payload["curves"]
    assert curve["lines"][0] == {
        "label": "",
        "y": [0.1, 0.2, 0.3, None],
        "low": [0.1, 0.2, 0.3, None],
        "high": [0.1, 0.2, 0.3, None],
    }
    assert [line["label"] for line in curve["lines"]] == ["", "control"]
    assert curve["lines"][1]["low"] == [0.5] * 4
    assert curve["floors"] == [{"label": "clean score", "y": 0.75}, {"label": "floor", "y": 0.1}]
    assert curve["x"]["experts"] == STEPS["expert"][1]
    assert any("of single units; their mean is drawn" in note for note in report.payload["notes"])


def test_a_matrix_has_its_interval_and_its_control_beside_it(read_array):
    dims, coords = ("step", "layer"), {**STEPS, "layer": [0, 5, 9]}
    names = ["score", "score_low", "score_high", "control_score", "control_score_low", "control_score_high"]
    tables = {name: (dims, RNG.normal(size=(4, 3)), {"long_name": "score"}) for name in names}
    report = report_of(tables, coords)
    matrices = report.payload["matrices"]
    ends = ["lower end of the interval", "upper end of the interval"]
    assert [(one["name"], one["title"]) for one in matrices] == [
        ("score", "score"),
        ("score_low", f"score, {ends[0]}"),
        ("score_high", f"score, {ends[1]}"),
        ("control_score", "score, control"),
        ("control_score_low", f"score, control, {ends[0]}"),
        ("control_score_high", f"score, control, {ends[1]}"),
    ]
    assert len({tuple(one["range"]) for one in matrices}) == 1
    for one in matrices:
        back = read_array(one["data"], report.blobs)[0]
        assert back == pytest.approx(tables[one["name"]][1], abs=2 * one["data"]["error"])


def test_a_map_leaves_the_control_of_another_form_to_be_drawn():
    tables = {"energy": (("step", "y", "x"), RNG.normal(size=(4, 2, 2)))}
    tables["control_energy"] = ("step", np.arange(4.0))
    assert [one["name"] for one in report_of(tables).payload["curves"]] == ["control_energy"]


def test_a_single_number_has_its_interval_and_its_control():
    numbers = {"score_mean": 0.75, "score_low": 0.5, "score_high": 0.875, "control_score_mean": 0.25}
    words = report_of({name: ((), value) for name, value in numbers.items()}).payload["results"][0]["words"]
    assert words[-2:] == [["score mean", "0.75 [0.5, 0.875]"], ["control: control score mean", "0.25"]]
    facts = {name: ("trace", [value, np.nan]) for name, value in numbers.items()}
    runs = report_of(facts, {"trace": ["a", "b"]}, traces=["a", "b"]).payload["runs"]
    said = [["mine: score mean", "0.75 [0.5, 0.875]"], ["mine: control score mean, control", "0.25"]]
    assert [run["words"] for run in runs] == [said, []]


def test_steps_of_traces_that_disagree_keep_their_own_sigma():
    coords = {"trace": ["a", "b"], "step": [0, 1], "sigma": (("trace", "step"), [[1.0, 0.5], [0.9, 0.3]])}
    report = report_of({"distance": (("trace", "step"), RNG.normal(size=(2, 2)))}, coords, traces=["a", "b"])
    assert [curve["x"]["sigmas"] for curve in report.payload["curves"]] == [[1.0, 0.5], [0.9, 0.3]]
    assert [[step["sigma"] for step in run["steps"]] for run in report.payload["runs"]] == [[1.0, 0.5], [0.9, 0.3]]


def test_one_number_a_trace_is_a_fact_about_its_run():
    coords = {"trace": ["a", "b"], "branch": ["guided"]}
    variables = {
        "commitment_step": (("trace", "branch"), [[7.0], [np.nan]]),
        "final_answer": ("trace", np.array(["route-1", ""], dtype=object)),
    }
    runs = report_of(variables, coords, traces=["a", "b"]).payload["runs"]
    words = [["mine: commitment step", "7"], ["mine: final answer", "route-1"]]
    assert [run["words"] for run in runs] == [words, []]


def test_a_film_shows_the_last_video_frame_of_each_latent_frame():
    """Of 5 latent frames in 17; the second trace holds no pictures in its last step."""
    film = RNG.integers(1, 255, size=(2, 4, 17, 8, 10, 3), dtype=np.uint8)
    film[1, 3] = 0
    dims = ("trace", "step", "video_frame", "video_y", "video_x", "rgb")
    coords = {**STEPS, "trace": ["a", "b"], "frame": range(5)}
    report = report_of({"film": (dims, film), "settled": ("frame", np.arange(5.0))}, coords, traces=["a", "b"])
    films = report.payload["films"]
    assert [(one["trace"], one["steps"], one["frames"]) for one in films] == [
        ("a", [0, 1, 2, 3], [0, 1, 2, 3, 4]),
        ("b", [0, 1, 2], [0, 1, 2, 3, 4]),
    ]
    assert np.array_equal(tile(films[0]["images"], report.blobs, 2 * 5 + 3), film[0, 2, 12])
    frames = report.payload["runs"][1]["frames"]
    assert np.array_equal(tile(frames, report.blobs, 4), film[1, 2, 16])
    assert (frames["labels"], frames["words"]) == ([0, 1, 2, 3, 4], "film, of step 2")


@pytest.mark.parametrize(
    ("traces", "attrs", "owner"),
    [(["a"], {}, "a"), (["a", "b"], {}, "all traces"), ([], {}, "all traces"), (["a", "b"], {"trace": "b"}, "b")],
)
def test_a_film_without_a_trace_is_nobody_elses(traces, attrs, owner):
    pictures = RNG.integers(1, 255, size=(4, 2, 8, 10, 3), dtype=np.uint8)
    film = (("step", "video_frame", "video_y", "video_x", "rgb"), pictures, attrs)
    payload = report_of({"film": film}, traces=traces).payload
    assert [one["trace"] for one in payload["films"]] == [owner]
    assert owner in [run["trace"] for run in payload["runs"]]


def test_further_dimensions_make_films_of_their_own():
    pictures = RNG.integers(1, 255, size=(4, 30, 2, 2, 3), dtype=np.uint8)
    dims = ("step", "seed", "video_y", "video_x", "rgb")
    report = report_of({"film": (dims, pictures[:, :2])})
    assert [one["title"] for one in report.payload["films"]] == ["film, seed 0", "film, seed 1"]
    assert np.array_equal(tile(report.payload["films"][1]["images"], report.blobs, 2), pictures[2, 1])
    many = report_of({"film": (dims, pictures)}).payload
    assert len(many["films"]) == 24
    assert "mine: not drawn: film (6 of 30 films)." in many["notes"]


def test_a_picture_keeps_the_label_of_its_frame():
    """Of a capture of frames 1 and 3."""
    pictures = RNG.integers(1, 255, size=(2, 8, 10, 3), dtype=np.uint8)
    variables = {"map": (("frame", "y", "x"), RNG.normal(size=(2, 2, 2)))}
    variables["overlay"] = (("frame", "video_y", "video_x", "rgb"), pictures)
    report = report_of(variables, {"frame": [1, 3]})
    frames = report.payload["runs"][0]["frames"]
    assert (frames["labels"], frames["words"]) == ([1, 3], "overlay")
    assert np.array_equal(tile(frames, report.blobs, 1), pictures[1])


def tile(images, blobs, at):
    sheet = np.asarray(Image.open(io.BytesIO(blobs[images["blob"]])).convert("RGB"))
    row, column = divmod(at, images["columns"])
    height, width = images["height"], images["width"]
    return sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]


def test_a_page_says_at_which_size_it_shows_pictures():
    variables = {
        "film": (("step", "video_y", "video_x", "rgb"), np.full((4, 300, 600, 3), 7, np.uint8)),
        "overlay": (("frame", "video_y", "video_x", "rgb"), np.full((1, 300, 600, 3), 7, np.uint8)),
    }
    notes = report_of(variables).payload["notes"]
    assert "Frames of a are shown at 256 x 128 of 600 x 300 pixels." in notes
    assert "Pictures of film of a, film are shown at 96 x 48 of 600 x 300 pixels." in notes


def test_what_cannot_be_drawn_is_named():
    variables = {
        "answer": ("step", np.array(list("abcd"), dtype=object)),
        "empty": ("step", [np.nan] * 4),
        "error": (("step", "layer"), np.zeros((4, 2))),
        "vector": (("step", "layer", "feature"), np.zeros((4, 2, 300))),
        "maps": (("kind", "step", "y", "x"), np.zeros((0, 4, 2, 2))),
    }
    (note,) = [note for note in report_of(variables).payload["notes"] if "not drawn" in note]
    assert "answer (text)" in note
    assert "maps, empty (nothing in it)" in note
    assert "error (0 everywhere)" in note
    assert "vector (300 feature are more than 256 pages)" in note
