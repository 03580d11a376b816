"""The folder of a benchmark: what a line may hold, what may change, and who may write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dit_lens.bench import BadBench, OtherBench, Result, puzzle_questions
from dit_lens.bench.journal import Journal
from dit_lens.bench.results import judge
from dit_lens.bench.scoring import scorer_version
from dit_lens.puzzles import unseen

SETTINGS = {"steps": 20, "components_sha256": {"vae": "a"}, "versions": {"torch": "1"}}


def result() -> Result:
    (question,) = puzzle_questions(["maze:plain"], n=1)
    assert question.puzzle is not None
    return judge(question, 0, question.puzzle.clip(), seconds=1.0, together=(0,))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    journal = Journal(tmp_path / "b", SETTINGS)
    journal.add([result()])
    journal.end()
    return tmp_path / "b"


def test_a_line_is_read_as_it_was_written(folder: Path) -> None:
    assert list(Journal(folder, SETTINGS).results.values()) == [result()]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"overall": float("nan")}, "overall nan"),
        ({"overall": "0.5"}, "overall '0.5'"),
        ({"overall": 1.5}, "overall 1.5"),
        ({"solved": "no"}, "solved 'no'"),
        ({"seed": "0"}, "seed '0'"),
        ({"seed": True}, "seed True"),
        ({"together": 0}, "together 0"),
        ({"together": ["a"]}, "together"),
        ({"dimensions": None}, "dimensions None"),
        ({"dimensions": {"a": "b"}}, "dimensions"),
        ({"split": "elsewhere"}, "split 'elsewhere'"),
        ({"other": 1}, "other 1"),
    ],
)
def test_a_field_that_is_none_is_refused_by_file_and_line(changed: dict[str, Any], said: str, folder: Path) -> None:
    path = folder / "results.jsonl"
    path.write_text(path.read_text() + json.dumps({**result().as_dict(), **changed}) + "\n")
    with pytest.raises(BadBench, match=rf"^line 2 of '.*results.jsonl' is no result; got {said}.*; remove the line$"):
        Journal(folder, SETTINGS)


@pytest.mark.parametrize(("line", "said"), [("null", "no result"), ("[1]", "no result"), ("{}", "no answer")])
def test_a_line_that_is_whole_and_no_result_is_refused(line: str, said: str, folder: Path) -> None:
    path = folder / "results.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(BadBench, match=f"^line 1 of .*; got {said}, allowed"):
        Journal(folder, SETTINGS)


def test_what_only_the_older_settings_have_is_a_difference(folder: Path) -> None:
    with pytest.raises(OtherBench, match="got another components, allowed the same"):
        Journal(folder, {name: value for name, value in SETTINGS.items() if name != "components_sha256"})
    with pytest.raises(OtherBench, match="got lora 'on', allowed None"):
        Journal(folder, {**SETTINGS, "lora": "on"})
    assert Journal(folder, {"steps": 20, "components_sha256": {"vae": "a"}}).results


def test_one_at_a_time(folder: Path) -> None:
    first, waiting = Journal(folder, SETTINGS), Journal(folder, SETTINGS)
    first.begin()
    said = f"a benchmark cannot go on in '{folder}'; got one that is running there, allowed one at a time; wait"
    for attempt in (waiting.begin, lambda: Journal(folder, SETTINGS)):
        with pytest.raises(BadBench, match=said):
            attempt()
    other = Result(**{**result().__dict__, "seed": 5})
    first.add([other])
    first.end()
    waiting.begin()
    assert waiting.results == {**first.results}
    waiting.end()


def test_other_rules_are_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    puzzle = unseen("maze", 0)
    assert result().scoring == scorer_version(puzzle)
    from dit_lens.bench import scoring

    changed = tmp_path / "maze" / "score.py"
    changed.parent.mkdir()
    changed.write_text("WEIGHTS = {}")
    monkeypatch.setattr(scoring, "_sources", lambda kind: [changed])
    scoring._version.cache_clear()
    before = scorer_version(puzzle)
    changed.write_text("WEIGHTS = {'path': 1}")
    scoring._version.cache_clear()
    assert scorer_version(puzzle) != before
    scoring._version.cache_clear()
