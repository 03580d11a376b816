"""Every Wan pipeline, against an observer of our own: each address once, with the right labels, values and tokens."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from dit_lens.sites import SITES

from .wan_kept import trace
from .wan_observer import framed, observed, schedule_of
from .wan_variants import LAYERS, VARIANTS, WIDE, ask, look

# diffusers' DPM++ makes a numpy array of a tensor in a way that numpy 2 warns about
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

GUIDANCE = {"off": {"guidance": 1.0}, "on": {}, "per expert": {"guidance": 2.0, "guidance_2": 5.0}}


def _table():
    """Every variant under UniPC, and one of each kind under the others, is run always; the whole table is slow."""
    kinds = ("t2v-a14b", "ti2v-5b-i2v", "vace-references", "v2v")
    for name, guidance, scheduler in product(VARIANTS, GUIDANCE, WIDE):
        if guidance == "per expert" and VARIANTS[name].experts == 1:
            continue
        always = scheduler == "unipc" or (guidance == "on" and name in kinds)
        yield pytest.param(name, guidance, scheduler, marks=() if always else pytest.mark.slow)


EXACT = ("block.in", "block.out", "attn1.out", "attn2.out", "ffn.out", "attn1.v", "attn2.q", "attn2.k", "attn2.v")


@pytest.mark.parametrize(("name", "guidance", "scheduler"), list(_table()))
def test_every_address_once_with_its_labels_and_values(name, guidance, scheduler):
    variant, lens, request = VARIANTS[name], look(name, scheduler), ask(name, **GUIDANCE[guidance])
    kept, layout, latents = trace(lens, request)
    with observed(lens.pipeline, variant, [request]) as seen:
        plain = lens.generate(request, decode=False)
    assert torch.equal(latents, plain.latents)
    timesteps, sigmas, experts = schedule_of(lens.pipeline, variant, request.steps)
    branches = ("cond",) if guidance == "off" else ("cond", "uncond")
    layers = range(LAYERS + len(variant.options.get("vace_layers", ())))
    _check_clock(kept, layout, {"timestep": timesteps, "sigma": sigmas, "expert": experts})
    for site in SITES:
        label = {"branch": branches, "step": range(len(timesteps)), "layer": layers}
        expected = set(product(*(label[d] if d in SITES[site].event_dims else [None] for d in label)))
        assert set(kept.of(f"{site}.raw")) == expected, site
    _check_layers(kept, seen, variant, experts)
    _check_latents(kept, seen, experts, sigmas)
    assert layout.tokens == variant.tokens
    assert layout.frame_stride == 1


def _check_clock(kept, layout, expected):
    """Planned, reported by the run, and written for every step: all the same."""
    for fact, values in expected.items():
        assert list(getattr(layout, f"{fact}s")) == kept.manifest[f"{fact}s"] == values
    assert all(value == expected[fact][step] for (fact, step), value in kept.coordinates.items())


def _check_layers(kept, seen, variant, experts):
    sites = [site for site in SITES if "layer" in SITES[site].event_dims]
    assert len(seen.sites) == sum(len(kept.of(f"{site}.raw")) for site in sites)
    for (expert, branch, step, layer, site), values_B in seen.sites.items():
        stored = kept.of(f"{site}.raw")[branch, step, layer]
        wanted = (framed(values_B, variant) if values_B.ndim == 3 else values_B)[0].numpy()
        assert experts[step] == expert
        assert stored.shape == wanted.shape
        if site in EXACT:
            assert np.array_equal(stored, wanted), (site, step, layer)
        else:
            np.testing.assert_allclose(stored, wanted, atol=1e-5, err_msg=site)


def _check_latents(kept, seen, experts, sigmas):
    assert len(seen.calls) == len(kept.of("velocity.raw"))
    for call in seen.calls:
        assert experts[call.step] == call.expert
        velocity, clean = (kept.of(f"{site}.raw")[call.branch, call.step, None] for site in ("velocity", "x0"))
        assert np.array_equal(velocity, call.velocity[0].numpy())
        wanted = seen.steps[call.step].latents[0].double() - sigmas[call.step] * call.velocity[0].double()
        np.testing.assert_allclose(clean, wanted, atol=1e-5)
    for number, step in enumerate(seen.steps):
        assert np.array_equal(kept.of("latent.raw")[None, number, None], step.latents[0].numpy())
        assert np.array_equal(kept.of("velocity.guided.raw")[None, number, None], step.guided[0].numpy())
        wanted = step.latents[0].double() - sigmas[number] * step.guided[0].double()
        np.testing.assert_allclose(kept.of("x0.guided.raw")[None, number, None], wanted, atol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_change_of_a_latent_moves_its_token_alone(name):
    """Two places in two frames of the denoiser's input; only their tokens come into the first block changed."""
    variant, lens, captures = VARIANTS[name], look(name), ["block.in[step=0,layer=0,branch=cond]"]
    places = ((0, 1, 0), (1, 0, 2))

    def change(module, args, kwargs):
        latents = kwargs["hidden_states"].clone()
        for frame, y, x in places:
            latents[:, :, frame, 2 * y + 1, 2 * x] += 1.0
        return args, {**kwargs, "hidden_states": latents}

    plain = trace(lens, ask(name), captures)[0].of("block.in.raw")["cond", 0, 0]
    handle = lens.pipeline.transformer.register_forward_pre_hook(change, with_kwargs=True)
    moved = trace(lens, ask(name), captures)[0].of("block.in.raw")["cond", 0, 0]
    handle.remove()
    changed = np.argwhere((plain != moved).any(-1)).tolist()
    assert changed == [[frame, y * variant.tokens[2] + x] for frame, y, x in places]


