"""Anyone opens a trace with xarray alone: nothing of ours is imported, and nothing warns."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dit_lens_stores import ArraySpec, Store, union_labels

PLAIN = """
import sys, warnings
warnings.simplefilter("error")
import numpy as np, xarray as xr
trace = xr.open_zarr(sys.argv[1], group="t0", consolidated=False)
assert not any(name.startswith("dit_lens") for name in sys.modules)
assert set(trace.coords) == {
    "branch", "step", "layer", "frame", "token", "channel", "video_frame", "video_y", "video_x", "rgb",
    "sigma", "timestep", "expert", "y", "x"}, list(trace.coords)
assert trace["block.out.raw"].dims == ("branch", "step", "layer", "frame", "token", "channel")
assert trace["block.out.raw"].dtype == np.float32 and trace["video"].dtype == np.uint8
assert trace.branch.values.tolist() == ["cond", "uncond"]
assert [type(label) for label in trace.branch.values.tolist()] == [str, str]
assert trace.sel(branch="cond").sizes["layer"] == 4
assert trace.sigma.dims == trace.timestep.dims == trace.expert.dims == ("step",)
assert trace.sigma.values.tolist() == [1.0, 0.75, 0.25] and trace.timestep.values.tolist() == [999, 750, 250]
assert trace.expert.values.tolist() == ["transformer", "transformer", "transformer_2"]
assert trace.y.dims == trace.x.dims == ("token",)
assert trace.y.values.tolist() == [0, 0, 0, 1, 1, 1] and trace.x.values.tolist() == [0, 1, 2, 0, 1, 2]
assert trace.attrs["status"] == "complete" and trace.attrs["manifest"]["seed"] == 3
assert trace["block.out.raw"].attrs["source_dtype"] == "bfloat16"
np.savez(sys.argv[2], **{name: array.values for name, array in trace.data_vars.items()})
"""

NO_TORCH = """
import sys
import dit_lens_stores
loaded = [name for name in ("torch", "diffusers", "dit_lens") if name in sys.modules]
assert not loaded, loaded
"""


def run(code: str, *arguments: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_plain_xarray_shows_names_coordinates_and_exact_values(
    full: Store, specs: list[ArraySpec], as_union: Callable[..., Any], tmp_path: Path
) -> None:
    run(PLAIN, full.path, tmp_path / "read.npz")
    labels = union_labels(specs)
    with np.load(tmp_path / "read.npz") as read:
        for spec in specs:
            assert read[spec.name].tobytes() == as_union(spec, labels).tobytes()


def test_the_stored_bits_of_bfloat16_values_end_in_zeros(full: Store) -> None:
    raw = full["t0"]["block.out.raw"].values
    assert not (raw.view(np.uint32) & 0xFFFF).any()
    assert np.unique(raw).size > 50


def test_the_store_imports_without_torch() -> None:
    run(NO_TORCH)
