"""A page of which a block is damaged: nothing that is shown is something else, and the page says what is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dit_lens.report.page import render

from .conftest import Open
from .payloads import Subject
from .test_hostile_strings import served
from .test_page import frames_drawn, number_in, readout


@pytest.fixture
def damaged(open_page: Open, made: Subject, tmp_path: Path):
    """The page of the tests with other bytes in one block, at a view."""

    def shown(blob: int, view: str) -> Page:
        blobs = list(made.blobs)
        blobs[blob] = b"no block"
        path = tmp_path / "damaged.html"
        path.write_text(render(made.payload, blobs), encoding="utf-8")
        return open_page(path).go(view)

    return shown


def map_block(made: Subject, trace: str) -> int:
    return next(one["data"]["blob"] for one in made.payload["maps"] if one["trace"] == trace)


def test_the_values_of_one_trace_are_not_shown_as_those_of_another(damaged, made: Subject) -> None:
    page = damaged(map_block(made, "maze-1"), "#trace=maze-0&branch=cond&step=2&layer=3&frame=1&y=2&x=5")
    parts = [page.locator(where).first for where in (".panel canvas.heat", ".scales .bar", ".panel .cursor")]
    traces = page.get_by_label("trace", exact=True)
    for part in parts:
        expect(part).to_be_visible()
    traces.select_option("maze-1")
    expect(page.locator(".panel h3").first).to_have_text("maze-1")
    for _ in range(3):  # also after all that was under way has come to an end
        for part in parts:
            expect(part).to_be_hidden()
        frames_drawn(page)
    expect(readout(page).locator(".values b")).to_have_count(0)
    traces.select_option("maze-0")
    for part in parts:
        expect(part).to_be_visible()
    shown = number_in(readout(page).locator(".values b").inner_text())
    assert shown == pytest.approx(made.maps["maze-0", "energy"][0, 2, 3, 1, 2, 5], abs=1e-3)


def test_no_difference_to_what_is_damaged(damaged, made: Subject) -> None:
    page = damaged(map_block(made, "short"), "#trace=maze-0&with=maze-1")
    heat = page.locator(".panel canvas.heat").nth(2)
    expect(heat).to_be_visible()
    page.get_by_label("compare with", exact=True).select_option("short")
    expect(page.locator(".panel h3").nth(2)).to_have_text("short − maze-0")
    frames_drawn(page)
    expect(heat).to_be_hidden()


def test_what_is_lost_is_said_once_and_no_longer_than_it_is_so(damaged, made: Subject) -> None:
    block = map_block(made, "maze-1")
    page, words = damaged(block, "#trace=maze-1"), f"This page is damaged: block {block} cannot be unpacked."
    alert, traces = page.get_by_role("alert"), page.get_by_label("trace", exact=True)
    expect(alert).to_have_text([words])
    for trace in ("maze-0", "maze-1", "short", "maze-1"):
        traces.select_option(trace)
        expect(alert).to_have_text([words] if trace == "maze-1" else [])


def test_a_lost_picture_is_said_where_it_would_be(damaged, made: Subject) -> None:
    block = made.payload["runs"][0]["frames"]["blob"]
    page = damaged(block, "#trace=maze-0&picture=final&frame=2")
    caption, picture = page.locator(".panel figcaption").first, page.locator(".panel canvas.picture").first
    for key in ("", "ArrowRight"):
        if key:
            page.keyboard.press(key)
        expect(caption).to_have_text(f"This page is damaged: block {block} is no picture.")
        expect(picture).to_be_hidden()
    expect(page.locator(".panel canvas.heat").first).to_have_css("opacity", "1")
    page.get_by_label("trace", exact=True).select_option("maze-1")
    expect(caption).to_have_text("final video, frame 2")
    expect(picture).to_be_visible()


def test_a_file_of_a_bundle_that_came_back_is_read(open_page: Open, made: Subject, tmp_path: Path) -> None:
    files = [f"{at}.bin" for at in range(len(made.blobs))]
    for name, blob in zip(files, made.blobs, strict=True):
        (tmp_path / name).write_bytes(blob)
    (tmp_path / "index.html").write_text(render(made.payload, made.blobs, files=files), encoding="utf-8")
    lost = tmp_path / files[map_block(made, "maze-1")]
    lost.unlink()
    with served(tmp_path) as address:
        opened = open_page(tmp_path / "index.html")
        opened.address = f"{address}/index.html"
        page = opened.go("#trace=maze-1")
        expect(page.get_by_role("alert")).to_have_text([f"This page has lost a file: {lost.name} (404)."])
        lost.write_bytes(made.blobs[map_block(made, "maze-1")])
        for trace in ("maze-0", "maze-1"):
            page.get_by_label("trace", exact=True).select_option(trace)
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(readout(page).locator(".values b")).to_have_text([re.compile(r"\d")])
        page.locator(".slot:not([hidden]) figure.film .ruled").first.wait_for()
    opened.asked.clear()
    assert all("404" in words for words in opened.said)
    opened.said.clear()  # the browser's own words on the file that was not there
