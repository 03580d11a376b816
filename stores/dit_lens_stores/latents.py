"""The fingerprint of a run: a sha256 of the latents that every step starts from, and of those that the last one leaves.

It is what a run that resumes a trace is held against. While a run goes on, hashes are appended to a file inside the
folder of the coordinate ``latent_sha256``, one line each, so that they outlive a kill; that file is gone when the trace
ends. A complete trace has all of them in its manifest, as ``latents``, and those of its steps along ``step``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dit_lens_stores.schema import Coordinate

__all__ = ["LATENTS", "Journal", "latent_coordinate"]

LATENTS = "latent_sha256"
_LINE = re.compile(r"(\d+) ([0-9a-f]{64})")


def latent_coordinate() -> Coordinate:
    """Make the coordinate that every trace has which can be resumed.

    Examples
    --------
    >>> latent_coordinate().name, latent_coordinate().dim
    ('latent_sha256', 'step')
    """
    return Coordinate(LATENTS, "step", {}, {"long_name": "sha256 of the latents that the step starts from"}, "str")


class Journal:
    """The hashes of a trace that is being written.

    Parameters
    ----------
    trace : pathlib.Path
        Folder of the trace.

    Attributes
    ----------
    path : pathlib.Path
        The file.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> (folder / LATENTS).mkdir()
    >>> journal = Journal(folder)
    >>> journal.add(0, "0a" * 32)
    >>> journal.add(1, "0b" * 32)
    >>> [sha256[:4] for sha256 in Journal(folder).read()]
    ['0a0a', '0b0b']
    """

    def __init__(self, trace: Path) -> None:
        self.path = trace / LATENTS / "run.partial"

    def add(self, place: int, sha256: str) -> None:
        """Append one hash, in one write."""
        with self.path.open("ab", buffering=0) as file:
            file.write(f"{place} {sha256}\n".encode())

    def read(self) -> tuple[str, ...]:
        """Return the hashes from the first on, up to where the file was cut short."""
        try:
            lines = self.path.read_bytes().decode(errors="replace").split("\n")[:-1]
        except OSError:
            return ()
        found: list[str] = []
        for line in lines:
            known = _LINE.fullmatch(line)
            if known is None or int(known[1]) != len(found):
                break
            found.append(known[2])
        return tuple(found)

    def replace(self, hashes: Sequence[str]) -> None:
        """Begin again with some hashes."""
        fresh = self.path.with_name("next.partial")
        fresh.write_text("".join(f"{place} {sha256}\n" for place, sha256 in enumerate(hashes)), encoding="utf-8")
        fresh.replace(self.path)

    def remove(self) -> None:
        """Delete the file."""
        with suppress(FileNotFoundError):
            self.path.unlink()
