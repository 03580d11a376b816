"""A stored trace as the source of an edit: everything is checked before the model runs, and read while it runs.

An edited value must be what the model computed at the address that is named, bit for bit, or the edit must say
otherwise: the trace must be of the same weights and the same grid, hold the site raw, be done there, and have no NaN; a
step of another noise level or another expert is taken only where it is named. To find a NaN before the model runs,
every event is read once before it is needed; then and later one event is held at a time.

Shapes: F frames, N tokens of a frame, C channels; H, W latent height and width; Y, X rows and columns of a frame.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from dit_lens.address import Address
from dit_lens.edits.planned import Planned
from dit_lens.edits.sources import Stored
from dit_lens.engine.errors import BadEdit
from dit_lens.engine.traces import check_model, is_exact, open_donor, raw_array
from dit_lens.sites import SITES

if TYPE_CHECKING:
    from dit_lens.engine.layout import Layout

__all__ = ["Donor"]

_SIGMA = 1e-6
"""Noise levels that differ by less are the same: some schedulers keep them in float32, some in float64."""


class Donor:
    """What one stored trace gives to one edit.

    Parameters
    ----------
    source : Stored
    planned : Planned
    layout : Layout
    identity : mapping
        Of the model that runs.

    Raises
    ------
    BadEdit, StoreError
        If it cannot give what is asked of it.
    """

    def __init__(self, source: Stored, planned: Planned, layout: Layout, identity: Mapping[str, Any]) -> None:
        self._source, self._planned, self._layout = source, planned, layout
        self._site = source.site or planned.edit.place.site
        self._where = f"edit '{planned.edit}'"
        self._check_site()
        self._trace = open_donor(source.store, source.trace)
        if not source.other_model:
            check_model(self._trace, identity, self._where, "write other_model if that is meant")
        self._array = raw_array(self._trace, self._site, self._where)
        self._check_exact()
        self._check_grid()
        self._inside = self._positions()
        self._check_addresses()
        told = json.dumps(self._trace.manifest, sort_keys=True).encode()
        self.facts: Mapping[str, Any] = {"manifest_sha256": hashlib.sha256(told).hexdigest()}

    def at(self, address: Address, current: torch.Tensor) -> torch.Tensor:
        """The event of an address, on the host."""
        values = torch.from_numpy(self._read(address))
        if any(self._source.shift):
            values = self._shifted(values)
        return values.flatten(1, 2) if self._planned.edit.place.in_layers else values

    def _read(self, address: Address) -> npt.NDArray[Any]:
        """(F, Y, X, C) of a layer, (C, F, H, W) of latents; NaN where the trace holds no token."""
        frames, rows, columns = self._planned.region.shape
        event = self._array.sel(self._event(address))
        if not self._planned.edit.place.in_layers:
            return np.ascontiguousarray(self._placed(event.values, 1))
        placed = self._placed(event.values, 0)
        return np.ascontiguousarray(placed).reshape(frames, rows, columns, -1)

    def _placed(self, values: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
        """Values at the labels that the trace holds; nothing is copied where it holds all of them."""
        layers = self._planned.edit.place.in_layers
        whole = self._layout.event_shape(self._planned.edit.place.site)
        if values.shape == whole:
            return values
        full = np.full(whole, np.nan, values.dtype)
        if layers:
            full[np.ix_(self._inside["frame"], self._inside["token"])] = values
        else:
            full[:, self._inside["frame"]] = values
        return full

    def _shifted(self, values: torch.Tensor) -> torch.Tensor:
        back = tuple(-by for by in self._source.shift)
        return torch.roll(values, back, (0, 1, 2) if self._planned.edit.place.in_layers else (1, 2, 3))

    def _event(self, address: Address) -> dict[str, Any]:
        """The labels of the donor's event for an address."""
        mapped = {
            "step": _mapped(self._source.step, address.step),
            "layer": None if address.layer is None else _mapped(self._source.layer, address.layer),
            "branch": self._source.branch or address.branch,
        }
        return {dim: mapped[dim] for dim in SITES[self._site].event_dims}

    def _check_site(self) -> None:
        own = SITES[self._planned.edit.place.site]
        site = SITES.get(self._site)
        alike = [name for name, other in SITES.items() if other.value_dims == own.value_dims]
        if site is None or site.value_dims != own.value_dims:
            raise BadEdit(
                f"the trace of {self._where} cannot give that site; got {self._site}, allowed {', '.join(alike)}; "
                f"choose one of those"
            )
        if "branch" in site.event_dims and not (self._source.branch or "branch" in self._planned.edit.place.event_dims):
            raise BadEdit(
                f"the trace of {self._where} has {self._site} of every branch; got none named, allowed "
                f"{', '.join(self._layout.branches)}; name the branch"
            )

    def _check_exact(self) -> None:
        if not self._source.rounded and not is_exact(self._array):
            kept = f"{self._array.attrs.get('source_dtype')} kept as {self._array.attrs.get('dtype')}"
            raise BadEdit(
                f"the trace of {self._where} was rounded by the store; got {kept}, allowed values as they were "
                f"computed; trace it without a dtype, or write rounded if that is meant"
            )

    def _check_grid(self) -> None:
        manifest, layers = self._trace.manifest, self._planned.edit.place.in_layers
        site = self._planned.edit.place.site
        own = self._layout.event_shape(site)
        sizes = tuple(self._array.sizes[dim] for dim in SITES[site].value_dims)
        same = sizes[-1] == own[-1] if layers else (sizes[0], *sizes[2:]) == (own[0], *own[2:])
        grid = tuple(manifest.get("tokens", ()))
        if not same or grid != self._layout.tokens:
            raise BadEdit(
                f"the trace of {self._where} has another shape; got {sizes} of a grid of "
                f"{' x '.join(map(str, grid)) or 'unknown'} tokens, allowed {own} of "
                f"{' x '.join(map(str, self._layout.tokens))}; take a trace of the same size"
            )

    def _positions(self) -> dict[str, list[int]]:
        """Where the labels that the trace holds lie in the run's own; all that the region needs must be there."""
        found: dict[str, list[int]] = {}
        for dim in ("frame", "token") if self._planned.edit.place.in_layers else ("frame",):
            own = [int(label) for label in self._layout.labels(dim, self._planned.edit.place.site)]
            found[dim] = [own.index(int(label)) for label in self._array.indexes[dim]]
        self._check_region(self._held(found))
        return found

    def _held(self, found: Mapping[str, list[int]]) -> npt.NDArray[np.bool_]:
        frames, rows, columns = self._planned.region.shape
        held = np.zeros((frames, rows * columns), bool)
        held[np.ix_(found["frame"], found.get("token", list(range(rows * columns))))] = True
        return held.reshape(frames, rows, columns)

    def _check_region(self, held: npt.NDArray[np.bool_]) -> None:
        """Every place of the region, as far on as the source says, must lie in the grid and in the trace."""
        wanted = np.argwhere(self._planned.region) + np.array(self._source.shift)
        inside = ((wanted >= 0) & (wanted < np.array(held.shape))).all(axis=1)
        missing = wanted[~inside] if not inside.all() else wanted[~held[tuple(wanted.T)]]
        if len(missing):
            frame, y, x = map(int, missing[0])
            raise BadEdit(
                f"the trace of {self._where} does not hold what it would need; got no place at frame number {frame}, "
                f"row {y}, column {x}, allowed those that it recorded; edit fewer, or trace more"
            )

    def _check_addresses(self) -> None:
        """Every event that will be read: its labels, its marks, its noise level and expert, and its values."""
        marks = self._trace.done(f"{self._site}.raw")
        region = torch.from_numpy(self._planned.region.copy())
        for address in self._planned.addresses:
            event = self._event(address)
            self._check_labels(address, event)
            self._check_step(address, int(event["step"]))
            if int(marks.sel(event)) != 1:
                raise BadEdit(
                    f"the trace of {self._where} is not done at {address}; got {_named(event)} not done, allowed done "
                    f"events; trace '{self._source.trace}' again, which resumes it"
                )
            self._check_values(address, region)

    def _check_labels(self, address: Address, event: Mapping[str, Any]) -> None:
        for dim, label in event.items():
            there = self._array.indexes[dim]
            if label not in there:
                shown = ", ".join(map(str, list(there)[:8])) + (", ..." if len(there) > 8 else "")
                raise BadEdit(
                    f"the trace of {self._where} lacks the address for {address}; got no {dim} {label} of "
                    f"{self._site}, allowed {shown}; map it, or trace it"
                )

    def _check_step(self, address: Address, step: int) -> None:
        here = self._array.sel(step=step)
        expert = str(here.coords["expert"].item())
        if expert != (self._source.expert or address.expert):
            raise BadEdit(
                f"the trace of {self._where} is of another expert for {address}; got {expert} at its step {step}, "
                f"allowed {self._source.expert or address.expert}; take another step, or name that expert"
            )
        sigma, sigmas = float(here.coords["sigma"].item()), self._layout.sigmas
        if self._source.step is None and sigmas is not None and abs(sigma - sigmas[address.step]) > _SIGMA:
            raise BadEdit(
                f"the trace of {self._where} has another noise level at {address}; got sigma {sigma:.6g}, allowed "
                f"{sigmas[address.step]:.6g}; name the step that is meant, or trace with the same steps"
            )

    def _check_values(self, address: Address, region: torch.Tensor) -> None:
        layers = self._planned.edit.place.in_layers
        values = self.at(address, torch.empty(0))
        chosen = values[region.flatten(1)] if layers else values[:, region]
        if not torch.isfinite(chosen).all():
            raise BadEdit(
                f"the trace of {self._where} has values that are no numbers for {address}; got NaN or infinity, "
                f"allowed finite numbers; trace it again"
            )


def _mapped(wish: int | str | None, own: int) -> int:
    """The donor's label for one of the run's."""
    if wish is None:
        return own
    return own + int(wish) if isinstance(wish, str) and re.match("[+-]", wish) else int(wish)


def _named(event: Mapping[str, Any]) -> str:
    return ", ".join(f"{dim} {label}" for dim, label in event.items())
