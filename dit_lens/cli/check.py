"""``dit-lens models check``: hold the adapter of a model against the model itself, on weights of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from dit_lens.cli.output import Json, show_json, show_table
from dit_lens.cli.runs import load_quietly

if TYPE_CHECKING:
    from dit_lens.testing import AdapterReport

__all__ = ["check"]


def check(
    model: str,
    /,
    *,
    height: Annotated[int | None, Parameter(help="Height in pixels, if not the smallest that the model takes.")] = None,
    width: Annotated[int | None, Parameter(help="Width in pixels, if not the smallest that the model takes.")] = None,
    frames: Annotated[int | None, Parameter(help="Frames, if not the fewest that tell frames apart.")] = None,
    dtype: Annotated[Literal["float32", "bfloat16", "float16"] | None, Parameter(help="Type to compute in.")] = None,
    device: Annotated[str | None, Parameter(help="Device to compute on, such as cpu or cuda.")] = None,
    json: Json = False,
) -> None:
    """Check a model: that every layer, token, branch and step is where dit-lens says, and that a trace changes no bit.

    Generates a few times two steps of a small video, and ends with exit code 1 if any check failed.

    Parameters
    ----------
    model
        `tiny-wan`, a local diffusers folder, or a Hub id.
    """
    lens = load_quietly(model, dtype=dtype, device=device)
    from dit_lens.testing import check_adapter, small_request

    given = {"height": height, "width": width, "frames": frames}
    request = small_request(lens.pipeline, lens.family, size=lens.origin.size, **given)
    report = check_adapter(lens, request, raises=False)
    _show(model, report, as_json=json)
    report.require()


def _show(model: str, report: AdapterReport, *, as_json: bool) -> None:
    if as_json:
        show_json({"model": model, **report.as_dict()})
        return
    rows = [(row.name, row.outcome, "; ".join(filter(None, (row.seen, row.remedy)))) for row in report.checks]
    show_table(["check", "outcome", "seen"], rows)
