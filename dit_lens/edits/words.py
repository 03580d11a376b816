"""An edit in words: what will be done where, on one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from dit_lens.edits.sources import Constant, File, Function, Noise, Source, Stored, Values

if TYPE_CHECKING:
    from dit_lens.address import Address
    from dit_lens.edits.edit import Edit

__all__ = ["in_words"]


def in_words(edit: Edit, addresses: Sequence[Address], places: int) -> str:
    """What an edit will do at its addresses, to so many places of each.

    Examples
    --------
    >>> from dit_lens.address import Address
    >>> from dit_lens.edits.edit import Edit
    >>> edit = Edit("state", "step=3", "replace", Noise(7))
    >>> in_words(edit, [Address("transformer", None, 3, None, "state")], 405)
    'step 3, 405 of the latent: replace by noise (seed 7) (state)'
    """
    steps = sorted({address.step for address in addresses})
    layers = sorted({address.layer for address in addresses if address.layer is not None})
    branches = dict.fromkeys(address.branch for address in addresses if address.branch is not None)
    where = [_numbered("step", steps), "+".join(branches), _numbered("layer", layers)]
    grid = f"{places} of the {'tokens' if edit.place.in_layers else 'latent'}"
    return f"{', '.join([*filter(None, where), grid])}: {_deed(edit)} ({edit.site})"


def _deed(edit: Edit) -> str:
    given = [_given(source) for source in edit.sources]
    if edit.op == "zero":
        return "replace by zeros"
    if edit.op == "mean":
        traces = all(isinstance(source, Stored) for source in edit.sources)
        kinds = "trace" if traces else "source"
        return f"replace by the mean of {len(given)} {kinds}{'s' if len(given) > 1 else ''}"
    if edit.op == "scale":
        return f"multiply by {given[0]}"
    if edit.op == "noise":
        noise = edit.sources[0]
        assert isinstance(noise, Noise)
        return f"add noise (seed {noise.seed}) of {noise.scale:g} times its root mean square"
    return f"{'replace by' if edit.op == 'replace' else 'add'} {given[0]}"


def _given(source: Source) -> str:
    match source:
        case Constant():
            return str(source)
        case Noise():
            scale = "" if source.scale == 1 else f", standard deviation {source.scale:g}"
            return f"noise (seed {source.seed}{scale})"
        case Stored():
            return f"trace {source.trace}{_mapped(source)}"
        case File():
            return source.path
        case Values():
            return f"a tensor of {' x '.join(map(str, source.fact['shape']))}"
        case Function():
            return f"what {str(source).removeprefix('function(').removesuffix(')')} gives"


def _mapped(source: Stored) -> str:
    named = [f"{name} {getattr(source, name)}" for name in Stored.MAPPED if getattr(source, name) is not None]
    shift = [f"{'/'.join(map(str, source.shift))} further on"] if any(source.shift) else []
    rounded = ["as the store rounded it"] if source.rounded else []
    words = [*named, *shift, *rounded]
    return f" at {', '.join(words)}" if words else ""


def _numbered(word: str, numbers: Iterable[int]) -> str:
    """``layers 2-5+7``: runs of numbers."""
    listed = list(numbers)
    runs = [[number for _, number in run] for _, run in groupby(enumerate(listed), lambda at: at[1] - at[0])]
    text = "+".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
    return f"{word}{'s' if len(listed) > 1 else ''} {text}" if listed else ""
