"""Scores in the form of VBVR-EvalKit, so that one reader serves its results and ours.

``{model_name, summary, samples: [{video_path, task_name, split, category, score, dimensions}]}``. What is written here
has ``solved`` in a sample besides, and the tree of the seed in front of ``video_path``; a reader that does not know
them loses nothing. Only ``samples`` is read, or ``detailed``, as its program ``evaluate.py`` calls the same list. A
file without such seeds in its paths is one seed, by its place among the files; two such files that hold no video in
common are parts of something else, and refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any

from dit_lens.bench.errors import BadScores
from dit_lens.bench.results import Result
from dit_lens.bench.samples import plain_task, split_named
from dit_lens.bench.written import write_file
from dit_lens.puzzles.registry import TASKS

__all__ = ["as_scores", "read_scores", "write_scores"]

_SPLITS = {"in-domain": "In_Domain", "out-of-domain": "Out_of_Domain"}
_SEED = re.compile(r"seed-([0-9]{1,18})")


def write_scores(results: Iterable[Result], path: Path, model: str) -> None:
    """Write the scores of all seeds into one file."""
    write_file(path, json.dumps(as_scores(results, model), indent=1) + "\n")


def as_scores(results: Iterable[Result], model: str) -> dict[str, Any]:
    """Results as VBVR-EvalKit writes them; those that nothing has scored are left out.

    Examples
    --------
    >>> one = Result(question="In-Domain/maze-plain/00000", task="maze", variant="plain", split="in-domain", index=0,
    ...              label="maze-5x5", seed=0, solved=True, overall=1.0)
    >>> found = as_scores([one], "tiny-wan")
    >>> found["samples"][0]["video_path"], found["summary"]["overall"]["mean_score"]
    ('seed-0/In-Domain/maze-plain/00000.mp4', 1.0)
    """
    samples = [_sample(result) for result in results if result.overall is not None]
    named = {name: [each for each in samples if each["split"] == name] for name in _SPLITS.values()}
    summary = {**{name: _summary(part) for name, part in named.items()}, "overall": _summary(samples)}
    return {"model_name": model, "summary": summary, "samples": samples}


def read_scores(paths: Sequence[str | Path]) -> list[Result]:
    """Read files of scores, of one model: either ours, or one of VBVR-EvalKit for each seed.

    Parameters
    ----------
    paths : sequence of str or pathlib.Path

    Returns
    -------
    list of Result

    Raises
    ------
    BadScores
        If a file cannot be read, two hold the same video with the same seed, or two that each are a seed have no
        video in common.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "scores.json"
    >>> sample = {"video_path": "In-Domain_50/G-1/00002.mp4", "task_name": "G-1", "split": "In-Domain_50"}
    >>> _ = path.write_text(json.dumps({"samples": [{**sample, "score": 0.5}]}))
    >>> [(result.task, result.split, result.index, result.overall) for result in read_scores([path])]
    [('G-1', 'in-domain', 2, 0.5)]
    """
    results: dict[tuple[str, int], Result] = {}
    as_seeds: dict[int, set[str]] = {}
    for number, path in enumerate(map(Path, paths)):
        for sample in _samples(path):
            result, has_seed = _result(sample, number, path)
            if not has_seed:
                as_seeds.setdefault(number, set()).add(result.question)
            if (result.question, result.seed) in results:
                raise BadScores(
                    f"scores hold a video twice; got '{result.question}' with seed {result.seed} again in '{path}', "
                    f"allowed each once; leave one out"
                )
            results[result.question, result.seed] = result
    for one, other in combinations(as_seeds, 2):
        if not as_seeds[one] & as_seeds[other]:
            raise BadScores(
                f"scores of two seeds have no video in common; got '{paths[one]}' and '{paths[other]}', allowed a file "
                f"for each seed with the same videos; join files of one seed into one"
            )
    return list(results.values())


def _sample(result: Result) -> dict[str, Any]:
    return {
        "video_path": f"seed-{result.seed}/{result.question}.mp4",
        "task_name": f"{result.task}-{result.variant}" if result.variant else result.task,
        "split": _SPLITS.get(result.split or "", ""),
        "category": result.category,
        "score": result.overall,
        "dimensions": dict(result.dimensions),
        "solved": result.solved,
    }


def _summary(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "mean_score": _mean(samples),
        "num_samples": len(samples),
        "by_task": _by("task_name", samples),
        "by_category": _by("category", samples),
    }


def _by(name: str, samples: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    names = dict.fromkeys(sample[name] for sample in samples if sample[name])
    return {each: _mean([sample for sample in samples if sample[name] == each]) for each in names}


def _mean(samples: Sequence[Mapping[str, Any]]) -> float | None:
    return math.fsum(sample["score"] for sample in samples) / len(samples) if samples else None


def _samples(path: Path) -> list[Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        samples = read["samples"] if "samples" in read else read["detailed"]
    except FileNotFoundError as error:
        raise _unreadable(path, "no such file") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, "no JSON with samples") from error
    if not isinstance(samples, list) or not samples:
        raise _unreadable(path, "no samples in it")
    return samples


def _result(sample: Any, number: int, path: Path) -> tuple[Result, bool]:
    """And whether the sample says its seed."""
    try:
        video = PurePosixPath(str(sample["video_path"]).replace("\\", "/"))
        name, score = plain_task(str(sample["task_name"])), float(sample["score"])
        dimensions = {str(key): float(value) for key, value in (sample.get("dimensions") or {}).items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(path, f"a sample {str(sample)[:60]!r}") from error
    if not 0 <= score <= 1:
        raise _unreadable(path, f"a score of {score}")
    split = str(sample.get("split") or "")
    task, variant = _task_of(name)
    seeds = [match for part in video.parts if (match := _SEED.fullmatch(part))]
    digits = re.search(r"[0-9]{1,18}$", video.stem)
    result = Result(
        question="/".join(filter(None, (split_named(split) or split, name, video.stem))),
        task=task,
        variant=variant,
        split=split_named(split),
        index=int(digits[0]) if digits else 0,
        label=name,
        seed=int(seeds[-1][1]) if seeds else number,
        solved=sample["solved"] if isinstance(sample.get("solved"), bool) else None,
        overall=score,
        dimensions=dimensions,
        category=str(sample.get("category") or ""),
    )
    return result, bool(seeds)


def _task_of(name: str) -> tuple[str, str]:
    """Task and variant of our own puzzles; any other name is a task."""
    known = ((task, variant) for task in TASKS for variant in TASKS[task].variants if f"{task}-{variant}" == name)
    return next(known, (name, ""))


def _unreadable(path: Path, reason: str) -> BadScores:
    return BadScores(
        f"scores cannot be read; got '{path}' ({reason}), allowed the JSON of VBVR-EvalKit with scores from 0 to 1; "
        f"check the file"
    )
