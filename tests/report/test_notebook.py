"""What a notebook shows, in a browser: the stage as a widget, and the views of traces and edits."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from ipywidgets.widgets.widget import _remove_buffers
from playwright.sync_api import Page, expect

import dit_lens
from dit_lens.notebook.widget import Stage
from dit_lens_stores import create_store
from dit_lens_stores.schema import ArraySpec

from .conftest import Open, Opened
from .payloads import BRANCHES, COLUMNS, ROWS, Subject
from .test_page import SLACK, number_in, point, readout, spec_of, stage_box

HOSTILE = "</pre></style><script>alert(1)</script><img src=x onerror=alert(2)>\u202e&lt;"
_HOST = """<!doctype html><meta charset="utf-8"><body DATA>
<p>A cell above.</p><div id="cell"></div>
<script type="application/json" id="state">STATE</script>
<script type="module">
  // What anywidget does: buffers go back to their places, the module comes from a blob, its default export renders.
  const { state, paths, buffers } = JSON.parse(document.getElementById("state").textContent);
  paths.forEach((path, at) => {
    const bytes = Uint8Array.from(atob(buffers[at]), (letter) => letter.charCodeAt(0));
    const place = path.slice(0, -1).reduce((held, key) => held[key], state);
    place[path.at(-1)] = new DataView(bytes.buffer);
  });
  document.head.append(Object.assign(document.createElement("style"), { textContent: state._css }));
  const address = URL.createObjectURL(new Blob([state._esm], { type: "text/javascript" }));
  const { default: widget } = await import(address);
  const el = document.getElementById("cell");
  window.takeAway = await widget.render({ model: { get: (name) => state[name], on() {}, off() {} }, el });
</script>"""


def visit(opened: Opened) -> None:
    opened.page.goto("about:blank")
    opened.asked.clear()
    opened.page.goto(opened.address)


@pytest.fixture
def cell(made: Subject, tmp_path: Path, open_page: Open):
    """A page that shows the widget with what it would send to a notebook."""

    def shown(body: str = "", **context) -> Page:
        widget = Stage(payload=made.payload, blobs=made.blobs)
        state, paths, buffers = _remove_buffers(widget.get_state())
        sent = {"state": state, "paths": paths, "buffers": [base64.b64encode(one).decode() for one in buffers]}
        host = _HOST.replace("DATA", body).replace("STATE", json.dumps(sent).replace("<", "\\u003c"))
        path = tmp_path / "cell.html"
        path.write_text(host, encoding="utf-8")
        opened = open_page(path, **context)
        visit(opened)
        opened.page.get_by_role("heading", name="About the numbers").first.wait_for()
        opened.asked[:] = [url for url in opened.asked if not url.startswith("blob:")]  # of the page itself
        return opened.page

    return shown


def test_the_widget_shows_what_the_report_shows(cell, made: Subject) -> None:
    page = cell()
    values, spec = made.maps["maze-0", "energy"], spec_of(made, "maze-0", "energy")
    point(stage_box(page), 3, 5, ROWS, COLUMNS)
    expect(readout(page)).to_contain_text("token y 3, x 5")
    said = readout(page).text_content() or ""
    step, layer, frame = (int(re.findall(rf"{dim} (\d+)", said)[0]) for dim in ("step", "layer", "frame"))
    branch = BRANCHES.index(re.findall(r"branch (\w+)", said)[0])
    assert abs(values[branch, step, layer, frame, 3, 5] - number_in(said)) <= spec["error"] * SLACK
    step = page.get_by_role("slider", name="step", exact=True).first
    before = int(step.input_value())
    stage_box(page).click()
    page.keyboard.press("ArrowRight")
    expect(step).to_have_value(str(before + 1))
    page.get_by_text("A cell above.").click()
    page.keyboard.press("ArrowRight")
    expect(step).to_have_value(str(before + 1))
    assert page.url.endswith("cell.html"), "a widget leaves the notebook's address alone"


def test_a_widget_can_be_taken_away(cell) -> None:
    page = cell()
    page.evaluate("takeAway()")
    expect(page.locator("#cell")).to_be_empty()


@pytest.mark.parametrize(("light", "theme"), [("true", "light"), ("false", "dark")])
def test_the_widget_has_the_theme_of_the_notebook(cell, light: str, theme: str) -> None:
    page = cell(f'data-jp-theme-light="{light}"')
    ground = page.locator("#cell .dit-lens").evaluate("(stage) => getComputedStyle(stage).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[theme]


@pytest.fixture
def views(tmp_path: Path) -> Path:
    """A page of several views, as the cells of a notebook."""
    store = create_store(tmp_path / "a.zarr")
    labels = {"step": (0, 1), "layer": (0, 3)}
    writer = store.begin("t0", [ArraySpec("x", tuple(labels), labels, ("step",))], [], {"prompt": HOSTILE, "seed": 1})
    writer.write("x", {"step": 0}, np.zeros(2, np.float32))
    writer.fail("stopped")
    shown = [store, store["t0"], dit_lens.Edit("block.out", "step=0", "scale", 0.5), dit_lens.Capture("latent")]
    path = tmp_path / "views.html"
    cells = "".join(view._repr_html_() for view in shown)
    path.write_text(f"<!doctype html><meta charset=utf-8><body>{cells}", encoding="utf-8")
    return path


@pytest.mark.parametrize(("taste", "ground"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(22, 25, 29)")])
def test_views_follow_the_system(open_page: Open, views: Path, taste: str, ground: str) -> None:
    opened = open_page(views, color_scheme=taste)
    page = opened.page
    visit(opened)
    cards = page.locator(".dit-lens-card")
    assert cards.count() == 4
    assert {card.evaluate("(one) => getComputedStyle(one).backgroundColor") for card in cards.all()} == {ground}
    expect(page.locator(".dit-lens-plain").first).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_views_open_and_close_and_keep_their_words(open_page: Open, views: Path) -> None:
    opened = open_page(views)
    page = opened.page
    visit(opened)
    manifest = page.locator("details", has_text="Manifest")
    expect(manifest.locator("pre")).to_be_hidden()
    manifest.locator("summary").click()
    expect(manifest.locator("pre")).to_be_visible()
    expect(page.locator("dd", has_text="alert(1)")).to_have_text(HOSTILE.replace("\u202e", "\\u202e"))
    assert page.locator("script, img, iframe").count() == 0


def test_without_style_the_text_remains(open_page: Open, views: Path) -> None:
    """As where a notebook is not trusted."""
    opened = open_page(views)
    page = opened.page
    visit(opened)
    page.evaluate("document.querySelectorAll('style').forEach((style) => style.remove())")
    expect(page.locator(".dit-lens-plain").nth(1)).to_be_visible()
    expect(page.locator(".dit-lens-plain").nth(1)).to_contain_text("<dit-lens trace 't0': failed>")
    expect(page.locator(".dit-lens-card").first).to_be_hidden()
