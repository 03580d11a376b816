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

_TEMPLATE = Template("""---
license: apache-2.0
library_name: diffusers
tags: [image-to-video, wan, interpretability]
---

# tiny-wan

A small *trained* video diffusion transformer in the format of Wan2.2-I2V-A14B (`WanImageToVideoPipeline`, two experts with a
boundary at $boundary, `AutoencoderKLWan`, UMT5 encoder, UniPC with flow sigmas and shift $shift). It solves mazes: the first frame
shows walls, a green start and a red goal; the video draws the path. It exists so that every tool and experiment of dit-lens runs
on a laptop. It was made by `dit-lens models train tiny-wan`, recipe `shipped`.

| part | what |
|---|---|
| `transformer` (noise levels from $boundary up), `transformer_2` (below) | 10 blocks of width 128, $expert_parameters parameters each, trained |
| `vae` | $vae_parameters parameters, trained; 8 x 8 pixels and 4 frames to 16 channels |
| `text_encoder`, `tokenizer` | small, **random weights, never trained**; there is one training prompt, dropped in $dropout of the samples, so guidance changes little |
| pictures | 64 x 64 pixels, 17 frames: 5 latent frames of 8 x 8 tokens |

## Data and training

Mazes with thin walls (`dit_lens.puzzles`), one cell a latent token, 3 x 3 to 7 x 7 cells at a random place; $fork_share are *forks*: two
routes of equal length, of which the clip takes one at random. Seed $seed. $latents training puzzles. Autoencoder: $vae_steps steps.
Denoiser: $batch clips a step, $steps. Weights are running averages, stored as float16.

![curves](curves.png)

## Scores on unseen puzzles

Read from decoded pixels by the rule-based scorer; an answer counts only if it is one whole route from start to goal, nothing else, through
cells that the given first frame leaves free. A video in which nothing happens scores 0. 20 steps, guidance 3, one seed a puzzle. "x0 of step 0"
is what the model would show if it stopped after its first step.

$scores

Of the $measured measured puzzles $repeats show a first frame that training showed as well (small mazes are few).

Autoencoder alone, ground truth of unseen clips (half of them forks) sent through it: PSNR $psnr dB; read back as solved:
$readback.

One generation (20 steps, guidance 3, decoding included) took $seconds s, the median of three, on the machine that measured it.

Limits: one kind of puzzle; nothing here says how a large model reasons.
""")


def write_card(folder: Path, recipe: Recipe, measured: Mapping[str, Any], log: RunLog) -> None:
    """Write ``README.md`` and ``curves.png`` into the model's folder."""
    from dit_lens.tiny.train.autoencoder import build_autoencoder
    from dit_lens.tiny.train.denoiser import BOUNDARY, SHIFT, build_denoiser
    from dit_lens.tiny.train.sampling import FORK_SHARE

    vae = measured["autoencoder"]
    text = _TEMPLATE.substitute(
        boundary=BOUNDARY,
        shift=SHIFT,
        expert_parameters=_millions(build_denoiser()),
        vae_parameters=_millions(build_autoencoder()),
        dropout=f"{recipe.denoiser.prompt_dropout:.0%}",
        fork_share=f"{FORK_SHARE:.0%}",
        seed=recipe.denoiser.seed,
        latents=f"{recipe.denoiser.files * recipe.puzzles_a_file:,}",
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
    records = log.read()
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    for axis, stage in zip(figure.subplots(1, 4), ("autoencoder", "shared", "high", "low"), strict=True):
        points = [(row["step"], row["loss"]) for row in records if row["stage"] == stage and "loss" in row]
        axis.semilogy([p[0] for p in points], [p[1] for p in points], linewidth=0.7)
        axis.set(title=stage, xlabel="step")
    return figure
