"""Where the sites of Wan sit: between the sums of a block, and between blocks; and their axes in the store."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dit_lens_stores as stores
from dit_lens.sites import SITES

from .wan_kept import trace
from .wan_observer import framed, observed, schedule_of
from .wan_variants import CHANNELS, HEADS, LAYERS, VARIANTS, ask, look

pytestmark = pytest.mark.usefixtures("one_thread")

STREAM = ["block.in", "block.out", "attn1.out", "attn2.out", "ffn.out"]
PROBABILITIES = ["attn1.frames", "attn1.rows", "attn2.words"]


def _traced_and_gates(name):
    """What is stored of one run, and the gates that the observer saw in another."""
    lens, request = look(name), ask(name)
    kept, layout, _ = trace(lens, request, STREAM)
    with observed(lens.pipeline, VARIANTS[name], [request]) as seen:
        lens.generate(request, decode=False)
    return kept, layout, seen


def _gates(gates, variant):
    """The gates of self-attention and of the feed-forward network; TI2V-5B has them for every token."""
    if gates.ndim == 4:
        _, _, first, _, _, second = gates[0].unbind(1)
        return framed(first[None], variant)[0], framed(second[None], variant)[0]
    _, _, first, _, _, second = gates.chunk(6, dim=1)
    return first[0], second[0]


@pytest.mark.parametrize("name", ["i2v-a14b", "ti2v-5b-i2v", "i2v-2.1", "vace-references"])
def test_the_parts_add_up_to_the_block(name):
    """As the places say: attn1.out and ffn.out before their gates, attn2.out without one; bit for bit."""
    kept, _, seen = _traced_and_gates(name)
    assert len(seen.gates) == len(kept.of("block.out.raw"))
    for (_, branch, step, layer, _), gates in seen.gates.items():
        at = (branch, step, layer)
        into, out, attn1, attn2, ffn = (torch.from_numpy(kept.of(f"{site}.raw")[at]) for site in STREAM)
        if name.startswith("vace") and layer >= LAYERS:
            continue  # the first of these adds a projection of its own before; see below
        first, second = _gates(gates, VARIANTS[name])
        assert torch.equal(into + attn1 * first + attn2 + ffn * second, out), at


def test_the_hints_of_vace_add_up_from_their_projection():
    name = "vace-references"
    kept, layout, seen = _traced_and_gates(name)
    block = look(name).pipeline.transformer.vace_blocks[0]
    assert layout.modules == ("blocks.0", "blocks.1", "vace_blocks.0")
    for (_, branch, step, layer, _), gates in seen.gates.items():
        if layer < LAYERS:
            continue
        into, out, attn1, attn2, ffn = (
            torch.from_numpy(kept.of(f"{site}.raw")[branch, step, layer]) for site in STREAM
        )
        video = torch.from_numpy(kept.of("block.in.raw")[branch, step, 0])
        first, second = _gates(gates, VARIANTS[name])
        with torch.no_grad():
            start = block.proj_in(into) + video
        torch.testing.assert_close(start + attn1 * first + attn2 + ffn * second, out, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["t2v-2.1", "ti2v-5b"])
def test_the_output_of_a_block_is_the_input_of_the_next(name):
    kept, _, _ = trace(look(name), ask(name), STREAM[:2])
    for branch, step, layer in kept.of("block.in.raw"):
        if layer:
            before = kept.of("block.out.raw")[branch, step, layer - 1]
            assert np.array_equal(kept.of("block.in.raw")[branch, step, layer], before)


def test_vace_adds_its_hints_between_blocks():
    """The hint of layer 0 is added after block.out: a projection of what the hints' block returns."""
    lens = look("vace")
    kept, _, _ = trace(lens, ask("vace"), STREAM[:2])
    hints = lens.pipeline.transformer.vace_blocks[0]
    for branch, step, layer in kept.of("block.in.raw"):
        if layer != 1:
            continue
        into = torch.from_numpy(kept.of("block.in.raw")[branch, step, 1])
        out, control = (torch.from_numpy(kept.of("block.out.raw")[branch, step, at]) for at in (0, LAYERS))
        assert not torch.allclose(into, out, atol=1e-3)
        with torch.no_grad():
            torch.testing.assert_close(into, out + hints.proj_out(control), atol=1e-5, rtol=0)


