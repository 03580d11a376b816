"""How long the page of a report takes to open, and how long to be drawn anew when a slider moves.

Two pages: one of the size of the demo (2 traces of tiny-wan), and one that fills the default cap with a map of the size
of Wan2.2-A14B, 40 layers of 21 frames of 30 x 52 tokens, at the steps that fit. *Opened* is from the start of the
navigation until the stage shows a value; *redraw* is everything that the page does for one step of a slider, and the
layout of what it changed. Both are times of one machine: the aims are 1 s and 16 ms, a frame of a screen.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rounds import spread

from dit_lens.report.page import render

sys.path.append(str(Path(__file__).parents[1] / "report"))  # where the payload of the tests is made

from browser import DESK, chromium
from payloads import Blobs, Subject, energy, map_of, run_of, subject

__all__ = ["measure", "table"]

AIMS = {"opened": 1000.0, "redraw": 16.0}
OPENINGS, MOVES = 7, 60
FULL = {"steps": 5, "layers": 40, "frames": 21, "rows": 30, "columns": 52}

WATCH = """
const watch = () => {
  if (document.querySelector(".dit-lens .values b")) window.openedAt = performance.now();
  else requestAnimationFrame(watch);
};
requestAnimationFrame(watch);
"""
MOVE = """
async (moves) => {
  const { view, redraws } = window.ditLens;
  const frame = () => new Promise((go) => requestAnimationFrame(go));
  const taken = [];
  for (let at = 0; at < moves; at += 1) {
    const by = Math.floor(at / (view.axes.step.length - 1)) % 2 ? -1 : 1;
    view.move("step", by);
    await frame();
    const start = performance.now();
    document.body.getBoundingClientRect();
    taken.push(redraws.at(-1) + performance.now() - start);
    await frame();
  }
  return taken;
}
"""


def full_page() -> Subject:
    """One map that fills the page."""
    rng, blobs = np.random.default_rng(0), Blobs()
    values = energy(rng, *FULL.values())
    run = run_of(blobs, "maze-0", [])
    payload = {**subject().payload, "matrices": [], "films": [], "curves": [], "runs": [run]}
    limits = [float(np.nanmin(values)), float(np.nanmax(values))]
    payload["maps"] = [map_of(blobs, "maze-0", "energy", values, limits)]
    return Subject(payload, blobs.held, {("maze-0", "energy"): values}, {})


def demo_page() -> Subject:
    """Without the trace of another schedule: what the demo has."""
    made = subject()
    payload = {**made.payload, "runs": made.payload["runs"][:2]}
    payload["maps"] = [one for one in payload["maps"] if one["trace"] != "short"]
    return replace(made, payload=payload)


def measure(folder: Path, quick: bool) -> list[dict[str, Any]]:
    """One section for each page."""
    pages = {"the size of the demo": (demo_page, "")}
    pages["the size of the demo, two traces side by side"] = (demo_page, "#trace=maze-0&with=maze-1")
    if not quick:
        pages["a 14B-sized map that fills the cap"] = (full_page, "")
    with chromium() as browser:
        page = browser.new_context(viewport=DESK).new_page()
        page.add_init_script(WATCH)
        return [_section(page, name, make(), view, folder, quick) for name, (make, view) in pages.items()]


def _section(page: Any, name: str, made: Subject, view: str, folder: Path, quick: bool) -> dict[str, Any]:
    path = folder / "report.html"
    path.write_text(render(made.payload, made.blobs), encoding="utf-8")
    opened = [_open(page, f"{path.as_uri()}{view}") for _ in range(2 if quick else OPENINGS)]
    redraws = page.evaluate(MOVE, 8 if quick else MOVES)
    return {
        "name": name,
        "megabytes": round(path.stat().st_size / 1e6, 2),
        "rows": [_row("opened", opened), _row("redraw", redraws)],
    }


def _open(page: Any, address: str) -> float:
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector(".values b")
    page.wait_for_selector("section.notes")
    return float(page.evaluate("window.openedAt"))


def _row(what: str, times: list[float]) -> dict[str, Any]:
    found = spread(times)
    return {"what": what, "ms": median(times), "lower": found.lower, "upper": found.upper, "aim": AIMS[what]}


def table(sections: list[dict[str, Any]]) -> str:
    """The sections in words."""
    return "\n".join(line for section in sections for line in _lines(section))


def _lines(section: Mapping[str, Any]) -> list[str]:
    head = f"{section['name']}, {section['megabytes']} MB"
    rows = [
        f"  {row['what']:8} {row['ms']:7.1f} ms  ({row['lower']:.1f} to {row['upper']:.1f}; aim {row['aim']:.0f})"
        for row in section["rows"]
    ]
    return [head, *rows]
