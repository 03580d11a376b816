"""A page of which a block is damaged: nothing that is shown is something else, and the page says what is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dit_lens.report.page import render

from .conftest import Open
from .payloads import Subject
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
    heat, bar, cursor = (page.locator(where).first for where in (".panel canvas.heat", ".scales .bar", ".panel .cursor"))
    traces, parts = page.get_by_label("trace", exact=True), (heat, bar, cursor)
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
