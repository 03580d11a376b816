"""How every pipeline of a family was checked: what the table of models in the documentation is made from.

``pipeline`` means that the stock pipeline of diffusers ran, built of its true classes with few layers and random
weights, and that branches, layers, tokens, latents, velocities and steps were held to what plain hooks saw of it:
under each of ``schedulers``, with guidance and without. What is left out of ``FLOW`` or ``NOISE``, whichever the model
was made for, diffusers itself cannot run with that pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CHECKED", "FLOW", "NOISE", "Checked"]

FLOW = (
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "FlowMatchLCMScheduler",
    "UniPCMultistepScheduler",
    "DPMSolverMultistepScheduler",
)
"""Schedulers of models that predict a velocity of flow matching."""
NOISE = (
    "DDIMScheduler",
    "DDPMScheduler",
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "CogVideoXDDIMScheduler",
    "CogVideoXDPMScheduler",
)
"""Schedulers of models that predict noise, or what Salimans and Ho call v."""


@dataclass(frozen=True)
class Checked:
    """What was run for one pipeline, and what was different from the released model.

    Attributes
    ----------
    pipeline, family : str
    how : {"pipeline", "transformer alone"}
    why : str
        What was left out, and why.
    schedulers : tuple of str
        Class names of the schedulers that it was run under.
    """

    pipeline: str
    family: str
    how: Literal["pipeline", "transformer alone"]
    why: str
    schedulers: tuple[str, ...] = FLOW


def _without(schedulers: tuple[str, ...], *names: str) -> tuple[str, ...]:
    return tuple(name for name in schedulers if name not in names)


_COMMON_STEP = _without(NOISE, "CogVideoXDPMScheduler")  # its step takes more than other pipelines give
_FLUX = _without(FLOW, "FlowMatchHeunDiscreteScheduler")
_OWN_SIGMAS = _without(_FLUX, "DPMSolverMultistepScheduler")  # pipelines that give their scheduler sigmas
_COSMOS_2 = _without(_OWN_SIGMAS, "UniPCMultistepScheduler")
_EMBEDDED = "random embeddings in place of a text encoder"
_UNMASKED = f"{_EMBEDDED}; a safety checker that lets all pass; no padding mask, which needs torchvision"
_WHOLE = "text encoders and tokenizers included"
_WITH_IMAGE = f"{_EMBEDDED}; a tiny vision encoder for the first frame"

CHECKED: tuple[Checked, ...] = (
    Checked(
        "CogVideoXPipeline",
        "cogvideox",
        "pipeline",
        f"{_WHOLE}; both schedulers, patches of one frame and of two",
        NOISE,
    ),
    Checked(
        "CogVideoXImageToVideoPipeline", "cogvideox", "pipeline", f"{_WHOLE}; patches of one frame and of two", NOISE
    ),
    Checked(
        "HunyuanVideoPipeline",
        "hunyuan-video",
        "pipeline",
        f"{_WHOLE}; without the words around the prompt",
        _OWN_SIGMAS,
    ),
    Checked(
        "HunyuanVideo15Pipeline",
        "hunyuan-video-1.5",
        "pipeline",
        f"{_EMBEDDED}; classifier-free guidance alone",
        _OWN_SIGMAS,
    ),
    Checked("LTXPipeline", "ltx", "pipeline", _WHOLE, _OWN_SIGMAS),
    Checked(
        "LTX2Pipeline", "ltx2", "pipeline", f"{_WHOLE}; every kind of guidance; the video's stream alone", _OWN_SIGMAS
    ),
    Checked("MochiPipeline", "mochi", "pipeline", _WHOLE, _OWN_SIGMAS),
    Checked("AllegroPipeline", "allegro", "pipeline", _WHOLE, _COMMON_STEP),
    Checked("Kandinsky5T2VPipeline", "kandinsky5", "pipeline", f"{_EMBEDDED}; full attention alone"),
    Checked("LattePipeline", "latte", "pipeline", _WHOLE, _COMMON_STEP),
    Checked("Cosmos2VideoToWorldPipeline", "cosmos-2", "pipeline", _UNMASKED, _COSMOS_2),
    Checked("Cosmos2TextToImagePipeline", "cosmos-2-image", "pipeline", _UNMASKED, _COSMOS_2),
    Checked("Cosmos2_5_PredictBasePipeline", "cosmos-2.5", "pipeline", f"{_UNMASKED}; from text and from a video"),
    Checked("SkyReelsV2Pipeline", "skyreels-v2", "pipeline", _EMBEDDED),
    Checked("SkyReelsV2ImageToVideoPipeline", "skyreels-v2-i2v", "pipeline", _WITH_IMAGE),
    Checked("ChronoEditPipeline", "chronoedit", "pipeline", _WITH_IMAGE),
    Checked("EasyAnimatePipeline", "easyanimate", "pipeline", _EMBEDDED),
    Checked("SanaVideoPipeline", "sana-video", "pipeline", f"{_EMBEDDED}; Wan's autoencoder"),
    Checked("FluxPipeline", "flux", "pipeline", _EMBEDDED, _FLUX),
    Checked("Flux2Pipeline", "flux-2", "pipeline", _EMBEDDED, _FLUX),
    Checked("Flux2KleinPipeline", "flux-2-klein", "pipeline", _EMBEDDED, _FLUX),
    Checked("StableDiffusion3Pipeline", "sd3", "pipeline", _EMBEDDED),
    Checked("QwenImagePipeline", "qwen-image", "pipeline", _EMBEDDED, _OWN_SIGMAS),
    Checked("PixArtAlphaPipeline", "pixart", "pipeline", _EMBEDDED, _COMMON_STEP),
    Checked("PixArtSigmaPipeline", "pixart", "pipeline", _EMBEDDED, _COMMON_STEP),
)
"""One entry for each pipeline of each of these families."""
