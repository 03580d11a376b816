"""Append coded chunks to a file while the next ones are coded.

What is appended is gathered until it is worth a call of the system, and goes out in one, without being copied together.
A file of more than a megabyte has a thread of its own for as long as it is open: compressing and writing both release
Python's lock, so neither waits for the other. At most two batches wait for the thread, and an error of it is raised
where the next batch is handed over, or when the file is closed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from queue import Queue
from threading import Thread

import google_crc32c
import numpy as np

__all__ = ["BATCH_BYTES", "BESIDE_BYTES", "Appender", "Buffer", "appending"]

Buffer = bytes | memoryview
_Chunk = tuple[Sequence[Buffer], bool]

BATCH_BYTES = 2**18
"""As much as this is written at a time, and the rest of the chunk that goes beyond it."""
BESIDE_BYTES = 2**20
"""What a file has before it is worth a thread."""
_WAITING = 2
_MOST = 512  # pieces in a call; systems allow 1024


class Appender:
    """Appends chunks to a file; made by `appending`.

    Parameters
    ----------
    file : io.FileIO
    beside : bool
        Write on a thread of its own, once there is enough.
    """

    def __init__(self, file: FileIO, beside: bool) -> None:
        self._handle, self._beside = file.fileno(), beside
        self._gathered: list[_Chunk] = []
        self._bytes = self._seen = 0
        self._queue: Queue[list[_Chunk] | None]
        self._thread: Thread | None = None
        self._error: BaseException | None = None
        self._dropping = False

    def __call__(self, pieces: Sequence[Buffer], checksum: bool) -> int:
        """Append a chunk, and its crc32c; what it is made of must not change any more.

        Parameters
        ----------
        pieces : sequence of bytes-like
        checksum : bool

        Returns
        -------
        int
            Its length in the file.
        """
        size = sum(map(len, pieces))
        self._gathered.append((pieces, checksum))
        self._bytes += size
        if self._bytes >= BATCH_BYTES:
            self._hand_over()
        return size + 4 * checksum

    def close(self, dropping: bool) -> None:
        """Write the rest, or drop it; afterwards the thread is gone."""
        self._dropping = dropping
        if not dropping and self._thread is None:
            _write(self._handle, self._gathered)
        elif self._thread is not None:
            self._queue.put(self._gathered)
            self._queue.put(None)
            self._thread.join()
        if not dropping and self._error is not None:
            raise self._error

    def _hand_over(self) -> None:
        chunks, self._gathered = self._gathered, []
        self._seen, self._bytes = self._seen + self._bytes, 0
        if not self._beside or self._seen <= BESIDE_BYTES:
            _write(self._handle, chunks)
            return
        if self._thread is None:
            self._queue = Queue(_WAITING)
            self._thread = Thread(target=self._run, name="dit-lens-file")
            self._thread.start()
        if self._error is not None:
            raise self._error
        self._queue.put(chunks)

    def _run(self) -> None:
        while (chunks := self._queue.get()) is not None:
            if self._error is None and not self._dropping:
                try:
                    _write(self._handle, chunks)
                except BaseException as error:  # it belongs to whoever appends
                    self._error = error
            del chunks  # not to be held while the next is waited for


@contextmanager
def appending(file: FileIO, beside: bool = False) -> Iterator[Appender]:
    r"""Append chunks to a file that was opened without a buffer.

    Parameters
    ----------
    file : io.FileIO
    beside : bool
        Write on a thread of its own; worth it where making the chunks takes time.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "0"
    >>> with path.open("wb", buffering=0) as file, appending(file) as append:
    ...     append([b"ab", b"c"], checksum=True)
    7
    >>> path.read_bytes()
    b'abc\xb7?K6'
    """
    appender = Appender(file, beside)
    try:
        yield appender
    except BaseException:
        appender.close(dropping=True)
        raise
    appender.close(dropping=False)


def _write(handle: int, chunks: Sequence[_Chunk]) -> None:
    pieces: list[Buffer] = []
    for chunk, checksum in chunks:
        pieces += [*chunk, _crc32c(chunk)] if checksum else chunk
    for at in range(0, len(pieces), _MOST):
        _write_all(handle, pieces[at : at + _MOST])


def _write_all(handle: int, pieces: Sequence[Buffer]) -> None:
    written = os.writev(handle, pieces) if hasattr(os, "writev") else 0
    if written < sum(map(len, pieces)):  # the disk fills up, or the system has no such call
        rest = memoryview(b"".join(pieces))[written:]
        while rest:
            rest = rest[os.write(handle, rest) :]


def _crc32c(pieces: Sequence[Buffer]) -> bytes:
    crc = 0
    for piece in pieces:
        crc = google_crc32c.extend(crc, np.frombuffer(piece, np.uint8))  # it takes no memoryview
    return int(crc).to_bytes(4, "little")
