"""Refuse a pipeline of which hooks would not see what the model computes, before anything is written.

A hook fires also on a layer that a cache skips, and what it then sees is a value of another step. Caches put hooks of
diffusers' own on the modules that they skip, whether they were switched on through ``enable_cache`` or through a
function such as ``apply_first_block_cache``; so a hook is refused unless it is known to move or cast weights only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from dit_lens.adapters.family import Family
from dit_lens.captures import Capture
from dit_lens.engine.attention import check_backend
from dit_lens.engine.errors import BadRequest, Untraceable
from dit_lens.engine.solver import finds_clean

__all__ = ["check_attention", "check_captures", "check_pipeline"]

_HARMLESS = (
    "group_offloading",
    "layer_execution_tracker",
    "layerwise_casting",
    "lazy_prefetch_group_offloading",
    "peft_autocast_disable",
)
"""Hooks of diffusers that leave alone what a module computes, and whether it does."""


def check_pipeline(pipeline: Any, family: Family) -> None:
    """Refuse a pipeline of which hooks would not see everything.

    Raises
    ------
    Untraceable
        If a cache skips layers, or tokens are spread over several devices.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from dit_lens.adapters.wan import WAN
    >>> pipeline = SimpleNamespace(transformer=SimpleNamespace(is_cache_enabled=True))
    >>> check_pipeline(pipeline, WAN)
    Traceback (most recent call last):
    ...
    dit_lens.engine.errors.Untraceable: transformer cannot be traced; got an enabled cache, ...
    """
    for expert, denoiser in family.denoisers(pipeline).items():
        if getattr(denoiser, "is_cache_enabled", False):
            raise Untraceable(
                f"{expert} cannot be traced; got an enabled cache, which skips layers, allowed none; "
                f"call pipeline.{expert}.disable_cache() first"
            )
        if getattr(denoiser, "_parallel_config", None) is not None:
            raise Untraceable(
                f"{expert} cannot be traced; got context parallelism, where every process holds some of the tokens, "
                "allowed one process; load the pipeline without it"
            )
        for path, hook in _diffusers_hooks(denoiser):
            if hook not in _HARMLESS:
                raise Untraceable(
                    f"{expert}{path and f'.{path}'} cannot be traced; got the diffusers hook '{hook}', which may skip "
                    f"layers, allowed {', '.join(_HARMLESS)}; remove it, or load the pipeline again"
                )


def check_attention(pipeline: Any, family: Family, sites: Iterable[str]) -> None:
    """Refuse attention that bypasses torch's function, where a site needs its queries, keys or values.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    family : Family
    sites : iterable of str
        All that are captured; those that need no attention are passed over.

    Raises
    ------
    Untraceable
        Naming the module and the backend.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from dit_lens.adapters.wan import WAN
    >>> layer = SimpleNamespace(attn1=None, attn2=None, ffn=None)
    >>> check_attention(SimpleNamespace(transformer=SimpleNamespace(blocks=[layer])), WAN, ["attn1.q"])
    """
    wanted = frozenset(sites)
    for expert, denoiser in family.denoisers(pipeline).items():
        for stack, path, layer in family.layers(denoiser):
            for part, inside in stack.inside.items():
                if wanted.intersection(stack.heads_of(part)):
                    check_backend(stack.part(layer, part), f"{expert}.{path}.{inside}")


def check_captures(pipeline: Any, family: Family, captures: Collection[Capture]) -> None:
    """Refuse captures of what the pipeline does not give: a clean latent that does not follow, or attention.

    Raises
    ------
    BadRequest
        If no clean latent follows from what the denoiser returns.
    Untraceable
        As ``check_attention``.
    """
    for capture in captures:
        if capture.site.startswith("x0") and family.preconditioned:
            raise BadRequest(
                f"capture '{capture}' needs a denoiser that returns a velocity; got {family.name}, whose "
                "pipeline mixes the output with the latent, allowed families that do not; leave x0 out"
            )
        if capture.site.startswith("x0") and not finds_clean(pipeline.scheduler):
            raise BadRequest(
                f"capture '{capture}' needs a scheduler with a formula for the clean latent; got "
                f"{type(pipeline.scheduler).__name__} with prediction_type "
                f"{pipeline.scheduler.config.get('prediction_type')!r}, "
                "allowed FlowMatch schedulers, prediction_type='flow_prediction', and those of DDPM, DDIM, "
                "DPM-Solver and Euler (not with flow sigmas, nor for noise told from noise alone); leave x0 out"
            )
    check_attention(pipeline, family, {capture.site for capture in captures})


def _diffusers_hooks(denoiser: Any) -> Iterator[tuple[str, str]]:
    """Module path and name of every hook that diffusers keeps in a registry of its own."""
    for path, module in denoiser.named_modules():
        for hook in getattr(getattr(module, "_diffusers_hook", None), "hooks", ()):
            yield path, hook
