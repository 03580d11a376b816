"""What is stored equals what an observer saw that shares no code with the engine."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

import dit_lens_stores as stores


def _record(lens, kit, path, request, captures=None):
    """The trace, and what the observer saw of a second run of the same request."""
    result = lens.trace(request, captures or kit.EVERYTHING, path)
    with kit.observer(lens.pipeline) as seen:
        again = lens.generate(request)
    assert torch.equal(result.latents, again.latents)
    return stores.open_store(path)[result.trace_id], seen, result


def _float(tensor):
    return tensor.float().numpy()


def _norm(tensor, dim):
    return torch.sqrt((tensor.double() ** 2).sum(dim)).numpy()


# diffusers' DPM++ makes a numpy array of a tensor in a way that numpy 2 warns about
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize(
    "scheduler", ["unipc", *(pytest.param(one, marks=pytest.mark.slow) for one in ("euler", "dpm"))]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["i2v", "t2v"])
def test_every_value_equals_the_observers(kit, tmp_path, scheduler, dtype, kind):
    pipeline = kit.build(kind, scheduler).to(dtype)
    trace, seen, result = _record(kit.look(pipeline), kit, tmp_path / "a.zarr", kit.ask(kind))
    _check_blocks(trace, seen, dtype, kit)
    _check_latents(trace, seen)
    _check_clock(trace, seen)
    last = trace["x0.guided.raw"].isel(step=-1).values
    assert np.array_equal(last, _float(result.latents[0])), "x0 of the last step is the final latent"


def test_plain_xarray_reads_the_exact_values_of_a_bfloat16_run(kit, tmp_path):
    lens = kit.look(kit.build(scheduler="euler").to(torch.bfloat16))
    _, seen, result = _record(lens, kit, tmp_path / "a.zarr", kit.ask(), ["block.out", "latent"])
    plain = xr.open_zarr(tmp_path / "a.zarr", group=result.trace_id, consolidated=False)
    assert len(seen.blocks) == 2 * 6 * kit.BLOCKS
    for _, branch, step, layer, values_NC in seen.blocks:
        assert values_NC.dtype == torch.bfloat16
        stored = plain["block.out.raw"].sel(branch=branch, step=step, layer=layer).values
        assert torch.equal(torch.from_numpy(stored).to(torch.bfloat16), values_NC.reshape(2, 16, -1))
        assert np.array_equal(stored, _float(values_NC).reshape(2, 16, -1))
    for step, (*_, latent) in enumerate(seen.steps):
        assert np.array_equal(plain["latent.raw"].sel(step=step).values, _float(latent))


def test_the_source_dtype_is_the_one_that_came(kit, tmp_path):
    """With Euler a bfloat16 denoiser's latents start in float32 and go on in bfloat16; with UniPC they stay float32."""
    for scheduler, later in (("euler", "bfloat16"), ("unipc", "float32")):
        path, sites = tmp_path / f"{scheduler}.zarr", ["latent", "velocity.guided:energy", "x0.guided"]
        lens = kit.look(kit.build(scheduler=scheduler).to(torch.bfloat16))
        lens.trace(kit.ask(), sites, path, trace_id="whole")
        lens.trace(kit.ask(), ["latent[step=1:]", *sites[1:]], path, trace_id="later")
        with kit.observer(lens.pipeline) as seen:
            lens.generate(kit.ask())
        assert [str(latent.dtype) for *_, latent in seen.steps] == ["torch.float32"] + [f"torch.{later}"] * 5
        store = stores.open_store(path)
        dtypes = {trace: {a: store[trace][a].attrs["source_dtype"] for a in store[trace].arrays} for trace in store}
        rest = {"velocity.guided.energy": "bfloat16", "x0.guided.raw": later, "video": "uint8"}
        assert dtypes == {"whole": {"latent.raw": "float32", **rest}, "later": {"latent.raw": later, **rest}}
        assert store["later"].manifest["source_dtypes"] | {"video": "uint8"} == dtypes["later"]


