"""What every page says of an experiment: its commands, sizes, controls and provenance, and what draws its figures."""

from __future__ import annotations

from experiments.found import Found

__all__ = ["told"]


def told(one: Found, *figures: str) -> dict[str, str]:
    """Command, sizes, controls and provenance, and of each figure by which command it is drawn."""
    puzzles, seeds = one.sizes
    document = one.document
    versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    trial = " **A trial run: these numbers measure little.**" if document["quick"] else ""
    held = [f"`{name}` in {units} units" for name, units in one.controls.items() if name.endswith("identical")]
    return {
        "command": document["command"],
        "sizes": f"{puzzles} puzzles x {seeds} {'seed' if seeds == 1 else 'seeds'}",
        **({"controls": "; ".join(held)} if held else {}),
        "provenance": (
            f"On the weights {document['weights_sha256'][:12]}, {document['machine']}, Python {document['python']}, "
            f"{versions}, {document['date']}; {_took(document['seconds'])}.{trial}"
        ),
        **{f"drawn_{name}": _drawn(one.commands[name]) for name in figures},
    }


def _took(seconds: int | None) -> str:
    if seconds is None:
        return "stopped and gone on"
    minutes = round(seconds / 60)
    return f"{minutes} {'minute' if minutes == 1 else 'minutes'}"


def _drawn(command: str) -> str:
    return f"Drawn from the result, with its data beside it, by\n\n```\n{command}\n```\n"
