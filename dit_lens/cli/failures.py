"""One line for everything that can be wrong with a command.

cyclopts and pydantic describe a bad option over several lines, with an address of a web page; a person at a terminal
and a script that reads stderr are both served better by one line in the house form.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any, ClassVar, get_args

from cyclopts.exceptions import CycloptsError, MissingArgumentError
from pydantic import BaseModel, ValidationError

from dit_lens.complaints import complain
from dit_lens.errors import DitLensError

__all__ = [
    "BadOption",
    "OtherSettings",
    "PipelineFailed",
    "naming_pipeline",
    "one_line",
    "usage_line",
    "validation_line",
]


class BadOption(DitLensError, ValueError):
    """An option of the command line has a value that it cannot have, or stands beside one that excludes it."""


class OtherSettings(DitLensError, ValueError):
    """A complete trace has the name that a command would give to one, and was made with other settings."""


class PipelineFailed(DitLensError, RuntimeError):
    """The pipeline itself raised while it ran; the trace was begun and is marked failed."""

    exit_code: ClassVar[int] = 3


@contextmanager
def naming_pipeline(doing: str = "was traced") -> Iterator[None]:
    """Turn what a pipeline raises into one line; what this package raises by mistake keeps its traceback.

    ``doing`` is what happened to it meanwhile.
    Of the frames of the two, the innermost tells whose error it is: hooks run inside the pipeline's call.
    """
    try:
        yield
    except DitLensError:
        raise
    except Exception as error:
        names = [frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in walk_tb(error.__traceback__)]
        ours = [name for name in names if name in ("diffusers", "dit_lens", "dit_lens_stores")]
        if ours[-1:] != ["diffusers"]:
            raise
        raise PipelineFailed(
            f"the pipeline failed while it {doing}; got {type(error).__name__}: {one_line(error)}, allowed a run to "
            f"its end; change what it does not take, --set or a size for instance, and give another --out"
        ) from error


def one_line(error: BaseException) -> str:
    r"""Return the message of ``error`` on one line.

    Examples
    --------
    >>> one_line(ValueError("two\n  lines"))
    'two lines'
    """
    return " ".join(str(error).split())


def validation_line(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Return everything that a model of options complains about, on one line.

    Examples
    --------
    >>> class Options(BaseModel):
    ...     steps: int
    >>> try:
    ...     Options(steps="x")
    ... except ValidationError as error:
    ...     validation_line(error, Options)
    "--steps cannot be used; got 'x', allowed a whole number; write one"
    """
    problems = error.errors(include_url=False)
    return "; ".join(dict.fromkeys(complain(problem, model, prefix="--") for problem in problems))


def usage_line(error: CycloptsError) -> str:
    """Return what is wrong with the words of a command line on one line.

    Examples
    --------
    >>> usage_line(CycloptsError(msg="no such thing"))
    'no such thing; see dit-lens --help'
    """
    if isinstance(error.__cause__, ValidationError):
        return validation_line(error.__cause__, _model_of(error.argument.hint if error.argument else None))
    words = " ".join(["dit-lens", *(error.command_chain or ()), "--help"])
    if isinstance(error, MissingArgumentError) and error.argument:
        return f"{_missing(error.argument.name, error.keyword)}, see {words}"
    return f"{one_line(error).rstrip('.')}; see {words}"


def _missing(name: str, written: str | None) -> str:
    """An argument that was left out, or an option that was written without its value."""
    if written:
        return f"{written} has no value; got nothing, allowed one value; write one after {written}"
    return f"{name} is missing; got nothing, allowed one value; add {name}"


def _model_of(hint: Any) -> type[BaseModel] | None:
    """The model among what an argument may be: a command without required options may be given none at all."""
    models = (part for part in (hint, *get_args(hint)) if isinstance(part, type) and issubclass(part, BaseModel))
    return next(models, None)
