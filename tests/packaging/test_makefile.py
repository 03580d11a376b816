"""The two commands of the README exist and mean what it says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = ("setup", "demo", "test", "check", "docs", "clean", "help")


def make(*words: str) -> str:
    done = subprocess.run(["make", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def test_help_names_every_target() -> None:
    listed = make("help")
    assert all(f"make {target} " in listed for target in TARGETS)


@pytest.mark.parametrize("target", ["demo", "test", "check"])
def test_a_fresh_clone_is_set_up_first(target: str, tmp_path: Path) -> None:
    plan = make("--dry-run", target, f"VENV={tmp_path / 'venv'}")
    assert plan.index("-m venv") < plan.index("-c constraints.txt -e") < plan.rindex(str(tmp_path / "venv" / "bin"))


def test_set_up_is_done_once(tmp_path: Path) -> None:
    stamp = tmp_path / "venv" / ".dit-lens-installed"
    stamp.parent.mkdir()
    stamp.touch()
    assert "pip install" not in make("--dry-run", "demo", f"VENV={tmp_path / 'venv'}")


def test_continuous_integration_checks_and_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = [line for line in script.read_text(encoding="utf-8").splitlines() if line.startswith("make")]
    assert commands == ["make check", "make test"]
