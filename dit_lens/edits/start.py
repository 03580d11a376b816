"""Where a run starts, if not at its first step: from the latents of a stored trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dit_lens.edits.sources import path_text

__all__ = ["Start"]


@dataclass(frozen=True)
class Start:
    """A step of a stored trace from which a run goes on, without the steps before it.

    The trace must hold ``latent`` raw at the step. A solver that keeps a history (UniPC, DPM++) is given that of the
    trace: it steps once more over the recorded ``latent`` and ``velocity.guided`` of all steps before, which must
    be in the trace too. The denoiser does not run for it, and what the solver comes to must be, bit for bit, what was
    recorded.

    Attributes
    ----------
    store : str
        Path or address of the store.
    trace : str
    step : int

    Examples
    --------
    >>> print(Start("runs/a.zarr", "t0", 12))
    runs/a.zarr#t0@12
    >>> Start.parse("runs/a.zarr#t0@12").step
    12
    """

    store: str
    trace: str
    step: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", path_text(self.store))

    @classmethod
    def parse(cls, text: str) -> Start:
        """Read ``STORE#TRACE@STEP``.

        Raises
        ------
        BadEdit
        """
        from dit_lens.engine.errors import BadEdit

        place, at, step = text.rpartition("@")
        store, hash_, trace = place.rpartition("#")
        if not (at and hash_ and store and trace and step.isdecimal()):
            raise BadEdit(
                f"the start cannot be read; got {text!r}, allowed STORE#TRACE@STEP; write it as in runs/a.zarr#t0@12"
            )
        return cls(store, trace, int(step))

    @property
    def facts(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"store": self.store.rstrip("/").rpartition("/")[2], "trace": self.trace, "step": self.step}

    def __str__(self) -> str:
        return f"{self.store}#{self.trace}@{self.step}"