def _check_blocks(trace, seen, dtype, kit):
    raw, energy = trace["block.out.raw"], trace["block.out.energy"]
    assert raw.dims == ("branch", "step", "layer", "frame", "token", "channel")
    assert raw.attrs["source_dtype"] == str(dtype).removeprefix("torch.")
    assert len(seen.blocks) == raw.sizes["branch"] * raw.sizes["step"] * raw.sizes["layer"] == 2 * 6 * kit.BLOCKS
    assert {expert for expert, *_ in seen.blocks} == {"transformer", "transformer_2"}
    for expert, branch, step, layer, values_NC in seen.blocks:
        assert values_NC.dtype == dtype
        at = {"branch": branch, "step": step, "layer": layer}
        values_FNC = values_NC.reshape(2, 16, -1)
        assert np.array_equal(raw.sel(at).values, _float(values_FNC))
        np.testing.assert_allclose(energy.sel(at).values, _norm(values_FNC, -1), rtol=2e-6)
        assert str(raw.expert.sel(step=step).values) == expert


def _check_latents(trace, seen):
    for _, branch, step, velocity in seen.velocities:
        stored = trace["velocity.raw"].sel(branch=branch, step=step)
        assert stored.dims == ("latent_channel", "frame", "h", "w")
        assert np.array_equal(stored.values, _float(velocity))
        np.testing.assert_allclose(
            trace["velocity.energy"].sel(branch=branch, step=step).values, _norm(velocity, 0), rtol=2e-6
        )
    for step, (_, _, sigma, guided, latent) in enumerate(seen.steps):
        assert np.array_equal(trace["latent.raw"].sel(step=step).values, _float(latent))
        assert np.array_equal(trace["velocity.guided.raw"].sel(step=step).values, _float(guided))
        np.testing.assert_allclose(trace["latent.energy"].sel(step=step).values, _norm(latent, 0), rtol=2e-6)
        clean = latent.double() - sigma * guided.double()
        rough = 2e-5 if guided.dtype == latent.dtype == torch.float32 else 4e-2
        np.testing.assert_allclose(trace["x0.guided.raw"].sel(step=step).values, clean.numpy(), rtol=rough, atol=rough)


