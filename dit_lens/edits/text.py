"""The short form of an edit, ``SITE:OP[:SOURCE][[SELECTION]]``, as the command line takes it and as edits print.

Sources are a number, ``noise(SEED[,SCALE])``, ``trace(STORE#ID[,step=3][,layer=+1][,shift=0/0/2][,rounded])`` and
``file(PATH)``; a mean joins several with ``+``.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from dit_lens.edits.edit import Edit
from dit_lens.edits.sources import Constant, File, Noise, Source, Stored
from dit_lens.engine.errors import BadEdit
from dit_lens.selection import Selection

__all__ = ["read_edit"]

_FORM = re.compile(r"\s*(?P<site>[\w.]+)\s*:\s*(?P<op>\w+)\s*(?::(?P<source>.*?))?\s*(?:\[(?P<where>[^\[\]]*)\]\s*)?")
_CALL = re.compile(r"\s*(?P<kind>noise|trace|file)\((?P<inside>[^()]*)\)\s*")
_FLAGS = ("rounded", "other_model")


def read_edit(text: str) -> Edit:
    """Read the short form.

    Raises
    ------
    BadEdit, BadSelection

    Examples
    --------
    >>> read_edit("state:replace:noise(7)[step=4,frame=0]").source
    Noise(seed=7, scale=1.0)
    >>> read_edit("block.out zero")
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.BadEdit: edit cannot be read; got 'block.out zero', allowed SITE:OP[:SOURCE][axis=...]; ...
    """
    form = _FORM.fullmatch(text)
    if form is None:
        _refuse("edit", text, "SITE:OP[:SOURCE][axis=...]", "block.out:scale:0.5[step=0,layer=2:5]")
    where = Selection.parse(form["where"] or "")
    read: Any = _sources(form["source"]) if form["source"] else None
    return Edit(form["site"], where, form["op"], read)  # type: ignore[arg-type]


def _sources(text: str) -> Source | tuple[Source, ...]:
    read = tuple(_source(part) for part in re.split(r"(?<=\))\s*\+", text))
    return read if len(read) > 1 else read[0]


def _source(text: str) -> Source:
    call = _CALL.fullmatch(text)
    if call is None:
        try:
            return Constant(float(text))
        except ValueError:
            _refuse(
                "source of an edit", text, "a number, noise(SEED), trace(STORE#ID) or file(PATH)", "trace(a.zarr#t0)"
            )
    if call["kind"] == "file":
        return File(call["inside"].strip())
    return (_noise if call["kind"] == "noise" else _trace)(call["inside"])


def _noise(inside: str) -> Noise:
    words = [word.strip().removeprefix("seed=").removeprefix("scale=") for word in inside.split(",")]
    try:
        return Noise(int(words[0]), *(float(word) for word in words[1:2]))
    except ValueError:
        _refuse("noise of an edit", inside, "SEED or SEED,SCALE", "noise(7,0.5)")


def _trace(inside: str) -> Stored:
    first, *rest = (word.strip() for word in inside.split(","))
    store, _, trace = first.rpartition("#")
    options: dict[str, Any] = {}
    for word in rest:
        name, equals, value = (part.strip() for part in word.partition("="))
        if name in _FLAGS and not equals:
            options[name] = True
        elif name == "shift" and re.fullmatch(r"-?\d+/-?\d+/-?\d+", value):
            options[name] = tuple(int(part) for part in value.split("/"))
        elif name in Stored.MAPPED and value:
            options[name] = int(value) if value.isdecimal() else value
        else:
            _refuse_trace(inside)
    if not store or not trace:
        _refuse_trace(inside)
    return Stored(store, trace, **options)


def _refuse_trace(inside: str) -> NoReturn:
    allowed = f"STORE#ID, then {', '.join(f'{name}=' for name in Stored.MAPPED)}, shift=F/Y/X, {', '.join(_FLAGS)}"
    _refuse("trace of an edit", inside, allowed, "trace(a.zarr#t0,step=3)")


def _refuse(what: str, got: str, allowed: str, example: str) -> NoReturn:
    raise BadEdit(f"{what} cannot be read; got {got!r}, allowed {allowed}; write it as in {example}")
