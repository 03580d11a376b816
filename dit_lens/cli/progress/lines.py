"""Progress in a log file: a line when a piece begins, and one now and then while it lasts."""

from __future__ import annotations

from dit_lens.cli.output import warn
from dit_lens.cli.progress.state import Outcome, Piece, State

__all__ = ["Lines"]

EVERY_SECONDS = 30.0


class Lines:
    """Says nothing before the first report, so a request that is refused leaves nothing but its reason."""

    def __init__(self) -> None:
        self._said: tuple[Piece | None, float] | None = None

    def begin(self) -> None:
        """Nothing is known yet."""

    def show(self, state: State) -> None:
        """Write a line if it is the first one of its piece, or the last one is old."""
        if self._said is not None and self._said[0] == state.piece and state.seconds - self._said[1] < EVERY_SECONDS:
            return
        self._said = (state.piece, state.seconds)
        warn(state.line)

    def end(self, outcome: Outcome) -> None:
        """What came of it is told elsewhere."""
