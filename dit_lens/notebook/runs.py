"""Runs as they show themselves: what one would cost, and what one gave back."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from dit_lens.engine.disk import format_size
from dit_lens.notebook.pictures import video_picture
from dit_lens_stores.html import Html, card, facts, section, table
from dit_lens_stores.summary import extents

if TYPE_CHECKING:
    from dit_lens.estimate import Estimate
    from dit_lens.generation import Result

__all__ = ["estimate_html", "result_html"]


def estimate_html(estimate: Estimate) -> Html:
    """What a trace would cost: arrays, memory and time."""
    size, slow = format_size, estimate.slow_down
    rows = [
        (array.name, extents(array.dims), array.dtype, f"{array.events:,}", f"{array.files:,}", size(array.bytes))
        for array in estimate.arrays
    ]
    arrays = table(("array", "dimensions", "dtype", "events", "files", "bytes"), rows)
    memory = {name: size(nbytes) for name, nbytes in asdict(estimate.memory).items()}
    parts = [
        facts(
            {
                "bytes": f"{size(estimate.bytes)} before compression",
                "files": f"{estimate.files:,}",
                "events": f"{estimate.events:,}",
                "flops": f"{estimate.flops:.3g}",
                "time": None if slow is None else f"{slow.factor:.2f} times as long as without a trace",
            }
        ),
        section("Arrays", arrays, note=len(rows), opened=True),
        section("Memory on the host", facts(memory), note=f"up to {size(estimate.memory.total)}"),
    ]
    return card("plan", size(estimate.bytes), *parts, plain=repr(estimate))


def result_html(result: Result) -> Html:
    """What a run gave back: frames of its video, where its trace is, and how long it took."""
    told = {
        "trace": result.trace_id,
        "store": result.store,
        "seconds": f"{result.seconds:.1f}",
        "waited": None if result.store is None else f"{result.waited:.1f} s for the writer",
        "recorded anew": result.anew,
        "solver resets": ", ".join(map(str, result.resets)),
        "latents": f"{' x '.join(map(str, result.latents.shape))}, {result.latents.dtype}",
        "video": None if result.video is None else " x ".join(map(str, result.video.shape)),
    }
    picture = None if result.video is None or not result.video.size else video_picture(result.video)
    return card("run", result.trace_id or "plain run", picture, facts(told), plain=repr(result))
