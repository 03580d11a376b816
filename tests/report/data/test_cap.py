"""A result that is far larger than the page: it fits, in bounded memory, and the page says what was dropped."""

from __future__ import annotations

import shutil
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from dit_lens.probing import load_result, save_result
from dit_lens.report import CapTooSmall, make_report, write_report
from dit_lens.report.fitting import spread

SWITCH = 19
MB = 1_000_000


def energies(path: Path, branches: int, steps: int, layers: int, frames: int, rows: int, columns: int) -> Path:
    """A saved energy result in which every step of a branch is the same noise: one chunk, linked to many names."""
    dims = ("trace", "branch", "step", "layer", "frame", "y", "x")
    shape = (1, branches, steps, layers, frames, rows, columns)
    coords = {
        "trace": np.array(["video"], dtype=object),
        "branch": np.array(["cond", "uncond"], dtype=object),
        "step": range(steps),
        "sigma": ("step", np.linspace(1, 0.02, steps)),
        "expert": ("step", np.array(["transformer"] * SWITCH + ["transformer_2"] * (steps - SWITCH), dtype=object)),
    }
    labels = {dim: range(size) for dim, size in zip(dims[3:], shape[3:], strict=True)}
    save_result(xr.Dataset(coords=coords | labels, attrs={"probe": "energy", "traces": ["video"]}), path)
    chunk = (1, 1, 1, *shape[3:])
    kind = {"dtype": "f4", "fill_value": np.nan, "compressors": None, "dimension_names": dims}
    zarr.open_group(path).create_array("energy", shape=shape, chunks=chunk, **kind)
    noise = np.random.default_rng(0).gamma(4.0, 3.0, chunk).astype("<f4")
    first = path / "energy" / "c" / "0" / "0" / "0" / "0" / "0" / "0" / "0"
    first.parent.mkdir(parents=True)
    first.write_bytes(noise.tobytes())
    for branch, step in np.ndindex(branches, steps):
        place = path / "energy" / "c" / "0" / str(branch) / str(step) / "0" / "0" / "0" / "0"
        if place != first:
            place.parent.mkdir(parents=True)
            place.hardlink_to(first)
    return path


@pytest.fixture(scope="module")
def quarter(tmp_path_factory):
    """A quarter of the steps of a model of 14 B parameters: 33 million values."""
    folder = tmp_path_factory.mktemp("large")
    yield energies(folder / "energy.zarr", 2, 25, 20, 21, 30, 52)
    shutil.rmtree(folder)


@contextmanager
def held():
    """The most memory that Python and numpy held at once meanwhile."""
    found = []
    tracemalloc.start()
    try:
        yield found
        found.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def check(path, out, cap, read_array, most):
    with held() as peak:
        report = write_report(path, out, cap=cap)
    assert peak[0] < most
    (one,) = report.payload["maps"]
    axes = {axis["dim"]: axis for axis in one["axes"]}
    result = load_result(path)["energy"].isel(trace=0)
    back = read_array(one["data"], report.blobs)
    for step in (0, len(axes["step"]["values"]) - 1):
        chosen = {dim: axis["values"] for dim, axis in axes.items() if dim in ("layer", "frame", "y", "x")}
        whole = result.isel(branch=1, step=axes["step"]["values"][step], **chosen).values
        assert np.abs(back[1, step] - whole).max() <= one["data"]["error"] * (1 + 1e-9)
    assert {0, SWITCH, result.sizes["step"] - 1} <= set(axes["step"]["values"])
    assert axes["branch"]["kept"] == 2
    return report, axes


def test_it_fits_the_cap_and_says_what_it_dropped(quarter, tmp_path, read_array):
    cap = 4 * MB
    report, axes = check(quarter, tmp_path / "report.html", cap, read_array, 150 * MB)
    size = (tmp_path / "report.html").stat().st_size
    assert 0.85 * cap < size <= cap
    kept = ", ".join(
        f"{axis['kept']} of {axis['of']} {name}"
        for dim, name in [("step", "steps"), ("layer", "layers"), ("frame", "frames")]
        if (axis := axes[dim])["kept"] < axis["of"]
    )
    assert kept
    assert any(note.startswith(f"energy: energy keeps {kept}") for note in report.payload["notes"])
    assert any("in one byte a value; the largest error, as measured, is" in note for note in report.payload["notes"])


@pytest.mark.parametrize("more", [0, 15_000])
def test_a_cap_that_no_dropping_can_keep_is_refused(more, quarter):
    """The page without anything, and the page with a little, but not even with what is never dropped."""
    cap = len(make_report([xr.Dataset({"nothing": 0})]).html) + more
    with pytest.raises(CapTooSmall, match=r"the page cannot be made so small; got 1.* kB, allowed .* or more; raise"):
        make_report([quarter], cap=cap)


@pytest.mark.slow
def test_a_result_of_14b_size_fits_a_mail(tmp_path, read_array):
    path = energies(tmp_path / "energy.zarr", 2, 50, 40, 21, 30, 52)
    check(path, tmp_path / "report.html", "30MB", read_array, 400 * MB)
    size = (tmp_path / "report.html").stat().st_size
    assert 25 * MB < size <= 30 * MB


def test_the_switch_of_every_trace_is_kept():
    """Traces that disagree have their experts along (trace, step)."""
    experts = np.array([["one"] * switch + ["two"] * (40 - switch) for switch in (9, 10, 31)], dtype=object)
    coords = {"trace": list("abc"), "step": range(40), "expert": (("trace", "step"), experts)}
    noise = np.random.default_rng(0).normal(size=(3, 40, 24, 24))
    data = xr.Dataset({"map": (("trace", "step", "y", "x"), noise)}, coords, {"traces": list("abc")})
    whole = len(make_report([data]).html)
    for cap in (whole - 120_000, whole - 140_000):
        axis = make_report([data], cap=cap).payload["maps"][0]["axes"][1]
        assert axis["kept"] < 40
        assert {0, 9, 10, 31, 39} <= set(axis["values"])


def test_places_are_spread_with_both_ends_and_the_switch():
    assert spread(50, 10, [SWITCH])[0] == 0
    assert spread(50, 10, [SWITCH])[-1] == 49
    assert SWITCH in spread(50, 10, [SWITCH])
    assert len(spread(50, 10, [SWITCH])) == 10
    assert spread(50, 5, [9, 10, 31]) == [0, 9, 10, 31, 49]
