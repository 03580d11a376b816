"""What can go wrong before a report is written, as part of the one tree under ``DitLensError``."""

from __future__ import annotations

from dit_lens_stores.errors import DitLensError

__all__ = ["BadReportPath", "CapTooSmall", "ForeignStore", "MixedTraces", "NoResults", "ReportError", "ReportExists"]


class ReportError(DitLensError):
    """Base of every error around a report.

    Examples
    --------
    >>> issubclass(MixedTraces, ReportError), ReportError.exit_code
    (True, 2)
    """


class NoResults(ReportError, ValueError):
    """There is nothing to report on, or the same result was given twice.

    Examples
    --------
    >>> issubclass(NoResults, ValueError)
    True
    """


class MixedTraces(ReportError, ValueError):
    """Results have no trace in common, or one name stands for two different runs.

    Examples
    --------
    >>> issubclass(MixedTraces, ValueError)
    True
    """


class ForeignStore(ReportError, LookupError):
    """A store does not hold the traces of the results, or holds other runs under their names.

    Examples
    --------
    >>> issubclass(ForeignStore, LookupError)
    True
    """


class CapTooSmall(ReportError, ValueError):
    """The page cannot be made as small as it was asked to be.

    Examples
    --------
    >>> issubclass(CapTooSmall, ValueError)
    True
    """


class ReportExists(ReportError, FileExistsError):
    """Something that is no report lies where a report should be written; it was left untouched.

    Examples
    --------
    >>> issubclass(ReportExists, FileExistsError)
    True
    """


class BadReportPath(ReportError, FileNotFoundError):
    """A report cannot be written at the path: its folder is missing or may not be written.

    Examples
    --------
    >>> issubclass(BadReportPath, FileNotFoundError)
    True
    """
