"""Which rules scored an answer: a hash of the sources of a puzzle's room and of what all rooms share.

A line of results keeps it, so that results under other rules are never summed up with these.
"""

from __future__ import annotations

import hashlib
import inspect
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dit_lens.puzzles import canvas, contract

if TYPE_CHECKING:
    from dit_lens.puzzles.contract import Puzzle

__all__ = ["scorer_version"]

_LENGTH = 16


def scorer_version(puzzle: Puzzle) -> str:
    """Hash of the code that draws and scores a puzzle; of one's own puzzles, of the file that defines them.

    Examples
    --------
    >>> from dit_lens.puzzles import unseen
    >>> scorer_version(unseen("maze", 0)) == scorer_version(unseen("fork", 1))
    True
    >>> scorer_version(unseen("maze", 0)) == scorer_version(unseen("occlusion", 0))
    False
    """
    return _version(type(puzzle))


@cache
def _version(kind: type) -> str:
    digest = hashlib.sha256()
    for path in _sources(kind):
        try:
            source = path.read_bytes()
        except OSError:  # no sources are shipped here; the name still tells rooms apart
            source = b""
        digest.update(f"{path.parent.name}/{path.name} {len(source)}\n".encode() + source)
    return digest.hexdigest()[:_LENGTH]


def _sources(kind: type) -> list[Path]:
    shared = [Path(str(module.__file__)) for module in (canvas, contract)]
    try:
        own = Path(inspect.getfile(kind))
    except (OSError, TypeError):  # made at a prompt
        return [*shared, Path(f"{kind.__module__}.{kind.__qualname__}")]
    room = sorted(own.parent.glob("*.py")) if (own.parent / "__init__.py").is_file() else [own]
    return [*shared, *room]
