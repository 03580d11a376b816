"""A small trace of every shape that the trace layer writes, with known values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dit_lens_stores import ArraySpec, Coordinate, Store, TraceWriter, create_store

Values = npt.NDArray[np.float32]

BRANCHES, STEPS, LAYERS, FRAMES = ("cond", "uncond"), (0, 1, 2), (0, 1, 2, 3), (0, 1)
TOKENS, CHANNELS = tuple(range(6)), tuple(range(8))
SIGMAS = {0: 1.0, 1: 0.75, 2: 0.25}
EXPERTS = {0: "transformer", 1: "transformer", 2: "transformer_2"}


def bf16_noise(shape: tuple[int, ...], seed: int = 0) -> Values:
    """Random bfloat16 values widened to float32, over its whole range: the low 16 bits are zero."""
    bits = np.random.default_rng(seed).integers(0, 2**32, size=shape, dtype=np.uint32) & np.uint32(0xFFFF0000)
    values = bits.view(np.float32)
    return np.where(np.isfinite(values), values, np.float32(0))


def small_specs() -> list[ArraySpec]:
    """Raw of two layers and one frame, energy of everything, a latent per step, and a video."""
    whole = {"branch": BRANCHES, "step": STEPS, "layer": LAYERS, "frame": FRAMES, "token": TOKENS}
    raw_dims = (*whole, "channel")
    raw = whole | {"layer": (1, 3), "frame": (1,), "token": (0, 2, 5), "branch": ("cond",), "channel": CHANNELS}
    pixels = {"video_frame": (0, 1), "video_y": (0, 1, 2), "video_x": (0, 1, 2), "rgb": ("r", "g", "b")}
    return [
        ArraySpec("block.out.raw", raw_dims, raw, raw_dims[:3], attrs={"source_dtype": "bfloat16"}),
        ArraySpec("block.out.energy", tuple(whole), whole, raw_dims[:3]),
        ArraySpec("latent.energy", ("step", "frame"), {"step": STEPS, "frame": FRAMES}, ("step",)),
        ArraySpec("video", tuple(pixels), pixels, (), "uint8"),
    ]


def expected_union(
    spec: ArraySpec, labels: dict[str, tuple[int | str, ...]], count: int | None = None
) -> npt.NDArray[np.generic]:
    whole = np.full([len(labels[dim]) for dim in spec.dims], 0 if spec.dtype == "uint8" else np.nan, spec.dtype)
    inner = [[labels[dim].index(label) for label in spec.labels[dim]] for dim in spec.value_dims]
    for number, event in enumerate(spec.events()[:count]):
        at = [[labels[dim].index(event[dim])] for dim in spec.event_dims]
        whole[np.ix_(*at, *inner)] = event_values(spec, number)
    return whole


def small_coordinates() -> list[Coordinate]:
    return [
        Coordinate("sigma", "step", {}, dtype="float64"),
        Coordinate("expert", "step", {}, dtype="str"),
        Coordinate("timestep", "step", [999, 750, 250]),
        Coordinate("y", "token", {token: token // 3 for token in range(100)}),
        Coordinate("x", "token", {token: token % 3 for token in range(100)}),
    ]


def event_values(spec: ArraySpec, number: int) -> npt.NDArray[np.generic]:
    """The values of a spec's event, by its number: bf16 noise, or pixels."""
    if spec.dtype == "uint8":
        return np.random.default_rng(number).integers(0, 256, spec.event_shape, dtype=np.uint8)
    return bf16_noise(spec.event_shape, seed=number)


def fill_trace(writer: TraceWriter, specs: list[ArraySpec], upto: int | None = None) -> None:
    for spec in specs:
        for number, event in enumerate(spec.events()[:upto]):
            writer.write(spec.name, event, event_values(spec, number))
    for step in STEPS:
        writer.set_coordinate("sigma", step, SIGMAS[step])
        writer.set_coordinate("expert", step, EXPERTS[step])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return create_store(tmp_path / "a.zarr")


@pytest.fixture
def specs() -> list[ArraySpec]:
    return small_specs()


@pytest.fixture
def begin(store: Store, specs: list[ArraySpec]) -> Callable[..., TraceWriter]:
    """Begin a small trace; ``begin("t1")`` for another id."""

    def begin(trace_id: str = "t0") -> TraceWriter:
        return store.begin(trace_id, specs, small_coordinates(), {"model": "tiny", "seed": 3, "size": (64, 64)})

    return begin


@pytest.fixture
def full(store: Store, specs: list[ArraySpec], begin: Callable[..., TraceWriter]) -> Store:
    """A store with one complete trace, ``t0``."""
    writer = begin()
    fill_trace(writer, specs)
    writer.finish()
    return store


@pytest.fixture
def fill() -> Callable[..., None]:
    """Write all events of a small trace, or the first few of every array."""
    return fill_trace


@pytest.fixture
def values_of() -> Callable[[ArraySpec, int], npt.NDArray[np.generic]]:
    return event_values


@pytest.fixture
def bf16() -> Callable[..., Values]:
    return bf16_noise


@pytest.fixture
def as_union() -> Callable[..., npt.NDArray[np.generic]]:
    """What the group must hold of one array whose first ``count`` events were written, worked out by hand."""
    return expected_union
