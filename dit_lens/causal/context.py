"""What a causal probe is given: a model to run, what to ask it, and a place that remembers what was measured.

The work is cut into units, a question with a seed each. A probe says how one unit is measured; ``gather`` measures
those that are not kept yet, keeps each when it is whole, and puts all of them together. A run that was stopped loses
the unit that it was at, and nothing else.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dit_lens.causal.units import Unit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import xarray as xr

    from dit_lens.bench import Condition, Question
    from dit_lens.causal.calls import Calls
    from dit_lens.causal.kept import Kept
    from dit_lens.engine.layout import Layout
    from dit_lens.generation import Generation
    from dit_lens.lens import Lens

__all__ = ["Context", "Progress", "Share", "ShareMeasured"]

Progress = Callable[[int, int], None]
Share = tuple[int, int]
"""Number of a process, and how many there are."""


class ShareMeasured(BaseException):  # no Exception: what a probe handles must let it through
    """Ends the run of a probe in a process that measures a share: what follows needs all units."""


@dataclass(frozen=True)
class Context:
    """Everything that a causal probe works with; made by ``prepare_intervention``.

    Attributes
    ----------
    lens : Lens
        Runs the model: ``generate`` and ``trace``, with ``edits``, ``resets``, ``start`` and ``stop_after``.
    questions : tuple of Question
        Puzzles, or a picture with a prompt, which nothing here can score.
    seeds : tuple of int
    condition : Condition
        Steps, guidance and so on, which all units share.
    kept : Kept
        What was measured, unit by unit.
    scratch_folder : pathlib.Path
        Where ``scratch`` makes its folders.
    progress : callable, optional
        Called with (units done, units in all).
    share : tuple of int, optional
        If this process measures some of the units only: its number, and how many processes there are.
    """

    lens: Lens
    questions: tuple[Question, ...]
    seeds: tuple[int, ...]
    condition: Condition
    kept: Kept
    scratch_folder: Path
    progress: Progress | None = field(default=None, compare=False)
    share: Share | None = None

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Every question with every seed."""
        return tuple(Unit(question, seed) for question in self.questions for seed in self.seeds)

    @property
    def steps(self) -> int:
        """Denoising steps of every run."""
        return self.condition.steps

    @cached_property
    def layout(self) -> Layout:
        """Branches, experts, sigmas, layers and sizes of a run of the first unit."""
        from dit_lens.engine.plan import plan_layout

        request = self.request(self.units[0])
        size = self.lens.check(request)
        return plan_layout(self.lens.pipeline, self.lens.family, request, size)

    @property
    def mixes_linearly(self) -> bool:
        """Whether the latents of a step are ``(1 - sigma) x0 + sigma e``, as flow matching has them."""
        from dit_lens.engine.solver import is_flow

        return self.layout.sigmas is not None and is_flow(self.lens.pipeline.scheduler)

    @property
    def solver_remembers(self) -> bool:
        """Whether the solver has a history, which it is made to forget where a state edit changed anything."""
        from dit_lens.engine.history import remembers

        return remembers(self.lens.pipeline.scheduler)

    def along_step(self, dim: str = "step", prefix: str = "") -> dict[str, Any]:
        """Coordinates of a dimension of steps, for ``assign_coords``: ``sigma``, ``timestep`` and ``expert``.

        Parameters
        ----------
        dim : str
            Every step of the run is a label of it.
        prefix : str
            Before each name, where a result has two dimensions of steps.
        """
        layout = self.layout
        known = {"sigma": layout.sigmas, "timestep": layout.timesteps, "expert": layout.experts}
        told = {f"{prefix}{name}": (dim, list(values)) for name, values in known.items() if values is not None}
        return {dim: list(range(layout.steps)), **told}

    def request(self, unit: Unit) -> Generation:
        """What a run of a unit asks of the model."""
        return self.condition.request(unit.question, unit.seed)

    def gather(self, measure: Callable[[Unit], xr.Dataset], units: Sequence[Unit] | None = None) -> xr.Dataset:
        """Measure all units that are not kept yet, and put everything together.

        Parameters
        ----------
        measure : callable
            Of a unit; returns a dataset without the dimensions ``question`` and ``seed``, the same variables and
            dimensions for each. It depends on nothing but the unit and the parameters of the probe.
        units : sequence of Unit, optional
            All by default.

        Returns
        -------
        xarray.Dataset
            With dimensions ``question`` and ``seed`` in front, and the coordinates ``task``, ``variant`` and ``label``
            along ``question``. What only some units have is NaN elsewhere.
        """
        from dit_lens.causal.together import put_together

        units = self.units if units is None else tuple(units)
        if self.share is not None:
            number, count = self.share
            for unit in units[number::count]:
                self.kept.once(unit, measure)
            raise ShareMeasured
        parts = []
        for done, unit in enumerate(units):
            if self.progress:
                self.progress(done, len(units))
            parts.append(self.kept.once(unit, measure))
        if self.progress:
            self.progress(len(units), len(units))
        return put_together(units, parts)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new folder for stores that nobody needs afterwards; it is removed at the end, also after an error.

        Examples
        --------
        >>> with context.scratch() as folder:  # doctest: +SKIP
        ...     clean = context.lens.trace(context.request(unit), ["latent"], folder / "clean.zarr", trace_id="clean")
        """
        self.scratch_folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="unit-", dir=self.scratch_folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def score(self, unit: Unit, video: npt.NDArray[np.uint8] | None) -> dict[str, float]:
        """``score`` and ``solved`` of a decoded video by the rules of its puzzle; NaN where there are none."""
        from dit_lens.causal.together import score_video

        return score_video(unit.question, video)

    @contextmanager
    def counting(self) -> Iterator[Calls]:
        """Count the calls of the denoisers while inside.

        Examples
        --------
        >>> with context.counting() as calls:  # doctest: +SKIP
        ...     context.lens.generate(context.request(unit))
        >>> calls.count  # doctest: +SKIP
        40
        """
        from dit_lens.causal.calls import counted

        with counted(self.lens) as calls:
            yield calls
