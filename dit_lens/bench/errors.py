"""The errors of this room."""

from __future__ import annotations

from dit_lens.errors import DitLensError

__all__ = ["BadBench", "BadScores", "OtherBench"]


class BadBench(DitLensError, ValueError):
    """A benchmark that cannot be run: no such task, a folder without samples, a video that no rule can score.

    Examples
    --------
    >>> from dit_lens.bench import puzzle_questions
    >>> try:
    ...     puzzle_questions(["maze:lng"], n=1)
    ... except BadBench as error:
    ...     print(error)
    unknown variant of maze; got 'lng', allowed plain, large, long; did you mean 'long'?
    """


class OtherBench(DitLensError, ValueError):
    """The folder holds a benchmark that was begun with other settings, so the two cannot be one.

    Examples
    --------
    >>> issubclass(OtherBench, ValueError)
    True
    """


class BadScores(DitLensError, ValueError):
    """A file of scores that is not there, or not in the form that VBVR-EvalKit writes.

    Examples
    --------
    >>> issubclass(BadScores, ValueError)
    True
    """
