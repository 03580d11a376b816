"""The widget itself: the page of a report as a front-end module, and its payload as traits."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

from dit_lens.report.page import module_source, style_source

__all__ = ["Stage"]


class Stage(anywidget.AnyWidget):
    """A stage; made by ``dit_lens.notebook.stage``.

    Attributes
    ----------
    payload : dict
        What is shown, as a report's page reads it.
    blobs : list of bytes
        Arrays and pictures that the payload numbers; they go to the browser as they are.

    Examples
    --------
    >>> Stage(payload={"title": "empty"}).payload["title"]
    'empty'
    """

    _esm = module_source() + (Path(__file__).parent / "widget.js").read_text(encoding="utf-8")
    _css = style_source()
    payload = traitlets.Dict().tag(sync=True)
    blobs = traitlets.List(traitlets.Bytes()).tag(sync=True)

    def __repr__(self) -> str:
        maps, runs = (len(self.payload.get(name, ())) for name in ("maps", "runs"))
        size = sum(map(len, self.blobs))
        return f"<dit-lens stage: {self.payload.get('title')}, {runs} traces, {maps} maps, {size / 1e6:.3g} MB>"
