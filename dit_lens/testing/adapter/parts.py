"""Whether the parts of a layer are what their names say: an output of ``norm2`` called ``ffn.out`` would be a lie.

A shape says nothing here, because all parts of a layer give tokens of one width. So the parts are told apart by what
they are (attention, or weights that are no norm), by the order in which they run, and by what becomes of a layer in
which one of them gives zeros. For the last of these a layer of every stack is called again on the side, with copies of
its own arguments, inside the first call of a denoiser; no later layer sees anything of it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from dit_lens.adapters.family import Stack
from dit_lens.testing.adapter.attach import FirstCall, first_of
from dit_lens.testing.adapter.report import Broken, Moot
from dit_lens.testing.adapter.subject import Subject
from dit_lens.testing.adapter.swap import middles

__all__ = ["parts"]

_ORDER = ("attn1", "attn2", "ffn")
_ATTENDS = ("processor", "to_q", "to_qkv")
_REMEDY = "correct inside of the stack"


def parts(subject: Subject) -> str:
    """What a stack calls ``attn1``, ``attn2`` and ``ffn`` attends or does not, runs once, in order, and counts."""
    layers = _layers(subject)
    if not any(layer.modules for layer in layers):
        raise Moot("no stack names a part of its layers")
    for layer in layers:
        layer.check_distinct()
    first, listener = FirstCall(subject), _Listener()
    with first.attached(None, lambda _: None) as hooks, listener:
        for layer in layers:
            layer.watch(hooks, listener)
        first.run()
    for layer in (one for one in layers if one.calls):
        layer.check_kinds(listener.heard)
        layer.check_order()
        layer.check_counts()
    return "; ".join(dict.fromkeys(f"{layer.stack.path}: {layer.named}" for layer in layers))


class _Listener(TorchFunctionMode):
    """Notes which of the running modules call torch's attention."""

    def __init__(self) -> None:
        super().__init__()
        self.running: list[int] = []
        self.heard: set[int] = set()

    def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is scaled_dot_product_attention:
            self.heard.update(self.running)
        return function(*args, **(kwargs or {}))


@dataclass
class _Layer:
    """A layer with its parts, the order in which these ran in each of its calls, and those whose zeros count nothing.

    ``tried`` is whether it is called again with zeros.
    """

    stack: Stack
    path: str
    module: Any
    tried: bool
    modules: dict[str, Any]
    calls: list[list[str]] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    given: Any = None
    aside: bool = False

    @property
    def named(self) -> str:
        """The parts with the classes of their modules; those that it was built without as well."""
        named = [part for part in _ORDER if part in self.stack.inside]
        there = {part: f"{part} {type(module).__name__}" for part, module in self.modules.items()}
        return ", ".join(there.get(part, f"no {part}") for part in named) or "no parts"

    def watch(self, hooks: ExitStack, listener: _Listener) -> None:
        """Hook the layer and its parts."""
        for part, module in self.modules.items():
            hooks.callback(module.register_forward_pre_hook(self._on_part(part, listener)).remove)
            hooks.callback(module.register_forward_hook(lambda *_: _ignore(listener.running.pop())).remove)
        hooks.callback(self.module.register_forward_pre_hook(self._on_call, with_kwargs=True).remove)
        hooks.callback(self.module.register_forward_hook(self._on_output).remove)

    def check_distinct(self) -> None:
        """No two parts are one module, and none is a norm."""
        if len({id(module) for module in self.modules.values()}) < len(self.modules):
            raise Broken(f"{self.path}: two parts are one module ({self.named})", _REMEDY)
        for part, module in self.modules.items():
            if "norm" in type(module).__name__.lower() or not any(value.ndim > 1 for value in module.parameters()):
                raise Broken(f"{self.path}: {part} is a {type(module).__name__}", _REMEDY)

    def check_kinds(self, heard: set[int]) -> None:
        """What is called attention attends, and what is called a feed-forward does not."""
        for part, module in self.modules.items():
            attends = id(module) in heard or any(hasattr(module, name) for name in _ATTENDS)
            if attends != part.startswith("attn"):
                seen = "attends" if attends else "does not attend"
                raise Broken(f"{self.path}: {part} is a {type(module).__name__}, which {seen}", _REMEDY)

    def check_order(self) -> None:
        """Each part ran once in every call of the layer."""
        expected = [part for part in _ORDER if part in self.modules]
        for ran in self.calls:
            if ran != expected:
                raise Broken(f"{self.path} runs {', '.join(ran) or 'none'}, not {', '.join(expected)}", _REMEDY)

    def check_counts(self) -> None:
        """Zeros in place of a part change what the layer gives."""
        if self.dead:
            raise Broken(f"{self.path}: zeros in place of {', '.join(self.dead)} give the same block.out", _REMEDY)

    def _on_part(self, part: str, listener: _Listener) -> Callable[..., None]:
        def hook(module: Any, _args: Any) -> None:
            listener.running.append(id(module))
            if self.calls and not self.aside:
                self.calls[-1].append(part)

        return hook

    def _on_call(self, _module: Any, args: Any, kwargs: Any) -> None:
        self.calls.append([])
        if self.tried:
            self.given = _copied((args, kwargs))

    def _on_output(self, _module: Any, _args: Any, _output: Any) -> None:
        if self.tried:
            self.aside = True
            plain = self._again()
            self.dead = [part for part in self.modules if torch.equal(self._again(part), plain)]
            self.aside, self.given = False, None

    def _again(self, zeroed: str | None = None) -> torch.Tensor:
        """What the layer gives, with zeros in place of one of its parts."""
        args, kwargs = _copied(self.given)
        with ExitStack() as hooks:
            if zeroed is not None:
                hooks.callback(self.modules[zeroed].register_forward_hook(_zeros).remove)
            values: torch.Tensor = self.stack.video_of(self.module.forward(*args, **kwargs))
        return values.detach().clone()


def _layers(subject: Subject) -> list[_Layer]:
    """The layers of all experts; the parts of a layer are those that it was built with."""
    tried = {number for _, number in middles(subject)}
    found: list[_Layer] = []
    for denoiser in subject.family.denoisers(subject.pipeline).values():
        for number, (stack, path, module) in enumerate(subject.family.layers(denoiser)):
            inside = {part: stack.part(module, part) for part in _ORDER if part in stack.inside}
            there = {part: one for part, one in inside.items() if one is not None}
            found.append(_Layer(stack, path, module, number in tried, there))
    return found


def _zeros(_module: Any, _args: Any, output: Any) -> Any:
    """Zeros in place of the video that a part gives, as it is recorded."""
    return Stack("").with_video(output, torch.zeros_like(first_of(output)))


def _copied(given: Any) -> Any:
    return tree_map_only(torch.Tensor, torch.clone, given)


def _ignore(_value: Any) -> None:
    """A hook that returns something would change the output."""
