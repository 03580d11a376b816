"""Put the trained parts together as a diffusers folder that any Wan2.2 code loads."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanImageToVideoPipeline, WanTransformer3DModel

from dit_lens.tiny.train.denoiser import BOUNDARY, SHIFT
from dit_lens.tiny.train.text import build_text_encoder, build_tokenizer

__all__ = ["assemble", "save_weights"]


def assemble(
    vae: AutoencoderKLWan, high: WanTransformer3DModel, low: WanTransformer3DModel, mean: list[float], std: list[float]
) -> WanImageToVideoPipeline:
    """The pipeline in memory; ``mean`` and ``std`` of the latents go into the autoencoder's configuration."""
    vae.register_to_config(latents_mean=mean, latents_std=std)
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=SHIFT)
    pipeline = WanImageToVideoPipeline(
        tokenizer=build_tokenizer(),
        text_encoder=build_text_encoder(),
        vae=vae.eval(),
        scheduler=scheduler,
        transformer=high.eval(),
        transformer_2=low.eval(),
        boundary_ratio=BOUNDARY,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_weights(pipeline: WanImageToVideoPipeline, folder: Path) -> None:
    """Save the experts and the autoencoder as float16 (11 bits), the small text encoder as float32: under 24 MB in all.

    ``from_pretrained`` widens them to float32 again. A part that was loaded knows from where; that is left out, so that
    the files say nothing of the machine.
    """
    trained = ("transformer", "transformer_2", "vae")
    for name in trained:
        getattr(pipeline, name).to(torch.float16)
    pipeline.save_pretrained(folder)
    for path in (folder / name / "config.json" for name in trained):
        config = json.loads(path.read_text(encoding="utf-8"))
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
