"""The trajectory probe on stored paths with a known course, decoded by the autoencoder of tiny-wan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image

from dit_lens import Generation, load
from dit_lens.captures import read_captures
from dit_lens.decoder import load_decoder
from dit_lens.engine.arrays import array_specs, coordinates, encoding_of
from dit_lens.engine.flow import stored_values
from dit_lens.errors import BadParams, BadRequest, DitLensError, MissingCapture
from dit_lens.facts import image_sha256
from dit_lens.probing import analyze, load_result, save_result
from dit_lens.puzzles import unseen
from dit_lens.testing import SMALL, check_probe, synthetic_store
from dit_lens_probes.trajectory import MissingDecoder, Trajectory, write_films
from dit_lens_probes.trajectory.candidates import clips
from dit_lens_probes.trajectory.question import puzzle_of
from dit_lens_stores import create_store, open_store

TINY = replace(SMALL, latent=(16, 5, 8, 8), tokens=(5, 8, 8), video=(17, 64, 64), dtype="float32")
FORKS = [unseen("fork", index, size=5) for index in (0, 1)]


def manifest_of(asked, seed, **more):
    facts = {"prompt": asked.prompt, "image_sha256": image_sha256(Image.fromarray(asked.first_frame()))}
    return {"model": "tiny-wan", "seed": seed, "tokens": list(TINY.tokens), **facts, **more}


def write(store, trace_id, course, manifest, capture="x0.guided"):
    """A complete trace whose x0 takes a given course."""
    (captured,) = [one.resolve(TINY) for one in read_captures([capture])]
    specs = array_specs([captured], TINY, False)
    writer = store.begin(trace_id, specs, coordinates(TINY, specs), manifest)
    for step, latent in zip(captured.labels["step"], course, strict=True):
        facts = {"sigma": TINY.sigmas[step], "timestep": TINY.timesteps[step], "expert": TINY.experts[step]}
        for name, value in facts.items():
            writer.set_coordinate(name, step, value)
        kept = latent[:, list(captured.chosen["frame"])]
        writer.write("x0.guided.raw", {"step": step}, stored_values(kept, encoding_of(captured.capture)))
    writer.finish()


class Remembering:
    """The real decoder, which does not decode the same latents twice: planted paths repeat themselves."""

    def __init__(self, decoder):
        self._decoder, self._known = decoder, {}
        self.weights_sha256, self.encode = decoder.weights_sha256, decoder.encode

    def decode(self, latents):
        key = latents.numpy().tobytes()
        if key not in self._known:
            self._known[key] = self._decoder.decode(latents)
        return self._known[key]


@pytest.fixture(scope="module")
def decoder():
    return Remembering(load_decoder("tiny-wan"))


@pytest.fixture(scope="module")
def planted(tmp_path_factory, decoder):
    """Of a fork one seed that changes its mind and one that does not; of another one that ends with nothing."""
    store = create_store(tmp_path_factory.mktemp("planted") / "s.zarr")
    one, other = ({name: decoder.encode(clip) for name, clip in clips(fork, "route-0").items()} for fork in FORKS)
    both = (one["route-0"] + one["route-1"]) / 2
    still = decoder.encode(np.repeat(FORKS[1].clip()[:1], 17, axis=0))
    courses = {
        "fork-5x5-0-seed-0": (FORKS[0], [both, one["route-1"], one["route-0"], one["route-0"]]),
        "fork-5x5-0-seed-1": (FORKS[0], [one["route-0"]] * 4),
        "fork-5x5-1-seed-0": (FORKS[1], [other["route-0"], other["route-0"], still, still]),
        "fork-5x5-1-seed-1": (FORKS[1], [other["route-1"], still, still, still]),
    }
    for trace_id, (fork, course) in courses.items():
        write(store, trace_id, course, manifest_of(fork, int(trace_id[-1])))
    return store


@pytest.fixture(scope="module")
def result(planted, decoder):
    return analyze(planted, Trajectory(decoder=decoder))


def one(result, trace_id):
    return result.sel(trace=trace_id, branch="guided")


def test_a_planted_correction_is_read_with_its_step(result):
    seen = one(result, "fork-5x5-0-seed-0")
    assert seen["answer"].values.tolist()[1:] == ["route-1", "route-0", "route-0"]
    assert seen["dropped_answer"].values.tolist() == ["", "", "route-1", ""]
    assert float(seen["dropped_since"][2]) == 1
    assert (float(seen["first_step"]), float(seen["commitment_step"])) == (2, 2)
    assert (seen["final_answer"].item(), float(seen["final_solved"])) == ("route-0", 1)


def test_a_path_that_never_changes_is_committed_at_once(result):
    seen = one(result, "fork-5x5-0-seed-1")
    assert float(seen["commitment_step"]) == 0
    assert not (seen["dropped_answer"] != "").any()
    assert float(seen["distance_whole"].max()) == 0
    assert np.isnan(seen["change_spread"]).all()


def test_planted_candidates_and_their_mixture_are_seen(result):
    seen = one(result, "fork-5x5-0-seed-0")
    assert seen["candidates_visible"].values.tolist() == [2, 1, 1, 1]
    assert (seen["end_a"].item(), seen["end_b"].item()) == ("route-0", "route-1")
    np.testing.assert_allclose(seen["share"], [0.5, 0, 1, 1], atol=1e-5)
    assert float(seen["blend"][0]) == pytest.approx(1, abs=1e-6)


def test_an_answer_that_is_given_up_for_nothing_is_dropped(result):
    seen = one(result, "fork-5x5-1-seed-0")
    assert seen["final_answer"].item() == ""
    assert np.isnan(seen["commitment_step"])
    assert seen["dropped_answer"].values.tolist() == ["", "", "route-0", ""]


def test_seeds_of_a_question_are_held_against_each_other(result):
    assert result["question"].values.tolist() == ["fork-5x5-0", "fork-5x5-1"]
    assert result["seeds"].values.tolist() == [2, 2]
    assert result["final_solved_mean"].values.tolist() == [1, 0]
    spread = result["disagreement"].sel(branch="guided")
    assert (spread.sel(question="fork-5x5-0", step=[2, 3]) == 0).all()
    assert result["answer_entropy"].sel(branch="guided", question="fork-5x5-1").values.tolist() == [1, 1, 0, 0]
    auc = result["auc_disagreement"].sel(branch="guided").values
    by_hand = np.sign(spread.sel(question="fork-5x5-1") - spread.sel(question="fork-5x5-0")) / 2 + 0.5
    np.testing.assert_array_equal(auc, by_hand)
    assert np.isnan(result["auc_disagreement_low"]).all()
    assert result.attrs["no_auc_interval"] == [
        f"auc_{name}: only 1 of 2 questions failed" for name in ("disagreement", "entropy")
    ]


def test_without_two_verdicts_there_is_no_roc_and_a_reason(planted, decoder):
    alone = analyze(planted, Trajectory(decoder=decoder), traces=["fork-5x5-0-seed-1"])
    assert np.isnan(alone["auc_disagreement"]).all()
    assert "auc_entropy: no question has a predictor and a verdict" in alone.attrs["no_auc"]


def test_pictures_are_the_last_frames_of_the_decoded_latents(result, planted, decoder):
    x0 = planted["fork-5x5-0-seed-0"]["x0.guided.raw"]
    film = one(result, "fork-5x5-0-seed-0")["film"]
    assert film["video_frame"].values.tolist() == [0, 4, 8, 12, 16]
    for step in range(4):
        video = decoder.decode(torch.from_numpy(np.array(x0.sel(step=step).values, dtype=np.float32)))
        np.testing.assert_array_equal(film.sel(step=step).values, video[::4])


def test_steps_keep_their_names(result):
    assert tuple(result["sigma"].values) == TINY.sigmas
    assert tuple(result["expert"].values) == TINY.experts


def test_a_result_survives_its_file(result, tmp_path):
    assert load_result(save_result(result, tmp_path / "r.zarr")).equals(result)


def test_figures_say_what_was_found(result, same_as_noted):
    figures = Trajectory().draw(result)
    assert sorted(figures) == ["commitment", "distance", "filmstrip", "foretold", "readings", "roc"]
    for name in ("distance", "filmstrip", "foretold"):
        same_as_noted(figures[name], told_in_words=("frame_order", "solved"))
    strip = figures["filmstrip"]
    pictures = [ax for ax in strip.axes if ax.images]
    assert len(pictures) == 4 * 5
    assert pictures[0].get_ylabel() == "step 0\nσ 1.000\ntransformer"
    assert "another expert" in [text.get_text() for ax in strip.axes for text in ax.texts]
    np.testing.assert_array_equal(pictures[5].images[0].get_array(), result["film"].values[0, 0, 1, 0])
    (axis,) = figures["readings"].axes
    assert "route-1 dropped" in [text.get_text() for text in axis.texts]
    assert "committed at step 2" in [line.get_label() for line in axis.lines]


def test_films_are_written_for_each_step(result, tmp_path):
    paths = write_films(result, tmp_path, trace="fork-5x5-0-seed-0", formats=("gif", "mp4"))
    assert [path.name for path in paths[:2]] == [
        "fork-5x5-0-seed-0-guided-step-00.gif",
        "fork-5x5-0-seed-0-guided-step-00.mp4",
    ]
    assert len(paths) == 8
    with Image.open(paths[0]) as film:
        assert (film.n_frames, film.size) == (5, (64, 64))
    assert paths[1].stat().st_size > 0
    for wrong, words in (({"trace": "x"}, "no such trace; got 'x'"), ({"formats": ("mov",)}, "no such format")):
        with pytest.raises(BadParams, match=words):
            write_films(result, tmp_path, **wrong)
    with pytest.raises(BadParams, match="has no pictures"):
        write_films(result.drop_vars("film"), tmp_path)


# without a scorer, without a decoder


@pytest.mark.parametrize("params", [{"decode": False}, {"decode": False, "branches": True}])
def test_the_probe_conforms(params):
    assert check_probe(Trajectory, params)[-1] == "draw"


def test_the_model_free_measures_are_the_formulas(tmp_path):
    store = synthetic_store(tmp_path / "s.zarr", ["x0.guided", "x0"])
    found = analyze(store, Trajectory, {"decode": False, "branches": True})
    assert found["branch"].values.tolist() == ["guided", "cond", "uncond"]
    assert not {"film", "score", "answer", "auc_disagreement"} & set(found.data_vars)
    for branch in found["branch"].values:
        array = store["a"]["x0.guided.raw"] if branch == "guided" else store["a"]["x0.raw"].sel(branch=branch)
        x = array.transpose("step", "latent_channel", "frame", "h", "w").values.astype(np.float64)
        expected = np.sqrt(((x - x[-1]) ** 2).mean((1, 3, 4))) / np.sqrt((x[-1] ** 2).mean())
        np.testing.assert_allclose(found["distance"].sel(trace="a", branch=branch), expected, rtol=1e-10)
    assert found["seeds"].values.tolist() == [1, 1]  # the prompts differ
    assert found.attrs["no_auc"] == ["no trace has a scorer"]
    assert sorted(Trajectory().draw(found)) == ["distance"]


def test_a_trace_that_is_no_puzzle_has_pictures_and_the_reason(tmp_path, decoder):
    store = create_store(tmp_path / "s.zarr")
    course = [decoder.encode(FORKS[0].clip())] * 4
    write(store, "ball", course, manifest_of(FORKS[0], 0, prompt="The ball rolls."))
    found = analyze(store, Trajectory(decoder=decoder))
    assert found["no_scorer"].values.tolist() == ["neither its manifest nor its name says which puzzle it was asked"]
    assert "film" in found
    assert "score" not in found
    assert sorted(Trajectory().draw(found)) == ["distance", "filmstrip"]


@pytest.mark.parametrize(
    ("trace_id", "more", "words"),
    [
        ("fork-5x5-0-seed-3", {"prompt": "Else."}, "its prompt is not that of the puzzle fork-5x5"),
        ("fork-5x5-0-seed-3", {"image_sha256": "0"}, "its first frame is not that of"),
        ("fork-9x9-0-seed-3", {}, "neither its manifest nor its name"),
        ("mine", {"puzzle": {"task": "maze", "seed": -1}}, "its puzzle cannot be made"),
        ("mine", {"puzzle": {"task": "maze", "seed": 1, "variant": ["plain"]}}, "neither its manifest nor its name"),
    ],
)
def test_a_puzzle_is_believed_only_with_its_prompt_and_first_frame(trace_id, more, words):
    found, reason = puzzle_of(trace_id, manifest_of(FORKS[0], 3, **more))
    assert found is None
    assert reason.startswith(words)


@pytest.mark.parametrize(
    "puzzle",
    [unseen("fork", 2, "cue", 5), unseen("maze", 3, "long", 6), unseen("grounding", 7), unseen("occlusion", 0)],
    ids=lambda puzzle: puzzle.label,
)
def test_a_puzzle_is_found_by_the_name_of_its_trace_and_by_its_note(puzzle):
    index = puzzle.seed - unseen("maze", 0).seed
    assert puzzle_of(f"{puzzle.label}-{index}-seed-4", manifest_of(puzzle, 4))[0] == puzzle
    note = {"task": puzzle.task, "variant": puzzle.variant, "seed": puzzle.seed, "size": puzzle.parameters.get("size")}
    assert puzzle_of("mine", manifest_of(puzzle, 4, puzzle=note))[0] == puzzle


def test_bad_input_is_refused_in_one_line(tmp_path, decoder, planted):
    unknown = synthetic_store(tmp_path / "u.zarr", ["x0.guided"], ["a"])
    store = create_store(tmp_path / "s.zarr")
    course = [decoder.encode(FORKS[0].clip())] * 4
    other = {"vae/diffusion_pytorch_model.safetensors": "0" * 64}
    write(store, "other", course, manifest_of(FORKS[0], 0, weights_sha256=other))
    write(store, "nameless", course, manifest_of(FORKS[0], 0, model=None))
    write(store, "part", course, manifest_of(FORKS[0], 0), "x0.guided[frame=0:2]")
    wrong = [
        (unknown, {}, None, MissingDecoder, "no decoder is at hand; got model 'synthetic'"),
        (unknown, {}, "tiny", MissingDecoder, "by this decoder; got latents of shape"),
        (
            store,
            {},
            ["other"],
            MissingDecoder,
            "made with another autoencoder; got 'tiny-wan' with other bytes in vae/",
        ),
        (store, {}, ["nameless"], MissingDecoder, "names no model; got None"),
        (store, {}, ["part"], MissingDecoder, "some frames of x0 only; got frame 0, 1, allowed all 5"),
        (planted, {"final": "video"}, None, MissingCapture, "does not hold 'video'"),
        (planted, {"branches": True}, None, MissingCapture, "does not hold 'x0.raw'"),
        (planted, {"trace": "x"}, None, BadParams, "no such trace to draw; got 'x'"),
        (planted, {"branch": "x"}, None, BadParams, "no such branch to draw; got 'x', allowed guided"),
    ]
    for where, params, traces, error, words in wrong:
        probe = Trajectory(Trajectory.Params(**params), decoder if traces == "tiny" else None)
        with pytest.raises(error, match=words) as caught:
            analyze(where, probe, traces=traces if isinstance(traces, list) else None)
        assert isinstance(caught.value, DitLensError)
        assert "\n" not in str(caught.value)


# the decoder


def test_the_decoder_is_that_of_the_pipeline(decoder):
    lens = load("tiny-wan")
    latents = torch.randn((16, 5, 8, 8), generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(decoder.decode(latents), lens.decode(latents))
    assert decoder.weights_sha256.items() <= lens.identity["weights_sha256"].items()
    assert decoder.weights_sha256


def test_a_clip_that_is_encoded_decodes_to_itself(decoder):
    clip = FORKS[0].clip()
    assert FORKS[0].score(decoder.decode(decoder.encode(clip))).solved
    decoder_ = load_decoder("tiny-wan")
    decoder_.family = replace(decoder_.family, name="other")
    with pytest.raises(BadRequest, match="videos cannot be encoded for family other"):
        decoder_.encode(clip)


def test_the_last_x0_of_a_real_run_is_its_video(tmp_path, decoder):
    lens, puzzle = load("tiny-wan"), FORKS[0]
    request = Generation(
        prompt=puzzle.prompt, image=Image.fromarray(puzzle.first_frame()), seed=0, steps=2, guidance=3.0
    )
    lens.trace(request, ["x0.guided", "x0"], tmp_path / "s.zarr", trace_id="fork-5x5-0-seed-0")
    video_params = {"final": "video", "branches": True, "frames": "all"}
    found = {
        "x0": analyze(tmp_path / "s.zarr", Trajectory(decoder=decoder)),
        "video": analyze(tmp_path / "s.zarr", "trajectory", video_params),
    }
    assert found["video"]["branch"].values.tolist() == ["guided", "cond", "uncond"]
    xr.testing.assert_allclose(found["x0"]["final_score"], found["video"]["final_score"])
    video = found["video"]["film"].isel(trace=0, step=-1).sel(branch="guided").values.astype(int)
    stored = open_store(tmp_path / "s.zarr")["fork-5x5-0-seed-0"]["video"].values.astype(int)
    assert np.abs(video - stored).max() <= 2
