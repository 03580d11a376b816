"""Stores to ask, and a third-party package that is really installed."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dit_lens.testing import synthetic_store

collect_ignore = ["plugin_package"]  # its modules belong to another package, and one of them cannot be imported

PLUGIN = Path(__file__).parent / "plugin_package"


@pytest.fixture(scope="session")
def energies(tmp_path_factory):
    """Two traces with energies, raw values and video."""
    return synthetic_store(tmp_path_factory.mktemp("stores") / "s.zarr", ["block.out:energy", "block.out:raw"])


@pytest.fixture(scope="session")
def _installed_plugin(tmp_path_factory):
    """Install the package with pip, as a user would, into a folder of its own."""
    base = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(PLUGIN, base / "source")  # a build leaves files behind
    target = base / "site"
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *flags, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def plugin(_installed_plugin, monkeypatch):
    """The third-party package, found by Python for the length of one test."""
    monkeypatch.syspath_prepend(str(_installed_plugin))
    importlib.invalidate_caches()
    return _installed_plugin
