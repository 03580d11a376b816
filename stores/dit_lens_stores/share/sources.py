"""What a store that is pulled consists of: its files, wherever it lies, pinned to one version.

A folder and a zip of this machine are listed as they are; buckets, the Hub and whatever fsspec knows list themselves;
a web server cannot, so there the hashes that were pushed with the store name its files. A branch of the Hub is turned
into the commit that it points to now, and everything is read from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dit_lens_stores.errors import Corrupt, StoreError
from dit_lens_stores.opening import read_format
from dit_lens_stores.places import LocalPlace, Place, place_of
from dit_lens_stores.remote import HubPlace, shown
from dit_lens_stores.schema import SUMS
from dit_lens_stores.share.extras import read_sums
from dit_lens_stores.share.files import File, is_extra, is_part
from dit_lens_stores.share.targets import Found, Target, target_of
from dit_lens_stores.zipped import ZipPlace

__all__ = ["Source", "find_source"]

_LIMIT = 256 * 2**20


@dataclass(frozen=True)
class Source:
    """A store that is pulled.

    Attributes
    ----------
    place : Place
    name : str
        As it is noted: without password, and without a path of this machine.
    revision : str or None
        The commit, where there are such.
    files : mapping of str to Found or None
        By key, with size and hash as far as they are known.
    sums : mapping of str to str
        The sha256 that were pushed with it.
    target : Target or None
        Which can tell whether a file here is the same as there.
    """

    place: Place
    name: str
    revision: str | None
    files: Mapping[str, Found | None]
    sums: Mapping[str, str]
    target: Target | None = None

    def same(self, key: str, path: Path) -> bool:
        """Whether a file of this machine is the one of the source, as far as the source says anything."""
        file, found = File(key, path), self.files[key]
        if not path.is_file() or (found is not None and found.size != file.size):
            return False
        if key in self.sums:
            return self.sums[key] == file.sha256
        return found is not None and self.target is not None and self.target.holds(file, found)


def pin(source: str | Path) -> tuple[Place, str | None]:
    """Find the place of a store, and the commit if it has such.

    Parameters
    ----------
    source : str or pathlib.Path

    Returns
    -------
    Place, str or None

    Raises
    ------
    NotAStore
        If there is no store.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> pin(create_store(getfixture("tmp_path") / "a.zarr").path)[1] is None
    True
    """
    place = place_of(source)
    read_format(place, "pull")
    asked = place.inner if isinstance(place, ZipPlace) else place
    return place, asked.revision if isinstance(asked, HubPlace) else None


def find_source(source: str | Path) -> Source:
    """Find a store, and list its files.

    Parameters
    ----------
    source : str or pathlib.Path
        A folder, a zip, or an address.

    Returns
    -------
    Source

    Raises
    ------
    NotAStore
        If there is no store.
    StoreError
        If its files cannot be listed.

    Examples
    --------
    >>> from dit_lens_stores import create_store
    >>> sorted(find_source(create_store(getfixture("tmp_path") / "a.zarr").path).files)
    ['zarr.json']
    """
    place, revision = pin(source)
    if not place.remote:
        return Source(place, Path(source).name, None, _here(place), {})
    data = place.read(SUMS, _LIMIT)
    sums = read_sums(data, place.name) if data is not None else {}
    if isinstance(place, ZipPlace):
        return Source(place, shown(str(source)), revision, _here(place), sums)
    target = _target(place, str(source), revision)
    if target is None and not sums:
        raise StoreError(
            f"pull cannot list '{place.name}'; got no '{SUMS}' beside the store, allowed one, or an address that lists "
            f"its files; take a part of it with --select, or push it with dit-lens store push"
        )
    files: dict[str, Found | None] = dict.fromkeys(sums)
    if target is not None:
        files = {key: found for key, found in target.files().items() if is_part(key) or is_extra(key)}
    elif sums:
        files |= dict.fromkeys(key for key in (SUMS, "README.md", "croissant.json") if place.exists(key))
    if lost := sorted(set(sums) - set(files)):
        raise Corrupt(
            f"pull refused '{place.name}'; got no '{lost[0]}', which '{SUMS}' names, allowed all that was pushed; push "
            f"the store again"
        )
    return Source(place, shown(str(source)), revision, files, sums, target)


def _target(place: Place, url: str, revision: str | None) -> Target | None:
    """Something that lists; None for web servers."""
    if url.startswith(("http://", "https://")):
        return None
    if isinstance(place, HubPlace):
        from dit_lens_stores.share.hub import HubTarget

        return HubTarget(url, revision)
    return target_of(url)


def _here(place: Place) -> dict[str, Found | None]:
    if isinstance(place, ZipPlace):
        return {key: Found(info.file_size) for key, info in place.members.items() if is_part(key) or is_extra(key)}
    if not isinstance(place, LocalPlace):
        raise StoreError(f"pull cannot list '{place.name}'; got another kind of place, allowed a folder; copy it")
    keys = {path.relative_to(place.path).as_posix(): path for path in place.path.rglob("*") if path.is_file()}
    return {key: Found(path.stat().st_size) for key, path in keys.items() if is_part(key) or is_extra(key)}
