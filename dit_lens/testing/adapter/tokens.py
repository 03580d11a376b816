"""Which tokens a piece of the latent becomes, and which piece of the velocity they become again.

One frame of the latents (or one row, or one column of tokens) is changed at the denoiser's door. What a layer gives is
exchanged for what it was given, for every layer, so that nothing is mixed: at every first layer of a stack exactly the
tokens of that frame must have moved, and in the denoiser's output exactly that frame. Where a stack takes something
else in (hints that are added between layers), its tokens are told apart by how far they move.

Shapes: C latent channels, F frames, H, W latent height and width, N tokens of a frame; B rows of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from einops import EinopsError, reduce, repeat

from dit_lens.adapters.family import Stack
from dit_lens.testing.adapter.attach import FirstCall, first_of, moved_latents
from dit_lens.testing.adapter.report import Broken, Moot
from dit_lens.testing.adapter.subject import Subject

__all__ = ["Passage", "TokenMap"]

Axis = Literal["frames", "rows", "columns"]
_AXES: tuple[Axis, ...] = ("frames", "rows", "columns")
_FURTHER = 2.0  # times that tokens must move more than all others, where others move as well


@dataclass
class Passage:
    """What one run showed in its first call: the tokens at the first layer of every stack, and the velocity."""

    taken: dict[str, torch.Tensor] = field(default_factory=dict)
    given: dict[str, torch.Tensor] = field(default_factory=dict)
    velocity: torch.Tensor | None = None


class TokenMap:
    """The token map of one subject; runs are made when they are first needed, and kept.

    Parameters
    ----------
    subject : Subject
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._passages: dict[Axis | None, Passage] = {}

    def tokens(self, axis: Axis) -> str:
        """A frame (row, column) of latents becomes that frame (row, column) of tokens."""
        expected_FN = reduce(self._expected(axis), "f h w -> f (h w)", "max")
        plain, changed = self._passage(None), self._passage(axis)
        how: dict[str, str] = {}
        for path in plain.taken:
            taken, given = (_moved(getattr(plain, at)[path], getattr(changed, at)[path]) for at in ("taken", "given"))
            how[path] = _judged(expected_FN, taken) or _by_size(expected_FN, given if not taken.any() else taken)
            if not how[path]:
                raise Broken(_difference(path, axis, expected_FN, taken), _REMEDY)
        if "alone" not in how.values():
            raise Broken(f"no stack in which {axis} move alone", _REMEDY)
        packed = " (the pipeline packs them itself: see latents)" if "(" in self._subject.family.latent else ""
        return f"{self._place(axis)}: {', '.join(f'{path} {word}' for path, word in how.items())}{packed}"

    def velocity(self) -> str:
        """The tokens of a frame (row, column) become that frame (row, column) of the velocity."""
        plain, seen = self._passage(None).velocity, []
        for axis in self._axes():
            changed = self._passage(axis).velocity
            assert plain is not None
            assert changed is not None
            moved_FHW = reduce(_distance(plain, changed, 1), "b f h w -> f h w", "max")
            expected_FHW = self._spread(self._expected(axis))
            word = _judged(expected_FHW, moved_FHW) or _by_size(expected_FHW, moved_FHW)
            if not word:
                raise Broken(_difference("the output", axis, expected_FHW, moved_FHW), "correct Family.velocity")
            seen.append(f"{axis} {word}")
        return ", ".join(seen) or "one token"

    def _axes(self) -> Iterator[Axis]:
        yield from (axis for axis, extent in zip(_AXES, self._subject.layout.tokens, strict=True) if extent > 1)

    def _place(self, axis: Axis) -> str:
        at = self._subject.layout.tokens[_AXES.index(axis)] - 1
        return f"{axis.removesuffix('s')} {at} of {at + 1}"

    def _expected(self, axis: Axis) -> torch.Tensor:
        """The last frame (row, column) of the grid of tokens, as a mask."""
        tokens, at = self._subject.layout.tokens, _AXES.index(axis)
        if tokens[at] < 2:
            raise Moot(f"one {axis.removesuffix('s')} of tokens")
        mask = torch.zeros(tokens, dtype=torch.bool)
        mask.select(at, tokens[at] - 1)[...] = True
        return mask

    def _spread(self, mask_of_tokens: torch.Tensor) -> torch.Tensor:
        """A mask of tokens as one of places in the latent."""
        extents = zip(self._subject.layout.latent[1:], mask_of_tokens.shape, strict=True)
        f, h, w = (latent // tokens for latent, tokens in extents)
        places: torch.Tensor = repeat(mask_of_tokens, "F H W -> (F f) (H h) (W w)", f=f, h=h, w=w)
        return places

    def _passage(self, axis: Axis | None) -> Passage:
        if axis not in self._passages:
            self._passages[axis] = self._run(None if axis is None else self._region(axis))
        return self._passages[axis]

    def _region(self, axis: Axis) -> torch.Tensor:
        """One latent frame (row, column) of those that make the last frame (row, column) of tokens."""
        channels, *extents = self._subject.layout.latent
        at, mask = _AXES.index(axis), torch.zeros((channels, *extents), dtype=torch.bool)
        tokens = self._subject.layout.tokens[at]
        mask.select(at + 1, (tokens - 1) * (extents[at] // tokens))[...] = True
        return mask

    def _run(self, where: torch.Tensor | None) -> Passage:
        subject, passage = self._subject, Passage()
        first = FirstCall(subject)

        def out(output: Any) -> None:
            passage.velocity = subject.family.velocity_of(first_of(output), subject.layout.latent).detach().clone()

        into = None if where is None else moved_latents(subject, where)
        with first.attached(into, out) as hooks:
            for denoiser in subject.family.denoisers(subject.pipeline).values():
                seen: set[str] = set()
                for stack, path, layer in subject.family.layers(denoiser):
                    hook = self._unmixed(stack, path, passage if stack.path not in seen else None, first)
                    seen.add(stack.path)
                    hooks.callback(layer.register_forward_hook(hook, with_kwargs=True).remove)
            try:
                first.run()
            except EinopsError as error:
                raise Broken(f"another shape than the grid's: {' '.join(str(error).split())[:200]}", _REMEDY) from None
        return passage

    def _unmixed(self, stack: Stack, path: str, passage: Passage | None, first: FirstCall) -> Callable[..., Any]:
        """A hook that gives a layer's own input back as its output, and keeps both of the first layer of a stack."""
        grid = self._subject.layout.tokens

        def hook(_module: Any, args: Any, kwargs: Any, output: Any) -> Any:
            taken = stack.frames(stack.argument_of(args, kwargs), grid)
            stream = stack.video_of(output)
            given = stack.frames(stream, grid)
            if given.shape != taken.shape:
                raise Broken(f"{path} takes {tuple(taken.shape)} and gives {tuple(given.shape)}", _REMEDY)
            if passage is not None and first.running:
                passage.taken[stack.path], passage.given[stack.path] = taken.detach().clone(), given.detach().clone()
            return stack.with_video(output, stack.with_frames(stream, taken))

        return hook


_REMEDY = "correct the family's grid and latent, or video, text, fold and argument of the stack"


def _distance(plain: torch.Tensor, changed: torch.Tensor, axis: int) -> torch.Tensor:
    apart: torch.Tensor = (plain.float() - changed.float()).norm(dim=axis)
    return apart


def _moved(plain_BFNC: torch.Tensor, changed_BFNC: torch.Tensor) -> torch.Tensor:
    """How far each token moved, in the row of the batch where it moved furthest."""
    moved: torch.Tensor = reduce(_distance(plain_BFNC, changed_BFNC, 3), "b f n -> f n", "max")
    return moved


def _judged(expected: torch.Tensor, moved: torch.Tensor) -> str:
    """Whether exactly what was expected has moved."""
    same = expected.shape == moved.shape and torch.equal(moved.cpu() > 0, expected)
    return "alone" if same else ""


def _by_size(expected: torch.Tensor, moved: torch.Tensor) -> str:
    """Whether everything has moved, and what was expected clearly further."""
    moved = moved.cpu()
    if expected.shape != moved.shape or not bool((moved > 0).all()):
        return ""
    times = float(moved[expected].min() / moved[~expected].max())
    return f"{times:.1f} times as far as others" if times >= _FURTHER else ""


def _difference(where: str, axis: Axis, expected: torch.Tensor, moved: torch.Tensor) -> str:
    hit = moved.cpu() > 0
    if hit.shape != expected.shape:
        return f"{where}: {tuple(hit.shape)} places, where the grid says {tuple(expected.shape)}"
    right, wrong = int((hit & expected).sum()), int((hit & ~expected).sum())
    return f"{where}, the last of the {axis}: {right} of its {int(expected.sum())} moved, and {wrong} others"
