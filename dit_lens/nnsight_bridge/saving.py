"""Write what a block saved as a trace of its own: the same arrays that a capture would have filled.

A site gets the array, the dimensions and the labels of a raw capture; a value of the block's own gets an array of its
name, with dimensions that are numbered. One array holds every combination of the steps, branches and layers that it
has, so what was saved under one name must be such a grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import torch

from dit_lens.address import Address
from dit_lens.engine.arrays import coordinates
from dit_lens.engine.errors import BadBlock
from dit_lens.sites import SITES
from dit_lens_stores import ArraySpec

if TYPE_CHECKING:
    from dit_lens.engine.layout import Layout
    from dit_lens_stores import Store

__all__ = ["array_specs", "write_saved"]

_AXES = ("branch", "step", "layer")


def array_specs(saved: Mapping[Address, torch.Tensor], layout: Layout) -> list[ArraySpec]:
    """One array for every name under which something was saved.

    Parameters
    ----------
    saved : mapping of Address to torch.Tensor
    layout : Layout

    Raises
    ------
    BadBlock
        If nothing was saved, or the addresses of one name are no grid, or their tensors have several shapes.
    """
    by_name: dict[str, dict[Address, torch.Tensor]] = {}
    for address, value in saved.items():
        by_name.setdefault(address.site, {})[address] = value
    if not by_name:
        raise BadBlock("the block saved nothing to write; got 0 addresses, allowed 1 or more; use at(...).save(site)")
    return [_spec(name, values, layout) for name, values in by_name.items()]


def write_saved(
    saved: Mapping[Address, torch.Tensor],
    specs: Sequence[ArraySpec],
    layout: Layout,
    store: Store,
    trace_id: str,
    manifest: Mapping[str, Any],
) -> None:
    """Write tensors by address as one trace.

    Parameters
    ----------
    saved : mapping of Address to torch.Tensor
    specs : sequence of ArraySpec
    layout : Layout
    store : Store
    trace_id : str
    manifest : mapping
    """
    writer = store.begin(trace_id, specs, coordinates(layout, specs), manifest)
    names = {spec.attrs["site"]: spec for spec in specs}
    for address in sorted(saved):
        spec, value = names[address.site], saved[address]
        writer.write(spec.name, {axis: getattr(address, axis) for axis in spec.event_dims}, value.float().cpu().numpy())
    for step in {address.step for address in saved}:
        _mark_step(writer, layout, step)
    writer.finish()


def _spec(name: str, values: Mapping[Address, torch.Tensor], layout: Layout) -> ArraySpec:
    """The array of everything that was saved under one name."""
    events = _grid(name, list(values), layout)
    shapes = {tuple(value.shape) for value in values.values()}
    if len(shapes) > 1:
        raise BadBlock(
            f"what the block saved as '{name}' is no array; got shapes {', '.join(map(str, sorted(shapes)))}, allowed "
            "one shape under one name; save under several names"
        )
    sizes = _value_labels(name, next(iter(shapes)), layout)
    dtype = str(next(iter(values.values())).dtype).removeprefix("torch.")
    attrs = {"site": name, "reduction": "raw", "source_dtype": dtype, "units": "1", "long_name": _meaning(name)}
    return ArraySpec(
        name=_array(name),
        dims=(*events, *sizes),
        labels={**events, **sizes},
        event_dims=tuple(events),
        attrs=attrs,
    )


def _grid(name: str, addresses: Sequence[Address], layout: Layout) -> dict[str, tuple[Any, ...]]:
    """The labels of branch, step and layer, if the addresses are all their combinations."""
    met = {axis: {getattr(address, axis) for address in addresses} for axis in _AXES}
    if None in met["layer"]:
        met["layer"] -= {None}
        if met["layer"]:
            raise _no_grid(name, len(addresses), "addresses that all have a layer, or none of them")
        del met["layer"]
    in_order = (
        *layout.branches,
        *sorted(met["branch"] - set(layout.branches)),
    )  # of all rows together: no branch's own
    branches = tuple(branch for branch in in_order if branch in met["branch"])
    labels = {"branch": branches, **{axis: tuple(sorted(met[axis])) for axis in list(met)[1:]}}
    count = prod(len(chosen) for chosen in labels.values())
    if count != len(addresses):
        listed = " x ".join(f"{len(chosen)} {axis}" for axis, chosen in labels.items())
        raise _no_grid(name, len(addresses), f"{count}, that is {listed}")
    return labels


def _no_grid(name: str, got: int, allowed: str) -> BadBlock:
    return BadBlock(
        f"what the block saved as '{name}' is no grid; got {got} addresses, allowed {allowed}; save every combination, "
        "or under several names"
    )


def _value_labels(name: str, shape: tuple[int, ...], layout: Layout) -> dict[str, tuple[Any, ...]]:
    if name in SITES:
        return {dim: layout.labels(dim, name) for dim in SITES[name].value_dims}
    return {f"{name}.{axis}": tuple(range(size)) for axis, size in enumerate(shape)}


def _array(name: str) -> str:
    return f"{name}.raw" if name in SITES else name


def _meaning(name: str) -> str:
    return SITES[name].meaning if name in SITES else "value that an nnsight block computed"


def _mark_step(writer: Any, layout: Layout, step: int) -> None:
    """Sigma, timestep and expert of a step, as far as the plan knows them."""
    writer.set_coordinate("expert", step, layout.experts[step])
    for name, planned in (("sigma", layout.sigmas), ("timestep", layout.timesteps)):
        if planned is not None:
            writer.set_coordinate(name, step, planned[step])
