"""``dit-lens bench``: what it runs, what it keeps, and that the same command goes on where it stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch

import dit_lens
from dit_lens.bench import Condition, OtherBench, prepare_bench, puzzle_questions, read_scores, run_bench
from dit_lens.bench.running import video_path
from dit_lens.generation import Result
from dit_lens.puzzles import BadPuzzle, unseen, write_folder

WORDS = ["--tasks", "maze:plain,fork:free", "--n", "2", "--size", "3", "--steps", "2"]


class Calls(list[list[int]]):
    """Seeds of every call of a model that answers right on even seeds and does nothing on odd ones."""

    interrupt_at: int | None = None


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Put that model in place of the real one; requests, checks and files stay what they are."""
    made = Calls()
    known = {
        question.image().tobytes(): question.puzzle
        for size in (3, None)
        for question in puzzle_questions(["maze:plain", "fork:free"], n=4, size=size)
    }

    def answer(self: dit_lens.Lens, requests: list[dit_lens.Generation], **_: Any) -> list[Result]:
        if made.interrupt_at == len(made):
            raise KeyboardInterrupt
        made.append([request.seed for request in requests])
        rows = []
        for request in requests:
            still = np.repeat(np.asarray(request.image)[None], 17, axis=0)
            puzzle = known.get(request.image.tobytes())
            video = puzzle.clip() if puzzle is not None and request.seed % 2 == 0 else still
            rows.append(Result(torch.zeros(1), video, None, None, 0.5))
        return rows

    monkeypatch.setattr(dit_lens.Lens, "generate_batch", answer)
    return made


def lines_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_the_real_thing(dit_lens_command, tmp_path: Path, model: Path) -> None:
    """An untrained model, two seeds in one call: it solves nothing, and everything is there."""
    out = tmp_path / "deep" / "bench"
    words = ["--tasks", "maze:plain", "--n", 1, "--size", 3, "--steps", 2, "--seeds", "0:2", "--batch", 2, "--videos"]
    said = dit_lens_command("bench", model, *words, "--out", out, "--json")
    assert said.code == 0, said.err
    assert [json.loads(line)["done"] for line in said.err.splitlines()] == [0, 2, 2]
    record = said.json
    assert (record["runs"], record["already_there"], record["out"]) == (2, 0, str(out))
    assert record["seconds"] > 0
    (row,) = record["table"]["rows"]
    assert row["solved"]["mean"] == 0
    assert row["solved"]["high"] == pytest.approx(0.975)  # of one puzzle
    first, second = lines_of(out)
    assert (first["together"], first["seconds"]) == ([0, 1], second["seconds"])
    assert first["dimensions"] != {}
    video = out / "videos" / "seed-1" / "In-Domain" / "maze-plain" / "00000.mp4"
    assert imageio_ffmpeg.count_frames_and_secs(video)[0] == 17
    settings = json.loads((out / "bench.json").read_text())
    assert settings["scheduler"]["class"] == "UniPCMultistepScheduler"
    assert (settings["steps"], settings["frames"]) == (2, 17)
    assert settings["weights_sha256"]
    assert not {"seed", "prompt", "image_sha256"} & set(settings)


def test_what_a_reader_sees(dit_lens_command, tmp_path: Path, model: Path, calls: Calls) -> None:
    said = dit_lens_command("bench", model, *WORDS, "--seeds", "0:2", "--out", tmp_path / "b")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    table = (tmp_path / "b" / "table.txt").read_text().splitlines()
    assert lines[: len(table)] == table
    row = "maze       plain    in-domain  2 x 2  0.500 [0.086, 0.914]  0.550 [0.094, 0.923]  0.100"
    assert table[1] == row
    assert lines[-3:] == [
        "runs     8, 4.0 s",
        f"out      {tmp_path / 'b'}",
        f"scores   {tmp_path / 'b' / 'scores.json'}",
    ]
    first, second = said.err.splitlines()
    assert first == "bench maze:plain (1 of 2): 0 of 8 runs"
    assert second.startswith("bench fork:free (2 of 2): 4 of 8 runs, ")
    again = dit_lens_command("bench", model, *WORDS, "--seeds", "0:2", "--out", tmp_path / "b")
    assert again.out.splitlines()[: len(table)] == table
    assert "runs     8, 8 of them already there" in again.out.splitlines()
    assert again.err == ""
    assert len(calls) == 8


