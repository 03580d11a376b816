"""From the model to the store: a copy at once, a queue bounded in bytes, and one thread that writes.

The model may overwrite a tensor as soon as its hook returns, so the copy is taken there and then; on a CUDA device that
is a copy on the device, and a side stream moves it to pinned memory while the model goes on. Everything slower than a
copy is the thread's: waiting for the transfer, widening, compressing, writing. It wakes for a megabyte, or for whoever
waits for it; less gathers for a second, because Python runs one thread at once, and a thread that woke for each event
would stop the model as often. So a run that is killed may lose its last second of what is small, which the same command
computes again. The model waits only when the queue is full, and ``waited`` says how long. An error of the thread is
raised, as it was, where the model next puts something or the flow is drained; after it nothing more is written. Whoever
leaves the flow with an exception, an interrupt too, waits for the one write that is under way, and the rest of the
queue is dropped.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt
import torch

from dit_lens.engine.disk import DiskGuard, naming_full_disk
from dit_lens.engine.errors import FlowClosed
from dit_lens.selection import Term
from dit_lens_stores import TraceWriter

__all__ = ["LIMIT_BYTES", "LINGER_SECONDS", "Copier", "Flow", "Landed", "SideStream", "copy_now", "stored_values"]

LIMIT_BYTES = 256 * 2**20
"""What may wait in the queue, the event that is being written included."""
_OVERHEAD = 1024
"""Counted for every entry besides its values, so that a queue of many small events is bounded as well."""

_MANY = 2**20
"""So many bytes are worth waking the thread for, and are taken at a time; or a quarter of a queue that is smaller."""
LINGER_SECONDS = 1.0
"""How long fewer wait at most, counted from the first of them."""

Landed = Callable[[], torch.Tensor]
"""Waits until a copy is on the host, and returns it."""
Copier = Callable[[torch.Tensor], Landed]
"""Takes a copy at once: after it returns, the tensor may be overwritten."""


def copy_now(tensor: torch.Tensor) -> Landed:
    """Copy to the host, and wait for it.

    Examples
    --------
    >>> tensor = torch.zeros(2)
    >>> landed = copy_now(tensor)
    >>> tensor += 1
    >>> landed()
    tensor([0., 0.])
    """
    host = tensor.detach().to("cpu", copy=True).contiguous()
    return lambda: host


class SideStream:
    """Copies through pinned memory on a stream of its own, while the model's stream goes on.

    The model's stream makes a copy on the device, because work that it queues later may overwrite the tensor; the
    side stream waits for that and moves it. The copy on the device is held until the transfer is over, so its memory
    cannot be given to anything else in between, and ``record_stream`` is not needed. Pinned memory comes from torch's
    own allocator, which keeps what is given back and hands it out again, in powers of two, and never before a
    transfer out of it or into it is over, even if nobody waits for it.

    Parameters
    ----------
    backend : module
        ``torch.cuda``, or what has its streams and events.
    pinned : bool
        Without, transfers are synchronous.
    """

    def __init__(self, backend: Any = torch.cuda, pinned: bool = True) -> None:
        self._backend, self._pinned = backend, pinned
        self._streams: dict[torch.device, Any] = {}

    def __call__(self, tensor: torch.Tensor) -> Landed:
        """Start a copy."""
        backend, side = self._backend, self._stream(tensor.device)
        source = tensor.detach().clone(memory_format=torch.contiguous_format)
        host = torch.empty(source.shape, dtype=source.dtype, pin_memory=self._pinned)
        side.wait_stream(backend.current_stream(tensor.device))
        with backend.stream(side):
            host.copy_(source, non_blocking=True)
            moved = backend.Event()
            moved.record(side)
        return partial(_wait, moved, source, host)

    def _stream(self, device: torch.device) -> Any:
        if device not in self._streams:
            self._streams[device] = self._backend.Stream(device=device)
        return self._streams[device]


def _wait(moved: Any, source: torch.Tensor, host: torch.Tensor) -> torch.Tensor:
    """Wait for a transfer; that ``source`` is an argument keeps it until then."""
    moved.synchronize()
    return host


def _by_device() -> Copier:
    aside = SideStream()
    return lambda tensor: aside(tensor) if tensor.is_cuda else copy_now(tensor)


def stored_values(host: torch.Tensor, encoding: str = "exact") -> npt.NDArray[Any]:
    """Values as the store takes them; float32 shares the tensor's memory.

    Parameters
    ----------
    host : torch.Tensor
        On the host.
    encoding : str
        Of the array: ``bits`` gives the bit patterns of bfloat16 as uint16, and so does ``exact`` where the values are
        bfloat16; ``float16`` keeps float16; anything else widens to float32. uint8 and uint16 stay as they are.

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> one = torch.ones(1, dtype=torch.bfloat16)
    >>> stored_values(one), stored_values(one.float()), stored_values(one, "bits")
    (array([16256], dtype=uint16), array([1.], dtype=float32), array([16256], dtype=uint16))
    """
    kept = (torch.uint8, torch.uint16, torch.float16) if encoding == "float16" else (torch.uint8, torch.uint16)
    if (encoding == "bits" and host.dtype not in kept) or (encoding == "exact" and host.dtype == torch.bfloat16):
        host = host.to(torch.bfloat16).view(torch.uint16)
    elif host.dtype != torch.float32 and host.dtype not in kept:  # even a call of torch that does nothing lets go of
        host = host.to(torch.float32)  # Python's lock
    values: npt.NDArray[Any] = host.numpy()
    return values


_Entry = tuple[Callable[[], object], int, float]
"""What is to be done, what it counts in the queue, and since when it waits."""


class Flow:
    """Takes copies from the thread that runs the model, and writes them, in their order, on another.

    Parameters
    ----------
    limit_bytes : int
        What may be queued. An event that is larger passes when nothing else is queued. Two events at least should
        fit, or the model waits for each to be written. On a CUDA device as much device memory is held, and up to
        twice as much pinned memory.
    guard : DiskGuard, optional
        Looks at the disk before the first write, and again whenever ``guard.every_bytes`` were written.
    copier : callable, optional
        How a copy is taken; by the tensor's device if not given.

    Examples
    --------
    >>> from dit_lens_stores import ArraySpec, create_store
    >>> store = create_store(getfixture("tmp_path") / "a.zarr")
    >>> writer = store.begin("t0", [ArraySpec("x", ("step",), {"step": (0, 1)}, ("step",))], [], {})
    >>> with Flow() as flow:
    ...     for step in range(2):
    ...         flow.put(writer, "x", {"step": step}, torch.tensor(1.5))
    >>> writer.missing(), flow.events, flow.bytes
    ([], 2, 8)
    """

    def __init__(
        self, limit_bytes: int = LIMIT_BYTES, guard: DiskGuard | None = None, copier: Copier | None = None
    ) -> None:
        self.limit_bytes = limit_bytes
        self.waited, self.bytes, self.events, self.peak = 0.0, 0, 0, 0
        self._guard, self._copy = guard, copier or _by_device()
        self._changed = threading.Condition()
        self._entries: deque[_Entry] = deque()
        self._writers: dict[int, TraceWriter] = {}
        self._many = min(_MANY, limit_bytes // 4)
        self._taken, self._released = 0, 0  # bytes: each is counted by one thread, so neither needs a lock
        self._unseen = math.inf
        self._awaited = False
        self._thread: threading.Thread | None = None
        self._stopping, self._broken = False, True  # broken: does not run, or runs no more
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None

    def put(
        self,
        writer: TraceWriter,
        array: str,
        event: Mapping[str, Term],
        tensor: torch.Tensor,
        encoding: str = "exact",
        *,
        owned: bool = False,
    ) -> None:
        """Take a copy of an event's values, to be written in its turn; waits while the queue is full.

        Parameters
        ----------
        writer : TraceWriter
        array : str
        event : mapping
            Must not change any more.
        tensor : torch.Tensor
            On any device; it may be overwritten when this returns.
        encoding : str
            Of the array, see `stored_values`.
        owned : bool
            Nobody will change the tensor any more, so on the host it need not be copied.

        Raises
        ------
        FlowClosed
            Outside the ``with`` block.
        Exception
            Whatever ended the thread.
        """
        size = tensor.nbytes
        cost = size + _OVERHEAD
        if self._broken or self._taken - self._released + cost > self.limit_bytes:
            self._make_room(cost)
        copy = tensor if owned and tensor.is_cpu else self._copy(tensor)
        self._append(partial(self._write, writer, array, event, copy, encoding), cost)
        self.bytes += size
        self.events += 1

    def hand_over(self, tensor: torch.Tensor, function: Callable[[torch.Tensor], object]) -> None:
        """Have a function called with a copy of a tensor on the host, on the thread, in its turn.

        Parameters
        ----------
        tensor : torch.Tensor
            On any device; it may be overwritten when this returns.
        function : callable
            Must not put anything into the flow.

        Raises
        ------
        FlowClosed
            Outside the ``with`` block.
        Exception
            Whatever ended the thread.
        """
        cost = tensor.nbytes + _OVERHEAD
        self._make_room(cost)
        self._append(partial(_with_landed, function, self._copy(tensor)), cost)

    def call(self, function: Callable[[], object]) -> None:
        """Have a function called on the thread, in its turn; it must not put anything into the flow.

        Raises
        ------
        FlowClosed
            Outside the ``with`` block.
        Exception
            Whatever ended the thread.
        """
        self._make_room(_OVERHEAD)
        self._append(function, _OVERHEAD)

    def drain(self) -> None:
        """Wait until everything is written, by the threads of the store's writers as well.

        Raises
        ------
        FlowClosed
            Outside the ``with`` block.
        Exception
            Whatever ended the thread.
        """
        self._settle()
        self.call(self._drain_writers)
        self._settle()

    @property
    def queued(self) -> int:
        """Bytes held now, with a kilobyte for every entry; ``peak`` is the most that it was."""
        return self._taken - self._released

    def __enter__(self) -> Self:
        self._stopping, self._broken = False, self._error is not None
        self._thread = threading.Thread(target=self._run, name="dit-lens-flow", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.drain()
        finally:
            self._stop()
        if error is not None and self._error is not None and self._error is not error:
            error.add_note(f"writing ended as well: {type(self._error).__name__}: {self._error}")

    def _check(self) -> None:
        if not self._broken:
            return
        if self._error is not None:
            raise self._error.with_traceback(self._traceback)  # its own: raising adds the frames of every caller
        raise FlowClosed(
            "a flow takes nothing; got a flow that is not running, allowed one that was entered and not left; "
            "use it inside its with block"
        )

    def _settle(self) -> None:
        self._wait_until(lambda: not self.queued)
        self._check()

    def _wait_until(self, reached: Callable[[], bool]) -> None:
        """Let the thread go on at once, until something is reached or it has ended."""
        with self._changed:
            self._awaited = True
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: reached() or self._broken)
            finally:
                self._awaited = False

    def _drain_writers(self) -> None:
        for writer in self._writers.values():
            if writer.status == "running":
                writer.drain()

    def _make_room(self, cost: int) -> None:
        """Wait for room before a copy is made, so that no more is ever held than is allowed: one thread alone puts."""
        if not self._has_room(cost):
            self._wait_for_room(cost)
        self._check()

    def _wait_for_room(self, cost: int) -> None:
        start = time.perf_counter()
        try:
            self._wait_until(lambda: self._has_room(cost))
        finally:
            self.waited += time.perf_counter() - start

    def _append(self, do: Callable[[], object], cost: int) -> None:
        self._taken += cost
        self._entries.append((do, cost, time.monotonic()))
        queued = self._taken - self._released
        if queued > self.peak:
            self.peak = queued
        if queued >= self._many:
            with self._changed:
                self._changed.notify_all()

    def _has_room(self, cost: int) -> bool:
        queued = self.queued
        return not queued or queued + cost <= self.limit_bytes

    def _release(self, cost: int) -> None:
        with self._changed:
            self._released += cost
            self._changed.notify_all()

    def _run(self) -> None:
        while self._do_next():  # the entries must be gone before the next are waited for
            pass

    def _do_next(self) -> bool:
        entries = self._next()
        try:
            with naming_full_disk(self._guard.path if self._guard else None):
                for do, _, _ in entries:
                    if self._stopping:
                        break
                    do()
        except BaseException as error:  # whatever it is, it belongs to the thread that waits
            self._give_up(error)
            return False
        self._release(sum(cost for _, cost, _ in entries))
        return not self._stopping

    def _next(self) -> list[_Entry]:
        """What waits, in its order, up to about ``_MANY`` bytes, as soon as it may not gather any longer."""
        entries: list[_Entry] = []
        with self._changed:
            while (left := self._may_gather()) > 0:
                self._changed.wait(left)
            size = 0
            while self._entries and (not entries or size + self._entries[0][1] <= self._many):
                entries.append(self._entries.popleft())
                size += entries[-1][1]
        return entries

    def _may_gather(self) -> float:
        """Seconds to wait for more; none longer than an entry may, since nothing wakes the thread for a first one."""
        if self._stopping:
            return 0
        if not self._entries:
            return LINGER_SECONDS
        if self._awaited or self.queued >= self._many:
            return 0
        return self._entries[0][2] + LINGER_SECONDS - time.monotonic()

    def _give_up(self, error: BaseException) -> None:
        with self._changed:
            self._error, self._traceback = error, error.__traceback__
            self._broken = True
            self._entries.clear()
            self._changed.notify_all()

    def _stop(self) -> None:
        with self._changed:
            self._stopping = self._broken = True
            self._entries.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._thread, self._released = None, self._taken

    def _write(
        self, writer: TraceWriter, array: str, event: Mapping[str, Term], copy: torch.Tensor | Landed, encoding: str
    ) -> None:
        values = stored_values(copy if isinstance(copy, torch.Tensor) else copy(), encoding)
        self._look(writer, values.nbytes)
        self._writers[id(writer)] = writer
        writer.write(array, event, values, owned=True)

    def _look(self, writer: TraceWriter, size: int) -> None:
        if self._guard is not None and self._unseen + size > self._guard.every_bytes:
            self._guard.check(writer.buffered + size)
            self._unseen = 0
        self._unseen += size


def _with_landed(function: Callable[[torch.Tensor], object], landed: Landed) -> None:
    function(landed())
