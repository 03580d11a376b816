"""When answers are there: films, the gap, commitment."""

from __future__ import annotations

from collections.abc import Sequence

from anatomy.found import Found
from anatomy.groups import BY_NAME, GROUPS, MAZES, Group
from anatomy.sections.markdown import table
from anatomy.tables import CommitmentRow, GapRow, commitment_rows, group_rows, route_rows

__all__ = ["texts"]

_ALL = Group("all", "all mazes", "maze", "plain")


def texts(found: Found) -> dict[str, str]:
    """By placeholder."""
    records = found["courses"]["records"]
    names = {group.name for group in MAZES}
    return {
        "films_table": _films(found),
        "gap_n": str(sum(record["group"] in names for record in records)),
        **_whole_gap(found, in_domain=True),
        **_whole_gap(found, in_domain=False),
        "gap_table": _gap("maze", group_rows(records, MAZES)),
        "route_table": _gap("route", route_rows(records)),
        "commitment_table": _commitment(found, commitment_rows(records, GROUPS)),
    }


def _films(found: Found) -> str:
    part = found["films"]
    rows = []
    for film in part["records"]:
        sure = [step for step, x0 in zip(film["read"], film["x0"], strict=True) if x0["solved"]]
        first = f"step {sure[0]} (σ {part['schedule'][sure[0]]['sigma']:.3f})" if sure else "none"
        final = film["final"]
        verdict = "yes" if final["solved"] else "no"
        rows.append([BY_NAME[film["group"]].title, film["prompt"], first, verdict, f"{final['overall']:.2f}"])
    return table(["kind", "prompt", "first x0 shown that is right", "video right", "score of the video"], rows)


def _whole_gap(found: Found, in_domain: bool) -> dict[str, str]:
    """The gap over all mazes in domain, or out of it, as if they were one group; sizes weigh the same."""
    names = {group.name for group in MAZES if group.in_domain == in_domain}
    records = [{**each, "group": "all"} for each in found["courses"]["records"] if each["group"] in names]
    row = group_rows(records, [_ALL])[0]
    key = "trained" if in_domain else "untrained"
    return {
        f"gap_{key}_first": f"{row.first}",
        f"gap_{key}_end": f"{row.end}",
        f"gap_{key}_gain": f"{row.gain:+.2f}",
    }


def _gap(what: str, rows: Sequence[GapRow]) -> str:
    head = [what, "in domain", "n", "right at x0 of step 0", "right at the end", "gap"]
    return table(
        head,
        [
            [
                row.title.removesuffix(" (out of domain)"),
                _yes(row.in_domain),
                row.end.n,
                row.first,
                row.end,
                f"{row.gain:+.2f}",
            ]
            for row in rows
        ],
    )


def _commitment(found: Found, rows: Sequence[CommitmentRow]) -> str:
    schedule = found["courses"]["schedule"]

    def quartiles(steps: tuple[int, int, int] | None) -> str:
        if steps is None:
            return "-"
        low, middle, high = steps
        return f"step {middle} (σ {schedule[middle]['sigma']:.3f}); half in {low} to {high}"

    head = ["group", "answers", "final at step 0", "first readable, median", "final, median", "revised", "late"]
    cells = [
        [
            row.title,
            f"{row.answered} of {row.n}",
            row.at_once,
            quartiles(row.first),
            quartiles(row.final),
            row.revised,
            str(row.late),
        ]
        for row in rows
    ]
    return table(head, cells) + (
        "\n\n*Late* are those whose last x0 that was read still differs from the video: for them there is no step, and "
        "they are left out of the medians, but not of the shares."
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"