def _check_clock(trace, seen):
    array = trace["block.out.energy"]
    assert array.timestep.values.tolist() == [t for _, t, *_ in seen.steps]
    assert array.sigma.values.tolist() == [sigma for _, _, sigma, *_ in seen.steps]
    assert array.expert.values.tolist() == [expert for expert, *_ in seen.steps]
    assert array.y.values.tolist() == [token // 4 for token in range(16)]
    assert array.x.values.tolist() == [token % 4 for token in range(16)]


def test_x0_of_a_branch_is_the_formula_on_its_velocity(lens, kit, tmp_path):
    trace, seen, _ = _record(lens, kit, tmp_path / "a.zarr", kit.ask(), ["x0", "x0:energy"])
    for _, branch, step, velocity in seen.velocities:
        _, _, sigma, _, latent = seen.steps[step]
        expected = (latent - torch.tensor(sigma) * velocity).numpy()
        assert np.array_equal(trace["x0.raw"].sel(branch=branch, step=step).values, expected)
        np.testing.assert_allclose(
            trace["x0.energy"].sel(branch=branch, step=step).values, np.linalg.norm(expected, axis=0), rtol=1e-5
        )


def test_x0_of_unipc_is_the_schedulers_own(lens, kit, tmp_path):
    result = lens.trace(kit.ask(), ["x0.guided"], tmp_path / "a.zarr")
    own, scheduler = [], lens.pipeline.scheduler
    stock = scheduler.convert_model_output
    scheduler.convert_model_output = lambda *a, **k: own.append(stock(*a, **k)) or own[-1]
    lens.generate(kit.ask())
    stored = stores.open_store(tmp_path / "a.zarr")[result.trace_id]["x0.guided.raw"].values
    assert np.array_equal(stored, torch.stack(own)[:, 0].numpy())


def test_guidance_off_runs_one_branch(lens, kit, tmp_path):
    trace, seen, _ = _record(lens, kit, tmp_path / "a.zarr", kit.ask(guidance=1.0))
    assert trace["block.out.raw"].branch.values.tolist() == ["cond"]
    assert {branch for _, branch, *_ in seen.blocks} == {"cond"}
    assert np.array_equal(trace["velocity.raw"].sel(branch="cond").values, trace["velocity.guided.raw"].values)


def test_second_guidance_reaches_the_second_expert(lens, kit, tmp_path):
    same = lens.generate(kit.ask())
    trace, _, result = _record(lens, kit, tmp_path / "a.zarr", kit.ask(guidance_2=6.0), ["velocity", "velocity.guided"])
    assert not torch.equal(same.latents, result.latents)
    cond, uncond = (trace["velocity.raw"].sel(branch=branch).values for branch in ("cond", "uncond"))
    scale = np.where(trace["velocity.raw"].expert.values == "transformer", 3.0, 6.0)[:, None, None, None, None]
    np.testing.assert_allclose(trace["velocity.guided.raw"].values, uncond + scale * (cond - uncond), atol=1e-5)


def test_one_expert_alone(kit, tmp_path):
    lens = kit.look(kit.build(experts=1))
    trace, seen, _ = _record(lens, kit, tmp_path / "a.zarr", kit.ask())
    assert set(trace["latent.raw"].expert.values.tolist()) == {"transformer"}
    assert len(seen.blocks) == trace["block.out.raw"].sizes["step"] * 2 * kit.BLOCKS


def test_a_selection_keeps_its_true_labels(lens, kit, tmp_path):
    part = "block.out:raw[step=1+-1,layer=1:,branch=uncond,frame=1,token=3+8:11]"
    trace, seen, _ = _record(lens, kit, tmp_path / "a.zarr", kit.ask(), [part, "latent[expert=transformer_2,frame=0]"])
    raw = trace["block.out.raw"]
    assert {dim: raw[dim].values.tolist() for dim in raw.dims[:-1]} == {
        "branch": ["uncond"], "step": [1, 5], "layer": [1, 2], "frame": [1], "token": [3, 8, 9, 10],
    }  # fmt: skip
    assert raw.y.values.tolist() == [0, 2, 2, 2]
    for _, branch, step, layer, values_NC in seen.blocks:
        if branch == "uncond" and step in (1, 5) and layer in (1, 2):
            chosen = values_NC.reshape(2, 16, -1)[1:, [3, 8, 9, 10]]
            assert np.array_equal(raw.sel(branch=branch, step=step, layer=layer).values, chosen.numpy())
    latent = trace["latent.raw"]
    assert latent.step.values.tolist() == [3, 4, 5]
    assert np.array_equal(latent.sel(step=4).values, seen.steps[4][4][:, :1].numpy())


def test_the_video_is_stored(lens, kit, tmp_path):
    result = lens.trace(kit.ask(), ["latent:energy"], tmp_path / "a.zarr")
    video = stores.open_store(tmp_path / "a.zarr")[result.trace_id]["video"]
    assert video.dims == ("video_frame", "video_y", "video_x", "rgb")
    assert (video.values == result.video).all()
    assert (lens.decode(result.latents) == result.video).all()
    bare = lens.trace(kit.ask(), ["latent:energy"], tmp_path / "a.zarr", trace_id="bare", decode=False)
    assert bare.video is None
    assert "video" not in stores.open_store(tmp_path / "a.zarr")["bare"].arrays


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_energy_never_squares_in_low_precision(dtype):
    from dit_lens.engine.statistics import energy

    torch.manual_seed(0)
    values = (torch.randn(1500, 300) * 300).to(dtype)
    np.testing.assert_allclose(energy(values, 1).numpy(), _norm(values, 1), rtol=2e-6)
    np.testing.assert_allclose(energy(values, 0).numpy(), _norm(values, 0), rtol=5e-6)
    assert energy(values, 1).dtype == torch.float32
