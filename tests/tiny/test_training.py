"""The training command does every stage, and an interrupted run ends with the weights of one that was not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dit_lens.puzzles import TASKS, UNSEEN_SEEDS
from dit_lens.tiny import WEIGHTS
from dit_lens.tiny.errors import BadRecipe
from dit_lens.tiny.train import autoencoder, run
from dit_lens.tiny.train.autoencoder import build_autoencoder
from dit_lens.tiny.train.card import write_card
from dit_lens.tiny.train.changing import changing
from dit_lens.tiny.train.latents import LatentFiles, condition_clip, encode
from dit_lens.tiny.train.log import RunLog
from dit_lens.tiny.train.muon import orthogonalise
from dit_lens.tiny.train.precision import mixed_precision
from dit_lens.tiny.train.sampling import SHARES, clip_tensor, find_repeats, training_puzzle
from dit_lens.tiny.train.text import build_tokenizer

TRAINED = {"blocks", "condition_embedder", "patch_embedding", "proj_out", "scale_shift_table"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)  # as in every test: the same sums in the same order
    return run.train(tmp_path_factory.mktemp("whole"), "quick")


def test_every_stage_leaves_its_mark(trained: Path) -> None:
    assert (trained / "model_index.json").exists()
    card = (trained / "README.md").read_text()
    assert "| puzzle | split | n | seen | solved at the end" in card
    assert "| maze 3 x 3 | in-domain | 1 | 0 |" in card
    assert "| grounding, crowded | out-of-domain | 1 |" in card
    assert "random weights, never trained" in card
    assert "Of 1 unseen forks with two equally good routes" in card
    assert (trained / "curves.png").stat().st_size > 0
    said = RunLog(trained.parent / "log.jsonl").read()
    assert {row["stage"] for row in said if "solved_fork" in row} == {"shared", "high", "low"}
    assert set(json.loads((trained.parent / "measured.json").read_text())) == {
        "autoencoder",
        "forks",
        "model",
        "repeats",
        "seconds",
        "threads",
    }


@pytest.mark.parametrize(("processor", "dtype"), [("AVX512", torch.bfloat16), ("AVX2", torch.float32)])
def test_bfloat16_is_for_processors_that_compute_with_it(processor, dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)
    with mixed_precision("cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.slow  # a second training
def test_an_interrupted_run_ends_with_the_same_weights(trained: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def train_until(last: str) -> None:
        def stop(stage: str) -> None:
            if stage == last:
                raise Stop

        with pytest.raises(Stop):
            run.train(tmp_path, "quick", progress=stop)

    train_until("high")
    assert torch.load(tmp_path / "shared.pt", weights_only=True)["step"] == 2
    train_until("measure")
    for part in ("vae", "transformer", "transformer_2"):
        name = f"{part}/diffusion_pytorch_model.safetensors"
        first, second = load_file(trained / name), load_file(tmp_path / "model" / name)
        assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.slow  # a second training
def test_training_further_begins_with_a_model_and_keeps_its_latents(trained: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(stage: str) -> None:
        if stage == "measure":
            raise Stop

    with pytest.raises(Stop):
        run.train(tmp_path, "quick-further", progress=stop, start=WEIGHTS)
    for part in ("vae", "transformer", "transformer_2"):
        name = f"{part}/diffusion_pytorch_model.safetensors"
        before, after = load_file(WEIGHTS / name), load_file(tmp_path / "model" / name)
        differ = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
        learns = {"vae": {"post_quant_conv", "decoder"}, "transformer": set(), "transformer_2": TRAINED}[part]
        assert differ == learns
        distance = max(float((before[key].float() - after[key].float()).abs().max()) for key in before)
        assert distance < 0.1, "two small steps do not lead far from the weights that it should begin with"
    configs = [path.read_text() for path in (tmp_path / "model").rglob("*.json")]
    assert not [text for text in configs if str(WEIGHTS) in text], "no file says where on this machine it was loaded"
    for name in ("latents_mean", "latents_std"):
        said = [json.loads((folder / "vae/config.json").read_text())[name] for folder in (WEIGHTS, tmp_path / "model")]
        assert said[0] == said[1]


def test_the_card_of_a_model_trained_further_names_both_recipes(trained: Path, tmp_path: Path) -> None:
    measured = json.loads((trained.parent / "measured.json").read_text())
    parts = {name: run.RECIPES[name] for name in ("shipped", "quick-further")}
    write_card(tmp_path, parts, measured, RunLog(trained.parent / "log.jsonl"))
    card = (tmp_path / "README.md").read_text()
    assert (
        "made by `dit-lens models train tiny-wan --out first` and then `dit-lens models train tiny-wan --quick" in card
    )
    assert "--quick --further first/model --out second`" in card
    assert "up to the edge of the picture as well.\n" in card
    assert "plain 40% / 40%" in card
    assert "of its decoder alone" in card
    assert "![curves of quick-further](curves_further.png)" in card
    assert (tmp_path / "curves_further.png").stat().st_size > 0


def test_errors_weigh_more_where_the_clip_changes() -> None:
    still = torch.randn(1, 16, 1, 8, 8).expand(-1, -1, 5, -1, -1)
    moved = still.clone()
    moved[:, :, 3, 2, 5] += 2
    assert torch.equal(changing(still, 4.0), torch.ones(1, 1, 5, 8, 8))
    weights = changing(moved, 4.0)
    assert torch.equal(weights[0, 0, :, 2, 5], torch.full((5,), 4.0))
    assert float(weights.sum()) == 5 * 64 + 3 * 5


def test_the_decoder_meets_more_noise_where_the_clip_changes() -> None:
    still = torch.randn(1, 16, 1, 8, 8, generator=torch.Generator().manual_seed(1)).expand(-1, -1, 5, -1, -1)
    moved = still.clone()
    moved[:, :, 3, 2, 5] += 3
    recipe = autoencoder.AutoencoderRecipe(latent_noise=0.1, changing_noise=3.0)
    noise = autoencoder.latent_noise(moved, recipe, torch.Generator().manual_seed(0)) / moved.std()
    plain = replace(recipe, changing_noise=1.0)
    same = autoencoder.latent_noise(moved, plain, torch.Generator().manual_seed(0)) / moved.std()
    changed = changing(moved / moved.std(), 2.0).expand_as(moved) == 2
    assert torch.allclose(noise[changed], 3 * same[changed])
    assert torch.equal(noise[~changed], same[~changed])
    assert float(same.std()) == pytest.approx(0.1, rel=0.05)
    one_frame = autoencoder.latent_noise(still[:, :, :1], recipe, torch.Generator().manual_seed(0))
    assert float(one_frame.std() / still.std()) == pytest.approx(0.1, rel=0.05)


def test_experts_differ_after_their_own_stages(trained: Path) -> None:
    high, low = (
        load_file(trained / part / "diffusion_pytorch_model.safetensors") for part in ("transformer", "transformer_2")
    )
    assert any(not torch.equal(high[key], low[key]) for key in high)


def test_a_folder_of_another_recipe_is_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(run.RECIPES["quick"], measured_clips=2)
    monkeypatch.setitem(run.RECIPES, "quick", other)
    with pytest.raises(
        BadRecipe, match="holds a run of another recipe or start; got this one, allowed its own; choose another"
    ):
        run.train(trained.parent, "quick")


def test_a_folder_of_others_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("keep me")
    with pytest.raises(BadRecipe, match="is no run of tiny-wan; got files of others, allowed an empty folder"):
        run.train(tmp_path, "quick")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_unknown_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BadRecipe, match=r"got 'shiped', allowed shipped, further, quick, quick-further; did you mean 'shipped'\?"
    ):
        run.train(tmp_path / "new", "shiped")
    assert not (tmp_path / "new").exists()


def test_what_goes_further_needs_a_finished_model_and_nothing_else_has_one(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with pytest.raises(BadRecipe, match="cannot begin so; got no model to go on from, allowed with further, quick-fu"):
        run.train(folder, "quick-further")
    with pytest.raises(BadRecipe, match=r"'quick' cannot begin so; got a model to go on from, .*; leave it out"):
        run.train(folder, "quick", start=trained)
    with pytest.raises(BadRecipe, match=r"is no finished tiny-wan; got no model_index\.json, allowed a folder 'model'"):
        run.train(folder, "quick-further", start=trained.parent)
    assert not folder.exists()


def test_a_run_that_began_with_another_model_is_refused(trained: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(stage: str) -> None:
        raise Stop

    with pytest.raises(Stop):
        run.train(tmp_path, "quick-further", progress=stop, start=WEIGHTS)
    with pytest.raises(BadRecipe, match="holds a run of another recipe or start; got this one"):
        run.train(tmp_path, "quick-further", progress=stop, start=trained)


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match="got device 'cdua', allowed cpu"):
        run.train(tmp_path / "new", "quick", device="cdua")
    assert not (tmp_path / "new").exists()


def test_a_log_cut_by_a_kill_is_read_and_rewound(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.jsonl")
    for step in (1, 2, 3):
        log.write(stage="high", step=step, loss=1.0)
    log.write(stage="shared", step=9, loss=1.0)
    with log.path.open("a") as file:
        file.write('{"stage": "hi')
    log.rewind("high", 2)
    assert [(row["stage"], row["step"]) for row in log.read()] == [("high", 1), ("high", 2), ("shared", 9)]


def test_a_kill_between_measurement_and_checkpoint_loses_no_point_and_doubles_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is saved last, the log of a run that goes on is that of one that was never stopped."""

    class Killed(Exception):
        pass

    recipe, log = run.RECIPES["quick"].autoencoder, RunLog(tmp_path / "log.jsonl")
    save = autoencoder._save
    recipe = replace(recipe, save_every=2)

    def killed(*words: Any) -> None:
        if words[-1] > 2:
            raise Killed
        save(*words)

    monkeypatch.setattr(autoencoder, "_save", killed)
    monkeypatch.setattr(autoencoder, "measure_autoencoder", lambda vae, count: {"psnr": 1.0})
    with pytest.raises(Killed):
        autoencoder.train_autoencoder(recipe, tmp_path, log)
    monkeypatch.setattr(autoencoder, "_save", save)
    autoencoder.train_autoencoder(recipe, tmp_path, log)
    lines = [(row["step"], "loss" in row) for row in log.read()]
    assert lines == [(1, True), (2, False), (4, False)]


