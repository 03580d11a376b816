"""Text for tiny-wan: a word tokenizer and a small UMT5 encoder with frozen random weights.

Random frozen features tell prompts apart, which is all that a prompt has to do here; the model card says so. The
stock pipeline pads every prompt to 512 tokens with zero vectors. Those 500 equal tokens would cost more than the
video's own, so training keeps a few of them and adds ``log(how many each stands for)`` to their attention score: the
same softmax, exactly.

Shapes: B batch, L text tokens, D text channels, N video tokens, C channels, H heads.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from diffusers.models.transformers.transformer_wan import WanAttention
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

__all__ = ["KEPT_TOKENS", "PaddedTextAttention", "build_text_encoder", "build_tokenizer", "encode_prompt"]

PADDED_TOKENS = 512
KEPT_TOKENS = 16
TEXT_CHANNELS = 32
_WORDS = Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split()


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer over a fixed list of words; anything else is one unknown token."""
    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *_WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace()])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=PADDED_TOKENS,
    )


def build_text_encoder(seed: int = 0) -> UMT5EncoderModel:
    """A UMT5 encoder of two layers with random weights, never trained."""
    torch.manual_seed(seed)
    config = UMT5Config(
        d_model=TEXT_CHANNELS,
        num_layers=2,
        num_heads=4,
        d_kv=8,
        d_ff=64,
        vocab_size=len(_WORDS) + 3,
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
    )
    return UMT5EncoderModel(config).eval().requires_grad_(False)


@torch.no_grad()
def encode_prompt(
    prompt: str, tokenizer: PreTrainedTokenizerFast, encoder: UMT5EncoderModel
) -> tuple[torch.Tensor, int]:
    """The first ``KEPT_TOKENS`` of what the pipeline makes of a prompt, (L, D), and how many of them are words."""
    ids = tokenizer(prompt, return_tensors="pt", padding="max_length", max_length=PADDED_TOKENS, truncation=True)
    words = int(ids.attention_mask.sum())
    if words >= KEPT_TOKENS:
        raise ValueError(f"a training prompt has at most {KEPT_TOKENS - 1} tokens; {prompt!r} has {words}")
    hidden_LD = encoder(ids.input_ids, ids.attention_mask).last_hidden_state[0, :KEPT_TOKENS].clone()
    hidden_LD[words:] = 0
    return hidden_LD, words


class PaddedTextAttention:
    """Cross-attention to ``KEPT_TOKENS`` tokens that gives what ``PADDED_TOKENS`` would; used in training only."""

    def __init__(self) -> None:
        self.bias_B1L: torch.Tensor | None = None

    def set_words(self, words_B: torch.Tensor) -> None:
        """Say how many tokens of each row are words; each kept padding token stands for its share of the rest."""
        weight_B = torch.log((PADDED_TOKENS - words_B) / (KEPT_TOKENS - words_B))
        padding_BL = torch.arange(KEPT_TOKENS, device=words_B.device)[None] >= words_B[:, None]
        self.bias_B1L = (padding_BL * weight_B[:, None])[:, None]

    def __call__(
        self,
        attn: WanAttention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        rotary_emb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend from video tokens (B, N, C) to text tokens (B, L, C)."""
        assert self.bias_B1L is not None, "set_words comes first"
        q_BNC = attn.norm_q(attn.to_q(hidden_states))
        k_BLC = attn.norm_k(attn.to_k(encoder_hidden_states))
        v_BLC = attn.to_v(encoder_hidden_states)
        q_BHNc, k_BHLc, v_BHLc = (x.unflatten(2, (attn.heads, -1)).transpose(1, 2) for x in (q_BNC, k_BLC, v_BLC))
        score_BHNL = q_BHNc @ k_BHLc.mT / math.sqrt(q_BHNc.shape[-1]) + self.bias_B1L[:, None]
        out_BHNc = functional.softmax(score_BHNL, dim=-1).to(v_BHLc.dtype) @ v_BHLc
        out: torch.Tensor = attn.to_out[0](out_BHNc.transpose(1, 2).flatten(2))
        return out
