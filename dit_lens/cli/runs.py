"""Run units into one store: the part that ``trace`` and ``demo`` share.

Everything that can be wrong is found before the first byte is written: the store's place, the captures, and the request of
every unit against the model. A unit that is complete in the store is left out, so the same command resumes; if it was made
with other settings, the command is refused and the first difference named, because the two would be taken for one another.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from dit_lens.cli.output import show_json, show_line
from dit_lens.cli.progress import working_on

if TYPE_CHECKING:
    from dit_lens import Capture, Generation, Lens
    from dit_lens.cli.samples import Unit
    from dit_lens_stores import Store, Trace

__all__ = [
    "RunRecord",
    "Settings",
    "UnitRecord",
    "gather_captures",
    "load_quietly",
    "run_units",
    "show_run",
    "show_units",
    "store_at",
]

DEFAULT_CAPTURES = ("block.out:energy",)


class Settings(BaseModel):
    """What all units of one command share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int
    guidance: float = 3.0
    guidance_2: float | None = None
    negative_prompt: str = ""
    height: int | None = None
    width: int | None = None
    frames: int | None = None

    def request(self, unit: Unit) -> Generation:
        """The generation that one unit asks for."""
        from dit_lens import Generation

        return Generation(prompt=unit.sample.prompt, image=unit.sample.image, seed=unit.seed, **self.model_dump())


class UnitRecord(BaseModel):
    """What became of one unit; ``solved`` and ``coverage`` only where a puzzle's rules can judge the video."""

    model_config = ConfigDict(frozen=True)

    trace: str
    seed: int
    status: Literal["complete", "skipped"]
    seconds: float | None
    solved: bool | None = None
    coverage: float | None = None


class RunRecord(BaseModel):
    """What one command traced, and where it is."""

    model_config = ConfigDict(frozen=True)

    store: str
    units: tuple[UnitRecord, ...]


def gather_captures(captures: Sequence[str], probes: Sequence[str]) -> tuple[Capture, ...]:
    """Return the captures that were named and those that the named probes need, each once.

    Examples
    --------
    >>> [capture.array for capture in gather_captures([], ["energy"])]
    ['block.out.energy']
    """
    from dit_lens import get_probe
    from dit_lens.captures import read_captures

    needed = [capture for name in probes for capture in get_probe(name)().captures()]
    return read_captures([*captures, *needed] or DEFAULT_CAPTURES)


def store_at(out: Path) -> Store | None:
    """Return the store at ``out``, or None where there is room for one; raise if something else is there, and touch nothing."""
    from dit_lens_stores import create_store

    free = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    return None if free else create_store(out)


def load_quietly(model: str, *, dtype: str | None = None, device: str | None = None) -> Lens:
    """Load a model without the loaders' own messages: stderr is for progress and for what is wrong."""
    quiet = {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    from dit_lens import load

    return load(model, dtype=dtype, device=device)
