"""Untrained text-to-video pipelines of the true classes, small enough to build in a second and run in a tenth of one.

Extents are chosen to tell axes apart: three latent frames, and never as many rows as columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import diffusers
import torch
from diffusers import DDIMScheduler
from PIL import Image

from dit_lens.generation import Generation, Size

from . import build_cross as cross
from . import build_joint as joint
from . import parts

STEPS = 3
_TEXT = {"max_sequence_length": 8}


@dataclass(frozen=True)
class Tiny:
    """A pipeline that a family is tried on."""

    family: str
    build: Callable[[], Any]
    size: Size
    extra: Mapping[str, Any] = field(default_factory=dict)
    guidance: float = 3.0
    image: bool = False

    def ask(self, *, guided: bool = True, **changes: Any) -> Generation:
        """A request of ``STEPS`` steps, with guidance or without."""
        scale = self.guidance if guided else 1.0
        size = {"height": self.size.height, "width": self.size.width, "frames": self.size.frames}
        asked = {"prompt": parts.PROMPT, "seed": 3, "steps": STEPS, "guidance": scale, "extra": self.extra}
        if self.image:
            asked["image"] = Image.new("RGB", (self.size.width, self.size.height), (200, 40, 90))
        return Generation(**{**asked, **size, **changes})


def latte() -> Any:
    transformer = parts.seeded(
        diffusers.LatteTransformer3DModel,
        sample_size=8,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=parts.WIDTH,
        in_channels=4,
        cross_attention_dim=16,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        video_length=3,
    )
    vae = parts.seeded(diffusers.AutoencoderKL, block_out_channels=(4, 4), norm_num_groups=2, **_two_blocks())
    return parts.quiet(
        diffusers.LattePipeline(
            tokenizer=parts.tokenizer(),
            text_encoder=parts.t5(),
            vae=vae,
            transformer=transformer,
            scheduler=DDIMScheduler(clip_sample=False),
        )
    )


def _two_blocks() -> dict[str, Any]:
    return {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}


def _embedded(*names: str, length: int = 5) -> dict[str, Any]:
    """Prompts as embeddings, all of their tokens valid; another text for every name."""
    noise = torch.Generator().manual_seed(7)
    embeddings: dict[str, Any] = {}
    for name in names:
        embeddings[name.format("prompt_embeds")] = torch.randn(1, length, parts.WIDTH, generator=noise)
        embeddings[name.format("prompt_embeds_mask")] = torch.ones(1, length)
    return embeddings


_PAIR = ("{}", "negative_{}")
_GLYPHS = _embedded("{}_2", "negative_{}_2", length=4)
_TEMPLATE = {"prompt_template": {"template": "{}", "crop_start": 0}}
TINY: dict[str, Tiny] = {
    "cogvideox": Tiny("cogvideox", joint.cogvideox, Size(32, 48, 9), _TEXT),
    "cogvideox-dpm": Tiny("cogvideox", joint.cogvideox_dpm, Size(32, 48, 9), _TEXT),
    "cogvideox1.5": Tiny("cogvideox", joint.cogvideox15, Size(32, 48, 9), _TEXT),
    "cogvideox-image": Tiny("cogvideox", joint.cogvideox_image, Size(32, 48, 9), _TEXT, image=True),
    "cogvideox1.5-image": Tiny("cogvideox", joint.cogvideox15_image, Size(32, 48, 9), _TEXT, image=True),
    "hunyuan-video": Tiny("hunyuan-video", joint.hunyuan_video, Size(32, 48, 9), {**_TEXT, **_TEMPLATE}),
    "hunyuan-video-1.5": Tiny(
        "hunyuan-video-1.5", joint.hunyuan_video15, Size(16, 24, 5), {**_embedded(*_PAIR), **_GLYPHS}
    ),
    "ltx": Tiny("ltx", cross.ltx, Size(32, 64, 9), _TEXT),
    "ltx2": Tiny("ltx2", cross.ltx2, Size(32, 64, 5), {**_TEXT, "guidance_rescale": 0.0}),
    "mochi": Tiny("mochi", joint.mochi, Size(32, 48, 13), _TEXT),
    "allegro": Tiny("allegro", cross.allegro, Size(32, 48, 9), {**_TEXT, "clean_caption": False}),
    "kandinsky5": Tiny("kandinsky5", cross.kandinsky5, Size(32, 48, 9), cross.kandinsky_text()),
    "latte": Tiny("latte", latte, Size(16, 24, 3), {"clean_caption": False}),
}
