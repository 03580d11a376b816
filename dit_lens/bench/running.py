"""Run questions with seeds, several seeds of a question in one call of the model, and leave out what is done.

Everything that can be wrong is found before the first call: the requests against the model, the size against the rules
that will score the answers, the folder against the settings. Of a call with a missing row all rows run again, because
what a row computes depends, up to rounding, on what runs beside it; only what is missing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dit_lens.bench.condition import Condition, describe_bench
from dit_lens.bench.errors import BadBench, OtherBench
from dit_lens.bench.journal import Journal
from dit_lens.bench.questions import Question, questions_of
from dit_lens.bench.results import Result, judge
from dit_lens.bench.scoring import scorer_version

if TYPE_CHECKING:
    import numpy.typing as npt

    from dit_lens.lens import Lens
    from dit_lens.puzzles.contract import Puzzle

__all__ = ["Bench", "Call", "prepare_bench", "run_bench", "video_path"]


@dataclass(frozen=True)
class Call:
    """One call of the model: a question with the seeds that run together."""

    question: Question
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Bench:
    """A benchmark that was checked; made by ``prepare_bench``.

    Attributes
    ----------
    lens : Lens
    condition : Condition
    calls : tuple of Call
    settings : mapping
        Everything needed to run it again, its questions and seeds aside.
    journal : Journal or None
        Where results are kept.
    videos : pathlib.Path or None
        Where videos are kept.
    options : mapping
        Further arguments of ``lens.generate_batch``.
    """

    lens: Lens
    condition: Condition
    calls: tuple[Call, ...]
    settings: Mapping[str, Any]
    journal: Journal | None
    videos: Path | None
    options: Mapping[str, Any]

    def missing(self, call: Call) -> tuple[int, ...]:
        """Seeds of a call that are still to be run."""
        done = self._done(call)
        return tuple(seed for seed in call.seeds if seed not in done)

    def run(self, call: Call) -> tuple[Result, ...]:
        """The results of a call, in the order of its seeds; what is done is read, what is not is run and kept."""
        results = self._done(call)
        missing = [seed for seed in call.seeds if seed not in results]
        if missing and self.journal is not None:
            self.journal.begin()
            results = self._done(call)
            missing = [seed for seed in call.seeds if seed not in results]
        if missing:
            results |= self._run(call, missing)
        return tuple(results[seed] for seed in call.seeds)

    def end(self) -> None:
        """Let others write to the folder; this one may go on when they have ended."""
        if self.journal is not None:
            self.journal.end()

    def _run(self, call: Call, missing: Sequence[int]) -> dict[int, Result]:
        requests = [self.condition.request(call.question, seed) for seed in call.seeds]
        rows = self.lens.generate_batch(requests, **self.options)
        results = {}
        for seed, row in zip(call.seeds, rows, strict=True):
            if seed not in missing:
                continue
            if self.videos is not None and row.video is not None:
                _write_video(row.video, video_path(self.videos, call.question.name, seed))
            results[seed] = judge(call.question, seed, row.video, seconds=row.seconds, together=call.seeds)
        if self.journal is not None:
            self.journal.add(results.values())
        return results

    def _done(self, call: Call) -> dict[int, Result]:
        """Results by seed; one of which the video is missing is not done, if videos are wanted."""
        known = {} if self.journal is None else self.journal.results
        name, videos = call.question.name, self.videos
        return {
            seed: known[name, seed]
            for seed in call.seeds
            if (name, seed) in known and (videos is None or video_path(videos, name, seed).is_file())
        }


def prepare_bench(
    lens: Lens,
    puzzles: Iterable[Puzzle | Question],
    seeds: Iterable[int] = (0,),
    condition: Condition | None = None,
    *,
    batch: int = 1,
    out: str | Path | None = None,
    videos: bool = False,
    **options: Any,
) -> Bench:
    """Check a benchmark without running it; parameters and errors are those of ``run_bench``."""
    condition, seeds = condition or Condition(), tuple(seeds)
    questions = questions_of(puzzles)
    if not seeds or len(set(seeds)) != len(seeds) or batch < 1:
        raise BadBench(
            f"the seeds cannot be run; got {', '.join(map(str, seeds)) or 'none'} in batches of {batch}, allowed one "
            f"seed or more, each once, and a batch of 1 or more; change them"
        )
    if videos and out is None:
        raise BadBench("videos need a place; got videos without out, allowed both; give out a folder")
    _check_requests(lens, questions, condition)
    picture = next((question for question in questions if question.puzzle is None), questions[0])
    settings = describe_bench(lens, picture, condition, options)
    journal = None if out is None else Journal(Path(out), settings)
    parts = [seeds[start : start + batch] for start in range(0, len(seeds), batch)]
    calls = tuple(Call(question, part) for question in questions for part in parts)
    if journal is not None:
        _check_done(calls, journal)
    folder = Path(out) / "videos" if videos and out is not None else None
    return Bench(lens, condition, calls, settings, journal, folder, options)


def run_bench(
    lens: Lens,
    puzzles: Iterable[Puzzle | Question],
    seeds: Iterable[int] = (0,),
    condition: Condition | None = None,
    *,
    batch: int = 1,
    out: str | Path | None = None,
    videos: bool = False,
    **options: Any,
) -> Iterator[Result]:
    """Run every puzzle with every seed; everything is checked at once, and each call runs when its result is asked for.

    Parameters
    ----------
    lens : Lens
    puzzles : iterable of Puzzle or Question
    seeds : iterable of int
    condition : Condition, optional
        What all runs share; by default 20 steps with guidance 1.5.
    batch : int
        Seeds of a puzzle in one call of the model.
    out : str or pathlib.Path, optional
        Folder that keeps results; what it has is not run again.
    videos : bool
        Whether to write videos below ``out``.
    **options
        Further arguments of ``lens.generate_batch``.

    Returns
    -------
    iterator of Result

    Raises
    ------
    BadBench, BadRequest, BadPuzzle
        If it cannot be run, no rule could score what would come out, or another is running in ``out``.
    OtherBench
        If ``out`` holds a benchmark with other settings, or results under other rules.

    Examples
    --------
    >>> from dit_lens.bench import make_table, puzzle_questions
    >>> results = run_bench(lens, puzzle_questions(["maze"], n=4), seeds=range(2))  # doctest: +SKIP
    >>> print(make_table(results).text())  # doctest: +SKIP
    """
    bench = prepare_bench(lens, puzzles, seeds, condition, batch=batch, out=out, videos=videos, **options)
    return _results(bench)


def _results(bench: Bench) -> Iterator[Result]:
    try:
        for call in bench.calls:
            yield from bench.run(call)
    finally:
        bench.end()


def video_path(videos: Path, question: str, seed: int) -> Path:
    """Where the video of a question goes: a tree for each seed.

    Examples
    --------
    >>> video_path(Path("videos"), "In-Domain/maze-plain/00003", 1).as_posix()
    'videos/seed-1/In-Domain/maze-plain/00003.mp4'
    """
    return videos / f"seed-{seed}" / f"{question}.mp4"


def _check_requests(lens: Lens, questions: Sequence[Question], condition: Condition) -> None:
    """Every request against the model; of each task and variant, one black video against the rules."""
    judged = set()
    for question in questions:
        size = lens.check(condition.request(question, 0))
        kind = (question.task, question.variant)
        if question.puzzle is not None and kind not in judged:
            judged.add(kind)
            question.puzzle.score(np.zeros((size.frames, size.height, size.width, 3), dtype=np.uint8))


def _check_done(calls: Sequence[Call], journal: Journal) -> None:
    """What is there must have been asked in the same words, computed beside the same seeds, and scored by the rules."""
    _check_scoring(calls, journal)
    for call in calls:
        done = [journal.results.get((call.question.name, seed)) for seed in call.seeds]
        there = [result for result in done if result is not None]
        fingerprint = call.question.fingerprint() if there else ""
        for result in there:
            other = result.fingerprint != fingerprint
            if other or result.together != call.seeds:
                what = "another first frame or prompt" if other else f"seeds {_list(call.seeds)} in one call"
                was = "the same" if other else _list(result.together)
                raise OtherBench(
                    f"'{result.question}' with seed {result.seed} was run otherwise in '{journal.folder}'; got {what}, "
                    f"allowed {was}; choose another folder, or the seeds and the batch that it was run with"
                )


def _check_scoring(calls: Sequence[Call], journal: Journal) -> None:
    """Of the tasks that are asked for, whichever puzzles: the folder is one benchmark."""
    rules = {
        call.question.task: scorer_version(call.question.puzzle) for call in calls if call.question.puzzle is not None
    }
    for result in journal.results.values():
        wanted = rules.get(result.task)
        if wanted is not None and result.overall is not None and result.scoring != wanted:
            raise OtherBench(
                f"'{result.question}' in '{journal.folder}' was scored by other rules; got {wanted}, allowed "
                f"{result.scoring or 'those of an earlier version'}; choose another folder, or remove it to begin again"
            )


def _list(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _write_video(video: npt.NDArray[np.uint8], path: Path) -> None:
    """The file has its name when it is whole."""
    from dit_lens.puzzles.folder import write_video

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.partial.mp4")
    write_video(video, part)
    part.replace(path)
