"""One line for everything that can be wrong with a command.

cyclopts and pydantic describe a bad option over several lines, with an address of a web page; a person at a terminal
and a script that reads stderr are both served better by one line in the house form.
"""

from __future__ import annotations

from typing import Any

from cyclopts.exceptions import CycloptsError
from pydantic import ValidationError

from dit_lens.errors import DitLensError

__all__ = ["BadOption", "OtherSettings", "one_line", "usage_line", "validation_line"]


class BadOption(DitLensError, ValueError):
    """An option of the command line has a value that it cannot have, or stands beside one that excludes it."""


class OtherSettings(DitLensError, ValueError):
    """A complete trace has the name that a command would give to one, and was made with other settings."""


def one_line(error: BaseException) -> str:
    r"""Return the message of ``error`` on one line.

    Examples
    --------
    >>> one_line(ValueError("two\n  lines"))
    'two lines'
    """
    return " ".join(str(error).split())


def validation_line(error: ValidationError, prefix: str = "--") -> str:
    """Return the first complaint of a pydantic model on one line; ``prefix`` goes before the field's name.

    Examples
    --------
    >>> from pydantic import BaseModel
    >>> class Options(BaseModel):
    ...     steps: int
    >>> try:
    ...     Options(steps="x")
    ... except ValidationError as error:
    ...     validation_line(error)
    "--steps cannot be used; got 'x': input should be a valid integer, unable to parse string as an integer"
    """
    problems = error.errors(include_url=False)
    lines = [_problem_line(problem, prefix) for problem in problems]
    return "; ".join(lines)


def _problem_line(problem: Any, prefix: str) -> str:
    message = str(problem["msg"])
    field = ".".join(str(part) for part in problem["loc"])
    reason = message[:1].lower() + message[1:]
    return f"{prefix}{field.replace('_', '-')} cannot be used; got {problem['input']!r}: {reason}"


def usage_line(error: CycloptsError) -> str:
    """Return what is wrong with the words of a command line on one line.

    Examples
    --------
    >>> usage_line(CycloptsError(msg="no such thing"))
    'no such thing; see dit-lens --help'
    """
    if isinstance(error.__cause__, ValidationError):
        return validation_line(error.__cause__)
    words = " ".join(["dit-lens", *(error.command_chain or ()), "--help"])
    return f"{one_line(error).rstrip('.')}; see {words}"
