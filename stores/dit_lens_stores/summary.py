"""A trace and a store in a few lines of text, for a prompt and a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dit_lens_stores.errors import DitLensError
from dit_lens_stores.printable import printable

if TYPE_CHECKING:
    from dit_lens_stores.opening import StoreReader
    from dit_lens_stores.reader import Trace

__all__ = ["extents", "store_in_words", "trace_in_words"]

_TRACES = 20
_PROMPT = 72


def extents(sizes: Mapping[Any, int]) -> str:
    """Dimensions with their sizes.

    Examples
    --------
    >>> extents({"step": 20, "layer": 10})
    'step 20, layer 10'
    """
    return ", ".join(f"{dim} {size}" for dim, size in sizes.items())


def trace_in_words(trace: Trace) -> str:
    """What made a trace, and its arrays; what cannot be read is told, not raised.

    Examples
    --------
    >>> from dit_lens_stores import ArraySpec, create_store
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> known = {"model": "tiny-wan", "seed": 3, "steps": 20, "prompt": "Draw."}
    >>> store.begin("t0", [ArraySpec("x", ("step",), {"step": (0, 4)}, ("step",))], [], known).fail("stopped")
    >>> print(trace_in_words(store["t0"]))
    <dit-lens trace 't0': failed>
      tiny-wan, seed 3, 20 steps, 'Draw.'
      x                        (step 2)
    """
    head = f"<dit-lens trace '{printable(trace.id)}': {printable(trace.status)}>"
    try:
        arrays = [f"  {printable(name):24} ({extents(trace[name].sizes)})" for name in trace.held]
    except DitLensError as error:
        arrays = [f"  cannot be read: {printable(str(error))}"]
    made = _made(trace.manifest)
    return "\n".join([head, *([f"  {made}"] if made else []), *arrays])


def store_in_words(store: StoreReader) -> str:
    """A store and its traces.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> store_in_words(create_store(getfixture("tmp_path") / "a.zarr"))[-11:]
    ': 0 traces>'
    """
    entries = store.index
    lines = [f"  {printable(name):24} {printable(str(entry.get('status')))}" for name, entry in entries.items()]
    more = [f"  and {len(lines) - _TRACES} more"] if len(lines) > _TRACES else []
    count = f"{len(lines)} trace{'' if len(lines) == 1 else 's'}"
    return "\n".join([f"<dit-lens store '{printable(store.url)}': {count}>", *lines[:_TRACES], *more])


def _made(manifest: Mapping[str, Any]) -> str:
    """Model, seed, steps and prompt, as far as a manifest names them."""
    prompt = str(manifest.get("prompt") or "")
    shown = prompt if len(prompt) <= _PROMPT else f"{prompt[:_PROMPT]}..."
    told = {"model": "{}", "seed": "seed {}", "steps": "{} steps"}
    known = [words.format(manifest[name]) for name, words in told.items() if manifest.get(name) is not None]
    return printable(", ".join([*known, *([f"'{shown}'"] if prompt else [])]))