def test_the_image_is_no_word_of_the_prompt():
    """Wan 2.1 attends to the image beside the prompt; attn2.words are shares of the prompt alone, and sum to one."""
    lens = look("i2v-2.1")
    kept, layout, _ = trace(lens, ask("i2v-2.1"), ["attn2.words", "attn2.k"])
    assert layout.text_tokens == 512
    for at, share in kept.of("attn2.words.raw").items():
        assert share.shape == (3, 6, HEADS, 512)
        np.testing.assert_allclose(share.sum(-1), 1.0, atol=1e-5)
        assert kept.of("attn2.k.raw")[at].shape == (512, HEADS, CHANNELS // HEADS)


@pytest.mark.parametrize("name", ["i2v-a14b", "i2v-2.1"])
def test_chosen_queries_have_the_rows_of_the_whole_map(name):
    lens, request = look(name), ask(name)
    part = "frame=1:,y=1,x=0+2,head=1,layer=1,step=1:,branch=uncond"
    kept, layout, _ = trace(lens, request, [f"{site}[{part}]" for site in PROBABILITIES])
    with observed(lens.pipeline, VARIANTS[name], [request]) as seen:
        lens.generate(request, decode=False)
    chosen = {  # one head was chosen of (frame, token, head, ...): the first of its axis stays
        "attn1.frames": ("attn1.rows", lambda rows: rows[1:, [3, 5], 1:].sum(-1).mean(1)),
        "attn1.rows": ("attn1.rows", lambda rows: rows[1:, [3, 5], 1:]),
        "attn2.words": ("attn2.words", lambda rows: rows[1:, [3, 5], 1:]),
    }
    assert len(kept.writes) == 3 * 3
    for (array, *at), stored in kept.writes.items():
        whole, part_of = chosen[array.removesuffix(".raw")]
        branch, step, layer = at
        values = seen.sites[layout.experts[step], branch, step, layer, whole][0].numpy()
        np.testing.assert_allclose(stored, part_of(values), atol=1e-5)


def test_the_store_names_every_axis(tmp_path):
    lens = look("vace-references")
    sites = [*STREAM, "attn1.q", "attn1.k", "attn2.q", "attn2.v", *PROBABILITIES, "latent"]
    result = lens.trace(ask("vace-references", steps=2), sites, tmp_path / "a.zarr")
    trace_of = stores.open_store(tmp_path / "a.zarr")[result.trace_id]
    whole = {
        "branch": ["cond", "uncond"],
        "step": [0, 1],
        "layer": [0, 1, 2],
        "frame": [0, 1, 2, 3, 4],
        "h": list(range(4)),
    }
    whole |= {"token": list(range(6)), "head": [0, 1], "text_token": list(range(8)), "key_frame": whole["frame"]}
    whole |= {"channel": list(range(24)), "head_channel": list(range(12)), "key_token": whole["token"]}
    whole |= {"latent_channel": list(range(16)), "w": list(range(6))}
    timesteps, sigmas, experts = schedule_of(lens.pipeline, VARIANTS["vace-references"], 2)
    for site in sites:
        array = trace_of[f"{site}.raw"]
        assert (array.timestep.values.tolist(), array.sigma.values.tolist()) == (timesteps, sigmas)
        assert array.expert.values.tolist() == experts
        assert array.dims == (*SITES[site].event_dims, *SITES[site].value_dims)
        for dim, size in zip(array.dims, array.shape, strict=True):
            assert size == len(whole[dim])
            if dim in array.coords:
                assert array[dim].values.tolist() == whole[dim], (site, dim)
        assert np.isfinite(array.values).all()
        if "token" in array.dims:
            assert array.y.values.tolist() == [0, 0, 0, 1, 1, 1]
            assert array.x.values.tolist() == [0, 1, 2, 0, 1, 2]
