"""What untrained pipelines are made of: tiny text encoders and tokenizers, and how weights come about.

True classes, random weights, nothing downloaded. Every encoder is ``WIDTH`` wide and knows ``VOCABULARY`` tokens;
every builder starts from a fixed seed, so that a pipeline is the same whenever it is built.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKLHunyuanVideo
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2Model,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

WIDTH = 16
VOCABULARY = 64
PROMPT = "Draw the path"
_WORDS = ("<pad>", "</s>", "<unk>", "<s>", "Draw", "the", "path", "a", "cat")
_T5 = {"d_model": WIDTH, "num_layers": 1, "num_heads": 2, "d_kv": 8, "d_ff": 16, "vocab_size": VOCABULARY}
_DECODER = {
    "hidden_size": WIDTH,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "pad_token_id": 0,
    "bos_token_id": 3,
    "eos_token_id": 1,
}


def tokenizer(length: int = 16, *, start: bool = False, padding_side: str = "right") -> PreTrainedTokenizerFast:
    """One token a word, an end token, and a start token if asked for; ``length`` is the longest text."""
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(_WORDS)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if start else "$A </s>", special_tokens=[("<s>", 3), ("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=length,
        padding_side=padding_side,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )


def t5() -> Any:
    torch.manual_seed(0)
    return T5EncoderModel(T5Config(**_T5)).eval()


def umt5() -> Any:
    torch.manual_seed(0)
    return UMT5EncoderModel(UMT5Config(**_T5)).eval()


def _clip_config(width: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=VOCABULARY,
        max_position_embeddings=77,
        projection_dim=width,
        pad_token_id=0,
        bos_token_id=3,
        eos_token_id=1,
    )


def clip(width: int = WIDTH) -> Any:
    torch.manual_seed(0)
    return CLIPTextModel(_clip_config(width)).eval()


def clip_projected(width: int = WIDTH) -> Any:
    torch.manual_seed(0)
    return CLIPTextModelWithProjection(_clip_config(width)).eval()


def llama() -> Any:
    torch.manual_seed(0)
    return LlamaModel(LlamaConfig(**_DECODER)).eval()


def gemma2() -> Any:
    torch.manual_seed(0)
    return Gemma2Model(Gemma2Config(**_DECODER, head_dim=8)).eval()


def gemma3() -> Any:
    torch.manual_seed(0)
    text = {**_DECODER, "head_dim": 8, "sliding_window": 8}
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 8,
        "patch_size": 4,
    }
    return Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    ).eval()


def qwen2() -> Any:
    torch.manual_seed(0)
    return Qwen2Model(Qwen2Config(**_DECODER)).eval()


def qwen2_5_vl() -> Any:
    """With the vision tower, of which text-to-video pipelines use only the language model."""
    torch.manual_seed(0)
    rope = {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"}
    vision = {
        "depth": 1,
        "hidden_size": WIDTH,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": WIDTH,
        "fullatt_block_indexes": [0],
    }
    tokens = {
        name: number
        for number, name in enumerate(("vision_start", "vision_end", "vision", "image", "video"), start=len(_WORDS))
    }
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={**_DECODER, "rope_scaling": rope},
            vision_config=vision,
            **{f"{name}_token_id": number for name, number in tokens.items()},
        )
    ).eval()


def quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def awake(model: Any) -> Any:
    """Layers that training starts at zero would hide mistakes: give every all-zero weight some noise."""
    for weight in model.parameters():
        if not weight.detach().any():
            torch.nn.init.normal_(weight, std=0.02)
    return model.eval()


def seeded(kind: Any, **config: Any) -> Any:
    torch.manual_seed(0)
    return awake(kind(**config))


def hunyuan_vae() -> Any:
    return seeded(
        AutoencoderKLHunyuanVideo,
        latent_channels=4,
        down_block_types=("HunyuanVideoDownBlock3D",) * 4,
        up_block_types=("HunyuanVideoUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        spatial_compression_ratio=8,
        temporal_compression_ratio=4,
    )
