"""Every place that a sweep puts noise in, with the labels of a run, checked before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from dit_lens.captures import Selection
from dit_lens.causal.layers import LayerDistances
from dit_lens.edits import Edit
from dit_lens.probing import BadParams
from dit_lens.selection import pick
from dit_lens_probes.noise.params import At, Kind, Level, NoiseParams

if TYPE_CHECKING:
    from dit_lens.causal import Context

__all__ = ["CAPTURES", "Place", "Sweep", "plan_sweep"]

CAPTURES = ("latent", "x0.guided", "velocity.guided")
"""What is traced of the clean run; the last two are what the solver needs to go on from a late step."""


@dataclass(frozen=True)
class Place:
    """Where one condition has its noise.

    Attributes
    ----------
    at : {"step", "frame", "cell"}
    label : tuple of int
        The step, the frame, or both.
    steps, frames : tuple of int
        All of them that get noise.
    """

    at: At
    label: tuple[int, ...]
    steps: tuple[int, ...]
    frames: tuple[int, ...]

    @property
    def first(self) -> int:
        """The first step with noise."""
        return self.steps[0]


@dataclass(frozen=True)
class Sweep:
    """All conditions of a probe, in the labels of the run.

    Attributes
    ----------
    kinds, levels, noises
        Kinds of noise, levels, and numbers of the noise seeds.
    steps, frames, layers : tuple of int
    cka : bool
        Whether activations are compared by CKA as well.
    """

    kinds: tuple[Kind, ...]
    levels: tuple[Level, ...]
    noises: tuple[int, ...]
    at: tuple[At, ...]
    steps: tuple[int, ...]
    frames: tuple[int, ...]
    layers: tuple[int, ...]
    cka: bool = False

    def places(self, at: At) -> list[Place]:
        """The places of one kind, in the order of their labels.

        Examples
        --------
        >>> sweep = Sweep(("dose",), ("state",), (0,), ("cell",), (0, 5), (1, 2), ())
        >>> [place.label for place in sweep.places("cell")], sweep.places("frame")[0].steps
        ([(0, 1), (0, 2), (5, 1), (5, 2)], (0, 5))
        """
        if at == "step":
            return [Place(at, (step,), (step,), self.frames) for step in self.steps]
        if at == "frame":
            return [Place(at, (frame,), self.steps, (frame,)) for frame in self.frames]
        cells = product(self.steps, self.frames)
        return [Place(at, cell, cell[:1], cell[1:]) for cell in cells]


def plan_sweep(context: Context, params: NoiseParams) -> Sweep:
    """Read the parameters against a run; everything that can be wrong is found here.

    Raises
    ------
    BadParams, BadSelection, BadEdit, BadRequest, DiskTooSmall
    """
    layout = context.layout
    frames = tuple(range(layout.latent[1]))
    chosen = {
        "step": _labels("step", params.steps, tuple(range(layout.steps))),
        "frame": _labels("frame", params.frames, frames),
        "layer": () if params.layers == "none" else _labels("layer", params.layers, tuple(range(layout.layers))),
    }
    if "dose" in params.kind and not context.mixes_linearly:
        raise BadParams(
            f"probe 'noise' knows no matched dose for {type(context.lens.pipeline.scheduler).__name__}; got kind dose, "
            f"allowed paper, or a flow-matching scheduler; set noise.kind=paper"
        )
    if params.cka and not chosen["layer"]:
        raise BadParams(
            "probe 'noise' has nothing to compare by CKA; got noise.cka=true with layers none, allowed some layers; "
            "leave noise.layers out"
        )
    sweep = Sweep(
        params.kind,
        params.level,
        tuple(range(params.noise_seeds)),
        params.at,
        chosen["step"],
        chosen["frame"],
        chosen["layer"],
        params.cka,
    )
    _check_runs(context, sweep)
    return sweep


def _labels(axis: str, text: str, allowed: tuple[int, ...]) -> tuple[int, ...]:
    terms = getattr(Selection.parse(f"{axis}={text}"), axis) if text else None
    return tuple(int(label) for label in pick(axis, terms, allowed, "noise", "probe"))


def _check_runs(context: Context, sweep: Sweep) -> None:
    """Whether the model can be traced and edited so, and whether the disk holds what is compared to."""
    request = context.request(context.units[0])
    where = f"step={'+'.join(map(str, sweep.steps))},frame={'+'.join(map(str, sweep.frames))}"
    context.lens.plan(request, CAPTURES, edits=[Edit(level, where, "replace", 0.0) for level in sweep.levels])
    if sweep.layers:
        LayerDistances.check_room(context.scratch_folder, context.layout, sweep.layers)
