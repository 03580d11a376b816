"""The page in a browser: what it shows is what the arrays hold, whichever way one gets there."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from .browser import PHONE
from .conftest import Open
from .payloads import BRANCHES, COLUMNS, FILM_STEPS, FRAMES, LAYERS, ROWS, TRACES, Subject, steps_of

SLACK = 1.01  # the last digit that is written is rounded
SLIDERS = ("branch", "step", "layer", "frame")


def slide(page: Page, name: str, at: int) -> None:
    """Move a slider to an entry, as its own events would."""
    page.get_by_role("slider", name=name, exact=True).first.evaluate(
        "(field, at) => { field.value = at; field.dispatchEvent(new Event('input')); }", at
    )


def readout(page: Page) -> Locator:
    return page.get_by_role("status", name="value at the cursor")


def point(box: Locator, row: int, column: int, rows: int, columns: int) -> None:
    """Put the pointer on the middle of a cell."""
    size = box.bounding_box()
    assert size is not None
    box.hover(position={"x": size["width"] * (column + 0.5) / columns, "y": size["height"] * (row + 0.5) / rows})


def percent_of(page: Page, mark: str | Locator, side: str) -> float:
    """Where a mark was put."""
    found = page.locator(mark).first if isinstance(mark, str) else mark
    return float(str(found.evaluate("(mark, side) => mark.style[side]", side)).removesuffix("%"))


def frames_drawn(page: Page) -> None:
    """Wait until what was asked for is on the screen."""
    page.evaluate("() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")


def stage_box(page: Page, which: int = 0) -> Locator:
    return page.locator(".panel .box").nth(which)


def number_in(words: str | None) -> float:
    found = re.search(r"-?\d+(\.\d+)?(e[+-]?\d+)?", words or "")
    assert found, words
    return float(found[0])


def spec_of(made: Subject, trace: str, name: str) -> dict[str, Any]:
    found = (one["data"] for one in made.payload["maps"] if (one["trace"], one["name"]) == (trace, name))
    spec: dict[str, Any] = next(found)
    return spec


def test_the_value_under_the_pointer_is_that_of_the_array(open_page: Open, made: Subject) -> None:
    page, rng = open_page().go(), np.random.default_rng(1)
    for _ in range(12):
        trace, name = str(rng.choice(list(TRACES))), str(rng.choice(["energy", "robust"]))
        values, error = made.maps[trace, name], spec_of(made, trace, name)["error"]
        at = tuple(int(rng.integers(size)) for size in values.shape)
        page.get_by_label("trace", exact=True).select_option(trace)
        page.get_by_label("map", exact=True).select_option({"energy": "Energy", "robust": "Robust energy"}[name])
        for slider, entry in zip(SLIDERS, at, strict=False):
            slide(page, slider, entry)
        point(stage_box(page), at[4], at[5], ROWS, COLUMNS)
        step = steps_of(TRACES[trace])[at[1]]
        place = f"trace {trace} · branch {BRANCHES[at[0]]} · step {at[1]} (σ {step['sigma']:.3f}, {step['expert']})"
        expect(readout(page)).to_contain_text(
            f"{place} · layer {at[2]} · frame {at[3]} · token y {at[4]}, x {at[5]}", use_inner_text=True
        )
        expect(readout(page)).to_contain_text(f"± {error:.1g}" if error >= 1e-4 else "±")
        shown = number_in(readout(page).locator(".values b").inner_text())
        assert shown == pytest.approx(values[at], abs=SLACK * error)


def test_a_missing_value_is_called_one(open_page: Open) -> None:
    page = open_page().go("#trace=maze-0&map=energy/energy&branch=cond&step=0&layer=0&frame=0&y=0&x=0")
    expect(readout(page)).to_contain_text("no value")


def test_the_pixel_of_a_token_has_the_colour_of_its_value(open_page: Open, made: Subject) -> None:
    """At full opacity the stage shows matplotlib's viridis on the scale that the colour bar states."""
    from matplotlib import colormaps

    page = open_page().go("#trace=maze-1&map=energy/energy&branch=uncond&step=9&layer=7&frame=3")
    low, high = next(one["range"] for one in made.payload["maps"] if one["name"] == "energy")
    pixels = page.locator(".panel canvas.heat").first.evaluate(
        "(canvas) => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"
    )
    values = made.maps["maze-1", "energy"][1, 9, 7, 3]
    expected = colormaps["viridis"]((values - low) / (high - low), bytes=True)
    assert np.abs(np.reshape(pixels, (ROWS, COLUMNS, 4)).astype(int) - expected).max() <= 3  # one entry of 256 apart


