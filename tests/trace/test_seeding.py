"""The seed alone determines a run, also with schedulers that add noise at every step and are given no generator."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch

import dit_lens_stores as stores
from dit_lens.engine.seeding import seeded

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # diffusers' DPM++ makes a numpy array of a tensor in a way that numpy 2 warns about
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]
_FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 5.0}
STOCHASTIC = {
    "LCM": diffusers.FlowMatchLCMScheduler,
    "Euler": lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0, stochastic_sampling=True),
    "DPM": lambda: diffusers.DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", **_FLOW),
}


def _lens(kit, name):
    pipeline = kit.build("t2v", experts=1)
    pipeline.scheduler = STOCHASTIC[name]()
    return kit.look(pipeline)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_plain_traced_and_repeated_runs_are_one(kit, tmp_path, name):
    lens, request = _lens(kit, name), kit.ask("t2v", steps=3)
    torch.manual_seed(11)
    plain = lens.generate(request, decode=False).latents
    torch.manual_seed(12)
    first, second = (
        lens.trace(request, ["block.out", "latent"], tmp_path / "a.zarr", trace_id=trace_id, decode=False)
        for trace_id in ("first", "second")
    )
    assert torch.equal(first.latents, plain)
    assert torch.equal(second.latents, plain)
    store = stores.open_store(tmp_path / "a.zarr")
    for array in ("block.out.raw", "latent.raw"):
        assert np.array_equal(store["first"][array].values, store["second"][array].values)
    other = lens.generate(kit.ask("t2v", steps=3, seed=4), decode=False).latents
    assert not torch.equal(other, plain)


def test_the_noise_of_the_steps_follows_from_the_seed(kit):
    """Not from the generator of the first latents: with that alone, the global one decides."""
    lens, request = _lens(kit, "LCM"), kit.ask("t2v", steps=3)
    plain = lens.generate(request, decode=False).latents
    lens.pipeline.set_progress_bar_config(disable=True)
    given = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 3, "max_sequence_length": 16}
    stock = []
    for seed in (request.seed, 99):
        torch.manual_seed(seed)
        generator = torch.Generator("cpu").manual_seed(request.seed)
        stock.append(
            lens.pipeline(
                prompt=request.prompt, guidance_scale=3.0, generator=generator, output_type="latent", **given
            ).frames
        )
    assert torch.equal(stock[0], plain)
    assert not torch.equal(stock[1], plain)


@pytest.mark.parametrize("fails", [False, True])
def test_the_users_generator_is_left_as_it_was(kit, tmp_path, fails):
    lens = _lens(kit, "LCM")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    if fails:
        lens.pipeline.transformer.register_forward_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lens.generate(kit.ask("t2v", steps=3), decode=False)
    else:
        lens.trace(kit.ask("t2v", steps=3), ["latent"], tmp_path / "a.zarr", decode=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_other_devices_are_seeded_and_restored(monkeypatch):
    """A device that stands for an accelerator: its own generator starts from the seed, and is put back."""
    calls = []

    class Module:
        def get_rng_state(self, number):
            return f"state of {number}"

        def set_rng_state(self, state, number):
            calls.append(("set", state, number))

        def manual_seed(self, seed):
            calls.append(("seed", seed))

        def device(self, number):
            calls.append(("on", number))
            return torch.no_grad()

    module = Module()
    monkeypatch.setattr(torch, "cuda", module)
    monkeypatch.setattr(torch, "get_device_module", lambda _device: module)
    with seeded(3, "cuda:1"):
        assert calls == [("on", 1), ("seed", 3)]
    assert calls[2:] == [("set", "state of 1", 1)]
