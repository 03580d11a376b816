"""What was measured, unit by unit: a small result each, in a folder beside the settings under which it was measured.

A unit is written when it is whole, by a rename, so one that was cut short is not there and is measured again. Units
may be added; settings, the probe's version and its parameters may not change, and neither may the question of a unit
nor the rules that score it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from dit_lens.bench.errors import BadBench, OtherBench
from dit_lens.bench.lock import Lock
from dit_lens.bench.scoring import scorer_version
from dit_lens.bench.settings import keep_settings, refuse_other_settings
from dit_lens.causal.units import Unit
from dit_lens.probing.results import is_result, load_result, save_result

__all__ = ["Kept"]

_SETTINGS, _WHAT = "settings.json", "causal probe"


class Kept:
    """The units of one probe in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Made by ``begin``.
    settings : mapping
        Everything that all units share, as plain JSON.
    locks : bool
        Whether nobody else may measure there meanwhile.

    Raises
    ------
    OtherBench
        If the folder holds units with other settings.
    BadBench
        If it holds something else, or another is running there.

    Examples
    --------
    >>> from dit_lens.bench import puzzle_questions
    >>> unit = Unit(puzzle_questions(["maze:plain"], n=1)[0], seed=0)
    >>> kept = Kept(getfixture("tmp_path") / "noise.units", {"steps": 4})
    >>> kept.begin()
    >>> float(kept.once(unit, lambda unit: xr.Dataset({"score": 0.5}))["score"])
    0.5
    >>> float(kept.once(unit, lambda unit: 1 / 0)["score"])  # is not measured again
    0.5
    >>> kept.end()
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, locks: bool = True) -> None:
        self.folder, self._settings = folder, json.loads(json.dumps(settings))
        self._lock: Lock | None = None
        if folder.is_dir() and locks:
            Lock(folder, _WHAT).release()
        if (folder / _SETTINGS).is_file():
            refuse_other_settings(folder / _SETTINGS, self._settings, _WHAT)
        elif folder.exists() and not (folder.is_dir() and _is_empty(folder)):
            raise BadBench(
                f"the units of a causal probe cannot be kept in '{folder}'; got something else there, allowed a new or "
                f"an empty folder, or that of the same probe; choose another"
            )

    def begin(self) -> None:
        """Lock the folder until ``end``, and write the settings, unless they are there."""
        if self._lock is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(self.folder, _WHAT)
        if (self.folder / _SETTINGS).is_file():
            refuse_other_settings(self.folder / _SETTINGS, self._settings, _WHAT)
        else:
            keep_settings(self.folder / _SETTINGS, self._settings)

    def end(self) -> None:
        """Let others write."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def has(self, unit: Unit) -> bool:
        """Whether a unit was measured.

        Raises
        ------
        OtherBench
            If what is there is of another question, or was scored by other rules.
        """
        path = self._path(unit)
        if not is_result(path):
            return False
        there, facts = load_result(path).attrs, _facts(unit)
        wrong = next((name for name, value in facts.items() if there.get(name) != value), None)
        if wrong is None:
            return True
        what = "other rules" if wrong == "scoring" else "another first frame or prompt"
        raise OtherBench(
            f"'{unit.question.name}' with seed {unit.seed} was measured otherwise in '{self.folder}'; got {what}, "
            f"allowed the same; choose another folder, or remove it to begin again"
        )

    def count(self, units: Sequence[Unit]) -> int:
        """How many of some units are there, without a look into them."""
        return sum(self._path(unit).exists() for unit in units)

    def once(self, unit: Unit, measure: Callable[[Unit], xr.Dataset]) -> xr.Dataset:
        """What is kept of a unit, measured first if it is not there yet."""
        path = self._path(unit)
        if not self.has(unit):
            save_result(measure(unit).assign_attrs(_facts(unit)), path)
        return load_result(path).load().drop_attrs(deep=False)

    def _path(self, unit: Unit) -> Path:
        return self.folder / f"{unit.name}.zarr"


def _facts(unit: Unit) -> dict[str, Any]:
    puzzle = unit.question.puzzle
    return {
        "question": unit.question.name,
        "seed": unit.seed,
        "fingerprint": unit.question.fingerprint(),
        "scoring": "" if puzzle is None else scorer_version(puzzle),
    }


def _is_empty(folder: Path) -> bool:
    return all(path.name.startswith(".") for path in folder.iterdir())
