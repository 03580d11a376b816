"""Training sees 16 text tokens, the pipeline 512: the experts must not be able to tell."""

from __future__ import annotations

import pytest
import torch

from dit_lens.puzzles import make_puzzle
from dit_lens.tiny.train.denoiser import build_denoiser
from dit_lens.tiny.train.text import (
    KEPT_TOKENS,
    PADDED_TOKENS,
    TEXT_CHANNELS,
    PaddedTextAttention,
    build_text_encoder,
    build_tokenizer,
    encode_prompt,
)


@pytest.mark.parametrize("prompt", [make_puzzle("maze", 0).prompt, make_puzzle("grounding", 0).prompt, ""])
@torch.no_grad()
def test_kept_tokens_stand_for_all_512(prompt: str) -> None:
    model = build_denoiser().double().eval()
    hidden_LD, words = encode_prompt(prompt, build_tokenizer(), build_text_encoder())
    full_1LD = torch.zeros(1, PADDED_TOKENS, TEXT_CHANNELS, dtype=torch.float64)
    full_1LD[0, :words] = hidden_LD[:words]
    x = torch.randn(1, 36, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([500])
    expected = model(x, t, full_1LD, return_dict=False)[0]
    attention = PaddedTextAttention()
    attention.set_words(torch.tensor([words]))
    for block in model.blocks:
        block.attn2.processor = attention
    got = model(x, t, hidden_LD[None].double(), return_dict=False)[0]
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


def test_a_prompt_too_long_for_training_is_refused() -> None:
    with pytest.raises(ValueError, match=f"at most {KEPT_TOKENS - 1} tokens"):
        encode_prompt("draw the path " * 8, build_tokenizer(), build_text_encoder())
