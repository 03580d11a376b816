"""The units of an analysis under dask: threads, processes, or a cluster.

Every unit is one task and does what the streaming loop does; only who does it differs. A worker that dies takes its
states with it: the cluster does those units again.

dask is not needed for anything else and is imported when a scheduler is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dit_lens.probing.blame import who
from dit_lens.probing.errors import BadScheduler, MissingDask, ProbeFailed, WorkersLost
from dit_lens.probing.protocol import Probe, State
from dit_lens.probing.tasks import build_tree
from dit_lens.probing.units import Unit
from dit_lens_stores.errors import DitLensError

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client

__all__ = ["check_scheduler", "fold_on"]

Done = Callable[[int], None]
"""Called with the number of the unit that was mapped."""

_LOCAL = ("threads", "processes")
_ADDRESS = re.compile(r"[a-z]+://\S+")
_TIMEOUT = "10s"


def check_scheduler(scheduler: str | Client | None) -> None:
    """Refuse a scheduler that cannot be used, before anything is computed; a cluster is looked for when it is needed.

    Raises
    ------
    BadScheduler
        If it is none of those allowed.
    MissingDask
        If dask is not installed.

    Examples
    --------
    >>> check_scheduler("threads")
    >>> check_scheduler("theads")
    Traceback (most recent call last):
    ...
    dit_lens.probing.errors.BadScheduler: no scheduler is called 'theads'; got 'theads', allowed threads, processes, ...
    """
    if scheduler is None:
        return
    if isinstance(scheduler, str):
        if scheduler not in _LOCAL and not _ADDRESS.fullmatch(scheduler):
            raise BadScheduler(
                f"no scheduler is called '{scheduler}'; got '{scheduler}', allowed {', '.join(_LOCAL)}, or the address "
                f"of a cluster; write it as tcp://HOST:8786, or leave it out"
            )
        _require_dask(scheduler)
    elif not (callable(getattr(scheduler, "compute", None)) and callable(getattr(scheduler, "scatter", None))):
        raise BadScheduler(
            f"units cannot be given to a {type(scheduler).__name__}; got {scheduler!r}, allowed a text or a "
            f"distributed.Client; pass one of these"
        )


def fold_on(scheduler: str | Client, probe: Probe, units: Sequence[Unit], done: Done | None = None) -> State:
    """Map all units and merge their states under dask.

    Parameters
    ----------
    scheduler : {"threads", "processes"}, address of a cluster, or distributed.Client
    probe : Probe
    units : sequence of Unit
        At least one. A cluster must find their stores at the same paths.
    done : callable, optional
        Called with the number of each unit when it is mapped, in this process.

    Returns
    -------
    State

    Raises
    ------
    BadScheduler
        If no cluster answers.
    ProbeFailed
        If the probe raises.
    WorkersLost
        If workers die again and again over one unit.

    Examples
    --------
    >>> from dit_lens.probing import prepare
    >>> from dit_lens.testing import synthetic_store
    >>> analysis = prepare(synthetic_store(getfixture("tmp_path") / "x.zarr"), "energy")
    >>> len(fold_on("threads", analysis.probe, analysis.units).maps)  # two traces of four steps
    8
    """
    check_scheduler(scheduler)
    with _one_line_errors(probe):
        maps, root = build_tree(probe, units, pack=scheduler != "threads")
        if isinstance(scheduler, str) and scheduler in _LOCAL:
            return _compute(scheduler, maps, root, done)
        if not isinstance(scheduler, str):
            return _compute_on_cluster(scheduler, maps, root, done)
        with _connected(scheduler) as client:
            return _compute_on_cluster(client, maps, root, done)


def _compute(scheduler: str, maps: Sequence[Delayed], root: Delayed, done: Done | None) -> State:
    from dask.base import compute
    from dask.callbacks import Callback

    numbers = {one.key: number for number, one in enumerate(maps)}

    def told(key: Any, *_: object) -> None:
        if done is not None and key in numbers:
            done(numbers[key])

    with Callback(posttask=told):
        (state,) = compute(root, scheduler=scheduler)
    return state


def _compute_on_cluster(client: Client, maps: Sequence[Delayed], root: Delayed, done: Done | None) -> State:
    from distributed import as_completed

    numbers = {one.key: number for number, one in enumerate(maps)}
    *mapped, final = client.compute([*maps, root])
    try:
        with client.as_current():
            waiting = as_completed(mapped)
        mapped.clear()  # a state that nobody here holds is let go of when it is merged
        for future in waiting:
            if future.status == "error":
                break  # the root says why
            if done is not None:
                done(numbers[future.key])
        return final.result()
    finally:
        final.cancel()


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout=_TIMEOUT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadScheduler(
            f"no cluster answers at '{address}'; got {reason}, allowed the address of a running dask scheduler; start "
            f"one, or leave it out"
        ) from error
    with client:
        yield client


@contextmanager
def _one_line_errors(probe: Probe) -> Iterator[None]:
    """Whatever dask makes of an exception, the one that the loop would have raised, or one line."""
    try:
        yield
    except Exception as error:
        own = getattr(error, "exception", error)  # processes wrap it together with its traceback
        if own is error and isinstance(own, DitLensError):
            raise
        if isinstance(own, DitLensError):
            raise own from error
        if type(error).__name__ == "KilledWorker":
            raise WorkersLost(
                f"workers died while {who(probe)} ran; got the end of one after another over the same unit, allowed "
                f"workers that live; give each more memory, and see their logs"
            ) from error
        reason = " ".join(f"{type(own).__name__}: {own}".split())
        raise ProbeFailed(f"{who(probe)} failed under dask; got {reason}; see whether it runs without") from error


def _require_dask(scheduler: str) -> None:
    try:
        import cloudpickle  # noqa: F401
        import dask  # noqa: F401

        if scheduler not in _LOCAL:
            import distributed  # noqa: F401
    except ImportError as error:
        raise MissingDask(
            f"the scheduler '{scheduler}' needs dask; got no package '{error.name}', allowed an installed one; pip "
            f"install 'dit-lens[dask]'"
        ) from error
