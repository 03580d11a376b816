"""Count the arithmetic of a generation from the shapes of its layers, and what captures add to it.

Every matrix is counted once for every token that goes through it, 2 FLOPs a multiplication, and attention by the
lengths of queries and keys. Which tokens a matrix sees follows from its name: those of the text, those of the video,
or none at all, where one vector modulates all tokens. Norms, rotations and activations are not counted, and neither
are text encoders and the autoencoder. No weight is touched, so this works on the ``meta`` device as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod
from typing import Any

import torch

from dit_lens.adapters.family import Family, Stack
from dit_lens.captures import SITES, Resolved
from dit_lens.engine.layout import Layout
from dit_lens.reductions import read_batches

__all__ = ["call_flops", "capture_flops", "generation_flops"]

_OF_TEXT = re.compile(r"context|txt|text|caption|add_[qkv]_proj|to_add_out|encoder_hid")
_ONE_VECTOR = re.compile(r"norm|ada|modulation|time|guidance|scale_shift|pooled|image_embedder")
_KEYS = re.compile(r"(to_k|to_v|to_kv|k_proj|v_proj)$")


def generation_flops(pipeline: Any, family: Family, layout: Layout) -> int:
    """Of all calls of the denoisers in one run, the rows of a batch included.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    family : Family
    layout : Layout

    Returns
    -------
    int
    """
    denoisers = family.denoisers(pipeline)
    experts = [layout.experts[step] for step in layout.running]
    once = {expert: call_flops(family, denoisers[expert], layout) for expert in set(experts)}
    return layout.batch * len(layout.branches) * sum(once[expert] for expert in experts)


def call_flops(family: Family, denoiser: torch.nn.Module, layout: Layout) -> int:
    """Of one denoiser on one sample.

    Parameters
    ----------
    family : Family
    denoiser : torch.nn.Module
    layout : Layout

    Returns
    -------
    int
    """
    layers = [(stack, layer) for stack, _, layer in family.layers(denoiser)]
    inside = {id(module) for _, layer in layers for module in layer.modules()}
    outside = sum(
        cost * _tokens(name, layout) for name, module, cost in _matrices(denoiser) if id(module) not in inside
    )
    return outside + sum(_layer_flops(stack, layer, layout) for stack, layer in layers)


def capture_flops(resolved: Resolved, layout: Layout) -> int:
    """What a capture adds to one event: attention that is computed again, projections and Gram matrices.

    Examples
    --------
    >>> from dit_lens.captures import Capture
    >>> steps = {"experts": ("transformer",), "timesteps": (999.0,), "sigmas": (1.0,)}
    >>> sizes = {"layers": 2, "tokens": (3, 2, 2), "channels": 5, "latent": (16, 3, 4, 4), "video": (9, 32, 32)}
    >>> layout = Layout(branches=("cond",), dtype="float32", **steps, **sizes)
    >>> capture_flops(Capture.parse("block.out:project:4").resolve(layout), layout)  # 12 tokens, 5 channels to 4
    480
    """
    capture, site = resolved.capture, SITES[resolved.capture.site]
    tokens = prod(len(resolved.chosen[dim]) for dim in ("frame", "token") if dim in resolved.chosen)
    if site.probabilities:
        keys = layout.text_tokens if "text_token" in site.value_dims else prod(layout.tokens)
        return 2 * tokens * keys * layout.heads * layout.head_channels
    features = len(resolved.chosen[site.feature_dim])
    rows = prod(len(labels) for dim, labels in resolved.chosen.items() if dim != site.feature_dim)
    if capture.reduction == "project":
        return 2 * rows * features * int(capture.argument)
    if capture.reduction == "gram":
        size, count = read_batches(capture.argument, prod(len(resolved.chosen[dim]) for dim in site.token_dims))
        return 2 * count * size**2 * features
    return 0


def _layer_flops(stack: Stack, layer: torch.nn.Module, layout: Layout) -> int:
    cross = stack.inside.get("attn2")
    matrices = sum(cost * _tokens(name, layout, cross) for name, _, cost in _matrices(layer))
    return matrices + _attention(stack, layer, layout)


def _matrices(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module, int]]:
    """Linear layers and convolutions with the FLOPs of one token."""
    for name, part in module.named_modules():
        if isinstance(part, torch.nn.Linear):
            yield name, part, 2 * part.in_features * part.out_features
        elif isinstance(part, (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)):
            yield name, part, 2 * part.weight.numel()


def _tokens(name: str, layout: Layout, cross: str | None = None) -> int:
    """How many tokens go through a matrix."""
    if cross is not None and name.startswith(f"{cross}.") and _KEYS.search(name):
        return layout.text_tokens
    if _ONE_VECTOR.search(name):
        return 1
    return layout.text_tokens if _OF_TEXT.search(name) else prod(layout.tokens)


def _attention(stack: Stack, layer: torch.nn.Module, layout: Layout) -> int:
    """Products of queries and keys, and of probabilities and values."""
    width = layout.heads * layout.head_channels or layout.channels
    queries, frames = prod(layout.tokens), layout.tokens[0]
    keys = {"none": queries, "space": queries // frames, "time": frames}[stack.fold]
    if "attn2" not in stack.inside:  # the text stands in the same sequence
        queries, keys = queries + layout.text_tokens, keys + layout.text_tokens
    if _is_linear(layer):
        keys = layout.head_channels
    crossed = 4 * queries * layout.text_tokens * width if "attn2" in stack.inside else 0
    return crossed + (4 * queries * keys * width if _attends(layer) else 0)


def _attends(layer: torch.nn.Module) -> bool:
    return any("Attention" in type(part).__name__ or hasattr(part, "to_q") for part in layer.modules())


def _is_linear(layer: torch.nn.Module) -> bool:
    names = (type(getattr(part, "processor", None)).__name__ for part in layer.modules())
    return any("Linear" in name for name in names)
