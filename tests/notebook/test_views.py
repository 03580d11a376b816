"""What things say of themselves, as text and as HTML: the numbers are true, and no word becomes markup."""

from __future__ import annotations

import base64
import io
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import dit_lens
from dit_lens.bench.table import Table
from dit_lens.estimate import estimate
from dit_lens.generation import Result
from dit_lens.notebook import MissingWidgets, stage
from dit_lens.notebook.widget import Stage
from dit_lens_stores import ArraySpec, create_store, open_store
from dit_lens_stores.html import element
from dit_lens_stores.printable import printable

HOSTILE = "</style></pre><script>alert(1)</script><img src=x onerror=alert(2)>&lt;\"'\x1b[31m\u202e\x00"
TAGS = {"div", "span", "b", "style", "pre", "details", "summary", "dl", "dt", "dd", "p", "img"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}


class Read(HTMLParser):
    """Elements, attributes and text, as a browser's parser would have them."""

    def __init__(self, view: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(view)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    def pictures(self) -> list[Image.Image]:
        sources = [str(attributes["src"]).partition(",")[2] for tag, attributes in self.tags if tag == "img"]
        return [Image.open(io.BytesIO(base64.b64decode(source))) for source in sources]


def read(shown: Any) -> Read:
    """Read a view; nothing in it may act or be fetched."""
    found = Read(shown._repr_html_())
    assert not found.open
    for tag, attributes in found.tags:
        assert tag in TAGS
        assert set(attributes) <= {"class", "hidden", "open", "src", "alt"}
        assert tag != "img" or str(attributes["src"]).startswith("data:image/png;base64,")
    assert not re.search(r"url\(|@import|https?:", shown._repr_html_())
    return found


@settings(max_examples=50)
@given(st.text())
def test_any_text_stays_text(text: str) -> None:
    found = Read(element("p", text, class_=text))
    assert [tag for tag, _ in found.tags] == ["p"]
    shown = printable(text, "\n")
    assert found.text.replace("\n", "") == shown.replace("\n", "")
    assert found.tags[0][1]["class"] == shown


@pytest.mark.parametrize(
    ("name", "attributes"),
    [("script", {}), ("p onclick", {}), ("p", {"onclick": "x"}), ("a", {"href": "x"}), ("img", {"src": "http://x"})],
)
def test_what_acts_is_not_built(name: str, attributes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"no element may|no attribute may|must be in the page"):
        element(name, **attributes)


def test_a_long_text_is_cut_and_says_so() -> None:
    assert len(element("p", "x" * 10**6)) < 21_000
    assert "and 980000 more characters" in element("p", "x" * 10**6)


def test_a_trace_tells_how_it_was_made_and_what_is_there(tmp_path: Path) -> None:
    labels = {"step": (0, 1), "layer": (0, 3), "token": (0, 1, 2)}
    store = create_store(tmp_path / "a.zarr")
    known = {"model": HOSTILE, "prompt": HOSTILE, "seed": 3, "steps": 2, HOSTILE: HOSTILE, "edits": [HOSTILE, {}]}
    writer = store.begin("t0", [ArraySpec("x", tuple(labels), labels, ("step", "layer"))], [], known)
    for layer in (0, 3):
        writer.write("x", {"step": 0, "layer": layer}, np.zeros(3, np.float32))
    writer.fail(HOSTILE)
    trace = open_store(tmp_path / "a.zarr").get("t0", partial=True)
    found = read(trace)
    for words in ("t0", "failed", "step 2, layer 2, token 3", "2 of 4", printable(HOSTILE)):
        assert words in found.texts
    assert repr(trace).splitlines() == [
        "<dit-lens trace 't0': failed>",
        f"  {printable(HOSTILE)}, seed 3, 2 steps, '{printable(HOSTILE[:72])}...'",
        "  x                        (step 2, layer 2, token 3)",
    ]
    assert printable(HOSTILE) in read(store).text
    assert repr(store) == f"<dit-lens store '{store.url}': 1 trace>\n  t0                       failed"


def test_a_trace_of_a_run_shows_steps_with_their_sigma(tmp_path: Path) -> None:
    from dit_lens.testing import synthetic_store

    store = synthetic_store(tmp_path / "a.zarr", ["block.out:energy"])
    trace = store[store.traces[0]]
    found, sigma = read(trace), trace["block.out.energy"].sigma.values
    assert {"step", "sigma", "expert"} <= set(found.texts)
    assert {f"{value:.6g}" for value in sigma.tolist()} <= set(found.texts)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    labels = {"step": (0, 1)}
    store = create_store(tmp_path / "a.zarr")
    writer = store.begin("t0", [ArraySpec("x", ("step",), labels, ("step",))], [], {"seed": 3})
    for step in (0, 1):
        writer.write("x", {"step": step}, np.float32(1))
    writer.finish()
    (tmp_path / "a.zarr" / "t0" / "step" / "c" / "0").unlink()
    trace = open_store(tmp_path / "a.zarr")["t0"]
    assert "cannot be read: " in repr(trace)
    assert "cannot be read" in read(trace).texts


def test_many_traces_are_counted(tmp_path: Path) -> None:
    store = create_store(tmp_path / "a.zarr")
    spec = ArraySpec("x", ("step",), {"step": (0,)}, ("step",))
    for number in range(23):
        store.begin(f"t{number}", [spec], [], {}).fail("stopped")
    lines = repr(store).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "  and 3 more"


def test_captures_and_edits_can_be_written_again() -> None:
    capture = dit_lens.Capture.parse("block.out:mean:frame+token@float16[step=0:3]")
    edit = dit_lens.Edit.parse("block.out:scale:0.5[step=0,layer=2:5]")
    space = {"Capture": dit_lens.Capture, "Edit": dit_lens.Edit}
    assert eval(repr(capture), space) == capture
    assert eval(repr(edit), space) == edit
    assert "block.out.mean.frame.token" in read(capture).texts
    assert {"site", "scale: multiplied by a number", "step=0,layer=2:5"} <= set(read(edit).texts)


def test_an_edit_that_no_text_can_hold_does_not_claim_to_be_one() -> None:
    mask = dit_lens.Mask.of(np.eye(4)[None].repeat(3, axis=0) > 0)
    edits = [
        dit_lens.Edit("block.out", op="add", source=np.zeros(3)),
        dit_lens.Edit("block.out", "step=0", "zero", mask=mask),
        dit_lens.Edit("block.out", op="replace", source=dit_lens.Stored(f"{HOSTILE}.zarr", HOSTILE)),
    ]
    assert [repr(edit)[:5] for edit in edits] == ["<Edit", "<Edit", "Edit."]
    (picture,) = read(edits[1]).pictures()
    assert picture.size == (6 * (3 * 4 + 2), 6 * 4)
    grey = np.asarray(picture)
    assert (grey[::6, ::6] == 60).sum() == 12
    assert printable(HOSTILE) in read(edits[2]).text


@pytest.fixture(scope="module")
def lens() -> dit_lens.Lens:
    return dit_lens.load("tiny-wan", weights=False)


@pytest.fixture
def request_() -> dit_lens.Generation:
    image = Image.fromarray(np.zeros((64, 64, 3), np.uint8))
    return dit_lens.Generation(prompt="Draw.", image=image, seed=0, steps=4, frames=17)


def test_a_plan_of_edits(lens: dit_lens.Lens, request_: dit_lens.Generation) -> None:
    course = lens.plan_edits(request_, ["block.out:zero[step=0,layer=2:5]", "view:scale:2[step=1]"], stop_after=2)
    lines = repr(course).splitlines()
    assert lines == ["<dit-lens course: 2 edits>", *(f"  {line}" for line in str(course).splitlines())]
    assert len(lines) == 4
    found = read(course)
    assert set(str(course).splitlines()) <= set(found.texts)
    assert len(found.pictures()) == 2
    assert repr(lens.plan_edits(request_)).splitlines()[1] == "  nothing departs from the plain run"


def test_a_plan_of_a_trace(lens: dit_lens.Lens, request_: dit_lens.Generation) -> None:
    cost = estimate(lens, request_, ["block.out:energy"], decode=False)
    head, array = repr(cost).splitlines()
    assert head.startswith(f"<dit-lens plan: {cost.bytes / 1e3:.3g} kB, {cost.files} files, {cost.events:,} events, ")
    assert array == f"  block.out.energy         (branch 2, step 4, layer 10, frame 5, token 64) float32 {102:.3g} kB"
    found = read(cost)
    assert {f"{cost.events:,}", "branch 2, step 4, layer 10, frame 5, token 64", "queue"} <= set(found.texts)
    _, layout, (resolved,) = lens.plan(request_, ["block.out:energy"])
    assert repr(layout).startswith("<dit-lens layout: cond+uncond, 4 steps, 10 layers, 5 x 8 x 8 tokens, ")
    assert repr(resolved) == "<dit-lens capture block.out:energy: branch 2, step 4, layer 10, frame 5, token 64>"


def test_a_run_shows_its_frames_and_no_numbers() -> None:
    video = np.zeros((17, 64, 128, 3), np.uint8)
    video[:, :, :, 0] = np.arange(17)[:, None, None] * 10
    result = Result(torch.zeros(1, 16, 5, 8, 8), video, "t0", Path(HOSTILE), 1.25, 0.5, anew=HOSTILE)
    (picture,) = read(result).pictures()
    assert picture.size == (6 * 192, 96)
    shown = np.asarray(picture)[48, 96::192, 0]
    assert shown.tolist() == [0, 30, 60, 100, 130, 160]
    plain = Result(torch.zeros(2, 3), None, None, None, 1.0)
    assert repr(plain) == "<dit-lens plain run: 1.0 s, latents 2 x 3, no video>"
    assert not read(plain).pictures()


def test_a_table_of_a_benchmark_is_its_text() -> None:
    table = Table((), (), 0.95, 100, 0)
    assert repr(table) == table.text()
    assert "0 rows" in read(table).texts


def test_the_stage_holds_the_payload_of_a_report(tmp_path: Path) -> None:
    from dit_lens.report import make_report
    from dit_lens.testing import synthetic_store

    store = synthetic_store(tmp_path / "a.zarr", ["block.out:energy"]).path
    energy = dit_lens.analyze(store, "energy")
    shown, report = stage(energy, store), make_report([energy], store=store)
    assert isinstance(shown, Stage)
    assert shown.payload == report.payload
    assert tuple(shown.blobs) == report.blobs
    state = shown.get_state()
    assert (state["payload"], state["blobs"]) == (report.payload, list(report.blobs))
    assert repr(shown).startswith("<dit-lens stage: energy of ")


def test_without_widgets_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "dit_lens.notebook.widget")
    with pytest.raises(MissingWidgets, match=r"the stage needs widgets; got no .* pip install 'dit-lens\[notebook\]'"):
        stage("x.zarr")
