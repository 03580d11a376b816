"""Check that a class keeps the promises of a probe, on a small made-up store.

Each promise is one check with one sentence; the first that is broken ends the check and says what to change. What a
probe computes is its author's business. That the result does not depend on how the work was split is not: it is checked
with one merge, with merges from the left and from the right, with pairs, and in another order, because a cluster does
all of them.
"""

from __future__ import annotations

import io
import pickle
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np
import xarray as xr

from dit_lens.captures import Capture
from dit_lens.probing.chunks import cut_trace
from dit_lens.probing.errors import NonConformingProbe
from dit_lens.probing.params import build_probe
from dit_lens.probing.protocol import AnyProbe, CausalProbe, Probe, State, is_causal, reasons_against
from dit_lens.probing.results import load_result, save_result
from dit_lens.probing.run import analyze
from dit_lens.testing.synthetic import synthetic_store
from dit_lens_stores import Store

if TYPE_CHECKING:
    from dit_lens.bench import Question
    from dit_lens.testing.causal import CausalChecker

__all__ = ["check_probe"]

TRACES = ("a", "b", "c")


def check_probe(
    probe: type[AnyProbe], params: Mapping[str, Any] | None = None, questions: Sequence[Question] | None = None
) -> tuple[str, ...]:
    """Run the conformance suite; call it in the tests of a plugin.

    Parameters
    ----------
    probe : type of Probe or CausalProbe
        A causal probe runs an untrained pipeline with three steps; parameters decide how often.
    params : mapping, optional
        Parameters to check it with.
    questions : sequence of Question, optional
        What a causal probe asks; two small mazes by default.

    Returns
    -------
    tuple of str
        The checks that passed, in order.

    Raises
    ------
    NonConformingProbe
        At the first promise that is broken.

    Examples
    --------
    >>> from dit_lens_probes.energy import Energy
    >>> check_probe(Energy)
    ('protocol', 'params', 'captures', 'map', 'combine', 'finish', 'draw')
    """
    if reasons := reasons_against(probe):
        raise NonConformingProbe(f"{probe!r} is no probe; got {'; '.join(reasons)}; see dit_lens.probing.Probe")
    checker = _checker(probe, params or {}, questions)
    with tempfile.TemporaryDirectory() as folder:
        for check in checker.checks:
            _run(probe, check, Path(folder))
    return ("protocol", *(check.__name__ for check in checker.checks))


def _checker(
    probe: type[AnyProbe], params: Mapping[str, Any], questions: Sequence[Question] | None
) -> _Checker | CausalChecker:
    if not is_causal(probe):
        return _Checker(cast("type[Probe]", probe), params)
    from dit_lens.testing.causal import CausalChecker

    return CausalChecker(cast("type[CausalProbe]", probe), params, questions)


def _run(probe: type[AnyProbe], check: Callable[[Path], None], folder: Path) -> None:
    """Run one check; whatever the probe raises breaks it."""
    try:
        check(folder)
    except NonConformingProbe:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        message = (
            f"probe '{probe.name}' does not pass the check of {check.__name__}; got {reason}, allowed no exception"
        )
        raise NonConformingProbe(f"{message}; see dit_lens.probing.{_promise(probe, check)}") from error


def _promise(probe: type[AnyProbe], check: Callable[[Path], None]) -> str:
    return "CausalProbe" if is_causal(probe) else f"Probe.{check.__name__}"


