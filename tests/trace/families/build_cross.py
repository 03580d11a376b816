"""Untrained pipelines whose layers hold the video and read the text through cross-attention."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.ltx2 import LTX2TextConnectors
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

from . import parts


def ltx() -> Any:
    transformer = parts.seeded(
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
    vae = parts.seeded(
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
    return parts.quiet(
        diffusers.LTXPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=vae,
            text_encoder=parts.t5(),
            tokenizer=parts.tokenizer(),
            transformer=transformer,
        )
    )


def _ltx2_transformer() -> Any:
    return parts.seeded(
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
    return parts.seeded(
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
    return parts.seeded(
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
    vae = parts.seeded(
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
    vocoder = parts.seeded(
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
    return parts.quiet(
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


def allegro() -> Any:
    transformer = parts.seeded(
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
    vae = parts.seeded(
        diffusers.AutoencoderKLAllegro,
        down_block_types=("AllegroDownBlock3D",) * 4,
        up_block_types=("AllegroUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    return parts.quiet(
        diffusers.AllegroPipeline(
            tokenizer=parts.tokenizer(),
            text_encoder=parts.t5(),
            vae=vae,
            transformer=transformer,
            scheduler=diffusers.EulerAncestralDiscreteScheduler(),
        )
    )


def kandinsky5(**config: Any) -> Any:
    transformer = parts.seeded(
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
    return parts.quiet(
        diffusers.Kandinsky5T2VPipeline(
            transformer=transformer,
            vae=parts.hunyuan_vae(),
            text_encoder=None,
            tokenizer=None,
            text_encoder_2=None,
            tokenizer_2=None,
            scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        )
    )


def kandinsky_text() -> dict[str, Any]:
    noise = torch.Generator().manual_seed(7)
    embeddings: dict[str, Any] = {"prompt": None, "negative_prompt": None}
    for name, length in (("", 5), ("negative_", 4)):
        embeddings[f"{name}prompt_embeds_qwen"] = torch.randn(1, length, parts.WIDTH, generator=noise)
        embeddings[f"{name}prompt_embeds_clip"] = torch.randn(1, parts.WIDTH, generator=noise)
        embeddings[f"{name}prompt_cu_seqlens"] = torch.tensor([0, length], dtype=torch.int32)
    return embeddings
