"""What a trace costs on this machine: ``make bench``, or ``python tests/benchmarks/bench.py``.

Everything is a ratio of things that ran in turns, see ``rounds``, but for the page of a report, which has to keep up
with a screen. Each part prints a table and writes its figures, with the machine that they are from, to
``OUT/PART.json``; ``--out docs/performance`` puts them where the documentation reads them.
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

import bench_kernel
import bench_report
import bench_similarity
import bench_store
import bench_tracing
from machine import machine

__all__ = ["main"]

SECONDS = {"tracing": 330.0, "kernel": 30.0, "similarity": 120.0}
STORE_ROUNDS = 5
Part = Callable[[Path, bool], tuple[Any, str]]


def tracing(folder: Path, quick: bool) -> tuple[Any, str]:
    """Traced runs against plain ones."""
    sections = bench_tracing.measure(folder, quick, 0 if quick else SECONDS["tracing"])
    return sections, bench_tracing.table(sections)


def kernel(_folder: Path, quick: bool) -> tuple[Any, str]:
    """The energy against a copy."""
    sections = bench_kernel.measure(quick, 1 if quick else SECONDS["kernel"])
    return sections, bench_kernel.table(sections)


def similarity(_folder: Path, quick: bool) -> tuple[Any, str]:
    """CKA of all pairs against a bare product."""
    sections = bench_similarity.measure(quick, 1 if quick else SECONDS["similarity"])
    return sections, bench_similarity.table(sections)


def store(folder: Path, quick: bool) -> tuple[Any, str]:
    """Writing and reading a store against plain files."""
    memory = Path("/dev/shm")  # where no disk disturbs, as bench_store would choose by itself
    where = memory if os.access(memory, os.W_OK) else folder
    lines = bench_store.main([str(where), "1" if quick else str(STORE_ROUNDS)])
    return lines.splitlines(), lines


def report(folder: Path, quick: bool) -> tuple[Any, str]:
    """Opening and drawing the page of a report."""
    sections = bench_report.measure(folder, quick)
    return sections, bench_report.table(sections)


PARTS: dict[str, Part] = {
    "kernel": kernel,
    "similarity": similarity,
    "tracing": tracing,
    "store": store,
    "report": report,
}


def main() -> None:
    """Measure the parts that are asked for."""
    asked = _arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.only or PARTS:
        facts = {"machine": machine(), "command": _command(asked), "date": time.strftime("%Y-%m-%d")}
        with tempfile.TemporaryDirectory(dir=asked.scratch) as folder:
            start = time.perf_counter()
            figures, words = PARTS[name](Path(folder), asked.quick)
        whole = {**facts, "quick": asked.quick, "seconds": round(time.perf_counter() - start), "figures": figures}
        path = asked.out / f"{name}.json"
        path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        print(f"== {name}: {machine()['summary']}, {whole['seconds']} s, {path}\n{words}\n", flush=True)  # noqa: T201


def _command(asked: argparse.Namespace) -> str:
    words = [
        *(["--quick"] if asked.quick else []),
        *(["--only", *asked.only] if asked.only else []),
        f"--out {asked.out}",
    ]
    return f'make bench ARGS="{" ".join(words)}"'


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="What a trace costs on this machine.")
    parser.add_argument(
        "--quick", action="store_true", help="small models and one round: tries it all, measures little"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, help="the parts to measure; all by default")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder of the JSON files")
    parser.add_argument("--scratch", type=Path, help="folder for the stores; that of temporary files by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
