"""Run a pipeline once, plain or traced, and leave it as it was.

A plain run is the control of a traced one: the same call, the same seed, the same eager arithmetic, and nothing
attached. A compiled denoiser is run eagerly in both: hooks that are attached after ``torch.compile`` has warmed up
are otherwise never called. If a traced run dies, what was written stays in the store as a failed trace, with the
reason.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from dit_lens.adapters.family import Family
from dit_lens.captures import Resolved
from dit_lens.engine.batch import Batch
from dit_lens.engine.course import PLAIN, PlannedCourse
from dit_lens.engine.disk import DiskGuard, naming_full_disk
from dit_lens.engine.errors import BadRequest
from dit_lens.engine.flow import Flow
from dit_lens.engine.hooks import attached
from dit_lens.engine.keeper import Keeper
from dit_lens.engine.layout import Layout
from dit_lens.engine.recorder import Recorder
from dit_lens.engine.seeding import seeded
from dit_lens.generation import Standing
from dit_lens_stores import TraceWriter

__all__ = ["Outcome", "decode", "run_edited", "run_plain", "run_traced"]

Video = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Outcome:
    """What a run gave: a row of latents and a video for every sample, and seconds.

    ``waited`` is how long the model stood still because the writer could not keep up; ``bytes`` is what it was given;
    ``resets`` are the steps before which the solver was made to forget its history; ``kept`` is what memory kept.
    """

    latents: tuple[torch.Tensor, ...]
    videos: tuple[Video | None, ...]
    seconds: float
    waited: float = 0.0
    bytes: int = 0
    resets: tuple[int, ...] = ()
    kept: tuple[Mapping[str, xr.DataArray], ...] = ()


def run_plain(pipeline: Any, family: Family, batch: Batch, with_video: bool) -> Outcome:
    """Run with nothing attached."""
    start = time.perf_counter()
    rows = _call(pipeline, family, batch)
    seconds = time.perf_counter() - start
    leading = family.leading_frames(pipeline, batch.requests[0])
    videos = tuple(decode(pipeline, family, row, leading) if with_video else None for row in rows)
    return Outcome(rows, videos, seconds)


def run_edited(
    pipeline: Any,
    family: Family,
    batch: Batch,
    layout: Layout,
    course: PlannedCourse,
    with_video: bool,
    keep: Sequence[Resolved] = (),
) -> Outcome:
    """Run with edits, and write nothing; what captures ask for is kept in memory.

    Raises
    ------
    MissedEdit
        If an edit did not come to an address.
    IncompleteTrace
        If an expected address did not come, or one came twice.
    """
    keepers = [Keeper(keep, layout) if keep else None for _ in range(len(batch))]
    start = time.perf_counter()
    with attached(pipeline, family, layout, keepers, course=course) as between:
        rows = _call(pipeline, family, batch)
    seconds = time.perf_counter() - start
    between.check()
    for keeper in filter(None, keepers):
        keeper.check()
    leading = family.leading_frames(pipeline, batch.requests[0])
    videos = tuple(decode(pipeline, family, row, leading) if with_video else None for row in rows)
    kept = tuple(keeper.arrays if keeper else {} for keeper in keepers)
    return Outcome(rows, videos, seconds, resets=tuple(sorted(between.resets)), kept=kept)


def run_traced(
    pipeline: Any,
    family: Family,
    batch: Batch,
    layout: Layout,
    captures: Sequence[Resolved],
    writers: Sequence[TraceWriter | None],
    on_step: Callable[[int, int], None] | None = None,
    guard: DiskGuard | None = None,
    course: PlannedCourse = PLAIN,
    on_progress: Callable[[Standing], None] | None = None,
) -> Outcome:
    """Run and record; the traces are complete in the store when this returns, and failed when it raises.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    family : Family
    batch : Batch
    layout : Layout
    captures : sequence of Resolved
    writers : sequence of TraceWriter or None
        One for every sample that is recorded.
    on_step : callable, optional
    guard : DiskGuard, optional
        Ends the run before the disk is full.
    course : PlannedCourse
        How the run departs from the plain one.
    on_progress : callable, optional
        Called after every step, and after ``on_step``, with the run's standing.

    Returns
    -------
    Outcome

    Raises
    ------
    OtherRun
        If a trace that is resumed was begun by a run that computed something else.
    MissedEdit
        If an edit did not come to an address.
    """
    there = [writer for writer in writers if writer is not None]
    try:
        with Flow(guard=guard) as flow:
            recorders = [Recorder(writer, captures, layout, flow) if writer else None for writer in writers]
            _note_past(there, course)
            start = time.perf_counter()
            tell = _telling(flow, on_step, on_progress)
            with attached(pipeline, family, layout, recorders, tell, course) as between:
                rows = _call(pipeline, family, batch)
            seconds = time.perf_counter() - start
            flow.drain()
        between.check()
        resets = tuple(sorted(between.resets))
        for recorder in filter(None, recorders):
            recorder.check()
        with naming_full_disk():
            videos = _store_videos(pipeline, family, batch, rows, writers)
            for recorder in filter(None, recorders):
                recorder.finish({} if course.course.plain else {"solver_resets": list(resets)})
    except BaseException as error:  # also an interrupt: the store must never show a half trace as running
        for writer in there:
            _give_up(writer, error)
        raise
    return Outcome(rows, videos, seconds, flow.waited, flow.bytes, resets)


def _telling(
    flow: Flow, on_step: Callable[[int, int], None] | None, on_progress: Callable[[Standing], None] | None
) -> Callable[[int, int], None]:
    def tell(done: int, steps: int) -> None:
        if on_step is not None:
            on_step(done, steps)
        if on_progress is not None:
            on_progress(Standing(done, steps, flow.events, flow.bytes, flow.queued, flow.waited))

    return tell


def _note_past(writers: Sequence[TraceWriter], course: PlannedCourse) -> None:
    """The latents of the steps before a late start are those of the trace that it starts from."""
    for step, sha256 in enumerate(course.beginning.hashes if course.beginning else ()):
        for writer in writers:
            writer.note_latents(step, sha256)


def _store_videos(
    pipeline: Any, family: Family, batch: Batch, rows: Sequence[torch.Tensor], writers: Sequence[TraceWriter | None]
) -> tuple[Video | None, ...]:
    """Decode the samples of which the video is recorded."""
    leading = family.leading_frames(pipeline, batch.requests[0])
    videos: list[Video | None] = []
    for latents, writer in zip(rows, writers, strict=True):
        wanted = writer is not None and "video" in writer.arrays
        videos.append(decode(pipeline, family, latents, leading) if wanted else None)
        if writer is not None and videos[-1] is not None and not writer.holds("video", {}):
            writer.write("video", {}, videos[-1])
    return tuple(videos)


def _give_up(writer: TraceWriter, error: BaseException) -> None:
    """Mark the trace failed; if that fails as well, the first error is still the one that is raised."""
    if writer.status != "running":
        return
    try:
        writer.fail(f"{type(error).__name__}: {error}")
    except Exception as second:
        error.add_note(f"the trace could not be marked failed: {type(second).__name__}: {second}")


@torch.no_grad()
def decode(pipeline: Any, family: Family, latents: torch.Tensor, leading: int = 0) -> Video:
    """Latents to pixels, as the pipeline itself would.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    family : Family
    latents : torch.Tensor
        Shape (1, C, F, H, W) or (C, F, H, W).
    leading : int
        Latent frames before the video's own.

    Returns
    -------
    numpy.ndarray of uint8, shape (F, H, W, 3)

    Raises
    ------
    BadRequest
        If the family cannot decode.
    """
    if family.decode is None:
        raise BadRequest(
            f"latents of family {family.name} cannot be decoded here; got a {type(pipeline).__name__}, allowed a "
            f"family with a decoder; call with decode=False, and decode with the pipeline's own autoencoder"
        )
    latents = latents if latents.ndim == 5 else latents[None]
    video = np.asarray(family.decode(pipeline, latents[:, :, leading:]))
    pipeline.maybe_free_model_hooks()
    return (video * 255).round().astype(np.uint8)


def _call(pipeline: Any, family: Family, batch: Batch) -> tuple[torch.Tensor, ...]:
    """The final latents of every sample, with a batch axis of one."""
    with _eager(), _quiet(pipeline), seeded(batch.requests[0].seed, pipeline._execution_device):
        latents: torch.Tensor = pipeline(**batch.arguments(pipeline, family), output_type="latent", return_dict=False)[
            0
        ]
    return tuple(latents[row : row + 1] for row in range(len(batch)))


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
