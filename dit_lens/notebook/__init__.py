"""Notebooks: how captures, edits, plans and runs show themselves, and the stage of a report as a widget.

What a store shows of itself is in ``dit_lens_stores.html``, with the builder that all of it is made by.
"""
