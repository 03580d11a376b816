"""Where a pipeline came from, for the manifest: its name, and never a path of this computer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dit_lens.generation import Size

__all__ = ["Origin", "name_of"]


@dataclass(frozen=True)
class Origin:
    """Where a pipeline came from, as far as it is known.

    Attributes
    ----------
    model : str
        Name, Hub id or folder name; never a path.
    folder : pathlib.Path or None
        Local folder that the weights have just been loaded from.
    licence : str or None
    size : Size or None
        The size that the model was made for.
    revision : str or None
        Commit of the repository on the Hub.
    """

    model: str
    folder: Path | None = None
    licence: str | None = None
    size: Size | None = None
    revision: str | None = None


def name_of(pipeline: Any) -> str:
    """The Hub id or the folder's own name, if the pipeline was loaded from one; otherwise its class."""
    name = str(pipeline.config.get("_name_or_path") or type(pipeline).__name__)
    return Path(name).name if Path(name).is_absolute() or name.startswith(".") else name
