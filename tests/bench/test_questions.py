"""Which questions a benchmark asks, of puzzles and of folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from dit_lens.bench import BadBench, Condition, folder_questions, puzzle_questions
from dit_lens.bench.questions import Question, questions_of, read_tasks
from dit_lens.errors import BadPuzzle
from dit_lens.puzzles import TASKS, make_puzzle, unseen, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tasks of a benchmark, as VBVR-Bench lays them out."""
    for split, task, count in [("In-Domain_50", "G-1_lines_data-generator", 2), ("Out-of-Domain_50", "O-39_maze", 1)]:
        for index in range(count):
            sample = tmp_path / split / task / f"{index:05d}"
            sample.mkdir(parents=True)
            Image.new("RGB", (32, 16), (index, 0, 0)).save(sample / "first_frame.png")
            (sample / "prompt.txt").write_text("Draw the line.\n", encoding="utf-8")
    return tmp_path


def test_without_a_word_it_is_everything() -> None:
    assert read_tasks() == [(task, variant) for task in TASKS for variant in TASKS[task].variants]


def test_puzzles_are_the_unseen_ones_in_their_order() -> None:
    questions = puzzle_questions(["maze:plain", "fork:cue"], n=2)
    assert [(each.task, each.variant, each.index) for each in questions] == [
        ("maze", "plain", 0),
        ("maze", "plain", 1),
        ("fork", "cue", 0),
        ("fork", "cue", 1),
    ]
    assert questions[3].puzzle == unseen("fork", 1, "cue")
    assert questions[0].split == "in-domain"
    assert puzzle_questions(["maze:long"], n=1)[0].split == "out-of-domain"


def test_puzzles_of_ones_own_are_numbered() -> None:
    questions = questions_of([make_puzzle("maze", seed, size=3) for seed in (7, 9)])
    assert [each.name for each in questions] == ["In-Domain/maze-plain/00000", "In-Domain/maze-plain/00001"]
    assert questions[0].fingerprint() != questions[1].fingerprint()


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (["mase"], "unknown task; got 'mase', allowed maze, fork, grounding, occlusion; did you mean 'maze'"),
        (["zzz"], "; choose one of those"),
        (["maze:lng"], "unknown variant of maze; got 'lng', allowed plain, large, long; did you mean 'long'"),
        (["maze", "maze:long"], "named more than once; got maze:long in maze,maze:long, allowed each once; remove one"),
    ],
)
def test_tasks_that_are_not_there_are_refused(tasks: list[str], said: str) -> None:
    with pytest.raises(BadBench, match=said):
        puzzle_questions(tasks)


def test_sizes_that_are_not_there_are_refused() -> None:
    with pytest.raises(BadPuzzle, match="no such size"):
        puzzle_questions(["maze:large"], n=1, size=3)


def test_nothing_to_ask_and_names_twice_are_refused() -> None:
    with pytest.raises(BadBench, match="nothing to ask; got no puzzle"):
        questions_of([])
    (question,) = puzzle_questions(["maze:plain"], n=1)
    with pytest.raises(BadBench, match="two questions have the same name; got 'In-Domain/maze-plain/00000'"):
        questions_of([question, question])
    bare = Question("a/0", "a", "", None, 0, "a", "Draw.")
    with pytest.raises(BadBench, match="question 'a/0' has no first frame"):
        bare.image()


def test_a_folder_is_read_as_it_lies(folder: Path) -> None:
    questions = folder_questions(folder)
    assert [each.name for each in questions] == [
        "In-Domain_50/G-1_lines_data-generator/00000",
        "In-Domain_50/G-1_lines_data-generator/00001",
        "Out-of-Domain_50/O-39_maze/00000",
    ]
    assert [each.split for each in questions] == ["in-domain", "in-domain", "out-of-domain"]
    assert {each.task for each in questions} == {"G-1_lines", "O-39_maze"}
    assert questions[0].prompt == "Draw the line."
    assert questions[1].image().size == (32, 16)
    assert Condition().request(questions[0], 0).frames is None
    assert Condition().request(questions[0], 0).image.size == (32, 16)  # type: ignore[union-attr]
    request = Condition(height=64).request(questions[0], 0)
    assert (request.image.size, request.height, request.width) == ((32, 64), 64, None)  # type: ignore[union-attr]


def test_a_part_of_a_folder(folder: Path) -> None:
    assert len(folder_questions(folder, n=1)) == 2
    assert len(folder_questions(folder, ["G-1_lines"])) == 2
    assert len(folder_questions(folder, ["G-1_lines_data-generator"], n=1)) == 1
    without_split = folder_questions(folder / "In-Domain_50")
    assert [each.name for each in without_split] == [f"G-1_lines_data-generator/0000{i}" for i in range(2)]
    assert {each.split for each in without_split} == {None}


def test_the_folder_that_puzzles_write_can_be_read(tmp_path: Path) -> None:
    write_folder([unseen("maze", 0), unseen("maze", 0, "long")], tmp_path)
    questions = folder_questions(tmp_path)
    assert [each.name for each in questions] == ["In-Domain/maze/00000", "Out-of-Domain/maze/00000"]
    assert questions[0].fingerprint() == puzzle_questions(["maze:plain"], n=1)[0].fingerprint()


def test_folders_that_cannot_be_asked_are_refused(folder: Path) -> None:
    with pytest.raises(BadBench, match="no such folder"):
        folder_questions(folder / "nothing")
    with pytest.raises(BadBench, match="no such samples in it"):
        folder_questions(folder / "In-Domain_50" / "G-1_lines_data-generator")
    with pytest.raises(BadBench, match="got 'G-1_line', allowed G-1_lines, O-39_maze; did you mean 'G-1_lines'"):
        folder_questions(folder, ["G-1_line"])
    sample = folder / "Out-of-Domain_50" / "O-39_maze" / "00000"
    (sample / "first_frame.png").write_bytes(b"no picture")
    with pytest.raises(BadBench, match=r"a first frame cannot be read; got '.*first_frame\.png'"):
        folder_questions(folder)[-1].image()
    (sample / "prompt.txt").unlink()
    with pytest.raises(BadBench, match=r"a sample has no prompt; got '.*prompt.txt' \(no such file\)"):
        folder_questions(folder)


def test_prompts_are_read_as_people_write_them(folder: Path) -> None:
    prompt = folder / "Out-of-Domain_50" / "O-39_maze" / "00000" / "prompt.txt"
    prompt.write_bytes(b"\xef\xbb\xbfDraw.\r\n")
    assert folder_questions(folder)[-1].prompt == "Draw."
    prompt.write_bytes(b"\xef\xbb\xbf \n")
    with pytest.raises(BadBench, match=r"has no prompt; got '.*prompt.txt' \(it is empty\), allowed a text; write one"):
        folder_questions(folder)


def test_numbers_are_in_order_and_hidden_folders_are_left_out(folder: Path) -> None:
    task = folder / "Out-of-Domain_50" / "O-39_maze"
    for name in ("10", "2", "b", ".ipynb_checkpoints"):
        shutil.copytree(task / "00000", task / name)
    shutil.copytree(task, folder / ".trash" / "O-39_maze")
    names = [each.name.split("/")[-1] for each in folder_questions(folder, ["O-39_maze"])]
    assert names == ["00000", "00002", "00010", "b"]


def test_a_picture_too_large_to_be_one_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BadBench, match=r"a first frame cannot be read; got '.*', allowed a smaller picture; check the"):
        folder_questions(folder)[0].image()
