"""What may be imported when: help and plain readers of stores must not wait for torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

import dit_lens


def modules_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nsys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return {name.split(".")[0] for name in done.stderr.split()}


def test_importing_dit_lens_imports_no_heavy_library() -> None:
    assert not {"torch", "diffusers", "zarr", "xarray"} & modules_after("import dit_lens")


def test_opening_stores_needs_no_torch() -> None:
    loaded = modules_after("from dit_lens_stores import open_store, create_store")
    assert not {"torch", "diffusers", "dit_lens"} & loaded


def test_captures_and_probes_need_no_torch() -> None:
    code = "import dit_lens as d; d.Capture, d.Selection, d.Address, d.Generation, d.analyze; d.list_probes()"
    assert not {"torch", "diffusers"} & modules_after(code)


@pytest.mark.parametrize("name", dit_lens.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(dit_lens, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'traces'"):
        _ = dit_lens.traces


def imported_by(package: str) -> set[str]:
    """Top-level names that the modules of a package import, at whatever place."""
    folder = Path(sys.modules[package].__path__[0])
    nodes = [node for path in folder.rglob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {
        name.split(".")[0] for name in plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    }


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("package", ["dit_lens", "dit_lens_probes", "dit_lens_stores"])
def test_every_import_is_a_declared_dependency(package: str) -> None:
    __import__(package)
    needed = [line for line in requires("dit-lens") or [] if not re.search("extra == '(dev|docs)'", line)]
    declared = {normal(re.split(r"[^\w.-]", line)[0]) for line in needed}
    owners = packages_distributions()
    foreign = {name for name in imported_by(package) - set(sys.stdlib_module_names) if not name.startswith("dit_lens")}
    undeclared = {name for name in foreign if not declared & {normal(dist) for dist in owners.get(name, [name])}}
    assert not undeclared
