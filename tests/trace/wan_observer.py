"""What a Wan pipeline computes at every site, found out without the engine.

``forward`` of blocks, of their parts and of the denoisers is patched, and the scheduler's ``step``. The branch of
a call is told by the prompt that it is given, the step by those that were made before; queries and keys are computed
again from what the attention is called with, turned as complex numbers, and their softmax is whole and in float64.

Shapes: B rows, F frames, N tokens of a frame, T all tokens, C channels, H heads, D channels of a head, L prompt tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from einops import rearrange

from .wan_variants import HEADS, IMAGE_TOKENS, Variant

At = tuple[str, str, int, int, str]
"""Expert, branch, step, layer and site."""


@dataclass
class Step:
    """One call of the scheduler."""

    expert: str
    timestep: float
    latents: torch.Tensor
    guided: torch.Tensor


@dataclass
class Call:
    """One call of a denoiser."""

    expert: str
    branch: str
    step: int
    latents: torch.Tensor
    timestep: torch.Tensor
    velocity: torch.Tensor


@dataclass
class Observer:
    """One run."""

    variant: Variant
    prompts: dict[str, torch.Tensor]
    sites: dict[At, torch.Tensor] = field(default_factory=dict)
    gates: dict[At, torch.Tensor] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    now: tuple[str, str, int] = ("", "", 0)

    def keep(self, layer: int, site: str, values: torch.Tensor) -> None:
        at = (*self.now, layer, site)
        assert at not in self.sites, f"{at} came twice"
        self.sites[at] = values.clone()

    def branch_of(self, text: torch.Tensor) -> str:
        """The one branch whose prompts these are."""
        found = [name for name, prompts in self.prompts.items() if torch.allclose(prompts, text, atol=1e-3)]
        assert len(found) == 1
        return found[0]

    def denoiser(self, stock: Any, expert: str, **kwargs: Any) -> Any:
        self.now = (expert, self.branch_of(kwargs["encoder_hidden_states"]), len(self.steps))
        given = kwargs["hidden_states"].clone()
        out = stock(**kwargs)
        self.calls.append(Call(*self.now, given, kwargs["timestep"].clone(), out[0].clone()))
        return out

    def block(self, stock: Any, layer: int, video: int, *args: Any) -> Any:
        self.keep(layer, "block.in", args[video])
        table_6C, temb = stock.__self__.scale_shift_table, args[video + 2 if video == 0 else video + 1]
        self.gates[(*self.now, layer, "gates")] = (table_6C + temb.float()).clone()
        out = stock(*args)
        self.keep(layer, "block.out", out[1] if video else out)
        return out

    def part(self, stock: Any, layer: int, name: str, *args: Any) -> Any:
        out = stock(*args)
        self.keep(layer, f"{name}.out", out)
        if name == "attn1":
            self._self_attention(layer, stock.__self__, args[0], args[3])
        elif name == "attn2":
            self._cross_attention(layer, stock.__self__, args[0], args[1])
        return out

    def step(self, stock: Any, v: Any, t: Any, x: Any, **kwargs: Any) -> Any:
        self.steps.append(Step(self.now[0], float(t), x.clone(), v.clone()))
        return stock(v, t, x, **kwargs)

    def _self_attention(self, layer: int, module: Any, x_BTC: torch.Tensor, rotary: Any) -> None:
        cos, sin = (part[..., ::2].double() for part in rotary)
        turn = torch.complex(cos, sin)
        q, k = (_turned(_heads(norm(to(x_BTC))), turn) for norm, to in _queries_and_keys(module))
        v = _heads(_project(module, "v", x_BTC))
        for site, values_BTHD in (("q", q), ("k", k), ("v", v)):
            self.keep(layer, f"attn1.{site}", self._framed(values_BTHD))
        frames, places = self.variant.tokens[0], self.variant.tokens[1] * self.variant.tokens[2]
        share = rearrange(_softmax(q, k), "b h (f n) (g m) -> b f n h g m", f=frames, n=places, g=frames)
        self.keep(layer, "attn1.rows", share)
        self.keep(layer, "attn1.frames", share.sum(-1).mean(2))

    def _cross_attention(self, layer: int, module: Any, x_BTC: torch.Tensor, context: torch.Tensor) -> None:
        images = context.shape[1] - self.variant.text
        assert images % IMAGE_TOKENS == 0
        text_BLC = context[:, images:]
        q = _heads(module.norm_q(module.to_q(x_BTC)))
        k, v = _heads(module.norm_k(_project(module, "k", text_BLC))), _heads(_project(module, "v", text_BLC))
        self.keep(layer, "attn2.q", self._framed(q))
        self.keep(layer, "attn2.k", k)
        self.keep(layer, "attn2.v", v)
        frames = self.variant.tokens[0]
        self.keep(layer, "attn2.words", rearrange(_softmax(q, k), "b h (f n) l -> b f n h l", f=frames))

    def _framed(self, values_BTHD: torch.Tensor) -> torch.Tensor:
        return rearrange(values_BTHD, "b (f n) h d -> b f n h d", f=self.variant.tokens[0])


def _heads(values_BTC: torch.Tensor) -> torch.Tensor:
    return rearrange(values_BTC, "b t (h d) -> b t h d", h=HEADS)


def _queries_and_keys(module: Any) -> list[tuple[Any, Any]]:
    return [(module.norm_q, partial(_project, module, "q")), (module.norm_k, partial(_project, module, "k"))]


def _project(module: Any, name: str, values: torch.Tensor) -> torch.Tensor:
    return getattr(module, f"to_{name}")(values)


def _turned(values_BTHD: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    pairs = torch.view_as_complex(rearrange(values_BTHD.double(), "b t h (d two) -> b t h d two", two=2).contiguous())
    return rearrange(torch.view_as_real(pairs * turn), "b t h d two -> b t h (d two)")


def _softmax(q_BTHD: torch.Tensor, k_BTHD: torch.Tensor) -> torch.Tensor:
    scores = torch.einsum("bqhd,bkhd->bhqk", q_BTHD.double(), k_BTHD.double())
    return torch.softmax(scores / q_BTHD.shape[-1] ** 0.5, dim=-1)


def framed(values_BTC: torch.Tensor, variant: Variant) -> torch.Tensor:
    """The stream of one row as frames and places."""
    return rearrange(values_BTC, "b (f n) c -> b f n c", f=variant.tokens[0])


@torch.no_grad()
def prompts_of(pipeline: Any, requests: list[Any]) -> dict[str, torch.Tensor]:
    """The embeddings of all rows, by branch, asked of the pipeline's text encoder."""
    length = requests[0].extra["max_sequence_length"]
    words = {"cond": [r.prompt for r in requests], "uncond": [r.negative_prompt for r in requests]}
    return {
        branch: pipeline.encode_prompt(prompts, None, False, max_sequence_length=length)[0].to(
            pipeline.transformer.dtype
        )
        for branch, prompts in words.items()
    }


