"""Every test runs without a network and can be interrupted; torch, where a test imports it, uses one thread."""

from __future__ import annotations

import os
import signal
import sys

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
