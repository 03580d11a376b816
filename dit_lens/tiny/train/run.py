"""The whole training of tiny-wan, one stage after another; each goes on from its own checkpoint when run again.

``autoencoder`` -> ``latents`` -> ``shared`` -> ``high`` -> ``low`` -> assemble -> measure -> model card. Which
puzzles and noise a step sees follows from the recipe and the step alone, so on one machine, with one number of
threads, a run that was interrupted ends with the weights of one that was not.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanImageToVideoPipeline, WanTransformer3DModel

from dit_lens.errors import close_match
from dit_lens.tiny.errors import BadRecipe
from dit_lens.tiny.train.assemble import assemble, save_weights
from dit_lens.tiny.train.autoencoder import AutoencoderRecipe, train_autoencoder
from dit_lens.tiny.train.card import write_card
from dit_lens.tiny.train.denoiser import DenoiserRecipe, Part, Prompts, train_part
from dit_lens.tiny.train.evaluation import evaluate
from dit_lens.tiny.train.latents import LatentFiles, encode_files
from dit_lens.tiny.train.log import RunLog
from dit_lens.tiny.train.measure import check_solving, measured_rows, row_puzzles
from dit_lens.tiny.train.sampling import Shares, find_repeats, training_puzzle
from dit_lens.tiny.train.text import build_text_encoder, build_tokenizer, encode_prompt

__all__ = ["RECIPES", "BadRecipe", "Recipe", "train"]


Progress = Callable[[str], None]
_EXPERTS: tuple[Part, Part] = ("high", "low")
_START_HAS = ("model_index.json", "curves.png", "vae/config.json")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the checkpoint and the size of its evaluation.

    One that goes ``further`` begins with a finished model, whose latents stay what they are. ``note`` is what the card
    has to say of it besides.
    """

    autoencoder: AutoencoderRecipe = AutoencoderRecipe()
    denoiser: DenoiserRecipe = DenoiserRecipe()
    further: bool = False
    puzzles_a_file: int = 1024
    measured_puzzles: int = 32
    measured_steps: int = 20
    checked_puzzles: int = 8

    @property
    def encoded(self) -> int:
        """Puzzles that the denoiser learns from."""
        return self.denoiser.files * self.puzzles_a_file

    measured_clips: int = 100
    note: str = ""


_FURTHER_SHARES: Shares = (
    ("maze", "plain", 0.14),
    ("fork", "free", 0.20),
    ("fork", "three", 0.08),
    ("fork", "prompt", 0.05),
    ("fork", "cue", 0.05),
    ("grounding", "plain", 0.08),
    ("occlusion", "plain", 0.40),
)
_FURTHER_SHOWN: Shares = (
    ("maze", "plain", 0.07),
    ("fork", "free", 0.06),
    ("fork", "cue", 0.10),
    ("grounding", "plain", 0.17),
    ("occlusion", "plain", 0.60),
)