def test_scores_are_read_back_to_the_same_table(dit_lens_command, tmp_path: Path, model: Path, calls: Calls) -> None:
    record = dit_lens_command("bench", model, *WORDS, "--seeds", "0:2", "--out", tmp_path / "b", "--json").json
    again = dit_lens_command("bench", "--scores", record["scores"], "--out", tmp_path / "again", "--json").json
    assert again["table"] == record["table"]
    assert json.loads((tmp_path / "again" / "table.json").read_text()) == record["table"]
    assert len(read_scores([record["scores"]])) == 8


def test_an_interrupt_ends_with_130_and_resumes(dit_lens_command, tmp_path: Path, model: Path, calls: Calls) -> None:
    words = ["bench", model, *WORDS, "--seeds", "0:2", "--out", tmp_path / "b", "--json"]
    calls.interrupt_at = 3
    said = dit_lens_command(*words)
    assert said.code == 130
    assert said.err.splitlines()[-1] == "interrupted; the same command resumes"
    assert len(lines_of(tmp_path / "b")) == 3
    before = (tmp_path / "b" / "results.jsonl").read_bytes()
    calls.interrupt_at = None
    record = dit_lens_command(*words).json
    assert (record["runs"], record["already_there"], len(calls)) == (8, 3, 8)
    assert (tmp_path / "b" / "results.jsonl").read_bytes().startswith(before)


def test_a_torn_line_is_run_again(dit_lens_command, tmp_path: Path, model: Path, calls: Calls) -> None:
    words = ["bench", model, *WORDS, "--out", tmp_path / "b", "--json"]
    whole = dit_lens_command(*words).json
    path = tmp_path / "b" / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    again = dit_lens_command(*words).json
    assert (again["already_there"], again["table"]) == (3, whole["table"])
    assert len(calls) == 5
    assert dit_lens_command(*words).json["already_there"] == 4


def test_puzzles_and_seeds_may_be_added(dit_lens_command, tmp_path: Path, model: Path, calls: Calls) -> None:
    words = ["bench", model, "--tasks", "maze:plain", "--size", "3", "--steps", "2", "--out", tmp_path / "b", "--json"]
    dit_lens_command(*words, "--n", 1)
    more = dit_lens_command(*words, "--n", 2, "--seeds", "0:2").json
    assert (more["runs"], more["already_there"]) == (4, 1)
    assert calls == [[0], [1], [0], [1]]
    less = dit_lens_command(*words, "--n", 1).json
    assert less["table"]["rows"][0]["puzzles"] == 1  # the table is of what the command names


