"""The energy of a block's output against a copy of the same bytes: nothing that reads every value can be much faster.

The values are those of a large model in size and kind: 16,384 tokens of 5120 channels in bfloat16, one channel far
larger than the others. The obvious formulations are there too, with the error that each makes against float64.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from rounds import Action, figures, ratios, run_rounds, spread

from dit_lens.engine.statistics import energy

__all__ = ["measure", "table"]

ROWS, CHANNELS, QUICK_ROWS = 16384, 5120, 1024
COPY = "copy of the same bytes"
Method = Callable[[torch.Tensor], torch.Tensor]
METHODS: dict[str, Method] = {
    "dit_lens energy": partial(energy, dim=-1),
    "vector_norm in bfloat16": partial(torch.linalg.vector_norm, dim=-1),
    "vector_norm(dtype=float32)": partial(torch.linalg.vector_norm, dim=-1, dtype=torch.float32),
    "float().norm()": lambda values: values.float().norm(dim=-1),
}


def values_of(rows: int, dtype: torch.dtype) -> torch.Tensor:
    """Noise with one massive channel."""
    drawn = torch.randn(rows, CHANNELS, generator=torch.Generator().manual_seed(0))
    drawn[:, 7] *= 100
    return drawn.to(dtype)


def measure(quick: bool, seconds: float) -> list[dict[str, Any]]:
    """One section for each dtype and number of threads."""
    rows = QUICK_ROWS if quick else ROWS
    threads = sorted({torch.get_num_threads(), 1}, reverse=True)
    cases = [(dtype, count) for dtype in (torch.bfloat16, torch.float32) for count in threads]
    return [_section(values_of(rows, dtype), count, seconds / len(cases)) for dtype, count in cases]


def _section(values: torch.Tensor, threads: int, seconds: float) -> dict[str, Any]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rounds = run_rounds(_actions(values), seconds, paired=False)
    finally:
        torch.set_num_threads(before)
    exact = torch.cat([piece.double().norm(dim=-1) for piece in values.split(512)])
    named = [(name, _error(method(values), exact)) for name, method in _methods(values).items()]
    rows = [
        {
            "name": name,
            "of_copy": spread([1 / ratio for ratio in ratios(rounds, COPY, name)]).as_json(),
            "milliseconds": spread([1e3 * clock for clock in figures(rounds, name, "clock")]).as_json(),
            "error": float(f"{error:.2g}"),
        }
        for name, error in [(COPY, 0.0), *named]
    ]
    dtype, (tokens, channels) = str(values.dtype).removeprefix("torch."), values.shape
    words = {"tokens": tokens, "channels": channels, "dtype": dtype, "bytes": values.nbytes}
    return {**words, "threads": threads, "rounds": len(rounds), "rows": rows}


def _methods(values: torch.Tensor) -> dict[str, Method]:
    """Of float32, the norm without a dtype is the same as that with it."""
    return {name: method for name, method in METHODS.items() if values.dtype != torch.float32 or "bfloat16" not in name}


def _actions(values: torch.Tensor) -> dict[str, Action]:
    target = torch.empty_like(values)

    def do(method: Callable[[torch.Tensor], object]) -> None:
        method(values)

    return {COPY: partial(do, target.copy_)} | {name: partial(do, method) for name, method in _methods(values).items()}


def _error(norms: torch.Tensor, exact: torch.Tensor) -> float:
    return float(((norms.double() - exact).abs() / exact).max())


def table(sections: list[dict[str, Any]]) -> str:
    """For people: how fast each is, as a part of the speed of the copy."""
    return "\n\n".join(_section_table(section) for section in sections)


def _section_table(section: dict[str, Any]) -> str:
    lines = [
        f"{section['tokens']} x {section['channels']} {section['dtype']}, threads {section['threads']}, "
        f"rounds {section['rounds']}",
        f"{'':28} {'of copy':>8}  {'middle half':14} {'ms':>8} {'largest error':>14}",
    ]
    for row in section["rows"]:
        speed = row["of_copy"]
        half = f"{speed['lower']:.2f}-{speed['upper']:.2f}"
        clock = row["milliseconds"]["median"]
        lines.append(f"{row['name']:28} {speed['median']:8.2f}  {half:14} {clock:8.1f} {row['error']:14.1e}")
    return "\n".join(lines)
