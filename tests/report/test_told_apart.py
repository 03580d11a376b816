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
from .payloads import LAYERS, Blobs, Subject, map_of, steps_of
from .test_page import frames_drawn, number_in, percent_of, point, readout

PIXEL = """(colour) => {
  const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  copy.drawImage(document.querySelector(".panel canvas.picture"), 4, 4, 1, 1, 0, 0, 1, 1);
  return colour.every((value, at) => copy.getImageData(0, 0, 1, 1).data[at] === value);
}"""


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
    other |= {"id": "energy (b)/energy", "result": "energy (b)", "title": "Energy, energy (b)"}
    page = show("#trace=maze-0&branch=cond&step=1&layer=1&frame=1&y=2&x=2", blobs.held,
                maps=[*made.payload["maps"], other])  # fmt: skip
    chooser = page.get_by_label("map", exact=True)
    assert chooser.locator("option").all_inner_texts() == ["Energy", "Robust energy", "Energy, energy (b)"]
    first = made.maps[trace, "energy"][0, 1, 1, 1, 2, 2]
    assert number_in(readout(page).locator(".values b").inner_text()) == pytest.approx(first, abs=1e-3)
    chooser.select_option("Energy, energy (b)")
    expect(readout(page).locator(".values b")).to_have_text("5")
    expect(page).to_have_url(re.compile(r"map=energy\+%28b%29%2Fenergy"))


@pytest.fixture
def of_frames(show, made: Subject):
    """The page of which the first run has pictures of frames 1 and 3 alone: a red one and a blue one."""

    def shown(view: str, **parts: Any) -> Page:
        blobs, colours = Blobs(list(made.blobs)), ((200, 0, 0), (0, 0, 200))
        images = blobs.images([np.full((16, 16, 3), colour, np.uint8) for colour in colours])
        first = {**made.payload["runs"][0], "frames": {**images, **parts}}
        return show(view, blobs.held, runs=[first, *made.payload["runs"][1:]])

    return shown


def test_a_frame_is_found_by_its_label(of_frames) -> None:
    page = of_frames("#trace=maze-0&frame=3&picture=final", labels=[1, 3])
    caption, picture = page.locator(".panel figcaption").first, page.locator(".panel canvas.picture").first
    expect(caption).to_have_text("final video, frame 3")
    for key, frame, colour in (("", 3, [0, 0, 200]), ("Shift+ArrowLeft", 2, None), ("Shift+ArrowLeft", 1, [200, 0, 0])):
        if key:
            page.keyboard.press(key)
        if colour is None:
            expect(caption).to_have_text(f"final video: there is no picture of frame {frame}")
            expect(picture).to_be_hidden()
            continue
        expect(caption).to_have_text(f"final video, frame {frame}")
        page.wait_for_function(PIXEL, arg=colour)


def test_without_labels_frames_count_from_0(of_frames) -> None:
    page = of_frames("#trace=maze-0&frame=1&picture=final")
    expect(page.locator(".panel figcaption").first).to_have_text("final video, frame 1")


def test_pictures_that_are_not_the_final_video_are_not_called_so(of_frames) -> None:
    page = of_frames("#trace=maze-0&frame=3&picture=final", labels=[1, 3], words="x0.guided of step 4, decoded")
    expect(page.locator(".panel figcaption").first).to_have_text("x0.guided of step 4, decoded, frame 3")
    choices = page.get_by_label("picture", exact=True).locator("option").all_inner_texts()
    assert choices[0] == "x0.guided of step 4, decoded"
    assert "final video" not in choices


SHORT = 6


@pytest.fixture
def other_schedule(show, made: Subject):
    """A matrix and a curve over 6 steps of no trace, beside traces of 20: only the first step is the same."""

    def shown(view: str) -> Page:
        blobs, steps = Blobs(list(made.blobs)), list(range(SHORT))
        known = {"sigmas": [one["sigma"] for one in steps_of(SHORT)], "experts": [""] * SHORT}
        axis = {"dim": "step", "values": steps, "labels": None, **known}
        matrix = made.payload["matrices"][2] | {"trace": None, "rows": axis, "row_sets": {"step": steps}}
        matrix["data"] = blobs.array(np.arange(SHORT * LAYERS, dtype=float).reshape(1, SHORT, LAYERS))
        curve = made.payload["curves"][0] | {"trace": None, "x": axis}
        curve["lines"] = [{"label": "noise", "y": [float(step) for step in steps], "low": None, "high": None}]
        return show(view, blobs.held, matrices=[matrix], curves=[curve])

    return shown


def test_a_step_of_another_schedule_is_not_the_step_of_the_stage(other_schedule) -> None:
    page = other_schedule("#trace=maze-0&step=9&layer=0")
    figure = page.locator("figure.matrix")
    box, reading = figure.get_by_role("application"), figure.locator(".readout")
    box.scroll_into_view_if_needed()
    point(box, 3, 6, SHORT, LAYERS)
    expect(reading).to_contain_text(f"step 3 (σ {steps_of(SHORT)[3]['sigma']:.3f})")
    expect(reading).to_contain_text("the schedules differ: step 3 of maze-0 has another σ")
    box.focus()
    page.keyboard.press("Enter")
    expect(readout(page)).to_contain_text("step 9 (")
    expect(readout(page)).to_contain_text("layer 6 ·")
    point(box, 0, 2, SHORT, LAYERS)
    expect(reading).not_to_contain_text("schedules")
    page.keyboard.press("Enter")
    expect(readout(page)).to_contain_text("step 0 (σ 1.000")
    expect(readout(page)).to_contain_text("layer 2 ·")


