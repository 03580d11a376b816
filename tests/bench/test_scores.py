"""The table, and scores in the form of VBVR-EvalKit: written, and read back to the same table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dit_lens.bench import (
    BadScores,
    Result,
    make_table,
    puzzle_questions,
    read_scores,
    two_level_interval,
    write_scores,
)
from dit_lens.bench.results import judge

TASKS = ["maze:plain", "maze:long", "fork:free"]


def results() -> list[Result]:
    """Three puzzles of three variants with two seeds: some videos are right, in others nothing happens."""
    found = []
    for number, question in enumerate(puzzle_questions(TASKS, n=3)):
        assert question.puzzle is not None
        for seed in range(2):
            clip = question.puzzle.clip()
            video = clip if (number + seed) % 3 else np.repeat(clip[:1], 17, axis=0)
            found.append(judge(question, seed, video, seconds=1.0, together=(0, 1)))
    return found


def evalkit(*samples: dict[str, Any]) -> str:
    """What VBVR-EvalKit writes, as far as anyone reads it."""
    return json.dumps({"model_name": "m", "summary": {}, "samples": list(samples)})


def sample(task: str, index: int, score: float, split: str = "In-Domain_50") -> dict[str, Any]:
    path = f"/data/m/{split}/{task}_data-generator/{index:05d}.mp4"
    facts = {"video_path": path, "task_name": f"{task}_data-generator", "split": split}
    return {**facts, "category": "Spatiality", "score": score, "dimensions": {"path": score}}


def test_rows_and_summaries() -> None:
    found = results()
    table = make_table(found)
    assert [(row.task, row.variant, row.split) for row in table.rows] == [
        ("maze", "plain", "in-domain"),
        ("maze", "long", "out-of-domain"),
        ("fork", "free", "in-domain"),
    ]
    first = table.rows[0]
    scores = np.array([result.overall for result in found[:6]]).reshape(3, 2)
    assert first.score == two_level_interval(scores)
    assert (first.puzzles, first.seeds, first.do_nothing) == (3, 2, 0.1)
    overall, inside, outside = table.summary
    assert [row.task for row in table.summary] == ["Overall", "In-Domain", "Out-of-Domain"]
    means = [row.score.mean for row in table.rows if row.score]
    assert overall.score is not None
    assert overall.score.mean == pytest.approx(np.mean(means))
    assert (overall.puzzles, inside.puzzles, outside.puzzles) == (9, 6, 3)


def test_the_table_as_text_and_json() -> None:
    table = make_table(results())
    lines = table.text().splitlines()
    assert lines[0].split() == ["task", "variant", "split", "n", "solved", "score", "floor"]
    assert lines[1].split()[:6] == ["maze", "plain", "in-domain", "3", "x", "2"]
    assert [line.split()[0] for line in lines[4:7]] == ["Overall", "In-Domain", "Out-of-Domain"]
    record = json.loads(json.dumps(table.as_dict(), allow_nan=False))
    assert record["rows"][0]["score"]["mean"] == pytest.approx(table.rows[0].score.mean)  # type: ignore[union-attr]
    assert set(record["summary"]) == {"Overall", "In-Domain", "Out-of-Domain"}
    assert (record["level"], record["resamples"], record["seed"]) == (0.95, 2000, 0)


def test_an_end_that_is_not_known_is_null() -> None:
    one = [result for result in results() if result.index == 0 and result.variant == "plain"]
    record = make_table(one).as_dict()
    assert record["rows"][0]["score"]["low"] is None
    json.dumps(record, allow_nan=False)


def test_what_was_written_is_read_to_the_same_table(tmp_path: Path) -> None:
    found = results()
    write_scores(found, tmp_path / "scores.json", "tiny-wan")
    assert make_table(read_scores([tmp_path / "scores.json"])) == make_table(found)
    record = json.loads((tmp_path / "scores.json").read_text())
    assert record["model_name"] == "tiny-wan"
    assert set(record["summary"]) == {"In_Domain", "Out_of_Domain", "overall"}
    assert record["summary"]["overall"]["num_samples"] == 18
    mean = np.mean([result.overall for result in found])
    assert record["summary"]["overall"]["mean_score"] == pytest.approx(mean)
    assert set(record["summary"]["In_Domain"]["by_task"]) == {"maze-plain", "fork-free"}
    assert set(record["summary"]["overall"]["by_category"]) == {"maze", "fork"}
    keys = {"video_path", "task_name", "split", "category", "score", "dimensions"}
    assert keys <= set(record["samples"][0])


def test_scores_of_evalkit_one_file_a_seed(tmp_path: Path) -> None:
    for seed in range(2):
        samples = [sample("G-1", i, (i + seed) / 4) for i in range(3)]
        samples += [sample("O-39", i, 0.5, "Out-of-Domain_50") for i in range(2)]
        (tmp_path / f"{seed}.json").write_text(evalkit(*samples))
    table = make_table(read_scores([tmp_path / "0.json", tmp_path / "1.json"]))
    assert [(row.task, row.split, row.puzzles, row.seeds) for row in table.rows] == [
        ("G-1", "in-domain", 3, 2),
        ("O-39", "out-of-domain", 2, 2),
    ]
    assert table.rows[0].score == two_level_interval([[0, 0.25], [0.25, 0.5], [0.5, 0.75]])
    assert table.rows[0].solved is None
    assert table.text().splitlines()[0].split() == ["task", "split", "n", "score"]


def test_scores_as_the_program_of_evalkit_writes_them(tmp_path: Path) -> None:
    """It calls the list otherwise, names splits in its own way, and says with a zero what it could not judge."""
    failed = {**sample("G-1", 1, 0.0, "In_Domain"), "error": "no frames", "dimensions": {}, "video_idx": "00001"}
    record = {"overall": {"mean_score": 0.4}, "In_Domain": {"scores": [0.8, 0.0]}, "Out_of_Domain": {"scores": []}}
    detailed = [sample("G-1", 0, 0.8, "In_Domain"), failed]
    (tmp_path / "0.json").write_text(json.dumps({**record, "by_task": {}, "detailed": detailed}))
    found = read_scores([tmp_path / "0.json"])
    assert [(each.task, each.split, each.overall) for each in found] == [
        ("G-1", "in-domain", 0.8),
        ("G-1", "in-domain", 0),
    ]


def test_scores_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    with pytest.raises(BadScores, match=r"scores cannot be read; got '.*scores.json' \(no such file\)"):
        read_scores([path])
    for text, reason in [
        ("[", "no JSON with samples"),
        ("[]", "no JSON with samples"),
        (evalkit(), "no samples in it"),
        (evalkit({"task_name": "G-1"}), "a sample"),
        (evalkit({**sample("G-1", 0, 0.5), "dimensions": [1]}), "a sample"),
        (evalkit(sample("G-1", 0, 1.5)), "a score of 1.5"),
        (evalkit(sample("G-1", 0, float("nan"))), "a score of nan"),
    ]:
        path.write_text(text)
        with pytest.raises(BadScores, match=rf"{reason}.*, allowed the JSON of VBVR-EvalKit .*; check the file"):
            read_scores([path])


def test_a_video_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(evalkit(sample("G-1", 0, 0.5), sample("G-1", 0, 0.5)))
    with pytest.raises(BadScores, match="hold a video twice; got 'in-domain/G-1/00000' with seed 0"):
        read_scores([path])


def test_parts_of_one_seed_are_not_taken_for_two(tmp_path: Path) -> None:
    for part in range(2):
        samples = [sample("G-1", i, 0.5) for i in range(part * 3, part * 3 + 3)]
        (tmp_path / f"{part}.json").write_text(evalkit(*samples))
    with pytest.raises(BadScores, match=r"two seeds have no video in common; got '.*0.json' and '.*1.json', allowed a"):
        read_scores([tmp_path / "0.json", tmp_path / "1.json"])


def test_a_table_with_holes_does_not_claim_all_runs() -> None:
    found = results()
    assert [row.cells()[3] for row in make_table(found).rows] == ["3 x 2"] * 3
    cut = make_table(found[:-1])
    assert [row.cells()[3] for row in cut.rows] == ["3 x 2", "3 x 2", "3, 5 runs"]
    assert cut.summary[0].cells()[3] == "9, 17 runs"


def test_joined_parts_give_the_table_of_one_run(tmp_path: Path) -> None:
    """Whatever the order of the results, to the last digit."""
    found = results()
    for part in range(2):
        write_scores(found[1 - part :: 2], tmp_path / f"{part}.json", "tiny-wan")
    assert make_table(read_scores([tmp_path / "0.json", tmp_path / "1.json"])) == make_table(found)
    assert make_table(found[::-1]) == make_table(found)
