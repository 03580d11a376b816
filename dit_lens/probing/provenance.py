"""What a result was made from: its attributes, and the identity by which the parts of one analysis know each other."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dit_lens.probing.chunks import TraceCut
from dit_lens.probing.files import FILE_MODULE
from dit_lens.probing.protocol import Probe
from dit_lens.probing.registry import package_of

__all__ = ["identity_of", "manifest_digest", "provenance"]


def provenance(probe: Probe, cuts: Sequence[TraceCut], skipped: Sequence[str]) -> dict[str, Any]:
    """Flat attributes, so that a result can be written to Zarr and to netCDF alike.

    Parameters
    ----------
    probe : Probe
    cuts : sequence of TraceCut
        What was read.
    skipped : sequence of str
        Traces that were left out, with the reason.

    Returns
    -------
    dict

    Examples
    --------
    >>> from dit_lens_probes.energy import Energy
    >>> provenance(Energy(), [], [])["captures"]
    ['block.out:energy']
    """
    from dit_lens import __version__

    return {
        "probe": probe.name,
        "probe_version": probe.version,
        "probe_package": package_of(type(probe)) or type(probe).__module__,
        "params": _params(probe),
        "captures": [str(capture) for capture in probe.captures()],
        "traces": [cut.trace_id for cut in cuts],
        "manifest_sha256": [manifest_digest(cut.manifest) for cut in cuts],
        "skipped": list(skipped),
        "software": f"dit-lens {__version__}",
    }


def identity_of(probe: Probe, cuts: Sequence[TraceCut], nbytes: int) -> dict[str, Any]:
    """What must be the same in all parts of one analysis; paths are not among it.

    Parameters
    ----------
    probe : Probe
    cuts : sequence of TraceCut
    nbytes : int
        How much is read in all.

    Returns
    -------
    dict

    Examples
    --------
    >>> from dit_lens_probes.energy import Energy
    >>> identity_of(Energy(), [], 0)["probe"]
    'energy'
    """
    facts = provenance(probe, cuts, []) | {"bytes": nbytes}
    name = type(probe).__module__
    if name.startswith(FILE_MODULE):  # it is made of the path, which may be another for each job
        facts["probe_package"] = hashlib.sha256(Path(str(sys.modules[name].__file__)).read_bytes()).hexdigest()
    return {fact: value for fact, value in facts.items() if fact != "skipped"}


def _params(probe: Probe) -> str:
    params = getattr(probe, "params", None)
    return str(params.model_dump_json()) if params is not None else "{}"


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """The hash of a manifest, by which a result knows the run that it was made from.

    Examples
    --------
    >>> manifest_digest({"seed": 0})[:8]
    'de7d7744'
    """
    return hashlib.sha256(json.dumps(manifest, sort_keys=True, default=str).encode()).hexdigest()
