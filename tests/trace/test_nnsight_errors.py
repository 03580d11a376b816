"""The nnsight bridge refuses: no silent trap of nnsight is left, and every message names the address."""

from __future__ import annotations

import dataclasses
import sys

import pytest
import torch

import dit_lens_stores as stores
from dit_lens.engine.errors import (
    BadBlock,
    BadRequest,
    BadSelection,
    IncompleteTrace,
    OutOfOrder,
    UnexpectedVisit,
    UnknownCapture,
    UnsupportedNNsight,
)
from dit_lens.errors import DitLensError
from dit_lens.nnsight_bridge import check_nnsight, plan_visits


def _state(pipeline):
    """Everything on every module that nnsight or a hook could leave."""
    return {
        f"{expert}.{name}": (sorted(vars(module)), len(module._forward_hooks), len(module._forward_pre_hooks))
        for expert in ("transformer", "transformer_2", "vae", "text_encoder")
        for name, module in getattr(pipeline, expert).named_modules()
    }


# ---------------------------------------------------------------- no silent trap


def _late(_model, at):
    at(3, "cond", 1).output  # noqa: B018
    at(2, "cond", 1).output[:] = 0


def _branch_too_late(_model, at):
    at(3, "uncond", 1).output  # noqa: B018
    at(3, "cond", 1).output[:] = 0


def _layer_too_late(_model, at):
    at(3, "cond", 2).output  # noqa: B018
    at(3, "cond", 0).output[:] = 0


def _query_too_late(_model, at):
    at(3, "cond", 0).save("attn1.out")
    at(3, "cond", 0).save("attn1.q")


def _last_too_late(_model, at):
    at(5, "uncond", 2).output  # noqa: B018
    at(5, "uncond", 1).output[:] = 0


@pytest.mark.parametrize(("block", "where"), [
    (_late, "transformer/cond/step 2/layer 1/output"),
    (_branch_too_late, "transformer_2/cond/step 3/layer 1/output"),
    (_layer_too_late, "transformer_2/cond/step 3/layer 0/output"),
    (_query_too_late, "transformer_2/cond/step 3/layer 0/attn1.source.self_processor_0.fn"),
    (_last_too_late, "transformer_2/uncond/step 5/layer 1/output"),
])  # fmt: skip
def test_values_in_the_wrong_order_raise(lens, kit, block, where):
    with pytest.raises(OutOfOrder) as caught:
        lens.nnsight(kit.ask(), decode=False).run(block)
    assert str(caught.value).startswith(f"the block asked too late for {where}; got a run that is past it, at transf")
    assert [str(address) for address in caught.value.missing] == [where]
    assert caught.value.exit_code == 3
    assert any(entry.name == block.__name__ for entry in caught.traceback), "the traceback shows the line that waited"


def test_a_block_may_catch_what_came_too_late(lens, kit):
    def block(_model, at):
        last = at(3, "cond", 2).output
        try:
            at(3, "cond", 0).output[:] = 0
        except OutOfOrder:
            return at(4, "cond", 0).output - last

    assert lens.nnsight(kit.ask(), decode=False).run(block).shape == (1, 32, 24)


def test_what_never_comes_raises(lens, kit):
    def block(model, at):
        at(0, "cond", 0).output[:] = 0
        model.vae.decoder.output[:] = 0

    with pytest.raises(IncompleteTrace, match=r"a value that never came; got model\.vae\.decoder\.output, allowed"):
        lens.nnsight(kit.ask(), decode=False).run(block)
    session = lens.nnsight(kit.ask(), decode=True)
    session.run(block)
    assert (session.at.result.video[0] == 128).all(), "the first visit: that of the first latent frame"
    assert not (session.at.result.video[1:] == 128).all()


