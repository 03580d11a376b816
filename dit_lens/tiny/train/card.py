"""The model card: data, steps, seed, curves and scores, written from the run's own log and measurements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from dit_lens.tiny.train.log import RunLog

if TYPE_CHECKING:
    from dit_lens.tiny.train.run import Recipe

__all__ = ["write_card"]

_TEMPLATE = Template(Path(__file__).with_name("card_template.md").read_text(encoding="utf-8"))


def write_card(folder: Path, name: str, recipe: Recipe, measured: Mapping[str, Any], log: RunLog) -> None:
    """Write ``README.md`` and ``curves.png`` into the model's folder."""
    from dit_lens.tiny.train.autoencoder import build_autoencoder
    from dit_lens.tiny.train.denoiser import BOUNDARY, SHIFT, build_denoiser
    from dit_lens.tiny.train.sampling import FORK_SHARE

    vae = measured["autoencoder"]
    text = _TEMPLATE.substitute(
        recipe=name,
        threads=measured["threads"],
        drawn=f"{recipe.drawn:,}",
        boundary=BOUNDARY,
        shift=SHIFT,
        expert_parameters=_millions(build_denoiser()),
        vae_parameters=_millions(build_autoencoder()),
        dropout=f"{recipe.denoiser.prompt_dropout:.0%}",
        fork_share=f"{FORK_SHARE:.0%}",
        seed=recipe.denoiser.seed,
        latents=f"{recipe.encoded:,}",
        vae_steps=f"{recipe.autoencoder.steps:,}",
        batch=recipe.denoiser.batch,
        steps=", ".join(f"{count:,} steps of `{part}`" for part, count in recipe.denoiser.steps),
        scores=_score_table(measured["model"]),
        measured=sum(int(row["count"]) for row in measured["model"].values()),
        repeats=measured["repeats"],
        seconds=f"{measured['seconds']:.1f}",
        psnr=f"{vae['psnr']:.1f}",
        readback=", ".join(
            f"{int(key[9:])} x {int(key[9:])}: {value:.1%}" for key, value in vae.items() if key.startswith("readback")
        ),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    _draw_curves(log).savefig(folder / "curves.png", dpi=100)


def _millions(module: Any) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.1f} M"


def _score_table(rates: Mapping[str, Mapping[str, float]]) -> str:
    lines = ["| puzzle | n | solved at the end | solved in x0 of step 0 | route covered |", "|---|---|---|---|---|"]
    for name, row in rates.items():
        kind, size = name.split("-")
        shares = " | ".join(f"{row[key]:.1%}" for key in ("solved", "first_step", "coverage"))
        lines.append(f"| {kind} {size} x {size} | {row['count']} | {shares} |")
    return "\n".join(lines)


def _draw_curves(log: RunLog) -> Figure:
    """Loss above; below, the share of unseen clips that the autoencoder shows, and of puzzles that are solved."""
    records = log.read()
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots(2, 4)
    for column, stage in enumerate(("autoencoder", "shared", "high", "low")):
        rows = [row for row in records if row["stage"] == stage]
        points = [(row["step"], row["loss"]) for row in rows if "loss" in row]
        axes[0, column].semilogy(*zip(*points, strict=True), linewidth=0.7)
        axes[0, column].set(title=stage, ylabel="loss" if column == 0 else None)
        for prefix, label in (("readback_", "read back"), ("solved_maze", "maze"), ("solved_fork", "fork")):
            shares = [(row["step"], _mean(row, prefix)) for row in rows if _mean(row, prefix) is not None]
            if shares:
                axes[1, column].plot(*zip(*shares, strict=True), marker=".", label=label)
                axes[1, column].legend(frameon=False)
        axes[1, column].set(xlabel="step", ylim=(-0.05, 1.05), ylabel="share" if column == 0 else None)
    return figure


def _mean(row: Mapping[str, Any], prefix: str) -> float | None:
    values = [float(value) for key, value in row.items() if key.startswith(prefix)]
    return sum(values) / len(values) if values else None
