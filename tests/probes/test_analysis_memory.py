"""A store that is far larger than the memory which its analysis takes; measured by the kernel, each in a process.

``VmHWM`` is the most that a process ever had in memory. An analysis of a small store comes first, so that libraries are
loaded and not counted. What is allowed follows from what a probe asks for: a few chunks, however large the store.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dit_lens.testing import SMALL, synthetic_store

MOMENTS = f"{Path(__file__).with_name('moments.py')}:Moments"
LABELS = Path("labels.csv")
PROBES = {
    "energy": ("energy", {}),
    "moments": (MOMENTS, {}),
    "cka": ("cka", {"keep": 0.25, "permutations": 1}),
    "linear": ("linear", {"csv": LABELS.name, "label": "side", "rows": "token", "controls": 1}),
}
"""Name and parameters of each probe that is held to the bound."""
TRACES = "abcdefgh"
KERNEL_TELLS = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell")

SCRIPT = """
import json, sys
from contextlib import suppress
from pathlib import Path

from dit_lens.probing import analyze

small, large, probe, params, scheduler = sys.argv[1:]
words = {"probe": probe, "params": json.loads(params), "scheduler": scheduler or None}

def memory(line):
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(text.split()[1]) * 1024 for text in status if text.startswith(line))

analyze(small, **words)
with suppress(OSError):
    Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
told = []
analyze(large, **words, progress=lambda *at: told.append(at))
print(json.dumps({"peak": memory("VmHWM") - before, "read": told[-1][1]}))
"""


def layout(steps: int, layers: int, frames: int):
    """A model of 1,024 tokens a frame and 256 channels: 1 MB for each frame of each layer."""
    return replace(
        SMALL,
        branches=("cond",),
        experts=("transformer",) * steps,
        timesteps=tuple(float(1000 - step) for step in range(steps)),
        sigmas=tuple(1 - step / steps for step in range(steps)),
        layers=layers,
        tokens=(frames, 32, 32),
        channels=256,
    )


def write(folder: Path, steps: int, layers: int, frames: int) -> tuple[Path, Path, int]:
    """A small store, a large one, and how many bytes of values the large one holds; labels of their traces beside."""
    captures = ["block.out:raw", "block.out:energy"]
    large = synthetic_store(folder / "large.zarr", captures, TRACES, layout(steps, layers, frames), video=False)
    small = synthetic_store(folder / "small.zarr", captures, TRACES, layout(1, 1, 1), video=False)
    sides = [f"{trace},{'left' if at % 2 else 'right'}" for at, trace in enumerate(TRACES)]
    (folder / LABELS).write_text("\n".join(["trace,side", *sides]))
    return small.path, large.path, len(TRACES) * steps * layers * frames * 2**20


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return write(tmp_path_factory.mktemp("memory"), steps=4, layers=4, frames=2)


def measure(stores: tuple[Path, Path, int], probe: str, scheduler: str = "") -> dict[str, float]:
    name, params = PROBES[probe]
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, *map(str, stores[:2]), name, json.dumps(params), scheduler],
        env={**os.environ, "OMP_NUM_THREADS": "1", "DASK_NUM_WORKERS": "2"},
        capture_output=True,
        text=True,
        check=False,
        cwd=stores[0].parent,
    )
    assert run.returncode == 0, run.stderr
    return {what: number / 2**20 for what, number in json.loads(run.stdout).items()}


@KERNEL_TELLS
@pytest.mark.parametrize(("probe", "scheduler"), [("energy", ""), ("moments", ""), ("moments", "threads")])
def test_the_loop_and_threads_hold_a_few_chunks(stores, probe, scheduler):
    """256 MB in chunks of 8 MB, held to the share that 1 GB is of 4 GB."""
    found = measure(stores, probe, scheduler)
    if probe == "moments":
        assert found["read"] == pytest.approx(stores[2] / 2**20)
    assert found["peak"] < 64


@KERNEL_TELLS
@pytest.mark.slow
@pytest.mark.parametrize("probe", PROBES)
def test_four_gigabytes_are_analyzed_in_less_than_one(four_gigabytes, probe):
    found = measure(four_gigabytes, probe)
    assert found["peak"] < 1000


@pytest.fixture(scope="module")
def four_gigabytes(tmp_path_factory):
    return write(tmp_path_factory.mktemp("memory"), steps=20, layers=12, frames=2)