@pytest.mark.parametrize(("block", "error", "message"), [
    (lambda m, at: m.transformer.blocks[1].output, BadBlock, "without an address.*got model.transf.*1.output"),
    (lambda m, at: m.read("block.out"), BadBlock, "without an address.*got model, allowed"),
    (lambda m, at: m.trace(), BadBlock, "cannot use nnsight's own 'trace'; got it on model, allowed output"),
    (lambda m, at: at(1, "cond", 0).edit(), BadBlock, "own 'edit'; got it on transformer/cond/step 1/layer 0, allowed"),
    (lambda m, at: setattr(at(1, "cond", 0), "outptu", 0), BadBlock, "set 'outptu'.* did you mean 'output'"),
    (lambda m, at: at(6, "cond", 0), BadSelection, "no such step in the run; got 6, allowed 0, 1, 2, 3, 4, 5"),
    (lambda m, at: at(-7, "cond", 0), BadSelection, "no such step in the run; got -7"),
    (lambda m, at: at(True, "cond", 0), BadSelection, "no such step in the run; got True"),
    (lambda m, at: at(1, "cnd", 0), BadSelection, "no such branch in step 1; got 'cnd', .* did you mean 'cond'"),
    (lambda m, at: at(1, layer=0), BadSelection, "no such branch in step 1; got None, allowed cond, uncond"),
    (lambda m, at: at(1, "cond", 3), BadSelection, "no such layer in step 1; got 3, allowed 0, 1, 2"),
    (lambda m, at: at(1, "cond", 0, expert="transformer_2"), BadSelection, "no such expert in step 1"),
    (lambda m, at: at(1, "cond", 0).read("velocity"), UnknownCapture, "got 'velocity', allowed block.in, block.out"),
    (lambda m, at: at(1, "cond").read("block.out"), UnknownCapture, "got 'block.out', allowed velocity"),
    (lambda m, at: at(1, "cond", 0).save("attn1.k", torch.zeros(1)), BadBlock, "of its own as a site; got 'attn1.k'"),
    (lambda m, at: [at(1, "cond", 0).save("x", torch.zeros(1)) for _ in range(2)], BadBlock, "saved twice .*layer 0/x"),
])  # fmt: skip
def test_what_a_block_cannot_do(lens, kit, block, error, message):
    state = _state(lens.pipeline)
    with pytest.raises(error, match=message) as caught:
        lens.nnsight(kit.ask(), decode=False).run(block)
    assert "\n" not in str(caught.value)
    assert _state(lens.pipeline) == state


def test_a_place_has_no_values_after_its_block(lens, kit):
    with lens.nnsight(kit.ask(), decode=False) as (model, at):
        here = at(0, "cond", 0)
    with pytest.raises(BadBlock, match="outside of its run; got a place after the block"):
        here.output  # noqa: B018
    assert "WanTransformerBlock" in repr(here)
    assert str(model) == "model"


def test_a_single_branch_need_not_be_named(lens, kit):
    with lens.nnsight(kit.ask(guidance=1.0), decode=False) as (_model, at):
        assert str(at(3, layer=1)) == "transformer_2/cond/step 3/layer 1"


@pytest.mark.parametrize(("body", "reason"), [
    ("with session as (model, at): at(0, 'cond', 0)", "must start on its own line"),
    ("with session as (model, at):\n    try:\n        at(0)\n    finally:\n        pass", "cannot start with"),
    ("with session as (model, at):\n    at(0, 'cond', 0)", "no source"),
])  # fmt: skip
def test_a_body_that_nnsight_cannot_take(lens, kit, tmp_path, body, reason):
    state, path = _state(lens.pipeline), tmp_path / "block.py"
    if reason != "no source":
        path.write_text(body)
    with pytest.raises(BadBlock, match=f"cannot be run from its source; got: .*{reason}.*session.run"):
        exec(compile(body, str(path), "exec"), {"session": lens.nnsight(kit.ask(), decode=False)})
    assert _state(lens.pipeline) == state
    assert sys.gettrace() is None or "coverage" in repr(sys.gettrace())


