"""The figures of the page, each drawn from one or two JSON files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from anatomy.figures import commitment, energy, films, forks, gap, sweeps
from anatomy.figures.style import LOOK, save
from anatomy.found import Found, read_found

__all__ = ["FIGURES", "draw_all"]

FIGURES: Mapping[str, Callable[[Found], Figure]] = {
    "films": films.draw,
    "gap": gap.draw,
    "forks": forks.draw,
    "commitment": commitment.draw,
    "energy": energy.draw,
    "sweeps": sweeps.draw,
}
"""By the end of the file's name, ``tiny-wan-NAME.png``."""


def draw_all(found: Path, images: Path) -> None:
    """Draw every figure from the JSON files of a folder."""
    images.mkdir(parents=True, exist_ok=True)
    read = read_found(found)
    for name, draw in FIGURES.items():
        with matplotlib.rc_context(LOOK):
            save(draw(read), images / f"tiny-wan-{name}.png")
