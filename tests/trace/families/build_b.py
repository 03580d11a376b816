"""Untrained pipelines of the true classes, one ``Case`` a family, with what each is known to do written down by hand.

Text encoders are left out: the pipelines take embeddings, which are random here, and of which every row of a
denoiser's call can be told apart. Extents differ from each other wherever a model allows it, so that an axis that is
taken for another one cannot pass.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import diffusers
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLMagvit,
    AutoencoderKLQwenImage,
    AutoencoderKLWan,
    ChronoEditTransformer3DModel,
    CosmosTransformer3DModel,
    DPMSolverMultistepScheduler,
    EasyAnimateTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
    Flux2Transformer2DModel,
    FluxTransformer2DModel,
    PixArtTransformer2DModel,
    QwenImageTransformer2DModel,
    SanaVideoTransformer3DModel,
    SD3Transformer2DModel,
    SkyReelsV2Transformer3DModel,
    UniPCMultistepScheduler,
)
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

from dit_lens.generation import Generation, Size

TEXT = 16  # width of the text embeddings
WORDS = 7
HEADS = {"num_attention_heads": 2, "attention_head_dim": 12}
WIDTH = 24
VIDEO = Size(64, 96, 9)
PICTURE = Size(64, 96, 1)
LATENT = (16, 3, 8, 12)
TOKENS = (3, 4, 6)
ONE = (1, 4, 6)

Guide = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]


def standard(cond: torch.Tensor, uncond: torch.Tensor, scale: float) -> torch.Tensor:
    return uncond + scale * (cond - uncond)


def beyond(cond: torch.Tensor, uncond: torch.Tensor, scale: float) -> torch.Tensor:
    """Cosmos counts the scale from the conditional branch."""
    return cond + scale * (cond - uncond)


def normed(cond: torch.Tensor, uncond: torch.Tensor, scale: float) -> torch.Tensor:
    """QwenImage gives every packed token the length that it has in the conditional branch."""
    both = standard(cond, uncond, scale)
    return both * (cond.norm(dim=-1, keepdim=True) / both.norm(dim=-1, keepdim=True))


@dataclass(frozen=True)
class Case:
    """A pipeline and the truth about it.

    ``layers`` are module paths with the number of layers below each; ``calls`` are the branches of the rows of every
    denoiser's call of a guided step; ``contexts`` the names given to ``cache_context``; ``guide`` is how the pipeline
    joins the branches, None where the scheduler is given something else than a combination of what came out.
    """

    pipeline: str
    family: str
    build: Callable[[], Any]
    layers: Mapping[str, int]
    size: Size = VIDEO
    latent: tuple[int, int, int, int] = LATENT
    tokens: tuple[int, int, int] = TOKENS
    calls: tuple[tuple[str, ...], ...] = (("cond",), ("uncond",))
    contexts: tuple[str | None, ...] = (None, None)
    guide: Guide | None = standard
    first: bool = False
    words: int = WORDS
    more: Callable[[], Mapping[str, Any]] = dict
    given: Mapping[str, Any] = field(default_factory=dict)

    def pair(self, name: str, *shape: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(7)
        return {name: torch.randn(1, *shape), f"negative_{name}": torch.randn(1, *shape)}

    def ask(self, **changes: Any) -> Generation:
        """A guided request of 3 steps."""
        extra = {**self.pair("prompt_embeds", self.words, TEXT), **self.more(), **self.given}
        names = _arguments_of(self.pipeline)
        image = Image.new("RGB", (self.size.width, self.size.height), (200, 40, 90)) if self.first else None
        sizes = {"height": self.size.height, "width": self.size.width, "frames": self.size.frames}
        asked = {"prompt": "", "image": image, "seed": 3, "steps": 3, "guidance": 3.0, **sizes, **changes}
        return Generation(**asked, extra={name: value for name, value in extra.items() if name in names})


def _arguments_of(name: str) -> tuple[str, ...]:
    return tuple(inspect.signature(getattr(diffusers, name).__call__).parameters)


def masks() -> dict[str, torch.Tensor]:
    mask = torch.ones(1, WORDS, dtype=torch.long)
    mask[:, -2:] = 0
    return {"prompt_attention_mask": mask, "negative_prompt_attention_mask": mask.clone()}


def pooled() -> dict[str, torch.Tensor]:
    torch.manual_seed(8)
    return {"pooled_prompt_embeds": torch.randn(1, TEXT), "negative_pooled_prompt_embeds": torch.randn(1, TEXT)}


def clip_vision() -> dict[str, Any]:
    """What turns the first frame into tokens for the cross-attention."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPVisionConfig(**sizes, image_size=4, patch_size=2, projection_dim=8)
    edges = {"crop_size": {"height": 4, "width": 4}, "size": {"shortest_edge": 4}}
    return {
        "image_encoder": CLIPVisionModelWithProjection(config).eval(),
        "image_processor": CLIPImageProcessorPil(**edges),
    }


def wan_vae() -> Any:
    return AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1).eval()


def plain_vae(channels: int) -> Any:
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[4] * 4,
        latent_channels=channels,
        norm_num_groups=2,
        shift_factor=0.1,
    ).eval()