def test_the_keys_move_the_stage(open_page: Open) -> None:
    page = open_page().go("#trace=maze-0&branch=cond&step=5&layer=4&frame=2&y=3&x=3")
    moves = ["ArrowRight", "ArrowDown", "Shift+ArrowRight", "Shift+ArrowDown", "s", "d", "d"]
    for key in moves:
        page.keyboard.press(key)
    expect(readout(page)).to_contain_text("branch uncond · step 6 (")
    expect(readout(page)).to_contain_text("layer 5 · frame 3 · token y 4, x 5")
    for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowLeft", "Shift+ArrowUp", "w", "a", "a"):
        page.keyboard.press(key)
    expect(readout(page)).to_contain_text("branch cond · step 5 (")
    expect(readout(page)).to_contain_text("layer 4 · frame 2 · token y 3, x 3")


def test_the_ends_of_an_axis_are_ends(open_page: Open) -> None:
    page = open_page().go("#trace=maze-0&step=19&layer=0")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    frames_drawn(page)
    expect(readout(page)).to_contain_text("step 19 (")
    expect(readout(page)).to_contain_text("layer 0 ·")


def test_a_slider_keeps_its_own_keys(open_page: Open) -> None:
    page = open_page().go("#trace=maze-0&step=5&frame=1")
    page.get_by_role("slider", name="frame", exact=True).press("ArrowRight")
    expect(readout(page)).to_contain_text("step 5 (")
    expect(readout(page)).to_contain_text("frame 2 ·")


def test_a_question_mark_opens_and_closes_the_help(open_page: Open) -> None:
    page = open_page().go()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="help")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="help")).to_be_hidden()


def test_the_hash_holds_the_view(open_page: Open) -> None:
    opened = open_page()
    page = opened.go()
    page.get_by_label("trace", exact=True).select_option("maze-1")
    for name, at in zip(SLIDERS, (1, 7, 3, 4), strict=True):
        slide(page, name, at)
    page.get_by_label("each panel on its own colour scale").check()
    expect(page).to_have_url(re.compile("scale=panel.*step=7.*frame=4"))
    view, words = page.evaluate("location.hash"), readout(page).inner_text()
    again = opened.go(view)
    expect(readout(again)).to_have_text(words, use_inner_text=True)
    expect(again.get_by_label("each panel on its own colour scale")).to_be_checked()


def test_the_hash_can_change_under_an_open_page(open_page: Open) -> None:
    page = open_page().go("#trace=maze-0&step=3")
    page.evaluate("location.hash = 'trace=maze-1&step=11&branch=uncond'")
    expect(readout(page)).to_contain_text("trace maze-1 · branch uncond · step 11 (")


@pytest.mark.parametrize(
    "view",
    [
        "#trace=<img src=x onerror=alert(1)>&step=__proto__&layer=constructor&frame=1e9",
        "#trace=%E0%A4%A&map=%00&with=maze-0&branch=javascript:alert(1)",
        "#step=99999999999999999999&layer=-5&frame=NaN&y=1.5&x=Infinity&scale=toString",
        "#" + "&".join(["trace=maze-0"] * 3000),
        "#maps&runs==&&&==&step",
    ],
)
def test_a_hostile_hash_shows_a_view_of_this_page(open_page: Open, view: str) -> None:
    page = open_page().go(view)
    expect(readout(page)).to_contain_text(re.compile(r"trace maze-0 · branch (cond|uncond) · step \d+ \(σ"))
    assert page.locator("img").count() == 0


def test_two_traces_share_their_controls_and_show_their_difference(open_page: Open, made: Subject) -> None:
    page, rng = open_page().go("#trace=maze-0&with=maze-1&map=energy/energy"), np.random.default_rng(2)
    first, second = made.maps["maze-0", "energy"], made.maps["maze-1", "energy"]
    errors = [spec_of(made, trace, "energy")["error"] for trace in ("maze-0", "maze-1")]
    for which in range(3):
        at = tuple(int(rng.integers(size)) for size in first.shape)
        for name, entry in zip(SLIDERS, at, strict=False):
            slide(page, name, entry)
        point(stage_box(page, which), at[4], at[5], ROWS, COLUMNS)
        expect(readout(page)).to_contain_text(f"step {at[1]} (")
        expect(readout(page)).to_contain_text(f"frame {at[3]} · token y {at[4]}, x {at[5]}")
        shown = [number_in(words) for words in readout(page).locator(".values b").all_inner_texts()]
        wanted = [first[at], second[at], second[at] - first[at]]
        for value, right, error in zip(shown, wanted, [*errors, sum(errors)], strict=True):
            assert value == pytest.approx(right, abs=SLACK * error)


def test_no_difference_of_what_cannot_be_compared(open_page: Open) -> None:
    page = open_page().go("#trace=maze-0&with=short&step=4")
    expect(
        page.get_by_text("No difference: their axes differ: step is 0…19 (20) here and 0…11 (12) there.")
    ).to_be_visible()
    expect(stage_box(page, 2)).to_be_hidden()
    expect(readout(page).locator(".values b")).to_have_count(2)
    expect(readout(page)).to_contain_text("in short step 4 (σ")


