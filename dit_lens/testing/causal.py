"""Check that a class keeps the promises of a causal probe, on a small untrained pipeline.

What it finds out is its author's business. That it can be stopped anywhere, that it leaves the model as it was, and
that it brings its controls is not.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import torch
import xarray as xr

from dit_lens.causal.run import prepare_intervention
from dit_lens.probing.errors import NonConformingProbe
from dit_lens.probing.params import build_probe
from dit_lens.probing.protocol import CausalProbe
from dit_lens.probing.results import load_result, save_result

if TYPE_CHECKING:
    from dit_lens.bench import Question
    from dit_lens.lens import Lens

__all__ = ["CausalChecker"]


class CausalChecker:
    """The checks of one causal probe, in order; what one has made, the next ones use.

    Parameters
    ----------
    cls : type of CausalProbe
    params : mapping
    questions : sequence of Question, optional
        Two small mazes by default.
    """

    def __init__(
        self, cls: type[CausalProbe], params: Mapping[str, Any], questions: Sequence[Question] | None = None
    ) -> None:
        from dit_lens.bench import puzzle_questions
        from dit_lens.testing.pipeline import small_lens

        self._cls, self._given = cls, params
        self._questions = questions or puzzle_questions(["maze:plain"], n=2, size=3)
        self._lens: Lens = small_lens()
        self._probe: CausalProbe
        self._result: xr.Dataset

    @property
    def checks(self) -> tuple[Callable[[Path], None], ...]:
        """All of them."""
        return (self.params, self.run, self.resume, self.draw)

    def params(self, _: Path) -> None:
        """Parameters have defaults, and survive JSON."""
        made = self._cls.Params(**self._given)
        again = self._cls.Params.model_validate_json(made.model_dump_json())
        if again != made:
            self._refuse("params", f"{made!r} that JSON turns into {again!r}", "parameters that JSON can hold")
        self._probe = cast("CausalProbe", build_probe(self._cls, self._given))

    def run(self, folder: Path) -> None:
        """The model is left as it was, and the result can be saved and opened again."""
        before, hooks = self._plain(), self._hooks()
        self._result = self._intervene(folder)
        if self._hooks() != hooks or not torch.equal(self._plain(), before):
            self._refuse("run", "a model that run has changed", "a model left as it was")
        if not load_result(save_result(self._result, folder / "result.zarr")).equals(self._result):
            self._refuse("run", "a result that differs once saved and opened", "one that does not")
        if list((folder / f"{self._probe.name}.units").glob(".scratch")):
            self._refuse("run", "a scratch folder that was left", "scratch made by context.scratch")

    def resume(self, folder: Path) -> None:
        """A unit that is missing is measured again, to the same result; a whole one is not."""
        kept = sorted((folder / f"{self._probe.name}.units").glob("*.zarr"))
        if not kept:
            self._refuse("resume", "no unit that was kept", "measurements made through context.gather")
        shutil.rmtree(kept[-1])
        written = kept[0].stat().st_mtime_ns
        again = self._intervene(folder)
        if not again.equals(self._result):
            self._refuse("resume", "another result when a unit is measured again", "the same, bit for bit")
        if kept[0].stat().st_mtime_ns != written:
            self._refuse("resume", "a unit that was measured twice", "units that are kept")

    def draw(self, _: Path) -> None:
        """Figures are matplotlib figures that pyplot knows nothing of, and can be rendered."""
        from matplotlib.figure import Figure

        figures = self._probe.draw(self._result)
        wrong = [name for name, figure in figures.items() if not isinstance(figure, Figure)]
        if wrong:
            self._refuse("draw", f"{wrong[0]!r} that is no figure", "a mapping of names to matplotlib figures")
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot and pyplot.get_fignums():
            self._refuse("draw", "a figure made through pyplot", "matplotlib.figure.Figure only")
        for figure in figures.values():
            figure.savefig(io.BytesIO(), format="png", dpi=40)

    def _intervene(self, folder: Path) -> xr.Dataset:
        from dit_lens.testing.pipeline import SMALL_CONDITION

        ready = prepare_intervention(self._lens, self._probe, self._questions, [0], SMALL_CONDITION, out=folder)
        return ready.run().load()

    def _plain(self) -> torch.Tensor:
        from dit_lens.testing.pipeline import SMALL_CONDITION

        request = SMALL_CONDITION.request(self._questions[0], 0)
        return self._lens.generate(request, decode=False).latents

    def _hooks(self) -> int:
        modules = [m for d in self._lens.family.denoisers(self._lens.pipeline).values() for m in d.modules()]
        return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)

    def _refuse(self, check: str, got: str, allowed: str, cause: Exception | None = None) -> NoReturn:
        message = f"probe '{self._cls.name}' does not pass the check of {check}; got {got}, allowed {allowed}"
        raise NonConformingProbe(f"{message}; see dit_lens.probing.CausalProbe") from cause
