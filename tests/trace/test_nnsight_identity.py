"""What an nnsight block is known by, and that a trace of one is never made of two runs."""

from __future__ import annotations

import copy
import functools
import types

import numpy as np
import pytest
import torch
from einops import rearrange

import dit_lens_stores as stores
from dit_lens.nnsight_bridge.identity import of_function


def _scaled(scale):
    def block(_model, at):
        at(0, "cond", 0).output.mul_(scale)

    return block


def _interrupted(lens, kit, store, block, **more):
    """A trace of a block that ends in its fourth step."""
    calls = []

    def interrupt(_module, _args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt

    handle = lens.pipeline.transformer_2.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        lens.nnsight(kit.ask(), captures=["block.out", "latent"], out=store, decode=False, **more).run(block)
    handle.remove()


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_trace_of_a_block_is_recorded_anew(lens, kit, tmp_path, scale):
    """Of the same block and of another under the same name: no step of the run that was interrupted is kept."""
    store = stores.create_store(tmp_path / "a.zarr")
    _interrupted(lens, kit, store, _scaled(0.5), trace_id="t")
    assert store.status("t") == "failed"
    session = lens.nnsight(kit.ask(), captures=["block.out", "latent"], out=store, trace_id="t", decode=False)
    session.run(_scaled(scale))
    assert store.status("t") == "complete"
    with lens.nnsight(kit.ask(), decode=False) as (_model, at):
        at(0, "cond", 0).output.mul_(scale)
        at(0, "cond", 0).save("block.out")
    assert torch.equal(session.at.result.latents, at.result.latents)
    trace = stores.open_store(tmp_path / "a.zarr")["t"]
    (values,) = at.saved.values()
    np.testing.assert_array_equal(trace["block.out.raw"].sel(branch="cond", step=0, layer=0), values)
    assert trace.manifest["nnsight"]["values"] == {"scale": repr(scale)}
    log = (tmp_path / "a.zarr.log.jsonl").read_text().splitlines()
    assert sum('"begin"' in line for line in log) == 2
    assert not any('"resume"' in line for line in log)


def test_a_block_with_another_value_has_another_id(lens, kit, tmp_path):
    store, ids = stores.create_store(tmp_path / "a.zarr"), []
    for scale in (0.5, 2.0):
        session = lens.nnsight(kit.ask(), captures=["latent"], out=store, decode=False)
        session.run(_scaled(scale))
        ids.append(session.at.result.trace_id)
    for scale in (0.5, 2.0):
        with lens.nnsight(kit.ask(), captures=["latent"], out=store, decode=False) as (_model, at):
            at(0, "cond", 0).output.mul_(scale)
        ids.append(at.result.trace_id)
    assert len(set(ids)) == 4
    trace = stores.open_store(tmp_path / "a.zarr")[ids[-1]]
    assert trace.manifest["nnsight"]["values"] == {"scale": "2.0"}
    with pytest.raises(stores.StoreExists):
        lens.nnsight(kit.ask(), captures=["latent"], out=store, decode=False).run(_scaled(0.5))


def _known(value, by_default=1):
    def block(_model, _at, other=by_default):
        return value, other

    return of_function(block)


def _helper(scale):
    return lambda values: values * scale


@pytest.mark.parametrize(("one", "other"), [
    (1, 2), (1.0, 1), (0.5, 2.0), ("a", "b"), (True, 1), (None, 0), (b"a", "a"), (2j, 2),
    (torch.zeros(2), torch.ones(2)), (torch.zeros(2), torch.zeros(1, 2)), (torch.zeros(2), torch.zeros(2).double()),
    (torch.zeros(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16)), (torch.tensor(1), torch.tensor(2)),
    (np.zeros(2), np.ones(2)), ([1, 2], [2, 1]), ({"a": 1}, {"a": 2}), ({1, 2}, {1, 3}),
    ((1, [torch.zeros(2)]), (1, [])), (torch.tensor(1j), torch.tensor(1j).conj()), (np.array(["a"]), np.array(["b"])),
    (torch.float32, torch.float16), (slice(1), slice(2)), (_helper(1), _helper(2)), (np.float32(1), np.float32(2)),
    ("a" * 200, "a" * 199 + "b"), (float, int), (torch.relu, torch.abs),
])  # fmt: skip
def test_a_value_counts(one, other):
    assert _known(one).sha256 != _known(other).sha256
    assert _known(1, one).sha256 != _known(1, other).sha256
    assert _known(one) == _known(copy.deepcopy(one))
    assert not _known(one).unrecorded
    assert len(_known(one).values["value"]) <= 120


class _Settings:
    scale = 1

    def __call__(self, _model, _at):
        """A block can be any callable."""


def test_what_is_not_recorded_is_named(lens, kit, tmp_path):
    settings, again = _Settings(), [1]
    again.append(again)
    with lens.nnsight(kit.ask(), captures=["latent"], out=tmp_path / "a.zarr", decode=False) as (_model, at):
        at(0, "cond", 0).output.mul_(settings.scale * len(again) * float(np.float64(1)))
    facts = stores.open_store(tmp_path / "a.zarr")[at.result.trace_id].manifest["nnsight"]
    assert facts["unrecorded"] == {"settings": f"{__name__}._Settings"}
    assert facts["values"] == {"again": "[1, itself]", "settings": f"{__name__}._Settings", "np": "numpy"}
    assert at.result.trace_id.endswith(facts["sha256"][:8])


def test_blocks_of_other_kinds_are_known_as_well():
    def block(scale, _model, _at, shift=0):
        return scale, shift

    known = of_function(functools.partial(functools.partial(block, 0.5), shift=2))
    assert known.values == {"arguments": "[0.5]", "shift": "2"}
    assert "return scale, shift" in known.text
    method = types.MethodType(block, _Settings())
    assert of_function(method).unrecorded == {"self": f"{__name__}._Settings"}
    assert set(of_function(_Settings()).unrecorded) == {"block"}


def test_functions_of_other_modules_and_tensors_without_values_count_by_name():
    def block(_model, _at):
        return rearrange(nowhere, "a -> a"), sparse

    nowhere, sparse = torch.zeros(2, device="meta"), torch.eye(2).to_sparse()
    known = of_function(block)
    assert known.values["rearrange"] == "einops.einops.rearrange"
    assert known.unrecorded == {"nowhere": "torch.Tensor", "sparse": "torch.Tensor"}
