"""What a report is made of: a store, results of several kinds, and how an array is read back from its blob."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from dit_lens.probing import analyze, save_result
from dit_lens.testing import synthetic_store


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A store of two traces, and its energies as a saved result."""
    folder = tmp_path_factory.mktemp("report")
    store = synthetic_store(folder / "s.zarr", ["block.out:energy"])
    save_result(analyze(store, "energy", params={"curves": True}), folder / "energy.zarr")
    return folder


@pytest.fixture(scope="session")
def read_array():
    """The values of an array, as the page computes them."""

    def read(array, blobs):
        kind = {"uint16": "<u2", "uint8": "u1"}[array["dtype"]]
        whole = np.frombuffer(zlib.decompress(blobs[array["blob"]], 31), kind).reshape(array["shape"])
        values = array["offset"] + array["scale"] * whole.astype(np.float64)
        return np.where(whole == array["missing"], np.nan, values)

    return read
