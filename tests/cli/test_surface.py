"""The words of the command line are an interface: a change here is a change for everyone who wrote a script."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from cyclopts import App

from dit_lens.cli import app

SURFACE = {
    "analyze": {"STORE", "--figures", "--json", "--out", "--probe", "--set", "--trace"},
    "demo": {"--json", "--model", "--out", "--puzzle", "--seed", "--size", "--steps"},
    "models list": {"--json"},
    "models show": {"MODEL", "--json"},
    "models train": {"MODEL", "--device", "--json", "--out", "--recipe"},
    "probes list": {"--json"},
    "store info": {"STORE", "--json"},
    "trace": {
        "MODEL",
        "--capture",
        "--device",
        "--dtype",
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
        "--seed",
        "--size",
        "--steps",
        "--task",
        "--width",
    },
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


@pytest.mark.parametrize("words", ["--help", "trace --help", "--version"])
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


def test_no_command_is_help_too(dit_lens_command) -> None:
    said = dit_lens_command()
    assert said.code == 0
    assert "trace" in said.out