def test_what_a_session_refuses_before_anything_runs(lens, kit, tmp_path):
    with pytest.raises(BadRequest, match="what to record and where to; got 1 captures and no out"):
        lens.nnsight(kit.ask(), captures=["latent"])
    with pytest.raises(BadRequest, match="got 0 captures and an out"):
        lens.nnsight(kit.ask(), out=tmp_path / "a.zarr")
    with pytest.raises(BadRequest, match=r"block.in cannot be recorded beside an nnsight block"):
        lens.nnsight(kit.ask(), captures=["block.in:energy"], out=tmp_path / "a.zarr")
    with pytest.raises(BadSelection, match="step"):
        lens.nnsight(kit.ask(), steps=9)
    with pytest.raises(BadSelection, match="transformer_3"):
        lens.nnsight(kit.ask(), expert="transformer_3")
    with pytest.raises(BadRequest, match="no such steps"):
        lens.nnsight(kit.ask(steps=0))
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("version", ["0.7.3", "0.9.0", "0.80.0", "1.0", "none"])
def test_another_nnsight_is_refused_by_number(lens, kit, monkeypatch, version):
    def installed(name):
        if version == "none":
            raise check_nnsight.__globals__["metadata"].PackageNotFoundError
        return version

    monkeypatch.setattr("dit_lens.nnsight_bridge.session.metadata.version", installed)
    with pytest.raises(UnsupportedNNsight) as caught:
        lens.nnsight(kit.ask())
    assert str(caught.value) == (
        f"nnsight blocks need a version of nnsight whose workings are known; got {version}, allowed >=0.8,<0.9; "
        "pip install 'nnsight>=0.8,<0.9'"
    )
    assert isinstance(caught.value, DitLensError)
    assert isinstance(caught.value, ImportError)


def test_a_block_that_fails_leaves_a_failed_trace(lens, kit, tmp_path):
    store = stores.create_store(tmp_path / "a.zarr")
    session = lens.nnsight(kit.ask(), captures=["latent"], out=store, trace_id="t", decode=False)
    with pytest.raises(OutOfOrder):
        session.run(_last_too_late)
    assert store.status("t") == "failed"


# ---------------------------------------------------------------- the address is checked against the run


def test_another_timestep_than_planned_raises(lens, kit):
    def shift(_module, args, kwargs):
        return args, {**kwargs, "timestep": kwargs["timestep"] - 1}

    handle = lens.pipeline.transformer.register_forward_pre_hook(shift, with_kwargs=True)
    with pytest.raises(UnexpectedVisit, match=r"than planned at transformer/cond/step 0; got 998, allowed 999"):
        lens.nnsight(kit.ask(), decode=False).run(lambda _model, at: at(1, "cond", 0).output)
    handle.remove()


def test_another_expert_than_planned_raises(lens, kit):
    lens.family = dataclasses.replace(lens.family, expert_at=lambda _pipeline, _timestep: "transformer")
    with pytest.raises(UnexpectedVisit, match=r"planned as number 6; got transformer_2/cond/step 3, allowed transf"):
        lens.nnsight(kit.ask(), decode=False).run(lambda _model, at: at(4, "cond", 0).output)


def test_a_run_that_ends_early_raises(lens, kit):
    def interrupt(_module, _args):
        lens.pipeline._interrupt = True

    handle = lens.pipeline.transformer_2.register_forward_pre_hook(interrupt)
    with pytest.raises(IncompleteTrace, match=r"before its last call; got 8 calls .* being transformer_2/cond/step 4"):
        lens.nnsight(kit.ask(), decode=False).run(lambda _model, at: at(4, "cond", 0).output)
    handle.remove()


def test_rows_of_a_batch_are_one_visit(lens, kit):
    _, layout, _ = lens.plan(kit.ask(), ["latent"])
    visits = plan_visits(layout, batched=True)
    assert [(visit.expert, visit.number) for visit in visits[2:4]] == [("transformer", 2), ("transformer_2", 0)]
    assert {visit.branches for visit in visits} == {("uncond", "cond")}
    assert len(plan_visits(dataclasses.replace(layout, branches=("cond",)), batched=True)) == 6
