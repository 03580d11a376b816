"""A trace whose writer ended while it laid the trace out: at every such moment it can be opened, and begun again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from dit_lens_stores import ArraySpec, Coordinate, NotDone, TraceWriter, create_store, open_store, verify

SPEC = ArraySpec("x", ("step", "layer"), {"step": (0, 1), "layer": (0, 2)}, ("step", "layer"))
SIGMA = Coordinate("sigma", "step", [1.0, 0.5])


def begin(folder: Path) -> TraceWriter:
    return create_store(folder).begin("t0", [SPEC], [SIGMA], {"seed": 1}, resume=True)


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a trace in which nothing is written yet."""
    folder = tmp_path_factory.mktemp("laid") / "s.zarr"
    begin(folder)
    return folder


def files(folder: Path) -> list[str]:
    """The files of the trace but for its own attributes, in the order in which they were written."""
    found = sorted((folder / "t0").rglob("*"), key=lambda file: (file.stat().st_mtime_ns, str(file)))
    return [str(file.relative_to(folder)) for file in found if file.is_file() and file != folder / "t0" / "zarr.json"]


def without(laid_out: Path, folder: Path, lost: list[str]) -> Path:
    shutil.copytree(laid_out, folder)
    for name in lost:
        (folder / name).unlink()
    return folder


def check(folder: Path) -> None:
    trace = open_store(folder).get("t0", partial=True)
    assert next(name for name, _ in trace.missing()) == "x"
    assert "t0" in repr(trace)
    assert not trace.dataset
    with pytest.raises(NotDone):
        _ = open_store(folder)["t0"]["x"].values
    assert verify(folder).problems == ()


@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in (1, 2))])
def test_every_moment_of_laying_out(laid_out: Path, tmp_path: Path, first: int) -> None:
    names = files(laid_out)
    assert len(names) >= 8
    for count in range(first, len(names), 3):
        folder = without(laid_out, tmp_path / str(count) / "s.zarr", names[count:])
        check(folder)
        writer = begin(folder)
        for event in SPEC.events():
            writer.write("x", event, np.float32(event["layer"]))
        writer.finish()
        assert open_store(folder)["t0"]["x"].values.tolist() == [[0, 2], [0, 2]]
