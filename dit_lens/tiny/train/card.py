"""The model card: data, steps, seed, curves and scores, written from the run's own log and measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from dit_lens.puzzles import TASKS
from dit_lens.tiny.train.log import RunLog

if TYPE_CHECKING:
    from dit_lens.tiny.train.run import Recipe

__all__ = ["write_card"]

_WEAK = 0.6
_TEMPLATE = Template(Path(__file__).with_name("card_template.md").read_text(encoding="utf-8"))


def write_card(folder: Path, name: str, recipe: Recipe, measured: Mapping[str, Any], log: RunLog) -> None:
    """Write ``README.md`` and ``curves.png`` into the model's folder."""
    from dit_lens.tiny.train.autoencoder import build_autoencoder
    from dit_lens.tiny.train.denoiser import BOUNDARY, SHIFT, build_denoiser
    from dit_lens.tiny.train.sampling import SHARES

    vae = measured["autoencoder"]
    text = _TEMPLATE.substitute(
        recipe=name,
        threads=measured["threads"],
        boundary=BOUNDARY,
        shift=SHIFT,
        expert_parameters=_millions(build_denoiser()),
        vae_parameters=_millions(build_autoencoder()),
        dropout=f"{recipe.denoiser.prompt_dropout:.0%}",
        tasks=_task_table(SHARES),
        seed=recipe.denoiser.seed,
        latents=f"{recipe.encoded:,}",
        vae_steps=f"{recipe.autoencoder.steps:,}",
        batch=recipe.denoiser.batch,
        focus=recipe.denoiser.focus[0],
        focus_share=f"{recipe.denoiser.focus[1]:.0%}",
        steps=", ".join(f"{count:,} steps of `{part}`" for part, count in recipe.denoiser.steps),
        scores=_score_table(measured["model"]),
        weak=_weak(measured["model"]),
        measured=sum(int(row["count"]) for row in measured["model"]),
        repeats=measured["repeats"],
        seconds=f"{measured['seconds']:.1f}",
        **_fork_facts(measured["forks"]),
        psnr=f"{vae['psnr']:.1f}",
        readback=", ".join(
            f"{key.removeprefix('readback_')} {value:.1%}" for key, value in vae.items() if key.startswith("readback")
        ),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    _draw_curves(log).savefig(folder / "curves.png", dpi=100)


def _millions(module: Any) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.1f} M"


def _task_table(shares: Mapping[tuple[str, str], float]) -> str:
    lines = ["| task | what | variants, with their share of the training puzzles |", "|---|---|---|"]
    for task in TASKS.values():
        variants = (f"{variant} {shares.get((task.name, variant), 0):.0%}" for variant in task.variants)
        lines.append(f"| {task.name} | {task.summary} | {', '.join(variants)} |")
    return "\n".join(lines)


def _score_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """``seen``: of the n puzzles, those whose first frame and prompt training drew as well."""
    names = ("puzzle", "split", "n", "seen", "solved at the end", "solved in x0 of step 0", "score")
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for row in rows:
        shares = f"{row['solved']:.1%} | {row['first_step']:.1%} | {row['overall']:.3f}"
        split = TASKS[row["task"]].variants[row["variant"]]
        lines.append(f"| {_name(row)} | {split} | {row['count']} | {row['seen']} | {shares} |")
    return "\n".join(lines)


def _name(row: Mapping[str, Any]) -> str:
    variant = "" if row["variant"] == TASKS[row["task"]].default else f", {row['variant']}"
    return f"{row['task']}{variant}" + (f" {row['size']} x {row['size']}" if row["size"] else "")


def _weak(rows: Sequence[Mapping[str, Any]]) -> str:
    """A sentence on the in-domain rows that the model does not do well."""
    trained = [row for row in rows if TASKS[row["task"]].variants[row["variant"]] == "in-domain"]
    weak = [_name(row) for row in trained if row["solved"] < _WEAK]
    return f"Solved in less than {_WEAK:.0%}, though trained: {'; '.join(weak)}." if weak else ""


def _fork_facts(forks: Mapping[str, Any]) -> dict[str, Any]:
    """What the section on forks says: ``final`` counts, step by step, the forks that are decided there."""
    lines = ["| step | sigma | final from here on | so far |", "|---" * 4 + "|"]
    so_far = 0
    for step, (sigma, count) in enumerate(zip(forks["sigmas"], forks["final"], strict=True)):
        so_far += count
        if count:
            lines.append(f"| {step} | {sigma:.3f} | {count} | {so_far} |")
    return {
        "forks": forks["count"],
        "both": forks["both"],
        "whole": sum(forks["answers"].values()),
        "split": ", ".join(f"{count} take {route}" for route, count in forks["answers"].items()) or "none takes any",
        "commitment": "\n".join(lines),
    }


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
        for prefix in ("readback_", *(f"solved_{task}" for task in TASKS)):
            label = prefix.replace("_", " ").removeprefix("solved ").replace("readback", "read back").strip()
            shares = [(row["step"], _mean(row, prefix)) for row in rows if _mean(row, prefix) is not None]
            if shares:
                axes[1, column].plot(*zip(*shares, strict=True), marker=".", label=label)
                axes[1, column].legend(frameon=False)
        axes[1, column].set(xlabel="step", ylim=(-0.05, 1.05), ylabel="share" if column == 0 else None)
    return figure


def _mean(row: Mapping[str, Any], prefix: str) -> float | None:
    values = [float(value) for key, value in row.items() if key.startswith(prefix)]
    return sum(values) / len(values) if values else None
