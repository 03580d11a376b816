"""The words of the command line are an interface: a change here is a change for everyone who wrote a script."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts import App

from dit_lens.cli import app
from dit_lens.cli.app import INTERRUPTED
from dit_lens.errors import DitLensError, IncompleteTrace, OverBudget
from dit_lens.probing import ProbeFailed

ROOT = Path(__file__).parents[2]
REQUEST = {
    "--batch",
    "--budget",
    "--capture",
    "--device",
    "--dtype",
    "--edit",
    "--for",
    "--frames",
    "--guidance",
    "--guidance-2",
    "--height",
    "--image",
    "--json",
    "--negative-prompt",
    "--out",
    "--prompt",
    "--puzzle",
    "--reset",
    "--seed",
    "--set",
    "--size",
    "--start",
    "--steps",
    "--stop-after",
    "--task",
    "--variant",
    "--video",
    "--width",
}
SURFACE = {
    "analyze": {
        "STORES",
        "--combine",
        "--figures",
        "--json",
        "--out",
        "--probe",
        "--scheduler",
        "--set",
        "--shard",
        "--trace",
    },
    "bench": {
        "MODEL",
        "--batch",
        "--data",
        "--device",
        "--dtype",
        "--edit",
        "--frames",
        "--guidance",
        "--guidance-2",
        "--height",
        "--json",
        "--n",
        "--negative-prompt",
        "--out",
        "--reset",
        "--scores",
        "--seeds",
        "--set",
        "--shard",
        "--size",
        "--start",
        "--steps",
        "--stop-after",
        "--tasks",
        "--videos",
        "--width",
    },
    "demo": {"--json", "--model", "--out", "--puzzle", "--seed", "--size", "--steps"},
    "figure": {"RESULT", "--format", "--json", "--name", "--out", "--probe", "--set", "--style", "--width"},
    "intervene": {
        "MODEL",
        "--data",
        "--device",
        "--dtype",
        "--figures",
        "--frames",
        "--guidance",
        "--guidance-2",
        "--height",
        "--image",
        "--json",
        "--n",
        "--negative-prompt",
        "--out",
        "--probe",
        "--prompt",
        "--seeds",
        "--set",
        "--size",
        "--steps",
        "--task",
        "--width",
        "--workers",
    },
    "models check": {"MODEL", "--device", "--dtype", "--frames", "--height", "--json", "--width"},
    "models list": {"--json"},
    "models show": {"MODEL", "--json"},
    "models train": {"MODEL", "--device", "--further", "--json", "--out", "--quick"},
    "plan": {"MODEL", *REQUEST},
    "probes list": {"--json"},
    "report": {"RESULTS", "--bundle", "--cap", "--decode", "--json", "--out", "--store"},
    "store info": {"STORE", "--json"},
    "store ls": {"STORE", "--json"},
    "store merge": {"STORES", "--json", "--out"},
    "store pack": {"STORE", "--json", "--license", "--model-license", "--out", "--partial"},
    "store pull": {"SOURCE", "OUT", "--array", "--json", "--select", "--trace"},
    "store push": {
        "STORE",
        "TARGET",
        "--allow-private",
        "--json",
        "--license",
        "--model-license",
        "--partial",
        "--private",
    },
    "store rechunk": {"STORE", "--chunk", "--json", "--out", "--shard", "--trace"},
    "store select": {"STORE", "--array", "--encoding", "--json", "--out", "--select", "--trace"},
    "store verify": {"STORE", "--json", "--trace"},
    "trace": {"MODEL", "--shard", *REQUEST},
}


def commands_of(root: App, path: tuple[str, ...] = ()) -> dict[str, App]:
    """Every command that does something, by its words."""
    names = [name for name in root if not name.startswith("-")]
    if not names:
        return {" ".join(path): root}
    return {words: app for name in names for words, app in commands_of(root[name], (*path, name)).items()}


def words_of(command: App) -> set[str]:
    arguments = command.assemble_argument_collection()
    return {argument.name for argument in arguments if argument.show}


def test_the_surface_is_frozen() -> None:
    assert {words: words_of(command) for words, command in commands_of(app).items()} == SURFACE


def test_every_command_can_speak_json() -> None:
    assert all("--json" in words for words in SURFACE.values())


@pytest.mark.parametrize("words", SURFACE)
def test_every_command_has_help(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    app([*words.split(), "--help"], result_action="return_value")
    said = capsys.readouterr()
    assert f"dit-lens {words}" in said.out
    assert said.err == ""


@pytest.mark.parametrize("words", ["--help", "trace --help", "plan --help", "bench --help", "--version"])
def test_help_imports_nothing_heavy(words: str) -> None:
    program = (
        "import sys\n"
        "from dit_lens.cli import run\n"
        f"code = run({words.split()})\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'nnsight', 'zarr', 'xarray', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(code or f'imported {sorted(heavy)}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_is_fast() -> None:
    command = [sys.executable, "-m", "dit_lens", "--help"]
    seconds = []
    for _ in range(3):  # processor time, and the best of three: the machine may be busy, the command may not
        before = os.times().children_user
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(os.times().children_user - before)
    assert min(seconds) < 1.0


def test_training_is_as_quiet_as_the_other_commands(tmp_path: Path) -> None:
    """In a process of its own, because a loader says what it has to say when it is first imported."""
    command = [sys.executable, "-m", "dit_lens", "models", "train", "tiny-wan", "--device", "cdua", "--out", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_the_readme_names_every_exit_code() -> None:
    said = (ROOT / "README.md").read_text(encoding="utf-8").partition("Exit codes: ")[2].partition("\n\n")[0]
    codes = {
        0,
        DitLensError.exit_code,
        ProbeFailed.exit_code,
        IncompleteTrace.exit_code,
        OverBudget.exit_code,
        INTERRUPTED,
    }
    assert {int(code) for code in re.findall(r"\b\d+\b", said)} == codes


def test_make_demo_passes_arguments_on() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    command = ["make", "--dry-run", "demo", "ARGS=--out runs/other"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert any(line.endswith("dit-lens demo --out runs/other") for line in done.stdout.splitlines())


def test_no_command_is_help_too(dit_lens_command) -> None:
    said = dit_lens_command()
    assert said.code == 0
    assert "trace" in said.out
