"""A small store that may be published, and how two of them are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dit_lens_stores import ArraySpec, Coordinate, Store, create_store

ENERGY, RAW = "block.out.energy", "block.out.raw"
STEPS, LAYERS, FRAMES, TOKENS, CHANNELS = (0, 1, 2, 3), (2, 5, 9), (0, 1), tuple(range(6)), tuple(range(4))
LICENCE = "CC-BY-4.0"


def specs() -> list[ArraySpec]:
    dims = ("branch", "step", "layer", "frame", "token")
    whole = {"branch": ("cond", "uncond"), "step": STEPS, "layer": LAYERS, "frame": FRAMES, "token": TOKENS}
    raw = whole | {"branch": ("cond",), "layer": (5, 9), "channel": CHANNELS}
    pixels = {"video_frame": (0, 1), "video_y": (0, 1), "rgb": ("r", "g", "b")}
    return [
        ArraySpec(ENERGY, dims, whole, dims[:3]),
        ArraySpec(RAW, (*dims, "channel"), raw, dims[:3], attrs={"source_dtype": "bfloat16"}, encoding="bits"),
        ArraySpec("video", tuple(pixels), pixels, (), "uint8"),
    ]


def add_trace(store: Store, trace_id: str, seed: int, upto: int | None = None, **manifest: object) -> None:
    """Add a trace; with ``upto`` only the first events of each array, and it stays running."""
    coordinates = [
        Coordinate("sigma", "step", [1.0, 0.75, 0.5, 0.25]),
        Coordinate("expert", "step", ["transformer", "transformer", "transformer_2", "transformer_2"]),
        Coordinate("y", "token", {token: token // 3 for token in TOKENS}),
        Coordinate("x", "token", {token: token % 3 for token in TOKENS}),
    ]
    known = {"model": "tiny-wan", "licence": "Apache-2.0", "seed": seed, "prompt": "Draw the way.", "captures": ["x"]}
    writer = store.begin(trace_id, specs(), coordinates, known | manifest)
    rng = np.random.default_rng(seed)
    for spec in specs():
        for event in spec.events()[:upto]:
            if spec.dtype == "uint8":
                writer.write(spec.name, event, rng.integers(0, 256, spec.event_shape, dtype=np.uint8))
            else:
                bits = rng.standard_normal(spec.event_shape).astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
                writer.write(spec.name, event, bits.view(np.float32))
    if upto is None:
        writer.finish()
    else:
        writer.drain()


def make_store(path: Path, traces: int = 2) -> Store:
    store = create_store(path)
    for number in range(traces):
        add_trace(store, f"t{number}", number)
    return store


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def of_store(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without what goes with a store."""
    return {key: value for key, value in files.items() if key not in ("README.md", "croissant.json", "SHA256SUMS")}