def test_the_first_frame_of_ti2v_is_pinned():
    """Its tokens have timestep 0; the scheduler's latent of that frame is neither what is seen nor what comes out."""
    name = "ti2v-5b-i2v"
    lens, request = look(name), ask(name)
    kept, _, latents = trace(lens, request, ["latent", "x0.guided"])
    with observed(lens.pipeline, VARIANTS[name], [request]) as seen:
        lens.generate(request, decode=False)
    places = VARIANTS[name].tokens[1] * VARIANTS[name].tokens[2]
    for call in seen.calls:
        assert torch.equal(call.latents[:, :, 0], latents[:, :, 0])
        per_token = call.timestep[0].unflatten(0, (-1, places))
        assert (per_token[0] == 0).all()
        assert (per_token[1:] == seen.steps[call.step].timestep).all()
        stored = kept.of("latent.raw")[None, call.step, None]
        assert not np.array_equal(stored[:, 0], call.latents[0, :, 0].numpy())
        assert np.array_equal(stored[:, 1:], call.latents[0, :, 1:].numpy())
    last = kept.of("x0.guided.raw")[None, len(seen.steps) - 1, None]
    assert np.array_equal(last[:, 1:], latents[0, :, 1:].numpy())
    assert not np.array_equal(last[:, 0], latents[0, :, 0].numpy())


def test_t2v_of_5b_has_one_timestep_in_all_tokens():
    lens, request = look("ti2v-5b"), ask("ti2v-5b")
    with observed(lens.pipeline, VARIANTS["ti2v-5b"], [request]) as seen:
        lens.generate(request, decode=False)
    assert all(call.timestep.shape == (1, 18) for call in seen.calls)
    assert all((call.timestep == seen.steps[call.step].timestep).all() for call in seen.calls)


@pytest.mark.parametrize("name", ["t2v-a14b", "ti2v-5b", "i2v-2.1", "vace-references", "v2v"])
def test_the_video_is_the_stock_pipelines(name):
    """Decoding leaves reference images out, and undoes the scale of the latents."""
    lens, request = look(name), ask(name)
    given = lens.family.arguments(lens.family, lens.pipeline, request, VARIANTS[name].size)
    lens.pipeline.set_progress_bar_config(disable=True)
    stock = lens.pipeline(**given, generator=torch.Generator().manual_seed(3), output_type="np").frames[0]
    video = lens.generate(request).video
    assert video.shape == (9, VARIANTS[name].size.height, VARIANTS[name].size.width, 3)
    assert ((stock * 255).round().astype("uint8") == video).all()


def test_video_to_video_has_the_steps_that_are_left():
    lens, request = look("v2v"), ask("v2v")
    whole = replace(request, extra={**request.extra, "strength": 1.0})
    _, layout, _ = trace(lens, request, ["latent"])
    assert layout.timesteps == lens.plan(whole, ["latent"])[1].timesteps[3:]
    assert layout.steps == 3


def test_guidance_of_each_expert_is_its_own():
    kept, layout, _ = trace(
        look("t2v-a14b"), ask("t2v-a14b", guidance=2.0, guidance_2=5.0), ["velocity", "velocity.guided"]
    )
    assert set(layout.experts) == {"transformer", "transformer_2"}
    for step, expert in enumerate(layout.experts):
        cond, uncond = (kept.of("velocity.raw")[branch, step, None] for branch in ("cond", "uncond"))
        scale = 2.0 if expert == "transformer" else 5.0
        guided = kept.of("velocity.guided.raw")[None, step, None]
        np.testing.assert_allclose(guided, uncond + scale * (cond - uncond), atol=1e-5)
