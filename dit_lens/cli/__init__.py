"""The ``dit-lens`` command.

One small module a command. Options are pydantic models, read by cyclopts; everything heavy (torch, diffusers, zarr) is
imported inside the function that needs it, so that ``--help`` answers at once. Results go to stdout, as text or with
``--json`` as one JSON object; progress goes to stderr; anything wrong is one line on stderr and an exit code.

Examples
--------
>>> from dit_lens.cli import run
>>> run(["trace"])  # doctest: +SKIP
2
"""

from dit_lens.cli.app import app, main, run

__all__ = ["app", "main", "run"]
