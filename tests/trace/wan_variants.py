"""Every way of drawing with Wan, untrained: the stock pipelines of their true classes, for a few frames of few tokens.

The sides differ (2 x 3 tokens, 3 frames), so that a swap of rows and columns, or of frames and places, cannot pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchHeunDiscreteScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
    WanVACEPipeline,
    WanVACETransformer3DModel,
    WanVideoToVideoPipeline,
)
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from dit_lens.generation import Generation, Size
from dit_lens.lens import Lens, Origin

from .conftest import SCHEDULERS, _tokenizer

HEADS, CHANNELS, LAYERS = 2, 24, 2
IMAGE_TOKENS = 5  # four patches and the class
WIDE = {**SCHEDULERS, "heun": lambda: FlowMatchHeunDiscreteScheduler(shift=5.0)}


def picture(shade: int = 0, size: tuple[int, int] = (48, 32)) -> Image.Image:
    """A picture that differs from row to row and column to column."""
    rows = torch.arange(size[1]).view(-1, 1, 1) * 3
    columns = torch.arange(size[0]).view(1, -1, 1) * 2
    pixels = (rows + columns + torch.tensor([shade, 40, 80])) % 256
    return Image.fromarray(pixels.to(torch.uint8).numpy())


@dataclass(frozen=True)
class Variant:
    """One way of drawing.

    ``tokens`` are frames, rows and columns; ``leading`` of the frames stand before the video's own.
    """

    pipeline: type
    experts: int = 1
    boundary: float | None = None
    denoiser: type = WanTransformer3DModel
    options: dict[str, Any] = field(default_factory=dict)
    large: bool = False
    expands: bool = False
    image: bool = False
    extra: Callable[[], dict[str, Any]] = dict
    steps: int = 4
    left: int = 4
    tokens: tuple[int, int, int] = (3, 2, 3)
    leading: int = 0
    text: int = 8

    @property
    def size(self) -> Size:
        """Height, width and frames."""
        return Size(64, 96, 9) if self.large else Size(32, 48, 9)

    @property
    def latent_channels(self) -> int:
        return 48 if self.large else 16

    @property
    def sees_image(self) -> bool:
        return "image_dim" in self.options


def _video() -> dict[str, Any]:
    return {"video": [picture(20 * number) for number in range(9)], "strength": 0.5}


_CLIP = {"image_dim": 16, "added_kv_proj_dim": CHANNELS}
_VACE = {
    "pipeline": WanVACEPipeline,
    "denoiser": WanVACETransformer3DModel,
    "options": {"vace_layers": [0], "vace_in_channels": 96},
}

VARIANTS: dict[str, Variant] = {
    "t2v-a14b": Variant(WanPipeline, experts=2, boundary=0.875),
    "i2v-a14b": Variant(WanImageToVideoPipeline, experts=2, boundary=0.9, image=True),
    "ti2v-5b": Variant(WanPipeline, large=True, expands=True),
    "ti2v-5b-i2v": Variant(WanImageToVideoPipeline, large=True, expands=True, image=True),
    "t2v-2.1": Variant(WanPipeline),
    "i2v-2.1": Variant(WanImageToVideoPipeline, options=_CLIP, image=True, text=512),
    "flf2v-2.1": Variant(
        WanImageToVideoPipeline,
        options={**_CLIP, "pos_embed_seq_len": 2 * IMAGE_TOKENS},
        image=True,
        text=512,
        extra=lambda: {"last_image": picture(90)},
    ),
    "flf2v-a14b": Variant(
        WanImageToVideoPipeline, experts=2, boundary=0.9, image=True, extra=lambda: {"last_image": picture(90)}
    ),
    "vace": Variant(**_VACE),
    "vace-references": Variant(
        **_VACE, extra=lambda: {"reference_images": [picture(7), picture(9)]}, tokens=(5, 2, 3), leading=2
    ),
    "vace-a14b": Variant(
        **_VACE, experts=2, boundary=0.875, extra=lambda: {"reference_images": picture(7)}, tokens=(4, 2, 3), leading=1
    ),
    "v2v": Variant(WanVideoToVideoPipeline, extra=_video, steps=6, left=3),
}


def build(name: str, scheduler: str = "unipc") -> Any:
    """The pipeline of a variant, always with the same weights."""
    variant = VARIANTS[name]
    torch.manual_seed(0)
    parts: dict[str, Any] = {
        "tokenizer": _tokenizer(),
        "text_encoder": UMT5EncoderModel(
            UMT5Config(d_model=16, num_layers=1, num_heads=2, d_kv=8, d_ff=16, vocab_size=16)
        ).eval(),
        "vae": _vae(variant.large),
        "scheduler": WIDE[scheduler](),
        "transformer": denoiser(variant),
    }
    if variant.pipeline is not WanVideoToVideoPipeline:
        parts |= {"transformer_2": denoiser(variant) if variant.experts == 2 else None}
        parts |= {"boundary_ratio": variant.boundary}
    if variant.expands:
        parts |= {"expand_timesteps": True}
    return variant.pipeline(**parts, **(_clip() if variant.sees_image else {}))


def denoiser(variant: Variant) -> Any:
    """One expert."""
    channels = variant.latent_channels
    conditioned = variant.image and not variant.expands
    return variant.denoiser(
        patch_size=(1, 2, 2),
        num_attention_heads=HEADS,
        attention_head_dim=CHANNELS // HEADS,
        in_channels=channels + (20 if conditioned else 0),
        out_channels=channels,
        text_dim=16,
        freq_dim=16,
        ffn_dim=16,
        num_layers=LAYERS,
        rope_max_seq_len=16,
        **variant.options,
    ).eval()


def _vae(large: bool) -> Any:
    """That of Wan 2.1, or the one of TI2V-5B with 48 channels and 16 x 16 pixels a latent."""
    if not large:
        return AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1).eval()
    return AutoencoderKLWan(
        base_dim=4,
        decoder_base_dim=4,
        z_dim=48,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        is_residual=True,
        patch_size=2,
        in_channels=12,
        out_channels=12,
        latents_mean=[0.0] * 48,
        latents_std=[1.0] * 48,
        scale_factor_spatial=16,
    ).eval()


def _clip() -> dict[str, Any]:
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return {
        "image_encoder": CLIPVisionModel(CLIPVisionConfig(**vision, image_size=16, patch_size=8)).eval(),
        "image_processor": CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
    }


def look(name: str, scheduler: str = "unipc", pipeline: Any = None) -> Lens:
    """A lens on a variant."""
    return Lens(pipeline or build(name, scheduler), Origin("untrained", size=VARIANTS[name].size))


def ask(name: str, **changes: Any) -> Generation:
    """A request to a variant, with the fewest steps in which every expert has two."""
    variant = VARIANTS[name]
    size = (variant.size.width, variant.size.height)
    plain = {
        "prompt": "Draw the path",
        "image": picture(size=size) if variant.image else None,
        "seed": 3,
        "steps": variant.steps,
        "guidance": 3.0,
        "extra": {"max_sequence_length": variant.text, **variant.extra()},
    }
    return Generation(**{**plain, **changes})
