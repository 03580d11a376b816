"""The probes that ship with dit-lens: plugins like anyone else's, found through entry points.

Each probe is imported when it is first used, so that one with heavy needs costs the others nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dit_lens_probes.cka import Cka
    from dit_lens_probes.energy import Energy
    from dit_lens_probes.ensemble import Ensemble
    from dit_lens_probes.noise import NoiseProbe
    from dit_lens_probes.swap import Swap

__all__ = ["Cka", "Energy", "Ensemble", "NoiseProbe", "Swap"]

_HOMES = {
    "Cka": "dit_lens_probes.cka",
    "Energy": "dit_lens_probes.energy",
    "Ensemble": "dit_lens_probes.ensemble",
    "NoiseProbe": "dit_lens_probes.noise",
    "Swap": "dit_lens_probes.swap",
}


def __getattr__(name: str) -> object:
    """Import a probe on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dit_lens_probes' has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
