"""Families that attend within a frame and along time in turns.

A spatial layer sees every frame as a row of its batch, a temporal layer every place. Layers are numbered stack by
stack: all spatial ones first, although they run in turns. No layer's attention sees all tokens of the video, so that
no attention maps are sites.
"""

from __future__ import annotations

from typing import Any

from dit_lens.adapters import defaults, pixels
from dit_lens.adapters.extents import check_extent
from dit_lens.adapters.family import Family, Stack
from dit_lens.engine.errors import BadRequest
from dit_lens.generation import Generation, Size

__all__ = ["FACTORED"]


def _arguments(family: Family, pipeline: Any, request: Generation, size: Size) -> dict[str, Any]:
    return {"video_length": size.frames, **defaults.arguments(family, pipeline, request, size)}


def _check(pipeline: Any, request: Generation, size: Size) -> None:
    check_extent(pipeline, request, size)
    frames = pipeline.transformer.temp_pos_embed.shape[1]
    if size.frames not in (1, frames):
        raise BadRequest(
            f"the number of frames does not fit the model; got {size.frames}, allowed 1 or {frames}; ask for {frames}"
        )
    if not request.extra.get("enable_temporal_attentions", True):
        raise BadRequest(
            "temporal layers that do not run leave a trace without end; got enable_temporal_attentions False, allowed "
            "True; leave it out"
        )


_LATTE = Family(
    name="latte",
    model="LatteTransformer3DModel",
    pipelines=("LattePipeline",),
    stacks=(
        Stack("transformer_blocks", fold="space", inside={"attn1": "attn1", "attn2": "attn2", "ffn": "ff"}),
        Stack("temporal_transformer_blocks", fold="time", inside={"attn1": "attn1", "ffn": "ff"}),
    ),
    size=Size(512, 512, 16),
    guidance="batched",
    learns_variance=True,
    knows_schedule=True,
    arguments=_arguments,
    check=_check,
    decode=pixels.frame_by_frame,
)

FACTORED = (_LATTE,)
"""Latte."""
