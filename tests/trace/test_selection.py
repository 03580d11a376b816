"""Selections as text and against the labels of an axis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dit_lens.engine.errors import BadSelection
from dit_lens.selection import AXES, Selection, pick

RISING = st.lists(st.integers(0, 60), min_size=1, max_size=12, unique=True).map(sorted)
BOUND = st.none() | st.integers(-8, 40)
NUMBER = st.integers(-8, 40)


def as_text(start: int | None, stop: int | None, stride: int | None) -> str:
    ends = ("" if start is None else str(start)) + ":" + ("" if stop is None else str(stop))
    return ends if stride is None else f"{ends}:{stride}"


RANGE = st.builds(as_text, BOUND, BOUND, st.none() | st.integers(0, 4))
NAME = st.text("aé_Z.-19", min_size=1, max_size=8)


@st.composite
def selections(draw: st.DrawFn) -> Selection:
    chosen = draw(st.sets(st.sampled_from(AXES)))
    terms = {axis: NAME if axis in ("branch", "expert") else NUMBER | RANGE for axis in sorted(chosen)}
    return Selection(
        **{axis: tuple(draw(st.lists(term, min_size=1, max_size=3))) for axis, term in sorted(terms.items())}
    )


@given(selections())
def test_text_goes_there_and_back(selection):
    assert Selection.parse(str(selection)) == selection


@given(RISING, st.lists(NUMBER | RANGE, min_size=1, max_size=3))
def test_what_is_picked_is_on_the_axis_in_its_order(allowed, terms):
    try:
        picked = pick("frame", tuple(terms), allowed, "x")
    except BadSelection:
        return
    assert picked
    assert list(picked) == [label for label in allowed if label in picked]


@given(st.integers(1, 12), RANGE)
def test_on_an_axis_without_gaps_a_range_is_pythons(count, text):
    start, stop, stride = (int(part) if part else None for part in (*text.split(":"), "")[:3])
    if stride == 0 or any(end is not None and not -count <= end <= count for end in (start, stop)):
        expected = ()
    else:
        expected = tuple(range(count))[start:stop:stride]
    if expected:
        assert pick("frame", (text,), range(count), "x") == expected
    else:
        with pytest.raises(BadSelection):
            pick("frame", (text,), range(count), "x")


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ((4,), (4,)),
        ((-1,), (6,)),
        ((-4,), (0,)),
        (("2:6",), (2, 4)),
        (("1:5",), (2, 4)),
        (("3:",), (4, 6)),
        ((":-1",), (0, 2, 4)),
        (("-2:",), (4, 6)),
        (("2:8",), (2, 4, 6)),
        (("::2",), (0, 4)),
        (("2::2",), (2, 6)),
        ((6, "0:1"), (0, 6)),
        (None, (0, 2, 4, 6)),
    ],
)
def test_numbers_name_labels(terms, expected):
    assert pick("frame", terms, (0, 2, 4, 6), "x") == expected


@pytest.mark.parametrize(
    ("term", "labels", "allowed"),
    [
        (3, (0, 2, 4, 6), "0, 2, 4, 6 (ranges end at 8 at most"),
        (8, (0, 2, 4, 6), "0, 2, 4, 6 (ranges end at 8 at most"),
        (-5, (0, 2, 4, 6), "0, 2, 4, 6 (ranges end at 8 at most"),
        ("1:2", (0, 2, 4, 6), "0, 2, 4, 6 (ranges end at 8 at most"),
        ("2:9", (0, 2, 4, 6), "0, 2, 4, 6 (ranges end at 8 at most"),
        ("-9:", (0, 2, 4, 6), "0, 2, 4, 6 (ranges end at 8 at most"),
        (1, range(0, 84, 4), "0, 4, 8, ..., 80 (ranges end at 84 at most"),
        (1, (0,), "0 to 0 (ranges end at 1 at most"),
        (1, (5, 6, 7), "5 to 7 (ranges end at 8 at most"),
    ],
)
def test_what_names_no_label_is_refused(term, labels, allowed):
    with pytest.raises(BadSelection) as caught:
        pick("frame", (term,), labels, "latent:raw")
    assert str(caught.value) == (
        f"selection of frame does not fit the run in capture 'latent:raw'; got {term!r}, allowed {allowed}, negative "
        f"numbers count from the end); choose within it"
    )


def test_takes_what_python_has():
    assert Selection(step=range(3)).step == (0, 1, 2)
    assert Selection(step=4).step == (4,)
    assert Selection(step=np.arange(2), layer=np.int64(3)) == Selection(step="0+1", layer="3")
    assert Selection(branch="cond").branch == ("cond",)
    assert Selection(layer=[1, 2]) == Selection(layer="1+2")


@pytest.mark.parametrize("term", [1.5, True, [None], "1-2", ""])
def test_what_is_no_number_is_refused(term):
    got = term[0] if isinstance(term, list) else term
    with pytest.raises(BadSelection) as caught:
        Selection(head=term)
    assert str(caught.value) == (
        f"selection of head cannot be read; got {got!r}, allowed a number, or a range such as '2:5'; join several "
        f"with '+'"
    )


def test_an_empty_selection_is_refused():
    with pytest.raises(BadSelection) as caught:
        Selection(step=())
    assert str(caught.value) == (
        "selection of step is empty; got (), allowed one step or more; leave step out to record all"
    )
