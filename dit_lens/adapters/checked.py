"""How every pipeline of a family was checked: what the table of models in the documentation is made from.

``pipeline`` means that the stock pipeline of diffusers ran, built of its true classes with few layers and random
weights, and that branches, layers, tokens, latents, velocities and steps were held to what plain hooks saw of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CHECKED", "Checked"]


@dataclass(frozen=True)
class Checked:
    """What was run for one pipeline, and what was different from the released model.

    Attributes
    ----------
    pipeline, family : str
    how : {"pipeline", "transformer alone"}
    why : str
        What was left out, and why.
    """

    pipeline: str
    family: str
    how: Literal["pipeline", "transformer alone"]
    why: str


_EMBEDDED = "random embeddings in place of a text encoder"
_UNMASKED = f"{_EMBEDDED}; a safety checker that lets all pass; no padding mask, which needs torchvision"
_WHOLE = "text encoders and tokenizers included"
_WITH_IMAGE = f"{_EMBEDDED}; a tiny vision encoder for the first frame"

CHECKED: tuple[Checked, ...] = (
    Checked(
        "CogVideoXPipeline", "cogvideox", "pipeline", f"{_WHOLE}; both schedulers, patches of one frame and of two"
    ),
    Checked("CogVideoXImageToVideoPipeline", "cogvideox", "pipeline", f"{_WHOLE}; patches of one frame and of two"),
    Checked("HunyuanVideoPipeline", "hunyuan-video", "pipeline", f"{_WHOLE}; without the words around the prompt"),
    Checked("HunyuanVideo15Pipeline", "hunyuan-video-1.5", "pipeline", f"{_EMBEDDED}; classifier-free guidance alone"),
    Checked("LTXPipeline", "ltx", "pipeline", _WHOLE),
    Checked("LTX2Pipeline", "ltx2", "pipeline", f"{_WHOLE}; every kind of guidance; the video's stream alone"),
    Checked("MochiPipeline", "mochi", "pipeline", _WHOLE),
    Checked("AllegroPipeline", "allegro", "pipeline", _WHOLE),
    Checked("Kandinsky5T2VPipeline", "kandinsky5", "pipeline", f"{_EMBEDDED}; full attention alone"),
    Checked("LattePipeline", "latte", "pipeline", _WHOLE),
    Checked("Cosmos2VideoToWorldPipeline", "cosmos-2", "pipeline", _UNMASKED),
    Checked("Cosmos2TextToImagePipeline", "cosmos-2-image", "pipeline", _UNMASKED),
    Checked("Cosmos2_5_PredictBasePipeline", "cosmos-2.5", "pipeline", f"{_UNMASKED}; from text and from a video"),
    Checked("SkyReelsV2Pipeline", "skyreels-v2", "pipeline", _EMBEDDED),
    Checked("SkyReelsV2ImageToVideoPipeline", "skyreels-v2-i2v", "pipeline", _WITH_IMAGE),
    Checked("ChronoEditPipeline", "chronoedit", "pipeline", _WITH_IMAGE),
    Checked("EasyAnimatePipeline", "easyanimate", "pipeline", _EMBEDDED),
    Checked("SanaVideoPipeline", "sana-video", "pipeline", f"{_EMBEDDED}; Wan's autoencoder"),
    Checked("FluxPipeline", "flux", "pipeline", _EMBEDDED),
    Checked("Flux2Pipeline", "flux-2", "pipeline", _EMBEDDED),
    Checked("Flux2KleinPipeline", "flux-2-klein", "pipeline", _EMBEDDED),
    Checked("StableDiffusion3Pipeline", "sd3", "pipeline", _EMBEDDED),
    Checked("QwenImagePipeline", "qwen-image", "pipeline", _EMBEDDED),
    Checked("PixArtAlphaPipeline", "pixart", "pipeline", _EMBEDDED),
    Checked("PixArtSigmaPipeline", "pixart", "pipeline", _EMBEDDED),
)
"""One entry for each pipeline of each of these families."""
