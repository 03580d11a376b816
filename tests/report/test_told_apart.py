"""What looks alike is told apart: maps of one name, frames by their labels, steps of two schedules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from dit_lens.report.page import render

from .conftest import Open
from .payloads import Blobs, Subject, map_of
from .test_page import number_in, readout


@pytest.fixture
def show(open_page: Open, made: Subject, tmp_path: Path):
    """The page of the tests with other parts, at a view."""

    def shown(view: str, blobs: list[bytes] | None = None, **parts: Any) -> Page:
        path = tmp_path / "changed.html"
        path.write_text(render({**made.payload, **parts}, made.blobs if blobs is None else blobs), encoding="utf-8")
        return open_page(path).go(view)

    return shown


def test_two_results_with_one_name_are_two_maps(show, made: Subject) -> None:
    blobs, trace = Blobs(list(made.blobs)), "maze-0"
    values = np.full_like(made.maps[trace, "energy"], 5.0)
    values[..., 0, 0] = 7.0
    other = map_of(blobs, trace, "energy", values, [5.0, 7.0])
    other |= {"id": "energy (b)/energy", "result": "energy (b)"}
    page = show("#trace=maze-0&branch=cond&step=1&layer=1&frame=1&y=2&x=2", blobs.held,
                maps=[*made.payload["maps"], other])  # fmt: skip
    chooser = page.get_by_label("map", exact=True)
    assert chooser.locator("option").all_inner_texts() == [
        "Energy – energy/energy", "Robust energy", "Energy – energy (b)/energy",
    ]  # fmt: skip
    first = made.maps[trace, "energy"][0, 1, 1, 1, 2, 2]
    assert number_in(readout(page).locator(".values b").inner_text()) == pytest.approx(first, abs=1e-3)
    chooser.select_option("Energy – energy (b)/energy")
    expect(readout(page).locator(".values b")).to_have_text(re.compile(r"^5\.0+$"))
    expect(page).to_have_url(re.compile(r"map=energy\+%28b%29%2Fenergy"))