RECIPES: dict[str, Recipe] = {
    "shipped": Recipe(note="When it ran, occlusions had lanes and starts up to the edge of the picture as well."),
    "further": Recipe(
        AutoencoderRecipe(
            seed=1,
            stages=((2000, 1, 17),),
            encoder_steps=0,
            muon_lr=1e-2,
            adam_lr=1e-3,
            latent_noise=0.12,
            changing_noise=3.0,
            shares=_FURTHER_SHOWN,
        ),
        DenoiserRecipe(
            seed=1,
            steps=(("low", 960),),
            files=4,
            first_files=4,
            muon_lr=2e-3,
            adam_lr=6e-4,
            focus=None,
            shares=_FURTHER_SHARES,
            changing_weight=4.0,
            expert_warmup=50,
        ),
        further=True,
    ),
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
RECIPES["quick-further"] = replace(
    RECIPES["quick"],
    autoencoder=replace(RECIPES["quick"].autoencoder, stages=((2, 1, 5),), encoder_steps=0),
    denoiser=replace(RECIPES["quick"].denoiser, steps=(("low", 2),)),
    further=True,
)
"""``shipped`` and then ``further`` made the weights in this package: it goes on with the decoder and the low expert,
which draw what the high one has decided; the quick ones run every stage in a minute or two and learn nothing."""


def train(
    folder: Path,
    recipe: str = "shipped",
    device: str = "cpu",
    progress: Progress | None = None,
    start: Path | None = None,
) -> Path:
    """Train tiny-wan and save it as a diffusers folder with a model card.

    Parameters
    ----------
    folder : Path
        Checkpoints, log and latents of the run; the finished model goes to ``folder/model``.
    recipe : {"shipped", "further", "quick", "quick-further"}
    device : str
        Where the denoiser trains; the autoencoder trains on the CPU, where it is bound by many small steps.
    progress : callable, optional
        Called with one line at the start of every stage.
    start : Path, optional
        The finished model that a recipe goes further from.

    Returns
    -------
    Path
        The folder of the finished model.

    Raises
    ------
    BadRecipe
        If the recipe is unknown, has a start and needs none, or needs one that is a finished tiny-wan; or if the folder
        holds a run of another recipe or from another start.
    """
    if recipe not in RECIPES:
        allowed = ", ".join(RECIPES)
        raise BadRecipe(f"unknown recipe of tiny-wan; got {recipe!r}, allowed {allowed}{close_match(recipe, RECIPES)}")
    chosen, say = RECIPES[recipe], progress or (lambda line: None)
    check_device(device)
    begin = _start_of(recipe, start)
    _same_run(folder, chosen, begin)
    log = RunLog(folder / "log.jsonl")
    say("autoencoder")
    model = begin and WanImageToVideoPipeline.from_pretrained(begin)
    vae = train_autoencoder(chosen.autoencoder, folder, log, model and model.vae).eval()
    say("latents")
    drawn = chosen.denoiser
    encode_files(vae, folder, drawn.files, drawn.seed, chosen.puzzles_a_file, drawn.shares)
    pipeline = _train_denoisers(vae, chosen, folder, log, device, say, model)
    save_weights(pipeline, folder / "model")
    say("measure")
    measured = evaluate(folder / "model", chosen.measured_puzzles, chosen.measured_steps, clips=chosen.measured_clips)
    seen = _repeats(chosen.measured_puzzles, _parts(recipe).values())
    measured["model"] = [{**row, "seen": count} for row, count in zip(measured["model"], seen, strict=True)]
    measured["repeats"] = sum(seen)
    (folder / "measured.json").write_text(json.dumps(measured, indent=1), encoding="utf-8")
    if begin is not None:
        shutil.copy(begin / "curves.png", folder / "model")
    write_card(folder / "model", _parts(recipe), measured, log)
    return folder / "model"


def _train_denoisers(
    vae: AutoencoderKLWan,
    recipe: Recipe,
    folder: Path,
    log: RunLog,
    device: str,
    say: Progress,
    start: WanImageToVideoPipeline | None,
) -> WanImageToVideoPipeline:
    data = LatentFiles(folder)
    tokenizer, encoder = build_tokenizer(), build_text_encoder()
    prompts = Prompts(lambda text: encode_prompt(text, tokenizer, encoder))
    experts: dict[Part, WanTransformer3DModel] = {}
    statistics = data.statistics()
    if start is not None:
        experts = {"high": start.transformer, "low": start.transformer_2}
        statistics = (list(start.vae.config.latents_mean), list(start.vae.config.latents_std))

    def pipeline_with(part: Part, model: WanTransformer3DModel) -> WanImageToVideoPipeline:
        known: dict[Part, WanTransformer3DModel] = {**experts, part: model}
        high, low = (known[name] if name in known else known["shared"] for name in _EXPERTS)
        return assemble(vae, high, low, *statistics)

    def check(part: Part, model: WanTransformer3DModel) -> dict[str, float]:
        return check_solving(pipeline_with(part, model), recipe.checked_puzzles, recipe.measured_steps)

    for part, _ in recipe.denoiser.steps:
        say(part)
        begin = experts[part].state_dict() if part in experts else None
        experts[part] = train_part(part, recipe.denoiser, data, statistics, prompts, folder, log, device, check, begin)
    return pipeline_with("low", experts["low"])


def _parts(name: str) -> dict[str, Recipe]:
    """The recipes that make a model, one after the other."""
    before = {"shipped": RECIPES["shipped"]} if RECIPES[name].further else {}
    return {**before, name: RECIPES[name]}


def _repeats(measured: int, parts: Iterable[Recipe]) -> list[int]:
    """How many of the measured puzzles of each row come up among those that the denoiser learned from."""
    rows = [row_puzzles(row, measured) for row in measured_rows()]
    trained = (
        training_puzzle(part.denoiser.seed, i, part.denoiser.shares) for part in parts for i in range(part.encoded)
    )
    repeated = iter(find_repeats((puzzle for row in rows for puzzle in row), trained))
    return [sum(next(repeated) for _ in row) for row in rows]


def _start_of(recipe: str, start: Path | None) -> Path | None:
    """The folder of the model that a recipe begins with; None if it begins with nothing."""
    if RECIPES[recipe].further != (start is not None):
        going_on = ", ".join(name for name in RECIPES if RECIPES[name].further)
        got, remedy = ("no model", "give one") if start is None else ("a model", "leave it out")
        raise BadRecipe(
            f"recipe {recipe!r} cannot begin so; got {got} to go on from, allowed with {going_on}; {remedy}"
        )
    missing = [name for name in _START_HAS if start and not (start / name).is_file()]
    if start and missing:
        raise BadRecipe(
            f"'{start.name}' is no finished tiny-wan; got no {missing[0]}, allowed a folder 'model' that training "
            "made; give one"
        )
    return start


def _same_run(folder: Path, recipe: Recipe, start: Path | None) -> None:
    files = [] if start is None else sorted(start.rglob("*.safetensors"))
    begun = {str(file.relative_to(start)): _digest(file) for file in files if start}
    path, text = folder / "recipe.json", json.dumps({**asdict(recipe), "start": begun}, indent=1)
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not path.exists())):
        raise BadRecipe(
            f"'{folder.name}' is no run of tiny-wan; got files of others, allowed an empty folder; choose one"
        )
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise BadRecipe(
            f"'{folder.name}' holds a run of another recipe or start; got this one, allowed its own; "
            "choose another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
