"""Which traces of which stores: open one store or several, and give every trace one name.

A trace is called by its id. Ids that several stores hold get the store's file name in front, ``clean/maze-0`` and
``noised/maze-0``, and as many folders of its path as it takes to tell stores of one file name apart. Which traces are
complete does not matter for a name, nor does the order of the stores, so a name stays what it is from run to run.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dit_lens.probing.errors import NothingToAnalyze, SameStore
from dit_lens_stores import UnknownTrace, close_match, open_store
from dit_lens_stores.errors import few

if TYPE_CHECKING:
    from typing import TypeAlias

    from dit_lens_stores import Store, Trace

    Stores: TypeAlias = Store | str | Path | Sequence[Store | str | Path]
    Chosen: TypeAlias = tuple["Origin", Store]

__all__ = ["Origin", "choose_traces", "open_stores"]

_SHOWN = 6
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """Where a trace lies, as plain text, so that another process can open it.

    Attributes
    ----------
    label : str
        What it is called in the result.
    address : str
        Path or address of its store.
    trace_id : str
        In that store.

    Examples
    --------
    >>> from dit_lens.testing import synthetic_store
    >>> store = synthetic_store(getfixture("tmp_path") / "x.zarr")
    >>> Origin("a", str(store.path), "a").open().status
    'complete'
    """

    label: str
    address: str
    trace_id: str

    def open(self) -> Trace:
        """Open the trace."""
        return open_store(self.address)[self.trace_id]


def open_stores(stores: Stores) -> list[Store]:
    """Open what is given by its path.

    Raises
    ------
    NothingToAnalyze
        If no store was given.
    SameStore
        If one was given twice.

    Examples
    --------
    >>> from dit_lens.testing import synthetic_store
    >>> store = synthetic_store(getfixture("tmp_path") / "x.zarr")
    >>> open_stores([store, store.path])
    Traceback (most recent call last):
    ...
    dit_lens.probing.errors.SameStore: a store was given twice; got '...x.zarr', allowed each store once; remove one
    """
    given = list(stores) if isinstance(stores, list | tuple) else [cast("Store | str | Path", stores)]
    opened = [open_store(store) if isinstance(store, str | Path) else store for store in given]
    if not opened:
        raise NothingToAnalyze("nothing can be analyzed; got no store, allowed one or more; name a store")
    for address, count in Counter(map(_address, opened)).items():
        if count > 1:
            raise SameStore(f"a store was given twice; got '{address}', allowed each store once; remove one")
    return opened


def choose_traces(stores: Sequence[Store], wanted: Sequence[str] | None) -> tuple[list[Chosen], list[str]]:
    """The traces to read, and a note on each that is left out because it is not complete.

    Parameters
    ----------
    stores : sequence of Store
    wanted : sequence of str, optional
        Names of traces; an id that several stores hold means all of them. Every complete trace by default.

    Returns
    -------
    tuple of list of (Origin, Store) and list of str

    Raises
    ------
    UnknownTrace
        If no store holds a trace that is wanted.
    NothingToAnalyze
        If none is wanted and none is complete.

    Examples
    --------
    >>> from dit_lens.testing import synthetic_store
    >>> folder = getfixture("tmp_path")
    >>> stores = [synthetic_store(folder / name, traces=["a", name[0]]) for name in ("x.zarr", "y.zarr")]
    >>> [origin.label for origin, _ in choose_traces(stores, None)[0]]
    ['x/a', 'x', 'y/a', 'y']
    >>> [origin.label for origin, _ in choose_traces(stores, ["a", "y"])[0]]
    ['x/a', 'y/a', 'y']
    """
    named = _name(stores)
    if wanted is not None:
        return list(dict(one for name in wanted for one in _find(name, stores, named)).items()), []
    chosen: list[Chosen] = []
    skipped: list[str] = []
    for origin, store in named:
        status = store.status(origin.trace_id)
        if status == "complete":
            chosen.append((origin, store))
        else:
            skipped.append(f"{origin.label}: {status}")
    if skipped:
        _log.warning("%d traces are not complete and were left out: %s", len(skipped), ", ".join(skipped))
    if not chosen:
        found = ", ".join(skipped) or "no trace"
        what = "the store has" if len(stores) == 1 else "the stores have"
        raise NothingToAnalyze(f"{what} nothing to analyze; got {found}, allowed complete traces; trace first")
    return chosen, skipped


def _name(stores: Sequence[Store]) -> list[Chosen]:
    held = Counter(trace_id for store in stores for trace_id in store.traces)
    named = zip(stores, _names_of([_address(store) for store in stores]), strict=True)
    return [
        (Origin(f"{name}/{trace_id}" if held[trace_id] > 1 else trace_id, _address(store), trace_id), store)
        for store, name in named
        for trace_id in store.traces
    ]


def _find(name: str, stores: Sequence[Store], named: Sequence[Chosen]) -> list[Chosen]:
    found = [one for one in named if name in (one[0].label, one[0].trace_id)]
    if found:
        return found
    if len(stores) == 1:
        stores[0].get(name)  # says which there are
    labels = [origin.label for origin, _ in named]
    hint = close_match(name, labels) or "; look at their names"
    raise UnknownTrace(f"no store holds a trace of that name; got '{name}', allowed {few(labels, _SHOWN)}{hint}")


def _address(store: Store) -> str:
    """A path that holds in any working folder, or an address."""
    path = getattr(store.place, "path", None)
    return str(Path(path).resolve()) if path is not None else store.url


def _names_of(addresses: Sequence[str]) -> list[str]:
    """The shortest ends of some paths that tell them apart, without ``.zarr``."""
    parts = [[part for part in address.replace("\\", "/").split("/") if part] for address in addresses]
    for count in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(part[-count:]).removesuffix(".zip").removesuffix(".zarr") for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(addresses)
