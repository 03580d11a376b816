"""What to record: a site, a selection, a reduction and a dtype.

A capture is plain data, written as text (``block.out:mean:frame+token@float16[step=0:3,layer=2:5]``) or made in
Python. It is checked twice: its words when it is made, against the tables of sites and reductions; its numbers by
``resolve``, against the layout of a run and before it runs. What comes out says which labels the array will hold, and
which labels the reduction is given to work on: these differ where a reduction takes a dimension away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dit_lens.engine.errors import BadSelection, UnknownCapture
from dit_lens.reductions import DTYPES, REDUCTIONS, Reduction, dims_after, labels_after, read_argument
from dit_lens.resolved import EVENT_BYTES_AT_MOST, Resolved, refuse_large
from dit_lens.selection import AXES, Selection, Term, pick
from dit_lens.sites import SITES, Site
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    from dit_lens.engine.layout import Layout

__all__ = [
    "DTYPES",
    "EVENT_BYTES_AT_MOST",
    "REDUCTIONS",
    "SITES",
    "Capture",
    "Reduction",
    "Resolved",
    "Selection",
    "Site",
    "read_captures",
]

_WORD = r"[^:@\[\]\s]+"
_FORM = re.compile(
    rf"\s*(?P<site>{_WORD})\s*(?::\s*(?P<reduction>{_WORD})\s*(?::\s*(?P<argument>{_WORD})\s*)?)?"
    rf"(?:@\s*(?P<dtype>{_WORD})\s*)?(?:\[(?P<selection>[^\[\]]*)\]\s*)?"
)


@dataclass(frozen=True)
class Capture:
    """One array to record.

    Parameters
    ----------
    site : str
        A key of ``SITES``.
    reduction : str
        A key of ``REDUCTIONS``.
    select : Selection
        Everything by default.
    argument : str
        What the reduction asks for, see ``REDUCTIONS``: ``frame+token`` of a mean, ``16`` of a projection.
    dtype : str
        A key of ``DTYPES``.

    Raises
    ------
    UnknownCapture
        If the site, the reduction, its argument or the dtype is unknown.
    BadSelection
        If the selection names an axis that the site does not have.

    Examples
    --------
    >>> capture = Capture("block.out", "energy", Selection(layer="2:5"))
    >>> capture.array, str(capture)
    ('block.out.energy', 'block.out:energy[layer=2:5]')
    >>> Capture("block.out", "gram", argument="256x4").dims
    ('branch', 'step', 'layer', 'gram_batch', 'gram_row', 'gram_column')
    """

    site: str
    reduction: str = "raw"
    select: Selection = Selection()
    argument: str = ""
    dtype: str = "float32"

    def __post_init__(self) -> None:
        self._check_kinds()
        for what, allowed in (("site", SITES), ("reduction", REDUCTIONS), ("dtype", DTYPES)):
            if getattr(self, what) not in allowed:
                raise UnknownCapture(_unknown(what, getattr(self, what), allowed))
        object.__setattr__(self, "argument", read_argument(SITES[self.site], self.reduction, self.argument))
        if self.reduction == "top" and self.dtype != "float32":
            raise UnknownCapture(
                f"capture '{self}' would round the numbers of channels; got dtype {self.dtype}, allowed float32; "
                f"leave @{self.dtype} out"
            )
        foreign = [axis for axis in self.select.axes if axis not in self.axes]
        if foreign:
            raise BadSelection(
                f"capture '{self}' selects an axis that {self.site} does not have; got {foreign[0]}, "
                f"allowed {', '.join(self.axes)}; leave {foreign[0]} out"
            )

    def _check_kinds(self) -> None:
        argument: Any = self.argument
        if isinstance(argument, Integral) and argument is not True and argument is not False:
            object.__setattr__(self, "argument", str(int(argument)))
        for what in ("site", "reduction", "argument", "dtype"):
            if not isinstance(getattr(self, what), str):
                raise UnknownCapture(
                    f"capture has no such {what}; got {getattr(self, what)!r}, allowed a text; write it as in "
                    f"Capture('block.out', 'project', argument='16')"
                )
        if not isinstance(self.select, Selection):
            raise BadSelection(
                f"capture has no such selection; got {self.select!r}, allowed a Selection; write it as in "
                f"Selection(step='0:3')"
            )

    @classmethod
    def parse(cls, text: str) -> Capture:
        """Read ``site[:reduction[:argument]][@dtype][selection]``.

        Examples
        --------
        >>> Capture.parse("block.out:raw[step=0:3,layer=2:5,branch=cond,frame=0]").select.step
        ('0:3',)
        >>> Capture.parse("block.out:mean:frame+token@float16").array
        'block.out.mean.frame.token'
        """
        form = _FORM.fullmatch(text)
        if form is None:
            raise UnknownCapture(
                f"capture cannot be read; got {text!r}, allowed SITE:REDUCTION:ARGUMENT@DTYPE[axis=...]; "
                "write it as in 'block.out:raw[step=0:3,layer=2+5]'"
            )
        return cls(
            form["site"],
            form["reduction"] or "raw",
            Selection.parse(form["selection"] or ""),
            form["argument"] or "",
            form["dtype"] or "float32",
        )

    def __repr__(self) -> str:
        return f"Capture.parse({str(self)!r})"

    def _repr_html_(self) -> str:
        from dit_lens.notebook.requests import capture_html

        return capture_html(self)

    @property
    def array(self) -> str:
        """Name of the array in the store."""
        return ".".join(filter(None, (self.site, self.reduction, self.argument.replace("+", "."))))

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that a selection may restrict."""
        site = SITES[self.site]
        there = {*site.event_dims, *site.value_dims, *site.averaged, "expert"}
        return tuple(axis for axis in AXES if axis in there or (axis in ("y", "x") and "token" in there))

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of the array."""
        site = SITES[self.site]
        return (*site.event_dims, *dims_after(site, self.reduction, self.argument))

    def resolve(self, layout: Layout) -> Resolved:
        """Check the capture against a run and give the labels that it chooses.

        Parameters
        ----------
        layout : Layout

        Returns
        -------
        Resolved

        Raises
        ------
        UnknownCapture
            If the model does not give the site.
        BadSelection
            With the allowed range; or if one event would pass ``EVENT_BYTES_AT_MOST``.
        """
        if not layout.has(self.site):
            raise UnknownCapture(_not_given(self, layout))
        site = SITES[self.site]
        picked = {dim: self._pick(dim, layout) for dim in (*site.event_dims, *site.value_dims, *site.averaged)}
        picked["step"] = self._steps(layout, picked["step"])
        chosen = {dim: picked[dim] for dim in (*site.value_dims, *site.averaged)}
        made = labels_after(site, self.reduction, self.argument, chosen, str(self))
        labels = {dim: made[dim] if dim in made else picked[dim] for dim in self.dims}
        resolved = Resolved(self, MappingProxyType(labels), MappingProxyType(chosen))
        refuse_large(resolved)
        return resolved

    def _pick(self, dim: str, layout: Layout) -> tuple[Term, ...]:
        terms = getattr(self.select, dim) if dim in AXES else None
        labels = pick(dim, terms, layout.labels(dim, self.site), str(self))
        return self._region(layout, labels) if dim == "token" else labels

    def _region(self, layout: Layout, tokens: tuple[Term, ...]) -> tuple[Term, ...]:
        """Those of the tokens that lie in the chosen rows and columns."""
        _, height, width = layout.tokens
        rows = set(pick("y", self.select.y, range(height), str(self)))
        columns = set(pick("x", self.select.x, range(width), str(self)))
        kept = tuple(token for token in tokens if int(token) // width in rows and int(token) % width in columns)
        if not kept:
            raise BadSelection(
                f"capture '{self}' chooses no token; got none of tokens {tokens[0]} to {tokens[-1]} in the chosen "
                f"rows and columns, allowed token = {width} * y + x; leave token out, or y and x"
            )
        return kept

    def _steps(self, layout: Layout, steps: tuple[Term, ...]) -> tuple[Term, ...]:
        """The chosen steps in which a chosen expert runs."""
        running = tuple(dict.fromkeys(layout.experts[step] for step in layout.running))
        experts = pick("expert", self.select.expert, running, str(self))
        kept = tuple(step for step in steps if layout.experts[int(step)] in experts)
        if not kept:
            at = [step for step in layout.running if layout.experts[step] in experts]
            raise BadSelection(
                f"capture '{self}' chooses no step; got steps {', '.join(map(str, steps))}, "
                f"allowed {at[0]} to {at[-1]} for {', '.join(map(str, experts))}; choose a step in which the "
                f"expert runs"
            )
        return kept

    def __str__(self) -> str:
        argument = f":{self.argument}" if self.argument else ""
        dtype = "" if self.dtype == "float32" else f"@{self.dtype}"
        return f"{self.site}:{self.reduction}{argument}{dtype}" + (f"[{self.select}]" if self.select.axes else "")


def read_captures(captures: Iterable[Capture | str]) -> tuple[Capture, ...]:
    """Read captures given as text or objects; the same one twice counts once.

    Parameters
    ----------
    captures : iterable of Capture or str

    Returns
    -------
    tuple of Capture

    Raises
    ------
    UnknownCapture
        If there is none, or two of them would fill the same array differently.

    Examples
    --------
    >>> [str(capture) for capture in read_captures(["block.out:energy", "latent"])]
    ['block.out:energy', 'latent:raw']
    """
    if isinstance(captures, (str, Capture)):
        captures = [captures]
    listed = list(captures) if isinstance(captures, Iterable) else [captures]
    for capture in listed:
        if not isinstance(capture, (str, Capture)):
            raise UnknownCapture(
                f"capture cannot be read; got {capture!r}, allowed a text or a Capture; write it as in "
                "'block.out:energy'"
            )
    read = tuple(dict.fromkeys(Capture.parse(c) if isinstance(c, str) else c for c in listed))
    if not read:
        raise UnknownCapture("no capture was given; got none, allowed one or more; add one, as in 'block.out:energy'")
    _refuse_twins(read)
    return read


def _refuse_twins(captures: Sequence[Capture]) -> None:
    first: dict[str, Capture] = {}
    for capture in captures:
        twin = first.setdefault(capture.array, capture)
        if twin is not capture:
            raise UnknownCapture(
                f"two captures fill the array {capture.array}; got '{twin}' and '{capture}', allowed one of them; "
                "join their selections with '+'"
            )


def _unknown(what: str, word: str, allowed: Iterable[str]) -> str:
    names = list(allowed)
    return f"capture names an unknown {what}; got {word!r}, allowed {', '.join(names)}" + (
        close_match(word, names) or f"; choose a {what} of that list"
    )


def _not_given(capture: Capture, layout: Layout) -> str:
    given = [name for name in SITES if layout.has(name)]
    return (
        f"capture '{capture}' cannot be recorded from this model; got site {capture.site}, "
        f"allowed {', '.join(given)}{close_match(capture.site, given) or '; choose a site of that list'}"
    )
