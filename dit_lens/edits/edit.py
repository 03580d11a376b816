"""An edit as data: where, what is done there, and with what.

It is checked twice: its words when it is made, against the tables of places and operations; its numbers when it is
planned (``dit_lens.edits.planned``), against the layout of a run and before it runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from dit_lens.edits.mask import Mask
from dit_lens.edits.places import PLACES, Level, Place
from dit_lens.edits.sources import Constant, File, Function, Noise, Source, Stored, Values
from dit_lens.engine.errors import BadEdit
from dit_lens.selection import Selection
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    import torch

__all__ = ["OPS", "Edit", "Op"]

Op = Literal["replace", "add", "scale", "zero", "noise", "mean"]

OPS: dict[str, str] = {
    "replace": "what the source gives stands in its place",
    "add": "what the source gives is added",
    "scale": "multiplied by a number",
    "zero": "zeros stand in its place",
    "noise": "noise is added, in units of the root mean square of what is there",
    "mean": "the mean of all sources stands in its place",
}
"""Every operation, and what it does."""

_TAKES: dict[str, tuple[type, ...]] = {
    "replace": (Constant, Noise, Stored, File, Values, Function),
    "add": (Constant, Noise, Stored, File, Values, Function),
    "scale": (Constant,),
    "noise": (Noise,),
    "mean": (Stored, File, Values),
}


@dataclass(frozen=True, init=False)
class Edit:
    """One intervention.

    Parameters
    ----------
    site : str
        A key of ``PLACES``: ``state``, ``view``, or a site such as ``block.out``.
    where : Selection or str
        Which steps, layers, branches and experts, and which frames and tokens of them; everything by default. A box of
        tokens is ``y=2:5,x=3:7``.
    op : {"replace", "add", "scale", "zero", "noise", "mean"}
    source : Source, number, tensor, callable, or a sequence of sources for ``mean``
    mask : Mask, optional
        A region of any form, within what ``where`` selects.

    Raises
    ------
    BadEdit
        If place, operation and source do not fit together.
    BadSelection
        If the selection cannot be read, or names an axis that the place does not have.

    Examples
    --------
    >>> edit = Edit("block.out", "step=0,layer=20:30", "scale", 0.5)
    >>> print(edit)
    block.out:scale:0.5[step=0,layer=20:30]
    >>> edit.level, edit.sha256[:8] == Edit.parse(str(edit)).sha256[:8]
    ('site', True)
    >>> Edit("state", "step=3", "replace", Noise(seed=0)).level
    'state'
    """

    site: str
    where: Selection = Selection()
    op: Op = "replace"
    source: Source | tuple[Source, ...] | None = None
    mask: Mask | None = None

    def __init__(
        self,
        site: str,
        where: Selection | str = "",
        op: Op = "replace",
        source: (
            Source
            | float
            | torch.Tensor
            | np.ndarray[Any, Any]
            | Callable[..., Any]
            | tuple[Any, ...]
            | list[Any]
            | None
        ) = None,
        mask: Mask | None = None,
    ) -> None:
        read = Selection.parse(where) if isinstance(where, str) else where
        given = _read_source(source)
        if isinstance(given, tuple) and len(given) == 1:  # so that an edit has one form
            given = given[0]
        for name, value in zip((field.name for field in fields(self)), (site, read, op, given, mask), strict=True):
            object.__setattr__(self, name, value)
        self._check()

    @classmethod
    def parse(cls, text: str) -> Edit:
        """Read ``SITE:OP[:SOURCE][[SELECTION]]``.

        Examples
        --------
        >>> Edit.parse("block.out:mean:trace(a.zarr#s1)+trace(a.zarr#s2)[step=0]").source[1].trace
        's2'
        """
        from dit_lens.edits.text import read_edit

        return read_edit(text)

    @property
    def place(self) -> Place:
        """Its row of the table of places."""
        return PLACES[self.site]

    @property
    def level(self) -> Level:
        """``"state"``, ``"view"`` or ``"site"``."""
        return self.place.level

    @property
    def sources(self) -> tuple[Source, ...]:
        """All of its sources."""
        if self.source is None:
            return ()
        return self.source if isinstance(self.source, tuple) else (self.source,)

    @property
    def facts(self) -> dict[str, Any]:
        """What a manifest says of it, as plain JSON: everything but the folders in which stores and files lie."""
        return {
            "site": self.site,
            "level": self.level,
            "where": str(self.where),
            "op": self.op,
            "source": [_source_fact(source) for source in self.sources],
            "mask": None if self.mask is None else {"shape": list(self.mask.shape), "bits": self.mask.bits},
        }

    @property
    def sha256(self) -> str:
        """The hash of its facts."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()

    def __str__(self) -> str:
        parts = [self.site, self.op, "+".join(str(source) for source in self.sources)]
        mask = "" if self.mask is None else f"&mask({hashlib.sha256(self.mask.bits.encode()).hexdigest()[:8]})"
        return ":".join(filter(None, parts)) + (f"[{self.where}]" if self.where.axes else "") + mask

    def __repr__(self) -> str:
        """As it would be written, where text can say all of it."""
        said = self.mask is None and not any(isinstance(source, (Values, Function)) for source in self.sources)
        return f"Edit.parse({str(self)!r})" if said else f"<Edit {self}>"

    def _repr_html_(self) -> str:
        from dit_lens.notebook.requests import edit_html

        return edit_html(self)

    def _check(self) -> None:
        for what, value, allowed in (("site", self.site, list(PLACES)), ("op", self.op, list(OPS))):
            if value not in allowed:
                hint = (
                    close_match(str(value), allowed) or f"; choose a{'n' if what == 'op' else ''} {what} of that list"
                )
                raise BadEdit(f"edit names an unknown {what}; got {value!r}, allowed {', '.join(allowed)}{hint}")
        self._check_where()
        self._check_sources()

    def _check_where(self) -> None:
        if not isinstance(self.where, Selection):
            raise BadEdit(
                f"edit of {self.site} has no such selection; got {self.where!r}, allowed a Selection or its text; "
                f"write it as in 'step=0,layer=20:30'"
            )
        foreign = [axis for axis in self.where.axes if axis not in self.place.axes]
        if foreign:
            raise BadEdit(
                f"edit of {self.site} selects an axis that it does not have; got {foreign[0]}, allowed "
                f"{', '.join(self.place.axes)}; leave {foreign[0]} out"
            )
        if self.mask is not None and not isinstance(self.mask, Mask):
            raise BadEdit(
                f"edit of {self.site} has no such mask; got {type(self.mask).__name__}, allowed a Mask or None; write "
                f"Mask.of(array)"
            )

    def _check_sources(self) -> None:
        takes, given = _TAKES.get(self.op, ()), self.sources
        several = self.op == "mean"
        fits = len(given) >= 1 if several else len(given) == (1 if takes else 0)
        wrong = next((source for source in given if not isinstance(source, takes)), None)
        if fits and wrong is None:
            return
        names = " or ".join(kind.__name__ for kind in takes)
        allowed = f"{'one or more of' if several else 'one'} {names}" if takes else "none"
        got = f"{len(given)} sources" if wrong is None else type(wrong).__name__
        remedy = "leave it out" if not takes else f"give {'some' if several else 'one'}"
        raise BadEdit(f"edit of {self.site} has no such source for {self.op}; got {got}, allowed {allowed}; {remedy}")


