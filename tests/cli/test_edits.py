"""Edits on the command line: by a file or a short form, in a plan, a trace and a benchmark; wrong ones end with 2."""

from __future__ import annotations

import json

import jsonschema
import pytest

from dit_lens.edits import Constant, Edit, File, Mask, Noise, Stored, Values, edits_json, edits_schema, load_edits
from dit_lens.errors import BadEdit, BadSelection
from dit_lens_stores import open_store

TRACE = ["--task", "maze", "--size", "3", "--steps", "2", "--frames", "17", "--capture", "block.out:energy"]
ZERO = "block.out:zero[step=1,layer=0]"


def test_an_edited_trace_stands_beside_the_plain_one(model, dit_lens_command, tmp_path):
    out = tmp_path / "out.zarr"
    edits = tmp_path / "edits.json"
    edits.write_text(edits_json([Edit("block.out", "step=1,layer=0", "zero")]))
    for words in ([], ["--edit", ZERO], ["--edit", edits], ["--edit", ZERO, "--reset", 1]):
        assert dit_lens_command("trace", model, *TRACE, "--out", out, *words).code == 0
    store = open_store(out)
    plain, edited, reset = store.traces
    assert plain == "maze-3x3-0-seed-0"
    assert edited.startswith("maze-3x3-0-seed-0-edited-")
    assert edited != reset
    assert [edit["op"] for edit in store[edited].manifest["edits"]] == ["zero"]
    assert store[reset].manifest["solver_resets"] == [1]
    energy = store[edited]["block.out.energy"].sel(layer=0)
    assert not energy.sel(step=1).values.any()
    assert energy.sel(step=0).values.all()


def test_a_late_start_on_the_command_line(model, dit_lens_command, tmp_path):
    out = tmp_path / "out.zarr"
    history = ["--capture", "latent", "--capture", "velocity.guided"]
    assert dit_lens_command("trace", model, *TRACE, *history, "--out", out).code == 0
    start = ["--start", f"{out}#maze-3x3-0-seed-0@1"]
    assert dit_lens_command("trace", model, *TRACE, *history, "--out", out, *start).code == 0
    store = open_store(out)
    whole, rest = (store[name]["latent.raw"] for name in store.traces)
    assert rest.step.values.tolist() == [1]
    assert (rest.values == whole.sel(step=[1]).values).all()
    assert (store[store.traces[1]]["video"].values == store[store.traces[0]]["video"].values).all()


def test_a_plan_says_what_will_be_done(model, dit_lens_command):
    words = ["--edit", ZERO, "--edit", "state:noise:noise(3,0.5)[step=1]", "--json"]
    said = dit_lens_command("plan", model, *TRACE, *words)
    assert said.json["edits"] == [
        "step 1, cond+uncond, layer 0, 320 of the tokens: replace by zeros (block.out)",
        "step 1, 320 of the latent: add noise (seed 3) of 0.5 times its root mean square (state)",
        "the solver forgets its history before step 1",
    ]
    assert (
        "edit     step 1, cond+uncond, layer 0, 320 of the tokens"
        in dit_lens_command("plan", model, *TRACE, *words[:-1]).out
    )