def test_the_stage_is_not_marked_at_a_step_of_another_schedule(other_schedule) -> None:
    page = other_schedule("#trace=maze-0&step=3&layer=4")
    mark, line = page.locator("figure.matrix .mark"), page.locator("figure.curve line.here")
    assert mark.evaluate("(mark) => mark.style.height") == "100%"  # the column of the layer, and no row
    expect(line).to_have_attribute("visibility", "hidden")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(line).to_have_attribute("visibility", "visible")
    assert percent_of(page, mark, "height") == pytest.approx(100 / SHORT, abs=0.01)


def test_a_curve_of_another_schedule_leaves_the_stage_alone(other_schedule) -> None:
    page = other_schedule("#trace=maze-0&step=9")
    plot = page.locator("figure.curve .plot")
    plot.scroll_into_view_if_needed()
    width = plot.bounding_box()["width"]
    plot.click(position={"x": 52 + (width - 52 - 12) * 3 / 5, "y": 60})
    expect(page.locator("figure.curve .readout")).to_contain_text("step 3 (σ")
    expect(page.locator("figure.curve .readout")).to_contain_text("the schedules differ")
    frames_drawn(page)
    expect(readout(page)).to_contain_text("step 9 (")


@pytest.mark.parametrize("own", [False, True])
def test_pages_have_a_sigma_only_if_it_is_theirs(show, made: Subject, own: bool) -> None:
    """Pages of all traces, of which two have one schedule and the third another."""
    pages: dict[str, Any] = {"dim": "step", "values": list(range(20))}
    if own:
        pages |= {"sigmas": [0.5] * 20, "experts": ["both"] * 20}
    page = show("#trace=maze-0&step=4", matrices=[made.payload["matrices"][0] | {"trace": None, "pages": pages}])
    chooser = page.locator("figure.matrix .control")
    chooser.get_by_role("slider").press("ArrowRight")
    said = chooser.locator("output").inner_text()
    assert "(" not in said if not own else said.endswith(" (σ 0.500, both)")


def test_small_values_of_a_curve_keep_their_digits(show, made: Subject) -> None:
    y, low, high = [3.25e-8, 3.26e-8, 0.5], [3.2e-8, 1e-9, None], [4.125e-8, 1e-7, 1.0]
    x = {"dim": "layer", "values": [0, 1, 2], "labels": None}
    line = {"label": "noise", "y": y, "low": low, "high": high}
    page = show("#trace=maze-0", curves=[made.payload["curves"][0] | {"trace": None, "x": x, "lines": [line]}])
    figure = page.locator("figure.curve")
    figure.locator(".plot").scroll_into_view_if_needed()
    figure.locator(".plot").hover(position={"x": 54, "y": 60})
    expect(figure.locator(".reading")).to_have_text("noise 3.25e-8 [3.2e-8, 4.125e-8]")
    figure.get_by_text("The same as a table").click()
    cells = ["3.25e-8 [3.2e-8, 4.125e-8]", "3.26e-8 [1e-9, 1e-7]", "0.5"]
    expect(figure.locator("tbody td")).to_have_text(cells, use_inner_text=True)


@pytest.mark.parametrize(
    ("y", "ticks"),
    [
        ([0.99912, 0.99957], ["0.9992", "0.9994"]),
        ([0.0, 3e-8], ["0", "1e-8", "2e-8", "3e-8"]),
        ([123410.0, 123440.0], ["1.2341e+5", "1.2342e+5", "1.2343e+5", "1.2344e+5"]),
        ([-0.4, 0.6], ["0", "0.5"]),
    ],
)
def test_ticks_have_the_digits_that_tell_them_apart(show, made: Subject, y: list[float], ticks: list[str]) -> None:
    x = {"dim": "layer", "values": [0, 1], "labels": None}
    line = {"label": "noise", "y": y, "low": None, "high": None}
    curve = made.payload["curves"][0] | {"trace": None, "x": x, "lines": [line], "floors": []}
    page = show("#trace=maze-0", curves=[curve])
    words = page.locator("figure.curve svg text[text-anchor=end]")
    assert words.all_text_contents() == ticks
    plot = page.locator("figure.curve .plot").bounding_box()
    assert all(one.bounding_box()["x"] >= plot["x"] for one in words.all())


def test_a_page_that_no_command_made_shows_none(show, made: Subject) -> None:
    notes = show("", command="").locator("section.notes")
    expect(notes.locator("p")).to_have_text(f"Made by {made.payload['software']}, in Python, of what was never saved.")
    expect(notes.locator("pre")).to_have_count(0)
    notes = show("").locator("section.notes")
    expect(notes.locator("p")).to_have_text(f"Made by {made.payload['software']} with")
    expect(notes.locator("pre")).to_have_text(made.payload["command"])
