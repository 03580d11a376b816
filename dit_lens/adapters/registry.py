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

from dit_lens.adapters.family import Family
from dit_lens.adapters.wan import WAN
from dit_lens.engine.errors import UnknownModel

__all__ = ["GROUP", "families", "family_of"]

GROUP = "dit_lens.adapters"
_BUILT_IN = (WAN,)


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
        Naming the families that are known.
    """
    for family in families():
        denoisers = family.denoisers(pipeline).values()
        known = any(name in family.pipelines for name in _class_names(pipeline))
        if known and denoisers and all(family.model in _class_names(denoiser) for denoiser in denoisers):
            return family
    allowed = "; ".join(f"{family.name}: {', '.join(family.pipelines)} with {family.model}" for family in families())
    raise UnknownModel(
        f"no adapter knows this pipeline; got {type(pipeline).__name__}, allowed {allowed}; "
        f"add a family through the entry-point group {GROUP}"
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
