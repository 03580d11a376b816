"""What can be recorded of a model: its sites, and the layers that have them.

Everything is read from the layout of a shortest run, so it is what a trace would hold; weights are not needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dit_lens.generation import Generation
from dit_lens.sites import SITES, Site

if TYPE_CHECKING:
    from dit_lens.engine.layout import Layout
    from dit_lens.lens import Lens

__all__ = ["LayerRow", "SiteRow", "describe", "describe_layers"]

_OF_SCHEDULER = ("latent", "x0")
"""Sites of which the dtype is up to the scheduler, and may change on the way."""


@dataclass(frozen=True)
class SiteRow:
    """What one event of a site holds.

    Attributes
    ----------
    site : str
    events : mapping of str to int or None
        Extent of the dimensions that number the events; None where the request decides (step, branch).
    shape : mapping of str to int
        Extent of the dimensions of one event.
    dtype : str
        In which the model computes it; a store holds float32.
    meaning : str
    place : str
        Where in the block, or in the step, it sits.
    """

    site: str
    events: dict[str, int | None]
    shape: dict[str, int]
    dtype: str
    meaning: str
    place: str


@dataclass(frozen=True)
class LayerRow:
    """A list of layers in a denoiser.

    Attributes
    ----------
    expert : str
    stack : str
        Path of the list in the denoiser.
    first, last : int
        Numbers of its layers in a trace.
    module : str
        Class of a layer.
    sites : tuple of str
        The sites that these layers have.
    """

    expert: str
    stack: str
    first: int
    last: int
    module: str
    sites: tuple[str, ...]


def describe(model: Lens | str) -> tuple[SiteRow, ...]:
    """Every site of a model: how many events it has, what one holds, and what it means.

    Parameters
    ----------
    model : Lens or str
        A lens, or what ``load`` takes, of which only configurations are then read.

    Returns
    -------
    tuple of SiteRow

    Examples
    --------
    >>> describe("tiny-wan")[0].site  # doctest: +SKIP
    'block.in'
    """
    layout = _layout(_lens(model))
    return tuple(_site_row(site, layout) for site in SITES.values() if layout.has(site.name))


def describe_layers(model: Lens | str) -> tuple[LayerRow, ...]:
    """Every list of layers of every expert, with the numbers that a trace gives them and the sites that they have.

    Parameters
    ----------
    model : Lens or str

    Returns
    -------
    tuple of LayerRow

    Examples
    --------
    >>> describe_layers("tiny-wan")[0].stack  # doctest: +SKIP
    'blocks'
    """
    lens = _lens(model)
    layout = _layout(lens)
    rows = []
    for expert, denoiser in lens.family.denoisers(lens.pipeline).items():
        first = 0
        for stack in lens.family.stacks:
            layers = stack.layers(denoiser)
            last = first + len(layers) - 1
            if layers:
                rows.append(LayerRow(expert, stack.path, first, last, type(layers[0]).__name__, _sites(layout, first)))
            first = last + 1
    return tuple(rows)


def _sites(layout: Layout, layer: int) -> tuple[str, ...]:
    return tuple(site for site in SITES if "layer" in SITES[site].event_dims and layer in layout.layers_of(site))


def _lens(model: Lens | str) -> Lens:
    from dit_lens.models import load

    return load(model, weights=False) if isinstance(model, str) else model


def _layout(lens: Lens) -> Layout:
    from dit_lens.engine.plan import plan_layout

    request = Generation(prompt="", seed=0, steps=1)
    return plan_layout(lens.pipeline, lens.family, request, lens.origin.size or lens.family.size)


def _site_row(site: Site, layout: Layout) -> SiteRow:
    extents: dict[str, int | None] = {"branch": None, "step": None, "layer": len(layout.layers_of(site.name))}
    either = " or ".join(dict.fromkeys(("float32", layout.dtype)))
    return SiteRow(
        site.name,
        {dim: extents[dim] for dim in site.event_dims},
        {dim: len(layout.labels(dim, site.name)) for dim in site.value_dims},
        "float32" if site.probabilities else either if site.name.startswith(_OF_SCHEDULER) else layout.dtype,
        site.meaning,
        site.place,
    )
