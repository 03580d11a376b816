"""CKA of all pairs of representations against a bare matrix product, and against the fastest published code.

A product of matrices on the same machine in the same round is the peak: what the products inside CKA need, at that
rate, is the least that CKA can take. ``pytorch-cka`` is the package on PyPI that does all pairs at once; it comes with
``pip install pytorch-cka==1.1.3``, and without it the table says so. Errors of both are against a plain double loop in
float64, once for rows with mean 0 and once for rows whose mean is ten times their spread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import torch
from rounds import Action, figures, ratios, run_rounds, spread

from dit_lens_probes.similarity import cka_matrix
from dit_lens_probes.similarity.tiles import tile_flops

__all__ = ["measure", "table"]

OURS, PEER, GEMM = "dit_lens cka_matrix", "pytorch-cka cka_from_features", "bare float32 product"
INSTALL = "pip install pytorch-cka==1.1.3"
SIZE = (60, 2048, 512)
QUICK = (8, 256, 64)
SIDE, QUICK_SIDE = 4096, 512
MEAN = 10.0
Size = tuple[int, int, int]


def rows_of(size: Size, mean: float = 0.0) -> list[torch.Tensor]:
    """Representations that share a part, some with a mean that many times their spread."""
    count, tokens, channels = size
    draw = torch.Generator().manual_seed(0)
    common = torch.randn(tokens, channels, generator=draw)
    offset = torch.randn(channels, generator=draw)
    offset *= mean * channels**0.5 / offset.norm()
    parts = (index / max(count - 1, 1) for index in range(count))
    return [
        part * common + (1 - part**2) ** 0.5 * torch.randn(tokens, channels, generator=draw) + offset for part in parts
    ]


def exact(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Debiased CKA of all pairs in float64, from Gram matrices as the papers have them."""
    grams = []
    for one in rows:
        centred = one.double() - one.double().mean(0)
        gram = centred @ centred.T
        gram.fill_diagonal_(0)
        tokens, sums = len(gram), gram.sum(0)
        gram = gram - (sums[:, None] + sums) / (tokens - 2) + sums.sum() / ((tokens - 1) * (tokens - 2))
        grams.append(gram.fill_diagonal_(0).flatten())
    table = torch.tensor([[float(a @ b) for b in grams] for a in grams], dtype=torch.float64)
    lengths = table.diagonal().sqrt()
    return table / lengths[:, None] / lengths


def measure(quick: bool, seconds: float) -> list[dict[str, Any]]:
    """The comparison, the errors, and how the time grows with each of the three sizes."""
    size = QUICK if quick else SIZE
    return [_comparison(size, quick, seconds / 2), _errors(size), _growth(size, quick, seconds / 2)]


def _comparison(size: Size, quick: bool, seconds: float) -> dict[str, Any]:
    rows, side = rows_of(size), QUICK_SIDE if quick else SIDE
    square, peer = torch.randn(side, side), _peer()
    actions: dict[str, Action] = {GEMM: _do(torch.mm, square, square), OURS: _do(cka_matrix, rows)}
    if peer is not None:
        actions[PEER] = _do(peer, torch.stack(rows), torch.stack(rows))
    rounds = run_rounds(actions, seconds, paired=False)
    flops = tile_flops(*size)
    speeds = [flops / visit / (2 * side**3) for visit in ratios(rounds, GEMM, OURS)]
    found = [{"name": name, "seconds": spread(figures(rounds, name, "clock")).as_json()} for name in actions]
    told = {"of_peak": spread(speeds).as_json(), "flops": flops, "rounds": len(rounds), "side": side}
    if peer is not None:
        told["times_faster_than_peer"] = spread(ratios(rounds, OURS, PEER)).as_json()
    return {"what": "comparison", **_sized(size), "threads": torch.get_num_threads(), **told, "rows": found}


def _errors(size: Size) -> dict[str, Any]:
    found = []
    for mean in (0.0, MEAN):
        few = rows_of((min(size[0], 8), *size[1:]), mean)
        truth, peer = exact(few), _peer()
        methods = {OURS: cka_matrix} | ({} if peer is None else {PEER: _both(peer)})
        for name, method in methods.items():
            error = (method(few).double() - truth).abs().max()
            found.append({"name": name, "mean": mean, "error": float(f"{float(error):.2g}")})
    return {"what": "errors", "representations": min(size[0], 8), "tokens": size[1], "channels": size[2], "rows": found}


def _growth(size: Size, quick: bool, seconds: float) -> dict[str, Any]:
    """Half, and double if that is not too long, of each size alone."""
    sizes = {"base": size}
    for at, name in enumerate(("representations", "tokens", "channels")):
        for times in (0.5,) if quick else (0.5, 2):
            other = tuple(int(part * times) if index == at else part for index, part in enumerate(size))
            sizes[f"{name} x {times:g}"] = (other[0], other[1], other[2])
    given = {name: rows_of(one) for name, one in sizes.items()}
    rounds = run_rounds({name: _do(cka_matrix, rows) for name, rows in given.items()}, seconds, 1, paired=False)
    found = [
        {"name": name, **_sized(sizes[name]), "times_as_long": spread(ratios(rounds, "base", name)).as_json()}
        for name in sizes
    ]
    return {"what": "growth", "rounds": len(rounds), "rows": found}


def _do(function: Callable[..., object], *arguments: object) -> Action:
    def action() -> None:
        function(*arguments)

    return action


def _both(peer: Callable[..., torch.Tensor]) -> Callable[[Sequence[torch.Tensor]], torch.Tensor]:
    return lambda rows: peer(torch.stack(list(rows)), torch.stack(list(rows)))


def _peer() -> Callable[..., torch.Tensor] | None:
    """The other implementation, if it is installed."""
    try:
        found = import_module("cka").cka_from_features
    except (ImportError, AttributeError):
        return None
    return partial(found)


def _sized(size: Size) -> dict[str, int]:
    return dict(zip(("representations", "tokens", "channels"), size, strict=True))


def table(sections: list[dict[str, Any]]) -> str:
    """For people."""
    comparison, errors, growth = sections
    lines = [
        f"{comparison['representations']} representations of {comparison['tokens']} x {comparison['channels']} "
        f"float32, all pairs, debiased, threads {comparison['threads']}, rounds {comparison['rounds']}",
        *(f"{row['name']:32} {row['seconds']['median']:9.3f} s" for row in comparison["rows"]),
        f"{'of the peak':32} {_half(comparison['of_peak'])}",
    ]
    if "times_faster_than_peer" in comparison:
        lines.append(f"{'times faster than pytorch-cka':32} {_half(comparison['times_faster_than_peer'])}")
    else:
        lines.append(f"pytorch-cka is not installed and was left out; {INSTALL}")
    lines += ["", f"largest error against float64, of {errors['representations']} representations"]
    lines += [f"{row['name']:32} mean {row['mean']:4g}  {row['error']:9.1e}" for row in errors["rows"]]
    lines += ["", f"growth, rounds {growth['rounds']}"]
    lines += [f"{row['name']:32} {_half(row['times_as_long'])}" for row in growth["rows"]]
    return "\n".join(lines)


def _half(found: dict[str, float]) -> str:
    return f"{found['median']:9.2f}  ({found['lower']:.2f}-{found['upper']:.2f})"
