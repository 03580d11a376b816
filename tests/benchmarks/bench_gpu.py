"""What a trace costs on a GPU: one expert of the size of Wan2.2-A14B, with random weights, at 480p and 81 frames.

Run ``python tests/benchmarks/bench_gpu.py --out docs/performance``. 40 layers of 40 heads and 5120 channels in
bfloat16, 32,760 tokens; the weights take 28 GB of device memory. What the values are does not change how long
anything takes, except compression, which random activations make look worse. ``--device cpu --layers 2 ...`` tries
the same code with a small model, and its figures say nothing about a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from bench_tracing import Arm, plain, traced
from machine import machine
from rounds import After, run_rounds, spread, summary
from subjects import Shape, Subject, untrained

from dit_lens.engine.flow import Flow, SideStream, copy_now
from dit_lens.generation import Size
from dit_lens_stores import ArraySpec, create_store

__all__ = ["main"]

WHATS = ("clock",)
COPIES, EVENTS = 8, 4
FILE = 256 * 2**20


def synchronized(arm: Arm, folder: Path, device: str) -> Callable[[], After]:
    """An arm whose clock stops when the device has finished; the figures of a trace come with it."""

    def action() -> After:
        with tempfile.TemporaryDirectory(dir=folder) as target:
            result = arm(Path(target))
            _synchronize(device)
            stored = sum(file.stat().st_size for file in Path(target).rglob("*") if file.is_file())
        return lambda: {"waited": result.waited, "stored": float(stored)}

    return action


def slow_down(subject: Subject, folder: Path, device: str, rounds: int) -> list[dict[str, Any]]:
    """The energy of all blocks, and four layers raw, against the plain pipeline."""
    layers = subject.lens.plan(subject.request, ["latent"])[1].layers
    four = "+".join(map(str, sorted({layer * (layers - 1) // 3 for layer in range(4)})))
    arms = {
        "plain": plain(subject),
        "energy of all blocks": traced(subject, "block.out:energy"),
        "raw of four layers": traced(subject, f"block.out:raw[layer={four}]"),
        "raw of four layers as bits": traced(subject, f"block.out:raw@bits[layer={four}]"),
    }
    actions = {name: synchronized(arm, folder, device) for name, arm in arms.items()}
    found = run_rounds(actions, seconds=0, at_least=rounds)
    rows = []
    for name in actions:
        visits = [visit for each in found for visit in each if visit.name == name]
        facts = {what: max(visit.value(what) for visit in visits) for what in ("waited", "stored")}
        rows.append({**summary(found, "plain", name, WHATS), **facts})
    return rows


def rates(subject: Subject, folder: Path, device: str) -> dict[str, float]:
    """Bytes a second of outputs of one block: to the host plain, pinned and as the flow takes it; to disk."""
    layout = subject.lens.plan(subject.request, ["latent"])[1]
    frames, rows, columns = layout.tokens
    values = torch.randn(frames, rows * columns, layout.channels, device=device, dtype=getattr(torch, layout.dtype))
    on_gpu = device != "cpu"
    pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=on_gpu)
    pageable = torch.empty(values.shape, dtype=values.dtype)
    take = SideStream() if on_gpu else copy_now
    ways: dict[str, Callable[[], object]] = {
        "to pageable memory": lambda: pageable.copy_(values),
        "to pinned memory": lambda: pinned.copy_(values, non_blocking=True),
        "to pinned memory through the flow": lambda: take(values)(),
    }
    found = {name: values.nbytes / _seconds(way, device) for name, way in ways.items()}
    stores = {f"to disk through the store, {kind}": _store(folder, values, kind) for kind in ("bits", "exact")}
    return {**found, "to disk, plain": _disk(folder), **stores}


def _seconds(way: Callable[[], object], device: str) -> float:
    took = []
    for _ in range(COPIES):
        _synchronize(device)
        start = time.perf_counter()
        way()
        _synchronize(device)
        took.append(time.perf_counter() - start)
    return spread(took[1:]).median


def _store(folder: Path, values: torch.Tensor, encoding: str) -> float:
    """From the device into a store, with nothing that computes beside it; of the bytes as they are on the device."""
    dims = ("step", "frame", "token", "channel")
    labels = {dim: tuple(range(size)) for dim, size in zip(dims, (EVENTS, *values.shape), strict=True)}
    writer = create_store(folder / f"{encoding}.zarr").begin(
        "t0", [ArraySpec("x", dims, labels, dims[:1], encoding=encoding)], [], {}
    )
    start = time.perf_counter()
    with Flow() as flow:
        for step in range(EVENTS):
            flow.put(writer, "x", {"step": step}, values, encoding)
    writer.finish()
    return EVENTS * values.nbytes / (time.perf_counter() - start)


def _disk(folder: Path) -> float:
    """Of a file that is flushed to the disk."""
    data = os.urandom(2**20) * (FILE // 2**20)
    start = time.perf_counter()
    with (folder / "plain").open("wb", buffering=0) as file:
        file.write(data)
        os.fsync(file.fileno())
    return FILE / (time.perf_counter() - start)


def _synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def table(figures: dict[str, Any]) -> str:
    """For people."""
    lines = [figures["words"], f"{'':36} {'ratio':>6}  {'middle half':12} {'seconds':>8} {'waited':>7} {'GB':>6}"]
    for row in figures["rows"]:
        ratio, clock = row["ratio"]["clock"], row["seconds"]["clock"]["median"]
        half = f"{ratio['lower']:.3f}-{ratio['upper']:.3f}"
        words = f"{row['name']:36} {ratio['median']:6.3f}  {half:12} {clock:8.2f} {row['waited']:7.2f}"
        lines.append(f"{words} {row['stored'] / 1e9:6.2f}")
    return "\n".join([*lines, *(f"{name:36} {rate / 1e9:6.3f} GB/s" for name, rate in figures["rates"].items())])


def main() -> None:
    """Measure, print, and write ``OUT/gpu.json``."""
    asked = _arguments()
    if asked.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit(
            "bench_gpu needs a GPU; got torch without CUDA, allowed a machine where torch.cuda.is_available(); "
            "try the code with --device cpu --layers 2 --heads 2 --feed-forward 512 --size 64x64x5 --steps 1"
        )
    height, width, frames = map(int, asked.size.split("x"))
    shape = Shape(
        layers=asked.layers,
        heads=asked.heads,
        head_channels=128,
        feed_forward=asked.feed_forward,
        size=Size(height, width, frames),
        dtype=torch.bfloat16,
        device=asked.device,
    )
    subject = untrained("Wan of the size of one A14B expert", shape, asked.steps)
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=asked.scratch) as folder:
        rows = slow_down(subject, Path(folder), asked.device, asked.rounds)
        figures = {"words": subject.words, "rows": rows, "rates": rates(subject, Path(folder), asked.device)}
    facts = {"machine": machine(), "device": asked.device, "rounds": asked.rounds, "date": time.strftime("%Y-%m-%d")}
    (asked.out / "gpu.json").write_text(json.dumps({**facts, "figures": figures}, indent=1) + "\n", encoding="utf-8")
    print(f"{facts['machine']['summary']}\n{table(figures)}")  # noqa: T201


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a trace costs on a GPU.")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder of gpu.json")
    parser.add_argument("--scratch", type=Path, help="folder for the stores: the disk that is measured")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--layers", type=int, default=40)
    parser.add_argument("--heads", type=int, default=40, help="of 128 channels each")
    parser.add_argument("--feed-forward", type=int, default=13824)
    parser.add_argument("--size", default="480x832x81", help="height x width x frames")
    return parser.parse_args()


if __name__ == "__main__":
    main()
