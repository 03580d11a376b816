"""Every test runs without a network and can be interrupted; torch, where a test imports it, uses one thread."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", MPLBACKEND="Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    """Small tensors are slower on many threads, and one thread adds in one order."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def same_as_noted():
    """Hold what a figure notes to what it draws: every number of one must be among those of the other."""
    from dit_lens.figures import data_of

    def among(numbers, others) -> bool:
        numbers, others = (np.unique(np.asarray(each, float)[np.isfinite(each)]) for each in (numbers, others))
        if not len(numbers) or not len(others):
            return not len(numbers)
        at = np.searchsorted(others, numbers).clip(1, max(len(others) - 1, 1))
        near = np.minimum(*(np.abs(others[np.minimum(at - k, len(others) - 1)] - numbers) for k in (0, 1)))
        return bool((near <= 1e-5 * np.maximum(np.abs(numbers), 1e-3)).all())

    def check(figure, told_in_words: tuple[str, ...] = ()) -> None:
        lines = [np.ravel(line.get_data()) for axis in figure.axes for line in axis.lines]
        curves = [line.get_ydata() for axis in figure.axes for line in axis.lines if len(line.get_ydata()) > 2]
        images = [np.ma.filled(i.get_array().astype(float), np.nan).ravel() for a in figure.axes for i in a.images]
        paths = [p.vertices.ravel() for a in figure.axes for one in a.collections for p in one.get_paths()]
        shown = np.concatenate([np.zeros(0), *lines, *images, *paths])
        data = data_of(figure)
        numbers = {name: v.values.ravel() for name, v in data.data_vars.items() if v.dtype.kind in "iuf"}
        for name, values in numbers.items():
            assert name in told_in_words or among(values, shown), f"{name} is noted and not drawn"
        labels = [np.ravel(v.values) for v in data.coords.values() if v.dtype.kind in "iuf"]
        noted = np.concatenate([*numbers.values(), *labels])
        for values in [*curves, *images]:
            assert among(values, noted), "something is drawn and not noted"
        if "step" in data.dims:
            assert {"sigma", "expert"} <= set(data.coords)

    return check
