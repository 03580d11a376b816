"""``make anatomy``: measure tiny-wan, draw what was found, fill the page.

Jobs of all parts go to one pool, one process with one thread a core: the model is so small that threads get in each
other's way. Every job is decided by its puzzles and seeds, so the order in which they end changes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, fields, replace
from multiprocessing import get_context
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", OMP_NUM_THREADS="1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from anatomy.facts import facts
from anatomy.figures import draw_all
from anatomy.page import write_page
from anatomy.parts import PARTS
from anatomy.settings import QUICK, Job, Record, Settings

__all__ = ["main"]


def main() -> None:
    """Measure the parts that are asked for, then draw and write."""
    asked = _arguments()
    found = asked.out / "tiny-wan"
    if not asked.render:
        found.mkdir(parents=True, exist_ok=True)
        settings = _settings(asked)
        began = time.perf_counter()
        records = measure({name: PARTS[name](settings) for name in asked.only or PARTS}, asked.workers)
        seconds = round(time.perf_counter() - began)
        whole = {**facts(settings), "command": _command(), "workers": asked.workers, "quick": asked.quick}
        for name, part in records.items():
            document = {**whole, "seconds": seconds, "settings": asdict(settings), "records": part}
            (found / f"{name}.json").write_text(json.dumps(document) + "\n", encoding="utf-8")
        _say(f"measured {', '.join(records)} in {seconds} s")
    draw_all(found, asked.out / "images")
    page = write_page(found, asked.out)
    _say(f"page  {page}")


def measure(jobs: dict[str, list[Job]], workers: int) -> dict[str, list[Record]]:
    """The records of every part, in the order of its jobs."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running: dict[str, list[Future[list[Record]]]] = {
            name: [pool.submit(job) for job in part] for name, part in jobs.items()
        }
        done: dict[str, list[Record]] = {}
        for name, futures in running.items():
            done[name] = [record for future in futures for record in future.result()]
            _say(f"{name}: {len(done[name])} records")
    return done


def _settings(asked: argparse.Namespace) -> Settings:
    given = {each.name: getattr(asked, each.name) for each in fields(Settings)}
    chosen = replace(QUICK if asked.quick else Settings(), **{k: v for k, v in given.items() if v is not None})
    return replace(chosen, sweep=min(chosen.sweep, chosen.n))


def _command() -> str:
    """As it was given, but for the folder: it changes no number, and may name a place on someone's machine."""
    given = sys.argv[1:]
    kept = [word for i, word in enumerate(given) if "--out" not in (word.split("=")[0], *given[max(i - 1, 0) : i])]
    words = " ".join(kept)
    return f'make anatomy ARGS="{words}"' if words else "make anatomy"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make anatomy", description="What tiny-wan does with every kind of puzzle.")
    parser.add_argument("--quick", action="store_true", help="tries everything on a few puzzles, measures little")
    parser.add_argument("--render", action="store_true", help="draws and writes again from what was measured")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="the parts to measure; all by default")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes; one a core by default")
    parser.add_argument(
        "--out", type=Path, help="folder of page, JSON files and images; docs, or runs/anatomy if quick"
    )
    for each in fields(Settings):
        many, kind = each.name.startswith("fewer"), float if each.name == "guidance" else int
        usual, quick = (getattr(settings, each.name) for settings in (Settings(), QUICK))
        words = f"see anatomy/settings.py; {usual} by default, {quick} if quick"
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=kind, nargs="+" if many else None, help=words)
    asked = parser.parse_args()
    asked.out = asked.out or Path("runs/anatomy" if asked.quick else "docs")
    return asked


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
