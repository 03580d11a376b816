"""A payload and its blobs as one HTML file.

The policy in its head names the hashes of the one script and the one style sheet, so nothing that a prompt or a name
could smuggle in would run. Data are in script elements of types that browsers do not execute: JSON in which the
characters that could end the element are escaped, and base64, which has none of them.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dit_lens.report.page.joined import FOLDER, page_source, style_source

__all__ = ["render"]

_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
_PLACE = re.compile(r"\{\{([a-z]+)\}\}")


def render(payload: Mapping[str, Any], blobs: Sequence[bytes], *, files: Sequence[str] | None = None) -> str:
    """The page.

    Parameters
    ----------
    payload : Mapping
        What there is to see, as JSON; its arrays and images number the blobs.
    blobs : Sequence of bytes
        Arrays under gzip, images as files.
    files : Sequence of str, optional
        Where the blobs are instead, relative to the page: one name for each. Such a page needs a server, since a
        browser reads no file beside one that was opened from disk.

    Returns
    -------
    str
        HTML that needs nothing else, but for the files.

    Examples
    --------
    >>> empty = {"runs": [], "maps": [], "matrices": [], "films": [], "curves": [], "notes": []}
    >>> page = render({"title": "<b>", "software": "", "command": "", **empty}, [])
    >>> "<title>&lt;b&gt;</title>" in page, "<b>" in page
    (True, False)
    """
    script, style = page_source(), style_source()
    parts = {
        "policy": _policy(script, style, connect=files is not None),
        "title": html.escape(_writable(str(payload["title"]))),
        "style": style,
        "payload": _json(payload),
        "blobs": "\n".join(_blocks(blobs) if files is None else _names(files)),
        "script": script,
    }
    return _PLACE.sub(lambda place: parts[place[1]], (FOLDER / "page.html").read_text(encoding="utf-8"))


def _policy(script: str, style: str, *, connect: bool) -> str:
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'" + ("; connect-src 'self'" if connect else "")
    )


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _json(payload: Mapping[str, Any]) -> str:
    """ASCII only, so that half a surrogate pair or a line separator of Unicode cannot harm the file."""
    words = json.dumps(payload, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&]", lambda letter: _ESCAPED[letter[0]], words)


def _blocks(blobs: Iterable[bytes]) -> Iterator[str]:
    for number, blob in enumerate(blobs):
        yield f'<script type="text/plain" id="dit-lens-blob-{number}">{base64.b64encode(blob).decode()}</script>'


def _names(files: Iterable[str]) -> Iterator[str]:
    for number, name in enumerate(files):
        yield f'<script type="text/plain" id="dit-lens-blob-{number}" data-file="{html.escape(name)}"></script>'


def _writable(words: str) -> str:
    return words.encode("utf-8", "replace").decode()