def test_a_panel_on_its_own_scale_says_so(open_page: Open) -> None:
    page = open_page().go("#trace=maze-0&step=2&layer=0")
    before = page.locator(".panel canvas.heat").first.evaluate("(canvas) => canvas.toDataURL()")
    expect(page.locator(".scales .bar").first).to_contain_text("one scale for all panels, steps and traces")
    page.get_by_label("each panel on its own colour scale").check()
    expect(page.locator(".scales .bar").first).to_contain_text("colours of two panels cannot be compared")
    expect(page.locator("figure.matrix .bar").first).to_contain_text("a scale of its own")
    assert page.locator(".panel canvas.heat").first.evaluate("(canvas) => canvas.toDataURL()") != before


def test_a_panel_of_the_contact_sheet_goes_to_the_stage(open_page: Open) -> None:
    page = open_page().go("#trace=maze-0&step=2&layer=0&frame=0")
    sheet = page.get_by_role("img", name="contact sheet").first
    point(sheet, 7, 3, LAYERS, FRAMES)
    sheet.click(
        position={"x": sheet.bounding_box()["width"] * 3.4 / FRAMES, "y": sheet.bounding_box()["height"] * 7.4 / LAYERS}
    )  # type: ignore[index]
    expect(readout(page)).to_contain_text("layer 7 · frame 3 ·")


def test_the_contact_sheet_reads_its_tokens(open_page: Open, made: Subject) -> None:
    page = open_page().go("#trace=maze-0&map=energy/energy&branch=uncond&step=2")
    sheet, values = page.get_by_role("img", name="contact sheet").first, made.maps["maze-0", "energy"]
    for layer, frame, y, x in ((7, 3, 5, 6), (0, 0, 0, 0), (9, 4, 2, 7)):
        point(sheet, layer * (ROWS + 1) + y, frame * (COLUMNS + 1) + x, LAYERS * (ROWS + 1), FRAMES * (COLUMNS + 1))
        line = page.locator(".sheet .readout").first
        expect(line).to_contain_text(f"layer {layer} · frame {frame} · token y {y}, x {x}")
        error = spec_of(made, "maze-0", "energy")["error"]
        shown = number_in(line.locator("b").inner_text())
        assert shown == pytest.approx(values[1, 2, layer, frame, y, x], abs=SLACK * error)


