"""Run a pipeline once, plain or traced, and leave it as it was.

A plain run is the control of a traced one: the same call, the same seed, the same eager arithmetic, and nothing
attached. A compiled denoiser is run eagerly in both: hooks that are attached after ``torch.compile`` has warmed up
are otherwise never called. If a traced run dies, what was written stays in the store as a failed trace, with the
reason.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dit_lens.adapters.family import Family
from dit_lens.captures import Resolved
from dit_lens.engine.hooks import attached
from dit_lens.engine.layout import Layout
from dit_lens.engine.recorder import Recorder
from dit_lens.generation import Generation, Size
from dit_lens_stores import TraceWriter

__all__ = ["Outcome", "decode", "run_plain", "run_traced"]

Video = npt.NDArray[np.uint8]
Outcome = tuple[torch.Tensor, Video | None, float]
"""Final latents, decoded video, seconds of denoising."""


def run_plain(pipeline: Any, family: Family, request: Generation, size: Size, with_video: bool) -> Outcome:
    """Run with nothing attached."""
    start = time.perf_counter()
    latents = _call(pipeline, family, request, size)
    seconds = time.perf_counter() - start
    return latents, decode(pipeline, family, latents) if with_video else None, seconds


def run_traced(
    pipeline: Any,
    family: Family,
    request: Generation,
    size: Size,
    layout: Layout,
    captures: Sequence[Resolved],
    writer: TraceWriter,
    on_step: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Run and record; the trace is complete in the store when this returns, and failed when it raises."""
    video = None
    try:
        recorder = Recorder(writer, captures, layout)
        start = time.perf_counter()
        with attached(pipeline, family, layout, recorder, on_step):
            latents = _call(pipeline, family, request, size)
        seconds = time.perf_counter() - start
        recorder.check(writer.trace_id)
        if "video" in writer.arrays:
            video = decode(pipeline, family, latents)
            writer.write("video", {}, video)
        recorder.note_dtypes()
        writer.update_manifest({"source_dtypes": recorder.source_dtypes, "seconds": round(seconds, 3)})
        writer.finish()
    except BaseException as error:  # also an interrupt: the store must never show a half trace as running
        _give_up(writer, error)
        raise
    return latents, video, seconds


def _give_up(writer: TraceWriter, error: BaseException) -> None:
    """Mark the trace failed; if that fails as well, the first error is still the one that is raised."""
    if writer.status != "running":
        return
    try:
        writer.fail(f"{type(error).__name__}: {error}")
    except Exception as second:
        error.add_note(f"the trace could not be marked failed: {type(second).__name__}: {second}")


@torch.no_grad()
def decode(pipeline: Any, family: Family, latents: torch.Tensor) -> Video:
    """Latents to pixels, as the pipeline itself would.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    family : Family
    latents : torch.Tensor
        Shape (1, C, F, H, W).

    Returns
    -------
    numpy.ndarray of uint8, shape (F, H, W, 3)
    """
    video = np.asarray(family.decode(pipeline, latents))
    pipeline.maybe_free_model_hooks()
    return (video * 255).round().astype(np.uint8)


def _call(pipeline: Any, family: Family, request: Generation, size: Size) -> torch.Tensor:
    generator = torch.Generator("cpu").manual_seed(request.seed)
    with _eager(), _quiet(pipeline):
        latents: torch.Tensor = pipeline(
            **family.arguments(pipeline, request, size), generator=generator, output_type="latent", return_dict=False
        )[0]
    return latents


@contextmanager
def _eager() -> Iterator[None]:
    if "torch._dynamo" not in sys.modules:  # nothing can have been compiled, and importing it takes seconds
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def _quiet(pipeline: Any) -> Iterator[None]:
    """Without the pipeline's own progress bar: a library does not print."""
    before = pipeline.__dict__.get("_progress_bar_config")
    pipeline.set_progress_bar_config(**{**(before or {}), "disable": True})
    try:
        yield
    finally:
        pipeline.__dict__.pop("_progress_bar_config", None)
        if before is not None:
            pipeline._progress_bar_config = before
