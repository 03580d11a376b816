"""``dit-lens probes``: which probes are installed, from which package, and which are broken and why."""

from __future__ import annotations

from cyclopts import App

from dit_lens.cli.output import Json, show_json, show_table

__all__ = ["app", "list_"]

app = App(name="probes", help="Show the installed probes.")
_COLUMNS = ("name", "dist", "version", "status", "summary")


@app.command(name="list")
def list_(*, json: Json = False) -> None:
    """List the installed probes; a broken one is shown with its reason and harms no other."""
    from dit_lens.probing.registry import list_probes

    probes = [
        {
            "name": probe.name,
            "dist": probe.dist,
            "version": probe.version,
            "status": probe.status,
            "summary": probe.summary,
            "reason": probe.reason,
        }
        for probe in list_probes()
    ]
    if json:
        show_json({"probes": probes})
        return
    show_table(
        _COLUMNS, [[*(probe[c] for c in _COLUMNS[:-1]), probe["reason"] or probe["summary"]] for probe in probes]
    )
