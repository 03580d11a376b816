"""Which experiments there are, and the command line of each: what the pages print is what runs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EXPERIMENTS", "Experiment"]

_QUICK = {"--n": "1", "--seeds": "0", "--steps": "2"}


@dataclass(frozen=True)
class Experiment:
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

    def words(self, out: str, workers: int, quick: bool = False) -> list[str]:
        """The words of the command line behind ``dit-lens``.

        Examples
        --------
        >>> " ".join(EXPERIMENTS["swap"].words("runs/paper/swap", 2))[:64]
        'intervene tiny-wan --probe swap --task grounding:plain --n 32 --'
        """
        sizes = {"--n": str(self.n), "--seeds": self.seeds, "--steps": str(self.steps)}
        asked = [word for task in self.tasks[: 1 if quick else None] for word in ("--task", task)]
        sized = [word for pair in (sizes | _QUICK if quick else sizes).items() for word in pair]
        settings = [word for each in (self.quick if quick else self.settings) for word in ("--set", each)]
        rest = ["--workers", str(workers), "--out", out]
        return ["intervene", "tiny-wan", "--probe", self.probe, *asked, *sized, *settings, *rest]


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            name="swap",
            probe="swap",
            tasks=("grounding:plain",),
            n=32,
            steps=20,
            settings=("swap.donor=prompt", "swap.verdict=false"),
            quick=("swap.donor=prompt", "swap.verdict=false", "swap.layers=1+9"),
        ),
        Experiment(
            name="noise",
            probe="noise",
            tasks=("maze:plain", "fork:free"),
            n=16,
            steps=4,
            settings=("noise.noise_seeds=1", "noise.layers=none"),
            quick=("noise.steps=0", "noise.noise_seeds=1", "noise.frames=1", "noise.layers=none"),
        ),
        Experiment(
            name="ensemble",
            probe="ensemble",
            tasks=("maze:large", "maze:long"),
            n=16,
            steps=10,
            settings=(),
            quick=("ensemble.baselines=latents+window_all+strangers",),
        ),
    )
}
