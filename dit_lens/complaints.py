"""Say in the house form what pydantic found wrong with one value.

Pydantic's own sentence says what the value should have been, not which values there are nor what to do. Both follow
from the kind of the complaint and from the bounds of the field, so a bad option of the command line and a bad parameter
of a probe are told in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

__all__ = ["complain"]

_BOUNDS = ("ge", "gt", "le", "lt")
_KINDS = {"int": "a whole number", "float": "a number", "finite_number": "a number", "bool": "true or false"}


def complain(problem: ErrorDetails, model: type[BaseModel] | None = None, prefix: str = "") -> str:
    """Return one complaint of pydantic as ``<what> cannot be used; got ..., allowed ...; <remedy>``.

    Parameters
    ----------
    problem : dict
        One entry of ``ValidationError.errors()``.
    model : type of pydantic.BaseModel, optional
        The model that complained; from its fields come the bounds that the value did not break.
    prefix : str
        Written before the field's name: ``--`` makes an option of it.

    Returns
    -------
    str

    Examples
    --------
    >>> from pydantic import BaseModel, Field, ValidationError
    >>> class Options(BaseModel):
    ...     size: int = Field(5, ge=3, le=7)
    >>> try:
    ...     Options(size=9)
    ... except ValidationError as error:
    ...     complain(error.errors()[0], Options, prefix="--")
    '--size cannot be used; got 9, allowed 3 to 7; choose one of those'
    """
    if not problem["loc"]:
        return f"{_together(problem)}; change one of them"
    what = _name(problem, prefix)
    if problem["type"] == "missing":
        return f"{what} is missing; got nothing, allowed one value or more; add {what}"
    return f"{what} cannot be used; got {_shown(problem['input'])}, allowed {_allowed(problem, model)}"


def _name(problem: ErrorDetails, prefix: str) -> str:
    """The field alone: which item of a list or which member of a union it was helps nobody."""
    field = str(problem["loc"][0])
    return f"{prefix}{field.strip('_').replace('_', '-')}" if prefix else field


def _together(problem: ErrorDetails) -> str:
    given = problem["input"] if isinstance(problem["input"], Mapping) else {}
    got = ", ".join(f"{name} {_shown(value)}" for name, value in given.items()) or _shown(problem["input"])
    return f"values do not fit together; got {got}, allowed {_sentence(problem)}"


def _allowed(problem: ErrorDetails, model: type[BaseModel] | None) -> str:
    """What is allowed, and the remedy that goes with it."""
    if problem["type"] in ("literal_error", "enum"):
        names = re.findall(r"'([^']*)'", str(problem.get("ctx", {}).get("expected", "")))
        return ", ".join(names) + (close_match(str(problem["input"]), names) or "; choose one of those")
    kind = next((words for word, words in _KINDS.items() if problem["type"].startswith(word)), "")
    limits = _limits(problem, model)
    if limits:
        return f"{', '.join(filter(None, (kind, limits)))}; choose one of those"
    return f"{kind}; write one" if kind else f"{_sentence(problem)}; choose another value"


def _limits(problem: ErrorDetails, model: type[BaseModel] | None) -> str:
    """The bounds of a field, both of them if the model is at hand."""
    bounds: dict[str, Any] = {k: v for k, v in problem.get("ctx", {}).items() if k in _BOUNDS}
    field = model.model_fields.get(str(problem["loc"][0])) if model else None
    for entry in field.metadata if field else ():
        bounds |= {name: getattr(entry, name) for name in _BOUNDS if getattr(entry, name, None) is not None}
    if "ge" in bounds and "le" in bounds:
        return f"{bounds['ge']} to {bounds['le']}"
    words = {"ge": "{} or more", "gt": "more than {}", "le": "{} or less", "lt": "less than {}"}
    return " and ".join(text.format(bounds[name]) for name, text in words.items() if name in bounds)


def _sentence(problem: ErrorDetails) -> str:
    """Pydantic's own words, without what it puts before all of them."""
    return re.sub(r"^(Input should be|Value error,|Assertion failed,)\s*", "", " ".join(problem["msg"].split()))


def _shown(value: object) -> str:
    """A number as it was written, also where the command line gave it as text; anything else as Python shows it."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d+)?", value):
        return value
    return repr(value)