class _Checker:
    """The checks of one probe, in order; what one has made, the next ones use."""

    def __init__(self, cls: type[Probe], params: Mapping[str, Any]) -> None:
        self._cls = cls
        self._given = params
        self._probe: Probe
        self._store: Store
        self._result: xr.Dataset

    @property
    def checks(self) -> tuple[Callable[[Path], None], ...]:
        """All of them."""
        return (self.params, self.captures, self.map, self.combine, self.finish, self.draw)

    def params(self, _: Path) -> None:
        """Parameters have defaults, and survive JSON."""
        made = self._cls.Params(**self._given)
        again = self._cls.Params.model_validate_json(made.model_dump_json())
        if again != made:
            self._refuse("params", f"{made!r} that JSON turns into {again!r}", "parameters that JSON can hold")
        self._probe = cast("Probe", build_probe(self._cls, self._given))

    def captures(self, folder: Path) -> None:
        """There is at least one capture, and each can be written on the command line."""
        captures = self._probe.captures()
        wrong = [capture for capture in captures if not isinstance(capture, Capture)]
        if wrong or not captures:
            self._refuse("captures", repr(wrong[0]) if wrong else "an empty list", "a list of Capture")
        for capture in captures:
            if Capture.parse(str(capture)) != capture:
                self._refuse(
                    "captures", f"{capture!r} that reads back as {Capture.parse(str(capture))!r}", "equal ones"
                )
        whole = list(dict.fromkeys(Capture(c.site, c.reduction, argument=c.argument) for c in captures))
        self._store = synthetic_store(folder / "store.zarr", whole, TRACES)

    def map(self, _: Path) -> None:
        """A chunk is left as it was, and a state survives a trip to another process."""
        for chunk in self._chunks():
            before = chunk.copy(deep=True)
            state = self._probe.map(chunk)
            if not chunk.identical(before):
                self._refuse("map", "a chunk that map has changed", "a chunk left as it was")
            try:
                pickle.loads(pickle.dumps(state))
            except Exception as error:
                self._refuse("map", f"a state that cannot be pickled ({error})", "a state that can", error)

    def combine(self, _: Path) -> None:
        """The result does not depend on how states are grouped, nor on their order."""
        states = [self._probe.map(chunk) for chunk in self._chunks()]
        whole = self._finish(self._probe.combine(states))
        shuffled = [states[index] for index in np.random.default_rng(0).permutation(len(states))]
        # A split is made of the same states each time, so a combine that changes its arguments is found as well.
        splits: dict[str, Callable[[], State]] = {
            "one by one from the left": lambda: reduce(self._pair, states),
            "one by one from the right": lambda: reduce(lambda a, b: self._pair(b, a), reversed(states)),
            "in two halves": lambda: self._halves(states),
            "in another order": lambda: self._probe.combine(shuffled),
            "each alone first": lambda: self._probe.combine([self._probe.combine([state]) for state in states]),
            "all at once again": lambda: self._probe.combine(states),
        }
        for name, split in splits.items():
            try:
                xr.testing.assert_allclose(self._finish(split()), whole, rtol=1e-5)
            except AssertionError as error:
                self._refuse("combine", f"another result when states are merged {name}", "the same", error)

    def finish(self, folder: Path) -> None:
        """The result is a dataset that can be saved and opened again."""
        self._result = analyze(self._store, self._probe)
        opened = load_result(save_result(self._result, folder / "result.zarr"))
        if not opened.equals(self._result):
            self._refuse("finish", "a result that differs once saved and opened", "one that does not")

    def draw(self, _: Path) -> None:
        """Figures are matplotlib figures that pyplot knows nothing of, and can be rendered."""
        from matplotlib.figure import Figure

        before = _pyplot_figures()
        figures = self._probe.draw(self._result)
        wrong = [name for name, figure in figures.items() if not isinstance(figure, Figure)]
        if wrong:
            self._refuse("draw", f"{wrong[0]!r} that is no figure", "a mapping of names to matplotlib figures")
        if _pyplot_figures() != before:
            self._refuse("draw", "a figure made through pyplot", "matplotlib.figure.Figure only")
        for figure in figures.values():
            figure.savefig(io.BytesIO(), format="png", dpi=40)

    def _chunks(self) -> list[xr.Dataset]:
        cuts = [cut_trace(trace_id, self._store[trace_id], self._probe) for trace_id in TRACES]
        return [cut.chunk(place) for cut in cuts for place in cut.places]

    def _pair(self, first: State, second: State) -> State:
        return self._probe.combine([first, second])

    def _halves(self, states: Sequence[State]) -> State:
        middle = len(states) // 2
        return self._pair(self._probe.combine(states[:middle]), self._probe.combine(states[middle:]))

    def _finish(self, state: State) -> xr.Dataset:
        result: object = self._probe.finish(state)  # a promise that is checked here, not believed
        if isinstance(result, xr.Dataset):
            return result
        return self._refuse("finish", f"a {type(result).__name__}", "an xarray.Dataset")

    def _refuse(self, check: str, got: str, allowed: str, cause: Exception | None = None) -> NoReturn:
        message = f"probe '{self._cls.name}' does not pass the check of {check}; got {got}, allowed {allowed}"
        raise NonConformingProbe(f"{message}; see dit_lens.probing.Probe.{check}") from cause


def _pyplot_figures() -> list[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return list(pyplot.get_fignums()) if pyplot else []
