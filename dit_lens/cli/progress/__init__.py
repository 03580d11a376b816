"""Long work shows itself on stderr: bars on a terminal, plain lines in a log file, JSON lines for a program.

A command opens a piece of work with ``working_on`` and calls what that yields with (done, total), which is what the
library's own observers are called with. ``work`` keeps the counts, ``pace`` says how fast and how long still, and one
of ``bars``, ``lines`` and ``events`` shows it; ``tally`` adds up several runs of a model.
"""

from __future__ import annotations

from dit_lens.cli.progress.state import Piece
from dit_lens.cli.progress.tally import Tally
from dit_lens.cli.progress.work import Work, working_on

__all__ = ["Piece", "Tally", "Work", "working_on"]