def schedule_of(pipeline: Any, variant: Variant, steps: int) -> tuple[list[float], list[float], list[str]]:
    """Timesteps, sigmas and experts of a run, asked of a copy of the scheduler."""
    twin = copy.deepcopy(pipeline.scheduler)
    twin.set_timesteps(steps)
    skipped = variant.steps - variant.left if steps == variant.steps else 0
    timesteps = [float(t) for t in twin.timesteps[skipped * twin.order :]]
    sigmas = [float(s) for s in twin.sigmas[skipped * twin.order :][: len(timesteps)]]
    high = [variant.boundary is None or t >= variant.boundary * 1000 for t in timesteps]
    return timesteps, sigmas, ["transformer" if first else "transformer_2" for first in high]


def _patches(pipeline: Any, seen: Observer) -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    yield pipeline.scheduler, "step", partial(seen.step, pipeline.scheduler.step)
    for expert in ("transformer", "transformer_2"):
        model = getattr(pipeline, expert, None)
        if model is None:
            continue
        yield model, "forward", partial(seen.denoiser, model.forward, expert)
        hints = [(layer, 2) for layer in getattr(model, "vace_blocks", ())]
        for number, (layer, video) in enumerate([*((layer, 0) for layer in model.blocks), *hints]):
            yield layer, "forward", partial(seen.block, layer.forward, number, video)
            for name in ("attn1", "attn2", "ffn"):
                part = getattr(layer, name)
                yield part, "forward", partial(seen.part, part.forward, number, name)


@contextmanager
def observed(pipeline: Any, variant: Variant, requests: list[Any]) -> Iterator[Observer]:
    """Watch one run without the engine."""
    seen = Observer(variant, prompts_of(pipeline, requests))
    patches = list(_patches(pipeline, seen))
    for thing, name, patched in patches:
        setattr(thing, name, patched)
    try:
        yield seen
    finally:
        for thing, name, _ in patches:
            delattr(thing, name)
