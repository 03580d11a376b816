"""Prompts and names come from whoever made a trace: in the page they are words and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import expect

from dit_lens.report.page import render

from .conftest import Open
from .payloads import Subject

MARKED = "window.owned = 1"
HOSTILE = [
    f"</script><script>{MARKED}</script>",
    f"<img src=x onerror='{MARKED}'>",
    f'"><svg onload="{MARKED}"></svg>',
    "<!--<script>",
    f"javascript:{MARKED}",
    "{{script}}{{payload}}{{title}}",
    "&lt;b&gt; &amp; \u2028 \u2029 \u202e \x00 \ud800",
    "</style><style>body{display:none}</style>",
]
#  Words that the page compares with others, or that are one of a few that it knows.
KEPT = {"mime", "dtype", "dim"}


def poisoned(value: Any, poison: str, key: str = "") -> Any:
    """Every string of a payload with something after it."""
    if isinstance(value, dict):
        return {name: poisoned(of, poison, name) for name, of in value.items()}
    if isinstance(value, list):
        return [poisoned(of, poison, key) for of in value]
    return f"{value} {poison}" if isinstance(value, str) and key not in KEPT else value


@pytest.mark.parametrize("poison", HOSTILE, ids=range(len(HOSTILE)))
def test_words_are_shown_as_words(open_page: Open, made: Subject, tmp_path: Path, poison: str) -> None:
    path = tmp_path / "hostile.html"
    path.write_text(render(poisoned(made.payload, poison), made.blobs), encoding="utf-8")
    page = open_page(path).go()
    page.get_by_label("compare with").select_option(index=1)
    page.get_by_text("The same as a table").first.click()
    for figure in ("figure.matrix .box", "figure.film .box"):
        page.locator(figure).first.hover()
    expect(page.get_by_role("status", name="value at the cursor").locator("b")).to_have_count(3)
    assert page.evaluate("window.owned") is None
    assert page.locator("img, iframe, object, embed, link:not([rel=icon]), svg[onload]").count() == 0
    assert page.locator("script").count() == 2 + len(made.blobs)
    shown = page.get_by_role("heading", level=1).text_content()
    assert shown == f"{made.payload['title']} {poison}"
    assert page.locator("body").is_visible()


def test_the_policy_names_what_may_run_and_nothing_else(made: Subject) -> None:
    page = render(made.payload, made.blobs)
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert len(policy) == 1
    for kind, tag in (("script", r'<script type="module">(.*?)</script>'), ("style", r"<style>(.*?)</style>")):
        (source,) = re.findall(tag, page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy[0]
    assert policy[0].startswith("default-src 'none'; ")
    assert "unsafe" not in policy[0]
    assert "connect-src" not in policy[0]


def test_a_bundle_reads_its_files_and_no_others(open_page: Open, made: Subject, tmp_path: Path) -> None:
    files = [f"blobs/{at}.bin" for at in range(len(made.blobs))]
    (tmp_path / "blobs").mkdir()
    for name, blob in zip(files, made.blobs, strict=True):
        (tmp_path / name).write_bytes(blob)
    (tmp_path / "index.html").write_text(render(made.payload, made.blobs, files=files), encoding="utf-8")
    with served(tmp_path) as address:
        opened = open_page(tmp_path / "index.html")
        opened.address = f"{address}/index.html"
        page = opened.go("#trace=maze-0&step=3&layer=2&frame=1&branch=cond&y=4&x=4")
        words = page.get_by_role("status", name="value at the cursor").locator("b").inner_text()
        page.locator("figure.film .ruled").first.wait_for()
        asked, opened.asked = set(opened.asked), []
    assert float(words) == pytest.approx(made.maps["maze-0", "energy"][0, 3, 2, 1, 4, 4], abs=1e-3)
    assert {url.split("#")[0] for url in asked} <= {f"{address}/{name}" for name in (*files, "index.html")}


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder under an address of this machine."""
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_bundle_may_read_what_lies_beside_it(made: Subject) -> None:
    page = render(made.payload, made.blobs, files=[f"blobs/{at}.bin" for at in range(len(made.blobs))])
    assert "connect-src 'self'" in page
    assert '<script type="text/plain" id="dit-lens-blob-3" data-file="blobs/3.bin"></script>' in page
    assert base64.b64encode(made.blobs[0]).decode() not in page


def test_the_payload_is_in_the_page_as_it_was(made: Subject) -> None:
    payload = poisoned(made.payload, "".join(HOSTILE))
    page = render(payload, made.blobs)
    (words,) = re.findall(r'id="dit-lens-payload">(.*?)</script>', page)
    assert json.loads(words) == payload
    assert not set("<>&") & set(words)
    assert words.isascii()


def test_what_is_no_number_in_json_is_refused(made: Subject) -> None:
    with pytest.raises(ValueError, match="JSON"):
        render({**made.payload, "maps": [{"range": [float("nan"), 1.0]}]}, [])
