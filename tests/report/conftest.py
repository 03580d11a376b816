"""A browser for the page: Debian's Chromium, which is there or the tests say why they did not run.

Every page that a test opens records what it asked the network for and what it wrote to its console; at the end of the
test there must be nothing of either, but for the file itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from dit_lens.report.page import render

from .browser import DESK, MISSING, chromium, executable
from .payloads import Subject, subject


@dataclass
class Opened:
    """A page, what it asked for and what it said."""

    page: Page
    address: str = ""
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))

    def go(self, view: str = "") -> Page:
        """Open the page at a hash, until all of it is there."""
        self.page.mouse.move(0, 0)
        self.page.goto("about:blank")
        self.asked.clear()
        self.page.goto(f"{self.address}{view}")
        self.page.get_by_role("heading", name="About the numbers").first.wait_for()
        return self.page

    def check(self) -> None:
        assert self.said == []
        assert {url.split("#")[0] for url in self.asked} <= {self.address}


Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if executable() is None:
        missing()
    with chromium() as started:
        yield started


def missing() -> None:
    """Where everything must be tested a missing browser is an error; elsewhere it is said."""
    if os.environ.get("CI"):
        pytest.fail(MISSING)
    pytest.skip(MISSING)


@pytest.fixture(scope="session")
def made() -> Subject:
    return subject()


@pytest.fixture(scope="session")
def report(made: Subject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(made.payload, made.blobs), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def windows(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """One window for each size and taste: a new one for every test would cost more than the tests."""
    held: dict[str, Opened] = {}

    def window(size: ViewportSize, **context: Any) -> Opened:
        key = repr((size, context))
        if key not in held:
            held[key] = Opened(browser.new_context(viewport=size, **context).new_page())
            held[key].page.set_default_timeout(10_000)
            held[key].listen()
        return held[key]

    yield window
    for one in held.values():
        one.page.context.close()


@pytest.fixture
def open_page(windows: Callable[..., Opened], report: Path) -> Iterator[Open]:
    """Open a report; the one of the tests unless another file is given."""
    used: list[Opened] = []

    def opened(path: Path = report, size: ViewportSize = DESK, **context: Any) -> Opened:
        used.append(windows(size, **context))
        used[-1].address = path.as_uri()
        used[-1].page.goto("about:blank")  # what the page of another test says when its server goes is not ours
        used[-1].said.clear()
        return used[-1]

    yield opened
    for one in used:
        one.check()
