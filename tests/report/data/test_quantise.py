"""What is read back is what was written, up to the error that is stated, and the error is the true one."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from dit_lens.report.quantise import Blobs, histogram_range, pack, pack_array

RNG = np.random.default_rng(0)
ARRAYS = {
    "normal": RNG.normal(size=(3, 5, 7)),
    "large": RNG.normal(size=(40, 40)) * 1e30,
    "tiny": RNG.normal(size=200) * 1e-30,
    "far from zero": 1e6 + RNG.random(100),
    "constant": np.full((2, 3), 4.25),
    "nothing": np.full(4, np.nan),
    "one": np.array([-7.0]),
}


@pytest.mark.parametrize("width", ["uint16", "uint8"])
@pytest.mark.parametrize("name", ARRAYS)
def test_values_come_back_within_the_stated_error(name, width, read_array):
    values, blobs = ARRAYS[name].astype(np.float32).astype(np.float64), Blobs()
    array = pack_array(values, blobs, width).array
    back = read_array(array, blobs.items)
    assert np.array_equal(np.isnan(back), np.isnan(values))
    worst = np.nanmax(np.abs(back - values)) if not np.isnan(values).all() else 0.0
    assert array["error"] == worst
    assert worst <= array["scale"] * (0.5 + 1e-6) + 1e-12 * np.nanmax(np.abs(values), initial=0)


@pytest.mark.parametrize("width", ["uint16", "uint8"])
def test_what_is_missing_or_infinite_is_marked(width, read_array):
    values, blobs = np.array([np.nan, -1.0, np.inf, 2.0, -np.inf]), Blobs()
    packed = pack_array(values, blobs, width)
    assert np.isnan(read_array(packed.array, blobs.items)).tolist() == [True, False, True, False, True]
    assert packed.counts.sum() == 2


def test_blocks_make_the_same_bytes_as_the_whole():
    values, whole, parts = ARRAYS["normal"], Blobs(), Blobs()
    one = pack_array(values, whole)
    other = pack(lambda: iter(np.split(values, 3)), values.shape, parts)
    assert (one.array, zlib.decompress(whole.items[0], 31)) == (other.array, zlib.decompress(parts.items[0], 31))


def test_the_range_is_that_of_the_percentiles_of_all_arrays_together():
    first, second = np.arange(1000.0), np.arange(1000.0, 2001.0)
    packed = [pack_array(values, Blobs()) for values in (first, second)]
    low, high = histogram_range(packed, 0.05)
    exact = np.quantile(np.concatenate([first, second]), [0.05, 0.95], method="closest_observation")
    assert [low, high] == pytest.approx(exact, abs=1 + packed[1].array["scale"])
    assert histogram_range(packed, 0.0) == (0.0, 2000.0)
