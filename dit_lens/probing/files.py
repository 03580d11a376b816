"""Probes that live in a file: ``./mine.py:Class``, for an idea that is not a package yet.

The file is run, so it is run only if the user points at it. A file inside a store is refused: stores are downloaded,
and nothing that is in one is ever executed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import cast

from dit_lens.probing.errors import BrokenProbe, UnknownProbe
from dit_lens.probing.protocol import AnyProbe, reasons_against
from dit_lens_stores.errors import close_match

__all__ = ["FILE_MODULE", "is_file_name", "probe_from_file"]

FILE_MODULE = "dit_lens_probe_file_"
"""How the names of modules begin that were made of files; no other process can import them."""

_FILE_NAME = re.compile(r"(?P<path>.+\.py)(?::(?P<attribute>[^:/\\]*))?")


def is_file_name(name: str) -> bool:
    """Whether a name means a file rather than an installed probe.

    Examples
    --------
    >>> is_file_name("./mine.py:Mine"), is_file_name("mine.py"), is_file_name("some-package:energy")
    (True, True, False)
    """
    return _FILE_NAME.fullmatch(name) is not None


def probe_from_file(name: str) -> type[AnyProbe]:
    """Run a file and return the probe that it defines.

    Parameters
    ----------
    name : str
        ``"./mine.py:Class"``, or ``"./mine.py"`` if the file defines one probe only.

    Returns
    -------
    type of Probe or CausalProbe

    Raises
    ------
    UnknownProbe
        If there is no such file, or no such class in it.
    BrokenProbe
        If the file raises, lies inside a store, or the class is no probe.

    Examples
    --------
    >>> probe_from_file("./no_such_file.py:Mine")
    Traceback (most recent call last):
    ...
    dit_lens.probing.errors.UnknownProbe: no file holds the probe './no_such_file.py:Mine'; ...
    """
    parts = _FILE_NAME.fullmatch(name)
    if parts is None:
        raise UnknownProbe(f"'{name}' names no file; got '{name}', allowed ./mine.py:Class; add the ending .py")
    path = Path(parts["path"]).expanduser()
    if not path.is_file():
        raise UnknownProbe(f"no file holds the probe '{name}'; got '{path}', allowed a Python file; check the path")
    _refuse_store(path, name)
    module = _run(path, name)
    found = _pick(module, parts["attribute"] or "", name)
    if reasons := reasons_against(found):
        raise BrokenProbe(f"'{name}' is no probe; got {'; '.join(reasons)}; see dit_lens.probing.Probe")
    return cast("type[AnyProbe]", found)


def _refuse_store(path: Path, name: str) -> None:
    inside = [folder for folder in path.resolve().parents if (folder / "zarr.json").exists()]
    if inside:
        message = f"'{name}' lies inside the store '{inside[0].name}'; got code in a store, allowed code outside of one"
        raise BrokenProbe(f"{message}; read it, then copy it elsewhere")


def _run(path: Path, name: str) -> ModuleType:
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    module_name = f"{FILE_MODULE}{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise BrokenProbe(f"'{name}' cannot be run; got '{path}', allowed a Python file; check the path")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # pydantic and pickle look a class's module up by name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise BrokenProbe(f"the file of probe '{name}' cannot be run; got {reason}; correct '{path}'") from error
    return module


def _pick(module: ModuleType, attribute: str, name: str) -> object:
    own = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
    }
    probes = sorted(key for key, value in own.items() if not reasons_against(value))
    if not attribute and len(probes) == 1:
        return own[probes[0]]
    if attribute and hasattr(module, attribute):
        return getattr(module, attribute)
    listed = ", ".join(probes) or "none"
    hint = close_match(attribute, [*probes, *own])
    path = name.removesuffix(f":{attribute}")
    raise UnknownProbe(
        f"no class in '{path}' was chosen; got '{attribute}', allowed {listed}; write {path}:Class{hint}"
    )
