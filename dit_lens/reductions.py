"""What a capture keeps of one event, as words: the reductions, their arguments, and the dimensions that they leave.

Every reduction sees a site's dimensions as three kinds: those along which *tokens* are counted, the *feature* that
is the vector of a token, and the rest (heads, for one), which is kept. Nothing here computes; the arithmetic is in
``dit_lens.engine.reductions``, and this page needs no torch, so that a plan can be made without it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dit_lens.engine.errors import BadSelection, UnknownCapture
from dit_lens.selection import Term
from dit_lens.sites import Site
from dit_lens_stores.errors import close_match

__all__ = [
    "DTYPES",
    "QUANTITIES",
    "REDUCTIONS",
    "Reduction",
    "dims_after",
    "labels_after",
    "read_argument",
    "read_axes",
    "read_batches",
]

DTYPES: Mapping[str, str] = MappingProxyType(
    {
        "float32": "as they were computed, kept as float32",
        "bfloat16": "rounded to bfloat16, kept as float32 with sixteen zero bits",
        "float16": "rounded to float16, refused where they overflow",
        "bits": "rounded to bfloat16, kept as its bit patterns in uint16",
    }
)
"""Every dtype that a capture can ask for, by its name."""

QUANTITIES = ("channel", "rms", "share")
"""What ``top`` says of a channel: its number, its root mean square over the tokens, its share of the sum of squares."""

_MINIMAL_BATCH = 4  # the debiased estimator divides by n (n - 3)
_BATCHES = re.compile(r"([1-9][0-9]{0,17})(?:x([1-9][0-9]{0,17}))?")
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_COUNT_AT_MOST = 65536


@dataclass(frozen=True)
class Reduction:
    """What is kept of one event.

    Attributes
    ----------
    name : str
    argument : {"", "AXES", "K", "B"}
        What follows the name: nothing, dimensions joined by ``+``, a number, or a number of tokens in a minibatch
        with, after an ``x``, a number of minibatches.
    meaning : str
    """

    name: str
    argument: str
    meaning: str


REDUCTIONS: Mapping[str, Reduction] = MappingProxyType(
    {
        reduction.name: reduction
        for reduction in (
            Reduction("raw", "", "the values themselves"),
            Reduction("energy", "", "L2 norm over the channels, in float32"),
            Reduction("mean", "AXES", "mean over the named dimensions, in float32"),
            Reduction("std", "AXES", "population standard deviation over the named dimensions, in float32"),
            Reduction("project", "K", "seeded Gaussian projection of the channels, divided by the root of K"),
            Reduction("gram", "B", "centred Gram matrices of minibatches of permuted tokens, in float32"),
            Reduction("top", "K", "the K channels of largest root mean square over all chosen tokens"),
        )
    }
)
"""Every reduction by its name."""


def read_argument(site: Site, name: str, text: str) -> str:
    """Check the argument of a reduction, and give it in its one spelling.

    Parameters
    ----------
    site : Site
    name : str
        A key of ``REDUCTIONS``.
    text : str

    Returns
    -------
    str

    Raises
    ------
    UnknownCapture

    Examples
    --------
    >>> from dit_lens.sites import SITES
    >>> read_argument(SITES["block.out"], "mean", "token+frame"), read_argument(SITES["latent"], "mean", "")
    ('frame+token', 'frame+h+w')
    """
    kind = REDUCTIONS[name].argument
    if kind == "AXES":
        return "+".join(_ordered_axes(site, name, text))
    if kind == "K" and not (_NUMBER.fullmatch(text) and int(text) <= _COUNT_AT_MOST):
        raise UnknownCapture(_unreadable(site, name, text, f"a number from 1 to {_COUNT_AT_MOST}", f"{name}:16"))
    if kind == "B":
        batch = _BATCHES.fullmatch(text)
        if batch is None or int(batch[1]) < _MINIMAL_BATCH:
            allowed = f"tokens in a minibatch, from {_MINIMAL_BATCH}, with 'x' and their number if not all"
            raise UnknownCapture(_unreadable(site, name, text, allowed, f"{name}:256x4"))
    if kind == "" and text:
        raise UnknownCapture(_unreadable(site, name, text, "no argument", name))
    return text


def read_axes(argument: str) -> tuple[str, ...]:
    """The dimensions that an argument of ``mean`` or ``std`` names."""
    return tuple(argument.split("+"))


def read_batches(argument: str, tokens: int) -> tuple[int, int]:
    """Tokens in a minibatch and number of minibatches that an argument of ``gram`` asks of so many tokens.

    Examples
    --------
    >>> read_batches("64", 200), read_batches("64x2", 200)
    ((64, 3), (64, 2))
    """
    size, _, count = argument.partition("x")
    return int(size), int(count or tokens // int(size))


def dims_after(site: Site, name: str, argument: str) -> tuple[str, ...]:
    """Dimensions of one event's values after a reduction.

    Examples
    --------
    >>> from dit_lens.sites import SITES
    >>> dims_after(SITES["block.out"], "project", "16"), dims_after(SITES["attn1.q"], "gram", "64")
    (('frame', 'token', 'component'), ('head', 'gram_batch', 'gram_row', 'gram_column'))
    """
    without = {
        "energy": (site.feature_dim,),
        "mean": read_axes(argument),
        "std": read_axes(argument),
        "gram": (*site.token_dims, site.feature_dim),
        "top": (*site.token_dims, site.feature_dim),
    }.get(name, ())
    kept = tuple(dim for dim in site.value_dims if dim not in without)
    if name == "project":
        return tuple("component" if dim == site.feature_dim else dim for dim in kept)
    return kept + {"gram": ("gram_batch", "gram_row", "gram_column"), "top": ("rank", "quantity")}.get(name, ())


def labels_after(
    site: Site, name: str, argument: str, chosen: Mapping[str, Sequence[Term]], where: str
) -> dict[str, tuple[Term, ...]]:
    """Labels of the dimensions that a reduction makes.

    Parameters
    ----------
    site : Site
    name, argument : str
    chosen : mapping of str to sequence
        Labels of the site's value dimensions that the selection chooses.
    where : str
        The capture, for the message.

    Returns
    -------
    dict

    Raises
    ------
    BadSelection
        If fewer tokens or channels are chosen than the reduction asks for.
    """
    if name == "project":
        return {"component": tuple(range(int(argument)))}
    if name == "gram":
        tokens = math.prod(len(chosen[dim]) for dim in site.token_dims)
        size, count = read_batches(argument, tokens)
        _at_most(where, "tokens", size * max(count, 1), tokens, "choose smaller or fewer minibatches")
        return {"gram_batch": tuple(range(count)), "gram_row": tuple(range(size)), "gram_column": tuple(range(size))}
    if name == "top":
        _at_most(where, "channels", int(argument), len(chosen[site.feature_dim]), "ask for fewer")
        return {"rank": tuple(range(int(argument))), "quantity": QUANTITIES}
    return {}


def _ordered_axes(site: Site, name: str, text: str) -> tuple[str, ...]:
    axes = [axis.strip() for axis in text.split("+")] if text else list(site.token_dims)
    foreign = [axis for axis in axes if axis not in site.value_dims]
    if foreign or len(set(axes)) != len(axes):
        wrong = foreign[0] if foreign else text
        allowed = f"{', '.join(site.value_dims)}, each once"
        hint = close_match(wrong, site.value_dims)
        raise UnknownCapture(_unreadable(site, name, wrong, allowed, f"{name}:{'+'.join(site.token_dims)}", hint))
    return tuple(dim for dim in site.value_dims if dim in axes)


def _unreadable(site: Site, name: str, text: str, allowed: str, example: str, hint: str = "") -> str:
    return (
        f"the argument of {name} cannot be used at {site.name}; got {text!r}, allowed {allowed}"
        f"{hint or f'; write it as in {site.name}:{example}'}"
    )


def _at_most(where: str, what: str, wanted: int, there: int, remedy: str) -> None:
    if wanted > there:
        raise BadSelection(
            f"capture '{where}' asks for more {what} than are chosen; got {wanted}, allowed {there} at most; {remedy}"
        )
