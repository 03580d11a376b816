"""Capture changes nothing, and leaves nothing behind, also when the run dies."""

from __future__ import annotations

import copy

import pytest
import torch
import xarray as xr

import dit_lens_stores as stores


class Boom(Exception):
    pass


def _die(at: int):
    def on_step(done: int, steps: int) -> None:
        if done == at:
            raise Boom(f"after step {done} of {steps}")

    return on_step


def _state(pipeline):
    """Everything that an engine could have left on a pipeline."""
    modules = [m for name in ("transformer", "transformer_2") for m in getattr(pipeline, name).modules()]
    return {
        "scheduler class": type(pipeline.scheduler),
        "scheduler attributes": sorted(vars(pipeline.scheduler)),
        "hooks": [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in modules],
        "patched": [sorted(set(vars(m)) & {"forward", "cache_context", "__call__"}) for m in modules],
        "registries": [
            sorted(getattr(m, "_diffusers_hook", None).hooks) for m in modules if hasattr(m, "_diffusers_hook")
        ],
        "attributes": [sorted(vars(m)) for m in modules],
        "pipeline": sorted(vars(pipeline)),
        "training": [m.training for m in modules],
    }


def test_capture_of_everything_is_bit_identical(lens, kit, tmp_path):
    plain = lens.generate(kit.ask())
    traced = lens.trace(kit.ask(), kit.EVERYTHING, tmp_path / "a.zarr")
    after = lens.generate(kit.ask())
    assert torch.equal(plain.latents, traced.latents)
    assert torch.equal(plain.latents, after.latents)
    assert (plain.video == traced.video).all()
    assert plain.latents.abs().sum() > 0


def test_plain_run_is_the_stock_pipeline(lens, kit):
    request = kit.ask()
    stock = lens.pipeline(
        image=request.image, prompt=request.prompt, negative_prompt="", height=32, width=32, num_frames=5,
        num_inference_steps=6, guidance_scale=3.0, max_sequence_length=16,
        generator=torch.Generator("cpu").manual_seed(3), output_type="np",
    ).frames[0]  # fmt: skip
    assert ((stock * 255).round().astype("uint8") == lens.generate(request).video).all()


def test_plain_run_after_a_trace_that_died(lens, kit, tmp_path):
    plain = lens.generate(kit.ask())
    before = _state(lens.pipeline)
    with pytest.raises(Boom):
        lens.trace(kit.ask(), kit.EVERYTHING, tmp_path / "a.zarr", trace_id="dead", on_step=_die(3))
    assert _state(lens.pipeline) == before
    assert torch.equal(lens.generate(kit.ask()).latents, plain.latents)
    store = stores.open_store(tmp_path / "a.zarr")
    assert store.status("dead") == "failed"
    with pytest.raises(stores.NotDone):
        store["dead"]["latent.raw"].load()


def test_plain_run_after_a_block_that_died(lens, kit, tmp_path):
    plain = lens.generate(kit.ask())
    before = _state(lens.pipeline)
    block = lens.pipeline.transformer_2.blocks[1]

    def die(*args, **kwargs):
        raise Boom("inside a block")

    block.forward = die
    with pytest.raises(Boom):
        lens.trace(kit.ask(), kit.EVERYTHING, tmp_path / "a.zarr", trace_id="dead")
    del block.forward
    _check_dead(lens, kit, tmp_path / "a.zarr", before, plain, "Boom: inside a block")


@pytest.mark.parametrize("method", ["write", "note_latents", "update_manifest", "finish"])
@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()], ids=["disk", "interrupt"])
def test_plain_run_after_a_writer_that_died(lens, kit, tmp_path, method, error):
    plain = lens.generate(kit.ask())
    before = _state(lens.pipeline)
    store = _store_whose_writer_dies(tmp_path / "a.zarr", method, error)
    with pytest.raises(type(error)):
        lens.trace(kit.ask(), kit.EVERYTHING, store, trace_id="dead")
    _check_dead(lens, kit, tmp_path / "a.zarr", before, plain, type(error).__name__)


