"""Record what a video diffusion transformer computes, once; look at it, compare it and change it many times.

Names are loaded when they are first used (PEP 562): ``import dit_lens`` costs a few milliseconds, and torch is imported
by the first name that needs it. The command line and plain readers of stores depend on this.

Examples
--------
>>> import dit_lens
>>> lens = dit_lens.load("tiny-wan")  # doctest: +SKIP
>>> store = dit_lens.open("runs/demo/demo.zarr")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dit_lens.address import Address
    from dit_lens.captures import Capture, Selection
    from dit_lens.causal.run import intervene
    from dit_lens.edits import Constant, Edit, File, Function, Mask, Noise, Start, Stored, Values
    from dit_lens.errors import DitLensError
    from dit_lens.generation import Generation, Result
    from dit_lens.lens import Lens
    from dit_lens.models import load
    from dit_lens.probing.registry import get_probe, list_probes
    from dit_lens.probing.run import analyze
    from dit_lens_stores import open_store as open

__version__ = "0.1.0"

__all__ = [
    "Address",
    "Capture",
    "Constant",
    "DitLensError",
    "Edit",
    "File",
    "Function",
    "Generation",
    "Lens",
    "Mask",
    "Noise",
    "Result",
    "Selection",
    "Start",
    "Stored",
    "Values",
    "__version__",
    "analyze",
    "get_probe",
    "intervene",
    "list_probes",
    "load",
    "open",
]

_HOMES = {
    "Address": "dit_lens.address:Address",
    "Capture": "dit_lens.captures:Capture",
    "Constant": "dit_lens.edits:Constant",
    "DitLensError": "dit_lens.errors:DitLensError",
    "Edit": "dit_lens.edits:Edit",
    "File": "dit_lens.edits:File",
    "Function": "dit_lens.edits:Function",
    "Generation": "dit_lens.generation:Generation",
    "Lens": "dit_lens.lens:Lens",
    "Mask": "dit_lens.edits:Mask",
    "Noise": "dit_lens.edits:Noise",
    "Result": "dit_lens.generation:Result",
    "Selection": "dit_lens.captures:Selection",
    "Start": "dit_lens.edits:Start",
    "Stored": "dit_lens.edits:Stored",
    "Values": "dit_lens.edits:Values",
    "analyze": "dit_lens.probing.run:analyze",
    "get_probe": "dit_lens.probing.registry:get_probe",
    "intervene": "dit_lens.causal.run:intervene",
    "list_probes": "dit_lens.probing.registry:list_probes",
    "load": "dit_lens.models:load",
    "open": "dit_lens_stores:open_store",
}


def __getattr__(name: str) -> object:
    """Import the module that holds ``name``, and keep the result so that this runs once a name."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dit_lens' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    value: object = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
