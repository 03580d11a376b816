"""Clean latents and sigmas against what diffusers' schedulers compute themselves."""

from __future__ import annotations

import math
from itertools import product

import diffusers
import pytest
import torch

from dit_lens.engine.solver import (
    clean_latent,
    finds_clean,
    schedule_of,
    step_index,
)

# diffusers makes numpy arrays of tensors in a way that numpy 2 warns about
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

STEPS = 5
PREDICTIONS = ("epsilon", "v_prediction", "sample")
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
OPTIONS = {
    "plain": {},
    "zero-snr": ZERO_SNR,
    "flow": {"use_flow_sigmas": True, "flow_shift": 5.0},
    "flow-ends-at-sigma-min": {"use_flow_sigmas": True, "final_sigmas_type": "sigma_min"},
    "karras": {"use_karras_sigmas": True},
    "karras-ends-at-sigma-min": {"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"},
}
CONVERTS = {
    "DPMSolverMultistepScheduler": (*PREDICTIONS, "flow_prediction"),
    "UniPCMultistepScheduler": (*PREDICTIONS, "flow_prediction"),
    "DPMSolverSinglestepScheduler": ("flow_prediction",),
    "SASolverScheduler": ("flow_prediction",),
}
STEPPING = ("DDIM", "CogVideoXDDIM", "CogVideoXDPM", "DDPM", "EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete")
MATCHING = {
    "Euler": lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0),
    "Euler-inverted": lambda: diffusers.FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
    "Euler-ends-early": lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift_terminal=0.1),
    "Heun": lambda: diffusers.FlowMatchHeunDiscreteScheduler(shift=3.0),
    "LCM": diffusers.FlowMatchLCMScheduler,
    "DEIS": lambda: diffusers.DEISMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True),
}


def _knows(name, config):
    kind = getattr(diffusers, name)
    return set(config) <= set(kind._get_init_keys(kind))


def _built(name, **config):
    return getattr(diffusers, name)(**config)


def _cases():
    for (name, predictions), (label, options) in product(CONVERTS.items(), OPTIONS.items()):
        for prediction in predictions:
            if _knows(name, options):
                yield pytest.param(name, {"prediction_type": prediction, **options}, id=f"{name}-{prediction}-{label}")


def _refuses(config):
    return config.get("use_flow_sigmas", False) and config["prediction_type"] in ("epsilon", "v_prediction")


@pytest.mark.parametrize(("name", "config"), list(_cases()))
def test_clean_latents_are_those_that_the_scheduler_converts_to(name, config):
    scheduler = _built(name, **config)
    if _refuses(config):
        assert not finds_clean(scheduler)
        return
    assert finds_clean(scheduler)
    scheduler.set_timesteps(STEPS)
    generator = torch.Generator().manual_seed(0)
    for index, timestep in enumerate(scheduler.timesteps[:STEPS]):
        latent, output = torch.randn(2, 3, 4, generator=generator), torch.randn(2, 3, 4, generator=generator)
        scheduler._step_index = index
        own = scheduler.convert_model_output(output, sample=latent)
        found = clean_latent(scheduler, index, timestep, latent, output)
        if config["prediction_type"] == "flow_prediction":
            assert torch.equal(found, own)
        torch.testing.assert_close(found, own, rtol=2e-6, atol=2e-6 * float(own.abs().max()))


def _stepping():
    for name, prediction, zero in product(STEPPING, PREDICTIONS, (False, True)):
        if not (name == "EulerAncestralDiscrete" and prediction == "sample"):  # which diffusers has not
            config = {"prediction_type": prediction, **(ZERO_SNR if zero else {})}
            if _knows(f"{name}Scheduler", config):
                yield pytest.param(f"{name}Scheduler", config, id=f"{name}-{prediction}{'-zero-snr' * zero}")


def _step(scheduler, output, timestep, latent, before):
    """The next latents, and diffusers' own estimate of the clean ones."""
    if type(scheduler).__name__ == "CogVideoXDPMScheduler":
        return scheduler.step(output, None, timestep, before, latent)
    done = scheduler.step(output, timestep, latent)
    return done.prev_sample, done.pred_original_sample


