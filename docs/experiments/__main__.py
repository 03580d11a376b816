"""``make paper``: run the paper's experiments on tiny-wan, and write the pages about them.

Each experiment is a command line of ``dit-lens intervene``, or some of ``trace`` and one of ``analyze``; one that was
stopped goes on. With ``--quick`` every one runs on a puzzle or two, in a few minutes all together,
to see that it works.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from experiments.catalogue import EXPERIMENTS
from experiments.page import write_pages
from experiments.running import measure

__all__ = ["main"]


def main() -> None:
    """Run what is asked for, then write the pages."""
    asked = _arguments()
    for name in () if asked.render else asked.only or EXPERIMENTS:
        _say(f"found  {measure(EXPERIMENTS[name], asked.runs, asked.out, asked.workers, asked.quick)}")
    for page in write_pages(asked.out):
        _say(f"page   {page}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make paper", description="The paper's experiments on tiny-wan.")
    parser.add_argument("--quick", action="store_true", help="tries everything on a puzzle or two, measures little")
    parser.add_argument("--render", action="store_true", help="writes the pages again from what was found")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, help="the experiments to run; all by default")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes of intervene; one a core by default"
    )
    parser.add_argument("--out", type=Path, help="folder of pages and images; docs, or runs/paper-quick if quick")
    parser.add_argument("--runs", type=Path, help="folder for what is measured; runs/paper, or in --out if quick")
    asked = parser.parse_args()
    asked.out = asked.out or Path("runs/paper-quick" if asked.quick else "docs")
    asked.runs = asked.runs or (asked.out / "runs" if asked.quick else Path("runs/paper"))
    return asked


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
