"""A writer that is killed at any moment leaves every event exact or not done, and no file that is cut short."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

WRITES = """
import sys, numpy as np
from dit_lens_stores import ArraySpec, create_store
dims = ("step", "layer", "frame", "token", "channel")
held = dict(zip(dims, map(range, (2000, 4, 2, 16, 64))))
specs = [ArraySpec("x", dims, held, dims[:2]), ArraySpec("e", dims[:4], {d: held[d] for d in dims[:4]}, dims[:2])]
writer = create_store(sys.argv[1]).begin("t0", specs, [], {}, encoders=2)
print("begun", flush=True)
for number, event in enumerate(specs[0].events()):
    for spec in specs:
        noise = np.random.default_rng(number).standard_normal(spec.event_shape)
        writer.write(spec.name, event, noise.astype(np.float32))
"""


@pytest.mark.parametrize("moment", range(6))
def test_every_event_is_exact_or_not_done(tmp_path: Path, moment: int) -> None:
    command = [sys.executable, "-c", WRITES, str(tmp_path / "a.zarr")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        for name in ("x", "e"):
            while not any((tmp_path / f"a.zarr/t0/{name}_done/c/0/0").read_bytes()[:8000]):  # something is done
                time.sleep(0.01)
        time.sleep(random.Random(moment).uniform(0, 0.5))
        process.kill()
        assert process.wait(30) == -signal.SIGKILL
    trace = tmp_path / "a.zarr" / "t0"
    for name in ("x", "e"):
        array, marks = zarr.open_array(trace / name, mode="r"), zarr.open_array(trace / f"{name}_done", mode="r")[...]
        done = np.argwhere(marks == 1)
        assert len(done)
        for step in sorted({step for step, _ in done.tolist()}):
            values = np.asarray(array[step])
            for layer in range(4):
                noise = np.random.default_rng(step * 4 + layer).standard_normal(array.shape[2:]).astype(np.float32)
                assert values[layer].tobytes() == noise.tobytes()
        files = [file for file in (trace / name / "c").rglob("*") if file.is_file() and file.suffix != ".partial"]
        assert len(done) // 4 <= len(files)  # shards may be in place whose marks are not
        for file in files:
            assert not np.isnan(np.asarray(array[int(file.relative_to(trace / name / "c").parts[0])])).any()
