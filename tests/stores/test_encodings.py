"""Values survive their encoding as it promises, or are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dit_lens_stores import ArraySpec, Store, StoreError
from dit_lens_stores.encodings import check_encoding, decode, encode, fill_value, stored_dtype

PATTERNS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20).map(lambda bits: np.array(bits, np.uint32))


def refusal(call: Any) -> str:
    with pytest.raises(StoreError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(PATTERNS)
def test_exact_changes_nothing(bits: npt.NDArray[np.uint32]) -> None:
    values = bits.view(np.float32)
    assert decode(encode(values, "exact"), "exact").tobytes() == values.tobytes()


@given(PATTERNS)
def test_bits_give_back_every_bfloat16_with_its_nan_payload(bits: npt.NDArray[np.uint32]) -> None:
    values = (bits & np.uint32(0xFFFF0000)).view(np.float32)
    stored = encode(values, "bits")
    assert stored.dtype == np.uint16
    assert stored.tolist() == (bits >> 16).tolist()
    assert decode(stored, "bits").tobytes() == values.tobytes()
    assert encode(stored, "bits") is stored  # patterns are taken as they are


@given(PATTERNS)
def test_bits_refuse_what_bfloat16_cannot_hold(bits: npt.NDArray[np.uint32]) -> None:
    bits[-1] |= 1
    message = refusal(lambda: encode(bits.view(np.float32), "bits", "write of x"))
    assert message.startswith("write of x is no bfloat16; got ")
    assert message.endswith(", allowed values that bfloat16 holds exactly; use the encoding exact")


@given(st.integers(0, 2**16 - 1))
def test_float16_holds_its_own_values_exactly(bits: int) -> None:
    values = np.array([bits], np.uint16).view(np.float16)
    assert encode(values, "float16") is values
    again = encode(values.astype(np.float32), "float16")
    assert again.dtype == np.float16
    assert np.array_equal(again, values, equal_nan=True)


@pytest.mark.parametrize("value", [65520.0, -1e30])
def test_float16_refuses_overflow(value: float) -> None:
    values = np.array([1, value, np.inf, np.nan], np.float32)
    assert refusal(lambda: encode(values, "float16", "write of x[step=1]")) == (
        f"write of x[step=1] is too large for float16; got {values[1]}, allowed -65504 to 65504; use the encoding exact"
    )


@given(PATTERNS, st.integers(1, 22))
def test_bitround_keeps_so_many_bits_and_every_nan(bits: npt.NDArray[np.uint32], keep: int) -> None:
    values = bits.view(np.float32)
    finite = np.where(np.isfinite(values) & (np.abs(values) < 1e38), values, np.float32(1))
    rounded = encode(finite, f"bitround:{keep}")
    assert not (rounded.view(np.uint32) & np.uint32((1 << (23 - keep)) - 1)).any()
    error = np.abs(rounded.astype(np.float64) - finite)
    smallest = np.finfo(np.float32).tiny
    assert (error <= np.maximum(np.abs(finite), smallest).astype(np.float64) * 2.0 ** -(keep + 1)).all()
    special = values[~np.isfinite(values)]
    assert encode(special, f"bitround:{keep}").tobytes() == special.tobytes()
    assert encode(rounded, f"bitround:{keep}").tobytes() == rounded.tobytes()


def test_bitround_refuses_to_make_infinity() -> None:
    largest = np.array([np.finfo(np.float32).max], np.float32)
    assert refusal(lambda: encode(largest, "bitround:3", "write of x")) == (
        f"write of x is too large for bitround:3; got {largest[0]}, allowed what rounds to a finite number; use the "
        f"encoding exact"
    )


def test_values_are_not_changed_in_place() -> None:
    values = np.array([1.2345678, np.nan, -7.1], np.float32)
    before = values.tobytes()
    for encoding in ("exact", "float16", "bitround:2"):
        encode(values, encoding)
    assert values.tobytes() == before


def test_encodings_that_are_none() -> None:
    allowed = "allowed exact, bits, float16, bitround:N (N 1 to 22)"
    assert refusal(lambda: check_encoding("bit", "float32", "array 'x'")) == (
        f"array 'x' has an encoding; got 'bit', {allowed}; did you mean 'bits'?"
    )
    for wrong in ("bitround:0", "bitround:23", "bitround:", "zzz"):
        assert f"got '{wrong}', {allowed}" in refusal(lambda wrong=wrong: check_encoding(wrong, "float32", "x"))  # type: ignore[misc]
    assert refusal(lambda: ArraySpec("x", (), {}, dtype="uint8", encoding="bits")) == (
        "array 'x' has an encoding of floats; got 'bits' for uint8, allowed exact; leave the encoding out"
    )
    assert refusal(lambda: ArraySpec("x", (), {}, compressor="gzip")) == (  # type: ignore[arg-type]
        "array 'x' has a compressor; got 'gzip', allowed auto, lz4, zstd, none; leave it out"
    )


def test_what_was_never_written_decodes_to_nan() -> None:
    for encoding in ("exact", "bits", "float16", "bitround:4"):
        fill = np.array([fill_value("float32", encoding)], stored_dtype("float32", encoding))
        assert np.isnan(decode(fill, encoding)).all()


def test_a_refused_event_may_be_written_again(store: Store) -> None:
    spec = ArraySpec("x", ("step", "channel"), {"step": (0,), "channel": (0, 1)}, ("step",), encoding="float16")
    writer = store.begin("t0", [spec], [], {})
    message = refusal(lambda: writer.write("x", {"step": 0}, np.array([1, 1e9], np.float32)))
    assert message.startswith("write of x[step=0] is too large for float16; got 1000000000.0")
    writer.write("x", {"step": 0}, np.array([1, 2], np.float32))
    writer.finish()
    assert store.status("t0") == "complete"
