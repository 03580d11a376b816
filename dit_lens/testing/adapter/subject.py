"""The pipeline that is checked, with the request that it is checked on, and the two ways to run it: plain and traced.

Both are the engine's own, so that a denoiser that was compiled before runs eagerly here as well, and is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dit_lens.adapters.family import Family, Stack
from dit_lens.captures import SITES, read_captures
from dit_lens.engine.arrays import array_specs, coordinates
from dit_lens.engine.batch import Batch
from dit_lens.engine.errors import Untraceable
from dit_lens.engine.layout import Layout
from dit_lens.engine.plan import check_request, plan_layout, plan_size
from dit_lens.engine.run import run_plain, run_traced
from dit_lens.engine.solver import finds_clean
from dit_lens.engine.traceable import check_attention, check_pipeline
from dit_lens.generation import Generation, Size
from dit_lens_stores import create_store

if TYPE_CHECKING:
    from dit_lens_stores import Trace

__all__ = ["Subject"]

_LATENTS = ("latent", "velocity", "velocity.guided")
_CLEAN = ("x0", "x0.guided")
_ONE_QUERY = "[frame=0,y=0,x=0]"


@dataclass(frozen=True)
class Subject:
    """A pipeline, its family, and one request.

    Attributes
    ----------
    pipeline : diffusers.DiffusionPipeline
    family : Family
    request : Generation
    size : Size
    layout : Layout
    """

    pipeline: Any
    family: Family
    request: Generation
    size: Size
    layout: Layout

    @classmethod
    def plan(cls, pipeline: Any, family: Family, request: Generation, made_for: Size | None) -> Subject:
        """Check everything that the engine checks before it runs, and lay the run out.

        Raises
        ------
        BadRequest, Untraceable
        """
        check_pipeline(pipeline, family)
        check_request(request)
        size = plan_size(request, made_for, family)
        family.check(pipeline, request, size)
        return cls(pipeline, family, request, size, plan_layout(pipeline, family, request, size))

    def unguided(self) -> Subject:
        """The same request without guidance."""
        return Subject.plan(self.pipeline, self.family, replace(self.request, guidance=1.0, guidance_2=None), self.size)

    @property
    def batch(self) -> Batch:
        """The request as the engine runs it."""
        return Batch((self.request,), self.size)

    @property
    def captures(self) -> tuple[str, ...]:
        """Every site that the family gives, in a form that stays small: energies of tokens, and one row of maps."""
        flows = not self.family.preconditioned and finds_clean(self.pipeline.scheduler)
        latents = (*_LATENTS, *(_CLEAN if flows else ()))
        inside = [site for site in SITES.values() if "layer" in site.event_dims and self._has(site.name)]
        energies = (f"{site.name}:energy" for site in inside if not site.probabilities)
        maps = (f"{site.name}{_ONE_QUERY}" for site in inside if site.probabilities)
        return (*latents, *energies, *maps)

    def _has(self, site: str) -> bool:
        """Whether the model has a site, and computes it where it can be seen."""
        try:
            check_attention(self.pipeline, self.family, [site])
        except Untraceable:
            return False
        return self.layout.has(site)

    def stacks(self) -> list[tuple[Stack, list[int]]]:
        """The stacks that have layers, and the numbers of these."""
        denoiser = next(iter(self.family.denoisers(self.pipeline).values()))
        of = [stack for stack, _, _ in self.family.layers(denoiser)]
        numbers = [[number for number, own in enumerate(of) if own is stack] for stack in self.family.stacks]
        return [(stack, own) for stack, own in zip(self.family.stacks, numbers, strict=True) if own]

    def run(self) -> torch.Tensor:
        """The final latents of a plain run."""
        return run_plain(self.pipeline, self.family, self.batch, with_video=False).latents[0]

    def trace(self, folder: Path, captures: Sequence[str] | None = None) -> tuple[torch.Tensor, Trace]:
        """The final latents of a traced run, and the trace.

        Raises
        ------
        IncompleteTrace
        """
        resolved = [capture.resolve(self.layout) for capture in read_captures(captures or self.captures)]
        arrays = array_specs(resolved, self.layout, False)
        store = create_store(folder)
        writer = store.begin("checked", arrays, coordinates(self.layout, arrays), {})
        ran = run_traced(self.pipeline, self.family, self.batch, self.layout, resolved, [writer])
        return ran.latents[0], store["checked"]
