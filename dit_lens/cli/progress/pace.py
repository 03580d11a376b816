"""How fast something goes, and how long it will take still.

The rate is that of the later half of the time, so that a slow beginning (encoders, first calls) is forgotten and the
numbers still stand firm. Between two reports the time left runs down; when the next report is late, it grows instead,
because at best the next piece is done now.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Pace"]

_KEPT = 500
"""About how many reports are kept of the time since the first."""


class Pace:
    """Takes counts with the time at which they held.

    Examples
    --------
    >>> pace = Pace()
    >>> for second in range(5):
    ...     pace.note(done=2 * second, total=20, now=float(second))
    >>> pace.rate, pace.left(now=4.0), pace.left(now=4.5)
    (2.0, 6.0, 5.5)
    """

    def __init__(self) -> None:
        self._kept: deque[tuple[float, int]] = deque()
        self._start = 0.0
        self._done, self._total, self._step = 0, 0, 1
        self._span, self._gained, self._last = 0.0, 0, 0.0

    def note(self, done: int, total: int, now: float) -> None:
        """Take a count; one that is lower than the last begins anew."""
        if not self._kept or done < self._done:
            self._kept.clear()
            self._start, self._done = now, done
        self._step = max(1, done - self._done)
        self._done, self._total, self._last = done, total, now
        self._keep(done, now)
        since, first = self._kept[0]
        self._span, self._gained = now - since, done - first

    def _keep(self, done: int, now: float) -> None:
        kept = self._kept
        if len(kept) > 2 and now - kept[-2][0] < (now - self._start) / _KEPT:
            kept.pop()
        kept.append((now, done))
        middle = (self._start + now) / 2
        while len(kept) > 2 and kept[1][0] <= middle:
            kept.popleft()

    @property
    def rate(self) -> float | None:
        """Counts a second; None as long as nobody can know."""
        return self._gained / self._span if self._gained > 0 and self._span > 0 else None

    def left(self, now: float) -> float | None:
        """Seconds that it takes from ``now`` on; None as long as nobody can know."""
        rest = self._total - self._done
        if rest <= 0:
            return 0.0
        if self.rate is None:
            return None
        waiting = max(0.0, now - self._last)
        late = (rest - self._step) * (self._span + waiting) / (self._gained + self._step)
        return max(rest / self.rate - waiting, late, 0.0)
