"""How things look in a notebook: a small builder of HTML in which text cannot become markup, and what stores show.

Every view is one piece of HTML that needs nothing else: its style is in it, nothing is fetched, and no script runs.
"""

from __future__ import annotations

from dit_lens_stores.html.builder import Html, element, text_of
from dit_lens_stores.html.parts import card, facts, section, table

__all__ = ["Html", "card", "element", "facts", "section", "table", "text_of"]
