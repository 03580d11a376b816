"""A small payload in the form that the page reads, with the arrays that it was made of.

Three traces: two of one schedule, the second with an edit, and one with another schedule. The values are drawn from a
seed and have some shape, so that a picture of the page shows whether it draws them where they belong.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["Blobs", "Subject", "subject"]

Values = npt.NDArray[Any]
Json = dict[str, Any]
CODES = {"<u2": ("uint16", 65535), "|u1": ("uint8", 255)}
BRANCHES, LAYERS, FRAMES, ROWS, COLUMNS, PIXELS = ["cond", "uncond"], 10, 5, 6, 8, 64
FILM_STEPS = [0, 1, 3, 5, 8, 11, 15, 19]
TRACES = {"maze-0": 20, "maze-1": 20, "short": 12}


@dataclass
class Blobs:
    """Blobs, and how the payload speaks of them."""

    held: list[bytes] = field(default_factory=list)

    def array(self, values: Values, kind: str = "<u2") -> Json:
        """Quantise; the error is measured, not derived."""
        dtype, missing = CODES[kind]
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        scale = (high - low) / (missing - 1) or 1.0
        codes = np.where(np.isnan(values), missing, np.round((values - low) / scale)).astype(kind)
        error = float(np.nanmax(np.abs(low + scale * codes.astype(float) - values)))
        self.held.append(gzip.compress(codes.tobytes(), 6, mtime=0))
        spec = {"blob": len(self.held) - 1, "dtype": dtype, "shape": list(values.shape)}
        return {**spec, "scale": scale, "offset": low, "missing": missing, "error": error}

    def images(self, pictures: Sequence[Values], columns: int = 5) -> Json:
        """One sheet of pictures (height, width, 3) in uint8."""
        height, width, _ = pictures[0].shape
        rows = -(-len(pictures) // columns)
        sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
        for at, picture in enumerate(pictures):
            top, left = at // columns * height, at % columns * width
            sheet[top : top + height, left : left + width] = picture
        file = io.BytesIO()
        Image.fromarray(sheet).save(file, "png")
        self.held.append(file.getvalue())
        spec = {"blob": len(self.held) - 1, "mime": "image/png", "width": width, "height": height}
        return {**spec, "columns": columns, "count": len(pictures)}


@dataclass(frozen=True)
class Subject:
    """A payload, its blobs, and the values of its maps by (trace, name)."""

    payload: Json
    blobs: list[bytes]
    maps: dict[tuple[str, str], Values]
    matrices: dict[str, Values]


def steps_of(count: int) -> list[Json]:
    """A shifted schedule; the expert switches at two fifths."""
    plain = np.linspace(1, 1 / count, count)
    sigmas = 4.9 * plain / (1 + 3.9 * plain)
    switch = count * 2 // 5
    return [
        {
            "step": at,
            "sigma": float(sigma),
            "timestep": float(1000 * sigma),
            "expert": f"transformer{'_2' * (at >= switch)}",
        }
        for at, sigma in enumerate(sigmas)
    ]


def energy(rng: np.random.Generator, steps: int, layers: int, frames: int, rows: int, columns: int) -> Values:
    """A bump that walks over the frames, grows over the layers and sharpens over the steps; one value is missing."""
    grid = np.ogrid[:2, :steps, :layers, :frames, :rows, :columns]
    branch, step, layer, frame, y, x = (axis.astype(float) for axis in grid)
    away = (y - rows / 2) ** 2 + (x - columns * (frame + 1) / (frames + 1)) ** 2
    bump = np.exp(-away / (2 + 6 * (1 - step / steps))) * (layer + 1) * (1 + 0.3 * branch)
    values = np.asarray(2 + bump + 0.15 * rng.random((2, steps, layers, frames, rows, columns)))
    values[0, 0, 0, 0, 0, 0] = np.nan
    return values


def picture(frame: int, done: float) -> Values:
    """A wall, a start, a goal and a path that is as clear as the step is late."""
    found = np.full((PIXELS, PIXELS, 3), 255, np.uint8)
    found[8:56, 8:10] = found[8:10, 8:56] = found[54:56, 8:56] = found[8:40, 54:56] = 0
    found[20:22, 20:56] = 0
    found[12:18, 46:52] = (220, 40, 40)
    found[44:50, 46:52] = (40, 170, 60)
    reach = 14 + 8 * frame
    found[45:49, 52 - min(reach, 40) : 46] = np.array([255, 255, 255]) * (1 - done) + np.array([30, 60, 230]) * done
    return found


def run_of(blobs: Blobs, trace: str, edits: list[Json]) -> Json:
    """A run with its words and its video."""
    words = [
        ["model", "tiny-wan (2 experts, 10 layers)"],
        ["prompt", "Draw the way from the red cell to the green cell."],
        ["seed", trace[-1] if trace[-1].isdigit() else "7"],
        ["scheduler", f"UniPC, {TRACES[trace]} steps, boundary 0.875"],
        ["size", "64 × 64, 17 frames (5 latent)"],
        ["versions", "dit-lens 0.1.0, diffusers 0.42.1, torch 2.13.0"],
        ["licence", "Apache-2.0"],
    ]
    video = blobs.images([picture(frame, 1) for frame in range(FRAMES)])
    return {"trace": trace, "words": words, "steps": steps_of(TRACES[trace]), "edits": edits, "frames": video}


def map_of(blobs: Blobs, trace: str, name: str, values: Values, limits: list[float]) -> Json:
    """A map over all six axes."""
    labels: list[list[Any]] = [BRANCHES, *(list(range(size)) for size in values.shape[1:])]
    dims = ["branch", "step", "layer", "frame", "y", "x"]
    axes = [{"dim": dim, "values": of, "kept": len(of), "of": len(of)} for dim, of in zip(dims, labels, strict=True)]
    title, units = {"energy": ("Energy", "L2 norm"), "robust": ("Robust energy", "standard deviations")}[name]
    return {"id": f"energy/{name}", "name": name, "result": "energy", "title": title, "units": units, "trace": trace,
            "axes": axes, "data": blobs.array(values), "range": limits}  # fmt: skip


def matrices_of(blobs: Blobs, rng: np.random.Generator) -> tuple[list[Json], dict[str, Values]]:
    """CKA of layers for each step of one trace, and a swap effect over all traces."""
    layers, steps = list(range(LAYERS)), list(range(20))
    apart = np.abs(np.subtract.outer(layers, layers))
    cka = np.exp(-apart[None] * (0.1 + 0.02 * np.arange(20)[:, None, None])) - 0.02 * rng.random((20, LAYERS, LAYERS))
    effect = np.sin(np.add.outer(np.arange(20) / 4, np.arange(LAYERS) / 3))[None] * 0.4
    effect[0, 3, 3] = np.nan
    layer = {"dim": "layer", "values": layers, "labels": None}
    first = {
        "name": "cka", "result": "cka", "title": "CKA of layers", "units": "", "trace": "maze-0",
        "pages": {"dim": "step", "values": steps}, "rows": layer, "columns": layer, "row_sets": {"layer": layers},
        "column_sets": {}, "data": blobs.array(cka), "range": [0.0, 1.0], "diverging": False, "warnings": [],
    }  # fmt: skip
    second = {
        "name": "swap", "result": "swap", "title": "Effect of swapping one layer", "units": "score", "trace": "maze-1",
        "pages": None, "rows": {"dim": "step", "values": steps, "labels": None}, "columns": layer,
        "row_sets": {"step": steps}, "column_sets": {"layer": layers}, "data": blobs.array(effect, "|u1"),
        "range": [-0.4, 0.4], "diverging": True, "warnings": ["One donor: the interval is wide."],
    }  # fmt: skip
    return [first, {**first, "trace": "maze-1"}, second], {"cka": cka, "swap": effect}


def films_of(blobs: Blobs, trace: str) -> Json:
    """x0 at some steps."""
    pictures = [picture(frame, step / 19) for step in FILM_STEPS for frame in range(FRAMES)]
    return {"trace": trace, "branch": "guided", "title": "x0", "steps": FILM_STEPS, "frames": list(range(FRAMES)),
            "images": blobs.images(pictures)}  # fmt: skip


def curves_of() -> list[Json]:
    """Two lines with intervals over steps, one with a hole."""
    at = np.arange(20)
    lines = []
    for label, shift in (("distance to the final answer", 0.0), ("distance to the other answer", 2.5)):
        y = np.exp(-(at - shift) / 6)
        values: list[float | None] = [float(value) for value in y]
        values[13] = None if shift else values[13]
        low, high = [float(v) for v in y * 0.85], [float(v) for v in y * 1.15]
        lines.append({"label": label, "y": values, "low": low, "high": high})
    x = {"dim": "step", "values": at.tolist(), "labels": None}
    return [{"name": "distance", "result": "trajectory", "title": "Distance", "units": "RMS", "trace": "maze-1", "x": x,
             "lines": lines, "floors": [{"label": "noise floor", "y": 0.2}]}]  # fmt: skip


def subject() -> Subject:
    """The payload of the tests."""
    rng, blobs = np.random.default_rng(8), Blobs()
    edit = {"text": "zero block.out of layer 4, frame 2, steps 5 to 7", "steps": [5, 6, 7], "layers": [4],
            "frames": [2], "branches": None}  # fmt: skip
    runs = [run_of(blobs, trace, [edit] if trace == "maze-1" else []) for trace in TRACES]
    values = {(trace, "energy"): energy(rng, steps, LAYERS, FRAMES, ROWS, COLUMNS) for trace, steps in TRACES.items()}
    for trace, steps in TRACES.items():
        whole = values[trace, "energy"]
        values[trace, "robust"] = (whole - np.nanmean(whole)) / np.nanstd(whole) + 0.01 * rng.random(
            (2, steps, 1, 1, 1, 1)
        )
    limits = {name: _limits([values[trace, name] for trace in TRACES]) for name in ("energy", "robust")}
    maps = [map_of(blobs, trace, name, array, limits[name]) for (trace, name), array in values.items()]
    matrices, arrays = matrices_of(blobs, rng)
    films = [films_of(blobs, trace) for trace in ("maze-0", "maze-1")]
    payload = {
        "version": 1, "title": "Energy and trajectory of three mazes", "software": "dit-lens 0.1.0",
        "command": "dit-lens report energy.zarr cka.zarr swap.zarr trajectory.zarr -o report.html",
        "notes": ["Nothing was strided.", "Values are held in 16 bits; the largest error is written beside each."],
        "results": [{"name": "energy", "words": [["probe", "energy 1"], ["captures", "block.out:energy"]]}],
        "runs": runs, "maps": maps, "matrices": matrices, "films": films, "curves": curves_of(),
    }  # fmt: skip
    return Subject(payload, blobs.held, values, arrays)


def _limits(arrays: Sequence[Values]) -> list[float]:
    return [min(float(np.nanmin(one)) for one in arrays), max(float(np.nanmax(one)) for one in arrays)]
