"""Anything that can be an argument of a pipeline's call, as JSON that tells it from any other.

Requests are compared by this: rows of a batch must agree in it, and the name of a trace is made of it. Two values that
a model could tell apart must therefore never look alike, and one value must look the same in every process: tensors,
arrays and pictures are hashed in the bytes, type and shape that they have, and nothing says where in memory it lay.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["fact", "image_sha256"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def fact(value: Any) -> Any:
    """A value as JSON.

    Examples
    --------
    >>> fact({"scale": 0.5, "prompt_2": "/imagine a dog", "blocks": (1, 2)})
    {'blocks': [1, 2], 'prompt_2': '/imagine a dog', 'scale': 0.5}
    >>> fact(np.float16([1, 2])) == fact(np.float32([1, 2]))
    False
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": str(float(value))}
    if isinstance(value, (str, Path)):
        return _text(str(value))
    if isinstance(value, Mapping):
        return {key: fact(value[name]) for key, name in sorted((_key(name), name) for name in value)}
    if isinstance(value, (list, tuple)):
        return [fact(entry) for entry in value]
    if isinstance(value, (set, frozenset)):
        return {"set": sorted((fact(entry) for entry in value), key=json.dumps)}
    return _values(value)


def image_sha256(image: Any) -> str:
    """Hash of a PIL image: its mode and size, its palette if it has one, and all of its bytes."""
    palette = str((image.getpalette(), image.info.get("transparency"))) if image.mode == "P" else ""
    return _sha256([f"{image.mode}{image.size}{palette}".encode(), image.tobytes()])


def _values(value: Any) -> Any:
    """What holds numbers, by their hash; anything else by its kind and what it says of itself."""
    if hasattr(value, "convert") and hasattr(value, "tobytes") and hasattr(value, "mode"):
        return {"image_sha256": image_sha256(value)}
    if hasattr(value, "detach"):
        return _tensor(value)
    if isinstance(value, np.generic):
        return fact(value.item()) if isinstance(value.item(), (bool, int, float, str)) else _array(np.asarray(value))
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, (bytes, bytearray)):
        return {"sha256": _sha256([bytes(value)])}
    return _thing(value)


def _tensor(value: Any) -> dict[str, Any]:
    """The bytes of a tensor as they are: bfloat16 is not widened."""
    import torch

    flat = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    dtype, shape = str(value.dtype).removeprefix("torch."), list(value.shape)
    return _hashed(dtype, shape, flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")


def _array(value: Any) -> Any:
    if value.dtype.hasobject:
        return fact(value.tolist())
    return _hashed(value.dtype.str, list(value.shape), np.ascontiguousarray(value).tobytes())


def _hashed(dtype: str, shape: list[int], content: bytes) -> dict[str, Any]:
    return {"sha256": _sha256([f"{dtype}{shape}".encode(), content]), "dtype": dtype, "shape": shape}


def _thing(value: Any) -> dict[str, str]:
    """A function by its name; of an object also what it says of itself, without the place where it lies."""
    kind = value if hasattr(value, "__qualname__") else type(value)
    named = f"{getattr(kind, '__module__', '')}.{kind.__qualname__}"
    return {"name": named} if kind is value else {"class": named, "is": _ADDRESS.sub("", repr(value))}


def _text(text: str) -> Any:
    """Text as it is; of a file of this computer its bytes, so that no path of it gets into a manifest."""
    try:
        if not Path(text).is_absolute() or not Path(text).exists():
            return text
        content = Path(text).read_bytes() if Path(text).is_file() else text.encode()
    except (OSError, ValueError):  # too long, or with a zero byte: no path
        return text
    return {"path_sha256": _sha256([content])}


def _key(name: Any) -> str:
    """The name of an entry: text as it is, anything else with its kind, so that 1 and "1" stay two."""
    return name if isinstance(name, str) else f"{type(name).__name__} {_ADDRESS.sub('', repr(name))}"


def _sha256(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
