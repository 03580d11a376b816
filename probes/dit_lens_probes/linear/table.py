"""Labels from a table: CSV with the columns ``trace``, perhaps ``frame`` and ``token``, and one or more of labels.

Numbers of frames and tokens are the model's own. An empty cell is no label: what it belongs to is left out. A row
without a frame in a table that has the column would belong to something else than the others, and is refused.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dit_lens.probing import BadParams
from dit_lens_stores.errors import close_match

__all__ = ["Table", "read_table"]

Key = tuple[str, int | None, int | None]
_PLACES = ("frame", "token")


@dataclass(frozen=True)
class Table:
    """Labels by trace, frame and token.

    Attributes
    ----------
    name : str
        Of the file.
    level : {"trace", "frame", "token"}
    labels : mapping
        From (trace, frame, token) to text; frame and token are None where the level is above them.
    traces : frozenset of str
        Those with at least one label.
    """

    name: str
    level: Literal["trace", "frame", "token"]
    labels: Mapping[Key, str]
    traces: frozenset[str]


def read_table(path: str, column: str) -> Table:
    r"""Read a table of labels.

    Parameters
    ----------
    path : str
    column : str
        Which column holds the labels; ``answer``, the default of the probe, also finds a column ``label``.

    Raises
    ------
    BadParams
        If there is no such file or column, a row is short, or two rows label the same.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "labels.csv"
    >>> _ = path.write_text("\n".join(["trace,frame,label", "a,0,red", "a,1,blue"]))
    >>> read_table(str(path), "label").level
    'frame'
    """
    name, rows, columns = Path(path).name, *_rows(path)
    if column not in columns and column == "answer":
        column = "label"
    needed = ["trace", column]
    for wanted in needed:
        if wanted not in columns:
            message = f"'{name}' has no column '{wanted}'; got {', '.join(columns) or 'none'}, allowed"
            raise BadParams(f"{message} trace[,frame[,token]],{column}" + (close_match(wanted, columns) or "; add it"))
    places = [place for place in _PLACES if place in columns]
    if places == ["token"]:
        raise BadParams(f"'{name}' has tokens but no frames; got {', '.join(columns)}, allowed frame and token; add it")
    labels: dict[Key, str] = {}
    for line, row in enumerate(rows, start=2):
        key = _key(name, line, row, places)
        if key in labels:
            raise BadParams(f"'{name}' labels the same twice; got line {line} again, allowed one row each; remove one")
        if row[column].strip():
            labels[key] = row[column].strip()
    level: Literal["trace", "frame", "token"] = "token" if len(places) == 2 else "frame" if places else "trace"
    return Table(name, level, labels, frozenset(trace for trace, _, _ in labels))


def _rows(path: str) -> tuple[list[dict[str, str]], list[str]]:
    try:
        with Path(path).expanduser().open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="", restkey="")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "no table in UTF-8"
        raise BadParams(
            f"linear.csv cannot be read; got '{path}' ({reason}), allowed a CSV file; check the path"
        ) from error
    return rows, [str(name) for name in reader.fieldnames or ()]


def _key(name: str, line: int, row: Mapping[str, str], places: list[str]) -> Key:
    numbers: list[int | None] = []
    for place in places:
        text = row[place].strip()
        if not text.isdigit():
            message = f"line {line} of '{name}' has no {place}; got '{text}', allowed a number from 0"
            raise BadParams(f"{message}; label every row by {' and '.join(places)}, or remove the column")
        numbers.append(int(text))
    numbers += [None] * (2 - len(numbers))
    return row["trace"].strip(), numbers[0], numbers[1]
