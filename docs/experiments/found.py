"""What was measured, as it lies in the JSON files: numbers by the labels that they stand at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from experiments.catalogue import EXPERIMENTS

__all__ = ["Found", "Interval", "read_found"]


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its interval; prints as such, with two decimals if not told otherwise: ``:.3f``."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """For a table."""
        return format(self, ".2f")

    def __format__(self, spec: str) -> str:
        """Every number as ``spec`` says."""
        mean, low, high = (format(value, spec or ".2f") for value in (self.mean, self.low, self.high))
        if np.isnan(self.mean):
            return "-"
        return mean if np.isnan(self.low) else f"{mean} [{low}, {high}]"


@dataclass(frozen=True)
class Found:
    """What one experiment found.

    Attributes
    ----------
    document : mapping
        Its JSON file.
    """

    document: Mapping[str, Any]

    @cached_property
    def table(self) -> xr.Dataset:
        """Summaries with their labels."""
        found = self.document["found"]
        variables = {name: (each["dims"], each["values"]) for name, each in found["variables"].items()}
        return xr.Dataset(variables, coords=found["labels"])

    def interval(self, name: str, **at: Any) -> Interval:
        """The mean of a variable at a place, with its interval."""
        return Interval(*(float(self.table[f"{name}_{end}"].sel(at)) for end in ("mean", "low", "high")))

    def labels(self, dim: str) -> list[Any]:
        """The labels of a dimension."""
        return list(self.document["found"]["labels"][dim])

    @property
    def controls(self) -> dict[str, str]:
        """By the name of a control, in how many units it held."""
        return dict(self.document["found"]["controls"])

    @property
    def commands(self) -> dict[str, str]:
        """By the name of a figure, the command that draws it; of an image that is older than the command, none."""
        return dict(self.document.get("figures", {}))

    @property
    def sizes(self) -> tuple[int, int]:
        """Puzzles and seeds."""
        return self.document["found"]["questions"], self.document["found"]["seeds"]


def read_found(folder: Path) -> dict[str, Found]:
    """All experiments.

    Raises
    ------
    FileNotFoundError
        If one was never run.
    """
    missing = [name for name in EXPERIMENTS if not (folder / f"{name}.json").exists()]
    if missing:
        raise FileNotFoundError(
            f"the pages cannot be written from {folder.name}; got no {', '.join(missing)}, allowed "
            f"{', '.join(EXPERIMENTS)}; run what is missing with --only {' '.join(missing)}"
        )
    return {name: Found(json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))) for name in EXPERIMENTS}
