"""Untrained pipelines whose layers hold video and text in two streams."""

from __future__ import annotations

from typing import Any

import diffusers
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.guiders import ClassifierFreeGuidance

from . import parts


def _cogvideox_vae() -> Any:
    return parts.seeded(
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
    transformer = parts.seeded(
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
    return parts.quiet(
        getattr(diffusers, kind)(
            tokenizer=parts.tokenizer(),
            text_encoder=parts.t5(),
            vae=_cogvideox_vae(),
            transformer=transformer,
            scheduler=scheduler,
        )
    )


def cogvideox() -> Any:
    """With the schedule of the released models, whose first step starts from noise alone."""
    scheduler = diffusers.CogVideoXDDIMScheduler(
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        snr_shift_scale=3.0,
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
    )
    return _cogvideox(scheduler, patch_size=2)


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


def hunyuan_video() -> Any:
    transformer = parts.seeded(
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
    return parts.quiet(
        diffusers.HunyuanVideoPipeline(
            text_encoder=parts.llama(),
            tokenizer=parts.tokenizer(start=True),
            transformer=transformer,
            vae=parts.hunyuan_vae(),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
            text_encoder_2=parts.clip(),
            tokenizer_2=parts.tokenizer(77, start=True),
        )
    )


def hunyuan_video15(scale: float = 3.0) -> Any:
    transformer = parts.seeded(
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
    vae = parts.seeded(
        diffusers.AutoencoderKLHunyuanVideo15,
        latent_channels=4,
        block_out_channels=(16, 16),
        layers_per_block=1,
        spatial_compression_ratio=4,
        temporal_compression_ratio=2,
        downsample_match_channel=False,
        upsample_match_channel=False,
    )
    return parts.quiet(
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


def mochi() -> Any:
    transformer = parts.seeded(
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
    vae = parts.seeded(
        diffusers.AutoencoderKLMochi,
        latent_channels=12,
        encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
    )
    return parts.quiet(
        diffusers.MochiPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
            vae=vae,
            text_encoder=parts.t5(),
            tokenizer=parts.tokenizer(),
            transformer=transformer,
        )
    )
