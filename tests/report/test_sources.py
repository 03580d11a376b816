"""The modules of the page, joined: one program, the same as theirs."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

import dit_lens.report.page as page_package
from dit_lens.report.page import module_source, style_source
from dit_lens.report.page.joined import needs, order, page_source

from .conftest import Open
from .payloads import Subject

FOLDER = Path(page_package.__file__).parent
MODULES = sorted(path.name for path in FOLDER.glob("*.js"))
TOP = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
EXPORTED = re.compile(r"^export (?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)


def source(module: str) -> str:
    return (FOLDER / module).read_text(encoding="utf-8")


def test_every_module_is_in_the_page() -> None:
    assert sorted(order("open.js")) == MODULES
    assert order("open.js")[-2:] == ["main.js", "open.js"]


def test_no_two_modules_share_a_name_at_their_top() -> None:
    names = TOP.findall(page_source())
    assert sorted(names) == sorted(set(names))
    assert len(names) > 100


@pytest.mark.parametrize("module", MODULES)
def test_what_is_imported_is_exported_and_used(module: str) -> None:
    words = source(module)
    for needed, names in needs(words).items():
        assert set(names) <= set(EXPORTED.findall(source(needed))), needed
        for name in names:
            assert len(re.findall(rf"\b{name}\b", words)) > 1, name


def test_what_is_exported_is_wanted() -> None:
    wanted = {name for module in MODULES for names in needs(source(module)).values() for name in names}
    exported = {name for module in MODULES for name in EXPORTED.findall(source(module))}
    assert exported == wanted


def test_nothing_of_the_modules_is_left_that_would_load_another() -> None:
    for joined in (page_source(), module_source()):
        assert not re.search(r"^\s*import\b", joined, re.MULTILINE)
        assert "</script" not in joined
    assert re.findall(r"^export.*$", page_source(), re.MULTILINE) == []
    assert re.findall(r"^export.*$", module_source(), re.MULTILINE) == ["export { mount };"]


@pytest.mark.parametrize(
    "way", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("]
)
def test_words_never_become_markup(way: str) -> None:
    assert way not in page_source()


def test_the_style_touches_nothing_outside_the_report() -> None:
    rules = re.sub(r"/\*.*?\*/", "", style_source(), flags=re.DOTALL)
    selectors = [line.split("{")[0] for line in rules.splitlines() if "{" in line and not line.startswith("@")]
    assert len(selectors) > 80
    for selector in selectors:
        for one in re.split(r",(?![^(]*\))", selector):
            assert one.strip().startswith((".dit-lens", "body.dit-lens-page")) or not one.strip(), one


def test_the_modules_run_apart_as_they_do_together(open_page: Open, tmp_path: Path) -> None:
    """A notebook mounts the module in an element of its own; two of them do not get in each other's way."""
    frame = (
        "<!doctype html><meta charset='utf-8'><link rel='icon' href='data:,'><div id='a'></div>"
        "<div id='b'></div><script type='module'>"
        + module_source().replace("export { mount };", "")
        + """
        const empty = { title: "t", software: "s", command: "c", notes: [], runs: [], maps: [], matrices: [], films: [],
          curves: [] };
        const shown = await mount(document.getElementById("a"), empty, []);
        await mount(document.getElementById("b"), empty, []);
        shown.remove();
        document.body.dataset.ready = "yes";</script>"""
    )
    path = tmp_path / "notebook.html"
    path.write_text(frame, encoding="utf-8")
    page = open_page(path).go()
    page.locator("body[data-ready=yes]").wait_for(state="attached")
    assert page.get_by_role("heading", level=1).all_inner_texts() == ["t", "t"]
    assert page.evaluate("location.hash") == ""


TWO_WIDGETS = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<div id="a"></div><div id="b"></div>
<script type="application/json" id="given">GIVEN</script>
<script type="module">
  const { source, payload, blobs } = JSON.parse(document.getElementById("given").textContent);
  const bytes = blobs.map((blob) => Uint8Array.from(atob(blob), (letter) => letter.charCodeAt(0)));
  for (const name of ["a", "b"]) {
    const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const { mount } = await import(address);
    await mount(document.getElementById(name), payload, bytes);
  }
  document.body.dataset.ready = "yes";
</script>"""


def test_two_copies_of_the_module_do_not_share_a_name(open_page: Open, made: Subject, tmp_path: Path) -> None:
    """Each widget of a notebook imports a copy of its own; a label of the second must not act on the first."""
    blobs = [base64.b64encode(blob).decode() for blob in made.blobs]
    given = json.dumps({"source": module_source(), "payload": made.payload, "blobs": blobs})
    path = tmp_path / "widgets.html"
    path.write_text(TWO_WIDGETS.replace("GIVEN", given.replace("<", "\\u003c")), encoding="utf-8")
    opened = open_page(path)
    page = opened.page
    page.goto("about:blank")
    opened.asked.clear()
    page.goto(path.as_uri())
    page.locator("body[data-ready=yes]").wait_for(state="attached")
    ids = page.evaluate("[...document.querySelectorAll('[id^=dit-lens-]')].map((one) => one.id)")
    opened.asked[:] = [url for url in opened.asked if not url.startswith("blob:")]  # of the page itself
    assert len(ids) == len(set(ids)) > 10
    for name in ("a", "b"):
        own = page.locator(f"#{name} label[for]").evaluate_all(
            "(labels, name) => labels.map((label) => label.control.closest(`#${name}`) !== null)", name
        )
        assert own
        assert all(own)
