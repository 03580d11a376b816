"""Named places in a video diffusion transformer, and the dimensions of what flows there.

``SITES`` is a table: an event fixes the leading dimensions (branch, step, layer), its values have the others. What an
array looks like follows from its site's row and from what the reduction takes away, so a new site is one row here and
one line in the engine. Which of them a model family can give is a matter of its layout (``Layout.has``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["SITES", "Site"]

_ALONG_LAYERS = ("branch", "step", "layer")
_STREAM = ("frame", "token", "channel")
_HEADS = ("frame", "token", "head", "head_channel")
_TEXT_HEADS = ("text_token", "head", "head_channel")
_LATENT = ("latent_channel", "frame", "h", "w")
_PLACES_OF_TOKENS = ("frame", "token", "h", "w", "text_token")


@dataclass(frozen=True)
class Site:
    """A named place in the model.

    Attributes
    ----------
    name : str
    event_dims : tuple of str
        Dimensions that one event fixes.
    value_dims : tuple of str
        Dimensions of one event's values, in their order.
    feature_dim : str
        Which of them is the vector of a token.
    meaning : str
    place : str
        Where in the block (or in the step) it sits.
    averaged : tuple of str
        Dimensions over which the site's values are a mean already; they can be selected, and no array has them.
    probabilities : bool
        Whether the values are attention probabilities: computed for the chosen queries alone, never all at once.

    Examples
    --------
    >>> SITES["attn1.q"].token_dims, SITES["attn1.q"].feature_dim
    (('frame', 'token'), 'head_channel')
    """

    name: str
    event_dims: tuple[str, ...]
    value_dims: tuple[str, ...]
    feature_dim: str
    meaning: str
    place: str
    averaged: tuple[str, ...] = ()
    probabilities: bool = False

    @property
    def token_dims(self) -> tuple[str, ...]:
        """The dimensions along which tokens (or places of the latent) are counted."""
        return tuple(dim for dim in self.value_dims if dim in _PLACES_OF_TOKENS and dim != self.feature_dim)


def _stream(name: str, meaning: str, place: str) -> Site:
    return Site(name, _ALONG_LAYERS, _STREAM, "channel", meaning, place)


def _heads(name: str, meaning: str, place: str, dims: tuple[str, ...] = _HEADS) -> Site:
    return Site(name, _ALONG_LAYERS, dims, "head_channel", meaning, place)


def _map(name: str, dims: tuple[str, ...], meaning: str, place: str, averaged: tuple[str, ...] = ()) -> Site:
    return Site(name, _ALONG_LAYERS, dims, dims[-1], meaning, place, averaged, probabilities=True)


def _latent(name: str, event_dims: tuple[str, ...], meaning: str, place: str) -> Site:
    return Site(name, event_dims, _LATENT, "latent_channel", meaning, place)


_SOFTMAX = "softmax over all keys of the scaled products of queries and keys, as self-attention uses them"
_WORDS_SOFTMAX = "softmax over the prompt of the scaled products of queries and keys, as cross-attention uses them"

_TABLE = (
    _stream("block.in", "residual stream before a transformer block", "what the block is called with, before norm1"),
    _stream("block.out", "residual stream after a transformer block", "what the block returns, after every sum"),
    _stream(
        "attn1.out",
        "what self-attention adds to the stream",
        "after the output projection, before the gate and the residual sum",
    ),
    _stream(
        "attn2.out",
        "what cross-attention adds to the stream",
        "after the output projection, before the residual sum (no gate)",
    ),
    _stream(
        "ffn.out",
        "what the feed-forward network adds to the stream",
        "after the second linear layer, before the gate and the residual sum",
    ),
    _heads("attn1.q", "queries of self-attention", "after the query norm and the rotary embedding"),
    _heads("attn1.k", "keys of self-attention", "after the key norm and the rotary embedding"),
    _heads("attn1.v", "values of self-attention", "after the value projection (no norm, no rotation)"),
    _heads("attn2.q", "queries of cross-attention", "after the query norm (no rotation)"),
    _heads("attn2.k", "keys of cross-attention, of the prompt", "after the key norm (no rotation)", _TEXT_HEADS),
    _heads("attn2.v", "values of cross-attention, of the prompt", "after the value projection (no norm)", _TEXT_HEADS),
    _map(
        "attn1.frames",
        ("frame", "head", "key_frame"),
        "share of each frame's self-attention that goes to each frame, mean over its chosen tokens",
        _SOFTMAX,
        averaged=("token",),
    ),
    _map(
        "attn1.rows",
        ("frame", "token", "head", "key_frame", "key_token"),
        "self-attention of each chosen token to every token",
        _SOFTMAX,
    ),
    _map(
        "attn2.words",
        ("frame", "token", "head", "text_token"),
        "share of each token's cross-attention that goes to each token of the prompt",
        _WORDS_SOFTMAX,
    ),
    _latent("latent", ("step",), "noisy latent that the step starts from", "what the scheduler's step starts from"),
    _latent(
        "velocity", ("branch", "step"), "output of the denoiser, per branch", "what the denoiser returns, unpatched"
    ),
    _latent(
        "velocity.guided",
        ("step",),
        "velocity after guidance, as the scheduler receives it",
        "what the scheduler's step receives",
    ),
    _latent(
        "x0",
        ("branch", "step"),
        "clean latent that one branch's velocity points to",
        "computed from latent, velocity and sigma",
    ),
    _latent(
        "x0.guided",
        ("step",),
        "clean latent that the guided velocity points to",
        "computed from latent, velocity.guided and sigma",
    ),
)

SITES: Mapping[str, Site] = MappingProxyType({site.name: site for site in _TABLE})
"""Every site by its name."""