def test_batches_are_seeds_of_one_puzzle_and_run_as_one(
    dit_lens_command, tmp_path: Path, model: Path, calls: Calls
) -> None:
    words = ["bench", model, *WORDS, "--batch", 2, "--out", tmp_path / "b", "--json"]
    assert dit_lens_command(*words, "--seeds", "0:3").code == 0
    assert calls == [[0, 1], [2]] * 4
    lines = (tmp_path / "b" / "results.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "b" / "results.jsonl").write_text("".join(lines[1:]))
    assert dit_lens_command(*words, "--seeds", "0:3").json["already_there"] == 11
    assert calls[-1] == [0, 1]
    assert len(lines_of(tmp_path / "b")) == 12
    said = dit_lens_command(*words, "--seeds", "0:4")
    assert said.code == 2
    assert "'In-Domain/maze-plain/00000' with seed 2 was run otherwise" in said.complaint
    assert "got seeds 2, 3 in one call, allowed 2; choose another folder" in said.complaint


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--guidance", "2"], "got guidance 2.0, allowed 1.5; choose another folder, or remove it to begin again"),
        (["--steps", "3"], "got steps 3, allowed 2"),
        (["--negative-prompt", "no"], "got negative_prompt 'no', allowed ''"),
        (["--set", "max_sequence_length=16"], "got another extra, allowed the same"),
        (["--dtype", "bfloat16"], "got dtype 'bfloat16', allowed 'float32'"),
    ],
)
def test_other_settings_are_refused(
    words: list[str], said: str, dit_lens_command, tmp_path: Path, model: Path, calls: Calls
) -> None:
    base = ["bench", model, "--tasks", "maze:plain", "--n", 1, "--size", 3, "--out", tmp_path / "b"]
    assert dit_lens_command(*base, "--steps", 2).code == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    refused = dit_lens_command(*base, *([] if "--steps" in words else ["--steps", 2]), *words)
    assert refused.code == 2
    assert said in refused.complaint
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_other_puzzles_under_the_same_names_are_refused(
    dit_lens_command, tmp_path: Path, model: Path, calls: Calls
) -> None:
    words = ["bench", model, "--tasks", "maze:plain", "--n", 1, "--steps", 2, "--out", tmp_path / "b"]
    assert dit_lens_command(*words, "--size", 3).code == 0
    assert "got another first frame or prompt, allowed the same" in dit_lens_command(*words).complaint


def test_other_weights_are_refused(model: Path, tmp_path: Path, calls: Calls) -> None:
    lens, questions = dit_lens.load(str(model)), puzzle_questions(["maze:plain"], n=1)
    list(run_bench(lens, questions, out=tmp_path / "b"))
    with torch.no_grad():
        next(lens.pipeline.transformer.parameters()).add_(1)
    with pytest.raises(OtherBench, match="got another weights, allowed the same"):
        run_bench(lens, questions, out=tmp_path / "b")


@pytest.mark.parametrize(
    ("file", "entry", "value"),
    [
        ("vae/config.json", "latents_std", [3.0] * 16),
        ("text_encoder/config.json", "relative_attention_max_distance", 3),
    ],
)
def test_another_configuration_of_a_component_is_refused(
    file: str, entry: str, value: object, model: Path, tmp_path: Path, calls: Calls
) -> None:
    shutil.copytree(model, tmp_path / "untrained")
    questions, out = puzzle_questions(["maze:plain"], n=1), tmp_path / "b"
    list(run_bench(dit_lens.load(tmp_path / "untrained"), questions, out=out))
    list(run_bench(dit_lens.load(tmp_path / "untrained"), questions, out=out))
    assert len(calls) == 1
    path = tmp_path / "untrained" / file
    path.write_text(json.dumps({**json.loads(path.read_text()), entry: value}))
    with pytest.raises(OtherBench, match="got another components, allowed the same"):
        run_bench(dit_lens.load(tmp_path / "untrained"), questions, out=out)


def test_other_words_of_the_tokenizer_are_refused(model: Path, tmp_path: Path, calls: Calls) -> None:
    lens, questions, out = dit_lens.load(model), puzzle_questions(["maze:plain"], n=1), tmp_path / "b"
    list(run_bench(lens, questions, out=out))
    lens.pipeline.tokenizer(["red", "draw the path"], padding="max_length", max_length=9, truncation=True)
    list(run_bench(lens, questions, out=out))
    lens.pipeline.tokenizer.add_tokens(["hedge"])
    with pytest.raises(OtherBench, match="got another components, allowed the same"):
        run_bench(lens, questions, out=out)


