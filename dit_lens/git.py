"""The state of the source that made a trace, if it lies in a git repository: commit, and whether anything was changed.

Asked of git itself, briefly, and never a reason for a run to fail: without git, without a repository, or in one that
git refuses to read, the answer is None.
"""

from __future__ import annotations

import functools
import os
import subprocess
import time
from pathlib import Path
from typing import Any

__all__ = ["git_state"]

_SECONDS = 5
_FRESH_SECONDS = 10
"""How long an answer holds: runs of many short traces would spend a tenth of their time on asking again."""
_COMMIT = "# branch.oid "


def git_state(source: Path = Path(__file__).parent) -> dict[str, Any] | None:
    """Commit and cleanness of the repository of dit-lens' source; of the working directory's, if that has none.

    Parameters
    ----------
    source : pathlib.Path
        Counts only if git tracks it: an environment inside somebody's repository says nothing about dit-lens.

    Returns
    -------
    dict or None
        ``of`` (``"dit-lens"`` or ``"working directory"``), ``commit`` and ``dirty``; no paths.

    Examples
    --------
    >>> git_state(getfixture("tmp_path")) is None or "commit" in git_state()
    True
    """
    moment = int(time.monotonic() / _FRESH_SECONDS)
    if _is_tracked(source):
        return _state(source, "dit-lens", moment)
    return _state(Path.cwd(), "working directory", moment)


@functools.cache  # whether it is does not change while it runs; what its state is may
def _is_tracked(source: Path) -> bool:
    return bool(_git(source, "ls-files", "--error-unmatch", "."))


@functools.lru_cache(maxsize=2)
def _state(folder: Path, of: str, _moment: int) -> dict[str, Any] | None:
    """Commit and changes, in one question."""
    said = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    lines = (said or "").splitlines()
    commit = next((line.removeprefix(_COMMIT) for line in lines if line.startswith(_COMMIT)), "(initial)")
    if commit == "(initial)":
        return None
    return {"of": of, "commit": commit, "dirty": any(not line.startswith("#") for line in lines)}


def _git(folder: Path, *words: str) -> str | None:
    """What git says, or None."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # look, and touch nothing
    try:
        said = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return said.stdout.strip()
