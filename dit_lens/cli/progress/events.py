"""Progress for a program: one JSON object a line, the first with ``begin``, the last with ``end`` and its outcome.

Between them a line comes at most twice a second, and whenever a piece begins; the ``end`` has the last counts, and the
seconds until the end: after the last step there may be a video to decode. Work that was refused before it began writes
none.
"""

from __future__ import annotations

from collections.abc import Callable

from dit_lens.cli.output import tell_json
from dit_lens.cli.progress.state import Kind, Outcome, State

__all__ = ["Events"]

EVERY_SECONDS = 0.5


class Events:
    """Writes the lines.

    Parameters
    ----------
    now : callable
        Gives the state at this moment, or None before the first report.
    """

    def __init__(self, now: Callable[[], State | None]) -> None:
        self._now, self._said = now, 0.0
        self._last: State | None = None

    def begin(self) -> None:
        """Nothing is known yet."""

    def show(self, state: State) -> None:
        """Write a line if it is time."""
        last, self._last = self._last, state
        if last is None:
            self._say("begin", state)
        elif last.piece != state.piece or state.seconds - self._said >= EVERY_SECONDS:
            self._say("advance", state)

    def end(self, outcome: Outcome) -> None:
        """Write the last line, if there was a first."""
        if (state := self._now()) is not None:
            tell_json(state.event("end", outcome))

    def _say(self, kind: Kind, state: State) -> None:
        self._said = state.seconds
        tell_json(state.event(kind))