@pytest.mark.parametrize(("name", "config"), list(_stepping()))
def test_clean_latents_are_those_that_the_scheduler_steps_with(name, config):
    scheduler = _built(name, **config, **({"clip_sample": False} if _knows(name, {"clip_sample"}) else {}))
    unknown = config["prediction_type"] == "epsilon" and float(scheduler.alphas_cumprod.min()) == 0
    assert finds_clean(scheduler) is not unknown
    if unknown:
        return
    scheduler.set_timesteps(STEPS)
    generator, before = torch.Generator().manual_seed(0), None
    latent = torch.randn(2, 3, 4, 4, generator=generator) * float(scheduler.init_noise_sigma)
    for timestep in scheduler.timesteps:
        scheduler.scale_model_input(latent, timestep)
        output = torch.randn(2, 3, 4, 4, generator=generator)
        index = step_index(scheduler, timestep)
        found = clean_latent(scheduler, index, timestep, latent, output)
        after, own = _step(scheduler, output, timestep, latent, before)
        torch.testing.assert_close(found, own, rtol=1e-5, atol=1e-6 * float(own.abs().max()))
        assert found.isfinite().all()
        latent, before = after, timestep


@pytest.mark.parametrize("name", MATCHING)
def test_clean_latents_of_flow_matching_are_the_clean_part_of_a_mixture(name):
    scheduler = MATCHING[name]()
    scheduler.set_timesteps(STEPS)
    clean, noise = torch.randn(2, 2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for index, timestep in enumerate(scheduler.timesteps):
        share = float(scheduler.sigmas[index])
        share = 1 - share if scheduler.config.get("invert_sigmas") else share
        towards = noise - clean if not scheduler.config.get("invert_sigmas") else clean - noise
        latent = (1 - share) * clean + share * noise
        torch.testing.assert_close(clean_latent(scheduler, index, timestep, latent, towards), clean)


@pytest.mark.parametrize("name", ["UniPCMultistepScheduler", "DPMSolverMultistepScheduler"])
def test_settings_that_a_scheduler_ignores_are_ignored(name):
    """``from_config`` keeps those of the scheduler that it was made from: here, that its sigmas are inverted."""
    config = {**MATCHING["Euler-inverted"]().config, "prediction_type": "flow_prediction", "use_flow_sigmas": True}
    scheduler = getattr(diffusers, name).from_config(config)
    assert scheduler.config["invert_sigmas"]
    scheduler.set_timesteps(STEPS)
    scheduler._step_index = 2
    latent, output = torch.randn(2, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    own = scheduler.convert_model_output(output, sample=latent)
    assert torch.equal(clean_latent(scheduler, 2, scheduler.timesteps[2], latent, output), own)


@pytest.mark.parametrize("name", ["CogVideoXDDIMScheduler", "CogVideoXDPMScheduler", "DDIMScheduler", "DDPMScheduler"])
def test_a_step_from_noise_alone_has_an_infinite_sigma(name):
    scheduler = _built(name, prediction_type="v_prediction", **ZERO_SNR)
    schedule = schedule_of(scheduler, 4)
    assert schedule.timesteps[0] == 999.0
    assert schedule.sigmas[0] == math.inf
    assert all(math.isfinite(sigma) for sigma in schedule.sigmas[1:])
    latent, output = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).split(1)
    assert torch.equal(clean_latent(scheduler, None, 999.0, latent, output), -output)


def test_a_scheduler_of_any_other_kind_has_no_clean_latents():
    assert not finds_clean(diffusers.EDMEulerScheduler())
    assert not finds_clean(diffusers.DEISMultistepScheduler(prediction_type="epsilon"))
    assert not finds_clean(diffusers.DDIMScheduler(prediction_type="epsilon", **ZERO_SNR))
    assert finds_clean(diffusers.DDIMScheduler(prediction_type="sample", **ZERO_SNR))
