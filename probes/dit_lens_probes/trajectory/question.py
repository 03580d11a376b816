"""Which question a trace answers: what its seeds share, and the puzzle behind it if there is one.

The manifest of a trace holds its prompt and the hash of its first frame. A puzzle is found by the entry ``puzzle`` of
the manifest's notes (``task``, ``seed``, and as far as they are not the defaults ``variant`` and ``size``), or by the
name that the command line gives a trace. Either is only a guess until the puzzle has that prompt and that first frame.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from dit_lens.errors import BadPuzzle
from dit_lens.facts import image_sha256
from dit_lens.puzzles import Puzzle, make_puzzle, named_puzzle

__all__ = ["name_of_question", "puzzle_of", "question_key"]

_SHARED = (
    "model",
    "prompt",
    "negative_prompt",
    "image_sha256",
    "steps",
    "guidance",
    "guidance_2",
    "height",
    "width",
    "frames",
    "extra",
    "edits",
    "start",
    "dtype",
)
_NOTED = {"task": str, "seed": int, "variant": str | None, "size": int | None}
_SEED = re.compile(r"-seed-\d+")


def question_key(manifest: Mapping[str, Any]) -> str:
    """A hash of everything but the seed: traces of which it is the same are seeds of one question.

    Examples
    --------
    >>> question_key({"prompt": "a", "seed": 0}) == question_key({"prompt": "a", "seed": 1})
    True
    """
    facts = {name: manifest.get(name) for name in _SHARED}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def name_of_question(trace_id: str, key: str) -> str:
    """A name for a reader: that of the trace without its seed, or the beginning of the key.

    Examples
    --------
    >>> name_of_question("fork-5x5-0-seed-3", "c0ffee00"), name_of_question("a", "c0ffee0011")
    ('fork-5x5-0', 'c0ffee00')
    """
    return _SEED.sub("", trace_id) if _SEED.search(trace_id) else key[:8]


def puzzle_of(trace_id: str, manifest: Mapping[str, Any]) -> tuple[Puzzle | None, str]:
    """The puzzle that a trace was asked, and if there is none the reason.

    Parameters
    ----------
    trace_id : str
    manifest : mapping

    Returns
    -------
    Puzzle or None, str

    Examples
    --------
    >>> puzzle_of("a", {"prompt": "The ball rolls."})
    (None, 'neither its manifest nor its name says which puzzle it was asked')
    """
    try:
        puzzle = _guess(trace_id, manifest.get("puzzle"))
    except BadPuzzle as error:
        return None, f"its puzzle cannot be made: {error}"
    if puzzle is None:
        return None, "neither its manifest nor its name says which puzzle it was asked"
    if (reason := _difference(puzzle, manifest)) is not None:
        return None, f"its {reason} is not that of the puzzle {puzzle.label} that it is named after"
    return puzzle, ""


def _guess(trace_id: str, noted: Any) -> Puzzle | None:
    if isinstance(noted, Mapping) and all(isinstance(noted.get(name), kind) for name, kind in _NOTED.items()):
        return make_puzzle(noted["task"], noted["seed"], noted.get("variant"), noted.get("size"))
    return named_puzzle(trace_id)


def _difference(puzzle: Puzzle, manifest: Mapping[str, Any]) -> str | None:
    from PIL import Image

    if manifest.get("prompt") != puzzle.prompt:
        return "prompt"
    if manifest.get("image_sha256") != image_sha256(Image.fromarray(puzzle.first_frame())):
        return "first frame"
    return None
