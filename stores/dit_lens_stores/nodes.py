"""Read the ``zarr.json`` of a group or an array, and accept only what format 1 allows.

Nothing here is taken on trust: a store may come from anywhere. Shapes, chunks, dtypes and codecs are checked before a
byte of values is looked at, codecs against a short list and never through a registry, so a name that we do not know is
a message and not an import.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dit_lens_stores.errors import Corrupt
from dit_lens_stores.places import MAX_METADATA, Place

__all__ = ["CODECS", "ArrayNode", "Codec", "corrupt", "read_array", "read_group"]

CODECS = ("bytes", "vlen-utf8", "blosc", "zstd", "crc32c")
"""Every codec of format 1, the sharding around them aside."""
COMPRESSORS = ("blosc", "zstd")
_DTYPES = ("float32", "float16", "float64", "uint8", "uint16", "int64", "string")
_FILLS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_MAX_DIMS, _MAX_SIZE = 16, 2**62
_MAX_CHUNK_BYTES = 2**31 - 1  # what blosc can hold
_MAX_SHARD_CHUNKS = 2**24
_NAME = re.compile(r"[^/\\\x00-\x1f\x7f]+")


@dataclass(frozen=True)
class Codec:
    """One codec of a chain, by its name.

    Examples
    --------
    >>> Codec("crc32c").name
    'crc32c'
    """

    name: str


@dataclass(frozen=True)
class ArrayNode:
    """What the metadata of one array says, checked.

    Attributes
    ----------
    key : str
        The array's folder in the store, such as ``t0/block.out.raw``.
    shape, file, chunk : tuple of int
        Of the array, of what one file holds, and of what is coded as one; the last two differ if the file is a shard.
    dtype : str
    fill : float, int or str
    codecs : tuple of Codec
        In the order of writing.
    sharded : bool
    checked_index : bool
        Whether a crc32c follows the index of a shard.
    dims : tuple of str
    attributes : mapping

    Examples
    --------
    >>> ArrayNode("t0/x", (4, 6), (2, 6), (1, 3), "float32", 0.0, (), True, True, ("step", "token"), {}).chunks_in_file
    (2, 2)
    """

    key: str
    shape: tuple[int, ...]
    file: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: str
    fill: Any = field(compare=False)
    codecs: tuple[Codec, ...]
    sharded: bool
    checked_index: bool
    dims: tuple[str, ...]
    attributes: Mapping[str, Any] = field(compare=False)

    @property
    def name(self) -> str:
        """The name of the array inside its trace."""
        return self.key.rpartition("/")[2]

    @property
    def chunks_in_file(self) -> tuple[int, ...]:
        """How many chunks a file holds along each dimension."""
        return tuple(file // chunk for file, chunk in zip(self.file, self.chunk, strict=True))

    @property
    def chunk_bytes(self) -> int:
        """The bytes of a decoded chunk; of words, none are known."""
        return math.prod(self.chunk) * (0 if self.dtype == "string" else np.dtype(self.dtype).itemsize)

    def file_of(self, chunk: Sequence[int]) -> tuple[int, ...]:
        """The file of a chunk, both by their places in their grids."""
        return tuple(at // count for at, count in zip(chunk, self.chunks_in_file, strict=True))

    def file_key(self, at: Sequence[int]) -> str:
        """The key of a file, by its place in the grid of files."""
        return "/".join([self.key, "c", *map(str, at)])


def corrupt(place: str, key: str, got: str, allowed: str) -> Corrupt:
    """Make the error for metadata that the format does not allow.

    Examples
    --------
    >>> print(corrupt("a.zarr", "t0/x/zarr.json", "no shape", "one"))
    reading 't0/x/zarr.json' of 'a.zarr' failed; got no shape, allowed one; copy the file again, or get the store ...
    """
    return Corrupt(
        f"reading '{key}' of '{place}' failed; got {got}, allowed {allowed}; copy the file again, or get the store "
        f"from somebody you trust"
    )


def read_group(place: Place, key: str) -> dict[str, Any] | None:
    """Read the attributes of a group, None if there is no group.

    Parameters
    ----------
    place : Place
    key : str
        The group's folder; empty for the root.

    Returns
    -------
    dict or None

    Raises
    ------
    Corrupt
        If something is there that is no group.
    """
    file = f"{key}/zarr.json" if key else "zarr.json"
    node = _read_json(place, file)
    if node is None:
        return None
    if node.get("zarr_format") != 3 or node.get("node_type") != "group":
        raise corrupt(place.name, file, "another kind of node", "a Zarr v3 group")
    return _attributes(place, file, node)


def read_array(place: Place, key: str) -> ArrayNode | None:
    """Read the metadata of an array, None if there is no array.

    Parameters
    ----------
    place : Place
    key : str
        The array's folder.

    Returns
    -------
    ArrayNode or None

    Raises
    ------
    Corrupt
        If something is there that format 1 does not allow.

    Examples
    --------
    >>> from dit_lens_stores import ArraySpec, create_store
    >>> from dit_lens_stores.places import LocalPlace
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> _ = store.begin("t0", [ArraySpec("x", ("step",), {"step": (0, 1)}, ("step",))], [], {})
    >>> node = read_array(LocalPlace(store.path), "t0/x")
    >>> node.shape, node.dtype, node.dims
    ((2,), 'float32', ('step',))
    """
    file = f"{key}/zarr.json"
    node = _read_json(place, file)
    if node is None:
        return None
    try:
        return _parse(key, node, _attributes(place, file, node))
    except _NotAllowed as problem:
        raise corrupt(place.name, file, problem.got, problem.allowed) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise corrupt(place.name, file, "metadata of another form", "the metadata of a Zarr v3 array") from None


class _NotAllowed(Exception):
    def __init__(self, got: str, allowed: str) -> None:
        self.got, self.allowed = got, allowed


def _read_json(place: Place, file: str) -> dict[str, Any] | None:
    content = place.read(file, MAX_METADATA)
    if content is None:
        return None
    try:
        node = json.loads(content)
    except (ValueError, RecursionError):
        raise corrupt(place.name, file, "no JSON", "a JSON object") from None
    if not isinstance(node, dict):
        raise corrupt(place.name, file, f"a JSON {type(node).__name__}", "a JSON object")
    return node


def _attributes(place: Place, file: str, node: Mapping[str, Any]) -> dict[str, Any]:
    attributes = node.get("attributes", {})
    if not isinstance(attributes, dict):
        raise corrupt(place.name, file, "attributes that are no object", "a JSON object")
    return attributes


def _parse(key: str, node: Mapping[str, Any], attributes: dict[str, Any]) -> ArrayNode:
    if node["zarr_format"] != 3 or node["node_type"] != "array" or node.get("storage_transformers"):
        raise _NotAllowed("another kind of node", "a Zarr v3 array")
    if (dtype := node["data_type"]) not in _DTYPES:
        raise _NotAllowed(f"data type {_short(dtype)}", ", ".join(_DTYPES))
    shape = _sizes("shape", node["shape"], least=0)
    file = _grid(node)
    sharded, checked, chunk, codecs = _sharding(node["codecs"], file)
    dims = _dims(node.get("dimension_names") or [])  # Zarr leaves them out where there are none
    if not len(shape) == len(file) == len(chunk) == len(dims):
        raise _NotAllowed(f"{len(shape)} sizes and {len(dims)} names", "one name and one chunk size for each dimension")
    made = ArrayNode(
        key, shape, file, chunk, dtype, _fill(dtype, node["fill_value"]), codecs, sharded, checked, dims, attributes
    )
    _check_sizes(made)
    return made


def _check_sizes(node: ArrayNode) -> None:
    if any(file % chunk for file, chunk in zip(node.file, node.chunk, strict=True)):
        raise _NotAllowed(f"a shard of {node.file} in chunks of {node.chunk}", "whole chunks")
    if node.chunk_bytes > _MAX_CHUNK_BYTES or math.prod(node.chunk) > _MAX_CHUNK_BYTES:
        raise _NotAllowed(f"chunks of {node.chunk}", f"at most {_MAX_CHUNK_BYTES} bytes")
    if math.prod(node.chunks_in_file) > _MAX_SHARD_CHUNKS:
        raise _NotAllowed(f"{math.prod(node.chunks_in_file)} chunks in a shard", f"at most {_MAX_SHARD_CHUNKS}")
    if (node.codecs[0].name == "vlen-utf8") != (node.dtype == "string"):
        raise _NotAllowed(f"codec {node.codecs[0].name} for {node.dtype}", "vlen-utf8 for words and bytes for numbers")


def _grid(node: Mapping[str, Any]) -> tuple[int, ...]:
    grid, keys = node["chunk_grid"], node["chunk_key_encoding"]
    if grid["name"] != "regular":
        raise _NotAllowed(f"chunk grid {_short(grid['name'])}", "regular")
    if keys["name"] != "default" or keys.get("configuration", {}).get("separator", "/") != "/":
        raise _NotAllowed("another encoding of chunk keys", "the default one with '/'")
    return _sizes("chunk_shape", grid["configuration"]["chunk_shape"], least=1)


def _sharding(chain: Any, file: tuple[int, ...]) -> tuple[bool, bool, tuple[int, ...], tuple[Codec, ...]]:
    if not (isinstance(chain, list) and chain and chain[0]["name"] == "sharding_indexed"):
        return False, False, file, _codecs(chain)
    settings = chain[0]["configuration"]
    index = _codecs(settings["index_codecs"])
    if len(chain) != 1 or settings.get("index_location", "end") != "end" or index[0].name != "bytes":
        raise _NotAllowed("another form of shard", "an index at the end and no codec around the shard")
    if [codec.name for codec in index[1:]] not in ([], ["crc32c"]):
        raise _NotAllowed("a compressed shard index", "bytes and crc32c")
    return True, len(index) == 2, _sizes("chunk_shape", settings["chunk_shape"], least=1), _codecs(settings["codecs"])


def _codecs(chain: Any) -> tuple[Codec, ...]:
    if not isinstance(chain, list) or not 1 <= len(chain) <= 4:
        raise _NotAllowed("no chain of codecs", "one to four codecs")
    names = [codec["name"] for codec in chain]
    if unknown := [name for name in names if name not in CODECS]:
        raise _NotAllowed(f"codec {_short(unknown[0])}", ", ".join(CODECS))
    firsts = [name for name in names if name in ("bytes", "vlen-utf8")]
    if len(firsts) != 1 or names[0] != firsts[0] or sum(name in COMPRESSORS for name in names) > 1:
        raise _NotAllowed(f"codecs {', '.join(names)}", "bytes or vlen-utf8 first, then at most one compressor")
    if chain[0].get("configuration", {}).get("endian", "little") != "little":
        raise _NotAllowed("big-endian bytes", "little-endian ones")
    return tuple(map(Codec, names))


def _sizes(what: str, sizes: Any, least: int) -> tuple[int, ...]:
    whole = isinstance(sizes, list) and len(sizes) <= _MAX_DIMS and all(type(size) is int for size in sizes)
    if not whole or any(size < least for size in sizes) or math.prod(map(max, sizes, [1] * len(sizes))) > _MAX_SIZE:
        raise _NotAllowed(
            f"{what} {_short(sizes)}", f"whole numbers from {least}, at most {_MAX_DIMS}, that fit memory"
        )
    return tuple(sizes)


def _dims(names: Any) -> tuple[str, ...]:
    whole = isinstance(names, list) and all(isinstance(name, str) and _NAME.fullmatch(name) for name in names)
    if not whole or len(set(names)) != len(names):
        raise _NotAllowed(f"dimension names {_short(names)}", "different words, one for each dimension")
    return tuple(names)


def _fill(dtype: str, value: Any) -> Any:
    if dtype == "string":
        return str(value)
    if isinstance(value, str):
        if value not in _FILLS or not dtype.startswith("float"):
            raise _NotAllowed(f"fill value {_short(value)} of {dtype}", "a number")
        return _FILLS[value]
    limits = None if dtype.startswith("float") else np.iinfo(dtype)
    if isinstance(value, bool) or (limits and not (type(value) is int and limits.min <= value <= limits.max)):
        raise _NotAllowed(f"fill value {_short(value)} of {dtype}", "a number that it holds")
    return float(value) if limits is None else int(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
