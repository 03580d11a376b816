"""Every command of the page and of the help can be read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dit_lens.cli import app
from dit_lens.cli.bench import EXAMPLES

PAGE = (Path(__file__).parents[2] / "docs" / "bench.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\s*(?:\$ )?dit-lens (bench.*)$", PAGE + EXAMPLES, flags=re.MULTILINE)


def test_there_are_commands() -> None:
    assert len(LINES) == 10


@pytest.mark.parametrize("line", LINES)
def test_every_command_can_be_read(line: str) -> None:
    words = shlex.split(line, comments=True)
    command, bound, ignored = app.parse_args(words, exit_on_error=False, print_error=False)
    assert command.__name__ == "bench"
    assert not ignored
    options = bound.arguments["options"] if len(words) > 2 else None
    assert options is None or {f"--{name.strip('_').replace('_', '-')}" for name in options.model_fields_set} == {
        word for word in words if word.startswith("--")
    }
