"""Notebooks: how captures, edits, plans and runs show themselves, and the stage of a report as a widget.

What a store shows of itself is in ``dit_lens_stores.html``, with the builder that all of it is made by. Datasets of
results have the view that xarray gives them; ``stage`` is what it cannot show.
"""

from __future__ import annotations

from dit_lens.notebook.errors import MissingWidgets
from dit_lens.notebook.stage import stage

__all__ = ["MissingWidgets", "stage"]
