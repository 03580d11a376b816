"""With their store, results show frames, manifests in words and edits; a store that is not theirs is refused."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from dit_lens.probing import analyze, load_result
from dit_lens.report import ForeignStore, MixedTraces, make_report, write_report
from dit_lens.report.edited import edits_of
from dit_lens.report.words import manifest_words
from dit_lens.testing import synthetic_store
from dit_lens_stores import ArraySpec, create_store, open_store

HOSTILE = "</script><script>alert(1)</script>\u202e\x00\ud800"


def test_frames_are_those_of_the_recorded_video(folder):
    report = make_report([folder / "energy.zarr"], store=folder / "s.zarr")
    trace = open_store(folder / "s.zarr")["b"]
    run = next(run for run in report.payload["runs"] if run["trace"] == "b")
    images, video = run["frames"], trace["video"].values
    count = trace.manifest["tokens"][0]
    places = [at * ((len(video) - 1) // (count - 1)) for at in range(count)]
    sheet = np.asarray(Image.open(io.BytesIO(report.blobs[images["blob"]])).convert("RGB"))
    for at, place in enumerate(places):
        row, column = divmod(at, images["columns"])
        height, width = images["height"], images["width"]
        assert np.array_equal(sheet[row * height :, column * width :][:height, :width], video[place])
    assert (images["count"], images["labels"], images["words"]) == (count, list(range(count)), "final video")
    assert [step["sigma"] for step in run["steps"]] == pytest.approx(trace.manifest["sigmas"])
    assert ["Seed", str(trace.manifest["seed"])] in run["words"]


def test_the_same_results_make_the_same_bytes(folder, tmp_path):
    pages = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_report(folder / "energy.zarr", tmp_path / name / "report.html", store=folder / "s.zarr")
        pages.append((tmp_path / name / "report.html").read_bytes())
    assert pages[0] == pages[1]
    assert b"dit-lens report energy.zarr --store s.zarr -o report.html" in pages[0]
    assert str(folder).encode() not in pages[0]
    unsaved = make_report([folder / "energy.zarr", xr.Dataset(attrs={"probe": "mine"})])
    assert unsaved.payload["command"] == ""


def test_a_store_that_is_not_theirs_is_refused(folder, tmp_path):
    other = synthetic_store(tmp_path / "other.zarr", ["block.out:energy"], traces=["c"])
    with pytest.raises(ForeignStore, match=r"holds none of the traces of the results; got c, allowed a, b; name"):
        make_report([folder / "energy.zarr"], store=other.path)
    result = load_result(folder / "energy.zarr").assign_attrs(manifest_sha256=["0" * 64, "1" * 64])
    with pytest.raises(ForeignStore, match=r"holds another run as '.' than the results; got another manifest"):
        make_report([result], store=folder / "s.zarr")
    part = synthetic_store(tmp_path / "part.zarr", ["block.out:energy"], traces=["a"])
    report = make_report([analyze(folder / "s.zarr", "energy")], store=part.path)
    assert "The store does not hold b." in report.payload["notes"]


def test_results_of_different_runs_do_not_share_a_page(folder):
    one = xr.Dataset(attrs={"probe": "one", "traces": ["a"], "manifest_sha256": ["0" * 64]})
    other = xr.Dataset(attrs={"probe": "other", "traces": ["x"]})
    with pytest.raises(MixedTraces, match=r"of different traces; got one: a; other: x, allowed results with a trace"):
        make_report([one, other])
    again = one.assign_attrs(probe="again", manifest_sha256=["1" * 64])
    with pytest.raises(
        MixedTraces, match=r"trace 'a' is another run in each of one, again; got manifests 00000000 and"
    ):
        make_report([one, again])


def latents(path, model, name="x0.guided.raw"):
    """A store with one latent of noise, and no video."""
    shape = {"step": (0, 1), "latent_channel": range(16), "frame": range(2), "h": range(8), "w": range(8)}
    spec = ArraySpec(name, tuple(shape), {dim: tuple(labels) for dim, labels in shape.items()}, ("step",))
    store = create_store(path)
    manifest = {"model": model, "tokens": [2, 8, 8], "steps": 2, "experts": ["transformer", "transformer_2"]}
    writer = store.begin("a", [spec], [], manifest)
    noise = np.random.default_rng(0).normal(size=(2, 16, 2, 8, 8)).astype(np.float32)
    for step in (0, 1):
        writer.write(name, {"step": step}, noise[step])
    writer.finish()
    return path, noise


RESULT = xr.Dataset({"energy": (("step", "y", "x"), np.ones((2, 2, 2)))}, attrs={"probe": "mine", "traces": ["a"]})


def test_without_a_video_the_last_clean_latent_is_decoded(tmp_path):
    import torch

    from dit_lens.decoder import load_decoder

    path, noise = latents(tmp_path / "s.zarr", "tiny-wan")
    report = make_report([RESULT], store=path)
    images = report.payload["runs"][0]["frames"]
    sheet = np.asarray(Image.open(io.BytesIO(report.blobs[images["blob"]])).convert("RGB"))
    video = load_decoder("tiny-wan").decode(torch.from_numpy(noise[1]))
    assert np.array_equal(sheet[: images["height"], : images["width"]], video[0])
    assert "Frames of a are decoded from x0.guided of step 1." in report.payload["notes"]
    assert (images["words"], images["labels"]) == ("x0.guided of step 1, decoded", [0, 1])
    without = make_report([RESULT], store=path, decode=False)
    assert without.payload["runs"][0]["frames"] is None
    assert any("There are no frames of a" in note for note in without.payload["notes"])


def test_the_noisy_latent_is_not_shown_as_a_frame(tmp_path):
    path, _ = latents(tmp_path / "s.zarr", "tiny-wan", "latent.raw")
    report = make_report([RESULT], store=path)
    assert report.payload["runs"][0]["frames"] is None
    assert any("There are no frames of a" in note for note in report.payload["notes"])


def test_a_decoder_that_cannot_be_had_leaves_a_page_without_frames(tmp_path):
    path, _ = latents(tmp_path / "s.zarr", "no-such-model")
    with redirect_stderr(io.StringIO()):
        report = make_report([RESULT], store=path)
    assert report.payload["runs"][0]["frames"] is None
    (note,) = [note for note in report.payload["notes"] if note.startswith("No frames of a: ")]
    assert "no-such-model" in note
    assert note.endswith("put the model where the manifest names it.")


def test_a_page_states_no_folder_of_the_machine(tmp_path):
    """Neither that of a parameter, nor of a model that is not there."""
    folder = tmp_path / "my models"
    path, _ = latents(tmp_path / "s.zarr", str(folder / "wan"))
    params = json.dumps({"trajectory.model": str(folder / "wan"), "side": 96})
    result = RESULT.assign_attrs(params=params, captures=[f"from {tmp_path}/other.zarr"])
    with redirect_stderr(io.StringIO()):
        report = write_report([result], tmp_path / "report.html", store=path)
    assert ["Parameters", '{"trajectory.model": "wan", "side": 96}'] in report.payload["results"][0]["words"]
    assert ["Captures", "from other.zarr"] in report.payload["results"][0]["words"]
    assert any(note.startswith("No frames of a: ") for note in report.payload["notes"])
    assert str(tmp_path) not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_edits_stand_where_they_were_made():
    edits = [
        {"site": "block.out", "op": "zero", "where": "layer=-1,branch=cond", "source": [], "mask": None},
        {
            "site": "state",
            "op": "replace",
            "where": "expert=transformer_2,frame=1",
            "source": [{"kind": "noise", "seed": 7}],
        },
        {"site": "view", "op": "zero", "where": "step=99", "source": []},
        "no edit",
    ]
    labels = {"step": range(4), "layer": range(6), "frame": range(3), "branch": ["cond", "uncond"]}
    experts = ["transformer"] * 3 + ["transformer_2"]
    last, frame, nowhere = edits_of({"edits": edits, "experts": experts}, labels)
    assert last == {
        "text": "block.out: zero, at layer=-1,branch=cond",
        "steps": None,
        "layers": [5],
        "frames": None,
        "branches": ["cond"],
    }
    assert (frame["steps"], frame["frames"], frame["text"][:34]) == ([3], [1], "state: replace, noise seed 7, at e")
    assert nowhere["steps"] == nowhere["layers"] == []


@pytest.mark.parametrize("manifest", [{}, {"experts": 3, "tokens": "x", "git": [], "versions": 1, "scheduler": "x"}])
def test_a_manifest_may_be_anything(manifest):
    assert all(isinstance(text, str) and text for _, text in manifest_words(manifest))


def test_hostile_words_stay_words(tmp_path):
    data = RESULT.rename(energy=HOSTILE.replace("\ud800", "")).assign_attrs(probe=HOSTILE, params=HOSTILE)
    report = write_report(data, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    plain = make_report([RESULT]).html
    assert page.count("<script") == plain.count("<script")
    assert "alert(1)</script>" not in page
    shown = report.payload["results"][0]["name"]
    assert shown == "</script><script>alert(1)</script>\\u202e\\x00\\ud800"
    assert report.payload["maps"][0]["result"] == shown
    long = make_report([RESULT.assign_attrs(params="x" * 10**6)])
    assert len(long.html) < len(plain) + 10_000
