"""What goes with a store: the hashes of its files, a card for people, and Croissant metadata for machines."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from dit_lens_stores.errors import Corrupt
from dit_lens_stores.schema import SUMS
from dit_lens_stores.share.card import card_of
from dit_lens_stores.share.croissant import croissant_of
from dit_lens_stores.share.facts import Facts
from dit_lens_stores.share.files import CARD, CROISSANT, ROOT, File, is_part

__all__ = ["extras_of", "read_sums", "sums_of", "told_licence"]

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def sums_of(files: Sequence[File]) -> File:
    r"""Write the hashes of files in the form that ``sha256sum -c`` reads.

    Examples
    --------
    >>> sums_of([File("a", data=b"abc")]).data[:8], sums_of([File("a", data=b"abc")]).data[64:]
    (b'ba7816bf', b'  a\n')
    """
    lines = [f"{file.sha256}  {file.key}\n" for file in sorted(files, key=lambda file: file.key)]
    return File(SUMS, data="".join(lines).encode())


def read_sums(data: bytes, where: str) -> dict[str, str]:
    """Read hashes by key.

    Parameters
    ----------
    data : bytes
    where : str
        For the message.

    Returns
    -------
    dict of str to str

    Raises
    ------
    Corrupt
        If a line is no hash of a file of a store.

    Examples
    --------
    >>> read_sums(sums_of([File("zarr.json", data=b"abc")]).data, "a.zarr")["zarr.json"][:8]
    'ba7816bf'
    """
    found = {}
    for line in data.decode(errors="replace").splitlines():
        known = _LINE.fullmatch(line)
        if known is None or not is_part(known[2]):
            raise Corrupt(
                f"reading '{SUMS}' of '{where}' failed; got the line {line[:80]!r}, allowed 'SHA256  KEY' of files of "
                f"a store; push the store again"
            )
        found[known[2]] = known[1]
    return found


def extras_of(facts: Facts, files: Sequence[File]) -> list[File]:
    """Write all that goes with a store.

    Parameters
    ----------
    facts : Facts
    files : sequence of File
        Those of the store.

    Returns
    -------
    list of File

    Examples
    --------
    >>> facts = Facts("a.zarr", "s3://b/a.zarr", 1, 10, (), (), (), (), "CC-BY-4.0")
    >>> [file.key for file in extras_of(facts, [File("zarr.json")])]
    ['SHA256SUMS', 'README.md', 'croissant.json']
    """
    sums, root = sums_of(files), next(file for file in files if file.key == ROOT)
    card, croissant = card_of(facts), croissant_of(facts, root, sums)
    return [sums, File(CARD, data=card.encode()), File(CROISSANT, data=croissant.encode())]


def told_licence(croissant: bytes | None) -> str | None:
    """Return the licence that Croissant metadata of a store name.

    Examples
    --------
    >>> told_licence(b'{"license": "https://spdx.org/licenses/MIT.html"}'), told_licence(None)
    ('MIT', None)
    """
    try:
        known = json.loads(croissant or b"{}")
    except ValueError:
        return None
    licence = known.get("license") if isinstance(known, dict) else None
    if not isinstance(licence, str):
        return None
    return licence.removeprefix("https://spdx.org/licenses/").removesuffix(".html")
