"""Exact reductions of attention, against full maps.

The references share no code with the engine: probabilities are those of ``scaled_dot_product_attention`` itself, with
the identity as values, or of one full softmax in float64.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from dit_lens.engine import probabilities
from dit_lens.engine.attention import SeenAttention, observed_attention
from dit_lens.engine.errors import Untraceable
from dit_lens.engine.probabilities import AttentionCall, frames_attention, rows_attention, words_attention

GRID = (3, 2, 4)
FRAMES, TOKENS = 3, 8
VIDEO = FRAMES * TOKENS


def random_call(heads=3, queries=VIDEO, keys=VIDEO, channels=8, key_heads=None, dtype=torch.float64, **rest):
    generator = torch.Generator().manual_seed(3)
    sizes = (heads, queries), (key_heads or heads, keys), (key_heads or heads, keys)
    q, k, v = (torch.randn(*size, channels, generator=generator, dtype=torch.float64).to(dtype) for size in sizes)
    return AttentionCall(2 * q, 2 * k, v, rest.pop("scale", 0.4), **rest)


def full_map(seen, mask="own"):
    """Torch's own probabilities, as float64: its attention with the identity as values."""
    q, k = seen.q_HND.double()[None], seen.k_HMD.double()[None]
    eye = torch.eye(k.shape[2], dtype=torch.float64).expand(1, k.shape[1], -1, -1)
    mask = seen.mask if mask == "own" else mask
    mask = mask.double() if mask is not None and mask.dtype != torch.bool else mask
    grouped = k.shape[1] != q.shape[1]
    return functional.scaled_dot_product_attention(
        q, k, eye, attn_mask=mask, scale=seen.scale, is_causal=seen.causal, enable_gqa=grouped
    )[0]


def expected_frames(map_HNM, frames, tokens, heads):
    goes = map_HNM.reshape(-1, FRAMES, TOKENS, FRAMES, TOKENS).sum(-1)
    return goes[heads][:, frames][:, :, tokens].mean(2).transpose(0, 1)


def expected_rows(map_HNM, frames, tokens, heads):
    rows = map_HNM.reshape(map_HNM.shape[0], FRAMES, TOKENS, -1)
    return rows[heads][:, frames][:, :, tokens].permute(1, 2, 0, 3)


