"""How fast a store is written and read, as ratios to plain ``os.write`` and ``read`` of the same bfloat16 bytes.

Run ``python tests/benchmarks/bench_store.py [FOLDER] [ROUNDS]``. Speeds of a machine that others use as well mean
little, so all alternatives take turns in every round and only ratios inside a round count; the table gives their median
and their range, by the clock and by the time of the processors, which others disturb less. The values are what the
blocks of the trained tiny-wan return, because compressors must be measured on what a model computes: 8 blocks side by
side make 1024 channels, and the rows are repeated (after 30 MB, far beyond what lz4 remembers) until there are four
events of 67 MB. They are handed over as a model in bfloat16 has them, as bit patterns; as float32 too, for comparison.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from dit_lens_stores import ArraySpec, TraceWriter, create_store, open_store

__all__ = ["main", "trained_bits"]

Values = npt.NDArray[Any]
Round = dict[str, tuple[float, float]]
Prepare = Callable[[Path], Callable[[], object]]
Writing = dict[str, Prepare]
Reading = dict[str, Callable[[], object]]
EVENT, EVENTS, WIDTH = (21, 1560, 1024), 4, 8
DIMS = ("layer", "frame", "token", "channel")
TARGETS = {"bits, no codec": 0.90, "bits, lz4": 0.55, "exact": 0.35}


def trained_bits(steps: int = 20) -> npt.NDArray[np.uint16]:
    """Run tiny-wan once on a maze and return all block outputs as bit patterns of bfloat16, (row, channel)."""
    import torch
    from PIL import Image

    import dit_lens
    from dit_lens.puzzles import unseen

    lens, maze, taken = dit_lens.load("tiny-wan"), unseen("maze", 0, size=5), []

    def take(module: Any, arguments: Any, output: torch.Tensor) -> None:
        tokens = output.detach().to(torch.bfloat16).reshape(-1, output.shape[-1])
        taken.append(tokens.view(torch.int16).numpy().view(np.uint16).copy())

    blocks = [*lens.pipeline.transformer.blocks, *lens.pipeline.transformer_2.blocks]
    hooks = [block.register_forward_hook(take) for block in blocks]
    picture = Image.fromarray(maze.first_frame())
    lens.generate(dit_lens.Generation(prompt=maze.prompt, image=picture, seed=0, steps=steps), decode=False)
    for hook in hooks:
        hook.remove()
    whole = len(taken) // WIDTH * WIDTH
    return np.concatenate([np.concatenate(taken[i : i + WIDTH], axis=1) for i in range(0, whole, WIDTH)])


def events_of(bits: npt.NDArray[np.uint16]) -> list[Values]:
    """Tile rows of tokens into events."""
    rows = EVENT[0] * EVENT[1]
    return list(np.resize(bits, (EVENTS * rows, EVENT[2])).reshape(EVENTS, *EVENT))


def write_plain(folder: Path, events: list[Values]) -> None:
    """Write the same bytes with nothing around them: the speed of the disk."""
    for number, event in enumerate(events):
        with (folder / str(number)).open("wb", buffering=0) as file:
            data = event.reshape(-1).view(np.uint8).data
            while data:
                data = data[file.write(data) :]


def read_plain(folder: Path) -> None:
    """Read them back."""
    for number in range(EVENTS):
        np.fromfile(folder / str(number), np.uint16)


def begin_store(folder: Path, encoders: int = 1, **options: Any) -> TraceWriter:
    """Lay out a trace of the events."""
    labels = {dim: tuple(range(size)) for dim, size in zip(DIMS, (EVENTS, *EVENT), strict=True)}
    spec = ArraySpec("x", DIMS, labels, DIMS[:1], **options)
    return create_store(folder / "a.zarr").begin("t0", [spec], [], {}, encoders=encoders)


def write_events(writer: TraceWriter, events: list[Values]) -> None:
    """Write them all, until they are in place and marked done."""
    for number, event in enumerate(events):
        writer.write("x", {"layer": number}, event, owned=True)
    writer.drain()


def begin_zarr(folder: Path, like: Path) -> zarr.Array[Any]:
    """Lay out an array like that of a store, for zarr-python alone."""
    there = zarr.open_array(like / "a.zarr" / "t0" / "x", mode="r")
    return zarr.create_array(
        folder / "z.zarr",
        shape=there.shape,
        chunks=there.chunks,
        shards=there.shards,
        dtype=there.dtype,
        fill_value=there.fill_value,
        compressors=there.compressors,
        config={"write_empty_chunks": True},
    )


def write_zarr(array: zarr.Array[Any], events: list[Values]) -> None:
    """Write them all."""
    for number, event in enumerate(events):
        array[number] = event


def alternatives(folder: Path, bits: list[Values]) -> tuple[Writing, Reading]:
    """Everything that is compared: what prepares an empty folder and then writes, and what reads `folder`."""
    floats = [(event.astype(np.uint32) << 16).view(np.float32) for event in bits]
    for name, events in (("bits", bits), ("exact", floats)):
        write_events(writer := begin_store(folder / name, encoding=name), events)
        writer.finish()
    write_plain(folder, bits)

    def ours(events: list[Values], encoders: int = 1, **options: Any) -> Prepare:
        return lambda to: partial(write_events, begin_store(to, encoders, **options), events)

    writing: Writing = {
        "os.write": lambda to: partial(write_plain, to, bits),
        "bits, no codec": ours(bits, encoding="bits", compressor="none", checksum=False),
        "bits, crc32c": ours(bits, encoding="bits", compressor="none"),
        "bits, lz4": ours(bits, encoding="bits"),
        "bits, lz4, 2 encoders": ours(bits, 2, encoding="bits"),
        "bits, lz4, zarr-python": lambda to: partial(write_zarr, begin_zarr(to, folder / "bits"), bits),
        "exact": ours(bits),
        "exact, 2 encoders": ours(bits, 2),
        "exact, given as float32": ours(floats),
        "exact, zarr-python": lambda to: partial(write_zarr, begin_zarr(to, folder / "exact"), floats),
    }
    stores = {name: folder / name / "a.zarr" for name in ("bits", "exact")}
    reading: Reading = {
        "read": lambda: read_plain(folder),
        "read exact, zarr-python": lambda: zarr.open_array(stores["exact"] / "t0" / "x", mode="r")[...],
        "read exact": lambda: open_store(stores["exact"])["t0"]["x"].values,
        "read bits, lz4": lambda: open_store(stores["bits"])["t0"]["x"].values,
    }
    return writing, reading


def one_round(folder: Path, writing: Writing, reading: Reading) -> Round:
    """Time every alternative once: seconds on the clock, and of all processors together."""
    seconds = {}
    for name, prepare in writing.items():
        target = Path(tempfile.mkdtemp(dir=folder))
        seconds[name] = _time(prepare(target))
        shutil.rmtree(target)
    return seconds | {name: _time(read) for name, read in reading.items()}


def _time(action: Callable[[], object]) -> tuple[float, float]:
    clock, processor = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - clock, time.process_time() - processor


def table(rounds: list[Round], nbytes: int) -> str:
    """Ratios to the plain write, or to the plain read, of the time on the clock and of the processors' time."""
    lines = [f"{'':24} {'MB/s':>6} {'clock':>6}  {'range':12} {'processor':>9}  {'range':12} target"]
    for name in rounds[0]:
        base = "read" if name.startswith("read") else "os.write"
        speed = nbytes / 1e6 / median(each[name][0] for each in rounds)
        target = f"{TARGETS[name]:.2f}" if name in TARGETS else ""
        clock, processor = (_ratio(rounds, base, name, which) for which in (0, 1))
        lines.append(f"{name:24} {speed:6.0f} {clock} {processor:>23}  {target}")
    pairs = (("read exact", "read exact, zarr-python"), *((f"{n}, 2 encoders", n) for n in ("bits, lz4", "exact")))
    lines += [f"{name} / {base}: {_ratio(rounds, base, name, 0)}" for name, base in pairs]
    return "\n".join(lines)


def _ratio(rounds: list[Round], base: str, name: str, which: int) -> str:
    ratios = [each[base][which] / each[name][which] for each in rounds]
    return f"{median(ratios):6.2f}  {min(ratios):.2f} - {max(ratios):.2f}"


def main(arguments: list[str]) -> str:
    """Measure in a folder that is deleted at the end, and return the table."""
    where = arguments[0] if arguments else ("/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    count = int(arguments[1]) if len(arguments) > 1 else 7
    bits = events_of(trained_bits())
    with tempfile.TemporaryDirectory(dir=where) as folder:
        writing, reading = alternatives(Path(folder), bits)
        one_round(Path(folder), writing, reading)  # memory is slow when it is touched first
        rounds = [one_round(Path(folder), writing, reading) for _ in range(count)]
    return table(rounds, sum(event.nbytes for event in bits))


if __name__ == "__main__":
    print(main(sys.argv[1:]))  # noqa: T201
