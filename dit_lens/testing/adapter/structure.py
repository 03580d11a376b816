"""Whether the family names all there is: every expert, every layer, and nothing on the model that changes what runs.

A list of blocks that no stack names is no mistake where it holds the text. So the video is asked: all latents are
changed at the denoiser's door, and a list through which the change goes is a hidden one, whose layers would be missing
from every trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from dit_lens.testing.adapter.attach import FirstCall, moved_latents
from dit_lens.testing.adapter.report import Broken
from dit_lens.testing.adapter.subject import Subject
from dit_lens_stores.errors import few

__all__ = ["clean", "experts", "layers"]

_NAMED_AT_MOST = 4
_ATTENTION = ("attention", "attn")


def clean(subject: Subject) -> str:
    """No hook is on a denoiser before anything begins."""
    hooked = [
        f"{expert}.{path}".rstrip(".")
        for expert, denoiser in subject.family.denoisers(subject.pipeline).items()
        for path, module in denoiser.named_modules()
        if module._forward_hooks or module._forward_pre_hooks
    ]
    if hooked:
        raise Broken(
            f"hooks on {few(hooked, _NAMED_AT_MOST)} before the check began",
            "remove what an earlier edit or another tool has left there",
        )
    return "no hook on any denoiser"


def experts(subject: Subject) -> str:
    """Every denoiser of the pipeline is an expert of the family, and all have one grid and depth."""
    family, pipeline = subject.family, subject.pipeline
    named = family.denoisers(pipeline)
    kinds = {type(denoiser) for denoiser in named.values()}
    known = {id(denoiser) for denoiser in named.values()}
    hidden = [
        name
        for name, part in _components(pipeline)
        if id(part) not in known and (type(part) in kinds or family.model in (k.__name__ for k in type(part).__mro__))
    ]
    if hidden:
        raise Broken(
            f"{few(hidden, _NAMED_AT_MOST)} of the same class, named by no expert", "add them to Family.experts"
        )
    grids = {name: family.grid(denoiser, subject.layout.latent) for name, denoiser in named.items()}
    if len(set(grids.values())) != 1:
        raise Broken(f"grids {grids}", "trace the experts as two pipelines")
    ran = [name for name in named if name in subject.layout.experts]
    return f"{', '.join(named)}" + ("" if len(ran) == len(named) else f"; of which {', '.join(ran)} has steps here")


def layers(subject: Subject) -> str:
    """Every list of blocks that the video goes through is a stack."""
    if not subject.layout.layers:
        paths = ", ".join(stack.path for stack in subject.family.stacks)
        raise Broken(f"no layer under {paths}", "correct Stack.path")
    lists = {
        f"{expert}.{path}": blocks
        for expert, denoiser in subject.family.denoisers(subject.pipeline).items()
        for path, blocks in _uncovered(subject, denoiser)
    }
    hidden = _passed_by_video(subject, lists) if lists else []
    if hidden:
        counted = [f"{path} ({len(lists[path])} blocks)" for path in hidden]
        raise Broken(
            f"the video goes through {few(counted, _NAMED_AT_MOST)}, named by no stack", "add a Stack for each"
        )
    stacks = ", ".join(f"{stack.path} ({len(numbers)})" for stack, numbers in subject.stacks())
    aside = sorted({path.partition(".")[2] for path in lists})
    return stacks + (f"; {few(aside, _NAMED_AT_MOST)} apart, where no video goes" if aside else "")


def _components(pipeline: Any) -> Iterator[tuple[str, torch.nn.Module]]:
    for name, part in vars(pipeline).items():
        if isinstance(part, torch.nn.Module):
            yield name, getattr(part, "_orig_mod", part)


def _uncovered(subject: Subject, denoiser: Any) -> Iterator[tuple[str, list[Any]]]:
    """Lists of transformer blocks that hold a module which is no layer and not inside of one."""
    covered = [layer for _, _, layer in subject.family.layers(denoiser)]
    inside = {id(module) for layer in covered for module in layer.modules()}
    kinds = {type(layer) for layer in covered}
    for path, module in denoiser.named_modules():
        if isinstance(module, (torch.nn.ModuleList, torch.nn.Sequential)) and id(module) not in inside:
            blocks = [block for block in module if id(block) not in inside and _is_block(block, kinds)]
            if blocks:
                yield path, blocks


def _is_block(module: Any, kinds: set[type]) -> bool:
    """A layer's class, or anything that attends."""
    names = (type(part).__name__.lower() for part in module.modules() if part is not module)
    return type(module) in kinds or any(word in name for name in names for word in _ATTENTION)


def _passed_by_video(subject: Subject, lists: dict[str, list[Any]]) -> list[str]:
    """The lists of which any block gives something else once the latents are changed."""
    everywhere = torch.ones(subject.layout.latent, dtype=torch.bool)
    plain, changed = (_outputs(subject, lists, where) for where in (None, everywhere))
    return [path for path in lists if _differ(plain.get(path, []), changed.get(path, []))]


def _outputs(
    subject: Subject, lists: dict[str, list[Any]], where: torch.Tensor | None
) -> dict[str, list[torch.Tensor]]:
    """What the blocks of every list give in the first call of a denoiser."""
    found: dict[str, list[torch.Tensor]] = {}
    first = FirstCall(subject)

    def keep(path: str) -> Any:
        def hook(_module: Any, _args: Any, output: Any) -> None:
            if first.running:
                parts = output if isinstance(output, (tuple, list)) else (output,)
                found.setdefault(path, []).extend(p.detach().clone() for p in parts if isinstance(p, torch.Tensor))

        return hook

    into = None if where is None else moved_latents(subject, where)
    with first.attached(into, lambda _: None) as hooks:
        for path, blocks in lists.items():
            for block in blocks:
                hooks.callback(block.register_forward_hook(keep(path)).remove)
        first.run()
    return found


def _differ(plain: list[torch.Tensor], changed: list[torch.Tensor]) -> bool:
    pairs = zip(plain, changed, strict=False)
    return len(plain) != len(changed) or any(not torch.equal(one, other) for one, other in pairs)
