"""Loading by name, folder and Hub id; manifests; third-party families."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch

import dit_lens_stores as stores
from dit_lens import models
from dit_lens.adapters import registry
from dit_lens.adapters.wan import WAN
from dit_lens.engine.errors import BadRequest, UnknownModel
from dit_lens.generation import Size
from dit_lens.git import git_state
from dit_lens.manifest import run_manifest


@pytest.fixture(scope="module")
def folder(kit, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "untrained-wan"
    kit.build().save_pretrained(path)
    (path / "README.md").write_text("---\ntags: [video]\nlicense: apache-2.0\n---\n# A model\n")
    return path


def test_a_folder_loads_and_traces(folder, kit, tmp_path, capfd):
    lens = models.load(folder)
    assert capfd.readouterr().err == ""
    result = lens.trace(kit.ask(height=32, width=32, frames=5), ["block.out:energy"], tmp_path / "a.zarr")
    manifest = stores.open_store(tmp_path / "a.zarr")[result.trace_id].manifest
    assert manifest["model"] == "untrained-wan"
    assert manifest["licence"] == "apache-2.0"
    assert "transformer_2/diffusion_pytorch_model.safetensors" in manifest["weights_sha256"]
    assert str(tmp_path.parent) not in json.dumps(manifest)


def test_an_image_gives_a_folders_size(folder, kit):
    assert models.load(folder).check(kit.ask()) == Size(32, 32, 81)


def test_bfloat16_is_loaded_and_stored_exactly(folder, kit, tmp_path):
    lens = models.load(str(folder), dtype="bfloat16")
    result = lens.trace(kit.ask(frames=5), ["block.out"], tmp_path / "a.zarr")
    raw = stores.open_store(tmp_path / "a.zarr")[result.trace_id]["block.out.raw"]
    assert raw.attrs["source_dtype"] == "bfloat16"
    assert raw.dtype == np.float32
    assert not (raw.values.view(np.uint32) & 0xFFFF).any(), "the lower 16 bits of a widened bfloat16 are zero"


def test_the_manifest_says_everything(lens, kit, tmp_path):
    result = lens.trace(kit.ask(negative_prompt="blur"), ["latent", "block.out:energy[layer=1]"], tmp_path / "a.zarr")
    manifest = stores.open_store(tmp_path / "a.zarr")[result.trace_id].manifest
    scheduler = lens.pipeline.scheduler
    assert manifest["scheduler"]["class"] == "UniPCMultistepScheduler"
    assert manifest["scheduler"]["config"]["flow_shift"] == 5.0
    assert manifest["sigmas"] == [float(sigma) for sigma in scheduler.sigmas[:6]]
    assert manifest["timesteps"] == [float(t) for t in scheduler.timesteps]
    assert manifest["experts"] == ["transformer"] * 3 + ["transformer_2"] * 3
    assert manifest["pipeline"] == {"class": "WanImageToVideoPipeline", "config": manifest["pipeline"]["config"]}
    assert manifest["pipeline"]["config"]["boundary_ratio"] == 0.9
    assert (manifest["prompt"], manifest["negative_prompt"]) == ("Draw the path", "blur")
    assert len(manifest["image_sha256"]) == len(manifest["weights_sha256"]["transformer"]) == 64
    assert (manifest["seed"], manifest["steps"], manifest["guidance"]) == (3, 6, 3.0)
    assert (manifest["height"], manifest["width"], manifest["frames"]) == (32, 32, 5)
    assert (manifest["dtype"], manifest["device"], manifest["adapter"]) == ("float32", "cpu", "wan")
    assert manifest["captures"] == ["latent:raw", "block.out:energy[layer=1]"]
    assert manifest["source_dtypes"] == {"latent.raw": "float32", "block.out.energy": "float32"}
    assert {"python", "torch", "diffusers", "dit-lens", "zarr", "xarray"} <= set(manifest["versions"])
    assert manifest["git"] == git_state()
    assert manifest["revision"] is None


def test_the_device_is_the_one_that_computes(lens, kit, monkeypatch):
    """Under offload the weights wait elsewhere, which is not where the model runs."""
    request = kit.ask()
    size, layout, resolved = lens.plan(request, ["latent"])
    monkeypatch.setattr(type(lens.pipeline), "_execution_device", property(lambda _: torch.device("cuda:1")))
    assert run_manifest(lens.pipeline, lens.family, request, size, layout, resolved)["device"] == "cuda:1"


def test_weights_of_another_model_hash_differently(kit):
    first, second = kit.look(kit.build()), kit.look(kit.build())
    assert first.identity == second.identity
    changed = kit.look(kit.build())
    with torch.no_grad():
        changed.pipeline.transformer.blocks[0].ffn.net[2].bias[0] += 1
    one, other = first.identity["weights_sha256"], changed.identity["weights_sha256"]
    assert {name for name in one if one[name] != other[name]} == {"transformer"}


def test_describe(lens):
    rows = {row.site: row for row in models.describe(lens)}
    assert rows["block.out"].events == {"branch": None, "step": None, "layer": 3}
    assert rows["block.out"].shape == {"frame": 2, "token": 16, "channel": 24}
    assert rows["latent"].shape == {"latent_channel": 16, "frame": 2, "h": 4, "w": 4}
    assert {row.dtype for row in rows.values()} == {"float32"}
    lens.pipeline.to(torch.bfloat16)
    dtypes = {row.site: row.dtype for row in models.describe(lens)}
    assert dtypes["block.out"] == dtypes["velocity.guided"] == "bfloat16"
    assert dtypes["latent"] == dtypes["x0"] == "float32 or bfloat16"
    assert all(row.meaning for row in rows.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny-wna", "no such model; got 'tiny-wna', allowed tiny-wan, a diffusers folder, or a Hub id as owner/name; "
         "did you mean 'tiny-wan'?"),
        ("./zzz", "no such model; got './zzz', allowed tiny-wan, a diffusers folder, or a Hub id as owner/name; "
                  "check the name"),
    ],
)  # fmt: skip
def test_unknown_names(name, message):
    with pytest.raises(UnknownModel) as caught:
        models.load(name)
    assert str(caught.value) == message
    assert caught.value.exit_code == 2


def test_a_hub_id_that_cannot_be_reached():
    with pytest.raises(UnknownModel) as caught:
        models.load("nobody-at-all/no-such-model")
    assert str(caught.value).startswith("the model could not be loaded; got 'nobody-at-all/no-such-model' with ")
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_model(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnknownModel) as caught:
        models.load(tmp_path / "empty")
    assert str(caught.value) == (
        "no model in this folder; got 'empty' without a readable model_index.json, allowed a folder that "
        "diffusers has saved; "
        "save one with pipeline.save_pretrained"
    )
    (tmp_path / "empty" / "model_index.json").write_text('{"_class_name": "WanPipelin"}')
    with pytest.raises(UnknownModel) as caught:
        models.load(tmp_path / "empty")
    known = sorted({name for family in registry.families() for name in family.pipelines})
    assert {"WanPipeline", "MochiPipeline"} < set(known)
    assert str(caught.value) == (
        f"no adapter knows the pipeline in 'empty'; got 'WanPipelin', allowed {', '.join(known)}; "
        "did you mean 'WanPipeline'?"
    )


@pytest.mark.parametrize("device", ["cuda", "cdua", "meta", 7.5])
def test_unknown_device(folder, device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(BadRequest) as caught:
        models.load(folder, device=device)
    assert str(caught.value).startswith(f"no such device here; got {device!r}, allowed cpu")
    assert str(caught.value).endswith("; choose one")


def test_a_truncated_file(folder, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    file = broken / "transformer" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UnknownModel) as caught:
        models.load(broken)
    assert str(caught.value).startswith("the model could not be loaded; got 'broken' with ")
    assert str(caught.value).endswith("diffusers pipeline; save or fetch the model again")
    assert "\n" not in str(caught.value)


def test_a_revision_of_a_folder_is_refused(folder):
    with pytest.raises(BadRequest) as caught:
        models.load(folder, revision="main")
    assert str(caught.value) == (
        "a local model has no revisions; got 'main', allowed None; leave it out, or give a Hub id"
    )


def test_a_hub_id_is_pinned_by_its_commit(folder, kit, tmp_path, monkeypatch):
    """The cache of the Hub as it lies on disk, with a branch that leads to a commit."""
    from diffusers import DiffusionPipeline

    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "models--someone--untrained" / "snapshots" / commit
    shutil.copytree(folder, snapshot)
    asked = []

    def download(name, revision=None):
        asked.append((name, revision))
        return snapshot

    monkeypatch.setattr(DiffusionPipeline, "download", download)
    lens = models.load("someone/untrained", revision="main")
    assert asked == [("someone/untrained", "main")]
    identity = lens.identity
    assert (identity["model"], identity["revision"]) == ("someone/untrained", commit)
    assert identity["licence"] == "apache-2.0"
    assert identity["weights_sha256"] == models.load(folder).identity["weights_sha256"]
    (snapshot / "README.md").unlink()
    assert models.load("someone/untrained").identity["licence"] is None


def test_unknown_dtype(folder):
    with pytest.raises(
        BadRequest, match="no such dtype to load a model in; got 'bf17', allowed float32, bfloat16, float16"
    ):
        models.load(folder, dtype="bf17")


def test_tiny_wan_without_weights(monkeypatch, tmp_path):
    (known,) = models.known_models()
    bare = models.KnownModel(known.name, tmp_path, known.size, known.licence, known.summary)
    monkeypatch.setattr(models, "known_models", lambda: (bare,))
    with pytest.raises(UnknownModel) as caught:
        models.load("tiny-wan")
    assert str(caught.value) == (
        "the weights of tiny-wan are not there; got no model_index.json, allowed a trained model; "
        "run 'dit-lens models train tiny-wan'"
    )


def test_third_party_families(monkeypatch, pipeline):
    """One package adds a family, one is broken: the first is found, the second is named and harms nothing."""
    from dataclasses import replace

    theirs = replace(WAN, name="theirs", model="TheirTransformer")
    beside = replace(WAN, name="other pipeline", pipelines=("TheirPipeline",))
    again = replace(WAN, name="again", pipelines=WAN.pipelines[::-1])
    points = {"good": [theirs, beside, again], "broken": ImportError("no module named theirs")}

    class Point(EntryPoint):
        def load(self):
            if isinstance(points[self.name], Exception):
                raise points[self.name]
            return points[self.name]

    found = [Point(name=name, value="theirs:FAMILY", group=registry.GROUP) for name in points]
    built_in = [family.name for family in registry.families()]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)
    registry.families.cache_clear()
    try:
        with pytest.warns(UserWarning, match="adapter 'broken' of package '.*' cannot be used: ImportError"):
            names = [family.name for family in registry.families()]
        assert names == [*built_in, "theirs", "other pipeline"]
        assert registry.family_of(pipeline) is WAN
    finally:
        registry.families.cache_clear()
