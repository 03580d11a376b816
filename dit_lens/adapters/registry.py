"""Find the family of a pipeline: the built-in ones first, then those of installed packages.

A package registers under the entry-point group ``dit_lens.adapters``; what it names is a ``Family`` or an iterable of
them. A package that cannot be loaded is warned about by name and stops nothing else.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from dit_lens.adapters.cosmos import COSMOS
from dit_lens.adapters.cross_attention import CROSS_ATTENTION
from dit_lens.adapters.easyanimate import EASYANIMATE
from dit_lens.adapters.factored import FACTORED
from dit_lens.adapters.family import Family
from dit_lens.adapters.image import IMAGE
from dit_lens.adapters.joint_attention import JOINT_ATTENTION
from dit_lens.adapters.linear_attention import LINEAR_ATTENTION
from dit_lens.adapters.refused import REFUSED
from dit_lens.adapters.wan import VACE, WAN
from dit_lens.adapters.wan_blocks import WAN_BLOCKS
from dit_lens.engine.errors import UnknownModel

__all__ = ["GROUP", "families", "family_of"]

GROUP = "dit_lens.adapters"
_VIDEO = (*JOINT_ATTENTION, *CROSS_ATTENTION, *FACTORED, *COSMOS, *WAN_BLOCKS, EASYANIMATE, *LINEAR_ATTENTION)
_BUILT_IN = (WAN, VACE, *_VIDEO, *IMAGE)


@cache
def families() -> tuple[Family, ...]:
    """All known families; an earlier one wins over a later one for the same denoiser in the same pipelines.

    Examples
    --------
    >>> families()[0].name
    'wan'
    """
    found = [*_BUILT_IN]
    for point in entry_points(group=GROUP):
        for family in _load(point):
            if _serves(family) not in map(_serves, found):
                found.append(family)
    return tuple(found)


def family_of(pipeline: Any) -> Family:
    """The family of a built pipeline.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline

    Returns
    -------
    Family

    Raises
    ------
    UnknownModel
        Naming the families that are known, or why this pipeline was left out.
    """
    for family in families():
        denoisers = family.denoisers(pipeline).values()
        known = any(name in family.pipelines for name in _class_names(pipeline))
        if known and denoisers and all(family.model in _class_names(denoiser) for denoiser in denoisers):
            return family
    _refuse_known(pipeline)
    allowed = "; ".join(f"{family.name}: {', '.join(family.pipelines)} with {family.model}" for family in families())
    raise UnknownModel(
        f"no adapter knows this pipeline; got {type(pipeline).__name__}, allowed {allowed}; "
        f"add a family through the entry-point group {GROUP}"
    )


def _refuse_known(pipeline: Any) -> None:
    """Say why, where a pipeline was looked at and left out."""
    name = type(pipeline).__name__
    if name in REFUSED:
        raise UnknownModel(
            f"this pipeline cannot be traced, because {REFUSED[name]}; got {name}, allowed pipelines that step one "
            f"video with one scheduler; use the text-to-video pipeline of the same model"
        )


def _serves(family: Family) -> tuple[str, frozenset[str]]:
    """A denoiser may be shared by pipelines of several families."""
    return family.model, frozenset(family.pipelines)


def _class_names(thing: Any) -> tuple[str, ...]:
    return tuple(kind.__name__ for kind in type(thing).__mro__)


def _load(point: EntryPoint) -> Iterator[Family]:
    package = point.dist.name if point.dist else "?"
    try:
        loaded = point.load()
        yield from (loaded,) if isinstance(loaded, Family) else tuple(loaded)
    except Exception as error:  # whatever a foreign package raises must not take the others down
        warnings.warn(f"adapter {point.name!r} of package {package!r} cannot be used: {error!r}", stacklevel=4)
