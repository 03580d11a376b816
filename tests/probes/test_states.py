"""A state in a file: everything that is allowed comes back as it was, and nothing else is written or made."""

from __future__ import annotations

import json
import math
import pickle
import zipfile
from collections import Counter, namedtuple
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pydantic import BaseModel

from dit_lens.probing import BadShard, BadState
from dit_lens.probing.states import check_state, read_header, read_state, write_state
from dit_lens_probes.energy import Energy
from dit_lens_probes.energy.assemble import Pieces


class Mine:
    """A probe whose package is this module."""

    name = "mine"
    Params = BaseModel


Point = namedtuple("Point", "x y")


@dataclass(frozen=True)
class Tally:
    sums: np.ndarray
    names: dict[tuple[str, int], Point] = field(default_factory=dict)
    made: int = field(init=False, default=0)


def round_trip(state: Any, path: Any, probe: Any = None) -> Any:
    write_state(state, probe or Mine(), path / "one.state", {})
    return read_state(path / "one.state", probe or Mine())


def assert_equal(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray | np.generic):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, dict):
        assert list(map(repr, found)) == list(map(repr, expected))
        for one, other in zip(found.values(), expected.values(), strict=True):
            assert_equal(one, other)
    elif isinstance(expected, tuple | list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)
    elif isinstance(expected, float):
        assert (math.isnan(found) and math.isnan(expected)) or math.copysign(1, found) == math.copysign(1, expected)
        assert math.isnan(found) or found == expected
    else:
        assert found == expected


DTYPES = st.one_of(
    npst.floating_dtypes(), npst.integer_dtypes(), npst.boolean_dtypes(), npst.complex_number_dtypes(),
    npst.unicode_string_dtypes(), npst.datetime64_dtypes(),
)  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(),
    npst.arrays(DTYPES, npst.array_shapes(min_dims=0, max_side=3, min_side=0)),
    npst.arrays(np.float32, 3).map(lambda array: array[0]),
    st.frozensets(st.integers()),
)  # fmt: skip
KEYS = st.one_of(st.text(), st.integers(), st.tuples(st.text(), st.integers()))
STATES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple), st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(state=STATES)
def test_every_allowed_state_comes_back(state, tmp_path):
    assert_equal(round_trip(state, tmp_path), state)


def test_records_of_the_own_package_come_back(tmp_path):
    state = Tally(np.arange(3.0), {("a", 1): Point(1, "two")})
    found = round_trip(state, tmp_path)
    assert type(found) is Tally
    assert type(found.names["a", 1]) is Point
    assert found.names == state.names
    np.testing.assert_array_equal(found.sums, state.sums)


def test_datasets_come_back_with_coordinates_and_attributes(tmp_path):
    dataset = xr.Dataset(
        {"energy": (("step", "token"), np.ones((2, 3), np.float32), {"units": "1"})},
        {"step": [3, 5], "expert": ("step", np.array(["low", "high"], dtype=object)), "trace": "a"},
        {"manifest": {"seed": 3, "sigmas": [0.5, math.nan]}},
    )
    found = round_trip({"one": dataset, "two": dataset["energy"]}, tmp_path)
    assert found["one"].drop_attrs().identical(dataset.drop_attrs())
    assert found["one"]["energy"].attrs == {"units": "1"}
    assert found["one"].attrs["manifest"]["seed"] == 3
    assert found["two"].identical(dataset["energy"])
    assert found["two"].name == "energy"


def test_the_state_of_energy_comes_back(energies, tmp_path):
    from dit_lens.probing import prepare

    analysis = prepare(energies, "energy")
    state = analysis.probe.map(analysis.cuts[0].chunk({"step": 0}))
    found = round_trip(state, tmp_path, analysis.probe)
    assert type(found) is Pieces
    assert found.maps.keys() == state.maps.keys()
    assert all(found.maps[key].identical(state.maps[key]) for key in state.maps)


class Stranger:
    pass


@pytest.mark.parametrize(
    ("state", "got"),
    [
        (Stranger(), "test_states.Stranger"),
        ({"a": [torch.zeros(1)]}, "torch.Tensor"),
        (Counter("a"), "collections.Counter"),
        ((3 + 1j,), "complex"),
        (b"bytes", "bytes"),
        (Pieces(), "dit_lens_probes.energy.assemble.Pieces"),
        (np.array([Stranger()]), "test_states.Stranger"),
        (np.zeros(2, [("a", "f4")]), "an array of [('a', '<f4')]"),
        (lambda: 0, "function"),
        (xr.Dataset({"v": (("p", "q"), [[1]])}, {"p": [1], "q": [2]}).stack(a=("p", "q")), "an index of several"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_anything_else_is_refused_by_its_name_and_leaves_no_file(state, got, tmp_path):
    with pytest.raises(BadState) as info:
        write_state(state, Mine(), tmp_path / "one.state", {})
    assert str(info.value).startswith("the state of probe 'mine' cannot be kept in a file; got ")
    assert f"{got}" in str(info.value).partition(", allowed ")[0]
    assert str(info.value).endswith("; run it without --shard, or change its state")
    assert "\n" not in str(info.value)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadState):
        check_state(state, Mine())


def forge(path: Any, tree: Any, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", "{}")
        archive.writestr("state.json", json.dumps(tree))
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)


def pickled(path: Any) -> bytes:
    """An .npy file that would touch a file if it were unpickled."""
    import io

    class Touch:
        def __reduce__(self):
            return (open, (str(path), "w"))

    held = io.BytesIO()
    np.save(held, np.array([Touch()]), allow_pickle=True)
    assert pickle.PROTO in held.getvalue()
    return held.getvalue()


HOSTILE = {
    "a class of another package": ["record", "pathlib", "Path", []],
    "a function": ["record", "os", "system", [["command", "true"]]],
    "a module that was not asked for": ["record", "antigravity", "Nothing", []],
    "a class that is no record": ["record", "", "Stranger", []],
    "a field that is none": ["record", "", "Point", [["z", 1]]],
    "a method of the reader": ["_class__", []],
    "a kind that is none": ["eval", "1"],
    "an array that is not there": ["array", 7],
    "a path as a number": ["array", "../../etc/passwd"],
    "too few parts": ["dict", [[1]]],
}


@pytest.mark.parametrize("tree", HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_asks_for_more_is_refused(tree, tmp_path):
    import sys

    forge(tmp_path / "bad.state", tree)
    with pytest.raises(BadShard, match=r"bad\.state' is no part of an analysis; got .*, allowed what --shard wrote"):
        read_state(tmp_path / "bad.state", Mine())
    assert "antigravity" not in sys.modules


def test_nothing_is_unpickled(tmp_path):
    forge(tmp_path / "bad.state", ["array", 0], **{"0_npy": pickled(tmp_path / "touched")})
    with pytest.raises(BadShard, match="Object arrays cannot be loaded"):
        read_state(tmp_path / "bad.state", Mine())
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_a_file_that_is_none_is_refused(content, tmp_path):
    if content is not None:
        (tmp_path / "bad.state").write_bytes(content)
    with pytest.raises(BadShard) as info:
        read_header(tmp_path / "bad.state")
    assert "\n" not in str(info.value)


def test_a_file_that_was_damaged_is_refused(tmp_path):
    write_state(np.arange(1000.0), Energy(), tmp_path / "one.state", {})
    content = bytearray((tmp_path / "one.state").read_bytes())
    content[2000] ^= 1
    (tmp_path / "one.state").write_bytes(content)
    with pytest.raises(BadShard, match="CRC"):
        read_state(tmp_path / "one.state", Energy())
