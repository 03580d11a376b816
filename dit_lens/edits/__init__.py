"""Edits: interventions as data, which can be written down, hashed, printed as a plan, and run again.

What attaches them to a running pipeline is in ``dit_lens.engine``; nothing here needs torch before an edit is planned.
"""

from __future__ import annotations

from dit_lens.edits.edit import OPS, Edit, Op
from dit_lens.edits.files import edits_json, edits_schema, load_edits
from dit_lens.edits.mask import Mask
from dit_lens.edits.places import PLACES, Level, Place
from dit_lens.edits.sources import Constant, File, Function, Noise, Source, Stored, Values
from dit_lens.edits.start import Start

__all__ = [
    "OPS",
    "PLACES",
    "Constant",
    "Edit",
    "File",
    "Function",
    "Level",
    "Mask",
    "Noise",
    "Op",
    "Place",
    "Source",
    "Start",
    "Stored",
    "Values",
    "edits_json",
    "edits_schema",
    "load_edits",
]
