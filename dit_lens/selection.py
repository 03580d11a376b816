"""Which steps, layers, branches, frames, tokens and experts a capture records.

A selection is written before the model is known, so it keeps what was asked (``-1``, ``"2:"``) and is turned into the
model's own numbers later, against the axis as it is in the run. Nothing is clipped: a layer that the model does not
have is an error that states the range, never an empty array.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from dit_lens.engine.errors import BadSelection
from dit_lens_stores.errors import close_match

__all__ = ["AXES", "Selection", "Term", "pick"]

Term = int | str
"""One wish: a number (negative counts from the end), a range ``"2:5"`` or ``"::2"``, or the name of a branch or "
                                                                                 "expert."""

AXES = ("step", "layer", "branch", "frame", "token", "expert")
_NAMED = ("branch", "expert")
_RANGE = re.compile(r"(-?\d+)?:(-?\d+)?(?::(\d+))?")


@dataclass(frozen=True)
class Selection:
    """What to record along every axis; None records all of it.

    Parameters
    ----------
    step, layer, branch, frame, token, expert : tuple of int or str, optional
        Numbers, ranges as text (half open, as in Python), or names. A single number, a text such as ``"0:3+7"`` or a
        Python ``range`` is accepted as well.

    Raises
    ------
    BadSelection
        If a term cannot be read.

    Examples
    --------
    >>> Selection(step="0:3+-1", branch="cond")
    Selection(step=('0:3', -1), layer=None, branch=('cond',), frame=None, token=None, expert=None)
    >>> print(Selection(step=(0, 5), layer="2:5"))
    step=0+5,layer=2:5
    """

    step: tuple[Term, ...] | None = None
    layer: tuple[Term, ...] | None = None
    branch: tuple[Term, ...] | None = None
    frame: tuple[Term, ...] | None = None
    token: tuple[Term, ...] | None = None
    expert: tuple[Term, ...] | None = None

    def __post_init__(self) -> None:
        for axis in AXES:
            terms = getattr(self, axis)
            if terms is not None:
                object.__setattr__(self, axis, _read_terms(axis, terms))

    @classmethod
    def parse(cls, text: str) -> Selection:
        """Read ``"step=0:3,layer=2+5,branch=cond"``.

        Examples
        --------
        >>> Selection.parse("layer=-1").layer
        (-1,)
        """
        chosen: dict[str, tuple[Term, ...]] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            axis, equals, terms = (piece.strip() for piece in part.partition("="))
            if axis not in AXES or not equals or axis in chosen:
                raise BadSelection(_unreadable(part, axis, axis in chosen))
            chosen[axis] = _read_terms(axis, terms)
        return cls(**chosen)

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that are restricted."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) is not None)

    def __str__(self) -> str:
        return ",".join(f"{axis}={'+'.join(str(term) for term in getattr(self, axis))}" for axis in self.axes)


def pick(axis: str, terms: Sequence[Term] | None, allowed: Sequence[Term], where: str) -> tuple[Term, ...]:
    """Turn the terms of one axis into labels of a run.

    Parameters
    ----------
    axis : str
    terms : sequence of int or str, or None
    allowed : sequence of int or str
        All labels of the axis, in order; numbers count from 0.
    where : str
        The capture, for the message.

    Returns
    -------
    tuple of int or str
        In the order of the axis, each once.

    Raises
    ------
    BadSelection

    Examples
    --------
    >>> pick("layer", ("2:4", -1), range(10), "block.out:raw")
    (2, 3, 9)
    """
    if terms is None:
        return tuple(allowed)
    chosen = {label for term in terms for label in _labels(axis, term, allowed, where)}
    return tuple(label for label in allowed if label in chosen)


def _labels(axis: str, term: Term, allowed: Sequence[Term], where: str) -> Iterable[Term]:
    if axis in _NAMED:
        found = [label for label in allowed if label == term]
    elif isinstance(term, int):
        found = [allowed[term]] if -len(allowed) <= term < len(allowed) else []
    else:
        found = _range(term, allowed)
    if not found:
        raise BadSelection(_out_of_range(axis, term, allowed, where))
    return found


def _range(term: str, allowed: Sequence[Term]) -> list[Term]:
    """The labels of a range, or none if it is empty or reaches beyond the axis."""
    matched = _RANGE.fullmatch(term)
    assert matched, term  # terms are read by _read_terms only
    start, stop, stride = (None if text is None else int(text) for text in matched.groups())
    ends = [end for end in (start, stop) if end is not None]
    if stride == 0 or any(not -len(allowed) <= end <= len(allowed) for end in ends):
        return []
    return list(allowed[start:stop:stride])


def _read_terms(axis: str, terms: object) -> tuple[Term, ...]:
    if isinstance(terms, str):
        terms = [piece.strip() for piece in terms.split("+")]
    elif isinstance(terms, int):
        terms = [terms]
    assert isinstance(terms, Iterable), terms
    read = tuple(_read_term(axis, term) for term in terms)
    if not read:
        raise BadSelection(
            f"selection of {axis} is empty; got (), allowed one {axis} or more; leave {axis} out to record all"
        )
    return read


def _read_term(axis: str, term: object) -> Term:
    if axis in _NAMED and isinstance(term, str) and re.fullmatch(r"[\w.-]+", term):
        return term
    if axis not in _NAMED and isinstance(term, int) and not isinstance(term, bool):
        return int(term)
    if axis not in _NAMED and isinstance(term, str) and re.fullmatch(r"-?\d+", term):
        return int(term)
    if axis not in _NAMED and isinstance(term, str) and _RANGE.fullmatch(term):
        return term
    allowed = "a name such as 'cond'" if axis in _NAMED else "a number, or a range such as '2:5'"
    raise BadSelection(f"selection of {axis} cannot be read; got {term!r}, allowed {allowed}; join several with '+'")


def _unreadable(part: str, axis: str, twice: bool) -> str:
    if twice:
        return (
            f"selection names {axis} twice; got {part!r}, allowed each axis once; join several with '+', as in step=0+5"
        )
    return (
        f"selection cannot be read; got {part!r}, allowed {', '.join(f'{axis}=...' for axis in AXES)}"
        f"{close_match(axis, AXES) or '; write it as in step=0:3,layer=2+5'}"
    )


def _out_of_range(axis: str, term: Term, allowed: Sequence[Term], where: str) -> str:
    start = f"selection of {axis} does not fit the run in capture '{where}'; got {term!r}, allowed "
    if axis in _NAMED:
        names = [str(label) for label in allowed]
        return f"{start}{', '.join(names)}{close_match(str(term), names) or f'; choose a {axis} that runs'}"
    count = len(allowed)
    ends = f"ranges end at {count} at most, negative numbers count from the end"
    return f"{start}0 to {count - 1} ({ends}); choose within it"
