"""Edits in a file of JSON: one model reads it, refuses what is wrong in it, and gives its schema.

A file holds one edit or a list of them; each is an object, or the short form as text. What lives in Python alone, a
tensor or a function, has no form in a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dit_lens.complaints import complain
from dit_lens.edits.edit import Edit, Op
from dit_lens.edits.mask import Mask
from dit_lens.edits.sources import Constant, File, Noise, Source, Stored
from dit_lens.engine.errors import BadEdit
from dit_lens.selection import Selection, Term

__all__ = ["EditRow", "edits_json", "edits_schema", "load_edits"]

_Written = Annotated[Constant | Noise | Stored | File, Field(discriminator="kind")]
_Place = Literal["state", "view", "block.out", "attn1.out", "attn2.out", "ffn.out", "velocity", "velocity.guided"]


class EditRow(BaseModel):
    """One edit of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: _Place
    where: str | dict[str, Term | tuple[Term, ...]] = Field("", description="As text, or terms by axis.")
    op: Op
    source: float | _Written | tuple[_Written, ...] | None = None
    mask: Mask | str | None = Field(None, description="Shape and bits, or the path of a .npy file of true and false.")

    def edit(self) -> Edit:
        """The edit that it says.

        Raises
        ------
        BadEdit, BadSelection
        """
        where = Selection.parse(self.where) if isinstance(self.where, str) else Selection(**self.where)  # type: ignore[arg-type]
        mask = _mask(self.mask) if isinstance(self.mask, str) else self.mask
        return Edit(self.site, where, self.op, self.source, mask)


_ROWS: TypeAdapter[Any] = TypeAdapter(EditRow | str | list[EditRow | str])


def load_edits(path: str | Path) -> tuple[Edit, ...]:
    """Read a file of edits.

    Parameters
    ----------
    path : str or pathlib.Path

    Returns
    -------
    tuple of Edit

    Raises
    ------
    BadEdit, BadSelection
        On one line, with the number of the edit that is wrong.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "edits.json"
    >>> _ = path.write_text('[{"site": "block.out", "where": "layer=4", "op": "scale", "source": 0.5}]')
    >>> [str(edit) for edit in load_edits(path)]
    ['block.out:scale:0.5[layer=4]']
    """
    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadEdit(
            f"the file of edits cannot be read; got {path}: {' '.join(str(error).split())}, allowed JSON; check the "
            f"path"
        ) from None
    rows = told if isinstance(told, list) else [told]
    if not rows:
        raise BadEdit(f"the file of edits has none; got {path} with an empty list, allowed one or more; add one")
    return tuple(_read(row, number, path) for number, row in enumerate(rows))


def edits_json(edits: Iterable[Edit]) -> str:
    """Edits as the text of a file.

    Raises
    ------
    BadEdit
        If one has a source that lives in Python alone.

    Examples
    --------
    >>> print(edits_json([Edit("block.out", "layer=4", "scale", 0.5)]))
    [
      {"site": "block.out", "where": "layer=4", "op": "scale", "source": [{"kind": "constant", "value": 0.5}]}
    ]
    """
    rows = [json.dumps(_written(edit)) for edit in edits]
    return "[\n" + ",\n".join(f"  {row}" for row in rows) + "\n]"


def edits_schema() -> dict[str, Any]:
    """The JSON Schema of a file of edits.

    Examples
    --------
    >>> sorted(edits_schema()["$defs"])
    ['Constant', 'EditRow', 'File', 'Mask', 'Noise', 'Stored']
    """
    return _ROWS.json_schema()


def _read(row: Any, number: int, path: str | Path) -> Edit:
    if isinstance(row, str):
        return Edit.parse(row)
    try:
        return EditRow.model_validate(row).edit()
    except ValidationError as error:
        problem = next(iter(error.errors(include_url=False)))
        own = problem.get("ctx", {}).get("error")
        told = str(own) if isinstance(own, BadEdit) else complain(problem, EditRow)
        raise BadEdit(f"edit {number} of {Path(path).name}: {told}") from None


def _written(edit: Edit) -> dict[str, Any]:
    foreign = [source for source in edit.sources if not isinstance(source, (Constant, Noise, Stored, File))]
    if foreign:
        raise BadEdit(
            f"edit '{edit}' cannot be written; got {type(foreign[0]).__name__}, allowed Constant, Noise, Stored or "
            f"File; save the tensor with numpy.save and name it as a File"
        )
    row: dict[str, Any] = {"site": edit.site, "where": str(edit.where), "op": edit.op}
    row |= {"source": [_told(source) for source in edit.sources]} if edit.sources else {}
    return row | ({"mask": asdict(edit.mask)} if edit.mask is not None else {})


def _told(source: Source) -> dict[str, Any]:
    """What a source says, its defaults aside."""
    usual = {field.name: field.default for field in fields(source)}
    return {"kind": source.kind} | {name: value for name, value in asdict(source).items() if value != usual[name]}


def _mask(path: str) -> Mask:
    try:
        return Mask.of(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        if isinstance(error, BadEdit):
            raise
        raise BadEdit(
            f"the mask of an edit cannot be read; got {path}: {' '.join(str(error).split())}, allowed a .npy file of "
            f"true and false; check the path"
        ) from None
