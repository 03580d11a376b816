"""Which LoRA a pipeline holds, by name: what the hash of its weights pins but does not tell.

diffusers loads a LoRA through PEFT, which wraps every layer that it changes; how strong it is, whether it is on and
whether it is fused stands in those layers and is read there. Once a LoRA is fused *and* unloaded, its layers are gone:
then only its name is left, in the pipeline, and the rest is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

__all__ = ["loras_of"]

_DIGITS = 9
"""A strength is a quotient of what PEFT keeps; further digits are those of its rounding."""


def loras_of(
    pipeline: Any, modules: Mapping[str, Any], sha256: Callable[[Iterable[tuple[str, Any]]], str | None]
) -> list[dict[str, Any]]:
    """What is known of every LoRA of a pipeline, by component and name.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    modules : mapping of str to torch.nn.Module
        Its components.
    sha256 : callable
        Of the modules of a LoRA, by path; None where their bytes are not at hand.

    Returns
    -------
    list of dict
        Each with ``name``, ``component``, ``strength``, ``on``, ``fused``, ``rank``, ``alpha``, ``modules`` (how many
        layers it changes) and ``sha256``. Where layers differ in a number, the list of all that occur.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> loras_of(SimpleNamespace(), {}, lambda modules: None)
    []
    >>> loras_of(SimpleNamespace(fused_loras={"maze"}), {}, lambda modules: None)[0]["fused"]
    True
    """
    found = [
        _record(component, name, layers, sha256)
        for component, module in sorted(modules.items())
        for name, layers in sorted(_by_name(module).items())
    ]
    fused = {record["name"] for record in found if record["fused"]}
    return found + [_gone(name) for name in sorted(set(getattr(pipeline, "fused_loras", ())) - fused)]


def _by_name(module: Any) -> dict[str, list[tuple[str, Any]]]:
    """Path and layer of everything that a LoRA changes."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for path, layer in module.named_modules():
        if hasattr(layer, "merged_adapters") and isinstance(getattr(layer, "scaling", None), dict):
            for name in layer.scaling:
                found.setdefault(name, []).append((path, layer))
    return found


def _record(component: str, name: str, layers: list[tuple[str, Any]], sha256: Any) -> dict[str, Any]:
    return {
        "name": name,
        "component": component,
        "strength": _each(_strength(layer, name) for _, layer in layers),
        "on": any(name in layer.active_adapters and not layer.disable_adapters for _, layer in layers),
        "fused": any(name in layer.merged_adapters for _, layer in layers),
        "rank": _each(layer.r.get(name) for _, layer in layers),
        "alpha": _each(getattr(layer, "lora_alpha", {}).get(name) for _, layer in layers),
        "modules": len(layers),
        "sha256": sha256(part for path, layer in layers for part in _parts(path, layer, name)),
    }


def _gone(name: str) -> dict[str, Any]:
    """Fused into weights that no longer tell."""
    unknown = dict.fromkeys(("component", "strength", "rank", "alpha", "modules", "sha256"))
    return {"name": name, **unknown, "on": True, "fused": True}


def _strength(layer: Any, name: str) -> float:
    """The weight that ``set_adapters`` was given: PEFT keeps it multiplied by alpha and divided by the rank."""
    rank, alpha = layer.r.get(name), getattr(layer, "lora_alpha", {}).get(name)
    whole = alpha / (rank**0.5 if getattr(layer, "use_rslora", {}).get(name) else rank) if rank and alpha else 1.0
    return round(float(layer.scaling[name]) / whole, _DIGITS)


def _parts(path: str, layer: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The modules that hold its tensors; their paths do not say under which name it was loaded."""
    for kind in layer.adapter_layer_names:
        held = getattr(layer, kind, {})
        if name in held:
            yield f"{path}.{kind}", held[name]


def _each(values: Iterable[Any]) -> Any:
    """The one value, or all that occur."""
    every = sorted({value for value in values if value is not None})
    return every[0] if len(every) == 1 else every or None
