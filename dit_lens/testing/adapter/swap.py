"""Whether a layer's output is what the next layer gets, and the family puts tokens back where it took them.

The middle layer of a stack is run again with its own values of an earlier run in their place, taken out and put back
through the stack: not a bit may change. Then with zeros: the latents must.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch

from dit_lens.adapters.family import Stack
from dit_lens.testing.adapter.report import Broken
from dit_lens.testing.adapter.runs import Runs
from dit_lens.testing.adapter.subject import Subject

__all__ = ["live", "middles", "swapped"]

Change = Callable[[torch.Tensor], torch.Tensor]
_REMEDY = "correct video, text and fold of the stack"


def swapped(runs: Runs) -> str:
    """A layer's own recorded values in its place change nothing."""
    subject, places = runs.subject, middles(runs.subject)
    recorded: list[list[torch.Tensor]] = [[] for _ in places]
    with ExitStack() as hooks:
        for (stack, number), kept in zip(places, recorded, strict=True):
            hooks.enter_context(_changed(subject, stack, number, partial(_kept, kept)))
        subject.run()
    for (stack, number), kept in zip(places, recorded, strict=True):
        with _changed(subject, stack, number, partial(_next, iter(kept))):
            swapped = subject.run()
        if not torch.equal(swapped, runs.plain):
            raise Broken(f"{stack.path}, layer {number}: its own values give other latents", _REMEDY)
    return f"{_named(places)}: its own values change no bit"


def live(runs: Runs) -> str:
    """Zeros in place of a layer's values change the latents."""
    subject, places = runs.subject, middles(runs.subject)
    dead: list[tuple[Stack, int]] = []
    for stack, number in places:
        with _changed(subject, stack, number, torch.zeros_like):
            zeroed = subject.run()
        if torch.equal(zeroed, runs.plain):
            dead.append((stack, number))
    unread = [place for place in dead if _is_only_one(subject, place[0])]
    if len(unread) < len(dead) or len(dead) == len(places):
        raise Broken(f"{_named(dead)}: zeros give the same latents", _REMEDY)
    apart = f"; {_named(unread)}, alone in its stack, is read by none" if unread else ""
    return f"{_named([place for place in places if place not in dead])}: zeros change the latents{apart}"


def _is_only_one(subject: Subject, stack: Stack) -> bool:
    """Of the last layer of hints nobody reads the stream, and it may be the first."""
    return any(own is stack and len(numbers) == 1 for own, numbers in subject.stacks())


def middles(subject: Subject) -> list[tuple[Stack, int]]:
    """One layer of every stack; not the last, of which some models use the text alone."""
    return [(stack, numbers[(len(numbers) - 1) // 2]) for stack, numbers in subject.stacks()]


def _kept(kept: list[torch.Tensor], frames: torch.Tensor) -> torch.Tensor:
    kept.append(frames.detach().clone())
    return frames


def _next(values: Iterator[torch.Tensor], _frames: torch.Tensor) -> torch.Tensor:
    return next(values)


@contextmanager
def _changed(subject: Subject, stack: Stack, number: int, change: Change) -> Iterator[None]:
    """While inside, the video's tokens that one layer gives are what ``change`` makes of them."""

    def hook(_module: Any, _args: Any, output: Any) -> Any:
        stream = stack.video_of(output)
        frames_BFNC = change(stack.frames(stream, subject.layout.tokens))
        return stack.with_video(output, stack.with_frames(stream, frames_BFNC))

    with ExitStack() as hooks:
        for denoiser in subject.family.denoisers(subject.pipeline).values():
            _, _, layer = subject.family.layers(denoiser)[number]
            hooks.callback(layer.register_forward_hook(hook).remove)
        yield


def _named(places: list[tuple[Stack, int]]) -> str:
    return ", ".join(f"layer {number} of {stack.path}" for stack, number in places)
