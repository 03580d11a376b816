"""Which steps, layers, branches, experts, frames, tokens and heads a capture records.

A selection is written before the model is known, so it keeps what was asked (``-1``, ``"2:"``) and is turned into the
model's own numbers later, against the axis as it is in the run. Nothing is clipped: a layer that the model does not
have is an error that states the range, never an empty array. Numbers name *labels*: where a family puts four latent
frames into one frame of tokens, its frames are 0, 4, 8, and ``frame=4`` is the second of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from numbers import Integral

from dit_lens.engine.errors import BadSelection
from dit_lens_stores.errors import close_match

__all__ = ["AXES", "Selection", "Term", "pick"]

Term = int | str
"""One wish: a number (negative counts from the end), a range such as ``"2:5"`` or ``"::2"``, or a name."""

AXES = ("step", "layer", "branch", "expert", "frame", "token", "y", "x", "head")
_NAMED = ("branch", "expert")
_DIGITS = "[0-9]{1,18}"  # what int() takes of other scripts is not read, nor more digits than any run has
_NUMBER = re.compile(rf"-?{_DIGITS}")
_RANGE = re.compile(rf"(-?{_DIGITS})?:(-?{_DIGITS})?(?::({_DIGITS}))?")
_SHOWN_AT_MOST = 8


@dataclass(frozen=True)
class Selection:
    """What to record along every axis; None records all of it.

    Parameters
    ----------
    step, layer, branch, expert, frame, token, y, x, head : tuple of int or str, optional
        Numbers, ranges as text (half open, as in Python), or names. A single number, a text such as ``"0:3+7"`` or a
        Python ``range`` is accepted as well. ``y`` and ``x`` are rows and columns of tokens: together with ``token``
        they choose the tokens that all of them name.

    Raises
    ------
    BadSelection
        If a term cannot be read.

    Examples
    --------
    >>> Selection(step="0:3+-1", branch="cond").step
    ('0:3', -1)
    >>> print(Selection(step=(0, 5), layer="2:5", y=range(2)))
    step=0+5,layer=2:5,y=0+1
    """

    step: tuple[Term, ...] | None = None
    layer: tuple[Term, ...] | None = None
    branch: tuple[Term, ...] | None = None
    expert: tuple[Term, ...] | None = None
    frame: tuple[Term, ...] | None = None
    token: tuple[Term, ...] | None = None
    y: tuple[Term, ...] | None = None
    x: tuple[Term, ...] | None = None
    head: tuple[Term, ...] | None = None

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


def pick(
    axis: str, terms: Sequence[Term] | None, allowed: Sequence[Term], where: str, kind: str = "capture"
) -> tuple[Term, ...]:
    """Turn the terms of one axis into labels of a run.

    Parameters
    ----------
    axis : str
    terms : sequence of int or str, or None
    allowed : sequence of int or str
        All labels of the axis, rising. A number names a label, a negative one counts from the end; a range takes the
        labels from its start to before its end, and of those every n-th if it has a stride n.
    where : str
        What selects, for the message.
    kind : str
        What kind of thing that is.

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
    >>> pick("frame", ("2:6",), (0, 2, 4, 6), "block.out:raw")
    (2, 4)
    """
    if terms is None:
        return tuple(allowed)
    chosen = {label for term in terms for label in _labels(axis, term, allowed, f"{kind} '{where}'")}
    return tuple(label for label in allowed if label in chosen)


def _labels(axis: str, term: Term, allowed: Sequence[Term], where: str) -> Iterable[Term]:
    if axis in _NAMED:
        found = [label for label in allowed if label == term]
    elif isinstance(term, int):
        found = [label for label in allowed if label == _counted(term, allowed)]
    else:
        found = _range(term, allowed)
    if not found:
        raise BadSelection(_out_of_range(axis, term, allowed, where))
    return found


def _counted(number: int, allowed: Sequence[Term]) -> Term | None:
    """The label that a number names; None if a negative one counts beyond the first."""
    if number >= 0:
        return number
    return allowed[number] if -len(allowed) <= number else None


def _range(term: str, allowed: Sequence[Term]) -> list[Term]:
    """The labels of a range, or none if it is empty or reaches beyond the axis."""
    matched = _RANGE.fullmatch(term)
    assert matched, term  # terms are read by _read_terms only
    first, last = _bound(matched[1], 0, allowed), _bound(matched[2], _end(allowed), allowed)
    if first is None or last is None or (matched[3] is not None and int(matched[3]) == 0):
        return []
    return [label for label in allowed if first <= int(label) < last][:: int(matched[3] or 1)]


def _bound(text: str | None, default: int, allowed: Sequence[Term]) -> int | None:
    """The label at which a range starts or stops; None beyond the axis."""
    label = default if text is None else _counted(int(text), allowed)
    return None if label is None or int(label) > _end(allowed) else int(label)


def _end(allowed: Sequence[Term]) -> int:
    """Where ranges end at most: one label further, of labels that lie two apart as of those that lie one apart."""
    gap = int(allowed[-1]) - int(allowed[-2]) if len(allowed) > 1 else 1
    return int(allowed[-1]) + gap


def _read_terms(axis: str, terms: object) -> tuple[Term, ...]:
    if isinstance(terms, str):
        terms = [piece.strip() for piece in terms.split("+")]
    elif not isinstance(terms, Iterable):
        terms = [terms]
    read = tuple(_read_term(axis, term) for term in terms)
    if not read:
        raise BadSelection(
            f"selection of {axis} is empty; got (), allowed one {axis} or more; leave {axis} out to record all"
        )
    return read


def _read_term(axis: str, term: object) -> Term:
    if axis in _NAMED:
        if isinstance(term, str) and re.fullmatch(r"[\w.-]+", term):
            return term
    elif isinstance(term, str):
        if _NUMBER.fullmatch(term):
            return int(term)
        if _RANGE.fullmatch(term):
            return term
    elif not isinstance(term, bool) and isinstance(term, Integral):
        return int(term)
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
    start = f"selection of {axis} does not fit the run in {where}; got {term!r}, allowed "
    if axis in _NAMED:
        names = [str(label) for label in allowed]
        return f"{start}{', '.join(names)}{close_match(str(term), names) or f'; choose a {axis} that runs'}"
    ends = f"ranges end at {_end(allowed)} at most, negative numbers count from the end"
    return f"{start}{_shown(allowed)} ({ends}); choose within it"


def _shown(allowed: Sequence[Term]) -> str:
    first, *_, last = (*allowed, allowed[-1])
    if list(allowed) == list(range(int(first), int(last) + 1)):
        return f"{first} to {last}"
    if len(allowed) <= _SHOWN_AT_MOST:
        return ", ".join(map(str, allowed))
    return f"{allowed[0]}, {allowed[1]}, {allowed[2]}, ..., {last}"
