"""What a user gets: hatchling obeys .gitignore, so a careless pattern there empties a package without an error."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "dit_lens": "dit_lens",
    "dit_lens_probes": "probes/dit_lens_probes",
    "dit_lens_stores": "stores/dit_lens_stores",
}
IGNORED = ("__pycache__", ".pyc", ".DS_Store")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(next(built.glob("*.whl")))


@pytest.fixture(scope="module")
def sdist_files(built: Path) -> set[str]:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        return {name.split("/", 1)[1] for name in archive.getnames()}


def files_of(package: str) -> set[str]:
    """Every file of a package in the tree, by its path in a wheel."""
    folder = ROOT / PACKAGES[package]
    found = (path for path in folder.rglob("*") if path.is_file() and not any(mark in str(path) for mark in IGNORED))
    return {f"{package}/{path.relative_to(folder).as_posix()}" for path in found}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_holds_every_file_of_a_package(wheel: zipfile.ZipFile, package: str) -> None:
    missing = files_of(package) - set(wheel.namelist())
    assert not missing


def test_the_wheel_has_nothing_else_at_its_top(wheel: zipfile.ZipFile) -> None:
    top = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}
    assert top == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(wheel: zipfile.ZipFile, package: str) -> None:
    assert f"{package}/py.typed" in wheel.namelist()


def test_the_weights_travel_in_wheel_and_sdist(wheel: zipfile.ZipFile, sdist_files: set[str]) -> None:
    weights = {name for name in files_of("dit_lens") if name.startswith("dit_lens/tiny/weights/")}
    assert any(name.endswith(".safetensors") for name in weights)
    assert weights <= set(wheel.namelist())
    assert weights <= sdist_files


def test_the_weights_are_small() -> None:
    weights = ROOT / "dit_lens" / "tiny" / "weights"
    assert 0 < sum(path.stat().st_size for path in weights.rglob("*.safetensors")) <= 24e6


def test_the_sdist_can_be_worked_on(sdist_files: set[str]) -> None:
    needed = {"pyproject.toml", "constraints.txt", "Makefile", "LICENSE", "README.md", "tests/conftest.py"}
    assert needed <= sdist_files
    assert {path for path in PACKAGES.values() if f"{path}/__init__.py" in sdist_files} >= {"dit_lens"}


def test_the_installed_distribution_announces_command_and_probe() -> None:
    points = {(point.group, point.name): point.value for point in distribution("dit-lens").entry_points}
    assert points["console_scripts", "dit-lens"] == "dit_lens.cli:main"
    assert points["dit_lens.probes", "energy"] == "dit_lens_probes.energy:Energy"


def test_constraints_are_plain_pins() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(line.count("==") == 1 and "+" not in line and "/" not in line for line in lines)
    assert len({line.split("==")[0].lower() for line in lines}) == len(lines)
