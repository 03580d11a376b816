"""Sites in terms of modules and operations: where a block finds what a capture of the same name would record.

What a module returns is its output. Queries, keys and values after the rotary embedding are shown by no module: they
are arguments of the call of the attention function inside the attention processor, which nnsight's ``source`` reaches.

Shapes: B rows of the batch, N tokens, H heads, D channels of a head, F frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange

from dit_lens.engine.errors import UnknownCapture
from dit_lens.sites import SITES
from dit_lens_stores.errors import close_match

if TYPE_CHECKING:
    from dit_lens.adapters.family import Family
    from dit_lens.adapters.stack import Stack
    from dit_lens.engine.layout import Layout
    from dit_lens.nnsight_bridge.places import Place

__all__ = ["check_site", "in_dims", "read"]

_ARGUMENTS = {"q": "query", "k": "key", "v": "value"}
_PROCESSOR, _ATTENTION, _TORCH_S = "self_processor", "dispatch_attention_fn", "scaled_dot_product_attention"


def check_site(layout: Layout, layer: int | None, site: str, where: str) -> None:
    """Refuse a site that cannot be read at a place.

    Raises
    ------
    UnknownCapture
    """
    allowed = [name for name in SITES if _is_readable(layout, layer, name)]
    if site not in allowed:
        raise UnknownCapture(
            f"the block cannot read that site at {where}; got '{site}', allowed {', '.join(allowed)}"
            f"{close_match(site, allowed) or '; give the value that the block computed as well'}"
        )


def _is_readable(layout: Layout, layer: int | None, site: str) -> bool:
    if layer is None:
        return site == "velocity"
    return layer in layout.layers_of(site) and not SITES[site].probabilities


def read(place: Place, site: str, stack: Stack | None) -> torch.Tensor:
    """The model's own tensor at a site.

    Parameters
    ----------
    place : Place
        Of a layer, or of a denoiser for ``velocity``.
    site : str
    stack : Stack or None
        The layer's.
    """
    if stack is None:
        return _first(place.output)
    if site == "block.in":
        found: torch.Tensor = stack.argument_of(*place.inputs)
        return found
    if site == "block.out":
        return _first(stack.video_of(place.output))
    part, what = site.split(".")
    module: Any = place
    for name in stack.inside[part].split("."):
        module = getattr(module, name)
    return _first(module.output) if what == "out" else _argument(module, what)


def _argument(attention: Any, what: str) -> torch.Tensor:
    """Query, key or value (B, N, H, D) of the last attention that a processor computes: before it, that of an image."""
    inside = _operation(attention.source, (_PROCESSOR,)).source
    function = _operation(inside, (_ATTENTION, _TORCH_S))
    args, kwargs = function.inputs
    named: dict[str, torch.Tensor] = {**dict(zip(_ARGUMENTS.values(), args, strict=False)), **kwargs}
    values = named[_ARGUMENTS[what]]
    return values.transpose(1, 2) if _TORCH_S in function.name else values  # (B, H, N, D); a view: edits go through


def _operation(source: Any, kinds: tuple[str, ...]) -> Any:
    """The last operation of some kinds in a source."""
    calls = [name for name in source.names if any(kind in name for kind in kinds)]
    if not calls:
        raise UnknownCapture(
            f"the attention has no operation to read from at {source!s}; got {', '.join(source.names)}, allowed "
            f"{' or '.join(kinds)}; record the site with a capture"
        )
    return getattr(source, calls[-1])


def in_dims(
    layout: Layout, family: Family, stack: Stack | None, site: str, live: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Every row of a site's tensor, in the dimensions that the site has in a trace."""
    if stack is None:
        return tuple(family.velocity_of(live, layout.latent))
    dims = SITES[site].value_dims
    if dims[0] == "text_token":
        return tuple(live)
    if dims[-1] == "head_channel":
        return tuple(rearrange(live, "b (f n) h d -> b f n h d", f=layout.tokens[0]))
    return tuple(stack.frames(live, layout.tokens))


def _first(output: Any) -> torch.Tensor:
    values: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return values
