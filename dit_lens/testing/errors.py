"""Errors of the checks for authors of adapters, in the one tree under ``DitLensError``."""

from __future__ import annotations

from typing import ClassVar

from dit_lens_stores.errors import DitLensError

__all__ = ["AdapterFailed"]


class AdapterFailed(DitLensError, AssertionError):
    """A family says something of its pipeline that the running model does not bear out.

    Examples
    --------
    >>> AdapterFailed.exit_code, issubclass(AdapterFailed, AssertionError)
    (1, True)
    """

    exit_code: ClassVar[int] = 1
