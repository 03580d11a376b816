"""How figures look on paper and on a screen, and how their bytes come out the same every time.

Widths are those of ICML's style: a column of 3.25 inches, and 6.75 inches across both; 9 inches is the height of its
text. Fonts are DejaVu Sans, which comes with matplotlib, so a figure is the same on every machine. A PDF embeds
them as TrueType (type 42): publishers refuse type 3, and the text can be searched. An SVG holds its text as paths: an
SVG of matplotlib cannot embed a font, and text that is set in whatever font the reader has would no longer fit.

Nobody's matplotlibrc has a say, and no date is written: the same result gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DPI", "FORMATS", "HEIGHT", "WIDTHS", "Format", "Style", "Width", "looking", "rendered"]

Format = Literal["pdf", "svg", "png"]
Style = Literal["paper", "screen"]
Width = Literal["column", "page"]

FORMATS: tuple[Format, ...] = ("pdf", "svg", "png")
WIDTHS: Mapping[Width, float] = MappingProxyType({"column": 3.25, "page": 6.75})
"""Inches."""
HEIGHT = 9.0
"""Inches that a figure has at most."""
DPI: Mapping[Style, int] = MappingProxyType({"paper": 300, "screen": 150})
"""Of PNGs, and of the heat maps within a PDF or SVG."""

_LOOK: Mapping[str, Any] = MappingProxyType(
    {
        "font.family": "DejaVu Sans",
        "pdf.fonttype": 42,
        "svg.fonttype": "path",
        "svg.hashsalt": "dit-lens",  # of the names of clip paths, which would be random
        "axes.unicode_minus": True,
    }
)
_UNDATED: Mapping[Format, dict[str, None]] = MappingProxyType(
    {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
)


@contextmanager
def looking() -> Iterator[None]:
    """Draw and save figures in our look, whatever this machine prefers.

    Examples
    --------
    >>> import matplotlib
    >>> with looking():
    ...     matplotlib.rcParams["pdf.fonttype"]
    42
    """
    from matplotlib import style

    with style.context(["default", dict(_LOOK)]):
        yield


def rendered(figure: Figure, format_: Format, dpi: int) -> bytes:
    """A figure as the bytes of a file.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> rendered(Figure(), "pdf", 150)[:5]
    b'%PDF-'
    """
    file = io.BytesIO()
    with looking():
        figure.savefig(file, format=format_, dpi=dpi, metadata=_UNDATED[format_], facecolor="white")
    return file.getvalue()
