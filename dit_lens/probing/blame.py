"""Tell a probe's failure from our own: whatever a plugin raises becomes one line that names it and its package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from dit_lens.probing.errors import ProbeFailed
from dit_lens.probing.protocol import AnyProbe
from dit_lens.probing.registry import one_line, package_of
from dit_lens_stores.errors import DitLensError

__all__ = ["blame", "who"]


@contextmanager
def blame(probe: AnyProbe, method: str, trace_id: str = "", place: Mapping[str, int] | None = None) -> Iterator[None]:
    """Name the probe and its package when its own code raises; errors of dit-lens pass as they are.

    Parameters
    ----------
    probe : Probe or CausalProbe
    method : str
        Which of its methods runs.
    trace_id : str
        Of the chunk, if there is one.
    place : mapping, optional
        The labels that fix the chunk.

    Raises
    ------
    ProbeFailed

    Examples
    --------
    >>> from dit_lens_probes.energy import Energy
    >>> try:
    ...     with blame(Energy(), "map", "a", {"step": 3}):
    ...         raise KeyError("lost")
    ... except ProbeFailed as error:
    ...     print(error)
    probe 'energy' 1.0 of dit-lens ... failed in map on trace 'a' step 3; got KeyError: 'lost'; report it there
    """
    try:
        yield
    except DitLensError:
        raise
    except Exception as error:
        labels = " ".join(f"{dim} {label}" for dim, label in (place or {}).items())
        where = f" on trace '{trace_id}' {labels}".rstrip() if trace_id else ""
        reason = one_line(f"{type(error).__name__}: {error}")
        raise ProbeFailed(f"{who(probe)} failed in {method}{where}; got {reason}; report it there") from error


def who(probe: AnyProbe) -> str:
    """A probe with its version and the package to write to.

    Examples
    --------
    >>> from dit_lens_probes.energy import Energy
    >>> print(who(Energy()))
    probe 'energy' 1.0 of dit-lens ...
    """
    package = package_of(type(probe)) or f"module {type(probe).__module__}"
    return f"probe '{probe.name}' {probe.version} of {package}"
