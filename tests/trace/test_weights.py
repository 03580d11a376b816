"""The sha256 of a manifest is that of the weights which ran, whatever was done to them since they were loaded."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import cpu_offload
from accelerate.hooks import remove_hook_from_module

import dit_lens_stores as stores
from dit_lens import git, models, weights
from dit_lens.lens import Lens, Origin

NAME = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def folder(kit, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "untrained-wan"
    kit.build(experts=1).save_pretrained(path)
    return path


def _sha(lens):
    return lens.identity["weights_sha256"]


def _add(pipeline):
    with torch.no_grad():
        pipeline.transformer.blocks[0].ffn.net[2].bias[0] += 1


def _add_through_data(pipeline):
    """As PEFT fuses a LoRA: neither the version counter nor the address of the tensor moves."""
    pipeline.transformer.blocks[1].attn1.to_q.weight.data += 0.5


def _swap_signs(pipeline):
    pipeline.transformer.blocks[2].attn1.to_k.weight.data.neg_()


def _give_a_layer_more(pipeline):
    pipeline.transformer.blocks[0].attn1.to_q.register_parameter("lora_A", torch.nn.Parameter(torch.zeros(1)))


def _exchange_a_layer(pipeline):
    pipeline.transformer.blocks[0].attn1.to_q = torch.nn.Linear(24, 24)


EDITS = [_add, _add_through_data, _swap_signs, _give_a_layer_more, _exchange_a_layer]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_in_memory_shows(lens, edit):
    before = _sha(lens)
    assert _sha(lens) == before
    edit(lens.pipeline)
    after = _sha(lens)
    assert {name for name in before if before[name] != after[name]} == {"transformer"}


def test_two_traces_around_an_edit(lens, kit, tmp_path):
    lens.trace(kit.ask(steps=1), ["latent"], tmp_path / "a.zarr", trace_id="a", decode=False)
    _add_through_data(lens.pipeline)
    lens.trace(kit.ask(steps=1), ["latent"], tmp_path / "a.zarr", trace_id="b", decode=False)
    store = stores.open_store(tmp_path / "a.zarr")
    assert store["a"].manifest["weights_sha256"] != store["b"].manifest["weights_sha256"]


@pytest.mark.parametrize("edit", EDITS)
def test_files_stand_for_the_weights_only_while_they_are_those(folder, edit):
    lens = models.load(folder)
    assert _sha(lens)[NAME] == hashlib.sha256((folder / NAME).read_bytes()).hexdigest()
    edit(lens.pipeline)
    assert set(_sha(lens)) == {"text_encoder", "transformer", "vae"}


def test_an_edit_that_is_undone_gives_the_files_back(folder):
    lens = models.load(folder)
    before = _sha(lens)
    bias = lens.pipeline.transformer.blocks[0].ffn.net[2].bias.data
    kept = bias.clone()
    bias.add_(1)
    assert set(_sha(lens)) == {"text_encoder", "transformer", "vae"}
    bias.copy_(kept)
    assert _sha(lens) == before


def test_files_that_were_written_anew_do_not_stand_for_older_weights(folder, kit, tmp_path):
    kit.build(experts=1).save_pretrained(tmp_path / "model")
    lens = models.load(tmp_path / "model")
    _add(other := kit.build(experts=1))
    other.save_pretrained(tmp_path / "model")
    assert set(_sha(lens)) == {"text_encoder", "transformer", "vae"}


def test_nothing_is_hashed_twice(folder, monkeypatch):
    lens = models.load(folder)
    before = _sha(lens)
    monkeypatch.setattr(weights, "hash_folder", lambda _: pytest.fail("hashed again"))
    assert _sha(lens) == before


def test_a_move_or_a_compile_changes_no_weights(folder):
    lens = models.load(folder)
    before = _sha(lens)
    for parameter in lens.pipeline.transformer.parameters():
        parameter.data = parameter.data.clone()  # as a device and back
    lens.pipeline.transformer = torch.compile(lens.pipeline.transformer, backend="eager")
    assert _sha(lens) == before


@pytest.mark.parametrize("loaded", [True, False], ids=["from a folder", "from memory"])
def test_sequential_offload_is_read_through(folder, kit, tmp_path, loaded):
    lens = models.load(folder) if loaded else kit.look(kit.build(experts=1))
    before = _sha(lens)
    transformer = lens.pipeline.transformer
    cpu_offload(transformer, execution_device=torch.device("cpu"))
    assert transformer.blocks[0].attn1.to_q.weight.is_meta
    assert _sha(lens) == before
    request = kit.ask(steps=1, height=32, width=32, frames=5)
    result = lens.trace(request, ["latent"], tmp_path / "a.zarr", decode=False)
    manifest = stores.open_store(tmp_path / "a.zarr")[result.trace_id].manifest
    assert (manifest["weights_sha256"], manifest["device"]) == (before, "cpu")
    remove_hook_from_module(transformer, recurse=True)


def test_weights_that_are_not_there_are_unknown_and_say_why(kit):
    pipeline = kit.build(experts=1)
    pipeline.transformer.blocks[1].to("meta")
    identity = Lens(pipeline, Origin("x")).identity
    assert identity["weights_sha256"]["transformer"] is None
    assert len(identity["weights_sha256"]["vae"]) == 64
    assert identity["weights_unknown"].startswith("transformer: ")
    assert "meta" in identity["weights_unknown"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.bool])
@pytest.mark.parametrize("count", [1, 3, 1024, 70001])
def test_every_bit_of_every_form_counts(dtype, count):
    values = torch.ones(count + 3)[3:].to(dtype)  # an odd start, too
    state = weights._block_sums(values).tolist()
    assert state == weights._block_sums(values.clone()).tolist()
    for place in {0, count // 2, count - 1}:
        changed = values.clone()
        changed[place] = 0
        assert weights._block_sums(changed).tolist() != state


def _git(folder, *words):
    names = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run(
        ["git", "-C", folder, *words], check=True, capture_output=True, text=True, env=os.environ | names
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    repository = tmp_path / "repository"
    (repository / "source").mkdir(parents=True)
    (repository / "source" / "a.py").write_text("1\n")
    _git(tmp_path, "init", "-q", str(repository))
    _git(repository, "add", ".")
    _git(repository, "commit", "-q", "-m", "x")
    return repository


@pytest.fixture
def later(monkeypatch):
    """Lets so many seconds pass for whoever asks git."""
    now = [0.0]
    monkeypatch.setattr(git, "time", SimpleNamespace(monotonic=lambda: now[0]))
    git._state.cache_clear()
    yield lambda seconds: now.__setitem__(0, now[0] + seconds)
    git._state.cache_clear()


def test_the_state_of_a_repository(repository, tmp_path, monkeypatch, later):
    monkeypatch.chdir(tmp_path)
    commit = _git(repository, "rev-parse", "HEAD")
    assert git.git_state(repository / "source") == {"of": "dit-lens", "commit": commit, "dirty": False}
    (repository / "source" / "a.py").write_text("2\n")
    later(1)
    assert not git.git_state(repository / "source")["dirty"]
    later(10)
    assert git.git_state(repository / "source") == {"of": "dit-lens", "commit": commit, "dirty": True}


def test_an_environment_inside_a_repository_is_not_its_source(repository, monkeypatch):
    (repository / "env").mkdir()
    (repository / "env" / "installed.py").write_text("")
    monkeypatch.chdir(repository)
    commit = _git(repository, "rev-parse", "HEAD")
    assert git.git_state(repository / "env") == {"of": "working directory", "commit": commit, "dirty": False}


def test_no_repository_and_no_git(tmp_path, monkeypatch, later):
    monkeypatch.chdir(tmp_path)
    assert git.git_state(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    later(10)
    assert git.git_state(Path(git.__file__).parent) is None
