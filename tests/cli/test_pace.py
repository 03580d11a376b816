"""Rate and time left, against what is known of the work beforehand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lens.cli.progress.pace import Pace

_SECONDS = st.floats(0, 100).map(lambda seconds: round(seconds, 6))  # as finely as a clock ticks


def follow(times: list[float], total: int) -> Pace:
    """A pace that was told of one more done at each of the times."""
    pace = Pace()
    for done, now in enumerate(times, 1):
        pace.note(done, total, now)
    return pace


@settings(max_examples=50)
@given(seconds=st.floats(0.01, 1000), done=st.integers(2, 60), more=st.integers(1, 1000), start=st.floats(0, 1e6))
def test_steady_work_ends_when_it_will(seconds: float, done: int, more: int, start: float) -> None:
    times = [start + seconds * number for number in range(1, done + 1)]
    pace = follow(times, done + more)
    assert pace.rate == pytest.approx(1 / seconds, rel=1e-3)
    assert pace.left(times[-1]) == pytest.approx(more * seconds, rel=1e-3)
    assert pace.left(times[-1] + seconds / 2) == pytest.approx((more - 0.5) * seconds, rel=1e-3)


def test_nothing_is_promised_before_the_second_report() -> None:
    pace = Pace()
    assert pace.rate is None
    pace.note(3, 10, 5.0)
    assert (pace.rate, pace.left(6.0)) == (None, None)
    pace.note(3, 10, 6.0)
    assert (pace.rate, pace.left(6.0)) == (None, None)


def test_a_slow_beginning_is_forgotten() -> None:
    """The first step takes 60 s, every other one; after 120 of those only they count."""
    pace = follow([60.0 + number for number in range(121)], 200)
    assert pace.rate == pytest.approx(1)
    assert pace.left(180.0) == pytest.approx(79)
    late = Pace()
    late.note(0, 200, 0.0)
    for number in range(121):
        late.note(1 + number, 200, 60.0 + number)
    assert late.rate == pytest.approx(1)


def test_what_was_there_at_the_start_was_not_done_now() -> None:
    pace = Pace()
    pace.note(900, 1000, 0.0)
    pace.note(910, 1000, 1.0)
    assert (pace.rate, pace.left(1.0)) == (10.0, 9.0)


def test_a_late_report_lets_the_time_left_grow() -> None:
    """At one a second, after a minute of silence nine steps cannot be as near as they were."""
    pace = follow([1.0, 2.0, 3.0], 12)
    lefts = [pace.left(3.0 + waited) for waited in (0, 0.5, 1.0, 10.0, 60.0)]
    assert lefts[:3] == pytest.approx([9, 8.5, 8])
    assert lefts[2] < lefts[3] < lefts[4]
    assert lefts[4] == pytest.approx(8 * 61 / 2)  # two steps in the 61 s since the last but one, at best


def test_work_that_begins_anew_is_timed_anew() -> None:
    pace = follow([1.0, 2.0, 3.0], 10)
    pace.note(1, 10, 4.0)
    assert pace.rate is None
    pace.note(2, 10, 8.0)
    assert (pace.rate, pace.left(8.0)) == (0.25, 32.0)


@settings(max_examples=50)
@given(
    steps=st.lists(st.tuples(st.integers(-5, 50), _SECONDS), min_size=1, max_size=60),
    total=st.integers(0, 1000),
    waited=st.floats(0, 1e5),
)
def test_no_history_gives_nonsense(steps: list[tuple[int, float]], total: int, waited: float) -> None:
    pace, done, now = Pace(), 0, 0.0
    for more, seconds in steps:
        done, now = max(0, done + more), now + seconds
        pace.note(done, total, now)
    left = pace.left(now + waited)
    assert left is None or (math.isfinite(left) and left >= 0)
    assert pace.rate is None or (math.isfinite(pace.rate) and pace.rate > 0)
    assert left == 0 or done < total


def test_a_flood_of_reports_is_not_kept() -> None:
    pace = Pace()
    for number in range(50_000):
        pace.note(number, 10**6, number / 1000)
    assert len(pace._kept) < 2000
    assert pace.rate == pytest.approx(1000, rel=1e-3)
