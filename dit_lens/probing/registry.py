"""Find probes: installed packages announce them, files hold them, and a broken one stops nothing else.

A package announces a probe through the entry-point group ``dit_lens.probes``; the probes that ship with dit-lens do the
same. Finding reads package metadata only; a plugin's code runs when its probe is listed or asked for. A name that two
packages claim is given to neither in silence: it belongs to dit-lens if that is one of them, and otherwise has to be
asked for as ``dist:name``, which always works.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Literal, cast

from dit_lens.probing.errors import BrokenProbe, UnknownProbe
from dit_lens.probing.files import is_file_name, probe_from_file
from dit_lens.probing.protocol import AnyProbe, reasons_against
from dit_lens_stores.errors import close_match

__all__ = ["GROUP", "ProbeRow", "get_probe", "list_probes", "package_of"]

GROUP = "dit_lens.probes"
_HOME = "dit-lens"

Status = Literal["ok", "broken", "shadowed"]


@dataclass(frozen=True, order=True)
class ProbeRow:
    """One announced probe.

    Attributes
    ----------
    name, dist, version : str
        The name that it is announced under, the package that announces it, and that package's version.
    summary : str
        What it answers; empty if it is broken.
    status : {"ok", "broken", "shadowed"}
        ``shadowed``: usable, but only as ``dist:name``, because another package claims the name too.
    reason : str
        Why it is not ``ok``.
    """

    name: str
    dist: str
    version: str
    summary: str
    status: Status
    reason: str


@dataclass(frozen=True)
class _Claim:
    name: str
    dist: str
    version: str
    point: EntryPoint

    def load(self) -> type[AnyProbe]:
        """Import the class, and turn whatever goes wrong in a stranger's module into one error."""
        try:
            found = self.point.load()
        except (Exception, SystemExit) as error:
            raise self._broken(f"{type(error).__name__}: {error}") from error
        reasons = reasons_against(found)
        if reasons:
            raise self._broken(f"{self.point.value} is no probe: {'; '.join(reasons)}")
        return cast("type[AnyProbe]", found)

    def _broken(self, reason: str) -> BrokenProbe:
        where = f"probe '{self.name}' of package {self.dist} {self.version} cannot be used"
        return BrokenProbe(f"{where}; got {one_line(reason)}; update or uninstall {self.dist}")


def list_probes() -> list[ProbeRow]:
    """Every announced probe, broken ones with the reason.

    Returns
    -------
    list of ProbeRow
        Sorted by name and package.

    Examples
    --------
    >>> [(row.dist, row.status) for row in list_probes() if row.name == "energy"]
    [('dit-lens', 'ok')]
    """
    claims = _claims()
    return sorted(_row(claim, claims) for claim in claims)


def get_probe(name: str) -> type[AnyProbe]:
    """The class behind a name.

    Parameters
    ----------
    name : str
        ``"energy"``, ``"some-package:energy"`` or ``"./mine.py:Class"``; the class may be left out if the file defines
        one probe only.

    Returns
    -------
    type of Probe or CausalProbe

    Raises
    ------
    UnknownProbe
        If nothing is announced under that name, or several packages claim it and none was named.
    BrokenProbe
        If its code cannot be loaded or is no probe.

    Examples
    --------
    >>> get_probe("energy").name
    'energy'
    >>> get_probe("dit-lens:energy") is get_probe("energy")
    True
    """
    if is_file_name(name):
        return probe_from_file(name)
    return _choose(name, _claims()).load()


def package_of(probe: type[AnyProbe]) -> str:
    """The package and version that announce a probe, or ``""`` if none does.

    Examples
    --------
    >>> package_of(get_probe("energy")).startswith("dit-lens ")
    True
    """
    home = (probe.__module__, probe.__qualname__)
    for claim in _claims():
        module, attribute = claim.point.module, claim.point.attr
        # An entry point may name the package that re-exports the class instead of the module that defines it.
        if attribute == home[1] and (home[0] == module or home[0].startswith(f"{module}.")):
            return f"{claim.dist} {claim.version}"
    return ""


def one_line(text: str) -> str:
    """Fold a message of several lines into one."""
    return " ".join(text.split())


def _claims() -> list[_Claim]:
    return [_claim(point) for point in entry_points(group=GROUP)]


def _claim(point: EntryPoint) -> _Claim:
    name, version = (point.dist.name, point.dist.version) if point.dist else ("unknown", "")
    return _Claim(name=point.name, dist=_normal(name), version=version, point=point)


def _normal(dist: str) -> str:
    return re.sub(r"[-_.]+", "-", dist).lower()


def _choose(name: str, claims: list[_Claim]) -> _Claim:
    dist, _, short = name.rpartition(":")
    found = [claim for claim in claims if claim.name == short and _normal(dist) in ("", claim.dist)]
    own = [claim for claim in found if claim.dist == _HOME]
    if len(found) == 1 or own:
        return (own or found)[0]
    if found:
        full = ", ".join(sorted(f"{claim.dist}:{claim.name}" for claim in found))
        raise UnknownProbe(
            f"several packages have a probe called '{name}'; got '{name}', allowed {full}; name the package"
        )
    raise UnknownProbe(_unknown(name, claims))


def _unknown(name: str, claims: list[_Claim]) -> str:
    allowed = sorted({claim.name for claim in claims})
    full = [f"{claim.dist}:{claim.name}" for claim in claims]
    hint = close_match(name, [*allowed, *full])
    listed = ", ".join(allowed) or "none"
    return f"no probe is called '{name}'; got '{name}', allowed {listed}, or a file ./mine.py:Class{hint}"


def _row(claim: _Claim, claims: list[_Claim]) -> ProbeRow:
    others = sorted(other.dist for other in claims if other.name == claim.name and other.dist != claim.dist)
    try:
        summary = claim.load().summary
    except BrokenProbe as error:
        return ProbeRow(claim.name, claim.dist, claim.version, "", "broken", str(error))
    if others and claim.dist != _HOME:
        reason = f"{', '.join(others)} has a probe of this name too; ask for '{claim.dist}:{claim.name}'"
        return ProbeRow(claim.name, claim.dist, claim.version, summary, "shadowed", reason)
    return ProbeRow(claim.name, claim.dist, claim.version, summary, "ok", "")
