"""Pipelines of diffusers that no family describes, and why: what they do does not fit the clock or the layouts.

The clock counts the steps of one scheduler over one video, and a layout knows one arrangement of the tokens for the
whole run. A pipeline that breaks either is refused by name, so that nobody has to find out from a trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["REFUSED"]

_PART = "the scheduler steps all latent frames but the first, so its latents and the denoiser's are not the same"
_APPENDED = "tokens of the conditions are appended to those of the video and stepped with them"
_COPIES = "every latent frame has a timestep and a copy of the scheduler of its own"
_STAGES = "one call denoises several times, at several resolutions or lengths"
_CHUNKS = "one call denoises chunk after chunk, each behind what is kept of the last"
_TWICE = "the scheduler is stepped twice at every timestep, first only for the clean latents of the branches"
_REFERENCES = "tokens of the reference images are appended to those of the picture, and not stepped"

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "AnyFlowFARPipeline": _CHUNKS,
        "Cosmos2_5_TransferPipeline": "one call denoises chunk after chunk of a longer video",
        "Cosmos3OmniPipeline": "text, video, sound and action are packed into one sequence by lists of indices",
        "CosmosTextToWorldPipeline": _TWICE,
        "CosmosVideoToWorldPipeline": _TWICE,
        "Flux2KleinKVPipeline": "tokens of the reference images are in the sequence at the first step only",
        "FluxKontextInpaintPipeline": _REFERENCES,
        "FluxKontextPipeline": _REFERENCES,
        "HeliosPipeline": _CHUNKS,
        "HeliosPyramidPipeline": _STAGES,
        "HunyuanVideoFramepackPipeline": "one call denoises section after section, each behind tokens of the last",
        "HunyuanVideoImageToVideoPipeline": f"with token replacement, {_PART}",
        "Kandinsky5I2VPipeline": _PART,
        "LTX2ConditionPipeline": _APPENDED,
        "LTX2DFRPipeline": _APPENDED,
        "LTX2DFRTemporalRefinePipeline": _APPENDED,
        "LTX2HDRPipeline": _APPENDED,
        "LTX2ImageToVideoPipeline": _PART,
        "LTX2InContextPipeline": _APPENDED,
        "LTXConditionPipeline": f"{_APPENDED}, under timesteps of their own",
        "LTXI2VLongMultiPromptPipeline": _STAGES,
        "LTXImageToVideoPipeline": _PART,
        "QwenImageEditInpaintPipeline": _REFERENCES,
        "QwenImageEditPipeline": _REFERENCES,
        "QwenImageEditPlusPipeline": _REFERENCES,
        "QwenImageLayeredPipeline": _REFERENCES,
        "SanaImageToVideoPipeline": _PART,
        "SkyReelsV2DiffusionForcingImageToVideoPipeline": _COPIES,
        "SkyReelsV2DiffusionForcingPipeline": _COPIES,
        "SkyReelsV2DiffusionForcingVideoToVideoPipeline": _COPIES,
        "WanAnimatePipeline": _CHUNKS,
    }
)
"""Reason by class name of the pipeline."""