def test_reductions_of_a_model_are_those_of_its_full_maps(kit):
    model = kit.build("t2v", experts=1).transformer.double()
    generator = torch.Generator().manual_seed(2)
    latents, text = (
        torch.randn(size, generator=generator, dtype=torch.float64) for size in ((2, 16, 3, 2, 4), (2, 6, 32))
    )
    over_video, over_text = [], []
    block = model.blocks[1]
    with observed_attention(block.attn1, over_video.extend), observed_attention(block.attn2, over_text.extend):
        model(latents, torch.tensor([500.0, 500.0]), text)
    chosen = [2, 0], [5, 1, 2], [1]
    for i in (0, 1):
        video, prompt = over_video[0].row(i), over_text[0].row(i)
        map_HNM, words_HNL = (
            torch.softmax(each.q_HND @ each.k_HMD.transpose(1, 2) / 12**0.5, dim=-1) for each in (video, prompt)
        )
        shares, rows = frames_attention(video, GRID, *chosen), rows_attention(video, GRID, *chosen)
        words = words_attention(prompt, GRID, *chosen)
        assert (shares.shape, rows.shape, words.shape) == ((2, 1, 3), (2, 3, 1, 3, 8), (2, 3, 1, 6))
        close = {"rtol": 0, "atol": 1e-12}
        torch.testing.assert_close(shares, expected_frames(map_HNM, *chosen), **close)
        torch.testing.assert_close(rows.flatten(-2), expected_rows(map_HNM, *chosen), **close)
        torch.testing.assert_close(words, expected_rows(words_HNL, *chosen), **close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_narrow_queries_are_reduced_in_float32(dtype):
    seen = random_call(dtype=dtype)
    everything = range(FRAMES), range(TOKENS), range(3)
    frames, rows = frames_attention(seen, GRID, *everything), rows_attention(seen, GRID, *everything)
    assert frames.dtype == rows.dtype == torch.float32
    chosen = [list(numbers) for numbers in everything]
    torch.testing.assert_close(frames.double(), expected_frames(full_map(seen), *chosen), rtol=0, atol=1e-6)
    torch.testing.assert_close(rows.flatten(-2).double(), expected_rows(full_map(seen), *chosen), rtol=0, atol=1e-6)


def test_autocast_gradients_and_inference_mode_change_nothing():
    seen = random_call(dtype=torch.float32)
    chosen = range(FRAMES), range(TOKENS), range(3)
    plain = frames_attention(seen, GRID, *chosen)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(frames_attention(seen, GRID, *chosen), plain)
    with torch.inference_mode():
        assert torch.equal(frames_attention(seen, GRID, *chosen), plain)
    learned = frames_attention(replace(seen, q_HND=seen.q_HND.clone().requires_grad_()), GRID, *chosen)
    assert torch.equal(learned, plain)
    assert not learned.requires_grad


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_the_precision_of_the_users_products_changes_nothing(precision):
    seen = random_call(dtype=torch.float32, channels=64)
    chosen = range(FRAMES), range(TOKENS), range(3)
    reduced = (frames_attention, rows_attention, words_attention)
    plain = [reduce(seen, GRID, *chosen) for reduce in reduced]
    torch.set_float32_matmul_precision(precision)
    try:
        again = [reduce(seen, GRID, *chosen) for reduce in reduced]
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision("highest")
    assert all(map(torch.equal, again, plain))


def masks():
    generator = torch.Generator().manual_seed(5)
    allowed = torch.rand(3, VIDEO, VIDEO, generator=generator) > 0.4
    bias = torch.randn(3, VIDEO, VIDEO, generator=generator, dtype=torch.float64)
    nowhere = allowed.clone()
    nowhere[:, 4] = False
    return {
        "keys": allowed[0, :1],
        "map": allowed[1],
        "shared by heads": allowed[:1],
        "heads": allowed,
        "keys of heads": allowed[:, :1],
        "queries": nowhere[:, :, :1],
        "nowhere": nowhere,
        "bias": bias,
        "bias of keys": bias[0, :1],
        "bias without some": bias.masked_fill(~allowed, float("-inf")),
    }


@pytest.mark.parametrize("name", masks())
def test_masks_of_every_shape_apply_as_in_torch(name):
    seen = random_call(mask=masks()[name])
    chosen = [2, 0], [3, 4, 0], [2, 0]
    reference = full_map(seen)
    assert not torch.allclose(reference, full_map(seen, mask=None), atol=1e-3)
    shares, rows = frames_attention(seen, GRID, *chosen), rows_attention(seen, GRID, *chosen).flatten(-2)
    torch.testing.assert_close(shares, expected_frames(reference, *chosen), rtol=0, atol=1e-12)
    torch.testing.assert_close(rows, expected_rows(reference, *chosen), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "seen",
    [
        random_call(causal=True),
        random_call(heads=6, key_heads=2),
        random_call(heads=6, key_heads=1),
        random_call(heads=6, key_heads=3, causal=True),
    ],
    ids=["causal", "grouped", "one key head", "grouped causal"],
)
def test_causal_and_grouped_attention_is_that_of_torch(seen):
    chosen = [0, 2], [7, 0, 1], [2, 0, 1]
    torch.testing.assert_close(
        rows_attention(seen, GRID, *chosen).flatten(-2), expected_rows(full_map(seen), *chosen), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("shape", [(1, 5), (4, 5), (2, 1, 1, 5), (1, 3, 4, 5), (2, 3, 4, 5), (3, 4, 5), (2, 1, 4, 1)])
def test_a_row_of_the_batch_keeps_its_own_mask(shape):
    generator = torch.Generator().manual_seed(6)
    q, k, v = (torch.randn(2, 3, tokens, 8, generator=generator, dtype=torch.float64) for tokens in (4, 5, 5))
    mask = torch.randn(shape, generator=generator, dtype=torch.float64)
    seen = SeenAttention(q, k, v, 0.7, mask)
    out = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.7)
    for i in range(2):
        row = seen.row(i)
        torch.testing.assert_close(full_map(row) @ row.v_HMD, out[i])
        words = words_attention(row, (2, 1, 2), [0, 1], [0, 1], [0, 1, 2])
        torch.testing.assert_close(words.flatten(0, 1).transpose(0, 1), full_map(row), rtol=0, atol=1e-12)


def test_keys_that_the_whole_batch_shares_are_given_to_each_row():
    shared = torch.ones(1, 2, 3, 4)
    seen = SeenAttention(torch.ones(5, 2, 6, 4), shared, shared, scale=1.0)
    assert seen.row(4).k_HMD.data_ptr() == shared.data_ptr()


CALLS = {
    "plain": random_call(heads=4, dtype=torch.float32),
    "grouped": random_call(heads=4, key_heads=2, dtype=torch.float32),
    "masked": random_call(heads=4, dtype=torch.float32, mask=torch.rand(4, VIDEO, VIDEO) > 0.3),
    "causal": random_call(heads=4, dtype=torch.bfloat16, causal=True),
}


def numbers(count):
    return st.lists(st.integers(0, count - 1), min_size=1, max_size=count, unique=True)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(CALLS)), st.integers(1, 20_000), numbers(FRAMES), numbers(TOKENS), numbers(4))
def test_the_size_of_a_block_does_not_show(name, size, frames, tokens, heads):
    seen = CALLS[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probabilities, "BLOCK_BYTES", size)
        shares = frames_attention(seen, GRID, frames, tokens, heads)
        rows = rows_attention(seen, GRID, frames, tokens, heads).flatten(-2)
    close = {"rtol": 0, "atol": 1e-6}
    torch.testing.assert_close(shares.double(), expected_frames(full_map(seen), frames, tokens, heads), **close)
    torch.testing.assert_close(rows.double(), expected_rows(full_map(seen), frames, tokens, heads), **close)


@pytest.mark.parametrize("reduction", [frames_attention, rows_attention, words_attention])
def test_tokens_that_are_not_the_videos_are_refused(reduction):
    with pytest.raises(Untraceable, match=r"queries of an attention .* got 26, allowed 24 \(3 frames of 2 x 4\)"):
        reduction(random_call(queries=26, keys=26), GRID, [0], [0], [0])


@pytest.mark.parametrize("reduction", [frames_attention, rows_attention])
def test_keys_that_are_not_the_videos_are_refused(reduction):
    with pytest.raises(Untraceable, match="the keys of an attention are not the video's tokens; got 6, allowed 24"):
        reduction(random_call(keys=6), GRID, [0], [0], [0])
