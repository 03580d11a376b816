"""Which pipeline is run under which scheduler, and what diffusers says where it cannot.

A scheduler is made from the pipeline's own, as its users do: ``from_config`` takes over what it understands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import diffusers

from dit_lens.adapters.checked import CHECKED, FLOW, NOISE
from dit_lens.generation import Generation, Size

from .build_a import TINY
from .build_b import CASES

STEPS = 3
_VELOCITY = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
_SETTINGS: Mapping[str, dict[str, Any]] = {
    "UniPCMultistepScheduler": _VELOCITY,
    "DPMSolverMultistepScheduler": _VELOCITY,
}
_SETTINGS_OF_NOISE: Mapping[str, dict[str, Any]] = {
    "PNDMScheduler": {"skip_prk_steps": True}  # diffusers breaks with them and fewer than four steps
}
_CHANGES: Mapping[tuple[str, str], dict[str, Any]] = {
    # the pipeline tells the shift to FlowMatchEuler alone
    ("EasyAnimatePipeline", "FlowMatchLCMScheduler"): {"use_dynamic_shifting": False},
    ("EasyAnimatePipeline", "UniPCMultistepScheduler"): {"use_dynamic_shifting": False},
    ("Cosmos2TextToImagePipeline", "UniPCMultistepScheduler"): {"use_karras_sigmas": False},
    ("Cosmos2VideoToWorldPipeline", "UniPCMultistepScheduler"): {"use_karras_sigmas": False},
}

_SIGMAS = "'s `set_timesteps` does not support custom sigmas schedules"
_HEUN = {"FlowMatchHeunDiscreteScheduler": _SIGMAS}
_OWN_SIGMAS = {**_HEUN, "DPMSolverMultistepScheduler": _SIGMAS}
_TENSORS = {"UniPCMultistepScheduler": "'Tensor' object has no attribute 'copy'"}  # sigmas that are no array
_LONG_STEP = {"CogVideoXDPMScheduler": r"step\(\) missing 2 required positional arguments: 'timestep_back'"}
_COSMOS_2 = {**_OWN_SIGMAS, **_TENSORS}
CANNOT: Mapping[str, Mapping[str, str]] = {
    "AllegroPipeline": _LONG_STEP,
    "LattePipeline": _LONG_STEP,
    "PixArtAlphaPipeline": _LONG_STEP,
    "PixArtSigmaPipeline": _LONG_STEP,
    "FluxPipeline": _HEUN,
    "Flux2Pipeline": _HEUN,
    "Flux2KleinPipeline": _HEUN,
    "HunyuanVideoPipeline": _OWN_SIGMAS,
    "HunyuanVideo15Pipeline": _OWN_SIGMAS,
    "LTXPipeline": _OWN_SIGMAS,
    "LTX2Pipeline": _OWN_SIGMAS,
    "MochiPipeline": _OWN_SIGMAS,
    "QwenImagePipeline": _OWN_SIGMAS,
    "Cosmos2TextToImagePipeline": _COSMOS_2,
    "Cosmos2VideoToWorldPipeline": _COSMOS_2,
}
"""What diffusers says, by pipeline and scheduler."""


@dataclass(frozen=True)
class Drawn:
    """A way of drawing: a pipeline, untrained, and what to ask of it."""

    name: str
    build: Callable[[], Any]
    asked: Callable[[float], Generation]
    size: Size

    def ask(self, guidance: float) -> Generation:
        """A request of ``STEPS`` steps."""
        return replace(self.asked(guidance), steps=STEPS)


DRAWN = {
    **{name: Drawn(name, it.build, lambda g, it=it: it.ask(guidance=g), it.size) for name, it in TINY.items()},
    **{it.pipeline: Drawn(it.pipeline, it.build, lambda g, it=it: it.ask(guidance=g), it.size) for it in CASES},
}
"""Every pipeline of every declared family but Wan, which has tables of its own."""
PIPELINES: Mapping[str, str] = {
    **{name: name for name in DRAWN},
    "cogvideox": "CogVideoXPipeline",
    "cogvideox-dpm": "CogVideoXPipeline",
    "cogvideox1.5": "CogVideoXPipeline",
    "cogvideox-image": "CogVideoXImageToVideoPipeline",
    "cogvideox1.5-image": "CogVideoXImageToVideoPipeline",
    "hunyuan-video": "HunyuanVideoPipeline",
    "hunyuan-video-1.5": "HunyuanVideo15Pipeline",
    "ltx": "LTXPipeline",
    "ltx2": "LTX2Pipeline",
    "mochi": "MochiPipeline",
    "allegro": "AllegroPipeline",
    "kandinsky5": "Kandinsky5T2VPipeline",
    "latte": "LattePipeline",
}
"""Class of each, told without building it."""
OWN: Mapping[str, str] = {
    **dict.fromkeys(DRAWN, "FlowMatchEulerDiscreteScheduler"),
    **{name: "CogVideoXDDIMScheduler" for name in DRAWN if name.startswith("cogvideox")},
    "cogvideox-dpm": "CogVideoXDPMScheduler",
    "allegro": "EulerAncestralDiscreteScheduler",
    "latte": "DDIMScheduler",
    "PixArtAlphaPipeline": "DPMSolverMultistepScheduler",
    "PixArtSigmaPipeline": "DPMSolverMultistepScheduler",
    "SanaVideoPipeline": "DPMSolverMultistepScheduler",
    "Cosmos2_5_PredictBasePipeline": "UniPCMultistepScheduler",
    "SkyReelsV2Pipeline": "UniPCMultistepScheduler",
    "SkyReelsV2ImageToVideoPipeline": "UniPCMultistepScheduler",
    "ChronoEditPipeline": "UniPCMultistepScheduler",
}
"""The scheduler that it is built with, under which other tests run it."""
RUNS: Mapping[str, tuple[str, ...]] = {entry.pipeline: entry.schedulers for entry in CHECKED}


@cache
def built(name: str) -> tuple[Any, Any]:
    """A pipeline, built once, and its own scheduler."""
    pipeline = DRAWN[name].build()
    return pipeline, pipeline.scheduler


def under(name: str, scheduler: str) -> Any:
    """The pipeline with another scheduler."""
    pipeline, own = built(name)
    settings = _SETTINGS if whole(name) is FLOW else _SETTINGS_OF_NOISE
    changes = {**settings.get(scheduler, {}), **_CHANGES.get((name, scheduler), {})}
    pipeline.scheduler = getattr(diffusers, scheduler).from_config({**own.config, **changes})
    return pipeline


def whole(name: str) -> tuple[str, ...]:
    """Every scheduler of the kind that a pipeline's model was made for."""
    return FLOW if OWN[name] in FLOW and "FlowMatchEulerDiscreteScheduler" in RUNS[PIPELINES[name]] else NOISE


def rows(runs: bool) -> list[tuple[str, str]]:
    """Pipelines and schedulers that run, or that diffusers cannot run."""
    every = ((name, scheduler) for name in DRAWN for scheduler in whole(name) if scheduler != OWN[name])
    return [(name, scheduler) for name, scheduler in every if (scheduler in RUNS[PIPELINES[name]]) == runs]
