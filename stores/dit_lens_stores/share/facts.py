"""What can be said of a store in public: how much it holds, of what, made by which models under which licences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dit_lens_stores.errors import StoreError
from dit_lens_stores.opening import StoreReader
from dit_lens_stores.share.files import File, total

__all__ = ["ArrayFact", "Facts", "Model", "check_licences", "facts_of"]


@dataclass(frozen=True)
class Model:
    """A model that made traces, as their manifests name it."""

    name: str
    revision: str | None
    licence: str | None


@dataclass(frozen=True)
class ArrayFact:
    """An array of some traces: its dimensions with their lengths in the first of them, and in how many it is."""

    name: str
    dims: tuple[tuple[str, int], ...]
    dtype: str
    source: str
    traces: int


@dataclass(frozen=True)
class Facts:
    """What a card says of a store.

    Attributes
    ----------
    name : str
        What it is called, without a path.
    url : str
        Where it can be opened.
    files, size : int
        How many, and their bytes.
    traces : tuple of str
    models : tuple of Model
    arrays : tuple of ArrayFact
    captures : tuple of str
        As they were asked for.
    licence : str
        Of the data.
    probes : tuple of str
        Those that can be run on it.
    """

    name: str
    url: str
    files: int
    size: int
    traces: tuple[str, ...]
    models: tuple[Model, ...]
    arrays: tuple[ArrayFact, ...]
    captures: tuple[str, ...]
    licence: str
    probes: tuple[str, ...] = ()


def facts_of(
    store: StoreReader, files: Sequence[File], url: str, licence: str, model_licence: str | None, probes: Sequence[str]
) -> Facts:
    """Collect what a card says; reads metadata only.

    Parameters
    ----------
    store : Store
    files : sequence of File
    url : str
    licence : str
        Of the data.
    model_licence : str or None
        Of models whose manifests do not name one.
    probes : sequence of str

    Returns
    -------
    Facts

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> facts_of(store, [], "s3://bucket/a.zarr", "CC-BY-4.0", None, []).name
    'a.zarr'
    """
    manifests = [store.get(trace, partial=True).manifest for trace in store.traces]
    captures = [str(capture) for manifest in manifests for capture in manifest.get("captures") or ()]
    name = url.rstrip("/").rpartition("/")[2].partition("@")[0]
    return Facts(
        name,
        url,
        len(files),
        total(files),
        store.traces,
        _models(store, model_licence),
        _arrays(store),
        tuple(dict.fromkeys(captures)),
        licence,
        tuple(probes),
    )


def check_licences(store: StoreReader, licence: str | None, model_licence: str | None) -> str:
    """Refuse to publish what nobody said a licence of.

    Parameters
    ----------
    store : Store
    licence : str or None
        Of the data.
    model_licence : str or None

    Returns
    -------
    str
        The licence of the data.

    Raises
    ------
    StoreError

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> check_licences(create_store(getfixture("tmp_path") / "a.zarr"), None, None)
    Traceback (most recent call last):
    ...
    dit_lens_stores.errors.StoreError: push does not know the licence of the data ...; add --license
    """
    if not licence:
        raise StoreError(
            f"push does not know the licence of the data in '{store.url}'; got none, allowed a name such as CC-BY-4.0, "
            f"CC0-1.0 or Apache-2.0; add --license"
        )
    unknown = [model.name for model in _models(store, model_licence) if not model.licence]
    if unknown:
        raise StoreError(
            f"push does not know the licence of the model in '{store.url}'; got none in the manifests of "
            f"'{unknown[0]}', allowed a name such as Apache-2.0; look at its page and add --model-license"
        )
    return licence


def _models(store: StoreReader, licence: str | None) -> tuple[Model, ...]:
    manifests = [store.get(trace, partial=True).manifest for trace in store.traces]
    found = [
        Model(str(one.get("model") or "a model without a name"), one.get("revision"), one.get("licence") or licence)
        for one in manifests
    ]
    return tuple(dict.fromkeys(found))


def _arrays(store: StoreReader) -> tuple[ArrayFact, ...]:
    found: dict[str, ArrayFact] = {}
    for trace_id in store.traces:
        trace = store.get(trace_id, partial=True)
        for name in trace.arrays:
            if name in found:
                known = found[name]
                found[name] = ArrayFact(name, known.dims, known.dtype, known.source, known.traces + 1)
            elif name in trace.dataset.data_vars:
                array = trace[name]
                dims = tuple((str(dim), size) for dim, size in array.sizes.items())
                found[name] = ArrayFact(name, dims, str(array.dtype), str(array.attrs.get("source_dtype", "")), 1)
    return tuple(found.values())
