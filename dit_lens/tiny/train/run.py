"""The whole training of tiny-wan, one stage after another; each goes on from its own checkpoint when run again.

``autoencoder`` -> ``latents`` -> ``shared`` -> ``high`` -> ``low`` -> assemble -> measure -> model card. Which
puzzles and noise a step sees follows from the recipe and the step alone, so on one machine, with one number of
threads, a run that was interrupted ends with the weights of one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanImageToVideoPipeline, WanTransformer3DModel

from dit_lens.errors import close_match
from dit_lens.tiny.errors import BadRecipe
from dit_lens.tiny.train.assemble import assemble, save_weights
from dit_lens.tiny.train.autoencoder import AutoencoderRecipe, measure_autoencoder, train_autoencoder
from dit_lens.tiny.train.card import write_card
from dit_lens.tiny.train.commitment import measure_commitment
from dit_lens.tiny.train.denoiser import DenoiserRecipe, Part, Prompts, train_part
from dit_lens.tiny.train.latents import LatentFiles, encode_files
from dit_lens.tiny.train.log import RunLog
from dit_lens.tiny.train.measure import check_solving, measure_model, measured_puzzles, time_generation
from dit_lens.tiny.train.sampling import find_repeats
from dit_lens.tiny.train.text import build_text_encoder, build_tokenizer, encode_prompt

__all__ = ["RECIPES", "BadRecipe", "Recipe", "train"]


Progress = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the checkpoint and the size of its evaluation."""

    autoencoder: AutoencoderRecipe = AutoencoderRecipe()
    denoiser: DenoiserRecipe = DenoiserRecipe()
    puzzles_a_file: int = 1024
    measured_puzzles: int = 32
    measured_steps: int = 20
    checked_puzzles: int = 8

    @property
    def encoded(self) -> int:
        """Puzzles that the denoiser learns from."""
        return self.denoiser.files * self.puzzles_a_file

    measured_clips: int = 100


RECIPES: dict[str, Recipe] = {
    "shipped": Recipe(),
    "quick": Recipe(
        AutoencoderRecipe(stages=((2, 1, 1), (2, 1, 5)), save_every=4),
        DenoiserRecipe(
            steps=(("shared", 2), ("high", 2), ("low", 2)), batch=2, files=1, first_files=1, save_every=1, fused=False
        ),
        puzzles_a_file=4,
        measured_puzzles=1,
        measured_steps=2,
        checked_puzzles=1,
        measured_clips=1,
    ),
}
"""``shipped`` made the weights in this package; ``quick`` runs every stage in a minute or two and learns nothing."""


def train(folder: Path, recipe: str = "shipped", device: str = "cpu", progress: Progress | None = None) -> Path:
    """Train tiny-wan and save it as a diffusers folder with a model card.

    Parameters
    ----------
    folder : Path
        Checkpoints, log and latents of the run; the finished model goes to ``folder/model``.
    recipe : {"shipped", "quick"}
    device : str
        Where the denoiser trains; the autoencoder trains on the CPU, where it is bound by many small steps.
    progress : callable, optional
        Called with one line at the start of every stage.

    Returns
    -------
    Path
        The folder of the finished model.

    Raises
    ------
    BadRecipe
        If the recipe is unknown or the folder holds a run of another one.
    """
    if recipe not in RECIPES:
        allowed = ", ".join(RECIPES)
        raise BadRecipe(f"unknown recipe of tiny-wan; got {recipe!r}, allowed {allowed}{close_match(recipe, RECIPES)}")
    chosen, say = RECIPES[recipe], progress or (lambda line: None)
    check_device(device)
    _same_recipe(folder, chosen)
    log = RunLog(folder / "log.jsonl")
    say("autoencoder")
    vae = train_autoencoder(chosen.autoencoder, folder, log).eval()
    say("latents")
    encode_files(vae, folder, chosen.denoiser.files, chosen.denoiser.seed, chosen.puzzles_a_file)
    pipeline = _train_denoisers(vae, chosen, folder, log, device, say)
    save_weights(pipeline, folder / "model")
    say("measure")
    pipeline = WanImageToVideoPipeline.from_pretrained(folder / "model")
    pipeline.set_progress_bar_config(disable=True)
    rows, seen = measure_model(pipeline, chosen.measured_puzzles, chosen.measured_steps), _repeats(chosen)
    measured = {
        "autoencoder": measure_autoencoder(pipeline.vae, chosen.measured_clips),
        "model": [{**row, "seen": count} for row, count in zip(rows, seen, strict=True)],
        "repeats": sum(seen),
        "forks": measure_commitment(pipeline, chosen.measured_puzzles, chosen.measured_steps),
        "threads": torch.get_num_threads(),
        "seconds": time_generation(pipeline, chosen.measured_steps),
    }
    (folder / "measured.json").write_text(json.dumps(measured, indent=1), encoding="utf-8")
    write_card(folder / "model", recipe, chosen, measured, log)
    return folder / "model"


def _train_denoisers(
    vae: AutoencoderKLWan, recipe: Recipe, folder: Path, log: RunLog, device: str, say: Progress
) -> WanImageToVideoPipeline:
    data = LatentFiles(folder)
    tokenizer, encoder = build_tokenizer(), build_text_encoder()
    prompts = Prompts(lambda text: encode_prompt(text, tokenizer, encoder))
    experts: dict[Part, WanTransformer3DModel] = {}

    def pipeline_with(part: Part, model: WanTransformer3DModel) -> WanImageToVideoPipeline:
        known: dict[Part, WanTransformer3DModel] = {**experts, part: model}
        high, low = (known.get(name, known["shared"]) for name in ("high", "low"))
        return assemble(vae, high, low, *data.statistics())

    def check(part: Part, model: WanTransformer3DModel) -> dict[str, float]:
        return check_solving(pipeline_with(part, model), recipe.checked_puzzles, recipe.measured_steps)

    for part, _ in recipe.denoiser.steps:
        say(part)
        experts[part] = train_part(part, recipe.denoiser, data, prompts, folder, log, device, check)
    return pipeline_with("low", experts["low"])


def _repeats(recipe: Recipe) -> list[int]:
    """How many of the measured puzzles of each row come up among those that the denoiser learned from."""
    rows = [puzzles for *_, puzzles in measured_puzzles(recipe.measured_puzzles)]
    repeated = iter(find_repeats([puzzle for row in rows for puzzle in row], recipe.denoiser.seed, recipe.encoded))
    return [sum(next(repeated) for _ in row) for row in rows]


def _same_recipe(folder: Path, recipe: Recipe) -> None:
    path, text = folder / "recipe.json", json.dumps(asdict(recipe), indent=1)
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not path.exists())):
        raise BadRecipe(
            f"'{folder.name}' is no run of tiny-wan; got files of others, allowed an empty folder; choose one"
        )
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise BadRecipe(
            f"'{folder.name}' holds a run of another recipe; got this one, allowed its own; choose another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def check_device(device: str) -> None:
    """Refuse a device before anything is trained.

    Raises
    ------
    BadRecipe
    """
    allowed = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    if device.split(":")[0] not in allowed:
        raise BadRecipe(
            f"tiny-wan cannot be trained there; got device {device!r}, allowed {', '.join(allowed)} here; use cpu"
        )
