"""What the figures were measured on, in words that name no one's machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any

import torch

__all__ = ["machine"]

_PACKAGES = ("torch", "diffusers", "nnsight", "zarr", "dit-lens")


def machine() -> dict[str, Any]:
    """Cores, GPU, threads of torch, load at this moment (programs that want to run), and versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "summary": f"{cores} cores, {gpu or 'no GPU'}",
        "cores": cores,
        "gpu": gpu,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
    }
