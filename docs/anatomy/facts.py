"""What the numbers are from: model and weights, schedule, machine, versions; in words that name no one's machine."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from typing import Any

import torch

from anatomy.model import MODEL, load, schedule
from anatomy.settings import Settings

__all__ = ["facts", "surroundings"]

_PACKAGES = ("torch", "diffusers", "dit-lens")


def facts(settings: Settings) -> dict[str, Any]:
    """Everything that stands beside the records of a part."""
    return {
        "model": MODEL,
        "weights": {key: value for key, value in load().identity.items() if "sha256" in key or "hash" in key},
        "schedule": schedule(settings.steps),
        **surroundings(),
    }


def surroundings() -> dict[str, Any]:
    """What something ran on, and when."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "machine": f"{cores} cores, {gpu or 'no GPU'}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
        "date": time.strftime("%Y-%m-%d"),
    }
