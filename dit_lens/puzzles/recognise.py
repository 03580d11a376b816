"""Tell which puzzle a trace asked, from its name and its manifest.

``dit-lens trace --task`` names a trace after its puzzle, and a puzzle follows from task, variant, size and number. A
name proves nothing: anyone may give any. So the puzzle is made again, and it counts only if its first frame and its
prompt are those that the manifest says the model was given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dit_lens.facts import image_sha256
from dit_lens.puzzles.errors import BadPuzzle
from dit_lens.puzzles.registry import TASKS, unseen

if TYPE_CHECKING:
    from dit_lens.puzzles.contract import Puzzle

__all__ = ["named_puzzle", "recognise"]

_NAME = re.compile(r"(?P<label>[a-z0-9-]+)-(?P<index>[0-9]{1,9})-seed-[0-9]+(?![0-9]).*")
_LABEL = re.compile(r"(?P<task>[a-z]+)(?:-(?P<variant>[a-z]+))?(?:-(?P<size>[0-9]+)x(?P=size))?")


def recognise(trace_id: str, manifest: Mapping[str, Any]) -> Puzzle | None:
    """The puzzle that a trace asked, or None if it asked something else.

    Parameters
    ----------
    trace_id : str
        Such as ``maze-5x5-3-seed-0``.
    manifest : mapping
        Of the trace.

    Returns
    -------
    Puzzle or None

    Examples
    --------
    >>> recognise("maze-5x5-3-seed-0", {"prompt": "A dog runs.", "image_sha256": None}) is None
    True
    """
    puzzle = named_puzzle(trace_id)
    if puzzle is None or manifest.get("prompt") != puzzle.prompt:
        return None
    return puzzle if manifest.get("image_sha256") == _first_frame_sha256(trace_id) else None


@lru_cache(maxsize=4096)
def named_puzzle(trace_id: str) -> Puzzle | None:
    """The puzzle that a trace is named after, or None; what the trace really asked is not looked at.

    Examples
    --------
    >>> named_puzzle("fork-cue-5x5-2-seed-7").label, named_puzzle("fork-of-mine-seed-7")
    ('fork-cue-5x5', None)
    """
    name = _NAME.fullmatch(trace_id)
    label = _LABEL.fullmatch(name["label"]) if name else None
    if name is None or label is None or label["task"] not in TASKS:
        return None
    try:
        puzzle = unseen(
            label["task"], int(name["index"]), label["variant"], int(label["size"]) if label["size"] else None
        )
    except BadPuzzle:
        return None
    return puzzle if puzzle.label == name["label"] else None


@lru_cache(maxsize=4096)
def _first_frame_sha256(trace_id: str) -> str:
    from PIL import Image

    puzzle = named_puzzle(trace_id)
    assert puzzle is not None
    return image_sha256(Image.fromarray(puzzle.first_frame()))