def test_results_under_other_rules_are_refused(
    dit_lens_command, tmp_path: Path, model: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["bench", model, "--tasks", "maze:plain", "--size", 3, "--steps", 2, "--out", tmp_path / "b"]
    assert dit_lens_command(*words, "--n", 1).code == 0
    monkeypatch.setattr("dit_lens.bench.running.scorer_version", lambda puzzle: "another")
    said = dit_lens_command(*words, "--n", 2)
    assert said.code == 2
    assert "'In-Domain/maze-plain/00000' in " in said.complaint
    assert "was scored by other rules; got another, allowed " in said.complaint
    assert len(calls) == 1


def test_the_default_said_aloud_is_the_same_run(dit_lens_command, tmp_path: Path, model: Path, calls: Calls) -> None:
    words = ["bench", model, *WORDS, "--out", tmp_path / "b", "--json"]
    dit_lens_command(*words)
    aloud = dit_lens_command(*words, "--frames", 17, "--height", 64, "--width", 64)
    assert aloud.json["already_there"] == 4


def test_two_at_once_in_one_folder_are_refused(dit_lens_command, tmp_path: Path, model: Path, calls: Calls) -> None:
    lens, questions = dit_lens.load(model), puzzle_questions(["maze:plain"], n=2, size=3)
    running = run_bench(lens, questions, condition=Condition(steps=2), out=tmp_path / "b")
    next(running)
    words = ["bench", model, "--tasks", "maze:plain", "--n", 2, "--size", 3, "--steps", 2, "--out", tmp_path / "b"]
    said = dit_lens_command(*words)
    assert said.code == 2
    assert "got one that is running there, allowed one at a time; wait until it ends" in said.complaint
    list(running)
    assert "2 of them already there" in dit_lens_command(*words).out


def test_frames_that_no_rule_can_score_are_refused_before_anything_runs(
    dit_lens_command, tmp_path: Path, model: Path, calls: Calls
) -> None:
    words = ["bench", model, "--tasks", "occlusion", "--n", 1, "--frames", 9, "--out", tmp_path / "b"]
    said = dit_lens_command(*words)
    assert said.code == 2
    assert "17" in said.complaint
    assert not calls
    assert not (tmp_path / "b").exists()


def test_a_folder_of_samples(dit_lens_command, tmp_path: Path, model: Path, calls: Calls) -> None:
    """It writes the tree that VBVR-EvalKit reads, a tree for each seed, and no score of its own."""
    write_folder([unseen("maze", 0), unseen("maze", 1), unseen("maze", 0, "large")], tmp_path / "data")
    words = ["bench", model, "--data", tmp_path / "data", "--steps", 2, "--frames", 17, "--seeds", "0:2"]
    said = dit_lens_command(*words, "--out", tmp_path / "b")
    assert said.code == 0, said.err
    videos = tmp_path / "b" / "videos"
    assert sorted(path.relative_to(videos).as_posix() for path in videos.rglob("*.mp4")) == [
        f"seed-{seed}/{name}.mp4"
        for seed in range(2)
        for name in ["In-Domain/maze/00000", "In-Domain/maze/00001", "Out-of-Domain/maze/00000"]
    ]
    assert said.out.splitlines()[-1].startswith("next     score the videos with VBVR-EvalKit")
    assert not (tmp_path / "b" / "table.json").exists()
    (videos / "seed-1" / "In-Domain" / "maze" / "00001.mp4").unlink()
    again = dit_lens_command(*words, "--out", tmp_path / "b", "--json").json
    assert (again["runs"], again["already_there"], again["table"]) == (6, 5, None)
    assert len(list(videos.rglob("*.mp4"))) == 6


def test_shards_share_nothing_and_are_joined_by_their_lines(
    dit_lens_command, empty: Path, model: Path, calls: Calls
) -> None:
    """As the documentation says it."""
    words = ["bench", model, *WORDS, "--json"]
    outs = [Path(dit_lens_command(*words, "--shard", f"{part}/2").json["out"]) for part in range(2)]
    assert [out.as_posix() for out in outs] == ["runs/bench-untrained-0-of-2", "runs/bench-untrained-1-of-2"]
    whole = Path("runs/bench-untrained")
    whole.mkdir()
    (whole / "results.jsonl").write_text("".join((out / "results.jsonl").read_text() for out in outs))
    (whole / "bench.json").write_bytes((outs[0] / "bench.json").read_bytes())
    record = dit_lens_command(*words).json
    assert (record["out"], record["runs"], record["already_there"]) == ("runs/bench-untrained", 4, 4)


BEFORE_THE_MODEL = {
    "no model": ("bench", "MODEL is missing; got nothing, allowed one value; add MODEL, or --scores"),
    "an unknown task": ("bench no-such --tasks mase", "unknown task; got 'mase'"),
    "an unknown variant": ("bench no-such --tasks maze:lng", "did you mean 'long'?"),
    "a size without puzzles": ("bench no-such --tasks grounding --size 5", "allowed none, this puzzle has no sizes"),
    "no puzzles": ("bench no-such --n 0", "--n cannot be used; got 0, allowed 1 to 100000; choose one of those"),
    "an empty range": ("bench no-such --seeds 2:2", "--seeds names nothing"),
    "seeds beyond number": ("bench no-such --seeds 0:10001", "--seeds names too many; got 10001, allowed 10000"),
    "no such part": (
        "bench no-such --tasks maze:plain --n 2 --shard 2/2",
        "N from 1 to 2, the number of puzzles; write --shard 0/2 for the first part",
    ),
    "no samples": ("bench no-such --data nothing", "the folder holds nothing to ask; got 'nothing' (no such folder)"),
    "a size of samples": ("bench no-such --data nothing --size 5", "--size is that of puzzles; got --data beside it"),
    "no such scores": ("bench --scores no.json", "scores cannot be read; got 'no.json' (no such file)"),
    "scores of a model": ("bench no-such --scores no.json", "--scores runs nothing; got MODEL beside it"),
    "scores and a setting": ("bench --scores no.json --set a=1", "--scores runs nothing; got --set beside it"),
    "an unreadable setting": ("bench no-such --n 1 --set a", "--set cannot be read"),
    "a place that is none": (
        "bench no-such --n 1 --out file/x",
        "--out cannot be used; got 'file/x' ('file' is a file)",
    ),
}


@pytest.mark.parametrize("name", BEFORE_THE_MODEL)
def test_what_is_wrong_is_said_on_one_line(name: str, dit_lens_command, empty: Path) -> None:
    (empty / "file").write_text("keep me")
    words, complaint = BEFORE_THE_MODEL[name]
    said = dit_lens_command(*words.split())
    assert said.code == 2
    assert complaint in said.complaint
    assert [path.name for path in empty.iterdir()] == ["file"]


def test_other_things_are_left_alone(dit_lens_command, tmp_path: Path, model: Path, calls: Calls) -> None:
    (tmp_path / "notes.txt").write_text("keep me")
    said = dit_lens_command("bench", model, *WORDS, "--out", tmp_path)
    assert said.code == 2
    assert f"a benchmark cannot be kept in '{tmp_path}'; got a folder with other things in it" in said.complaint
    (tmp_path / "table.json").write_text("[]")
    scores = tmp_path / "b" / "scores.json"
    dit_lens_command("bench", model, *WORDS, "--out", tmp_path / "b")
    said = dit_lens_command("bench", "--scores", scores, "--out", tmp_path)
    assert "('table.json' in it is no table of a benchmark), allowed a folder without it" in said.complaint
    assert (tmp_path / "table.json").read_text() == "[]"
    assert dit_lens_command("bench", "--scores", scores, "--out", tmp_path / "b").code == 0
    for name, text, complaint in [
        ("results.jsonl", '{"a": 1}\n', "line 1 of"),
        ("bench.json", "no", "the settings of a benchmark cannot be read"),
    ]:
        (tmp_path / "b" / name).write_text(text)
        said = dit_lens_command("bench", model, *WORDS, "--out", tmp_path / "b")
        assert said.code == 2
        assert complaint in said.complaint
    assert calls


def test_a_size_that_no_rule_can_score_is_refused_before_anything_runs(
    dit_lens_command, tmp_path: Path, model: Path, calls: Calls
) -> None:
    said = dit_lens_command("bench", model, *WORDS, "--height", 128, "--out", tmp_path / "b")
    assert said.code == 2
    assert "the video cannot be scored; got frames of (128, 64, 3)" in said.complaint
    assert not calls
    assert not (tmp_path / "b").exists()


def test_a_pipeline_that_fails_is_told_on_one_line(
    dit_lens_command, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import WanTransformer3DModel

    monkeypatch.setattr(WanTransformer3DModel, "forward", lambda self, hidden_states, **_: (hidden_states[..., :3],))
    said = dit_lens_command("bench", model, *WORDS, "--out", tmp_path / "b")
    assert said.code == 3
    assert "the pipeline failed while it was run; got RuntimeError" in said.err.splitlines()[-1]
    assert not (tmp_path / "b" / "results.jsonl").exists()


class TestInPython:
    """``run_bench`` without a folder."""

    def test_results_come_one_call_at_a_time(self, model: Path, calls: Calls) -> None:
        lens = dit_lens.load(str(model))
        results = run_bench(lens, [unseen("maze", i, size=3) for i in range(2)], range(2), Condition(steps=2))
        assert not calls
        first = next(results)
        assert (first.label, first.index, first.seed, first.solved, first.overall) == ("maze-3x3", 0, 0, True, 1.0)
        assert len(calls) == 1
        rest = list(results)
        assert [(each.index, each.seed, each.solved) for each in rest] == [(0, 1, False), (1, 0, True), (1, 1, False)]
        assert rest[0].overall == pytest.approx(0.1)

    def test_options_go_through_to_the_lens(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        lens, given = dit_lens.load(str(model)), {}

        def generate(self: dit_lens.Lens, requests: list[Any], **options: Any) -> list[Result]:
            given.update(options)
            video = np.zeros((17, 64, 64, 3), np.uint8)
            return [Result(torch.zeros(1), video, None, None, 0.1) for _ in requests]

        monkeypatch.setattr(dit_lens.Lens, "generate_batch", generate)
        list(run_bench(lens, puzzle_questions(["maze:plain"], n=1), decode=True))
        assert given == {"decode": True}

    def test_what_cannot_be_run_is_refused_at_once(self, model: Path, tmp_path: Path) -> None:
        lens, questions = dit_lens.load(str(model)), puzzle_questions(["maze:plain"], n=1)
        with pytest.raises(ValueError, match="the seeds cannot be run; got none in batches of 1"):
            run_bench(lens, questions, [])
        with pytest.raises(ValueError, match="got 0, 0 in batches of 1"):
            run_bench(lens, questions, [0, 0])
        with pytest.raises(ValueError, match="videos need a place; got videos without out"):
            run_bench(lens, questions, videos=True)
        with pytest.raises(BadPuzzle, match="cannot be scored"):
            run_bench(lens, questions, condition=Condition(height=32))

    def test_a_video_that_somebody_removes_meanwhile(self, model: Path, tmp_path: Path, calls: Calls) -> None:
        lens, questions = dit_lens.load(str(model)), puzzle_questions(["maze:plain"], n=1)
        bench = prepare_bench(lens, questions, [0, 1], batch=2, out=tmp_path / "b", videos=True)
        (call,) = bench.calls
        assert bench.missing(call) == (0, 1)
        assert [result.seed for result in bench.run(call)] == [0, 1]
        assert bench.missing(call) == ()
        assert len(calls) == 1
        video_path(tmp_path / "b" / "videos", call.question.name, 1).unlink()
        assert bench.missing(call) == (1,)
        assert len(bench.run(call)) == len(calls) == 2


def test_a_batch_of_a_lens_is_its_rows(model: Path) -> None:
    lens = dit_lens.load(str(model))
    (question,) = puzzle_questions(["maze:plain"], n=1)
    requests = [Condition(steps=2).request(question, seed) for seed in (0, 1)]
    rows = lens.generate_batch(requests)
    alone = lens.generate(requests[1])
    assert torch.allclose(rows[1].latents, alone.latents, atol=1e-3)
    assert not torch.allclose(rows[0].latents, alone.latents, atol=1e-1)
    assert rows[0].seconds == rows[1].seconds
    with pytest.raises(ValueError, match="the batch is empty"):
        lens.generate_batch([])
