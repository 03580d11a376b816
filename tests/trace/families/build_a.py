"""Untrained text-to-video pipelines of the true classes, small enough to build in a second and run in a tenth of one.

Extents are chosen to tell axes apart: three latent frames, and never as many rows as columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import diffusers
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.guiders import ClassifierFreeGuidance
from diffusers.pipelines.ltx2 import LTX2TextConnectors
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
from PIL import Image

from dit_lens.generation import Generation, Size

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


def _quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _awake(model: Any) -> Any:
    """Layers that training starts at zero would hide mistakes: give every all-zero weight some noise."""
    for weight in model.parameters():
        if not weight.detach().any():
            torch.nn.init.normal_(weight, std=0.02)
    return model.eval()


def _seeded(kind: Any, **config: Any) -> Any:
    torch.manual_seed(0)
    return _awake(kind(**config))


def _cogvideox_vae() -> Any:
    return _seeded(
        diffusers.AutoencoderKLCogVideoX,
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )


def _cogvideox(scheduler: Any, kind: str = "CogVideoXPipeline", channels: int = 4, **config: Any) -> Any:
    transformer = _seeded(
        diffusers.CogVideoXTransformer3DModel,
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=channels,
        out_channels=4,
        time_embed_dim=4,
        text_embed_dim=parts.WIDTH,
        num_layers=3,
        sample_width=6,
        sample_height=4,
        sample_frames=9,
        max_text_seq_length=8,
        **config,
    )
    return _quiet(
        getattr(diffusers, kind)(
            tokenizer=parts.tokenizer(),
            text_encoder=parts.t5(),
            vae=_cogvideox_vae(),
            transformer=transformer,
            scheduler=scheduler,
        )
    )


def cogvideox() -> Any:
    return _cogvideox(diffusers.CogVideoXDDIMScheduler(prediction_type="v_prediction"), patch_size=2)


def cogvideox_dpm() -> Any:
    """With the scheduler of the 5B models, whose step has a signature of its own."""
    scheduler = diffusers.CogVideoXDPMScheduler(prediction_type="v_prediction")
    return _cogvideox(scheduler, patch_size=2, use_rotary_positional_embeddings=True)


def cogvideox15() -> Any:
    """Patches of two frames: three latent frames become four."""
    return _cogvideox(
        diffusers.CogVideoXDDIMScheduler(prediction_type="v_prediction"),
        patch_size=2,
        patch_size_t=2,
        patch_bias=False,
        use_rotary_positional_embeddings=True,
    )


def cogvideox_image(**config: Any) -> Any:
    """From a first frame, whose latents are channels beside those of the noise."""
    return _cogvideox(
        diffusers.CogVideoXDDIMScheduler(prediction_type="v_prediction"),
        "CogVideoXImageToVideoPipeline",
        channels=8,
        **{"patch_size": 2, "use_rotary_positional_embeddings": True, **config},
    )


def cogvideox15_image() -> Any:
    return cogvideox_image(patch_size_t=2, patch_bias=False, ofs_embed_dim=4)


def _hunyuan_vae() -> Any:
    return _seeded(
        diffusers.AutoencoderKLHunyuanVideo,
        latent_channels=4,
        down_block_types=("HunyuanVideoDownBlock3D",) * 4,
        up_block_types=("HunyuanVideoUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        spatial_compression_ratio=8,
        temporal_compression_ratio=4,
    )


def hunyuan_video() -> Any:
    transformer = _seeded(
        diffusers.HunyuanVideoTransformer3DModel,
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=10,
        num_layers=2,
        num_single_layers=2,
        num_refiner_layers=1,
        patch_size=2,
        patch_size_t=1,
        guidance_embeds=True,
        text_embed_dim=parts.WIDTH,
        pooled_projection_dim=parts.WIDTH,
        rope_axes_dim=(2, 4, 4),
    )
    return _quiet(
        diffusers.HunyuanVideoPipeline(
            text_encoder=parts.llama(),
            tokenizer=parts.tokenizer(start=True),
            transformer=transformer,
            vae=_hunyuan_vae(),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
            text_encoder_2=parts.clip(),
            tokenizer_2=parts.tokenizer(77, start=True),
        )
    )


def hunyuan_video15(scale: float = 3.0) -> Any:
    transformer = _seeded(
        diffusers.HunyuanVideo15Transformer3DModel,
        in_channels=9,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        patch_size=1,
        patch_size_t=1,
        text_embed_dim=parts.WIDTH,
        text_embed_2_dim=parts.WIDTH,
        image_embed_dim=12,
        rope_axes_dim=(2, 2, 4),
        target_size=16,
        task_type="t2v",
    )
    vae = _seeded(
        diffusers.AutoencoderKLHunyuanVideo15,
        latent_channels=4,
        block_out_channels=(16, 16),
        layers_per_block=1,
        spatial_compression_ratio=4,
        temporal_compression_ratio=2,
        downsample_match_channel=False,
        upsample_match_channel=False,
    )
    return _quiet(
        diffusers.HunyuanVideo15Pipeline(
            text_encoder=None,
            tokenizer=None,
            transformer=transformer,
            vae=vae,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
            text_encoder_2=None,
            tokenizer_2=None,
            guider=ClassifierFreeGuidance(guidance_scale=scale),
        )
    )


def _embedded(*names: str, length: int = 5) -> dict[str, Any]:
    """Prompts as embeddings, all of their tokens valid; another text for every name."""
    noise = torch.Generator().manual_seed(7)
    embeddings: dict[str, Any] = {}
    for name in names:
        embeddings[name.format("prompt_embeds")] = torch.randn(1, length, parts.WIDTH, generator=noise)
        embeddings[name.format("prompt_embeds_mask")] = torch.ones(1, length)
    return embeddings


def ltx() -> Any:
    transformer = _seeded(
        diffusers.LTXVideoTransformer3DModel,
        in_channels=8,
        out_channels=8,
        patch_size=1,
        patch_size_t=1,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=3,
        caption_channels=parts.WIDTH,
    )
    vae = _seeded(
        diffusers.AutoencoderKLLTXVideo,
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        decoder_inject_noise=(False, False, False, False, False),
        upsample_residual=(False, False, False, False),
        upsample_factor=(1, 1, 1, 1),
        patch_size=1,
        patch_size_t=1,
        encoder_causal=True,
        decoder_causal=False,
    )
    return _quiet(
        diffusers.LTXPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=vae,
            text_encoder=parts.t5(),
            tokenizer=parts.tokenizer(),
            transformer=transformer,
        )
    )


def _ltx2_transformer() -> Any:
    return _seeded(
        diffusers.LTX2VideoTransformer3DModel,
        in_channels=4,
        out_channels=4,
        patch_size=1,
        patch_size_t=1,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        audio_in_channels=4,
        audio_out_channels=4,
        audio_num_attention_heads=2,
        audio_attention_head_dim=4,
        audio_cross_attention_dim=8,
        num_layers=2,
        qk_norm="rms_norm_across_heads",
        caption_channels=parts.WIDTH,
        rope_double_precision=False,
        rope_type="split",
    )


def _ltx2_connectors(layers: int) -> Any:
    streams: dict[str, Any] = {}
    for stream in ("video", "audio"):
        streams[f"{stream}_connector_num_attention_heads"] = 2
        streams[f"{stream}_connector_attention_head_dim"] = 8
        streams[f"{stream}_connector_num_layers"] = 1
        streams[f"{stream}_connector_num_learnable_registers"] = None
    return _seeded(
        LTX2TextConnectors,
        caption_channels=parts.WIDTH,
        text_proj_in_factor=layers + 1,
        connector_rope_base_seq_len=32,
        rope_theta=10000.0,
        rope_double_precision=False,
        causal_temporal_positioning=False,
        rope_type="split",
        **streams,
    )


def _ltx2_vae() -> Any:
    return _seeded(
        diffusers.AutoencoderKLLTX2Video,
        latent_channels=4,
        block_out_channels=(8,),
        decoder_block_out_channels=(8,),
        layers_per_block=(1,),
        decoder_layers_per_block=(1, 1),
        spatio_temporal_scaling=(True,),
        decoder_spatio_temporal_scaling=(True,),
        decoder_inject_noise=(False, False),
        downsample_type=("spatial",),
        upsample_residual=(False,),
        upsample_factor=(1,),
        patch_size=4,
        patch_size_t=1,
        encoder_causal=True,
        decoder_causal=False,
    )


def _ltx2_sound() -> dict[str, Any]:
    vae = _seeded(
        diffusers.AutoencoderKLLTX2Audio,
        base_channels=4,
        output_channels=2,
        ch_mult=(1,),
        num_res_blocks=1,
        in_channels=2,
        resolution=32,
        latent_channels=2,
        norm_type="pixel",
        causality_axis="height",
        mid_block_add_attention=False,
        mel_bins=8,
    )
    vocoder = _seeded(
        LTX2Vocoder,
        in_channels=16,
        hidden_channels=8,
        out_channels=2,
        upsample_kernel_sizes=[4, 4],
        upsample_factors=[2, 2],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1, 3, 5]],
        output_sampling_rate=16000,
    )
    return {"audio_vae": vae, "vocoder": vocoder}


def ltx2() -> Any:
    encoder = parts.gemma3()
    return _quiet(
        diffusers.LTX2Pipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=_ltx2_vae(),
            text_encoder=encoder,
            tokenizer=parts.tokenizer(start=True, padding_side="left"),
            connectors=_ltx2_connectors(encoder.config.text_config.num_hidden_layers),
            transformer=_ltx2_transformer(),
            **_ltx2_sound(),
        )
    )


def mochi() -> Any:
    transformer = _seeded(
        diffusers.MochiTransformer3DModel,
        patch_size=2,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=3,
        pooled_projection_dim=16,
        in_channels=12,
        qk_norm="rms_norm",
        text_embed_dim=parts.WIDTH,
        time_embed_dim=4,
        activation_fn="swiglu",
        max_sequence_length=8,
    )
    vae = _seeded(
        diffusers.AutoencoderKLMochi,
        latent_channels=12,
        encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
    )
    return _quiet(
        diffusers.MochiPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
            vae=vae,
            text_encoder=parts.t5(),
            tokenizer=parts.tokenizer(),
            transformer=transformer,
        )
    )


def allegro() -> Any:
    transformer = _seeded(
        diffusers.AllegroTransformer3DModel,
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        cross_attention_dim=24,
        sample_width=6,
        sample_height=4,
        sample_frames=3,
        caption_channels=parts.WIDTH,
    )
    vae = _seeded(
        diffusers.AutoencoderKLAllegro,
        down_block_types=("AllegroDownBlock3D",) * 4,
        up_block_types=("AllegroUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    return _quiet(
        diffusers.AllegroPipeline(
            tokenizer=parts.tokenizer(),
            text_encoder=parts.t5(),
            vae=vae,
            transformer=transformer,
            scheduler=diffusers.EulerAncestralDiscreteScheduler(),
        )
    )


def kandinsky5(**config: Any) -> Any:
    transformer = _seeded(
        diffusers.Kandinsky5Transformer3DModel,
        **{
            "in_visual_dim": 4,
            "in_text_dim": parts.WIDTH,
            "in_text_dim2": parts.WIDTH,
            "time_dim": 16,
            "out_visual_dim": 4,
            "patch_size": (1, 2, 2),
            "model_dim": 32,
            "ff_dim": 32,
            "num_text_blocks": 1,
            "num_visual_blocks": 3,
            "axes_dims": (8, 4, 4),
            "visual_cond": True,
            **config,
        },
    )
    return _quiet(
        diffusers.Kandinsky5T2VPipeline(
            transformer=transformer,
            vae=_hunyuan_vae(),
            text_encoder=None,
            tokenizer=None,
            text_encoder_2=None,
            tokenizer_2=None,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        )
    )


def _kandinsky_text() -> dict[str, Any]:
    noise = torch.Generator().manual_seed(7)
    embeddings: dict[str, Any] = {"prompt": None, "negative_prompt": None}
    for name, length in (("", 5), ("negative_", 4)):
        embeddings[f"{name}prompt_embeds_qwen"] = torch.randn(1, length, parts.WIDTH, generator=noise)
        embeddings[f"{name}prompt_embeds_clip"] = torch.randn(1, parts.WIDTH, generator=noise)
        embeddings[f"{name}prompt_cu_seqlens"] = torch.tensor([0, length], dtype=torch.int32)
    return embeddings


def latte() -> Any:
    transformer = _seeded(
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
    vae = _seeded(diffusers.AutoencoderKL, block_out_channels=(4, 4), norm_num_groups=2, **_two_blocks())
    return _quiet(
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


_PAIR = ("{}", "negative_{}")
_GLYPHS = _embedded("{}_2", "negative_{}_2", length=4)
_TEMPLATE = {"prompt_template": {"template": "{}", "crop_start": 0}}
TINY: dict[str, Tiny] = {
    "cogvideox": Tiny("cogvideox", cogvideox, Size(32, 48, 9), _TEXT),
    "cogvideox-dpm": Tiny("cogvideox", cogvideox_dpm, Size(32, 48, 9), _TEXT),
    "cogvideox1.5": Tiny("cogvideox", cogvideox15, Size(32, 48, 9), _TEXT),
    "cogvideox-image": Tiny("cogvideox", cogvideox_image, Size(32, 48, 9), _TEXT, image=True),
    "cogvideox1.5-image": Tiny("cogvideox", cogvideox15_image, Size(32, 48, 9), _TEXT, image=True),
    "hunyuan-video": Tiny("hunyuan-video", hunyuan_video, Size(32, 48, 9), {**_TEXT, **_TEMPLATE}),
    "hunyuan-video-1.5": Tiny("hunyuan-video-1.5", hunyuan_video15, Size(16, 24, 5), {**_embedded(*_PAIR), **_GLYPHS}),
    "ltx": Tiny("ltx", ltx, Size(32, 64, 9), _TEXT),
    "ltx2": Tiny("ltx2", ltx2, Size(32, 64, 5), {**_TEXT, "guidance_rescale": 0.0}),
    "mochi": Tiny("mochi", mochi, Size(32, 48, 13), _TEXT),
    "allegro": Tiny("allegro", allegro, Size(32, 48, 9), {**_TEXT, "clean_caption": False}),
    "kandinsky5": Tiny("kandinsky5", kandinsky5, Size(32, 48, 9), _kandinsky_text()),
    "latte": Tiny("latte", latte, Size(16, 24, 3), {"clean_caption": False}),
}

_NO_ENCODERS = "the whole pipeline but its text encoders, whose place embeddings take"
_WHOLE = "the whole pipeline, text encoders and tokenizers included"
CHECKED: tuple[tuple[str, str, str, str], ...] = (
    ("cogvideox", "CogVideoXPipeline", "pipeline", f"{_WHOLE}; both schedulers, patches of one frame and of two"),
    ("cogvideox", "CogVideoXImageToVideoPipeline", "pipeline", f"{_WHOLE}; patches of one frame and of two"),
    ("hunyuan-video", "HunyuanVideoPipeline", "pipeline", f"{_WHOLE}; without the words around the prompt"),
    ("hunyuan-video-1.5", "HunyuanVideo15Pipeline", "pipeline", _NO_ENCODERS),
    ("ltx", "LTXPipeline", "pipeline", _WHOLE),
    ("ltx2", "LTX2Pipeline", "pipeline", f"{_WHOLE}; every kind of guidance"),
    ("mochi", "MochiPipeline", "pipeline", _WHOLE),
    ("allegro", "AllegroPipeline", "pipeline", _WHOLE),
    ("kandinsky5", "Kandinsky5T2VPipeline", "pipeline", f"{_NO_ENCODERS}; full attention alone"),
    ("latte", "LattePipeline", "pipeline", _WHOLE),
)
"""Family, pipeline, what was built of it (``pipeline`` or ``transformer alone``), and how much of it that is."""
