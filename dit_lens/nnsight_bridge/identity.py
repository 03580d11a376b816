"""What a block is known by: its text, and the values of the names that it takes from outside.

Two blocks of one text and another ``scale`` are two blocks. So numbers, strings, tensors by their bytes and containers
of these count, and are in the manifest; of a function its text and its own names count, if it is written beside the
block, and its qualified name otherwise. Of anything else only the type counts: the manifest says which names these are.
Values are looked at before the run, which may change them.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from dit_lens.nnsight_bridge.places import At, Place

__all__ = ["Identity", "of_body", "of_function"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), range, slice, torch.dtype, torch.device)
_SHOWN = 120  # characters of a value; a longer one is given by its hash


@dataclass(frozen=True)
class Identity:
    """The text of a block, its values by their names, and the names of which only the type is known.

    Examples
    --------
    >>> half, twice = (Identity("at(0).output[:] *= scale", {"scale": text}) for text in ("0.5", "2.0"))
    >>> half.sha256 == twice.sha256
    False
    """

    text: str
    values: Mapping[str, str] = field(default_factory=dict)
    unrecorded: Mapping[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Of all of it."""
        return _sha256(repr((self.text, sorted(self.values.items()), sorted(self.unrecorded.items()))))

    @property
    def notes(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {
            "block": self.text,
            "values": dict(self.values),
            "unrecorded": dict(self.unrecorded),
            "sha256": self.sha256,
        }


def of_body(body: Sequence[ast.stmt], names: Mapping[str, Any], scope: Mapping[str, Any]) -> Identity:
    """Of the body of a ``with``, whose names are those of a scope in a module.

    Examples
    --------
    >>> body = ast.parse("at(0).output[:] *= scale").body
    >>> identity = of_body(body, {"scale": 2, "other": 7}, {"scale": 0.5})
    >>> identity.values
    {'scale': '0.5'}
    """
    loaded = {
        node.id
        for statement in body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    text = "\n".join(ast.unparse(statement) for statement in body)
    known = {**names, **scope}
    return _described(text, {name: known[name] for name in loaded if name in known}, names)


def of_function(block: Callable[..., Any]) -> Identity:
    """Of a block that is a function, or one with arguments of its own (``functools.partial``).

    Examples
    --------
    >>> scale = 0.5
    >>> of_function(partial(lambda scale, model, at: None, 0.5)).values["arguments"]
    '[0.5]'
    """
    given: dict[str, Any] = {}
    while isinstance(block, partial):
        given = {"arguments": [*block.args, *given.get("arguments", [])], **block.keywords, **given}
        block = block.func
    if isinstance(block, types.MethodType):
        given["self"] = block.__self__
        block = block.__func__
    if not isinstance(block, types.FunctionType):
        return _described(_text_of(block), {**given, "block": block}, {})
    return _described(_text_of(block), {**_names_of(block), **given}, block.__globals__)


def _described(text: str, names: Mapping[str, Any], beside: Mapping[str, Any]) -> Identity:
    values: dict[str, str] = {}
    unrecorded: dict[str, str] = {}
    for name, value in sorted(names.items()):
        if isinstance(value, (At, Place)):
            continue
        reader = _Reader(beside)
        shown = reader.text_of(value)
        if reader.unknown:
            unrecorded[name] = ", ".join(dict.fromkeys(reader.unknown))
        values[name] = shown if len(shown) <= _SHOWN else f"sha256 {_sha256(shown)}"
    return Identity(text, values, unrecorded)


class _Reader:
    """Puts values in words that are the same for the same value, and notes the types of those that it cannot read."""

    def __init__(self, beside: Mapping[str, Any]) -> None:
        self._beside = beside
        self._inside: list[int] = []
        self.unknown: list[str] = []

    def text_of(self, value: Any) -> str:
        """A value in words."""
        if isinstance(value, (np.ndarray, np.generic)) or _has_bytes(value):
            return _text_of_array(value)
        if type(value) in _PLAIN:
            return repr(value)
        if isinstance(value, (types.ModuleType, type, types.BuiltinFunctionType)):
            return _name_of(value)
        if id(value) in self._inside:
            return "itself"
        self._inside.append(id(value))
        try:
            return self._text_of_several(value)
        finally:
            self._inside.pop()

    def _text_of_several(self, value: Any) -> str:
        """Containers and functions, which hold further values."""
        if type(value) in (list, tuple):
            return f"[{', '.join(self.text_of(item) for item in value)}]"
        if type(value) in (set, frozenset):
            return f"{{{', '.join(sorted(self.text_of(item) for item in value))}}}"
        if type(value) is dict:
            return f"{{{', '.join(f'{self.text_of(key)}: {self.text_of(item)}' for key, item in value.items())}}}"
        if isinstance(value, types.FunctionType):
            return self._text_of_function(value)
        self.unknown.append(_name_of(type(value)))
        return _name_of(type(value))

    def _text_of_function(self, function: types.FunctionType) -> str:
        if function.__globals__ is not self._beside:
            return _name_of(function)
        return f"{_text_of(function)} with {self.text_of(dict(sorted(_names_of(function).items())))}"


def _names_of(function: types.FunctionType) -> dict[str, Any]:
    """What a function takes from outside of it, also by default."""
    known = inspect.getclosurevars(function)
    defaults = {name: one.default for name, one in inspect.signature(function).parameters.items()}
    given = {name: value for name, value in defaults.items() if value is not inspect.Parameter.empty}
    return {**known.globals, **known.nonlocals, **given}


def _text_of(block: Any) -> str:
    """The source of a function, as far as Python knows it."""
    try:
        return inspect.getsource(block)
    except (OSError, TypeError):
        return str(getattr(block, "__qualname__", type(block).__name__))


def _has_bytes(value: Any) -> bool:
    """Whether it is a tensor with all of its values in memory."""
    return isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_meta


def _text_of_array(value: Any) -> str:
    """Kind, shape and the hash of the bytes."""
    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        content = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        content = repr(value.tolist()).encode() if value.dtype.hasobject else np.ascontiguousarray(value).tobytes()
    return f"{value.dtype} {tuple(value.shape)} sha256 {hashlib.sha256(content).hexdigest()}"


def _name_of(value: Any) -> str:
    names: Iterator[Any] = (getattr(value, name, None) for name in ("__module__", "__qualname__"))
    return ".".join(str(name) for name in names if name) or str(getattr(value, "__name__", type(value).__name__))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
