"""Which experiments there are, and the command line of each: what the pages print is what runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["EXPERIMENTS", "Experiment", "Intervention", "Recording"]

_QUICK_TRACE = {"--puzzle": "0:2", "--seed": "0", "--steps": "2"}
_QUICK = {"--n": "1", "--seeds": "0", "--steps": "2"}


@dataclass(frozen=True)
class Intervention:
    """One causal probe with what it is asked.

    Attributes
    ----------
    name : str
        Of the files that it leaves.
    probe : str
    tasks : tuple of str
    n : int
        Puzzles of each task.
    seeds : str
    steps : int
    settings : tuple of str
        Parameters of the probe.
    quick : tuple of str
        The same for a trial.
    """

    name: str
    probe: str
    tasks: tuple[str, ...]
    n: int
    steps: int
    settings: tuple[str, ...]
    quick: tuple[str, ...]
    seeds: str = "0:3"

    figures = None
    """All that the result has."""

    @property
    def leaves(self) -> str:
        """What lies in the folder of a run that was stopped."""
        return f"{self.probe}.units"

    def commands(self, out: str, workers: int, quick: bool = False) -> list[list[str]]:
        """The words of the command line behind ``dit-lens``.

        Examples
        --------
        >>> " ".join(EXPERIMENTS["swap"].commands("runs/paper/swap", 2)[0])[:64]
        'intervene tiny-wan --probe swap --task grounding:plain --n 32 --'
        """
        sizes = {"--n": str(self.n), "--seeds": self.seeds, "--steps": str(self.steps)}
        asked = [word for task in self.tasks[: 1 if quick else None] for word in ("--task", task)]
        sized = _words(sizes | _QUICK if quick else sizes)
        settings = _set(self.quick if quick else self.settings)
        rest = ["--workers", str(workers), "--out", out]
        return [["intervene", "tiny-wan", "--probe", self.probe, *asked, *sized, *settings, *rest]]


@dataclass(frozen=True)
class Recording:
    """Traces of puzzles, read by one probe that changes nothing.

    Attributes
    ----------
    name : str
        Of the files that it leaves.
    probe : str
    tasks : tuple of str
        With their variants, if not the default: ``fork:free``.
    n : int
        Puzzles of each task.
    capture : str
        Site and reduction.
    figures : mapping of str to mapping
        By the name of a figure, the parameters that choose what it draws.
    settings : tuple of str
        Parameters of the probe.
    read : str
        Steps that are recorded; all if empty, and in a trial.
    seeds : str
    steps : int
    """

    name: str
    probe: str
    tasks: tuple[str, ...]
    n: int
    capture: str
    figures: Mapping[str, Mapping[str, Any]]
    settings: tuple[str, ...] = ()
    read: str = ""
    seeds: str = "0"
    steps: int = 20

    @property
    def leaves(self) -> str:
        """What lies in the folder of a run that was stopped."""
        return "traces.zarr"

    def commands(self, out: str, workers: int, quick: bool = False) -> list[list[str]]:
        """The words of the command lines behind ``dit-lens``; they run one after the other, each as one process.

        Examples
        --------
        >>> [words[:4] for words in EXPERIMENTS["steps"].commands("runs/paper/steps", 2)]
        [['trace', 'tiny-wan', '--task', 'fork'], ['analyze', 'runs/paper/steps/traces.zarr', '--probe', 'trajectory']]
        """
        store = f"{out}/{self.leaves}"
        analyze = ["analyze", store, "--probe", self.probe, *_set(self.settings), "--out", out]
        return [*(self._trace(task, store, quick) for task in self.tasks), analyze]

    def _trace(self, task: str, store: str, quick: bool) -> list[str]:
        name, _, variant = task.partition(":")
        asked = ["--task", name, *(["--variant", variant] if variant else [])]
        sizes = {"--puzzle": f"0:{self.n}", "--seed": self.seeds, "--steps": str(self.steps)}
        sized = _words(sizes | _QUICK_TRACE if quick else sizes)
        capture = self.capture + (f"[step={self.read}]" if self.read and not quick else "")
        return ["trace", "tiny-wan", *asked, *sized, "--capture", capture, "--out", store]


def _words(options: Mapping[str, str]) -> list[str]:
    return [word for pair in options.items() for word in pair]


def _set(settings: tuple[str, ...]) -> list[str]:
    return [word for each in settings for word in ("--set", each)]


Experiment = Intervention | Recording
_READ = "0+1+3+5+8+11+15+19"  # those of docs/tiny-wan.md: to decode an x0 takes as long as several steps

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Intervention(
            name="swap",
            probe="swap",
            tasks=("grounding:plain",),
            n=32,
            steps=20,
            settings=("swap.donor=prompt", "swap.verdict=false"),
            quick=("swap.donor=prompt", "swap.verdict=false", "swap.layers=1+9"),
        ),
        Intervention(
            name="noise",
            probe="noise",
            tasks=("maze:plain", "fork:free"),
            n=16,
            steps=4,
            settings=("noise.noise_seeds=1", "noise.layers=none"),
            quick=("noise.steps=0", "noise.noise_seeds=1", "noise.frames=1", "noise.layers=none"),
        ),
        Intervention(
            name="ensemble",
            probe="ensemble",
            tasks=("maze:large", "maze:long"),
            n=16,
            steps=10,
            settings=(),
            quick=("ensemble.baselines=latents+window_all+strangers",),
        ),
        Recording(
            name="steps",
            probe="trajectory",
            tasks=("fork:free",),
            n=8,
            seeds="0:3",
            capture="x0.guided",
            read=_READ,
            figures={"filmstrip": {"max_rows": 6}, "readings": {}, "commitment": {}},
        ),
        Recording(
            name="behaviours",
            probe="trajectory",
            tasks=("occlusion", "maze:plain", "grounding:plain"),
            n=6,
            capture="x0.guided",
            read=_READ,
            figures={"commitment": {}, "filmstrip": {"trace": "occlusion-0-seed-0", "max_rows": 6}},
        ),
        Recording(
            name="energy",
            probe="energy",
            tasks=("grounding:plain",),
            n=16,
            capture="block.out:energy",
            settings=("energy.mask=foreground",),
            figures={"curves": {}, "layers_by_frames": {"max_rows": 6}},
        ),
    )
}
