"""The manifest of a trace: everything needed to make it again, as plain JSON.

It holds no absolute path: a model is named by its id or the last part of its folder, and pinned by the sha256 of its
weights (``dit_lens.weights``).
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from dit_lens.facts import fact, image_sha256
from dit_lens.git import git_state

if TYPE_CHECKING:
    from dit_lens.adapters import Family
    from dit_lens.captures import Resolved
    from dit_lens.engine.layout import Layout
    from dit_lens.generation import Generation, Size

__all__ = ["plain", "request_manifest", "run_manifest"]

PLAIN: Mapping[str, Any] = MappingProxyType({"edits": []})
"""The course of a run that departs in nothing."""
_PACKAGES = ("dit-lens", "torch", "diffusers", "transformers", "numpy", "zarr", "xarray")


def run_manifest(
    pipeline: Any,
    family: Family,
    request: Generation,
    size: Size,
    layout: Layout,
    captures: Sequence[Resolved],
    course: Mapping[str, Any] = PLAIN,
) -> dict[str, Any]:
    """What is known of a run before it starts, the model's identity aside.

    ``course`` says how it departs from the plain run (``dit_lens.engine.course``).

    Returns
    -------
    dict
        JSON-able.
    """
    return {
        **request_manifest(request, size),
        "adapter": family.name,
        "pipeline": {"class": type(pipeline).__name__, "config": plain(pipeline.config)},
        "denoisers": {name: plain(model.config) for name, model in family.denoisers(pipeline).items()},
        "scheduler": {"class": type(pipeline.scheduler).__name__, "config": plain(pipeline.scheduler.config)},
        "sigmas": None if layout.sigmas is None else plain(layout.sigmas),
        "timesteps": None if layout.timesteps is None else list(layout.timesteps),
        "experts": list(layout.experts),
        "branches": list(layout.branches),
        "tokens": list(layout.tokens),
        "dtype": layout.dtype,
        "device": str(pipeline._execution_device),
        "captures": [str(resolved.capture) for resolved in captures],
        **course,
        "versions": dict(_versions()),
        "git": git_state(),
    }


def request_manifest(request: Generation, size: Size) -> dict[str, Any]:
    """The request as JSON; the image by its hash.

    Examples
    --------
    >>> from dit_lens.generation import Generation, Size
    >>> request_manifest(Generation(prompt="Draw.", seed=0, steps=4), Size(64, 64, 17))["frames"]
    17
    """
    return {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "image_sha256": None if request.image is None else image_sha256(request.image),
        "seed": request.seed,
        "steps": request.steps,
        "guidance": request.guidance,
        "guidance_2": request.guidance_2,
        "height": size.height,
        "width": size.width,
        "frames": size.frames,
        "extra": fact(request.extra),
    }


def plain(value: Any) -> Any:
    """A JSON-able copy of a configuration, without private entries and without absolute paths.

    Examples
    --------
    >>> plain({"shift": 5.0, "patch": (1, 2), "_name_or_path": "x", "folder": "/somewhere"})
    {'shift': 5.0, 'patch': [1, 2], 'folder': None}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items() if not str(key).startswith("_")}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, str) and Path(value).is_absolute():
        return None
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return str(value)


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree that was not installed
            found[package] = "unknown"
    return found