def test_a_matrix_reads_its_cells_and_drives_the_stage(open_page: Open, made: Subject) -> None:
    page, effect = open_page().go("#trace=maze-1"), made.matrices["swap"]
    figure = page.locator("figure.matrix", has_text="Effect of swapping")
    box = figure.get_by_role("application")
    box.scroll_into_view_if_needed()
    point(box, 12, 6, 20, LAYERS)
    expect(figure.locator(".readout")).to_contain_text("trace maze-1 · step 12 (σ")
    shown = number_in(figure.locator(".readout b").inner_text())
    error = made.payload["matrices"][2]["data"]["error"]
    assert shown == pytest.approx(effect[0, 12, 6], abs=SLACK * error)
    box.focus()
    for key in ("ArrowDown", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    expect(readout(page)).to_contain_text("step 13 (")
    expect(readout(page)).to_contain_text("layer 5 ·")


def test_a_matrix_is_there_as_a_table(open_page: Open, made: Subject) -> None:
    page = open_page().go("#trace=maze-1&step=4")
    figure = page.locator("figure.matrix", has_text="CKA of layers")
    figure.get_by_text("The same as a table").click()
    expect(figure.locator("tbody tr")).to_have_count(LAYERS)
    cell = number_in(figure.locator("tbody tr").nth(2).locator("td").nth(5).inner_text())
    error = made.payload["matrices"][1]["data"]["error"]
    assert cell == pytest.approx(made.matrices["cka"][4, 2, 5], abs=SLACK * error)
    figure.get_by_role("slider").press("ArrowRight")
    expect(figure.locator("table")).to_be_hidden()  # it would show another page
    figure.get_by_text("The same as a table").click()
    expect(figure.locator("tbody tr").nth(2).locator("td").nth(5)).not_to_have_text(str(cell))


def test_a_picture_of_a_film_goes_to_the_stage(open_page: Open) -> None:
    page = open_page().go("#trace=maze-0&step=2")
    box = page.locator("figure.film .box").first
    box.scroll_into_view_if_needed()
    size = box.bounding_box()
    assert size
    rows = len(FILM_STEPS)
    box.click(position={"x": size["width"] * 4.5 / FRAMES, "y": size["height"] * 5.5 / rows})
    expect(readout(page)).to_contain_text("step 11 (")
    expect(page.locator(".panel figcaption").first).to_contain_text("x0, step 11 (")
    expect(page).to_have_url(re.compile(r"picture=film\+guided\+0"))
    page.keyboard.press("ArrowRight")
    expect(page.locator(".panel figcaption").first).to_contain_text("x0 has no picture of this step and frame")


def test_a_curve_reads_its_lines_and_drives_the_stage(open_page: Open, made: Subject) -> None:
    page = open_page().go("#trace=maze-1&step=2")
    plot, line = page.locator("figure.curve .plot"), made.payload["curves"][0]["lines"][0]
    plot.scroll_into_view_if_needed()
    width = plot.bounding_box()["width"]  # type: ignore[index]
    at = 52 + (width - 52 - 12) * 13 / 19  # the edges of the plot, and 19 steps between them
    plot.click(position={"x": at, "y": 60})
    expect(page.locator("figure.curve .readout")).to_contain_text(
        f"step 13 (σ {steps_of(20)[13]['sigma']:.3f}, transformer_2)"
    )
    words = page.locator("figure.curve .reading").all_inner_texts()
    assert number_in(words[0].split(line["label"])[1]) == pytest.approx(line["y"][13], abs=1e-5)
    assert "no value" in words[1]
    expect(readout(page)).to_contain_text("step 13 (")


def test_every_step_axis_marks_the_switch_of_experts(open_page: Open) -> None:
    page = open_page().go("#trace=maze-1")
    for figure in (".controls", "figure.matrix:has-text('swapping')", "figure.film", "figure.curve"):
        expect(page.locator(f"{figure} .switch").first).to_be_attached()
        expect(page.locator(figure).first).to_contain_text("transformer_2")
    # Step 8 is the first of the second expert: entry 8 of 20 in the matrix, 4 of 8 in the film, 7.5 of 19 on a slider.
    assert percent_of(page, ".controls .switch", "left") == pytest.approx(100 * 7.5 / 19, abs=0.01)
    for figure, share in (("figure.matrix:has-text('swapping')", 8 / 20), ("figure.film", 4 / 8)):
        for mark in page.locator(f"{figure} .switch").all():
            assert percent_of(page, mark, "top") == pytest.approx(100 * share, abs=0.01)
    line, frame = page.locator("figure.curve line.switch").first, page.locator("figure.curve rect.frame").first
    left, width, at = (float(of.get_attribute(key) or 0) for of, key in ((frame, "x"), (frame, "width"), (line, "x1")))
    assert (at - left) / width == pytest.approx(7.5 / 19, abs=0.001)


def test_edits_are_drawn_where_they_were_made(open_page: Open) -> None:
    page = open_page().go("#trace=maze-1&branch=cond&step=6&layer=4&frame=2")
    expect(page.locator(".panel h3").first).to_contain_text("edited here")
    for where in (".controls .edit", ".sheet .ruler .edit", "figure.film .ruler .edit", "figure.curve .edit"):
        assert page.locator(where).count() > 0, where
    page.keyboard.press("ArrowDown")
    expect(page.locator(".panel h3").first).not_to_contain_text("edited here")
    slide(page, "step", 8)
    expect(page.locator("p.edited").first).to_have_text("")


def test_light_dark_and_back(open_page: Open) -> None:
    page = open_page(color_scheme="dark").go()
    ground = "getComputedStyle(document.querySelector('.dit-lens')).backgroundColor"
    dark = page.evaluate(ground)
    button = page.get_by_role("button", name="colours")
    button.click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)" != dark
    button.click()
    assert page.evaluate(ground) == dark
    expect(button).to_have_text("colours: dark")


def test_a_phone_shows_all_of_it_without_scrolling_aside(open_page: Open) -> None:
    page = open_page(size=PHONE).go("#trace=maze-1&with=maze-0")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_everything_that_can_be_used_has_a_name(open_page: Open) -> None:
    page = open_page().go("#trace=maze-0&with=maze-1")
    for role in ("slider", "combobox", "checkbox", "button", "application", "img"):
        found: list[Locator] = page.get_by_role(role).all()  # type: ignore[arg-type]
        assert found, role
        for one in found:
            name = one.evaluate(
                "(node) => node.getAttribute('aria-label') || [...(node.labels ?? [])].map((l) => l.textContent).join()"
                " || node.textContent"
            )
            assert name.strip(), role


def test_only_the_last_redraws_are_kept(open_page: Open) -> None:
    page = open_page().go("#trace=maze-0&step=5")
    kept = page.evaluate("""() => {
      const { view, redraws } = window.ditLens;
      for (let at = 0; at < 130; at += 1) view.redraw();
      return redraws.length;
    }""")
    assert kept == 100