def test_repeats_are_counted() -> None:
    asked = [training_puzzle(0, 1), training_puzzle(0, 3), training_puzzle(1, 3)]
    assert find_repeats(asked, (training_puzzle(0, index) for index in range(3))) == [True, False, False]


def test_training_draws_in_domain_puzzles_below_the_unseen_seeds_and_prompts_of_known_words() -> None:
    tokenizer, puzzles = build_tokenizer(), [training_puzzle(0, index) for index in range(400)]
    assert {TASKS[puzzle.task].variants[puzzle.variant] for puzzle in puzzles} == {"in-domain"}
    assert {(puzzle.task, puzzle.variant) for puzzle in puzzles} == {share[:2] for share in SHARES}
    assert max(puzzle.seed for puzzle in puzzles) < UNSEEN_SEEDS
    for prompt in {puzzle.prompt for puzzle in puzzles}:
        assert tokenizer.unk_token_id not in tokenizer(prompt).input_ids


def test_a_batch_pairs_each_clip_with_its_prompt(trained: Path) -> None:
    """The encoded clip of an index decodes to nothing yet, but it is the encoding of that puzzle's own clip."""
    data = LatentFiles(trained.parent)
    clips, conditions, prompts = data.batch(np.random.default_rng(0), 3, 1)
    drawn = np.random.default_rng(0).integers(0, 4, 3)
    assert prompts == [training_puzzle(0, int(index)).prompt for index in drawn]
    vae = build_autoencoder().eval()
    vae.load_state_dict(torch.load(trained.parent / "encoder.pt", weights_only=True))
    for index, clip, condition in zip(drawn, clips, conditions, strict=True):
        x_B3FHW = clip_tensor(training_puzzle(0, int(index)))[None]
        assert torch.allclose(encode(vae, x_B3FHW)[0], clip, rtol=0.05, atol=0.05 * float(clip.std()))
        assert torch.allclose(
            encode(vae, condition_clip(x_B3FHW))[0], condition, rtol=0.05, atol=0.05 * float(clip.std())
        )


def test_orthogonalise_pushes_singular_values_towards_one() -> None:
    matrix = torch.from_numpy(np.random.default_rng(0).standard_normal((40, 12))).float()
    values = torch.linalg.svdvals(orthogonalise(matrix))
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.3
