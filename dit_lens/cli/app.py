"""The root command: it names the commands, reads the arguments, and turns every error into a line and an exit code.

Exit codes: 0 complete; 1 unexpected; 2 bad usage, plugin or store (nothing started); 3 incomplete, the same command
resumes; 4 refused, because it would take more than the budget or the disk has; 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError

from dit_lens import __version__
from dit_lens.cli import analyze, bench, demo, figure, intervene, models, plan, probes, report, store, trace
from dit_lens.cli.failures import one_line, usage_line
from dit_lens.cli.output import warn
from dit_lens.errors import DitLensError

__all__ = ["INTERRUPTED", "app", "main", "run"]

INTERRUPTED = 130

app = App(
    name="dit-lens",
    help="Record what a video diffusion transformer computes, once; look at it, compare it and change it many times.",
    help_format="plaintext",
    version=__version__,
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
app.command(demo.demo)
app.command(plan.plan, help_epilogue=plan.EXAMPLES)
app.command(trace.trace, help_epilogue=trace.EXAMPLES)
app.command(analyze.analyze, help_epilogue=analyze.EXAMPLES)
app.command(report.report, help_epilogue=report.EXAMPLES)
app.command(figure.figure, help_epilogue=figure.EXAMPLES)
app.command(bench.bench, help_epilogue=bench.EXAMPLES)
app.command(intervene.intervene, help_epilogue=intervene.EXAMPLES)
app.command(store.app)
app.command(probes.app)
app.command(models.app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str
        The words after ``dit-lens``.

    Returns
    -------
    int

    Examples
    --------
    >>> run(["--version"])
    0.1.0
    0
    """
    try:
        app(list(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        warn(usage_line(error))
        return DitLensError.exit_code
    except DitLensError as error:
        warn(one_line(error))
        return error.exit_code
    except KeyboardInterrupt:
        warn("interrupted; the same command resumes")
        return INTERRUPTED
    return 0


def main() -> None:
    """Run the command line of this process; the entry point of the ``dit-lens`` script."""
    sys.exit(run(sys.argv[1:]))
