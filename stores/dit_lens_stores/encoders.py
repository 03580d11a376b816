"""Threads that code and write shards while the model goes on.

Compressing releases Python's lock, so a thread of its own costs the model little. What waits is bounded: whoever hands
over more waits until there is room. An error in a thread is kept, and raised where the next event is handed over.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Condition

__all__ = ["QUEUE_BYTES", "Encoders"]

QUEUE_BYTES = 256 * 2**20
"""Values that wait or are being written take at most this much memory, and one shard per thread."""


class Encoders:
    """A few threads with a bounded queue.

    Parameters
    ----------
    threads : int
        With 0 everything is done at once, by whoever hands it over.
    limit_bytes : int
        How much may wait. One job per thread is always let in, however large.

    Examples
    --------
    >>> encoders, done = Encoders(threads=1), []
    >>> encoders.put("x", lambda: done.append(1), nbytes=8)
    >>> encoders.drain()
    >>> done
    [1]
    """

    def __init__(self, threads: int = 0, limit_bytes: int = QUEUE_BYTES) -> None:
        self.threads, self.limit_bytes = threads, limit_bytes
        self.errors: list[tuple[str, Exception]] = []
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="dit-lens-encoder") if threads else None
        self._change = Condition()
        self._jobs = self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes that wait or are being written now."""
        return self._bytes

    def put(self, name: str, job: Callable[[], None], nbytes: int) -> None:
        """Hand a job over; waits while the queue is full.

        Parameters
        ----------
        name : str
            Whose job it is, for the errors.
        job : callable
        nbytes : int
            What it keeps in memory.
        """
        with self._change:
            self._change.wait_for(lambda: self._jobs < max(1, self.threads) or self._bytes + nbytes <= self.limit_bytes)
            self._jobs += 1
            self._bytes += nbytes
        if self._pool is None:
            self._run(name, job, nbytes)
            self.check()
        else:
            self._pool.submit(self._run, name, job, nbytes)

    def drain(self) -> None:
        """Wait until nothing is left to do.

        Raises
        ------
        Exception
            The first that a job raised.
        """
        with self._change:
            self._change.wait_for(lambda: not self._jobs)
        self.check()

    def check(self) -> None:
        """Raise the first error that a job raised, if one did."""
        if self.errors:
            raise self.errors[0][1]

    def close(self) -> None:
        """End the threads, after what they have to do."""
        if self._pool is not None:
            self._pool.shutdown()

    def _run(self, name: str, job: Callable[[], None], nbytes: int) -> None:
        try:
            job()
        except Exception as error:
            self.errors.append((name, error))
        finally:
            with self._change:
                self._jobs -= 1
                self._bytes -= nbytes
                self._change.notify_all()
