"""What can go wrong around a probe, as part of the one tree under ``DitLensError``.

Bad input and bad plugins are found before anything is computed (exit code 2). A probe that fails while it runs is told
apart from them (exit code 1), because then the fault lies in the plugin's own code: its package is named, and its own
exception is kept as the cause.
"""

from __future__ import annotations

from typing import ClassVar

from dit_lens_stores.errors import DitLensError

__all__ = [
    "BadParams",
    "BadScheduler",
    "BadShard",
    "BadState",
    "BrokenProbe",
    "MissingCapture",
    "MissingDask",
    "MissingShard",
    "NonConformingProbe",
    "NotAResult",
    "NothingToAnalyze",
    "OtherShard",
    "ProbeError",
    "ProbeFailed",
    "ResultExists",
    "SameStore",
    "UnknownProbe",
    "WorkersLost",
]


class ProbeError(DitLensError):
    """Base of every error around a probe.

    Examples
    --------
    >>> issubclass(UnknownProbe, ProbeError), ProbeError.exit_code
    (True, 2)
    """


class UnknownProbe(ProbeError, LookupError):
    """No probe of that name is installed, or several packages claim it and none was named.

    Examples
    --------
    >>> from dit_lens.probing import get_probe
    >>> try:
    ...     get_probe("no-such-probe")
    ... except UnknownProbe as error:
    ...     str(error).startswith("no probe is called 'no-such-probe'")
    True
    """


class BrokenProbe(ProbeError, ImportError):
    """A probe is installed but cannot be used; the message names its package and the reason.

    Examples
    --------
    >>> issubclass(BrokenProbe, ImportError)
    True
    """


class BadParams(ProbeError, ValueError):
    """Parameters that a probe does not know or does not accept, or labels that its traces do not hold.

    Examples
    --------
    >>> issubclass(BadParams, ValueError)
    True
    """


class MissingCapture(ProbeError, LookupError):
    """A trace lacks what the probe needs; the message names the capture to add and the command.

    Examples
    --------
    >>> issubclass(MissingCapture, LookupError)
    True
    """


class NothingToAnalyze(ProbeError, ValueError):
    """The store holds no complete trace.

    Examples
    --------
    >>> issubclass(NothingToAnalyze, ValueError)
    True
    """


class ProbeFailed(ProbeError, RuntimeError):
    """A probe raised while it ran; its own exception is the cause.

    Examples
    --------
    >>> ProbeFailed.exit_code
    1
    """

    exit_code: ClassVar[int] = 1


class NotAResult(ProbeError, ValueError):
    """The path holds no saved result.

    Examples
    --------
    >>> from dit_lens.probing import load_result
    >>> try:
    ...     load_result("no-such-result.zarr")
    ... except NotAResult as error:
    ...     str(error).startswith("no result of a probe is at 'no-such-result.zarr'")
    True
    """


class ResultExists(ProbeError, FileExistsError):
    """Something that is no result lies where a result should be saved; it was left untouched.

    Examples
    --------
    >>> issubclass(ResultExists, FileExistsError)
    True
    """


class NonConformingProbe(ProbeError, AssertionError):
    """``check_probe`` found that a class does not keep the promises of a probe.

    Examples
    --------
    >>> issubclass(NonConformingProbe, AssertionError)
    True
    """


class SameStore(ProbeError, ValueError):
    """A store was given twice.

    Examples
    --------
    >>> issubclass(SameStore, ValueError)
    True
    """


class BadScheduler(ProbeError, ValueError):
    """No scheduler is called that, or no cluster answers at the address.

    Examples
    --------
    >>> issubclass(BadScheduler, ValueError)
    True
    """


class MissingDask(ProbeError, ImportError):
    """A scheduler was asked for and dask is not installed.

    Examples
    --------
    >>> issubclass(MissingDask, ImportError)
    True
    """


class WorkersLost(ProbeError, RuntimeError):
    """Workers of a cluster died again and again over one unit.

    Examples
    --------
    >>> WorkersLost.exit_code
    1
    """

    exit_code: ClassVar[int] = 1


class BadState(ProbeError, TypeError):
    """A probe's state holds something that no file can keep safely; the message names its type.

    Examples
    --------
    >>> issubclass(BadState, TypeError)
    True
    """


class BadShard(ProbeError, ValueError):
    """A file is no part of an analysis, or its parts cannot be told apart.

    Examples
    --------
    >>> issubclass(BadShard, ValueError)
    True
    """


class MissingShard(ProbeError, LookupError):
    """Not every part of an analysis is there.

    Examples
    --------
    >>> issubclass(MissingShard, LookupError)
    True
    """


class OtherShard(ProbeError, ValueError):
    """A part belongs to another probe, other parameters or other traces.

    Examples
    --------
    >>> issubclass(OtherShard, ValueError)
    True
    """
