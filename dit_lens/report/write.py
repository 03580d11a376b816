"""Write a report to its place: only where nothing lies, or an earlier report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dit_lens.report.errors import BadReportPath, ReportExists
from dit_lens.report.make import CAP, FOLDER, Report, make_report
from dit_lens.report.sources import Given
from dit_lens_stores.whole import written_whole

__all__ = ["check_bundle_path", "check_report_path", "write_bundle", "write_report"]

_MARK = b'<meta name="generator" content="dit-lens report">'
_LOOKED_AT = 4096


def write_report(
    results: Sequence[Given] | Given,
    path: str | Path,
    *,
    store: str | Path | None = None,
    cap: str | int = CAP,
    decode: bool = True,
) -> Report:
    """Write one self-contained page about results; it opens from disk, and asks no network for anything.

    Parameters
    ----------
    results : path or xarray.Dataset, or a sequence of them
        Saved results of any probes.
    path : str or pathlib.Path
        The page, such as ``report.html``; an earlier report there is replaced.
    store : str or pathlib.Path, optional
        The store that the results were made from: for manifests, frames and edits.
    cap : str or int
        Bytes that the page may take; what does not fit is dropped, and the page says what.
    decode : bool
        Decode the last latents of a store without videos, if nothing else shows the frames.

    Returns
    -------
    Report
        What was written.

    Raises
    ------
    ReportExists, BadReportPath
        If the page cannot be written there; nothing was read then.
    ReportError, NotAResult, NotAStore
        As ``make_report``.

    Examples
    --------
    >>> from dit_lens.probing import analyze
    >>> from dit_lens.testing import synthetic_store
    >>> folder = getfixture("tmp_path")
    >>> energy = analyze(synthetic_store(folder / "a.zarr", ["block.out:energy"]), "energy")
    >>> report = write_report(energy, folder / "report.html")
    >>> sorted({one["name"] for one in report.payload["maps"]})
    ['energy', 'robust']
    """
    path = Path(path)
    check_report_path(path)
    listed = results if isinstance(results, (list, tuple)) else [results]
    report = make_report(listed, store=store, cap=cap, decode=decode, out=path)  # type: ignore[arg-type]
    with written_whole(path) as fresh:
        fresh.write_text(report.html, encoding="utf-8", newline="\n")
    return report


def write_bundle(
    results: Sequence[Given] | Given, folder: str | Path, *, store: str | Path | None = None, decode: bool = True
) -> Report:
    """Write a page with its data in files beside it: every number is kept, and it needs a server.

    Pictures are for looking: they are made smaller as on a page in one file.

    Parameters
    ----------
    results : path or xarray.Dataset, or a sequence of them
    folder : str or pathlib.Path
        Gets ``index.html`` and the files; an earlier bundle there is replaced.
    store : str or pathlib.Path, optional
    decode : bool
        As for ``write_report``.

    Returns
    -------
    Report

    Raises
    ------
    ReportExists, BadReportPath
        If the folder cannot be written, or holds anything else.
    """
    folder = Path(folder)
    check_bundle_path(folder)
    listed = results if isinstance(results, (list, tuple)) else [results]
    with written_whole(folder) as fresh:
        (fresh / FOLDER).mkdir(parents=True)
        report = make_report(listed, store=store, decode=decode, out=folder, files=fresh / FOLDER)  # type: ignore[arg-type]
        (fresh / "index.html").write_text(report.html, encoding="utf-8", newline="\n")
    return report


def check_bundle_path(folder: str | Path) -> None:
    """Refuse a folder that holds anything but an earlier bundle.

    Raises
    ------
    ReportExists, BadReportPath

    Examples
    --------
    >>> check_bundle_path(getfixture("tmp_path") / "bundle")
    """
    folder = Path(folder)
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    ours = held == [FOLDER, "index.html"] and _is_report(folder / "index.html")
    if os.path.lexists(folder) and not ours and (held or not folder.is_dir()):
        raise ReportExists(
            f"the bundle cannot be written to '{folder}'; got something that is no bundle, allowed a free path, an "
            f"empty folder or an earlier bundle; choose another path"
        )
    _check_parent(folder, "bundle")


def check_report_path(path: str | Path) -> None:
    """Refuse a path at which no report can be written, or at which something else lies.

    Raises
    ------
    ReportExists, BadReportPath

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> check_report_path(folder / "report.html")
    >>> check_report_path(folder / "none" / "report.html")
    Traceback (most recent call last):
    ...
    dit_lens.report.errors.BadReportPath: the report cannot be written to '...report.html'; got a folder ...
    """
    path = Path(path)
    if os.path.lexists(path) and not (path.is_file() and _is_report(path)):
        raise ReportExists(
            f"the report cannot be written to '{path}'; got something that is no report, allowed a free path or an "
            f"earlier report; choose another path"
        )
    _check_parent(path, "report")


def _check_parent(path: Path, what: str) -> None:
    got = "" if os.access(path.parent, os.W_OK | os.X_OK) else "may not be written"
    if got := got if path.parent.is_dir() else "is not there":
        raise BadReportPath(
            f"the {what} cannot be written to '{path}'; got a folder that {got}, allowed one that can be written; make "
            f"it, or choose another path"
        )


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return _MARK in file.read(_LOOKED_AT)
