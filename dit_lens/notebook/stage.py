"""Results on the stage of a report, in a notebook: the same payload and the same page, without a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dit_lens.notebook.errors import MissingWidgets

if TYPE_CHECKING:
    import xarray as xr

    from dit_lens.notebook.widget import Stage

__all__ = ["stage"]

CAP = "30MB"  # as of a report, which is too much to import for everything that shows itself


def stage(
    results: Sequence[str | Path | xr.Dataset] | str | Path | xr.Dataset,
    store: str | Path | None = None,
    *,
    cap: str | int = CAP,
    decode: bool = True,
) -> Stage:
    """Show results as a report does, scrubbed by step, layer, frame and branch.

    Parameters
    ----------
    results : path or xarray.Dataset, or a sequence of them
        Saved results of any probes, or datasets as ``analyze`` returns them.
    store : str or pathlib.Path, optional
        The store that they were made from: for manifests, frames and edits.
    cap : str or int
        Bytes that go to the browser, at most; what does not fit is dropped, and the stage says what.
    decode : bool
        Decode the last latents of a store without videos, if nothing else shows the frames.

    Returns
    -------
    Stage
        A widget; the last line of a cell shows it. Traits ``payload`` and ``blobs`` are what it was given.

    Raises
    ------
    MissingWidgets
        Without ``dit-lens[notebook]``.
    ReportError, NotAResult, NotAStore, BadSize
        If they cannot be shown, or not together.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> energy = xr.DataArray(np.ones((2, 3, 3)), dims=("step", "y", "x"), name="energy")
    >>> shown = stage(energy.to_dataset().assign_attrs(probe="mine", traces=["a"]))
    >>> [one["name"] for one in shown.payload["maps"]], len(shown.blobs)
    (['energy'], 1)
    """
    try:
        from dit_lens.notebook.widget import Stage
    except ImportError as error:
        raise MissingWidgets(
            f"the stage needs widgets; got no package '{error.name}', allowed an installed one; pip install "
            f"'dit-lens[notebook]'"
        ) from error
    import xarray as xr

    from dit_lens.report import make_report

    listed = [results] if isinstance(results, (str, Path, xr.Dataset)) else results
    report = make_report(listed, store=store, cap=cap, decode=decode)
    return Stage(payload=report.payload, blobs=list(report.blobs))
