"""The parts of an analysis that several jobs share: each leaves the state of its units in a file, one joins them.

A part says in its header which part of how many it is, and what the analysis is: probe, version, parameters, and of
every trace its name, the hash of its manifest and how much of it is read. Parts are joined only if they are all there
and say the same as the analysis that joins them. Nothing of a part is computed when they are joined.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dit_lens.probing.errors import BadShard, MissingShard, OtherShard
from dit_lens.probing.protocol import Probe, State
from dit_lens.probing.states import read_header, read_state, write_state

__all__ = ["read_shards", "write_shard"]

Identity = Mapping[str, Any]
_NAME = re.compile(r"\.shard-([0-9]+)-of-([0-9]+)\.state")
_SHOWN = 6


def write_shard(state: State, probe: Probe, identity: Identity, part: tuple[int, int], folder: Path) -> Path:
    """Write the state of one part; one that is there is replaced.

    Parameters
    ----------
    state : State
    probe : Probe
    identity : mapping
        What the analysis is, JSON-able.
    part : tuple of int
        Which part of how many, from 0 on.
    folder : pathlib.Path

    Returns
    -------
    pathlib.Path

    Raises
    ------
    BadState
        If no file can keep the state.

    Examples
    --------
    >>> from dit_lens_probes.energy import Energy
    >>> folder = getfixture("tmp_path")
    >>> write_shard({"sum": 1}, Energy(), {"probe": "energy"}, (0, 2), folder).name
    'energy.shard-0-of-2.state'
    >>> list(read_shards(Energy(), {"probe": "energy"}, folder))
    Traceback (most recent call last):
    ...
    dit_lens.probing.errors.MissingShard: parts of probe 'energy' are missing in ...; got 1 of 2, ... --shard 1/2
    """
    number, count = part
    path = folder / f"{probe.name}.shard-{number}-of-{count}.state"
    write_state(state, probe, path, {"shard": [number, count], "identity": dict(identity), "sha256": _digest(identity)})
    return path


def read_shards(probe: Probe, identity: Identity, folder: Path) -> Iterator[State]:
    """The states of all parts, one after another; all are looked at before the first is read.

    Raises
    ------
    MissingShard
        If there is none, or not every one.
    OtherShard
        If one belongs to another analysis.
    BadShard
        If a file cannot be read, or the folder holds parts of two divisions.
    """
    paths = _find(probe, folder)
    for number, path in enumerate(paths):
        _check(path, [number, len(paths)], identity)
    return (read_state(path, probe) for path in paths)


def _find(probe: Probe, folder: Path) -> list[Path]:
    found: dict[int, dict[int, Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if match := _NAME.fullmatch(path.name.removeprefix(probe.name)):
            number, count = map(int, match.groups())
            found.setdefault(count, {})[number] = path
    if len(found) > 1:
        divisions = " and ".join(f"of {count}" for count in sorted(found))
        raise BadShard(
            f"the parts of probe '{probe.name}' in '{folder}' cannot be joined; got parts {divisions}, allowed those "
            f"of one division; remove the others"
        )
    if not found:
        raise MissingShard(
            f"no part of probe '{probe.name}' is in '{folder}'; got none, allowed all of them; make them with --shard "
            f"0/N to N-1/N and the same --out"
        )
    ((count, parts),) = found.items()
    missing = [f"{number}/{count}" for number in range(count) if number not in parts]
    if missing:
        shown = " ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
        raise MissingShard(
            f"parts of probe '{probe.name}' are missing in '{folder}'; got {len(parts)} of {count}, allowed all; make "
            f"them with --shard {shown}"
        )
    return [parts[number] for number in range(count)]


def _check(path: Path, shard: list[int], identity: Identity) -> None:
    header = read_header(path)
    there = header.get("identity")
    if header.get("shard") != shard or not isinstance(there, dict):
        raise BadShard(
            f"'{path}' is no part of an analysis; got a header that says otherwise than its name, allowed what "
            f"--shard wrote; make it again"
        )
    if header.get("sha256") == _digest(identity):
        return
    wanted = json.loads(json.dumps(identity))
    name = next((name for name in {**wanted, **there} if wanted.get(name) != there.get(name)), "identity")
    raise OtherShard(
        f"'{path.name}' is a part of another analysis; got {name} {_short(there.get(name))}, allowed "
        f"{_short(wanted.get(name))}; make it again, or ask for what it is"
    )


def _digest(identity: Identity) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({hashlib.sha256(text.encode()).hexdigest()[:8]})"