def test_the_first_error_is_the_one_that_is_raised(lens, kit, tmp_path):
    """The disk that failed the run fails the mark as well."""
    store = _store_whose_writer_dies(tmp_path / "a.zarr", "fail", OSError("no space left"))
    with pytest.raises(Boom) as caught:
        lens.trace(kit.ask(), ["latent"], store, trace_id="dead", on_step=_die(1))
    assert caught.value.__notes__ == ["the trace could not be marked failed: OSError: no space left"]


def _store_whose_writer_dies(path, method, error):
    store = stores.create_store(path)
    begin = store.begin

    def die(*args, **kwargs):
        raise error

    def watched(*args, **options):
        writer = begin(*args, **options)
        setattr(writer, method, die)
        return writer

    store.begin = watched
    return store


def _check_dead(lens, kit, path, before, plain, reason):
    assert _state(lens.pipeline) == before
    assert torch.equal(lens.generate(kit.ask()).latents, plain.latents)
    assert stores.open_store(path).status("dead") == "failed"
    assert xr.open_zarr(path, group="dead", consolidated=False).attrs["reason"].startswith(reason)


def test_a_dead_trace_can_be_made_again_under_its_id(lens, kit, tmp_path):
    with pytest.raises(Boom):
        lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr", trace_id="t", on_step=_die(2))
    lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr", trace_id="t")
    assert stores.open_store(tmp_path / "a.zarr").status("t") == "complete"


def test_an_interrupt_is_no_running_trace(lens, kit, tmp_path):
    def interrupt(done: int, steps: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr", trace_id="t", on_step=interrupt)
    assert stores.open_store(tmp_path / "a.zarr").status("t") == "failed"


def test_pipeline_is_restored_after_a_trace(lens, kit, tmp_path):
    lens.generate(kit.ask())
    before = _state(lens.pipeline)
    lens.trace(kit.ask(), kit.EVERYTHING, tmp_path / "a.zarr")
    assert _state(lens.pipeline) == before
    lens.trace(kit.ask(seed=4), kit.EVERYTHING, tmp_path / "a.zarr")
    assert _state(lens.pipeline) == before


def test_settings_of_the_user_survive(lens, kit, tmp_path):
    lens.pipeline.set_progress_bar_config(disable=True, desc="mine")
    mine = lens.pipeline.transformer.blocks[0].register_forward_hook(lambda *a: None)
    lens.trace(kit.ask(), ["block.out:energy"], tmp_path / "a.zarr")
    assert lens.pipeline._progress_bar_config == {"disable": True, "desc": "mine"}
    assert mine.id in lens.pipeline.transformer.blocks[0]._forward_hooks


def test_a_trace_prints_nothing(lens, kit, tmp_path, capfd):
    lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr")
    assert capfd.readouterr() == ("", "")


def test_a_copied_scheduler_is_not_observed(lens, kit, tmp_path):
    """A pipeline that steps a deep copy beside the real one must not move the clock."""

    def step_a_copy(done: int, steps: int) -> None:
        twin = copy.deepcopy(lens.pipeline.scheduler)
        if done < steps:
            twin.step(torch.zeros(1, 16, 2, 4, 4), twin.timesteps[done], torch.zeros(1, 16, 2, 4, 4))

    lens.trace(kit.ask(), ["latent"], tmp_path / "a.zarr", trace_id="t", on_step=step_a_copy)
    assert stores.open_store(tmp_path / "a.zarr").status("t") == "complete"


def test_the_observed_scheduler_keeps_its_face(pipeline):
    import inspect

    from dit_lens.engine.scheduler import observed_scheduler

    stock = type(pipeline.scheduler)
    with observed_scheduler(pipeline.scheduler, lambda: None, lambda call: lambda after: None):
        observed = type(pipeline.scheduler)
        assert observed is not stock
        assert isinstance(pipeline.scheduler, stock)
        assert (observed.__name__, observed.__module__) == (stock.__name__, stock.__module__)
        for name in ("step", "set_timesteps"):
            assert inspect.signature(getattr(observed, name)) == inspect.signature(getattr(stock, name))
    assert type(pipeline.scheduler) is stock
