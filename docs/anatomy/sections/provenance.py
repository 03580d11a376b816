"""What the numbers are from, and the numbers that several sections name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from anatomy.found import Found
from anatomy.reading import steps_to_read
from anatomy.tables.splits import VISIBLE
from dit_lens.puzzles.canvas import FRAMES
from dit_lens.puzzles.maze import LONGEST_TRAINED_ROUTE

__all__ = ["texts"]


def texts(found: Found) -> dict[str, str]:
    """Provenance and settings."""
    courses = found["courses"]
    settings, schedule = courses["settings"], courses["schedule"]
    switch = next((at for at in schedule if at["expert"] == "transformer_2"), None)
    read = steps_to_read(settings["steps"], settings["reads"])
    return {
        "provenance": _provenance(found),
        "steps": str(settings["steps"]),
        "guidance": f"{settings['guidance']:g}",
        "n": str(settings["n"]),
        "reads": str(len(read)),
        "read_steps": ", ".join(map(str, read)),
        "longest": str(LONGEST_TRAINED_ROUTE),
        "visible": f"{VISIBLE:g}",
        "frames": str(FRAMES),
        "switch_step": "-" if switch is None else str(switch["step"]),
        "switch_sigma": "-" if switch is None else f"{switch['sigma']:.3f}",
        "fork_n": str(found["splits"]["settings"]["forks"]),
        "three_n": str(found["splits"]["settings"]["forks_of_three"]),
        "seeds": str(found["splits"]["settings"]["seeds"]),
        "swaps": str(found["swaps"]["settings"]["swaps"]),
        "maps": str(found["energy"]["settings"]["maps"]),
        "sweep": str(found["steps"]["settings"]["sweep"]),
    }


def _provenance(found: Found) -> str:
    """One line for each set of parts that was measured at once."""
    lines: dict[str, list[str]] = {}
    for name, part in found.items():
        versions = ", ".join(f"{package} {version}" for package, version in part["versions"].items())
        trial = " **A trial run with `--quick`: these numbers measure little.**" if part["quick"] else ""
        line = (
            f"`{part['model']}` with the weights {_fingerprint(part)} on {part['machine']}, {part['workers']} "
            f"processes, Python {part['python']}, {versions}, by `{part['command']}` on {part['date']}, in "
            f"{part['seconds']} s.{trial}"
        )
        lines.setdefault(line, []).append(name)
    if len(lines) == 1:
        return f"Measured: {next(iter(lines))}"
    return "\n\n".join(f"Measured ({', '.join(names)}): {line}" for line, names in lines.items())


def _fingerprint(part: Mapping[str, Any]) -> str:
    """Of the hashes of all files of weights, one short one."""
    return hashlib.sha256(json.dumps(part["weights"], sort_keys=True).encode()).hexdigest()[:12]
