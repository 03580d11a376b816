"""A stored step from which a run goes on: its latents, and the history that the solver had there.

The history is not stored; it follows from what is. The solver steps once more over the latents and guided velocities
that were recorded, and must come to the recorded latents, bit for bit: then it is where it was. The denoiser does not
run for that.

Shapes: B batch (one), C channels, F frames, H, W latent height and width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import xarray as xr

from dit_lens.adapters.family import Family
from dit_lens.edits.start import Start
from dit_lens.engine.errors import BadEdit
from dit_lens.engine.history import check_replays, forget, remembers
from dit_lens.engine.traces import check_model, is_exact, open_donor, raw_array
from dit_lens.manifest import plain
from dit_lens_stores import Trace

if TYPE_CHECKING:
    from dit_lens.engine.layout import Layout

__all__ = ["Beginning", "load_start"]


@dataclass(frozen=True, eq=False)
class Beginning:
    """A start that was checked.

    Attributes
    ----------
    start : Start
    latents : torch.Tensor
        In the scheduler's layout.
    past : tuple of (torch.Tensor, torch.Tensor)
        Latents and guided velocity of every step before it, for a solver with a history.
    resets : tuple of int
        Steps before which the solver of the trace forgot.
    hashes : tuple of str
        Of the latents of every step before it, as far as the trace tells.
    """

    start: Start
    latents: torch.Tensor
    past: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    resets: tuple[int, ...]
    hashes: tuple[str, ...]

    def replay(self, scheduler: Any) -> None:
        """Bring a scheduler whose timesteps were just set to where it was at the step.

        Raises
        ------
        BadEdit
            If it comes to other latents than were recorded.
        """
        if not remembers(scheduler):
            if hasattr(scheduler, "_step_index"):
                scheduler._step_index = self.start.step
            return
        device = scheduler.timesteps.device
        following = [latent for latent, _ in self.past[1:]] + [self.latents]
        for step, ((latent, velocity), then) in enumerate(zip(self.past, following, strict=True)):
            if step in self.resets:
                forget(scheduler)
            timestep = scheduler.timesteps[step]
            left = _unobserved(scheduler).step(
                scheduler, velocity.to(device), timestep, latent.to(device), return_dict=False
            )[0]
            if step + 1 not in self.resets and not torch.equal(left.cpu(), then.to(left.dtype)):
                raise BadEdit(
                    f"the start {self.start} cannot be reached again; got other latents after step {step} than were "
                    f"recorded, allowed the same bits; trace it with this scheduler, or run from the first step"
                )
        if self.start.step in self.resets:
            forget(scheduler)


def load_start(start: Start, pipeline: Any, family: Family, layout: Layout, identity: Mapping[str, Any]) -> Beginning:
    """Check a start against a run, and read it.

    Raises
    ------
    BadEdit, StoreError
    """
    scheduler, where = pipeline.scheduler, f"start {start}"
    check_replays(scheduler)
    trace = open_donor(start.store, start.trace)
    check_model(trace, identity, where, "run from the first step")
    told = {"class": type(scheduler).__name__, "config": plain(scheduler.config)}
    if trace.manifest.get("scheduler") != told:
        raise BadEdit(
            f"{where} is of another scheduler; got {trace.manifest.get('scheduler', {}).get('class', 'none')} with its "
            f"configuration, allowed that of this pipeline; trace it with this scheduler"
        )
    latents = _exact(trace, "latent", where)
    before = range(start.step) if remembers(scheduler) else range(0)
    velocities = _exact(trace, "velocity.guided", where) if before else None
    _check_steps(latents, start, layout, where)
    past = tuple(
        (_read(latents, step, family, where), _read(velocities, step, family, where))
        for step in before
        if velocities is not None
    )
    resets = tuple(int(step) for step in trace.manifest.get("solver_resets", ()))
    hashes = tuple(trace.manifest.get("latents", ()))[: start.step]
    return Beginning(start, _read(latents, start.step, family, where), past, resets, hashes)


def _unobserved(scheduler: Any) -> Any:
    """The class of a scheduler that may be observed at the moment (``dit_lens.engine.scheduler``)."""
    kind = type(scheduler)
    return kind.__base__ if kind.__base__ is not None and kind.__base__.__name__ == kind.__name__ else kind


def _exact(trace: Trace, site: str, where: str) -> xr.DataArray:
    array = raw_array(trace, site, where)
    if not is_exact(array):
        raise BadEdit(
            f"{where} was rounded by the store; got {site} of {array.attrs.get('source_dtype')} kept as "
            f"{array.attrs.get('dtype')}, allowed values as they were computed; trace it without a dtype"
        )
    return array


def _check_steps(latents: xr.DataArray, start: Start, layout: Layout, where: str) -> None:
    """The step is one of this run, at the same noise level and of the same shape."""
    there = [int(step) for step in latents.indexes["step"]]
    if start.step not in there:
        raise BadEdit(
            f"{where} lacks the step; got no latent of step {start.step}, allowed {', '.join(map(str, there[:12]))}; "
            f"trace it with --capture latent"
        )
    shape = tuple(latents.sizes[dim] for dim in ("latent_channel", "frame", "h", "w"))
    if shape != layout.latent:
        raise BadEdit(f"{where} has another shape; got latents {shape}, allowed {layout.latent}; take one of this size")
    sigma = float(latents.sel(step=start.step).coords["sigma"].item())
    if layout.sigmas is None or sigma != layout.sigmas[start.step]:
        own = "unknown" if layout.sigmas is None else f"{layout.sigmas[start.step]:.6g}"
        raise BadEdit(
            f"{where} has another noise level; got sigma {sigma:.6g}, allowed {own}; run as many steps as it has"
        )


def _read(array: xr.DataArray | None, step: int, family: Family, where: str) -> torch.Tensor:
    """Latents or velocity of a step in the scheduler's layout, in the dtype in which they were computed."""
    assert array is not None
    if step not in array.indexes["step"]:
        raise BadEdit(
            f"{where} needs {array.attrs['site']} of every step before it, for the history of the solver; got none of "
            f"step {step}, allowed all; trace it with --capture latent --capture velocity.guided"
        )
    values = torch.from_numpy(array.sel(step=step).values)
    if not torch.isfinite(values).all():
        raise BadEdit(
            f"{where} has values that are no numbers; got NaN or infinity in {array.attrs['site']} of step {step}, "
            f"allowed finite numbers; trace it again"
        )
    dtype = getattr(torch, str(array.attrs.get("source_dtype")), torch.float32)
    return family.packed(values[None].to(dtype))
