"""The stated bound on the memory of attention reductions, measured by the kernel: in a process of its own, on a CPU.

``VmHWM`` is the most that a process ever had in memory; it is set back before each reduction, so the difference to
what was in memory then is all that the reduction took, its result included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dit_lens.engine.probabilities import BLOCK_BYTES

HEADS, CHANNELS, ROWS, COLUMNS = 2, 64, 30, 52

SCRIPT = """
import json, sys
from contextlib import suppress
from pathlib import Path
import torch
from dit_lens.engine.probabilities import AttentionCall, frames_attention, rows_attention, words_attention

frames, heads, channels, rows, columns = map(int, sys.argv[1:6])
dtype, names = getattr(torch, sys.argv[6]), sys.argv[7:]
tokens = rows * columns

def memory(line):
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(text.split()[1]) * 1024 for text in status if text.startswith(line))

def measured(function, call, grid, *chosen):
    with suppress(OSError):  # where it may not be set back, the difference comes out larger, never smaller
        Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    result = function(call, grid, *chosen)
    return {"peak": memory("VmHWM") - before, "result": result.numel() * result.element_size(),
            "off": float((result.flatten(3 if result.ndim > 3 else 2).sum(-1) - 1).abs().max())}

torch.set_num_threads(1)
q, k = (torch.randn(heads, frames * tokens, channels).to(dtype) for _ in range(2))
text = torch.randn(heads, 512, channels).to(dtype)
mask = q.new_zeros(1, 1, frames * tokens)
every = range(tokens), range(heads)
frames_attention(AttentionCall(q[:, :4], k[:, :4], k[:, :4], 0.1), (2, 1, 2), [0, 1], [0, 1], [0])  # libraries load
runs = {
    "frames": (frames_attention, AttentionCall(q, k, k, 0.1), range(frames), *every),
    "masked": (frames_attention, AttentionCall(q, k, k, 0.1, mask), range(frames), *every),
    "causal": (frames_attention, AttentionCall(q, k, k, 0.1, causal=True), range(frames), *every),
    "rows": (rows_attention, AttentionCall(q, k, k, 0.1), range(frames), [0, 7], range(heads)),
    "words": (words_attention, AttentionCall(q, text, text, 0.1), range(frames), *every),
}
grid = (frames, rows, columns)
print(json.dumps({name: measured(*runs[name][:2], grid, *runs[name][2:]) for name in names}))
"""

linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell")


def measure(frames: int, dtype: str, *names: str) -> dict[str, dict[str, float]]:
    sizes = [str(number) for number in (frames, HEADS, CHANNELS, ROWS, COLUMNS)]
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, *sizes, dtype, *names],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, dict[str, float]] = json.loads(run.stdout)
    return measured


def check(measured: dict[str, float]) -> None:
    assert measured["peak"] < BLOCK_BYTES + measured["result"]
    assert measured["off"] < 1e-5


@linux
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_memory_stays_under_the_bound_at_four_frames(dtype: str) -> None:
    """One map of 6,240 tokens would take 156 MB a head."""
    for measured in measure(4, dtype, "frames", "masked", "causal", "rows", "words").values():
        check(measured)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["frames", "rows", "words"])
def test_memory_stays_under_the_bound_at_480p_and_81_frames(name: str, dtype: str) -> None:
    """32,760 tokens, as of Wan2.2-14B: one map would take 4.3 GB a head."""
    check(measure(21, dtype, name)[name])
