"""Which weights a pipeline holds *now*, as sha256, and never those that it held once.

Weights alone do not make a model: what its parts are besides, their configurations and words, is told with them.

Hashing takes seconds to minutes, so it happens only when something changed. What changed is seen by exact integer sums
over the bits of every tensor, not by torch's version counters: those stay still when weights are edited through
``.data``, as fusing a LoRA does. While the sums are those that were taken when a folder was loaded, the folder's files
stand for the weights; otherwise the tensors in memory are hashed. Tensors that accelerate keeps elsewhere (sequential
offload) are read where it keeps them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from dit_lens.components import hash_components
from dit_lens.loras import loras_of

__all__ = ["Weights", "hash_chunks", "hash_folder", "hash_modules"]

_BLOCK = 1024
"""Words in one sum: short enough that changes do not cancel out."""


class Weights:
    """The weights of a pipeline; made right after it was loaded.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
    folder : pathlib.Path, optional
        The folder that it was just loaded from.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> layer = torch.nn.Linear(2, 2)
    >>> weights = Weights(SimpleNamespace(components={"layer": layer}))
    >>> before = weights.identity()
    >>> layer.weight.data += 1
    >>> before == weights.identity()
    False
    """

    def __init__(self, pipeline: Any, folder: Path | None = None) -> None:
        self._pipeline, self._folder = pipeline, folder
        self._loaded = self._state() if folder is not None else None
        self._last: tuple[str, dict[str, Any]] | None = None

    def identity(self) -> dict[str, Any]:
        """sha256 of the weights, by file or by module; where it cannot be told, None and the reason.

        Returns
        -------
        dict
            ``weights_sha256``; ``weights_unknown`` if there is a reason to give; ``loras`` if there are any; and
            ``components_sha256``, see ``hash_components``.
        """
        state = self._state()
        if self._last is None or self._last[0] != state:
            self._last = (state, self._told(state))
        return {**self._last[1], "components_sha256": hash_components(self._pipeline)}

    def _told(self, state: str) -> dict[str, Any]:
        loras = loras_of(self._pipeline, self._modules(), _sha256)
        return self._hash(state) | ({"loras": loras} if loras else {})

    def _hash(self, state: str) -> dict[str, Any]:
        files = hash_folder(self._folder) if self._folder is not None and state == self._loaded else {}
        if files:
            return {"weights_sha256": files}
        hashes: dict[str, str | None] = {}
        unknown = []
        for name, module in self._modules().items():
            try:
                hashes |= hash_modules({name: module})
            except (NotImplementedError, RuntimeError) as error:  # no bytes here: meta tensors, some quantized ones
                hashes[name] = None
                unknown.append(f"{name}: {' '.join(str(error).split())[:200]}")
        return {"weights_sha256": hashes} | ({"weights_unknown": "; ".join(unknown)} if unknown else {})

    def _state(self) -> str:
        """Sums of all tensors, and the dates of the files: equal as long as nothing has changed."""
        sums = (part for name, module in self._modules().items() for part in (name.encode(), *_sums(module)))
        files = sorted(self._folder.rglob("*.safetensors")) if self._folder is not None else []
        dates = (f"{path} {(stat := path.stat()).st_mtime_ns} {stat.st_size}".encode() for path in files)
        fused = sorted(getattr(self._pipeline, "fused_loras", ()))  # known by their names, after they are unloaded
        return hash_chunks([*sums, *dates, repr(fused).encode()])

    def _modules(self) -> dict[str, torch.nn.Module]:
        """The modules by name, without the wrapper of ``torch.compile``."""
        parts = {name: getattr(part, "_orig_mod", part) for name, part in sorted(self._pipeline.components.items())}
        return {name: part for name, part in parts.items() if isinstance(part, torch.nn.Module)}


def hash_folder(folder: Path) -> dict[str, str]:
    """sha256 of every weights file of a model folder, by its path inside the folder.

    Examples
    --------
    >>> hash_folder(Path("no-such-folder"))
    {}
    """
    return {
        path.relative_to(folder).as_posix(): hash_chunks(_read(path)) for path in sorted(folder.rglob("*.safetensors"))
    }


def hash_modules(modules: Mapping[str, torch.nn.Module]) -> dict[str, str]:
    """sha256 of the state of every module, by name: names, dtypes, shapes and bytes of its tensors in order.

    Examples
    --------
    >>> layer = torch.nn.Linear(2, 2)
    >>> hash_modules({"a": layer}) == hash_modules({"a": layer})
    True
    """
    return {name: hash_chunks(_bytes(module)) for name, module in sorted(modules.items())}


def hash_chunks(chunks: Iterable[bytes]) -> str:
    """sha256 of bytes that come in parts.

    Examples
    --------
    >>> hash_chunks([b"ab", b"c"]) == hash_chunks([b"abc"])
    True
    """
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _bytes(module: torch.nn.Module) -> Iterator[bytes]:
    for head, tensor in _tensors(module):
        yield head
        if tensor is not None:
            yield tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _sha256(parts: Iterable[tuple[str, Any]]) -> str | None:
    """Of a few modules or parameters by path; None if their bytes are not at hand."""
    try:
        return hash_chunks(chunk for path, part in parts for chunk in (path.encode(), *_bytes(_module(part))))
    except (NotImplementedError, RuntimeError):
        return None


def _module(part: Any) -> torch.nn.Module:
    return part if isinstance(part, torch.nn.Module) else torch.nn.ParameterList([part])


def _sums(module: torch.nn.Module) -> Iterator[bytes]:
    """Exact sums over the bits of every tensor, block by block, taken where the tensor lives and fetched together."""
    sums: dict[torch.device, list[torch.Tensor]] = {}
    for head, tensor in _tensors(module):
        yield head
        if tensor is not None and tensor.numel():
            try:
                sums.setdefault(tensor.device, []).append(_block_sums(tensor))
            except (NotImplementedError, RuntimeError):  # no bits to be had here: equal to nothing, not even to itself
                yield os.urandom(16)
    for parts in sums.values():
        try:
            yield torch.cat(parts).cpu().numpy().tobytes()
        except (NotImplementedError, RuntimeError):
            yield os.urandom(16)


def _block_sums(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.contiguous().reshape(-1)
    if flat.storage_offset():
        flat = flat.clone()  # wider words need an aligned start
    whole = flat.numel() * flat.element_size() % 8 == 0
    words = flat.view(torch.int64 if whole else torch.uint8)  # eight bytes at a time is ten times as fast
    tail = len(words) % _BLOCK
    if tail == len(words):
        return words.sum(dtype=torch.int64)[None]
    sums = words[: len(words) - tail].reshape(-1, _BLOCK).sum(-1, dtype=torch.int64)
    return torch.cat([sums, words[-tail:].sum(dtype=torch.int64)[None]]) if tail else sums


def _tensors(module: torch.nn.Module) -> Iterator[tuple[bytes, torch.Tensor | None]]:
    """What a state dictionary holds, each entry with its name and form; what is no tensor is in its name.

    How strong an adapter of PEFT is (a LoRA, say) and whether it is on changes what the weights do, and is in no state
    dictionary.
    """
    for path, layer in module.named_modules():
        if {"merged_adapters", "scaling"} <= vars(layer).keys():  # asking a module for what it lacks takes its time
            on = () if layer.disable_adapters else tuple(layer.active_adapters)
            facts = {"on": on, "merged": tuple(layer.merged_adapters), "scaling": sorted(layer.scaling.items())}
            yield f"{path} {facts!r}".encode(), None
    for name, value in module.state_dict().items():
        if not isinstance(value, torch.Tensor):
            yield f"{name} {value!r}".encode(), None
            continue
        tensor = _kept_elsewhere(module, name, value) if value.is_meta else value
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), tensor


def _kept_elsewhere(module: torch.nn.Module, name: str, tensor: torch.Tensor) -> torch.Tensor:
    """The tensor that accelerate puts in place of a meta tensor while its layer runs, or the meta tensor itself."""
    path, _, own = name.rpartition(".")
    hook: Any = getattr(module.get_submodule(path), "_hf_hook", None)
    for one in getattr(hook, "hooks", (hook,)):
        try:
            found: torch.Tensor = one.weights_map[own]
        except (AttributeError, TypeError, KeyError):  # no such hook, one without a map, or a map without this tensor
            continue
        return found
    return tensor


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(2**22):
            yield chunk
