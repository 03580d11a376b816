"""Run an experiment by its command lines, and keep of its result what the pages need: numbers, controls, figures.

What was measured stays in the folder of the commands, so one that was stopped goes on; how long that took in all,
nobody knows then.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import xarray as xr

from anatomy.facts import surroundings
from dit_lens.figures import list_figures, ready_probe, save_figure
from dit_lens.probing import load_result
from dit_lens.tiny import WEIGHTS
from experiments.catalogue import Experiment
from experiments.keeping import kept

__all__ = ["measure", "weights_sha256"]

_SECONDS, _FIGURES = "seconds.json", "figures"


def measure(experiment: Experiment, runs: Path, out: Path, workers: int, quick: bool) -> Path:
    """Run it, write its figures to ``out/images``, and ``out/paper/NAME.json``; returns the JSON file.

    Parameters
    ----------
    experiment : Experiment
    runs : pathlib.Path
        For the folder of its commands.
    out : pathlib.Path
        Where the documentation lies.
    workers : int
    quick : bool

    Returns
    -------
    pathlib.Path
    """
    folder = runs / experiment.name
    folder.mkdir(parents=True, exist_ok=True)
    _forget(folder, experiment.probe)
    goes_on, began = (folder / experiment.leaves).exists(), time.perf_counter()
    for words in experiment.commands(str(folder), workers, quick):
        subprocess.run([sys.executable, "-m", "dit_lens", *words], check=True)
    seconds = _known(folder / _SECONDS, None if goes_on else time.perf_counter() - began)
    result = load_result(folder / f"{experiment.probe}.zarr")
    shown = experiment.commands(f"runs/paper/{experiment.name}", workers, quick)
    document = {
        "command": "\n".join(shlex.join(["dit-lens", *words]) for words in shown),
        "seconds": seconds,
        "quick": quick,
        "weights_sha256": weights_sha256(),
        **surroundings(),
        "found": kept(result),
        "figures": _draw(folder, experiment, result, out / "images"),
    }
    path = out / "paper" / f"{experiment.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")
    return path


def weights_sha256() -> str:
    """Of all files of weights in the package, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(WEIGHTS.rglob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _forget(folder: Path, probe: str) -> None:
    """Remove a result, not what was measured for it: the command refuses to write over a result."""
    shutil.rmtree(folder / f"{probe}.zarr", ignore_errors=True)
    shutil.rmtree(folder / _FIGURES, ignore_errors=True)
    for figure in folder.glob(f"{probe}-*.png"):
        figure.unlink()


def _known(path: Path, seconds: float | None) -> int | None:
    """The seconds of a run that was made in one go, remembered beside what it measured."""
    if seconds is not None:
        path.write_text(json.dumps(round(seconds)), encoding="utf-8")
    return int(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _draw(folder: Path, experiment: Experiment, result: xr.Dataset, images: Path) -> dict[str, str]:
    """Save the figures with their data, as ``dit-lens figure`` does; returns the command of each, by its name.

    They stay with what was measured; a page needs the picture alone, so its old one is replaced by a copy.
    """
    commands, figures = {}, experiment.figures
    images.mkdir(parents=True, exist_ok=True)
    for name in figures or [listed.name for listed in list_figures(result, ready_probe(result))]:
        params = figures[name] if figures else None
        path = folder / _FIGURES / f"{name}.png"
        saved = save_figure(folder / f"{experiment.probe}.zarr", name, path, params=params)
        shutil.copyfile(saved.figure, images / f"paper-{experiment.name}-{name}.png")
        commands[name] = saved.command
    return commands
