"""A raw trace of all blocks needs as much memory for 40 steps as for 5; measured by the kernel, each in a process.

``VmHWM`` is the most that a process ever had in memory; a first trace of the same run loads libraries and is not
counted. The queue is made smaller than the default, so that none of the two runs can hide in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, sys, tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel

from dit_lens.engine import run
from dit_lens.generation import Generation, Size
from dit_lens.lens import Lens, Origin

steps = int(sys.argv[1])
torch.set_num_threads(1)
run.Flow = partial(run.Flow, limit_bytes=8 * 2**20)
denoiser = WanTransformer3DModel(
    patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=32, in_channels=16, out_channels=16, text_dim=8,
    freq_dim=8, ffn_dim=8, num_layers=20, rope_max_seq_len=64,
)
vae = AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0)
pipeline = WanPipeline(None, None, vae, scheduler, denoiser.eval(), None)
lens = Lens(pipeline, Origin("untrained", size=Size(256, 256, 9)))

def memory(line):
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(text.split()[1]) * 1024 for text in status if text.startswith(line))

def trace(steps, path):
    words = {"prompt_embeds": torch.zeros(1, 8, 8)}
    request = Generation(prompt="", seed=0, steps=steps, guidance=1.0, extra=words)
    lens.trace(request, ["block.out"], path, decode=False)
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

with tempfile.TemporaryDirectory() as folder:
    trace(2, Path(folder) / "first.zarr")
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    stored = trace(steps, Path(folder) / "a.zarr")
    print(json.dumps({"peak": memory("VmHWM") - before, "stored": stored}))
"""


def _measure(steps: int) -> dict[str, float]:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, str(steps)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return {name: number / 1e6 for name, number in json.loads(run.stdout).items()}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell")
def test_peak_memory_is_independent_of_the_number_of_steps():
    few, many = _measure(5), _measure(40)
    assert few["stored"] > 15
    assert many["stored"] > 7 * few["stored"]
    assert many["stored"] - few["stored"] > 100, "what a leak would hold"
    assert many["peak"] - few["peak"] < 25, (few, many)
