"""Every error of every room is found at the one place where one looks for it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

import dit_lens
from dit_lens import errors

ROOMS = sorted(path.parent.name for path in Path(dit_lens.__file__).parent.glob("*/errors.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_every_error_of_a_room_is_found(room: str) -> None:
    there = import_module(f"dit_lens.{room}.errors")
    assert there.__all__
    assert {name: getattr(errors, name) for name in there.__all__} == {
        name: getattr(there, name) for name in there.__all__
    }
    assert set(there.__all__) <= set(errors.__all__)
