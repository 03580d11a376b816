"""The page of a report: its sources, and the one file that they and a payload become.

The sources are plain ES modules, a style sheet and a frame of HTML in this folder. ``joined`` puts the modules one
after the other into a single module, so nothing is built and nothing is fetched; ``document`` writes it into a file
together with the data, under a policy that lets this code run and nothing else.
"""

from __future__ import annotations

from dit_lens.report.page.document import render
from dit_lens.report.page.joined import module_source, style_source

__all__ = ["module_source", "render", "style_source"]