def unipc() -> Any:
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0)


def shifted() -> Any:
    """The schedule depends on the number of tokens."""
    return FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)


def randomised(denoiser: Any) -> Any:
    """No weight zero: an output layer that starts at zero would hide everything behind it."""
    torch.manual_seed(1)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return denoiser.eval()


def assemble(name: str, denoiser: Any, scheduler: Any, vae: Any, **parts: Any) -> Any:
    names = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3")
    kind = getattr(diffusers, name)
    wanted = (*names, "image_encoder", "image_processor")
    missing = {part: None for part in wanted if part in inspect.signature(kind).parameters}
    return kind(**{**missing, "transformer": denoiser, "scheduler": scheduler, "vae": vae, **parts})


class Unchecked(torch.nn.Module):
    """The safety checker that a Cosmos pipeline insists on: it lets everything pass."""

    device = torch.device("cpu")
    dtype = torch.float32

    def check_text_safety(self, _text: str) -> bool:
        return True

    def check_video_safety(self, frames: Any) -> Any:
        return frames


def cosmos(channels: int, **changes: Any) -> Any:
    return randomised(
        CosmosTransformer3DModel(
            in_channels=channels,
            out_channels=16,
            **HEADS,
            num_layers=2,
            mlp_ratio=2,
            text_embed_dim=TEXT,
            adaln_lora_dim=4,
            max_size=(4, 16, 16),
            concat_padding_mask=False,  # it needs torchvision to resize the mask
            **changes,
        )
    )


def karras() -> Any:
    return FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)


def cosmos_2(name: str, channels: int) -> Any:
    return assemble(name, cosmos(channels), karras(), wan_vae(), safety_checker=Unchecked())


def cosmos_2_5() -> Any:
    vae = wan_vae()
    denoiser = cosmos(17, extra_pos_embed_type=None)
    return assemble("Cosmos2_5_PredictBasePipeline", denoiser, unipc(), vae, safety_checker=Unchecked())


def easyanimate() -> Any:
    sizes = {"in_channels": 4, "out_channels": 4, "patch_size": 2, "num_layers": 3, "mmdit_layers": 2}
    denoiser = EasyAnimateTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, **sizes, time_embed_dim=8, text_embed_dim=TEXT
    )
    down, up = ["SpatialTemporalDownBlock3D"] * 3, ["SpatialTemporalUpBlock3D"] * 3
    vae = AutoencoderKLMagvit(
        latent_channels=4,
        block_out_channels=[4] * 4,
        layers_per_block=1,
        norm_num_groups=2,
        down_block_types=["SpatialDownBlock3D", *down],
        up_block_types=["SpatialUpBlock3D", *up],
    )
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    return assemble("EasyAnimatePipeline", randomised(denoiser), scheduler, vae.eval())


def sana_video() -> Any:
    cross = {"num_cross_attention_heads": 2, "cross_attention_head_dim": 12, "cross_attention_dim": WIDTH}
    denoiser = SanaVideoTransformer3DModel(**HEADS, **cross, num_layers=2, caption_channels=TEXT, rope_max_seq_len=32)
    scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0)
    return assemble("SanaVideoPipeline", randomised(denoiser), scheduler, wan_vae())


_WAN = {**HEADS, "num_layers": 2, "text_dim": TEXT, "freq_dim": 16, "ffn_dim": 16, "rope_max_seq_len": 32}
_FROM_IMAGE = {"in_channels": 36, "out_channels": 16, "image_dim": 8, "added_kv_proj_dim": WIDTH}


def skyreels(name: str, **changes: Any) -> Any:
    denoiser = SkyReelsV2Transformer3DModel(**_WAN, **changes)
    return assemble(name, randomised(denoiser), unipc(), wan_vae(), **(clip_vision() if changes else {}))


def chronoedit() -> Any:
    denoiser = ChronoEditTransformer3DModel(**_WAN, **_FROM_IMAGE)
    return assemble("ChronoEditPipeline", randomised(denoiser), unipc(), wan_vae(), **clip_vision())


def flux(guidance_embeds: bool = True) -> Any:
    denoiser = FluxTransformer2DModel(
        in_channels=16,
        **HEADS,
        num_layers=2,
        num_single_layers=1,
        joint_attention_dim=TEXT,
        pooled_projection_dim=TEXT,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 4, 4),
    )
    return assemble("FluxPipeline", randomised(denoiser), shifted(), plain_vae(4))


def flux_2(name: str) -> Any:
    denoiser = Flux2Transformer2DModel(
        in_channels=16,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=1,
        num_single_layers=2,
        joint_attention_dim=TEXT,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=name == "Flux2Pipeline",
    )
    vae = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4,) * 4,
        latent_channels=4,
        norm_num_groups=2,
    )
    return assemble(name, randomised(denoiser), shifted(), vae.eval())


def sd3() -> Any:
    denoiser = SD3Transformer2DModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        **HEADS,
        num_layers=2,
        joint_attention_dim=TEXT,
        caption_projection_dim=WIDTH,
        pooled_projection_dim=TEXT,
        pos_embed_max_size=16,
        dual_attention_layers=(0,),
    )
    return assemble("StableDiffusion3Pipeline", randomised(denoiser), FlowMatchEulerDiscreteScheduler(), plain_vae(4))