def _read_source(source: Any) -> Any:
    """Numbers, tensors and functions become sources."""
    if source is None or isinstance(source, get_args(Source)):
        return source
    if isinstance(source, (list, tuple)):
        return tuple(_read_source(one) for one in source)
    if isinstance(source, Real):
        return Constant(float(source))
    if isinstance(source, np.ndarray) or hasattr(source, "detach"):
        return Values(source)
    if callable(source):
        return Function(source)
    raise BadEdit(
        f"edit has no such source; got {source!r}, allowed a number, a tensor, a function of address and tensor, or "
        f"{', '.join(kind.__name__ for kind in get_args(Source))}; write Stored(store, trace), say"
    )


def _source_fact(source: Source) -> dict[str, Any]:
    if isinstance(source, Values):
        return {"kind": source.kind, **source.fact}
    if isinstance(source, Function):
        return {"kind": source.kind, **_function_fact(source.function)}
    facts = {field.name: getattr(source, field.name) for field in fields(source)}
    for name in ("store", "path"):
        if name in facts:
            facts[name] = facts[name].rstrip("/").rpartition("/")[2]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}


def _function_fact(function: Any) -> dict[str, Any]:
    """Its text, and the values that it takes from outside: two functions of one text may do two things."""
    from dit_lens.nnsight_bridge.identity import of_function

    return of_function(function).notes
