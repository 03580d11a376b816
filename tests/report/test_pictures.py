"""The main states of the page as pictures, against those that were looked at and kept.

Letters differ a little from one build of a browser or a font to the next, so what counts is the mean difference of all
pixels of pictures at half size. ``DIT_LENS_KEEP_PICTURES=1`` keeps the present ones instead; look at them.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import ViewportSize

from .browser import DESK, PHONE
from .conftest import Open

KEPT = Path(__file__).parent / "pictures"
TOLERANCE = 4.0  # of 255; a missing panel or another colour map is beyond it
STATES: dict[str, tuple[str, ViewportSize, str]] = {
    "light": ("#trace=maze-1&branch=cond&step=6&layer=4&frame=2", DESK, "light"),
    "dark": ("#trace=maze-1&branch=cond&step=6&layer=4&frame=2", DESK, "dark"),
    "phone": ("#trace=maze-1&branch=cond&step=9&layer=7&frame=1", PHONE, "light"),
    "compare": ("#trace=maze-0&with=maze-1&branch=uncond&step=12&layer=8&frame=3", DESK, "light"),
}


def kept_picture(state: str) -> Image.Image:
    with Image.open(KEPT / f"{state}.png") as picture:
        return picture.convert("RGB")


def small(picture: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)


def difference(one: Image.Image, other: Image.Image) -> float:
    arrays = [np.asarray(image.convert("RGB"), dtype=float) for image in (one, other)]
    return float(np.abs(arrays[0] - arrays[1]).mean())


@pytest.mark.parametrize("state", STATES)
def test_it_looks_as_it_did(open_page: Open, state: str) -> None:
    view, size, scheme = STATES[state]
    context: dict[str, Any] = {} if scheme == "light" and size is DESK else {"color_scheme": scheme}
    page = open_page(size=size, **context).go(view)
    page.locator("figure.film canvas").first.wait_for()
    page.evaluate("() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")
    now, path = small(page.screenshot()), KEPT / f"{state}.png"
    if os.environ.get("DIT_LENS_KEEP_PICTURES"):
        path.parent.mkdir(exist_ok=True)
        now.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    kept = kept_picture(state)
    assert now.size == kept.size
    assert difference(now, kept) < TOLERANCE


def test_the_tolerance_tells_states_apart() -> None:
    kept = {state: kept_picture(state) for state in STATES}
    assert difference(kept["light"], kept["compare"]) > TOLERANCE
    assert difference(kept["light"], kept["dark"]) > TOLERANCE


def test_the_pictures_are_small() -> None:
    assert sum(path.stat().st_size for path in KEPT.glob("*.png")) < 300e3