def test_a_benchmark_of_an_edited_model(model, dit_lens_command, tmp_path):
    words = ["bench", model, "--tasks", "maze:plain", "--n", 1, "--size", 3, "--steps", 1]
    assert dit_lens_command(*words, "--edit", "block.out:zero[layer=0]", "--out", tmp_path / "b", "--json").code == 0
    told = json.loads((tmp_path / "b" / "bench.json").read_text())
    assert [edit["op"] for edit in told["edits"]] == ["zero"]
    said = dit_lens_command(*words, "--out", tmp_path / "b")
    assert said.code == 2
    assert "edits" in said.complaint


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--edit", "blok.out:zero"], "did you mean 'block.out'?"),
        (["--edit", "block.out"], "edit cannot be read; got 'block.out', allowed SITE:OP[:SOURCE][axis=...]; "),
        (["--edit", "block.out:zero[layer=99]"], "does not fit the run in edit 'block.out:zero[layer=99]'; got 99"),
        (["--edit", "state:zero[step=2]"], "got 2, allowed 0 to 1"),
        (["--edit", "block.out:replace:trace(none.zarr#t)"], "found no store at 'none.zarr'"),
        (["--edit", "none.json"], "the file of edits cannot be read; got none.json"),
        (["--reset", "7"], "the solver cannot be reset before that step; got 7, allowed 0 to 1"),
        (["--start", "a.zarr"], "the start cannot be read"),
        (["--stop-after", "2"], "the run has no such steps; got 0 to 2, allowed"),
        (["--stop-after", "-1"], "--stop-after cannot be used; got -1"),
    ],
)
def test_what_cannot_be_edited(model, dit_lens_command, tmp_path, words, part):
    said = dit_lens_command("trace", model, *TRACE, "--out", tmp_path / "out.zarr", *words)
    assert said.code == 2
    assert part in said.complaint
    assert not (tmp_path / "out.zarr").exists()


EDITS = [
    Edit("block.out", "step=0,layer=20:30", "mean", [Stored("a.zarr", "s1"), Stored("a.zarr", "s2", step="+1")]),
    Edit("state", "step=3,frame=1:", "replace", Noise(4)),
    Edit("view", op="scale", source=Constant(0.5), mask=Mask((1, 2, 2), "90")),
    Edit("ffn.out", "layer=-1", "add", File("direction.npy")),
    Edit("velocity", "branch=cond,expert=transformer", "zero"),
]


def test_files_give_back_what_was_written(tmp_path):
    path = tmp_path / "edits.json"
    path.write_text(edits_json(EDITS))
    assert load_edits(path) == tuple(EDITS)
    assert [edit.sha256 for edit in load_edits(path)] == [edit.sha256 for edit in EDITS]
    jsonschema.validate(json.loads(path.read_text()), edits_schema())
    path.write_text(json.dumps({"site": "block.out", "where": {"layer": [0, "2:4"], "branch": "cond"}, "op": "zero"}))
    assert load_edits(path) == (Edit("block.out", "layer=0+2:4,branch=cond", "zero"),)
    path.write_text(json.dumps([str(edit) for edit in EDITS if edit.mask is None]))
    assert load_edits(path) == tuple(edit for edit in EDITS if edit.mask is None)


@pytest.mark.parametrize(
    ("row", "part"),
    [
        (
            {"site": "blok.out", "op": "zero"},
            "edit 0 of edits.json: site cannot be used; got 'blok.out', allowed",
        ),
        ({"site": "block.out", "op": "zero", "wear": ""}, "edit 0 of edits.json: wear cannot be used; got ''"),
        ({"site": "block.out"}, "edit 0 of edits.json: op is missing; got nothing"),
        ({"site": "block.out", "op": "scale", "source": {"kind": "nois", "seed": 1}}, "source cannot be used; got"),
        ({"site": "block.out", "op": "scale"}, "edit of block.out has no such source for scale; got 0 sources"),
        ({"site": "block.out", "op": "zero", "mask": "no.npy"}, "the mask of an edit cannot be read; got no.npy"),
        ({"site": "block.out", "op": "zero", "where": "lajer=1"}, "did you mean 'layer'?"),
        ([], "the file of edits has none"),
        (3, "edit 0 of edits.json: values do not fit together"),
    ],
)
def test_rows_that_are_wrong(tmp_path, row, part):
    path = tmp_path / "edits.json"
    path.write_text(json.dumps(row))
    with pytest.raises((BadEdit, BadSelection)) as caught:
        load_edits(path)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_lives_in_python_has_no_file():
    with pytest.raises(BadEdit, match="cannot be written; got Values, allowed Constant, Noise, Stored or File; "):
        edits_json([Edit("block.out", op="add", source=Values([1.0]))])
