"""Reports: results of any probes as one page that opens from disk, which people mail to each other."""

from dit_lens.report.errors import (
    BadReportPath,
    CapTooSmall,
    ForeignStore,
    MixedTraces,
    NoResults,
    ReportError,
    ReportExists,
)
from dit_lens.report.make import CAP, Report, make_report
from dit_lens.report.write import check_bundle_path, check_report_path, write_bundle, write_report

__all__ = [
    "CAP",
    "BadReportPath",
    "CapTooSmall",
    "ForeignStore",
    "MixedTraces",
    "NoResults",
    "Report",
    "ReportError",
    "ReportExists",
    "check_bundle_path",
    "check_report_path",
    "make_report",
    "write_bundle",
    "write_report",
]
