"""The model card: data, steps, seed, curves and scores, written from the run's own log and measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from dit_lens.generation import GUIDANCE
from dit_lens.puzzles import TASKS
from dit_lens.tiny.train.log import RunLog

if TYPE_CHECKING:
    from dit_lens.tiny.train.run import Recipe
    from dit_lens.tiny.train.sampling import Shares

__all__ = ["write_card"]

_WEAK = 0.6
_TEMPLATE = Template(Path(__file__).with_name("card_template.md").read_text(encoding="utf-8"))


def write_card(folder: Path, parts: Mapping[str, Recipe], measured: Mapping[str, Any], log: RunLog) -> None:
    """Write ``README.md`` and the curves into the model's folder.

    Parameters
    ----------
    folder : pathlib.Path
        Of the model; curves of an earlier part are there already.
    parts : mapping of str to Recipe
        The recipes that made it, one after the other.
    measured : mapping
    log : RunLog
        Of the last part.
    """
    from dit_lens.tiny.train.autoencoder import build_autoencoder
    from dit_lens.tiny.train.denoiser import BOUNDARY, SHIFT, build_denoiser

    vae, recipes = measured["autoencoder"], list(parts.values())
    text = _TEMPLATE.substitute(
        made=" and then ".join(f"`{_command(name)}`" for name in parts),
        threads=measured["threads"],
        guidance=f"{GUIDANCE:g}",
        boundary=BOUNDARY,
        shift=SHIFT,
        expert_parameters=_millions(build_denoiser()),
        vae_parameters=_millions(build_autoencoder()),
        dropout=f"{recipes[0].denoiser.prompt_dropout:.0%}",
        tasks=_task_table([recipe.denoiser.shares for recipe in recipes]),
        columns=f" The shares are those of {', then of '.join(f'`{name}`' for name in parts)}."
        if len(parts) > 1
        else "",
        training="\n\n".join(_training(name, recipe) for name, recipe in parts.items()),
        curves="\n\n".join(f"![curves of {name}]({_curves(name)})" for name in parts),
        trained=f"{sum(recipe.encoded for recipe in recipes):,}",
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
    _draw_curves(log).savefig(folder / _curves(list(parts)[-1]), dpi=100)


def _command(recipe: str) -> str:
    quick = " --quick" if recipe.startswith("quick") else ""
    begun = " --further first/model --out second" if recipe.endswith("further") else " --out first"
    return f"dit-lens models train tiny-wan{quick}{begun}"


def _curves(recipe: str) -> str:
    return "curves_further.png" if recipe.endswith("further") else "curves.png"


def _training(name: str, recipe: Recipe) -> str:
    """What one recipe did, in a paragraph."""
    denoiser, autoencoder = recipe.denoiser, recipe.autoencoder
    begun = ", begun with what that left" if recipe.further else ""
    only = " of its decoder alone" if autoencoder.encoder_steps == 0 else ""
    steps = ", ".join(f"{count:,} steps of `{part}`" for part, count in denoiser.steps)
    words = [
        f"Recipe `{name}`{begun}: seed {denoiser.seed}, {recipe.encoded:,} training puzzles. Autoencoder: "
        f"{autoencoder.steps:,} steps{only}. Denoiser: {denoiser.batch} clips a step, {steps}."
    ]
    if denoiser.focus is not None:
        task, share = denoiser.focus
        words.append(
            f"After the shared part {share:.0%} of a batch comes from {task} alone, which takes longest to learn."
        )
    if denoiser.changing_weight != 1:
        words.append(f"An error weighs {denoiser.changing_weight:g} times as much where the clip changes.")
    return "\n".join([*words, recipe.note] if recipe.note else words)


def _millions(module: Any) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.1f} M"


def _task_table(recipes: Sequence[Shares]) -> str:
    """Every variant with its share, recipe by recipe."""
    known = [{(task, variant): share for task, variant, share in shares} for shares in recipes]
    lines = ["| task | what | variants, with their share of the training puzzles |", "|---|---|---|"]
    for task in TASKS.values():
        variants = (
            f"{variant} {' / '.join(f'{shares.get((task.name, variant), 0):.0%}' for shares in known)}"
            for variant in task.variants
        )
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
        "mixed": forks["mixed"],
        "whole": sum(forks["answers"].values()),
        "split": ", ".join(f"{count} take {route}" for route, count in forks["answers"].items()) or "none takes any",
        "commitment": "\n".join(lines),
    }


def _draw_curves(log: RunLog) -> Figure:
    """Loss above; below, the share of unseen clips that the autoencoder shows, and of puzzles that are solved."""
    records = log.read()
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    stages = [stage for stage in ("autoencoder", "shared", "high", "low") if any(r["stage"] == stage for r in records)]
    axes = figure.subplots(2, len(stages), squeeze=False)
    for column, stage in enumerate(stages):
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