def qwen_image() -> Any:
    sizes = {"in_channels": 16, "out_channels": 4, "num_layers": 2, "joint_attention_dim": TEXT}
    denoiser = QwenImageTransformer2DModel(**HEADS, **sizes, axes_dims_rope=(4, 4, 4))
    vae = AutoencoderKLQwenImage(
        base_dim=4, z_dim=4, dim_mult=[1] * 4, num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
    )
    return assemble("QwenImagePipeline", randomised(denoiser), shifted(), vae.eval())


def pixart(name: str) -> Any:
    denoiser = PixArtTransformer2DModel(
        **HEADS,
        in_channels=4,
        out_channels=8,  # the second half is a variance
        num_layers=2,
        cross_attention_dim=WIDTH,
        caption_channels=TEXT,
        sample_size=16,
        use_additional_conditions=False,
    )
    return assemble(name, randomised(denoiser), DPMSolverMultistepScheduler(), plain_vae(4))


TOGETHER: Mapping[str, Any] = {"calls": (("uncond", "cond"),), "contexts": (None,)}
IN_CONTEXTS: Mapping[str, Any] = {"contexts": ("cond", "uncond")}
IMAGE: Mapping[str, Any] = {"size": PICTURE, "latent": (4, 1, 8, 12), "tokens": ONE}
ALONE: Mapping[str, Any] = {"calls": (("cond",),), "contexts": (None,), "guide": None}
FIVE = {"latent": (16, 2, 8, 12), "tokens": (2, 4, 6), "size": Size(64, 96, 5)}
FIRST: Mapping[str, Any] = {"first": True, "words": 512}

CASES: tuple[Case, ...] = (
    Case(
        "Cosmos2TextToImagePipeline",
        "cosmos-2-image",
        lambda: cosmos_2("Cosmos2TextToImagePipeline", 16),
        {"transformer_blocks": 2},
        **{**IMAGE, "latent": (16, 1, 8, 12)},
        guide=None,
    ),
    Case(
        "Cosmos2VideoToWorldPipeline",
        "cosmos-2",
        lambda: cosmos_2("Cosmos2VideoToWorldPipeline", 17),
        {"transformer_blocks": 2},
        guide=None,
        first=True,
    ),
    Case("Cosmos2_5_PredictBasePipeline", "cosmos-2.5", cosmos_2_5, {"transformer_blocks": 2}, guide=beyond),
    Case(
        "EasyAnimatePipeline",
        "easyanimate",
        easyanimate,
        {"transformer_blocks": 3},
        latent=(4, 3, 8, 12),
        more=masks,
        **TOGETHER,
    ),
    Case("SanaVideoPipeline", "sana-video", sana_video, {"transformer_blocks": 2}, more=masks, **TOGETHER),
    Case("SkyReelsV2Pipeline", "skyreels-v2", lambda: skyreels("SkyReelsV2Pipeline"), {"blocks": 2}, **IN_CONTEXTS),
    Case(
        "SkyReelsV2ImageToVideoPipeline",
        "skyreels-v2-i2v",
        lambda: skyreels("SkyReelsV2ImageToVideoPipeline", **_FROM_IMAGE),
        {"blocks": 2},
        **IN_CONTEXTS,
        **FIRST,
    ),
    Case("ChronoEditPipeline", "chronoedit", chronoedit, {"blocks": 2}, **FIVE, **FIRST),
    Case(
        "FluxPipeline",
        "flux",
        flux,
        {"transformer_blocks": 2, "single_transformer_blocks": 1},
        more=pooled,
        **IMAGE,
        **IN_CONTEXTS,
    ),
    Case(
        "Flux2Pipeline",
        "flux-2",
        lambda: flux_2("Flux2Pipeline"),
        {"transformer_blocks": 1, "single_transformer_blocks": 2},
        **IMAGE,
        **ALONE,
    ),
    Case(
        "Flux2KleinPipeline",
        "flux-2-klein",
        lambda: flux_2("Flux2KleinPipeline"),
        {"transformer_blocks": 1, "single_transformer_blocks": 2},
        **IMAGE,
        **IN_CONTEXTS,
    ),
    Case("StableDiffusion3Pipeline", "sd3", sd3, {"transformer_blocks": 2}, more=pooled, **IMAGE, **TOGETHER),
    Case(
        "QwenImagePipeline",
        "qwen-image",
        qwen_image,
        {"transformer_blocks": 2},
        **IMAGE,
        **IN_CONTEXTS,
        guide=normed,
    ),
    Case(
        "PixArtAlphaPipeline",
        "pixart",
        lambda: pixart("PixArtAlphaPipeline"),
        {"transformer_blocks": 2},
        more=masks,
        **IMAGE,
        **TOGETHER,
    ),
    Case(
        "PixArtSigmaPipeline",
        "pixart",
        lambda: pixart("PixArtSigmaPipeline"),
        {"transformer_blocks": 2},
        more=masks,
        **IMAGE,
        **TOGETHER,
    ),
)
