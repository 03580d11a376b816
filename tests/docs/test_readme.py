"""What the README shows is run here, in its order, after the demo that it tells the reader to run."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from dit_lens.cli import run

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(["demo"]) == 0
    return folder


def test_there_is_python_to_run() -> None:
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize("block", BLOCKS)
def test_every_python_block_runs(block: str, demo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a file, as a reader would run it: nnsight reads a block's own source."""
    monkeypatch.chdir(demo_folder)
    (demo_folder / "block.py").write_text(block, encoding="utf-8")
    runpy.run_path(str(demo_folder / "block.py"))


def test_every_file_that_the_readme_names_is_there() -> None:
    named = re.findall(r"\]\(([\w./-]+)\)|`(dit_lens/tiny/[\w./-]+)`", README)
    root = Path(__file__).parents[2]
    assert all((root / (link or path)).exists() for link, path in named)
