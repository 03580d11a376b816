"""A small pipeline to run a causal probe on: untrained, but with everything in it that can go wrong.

Image to video, two experts with a switch between them, guidance, and a solver with a history. It knows nothing, so what
it draws scores at or below the floor.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanImageToVideoPipeline, WanTransformer3DModel

from dit_lens.bench import Condition
from dit_lens.generation import Size
from dit_lens.lens import Lens, Origin
from dit_lens.puzzles.canvas import FRAMES
from dit_lens.tiny.train.text import TEXT_CHANNELS, build_text_encoder, build_tokenizer

__all__ = ["SMALL_CONDITION", "small_lens"]

SMALL_CONDITION = Condition(steps=3, extra={"max_sequence_length": 32})
"""Two steps on the first expert and one on the second."""
_LAYERS = 2


def small_lens() -> Lens:
    """A lens on an untrained Wan2.2 pipeline for 17 frames of 64 x 64 pixels, always with the same weights.

    Examples
    --------
    >>> small_lens()
    Lens('untrained', family 'wan', experts transformer, transformer_2)
    """
    torch.manual_seed(0)
    pipeline = WanImageToVideoPipeline(
        tokenizer=build_tokenizer(),
        text_encoder=build_text_encoder(),
        vae=AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1).eval(),
        scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0),
        transformer=_expert(),
        transformer_2=_expert(),
        boundary_ratio=0.9,
    )
    return Lens(pipeline, Origin("untrained", size=Size(64, 64, FRAMES)))


def _expert() -> WanTransformer3DModel:
    return WanTransformer3DModel(
        patch_size=(1, 1, 1),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=36,
        out_channels=16,
        text_dim=TEXT_CHANNELS,
        freq_dim=32,
        ffn_dim=32,
        num_layers=_LAYERS,
        rope_max_seq_len=32,
    ).eval()
