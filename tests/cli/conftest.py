"""A model folder for the command line: the parts of tiny-wan, untrained, so that these tests need no weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dit_lens.cli import run


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line on stderr; fails if there are more."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


Command = Callable[..., Said]


@pytest.fixture
def dit_lens_command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command line in this process."""

    def call(*words: object) -> Said:
        capsys.readouterr()  # what a fixture said is not what this command says
        code = run([str(word) for word in words])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from dit_lens.tiny.train.assemble import assemble
    from dit_lens.tiny.train.autoencoder import build_autoencoder
    from dit_lens.tiny.train.denoiser import build_denoiser

    torch.manual_seed(0)
    vae = build_autoencoder()
    channels = vae.config.z_dim
    pipeline = assemble(vae, build_denoiser(), build_denoiser(), [0.0] * channels, [1.0] * channels)
    folder = tmp_path_factory.mktemp("models") / "untrained"
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def store(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two traces of two steps, made by the command itself."""
    out = tmp_path_factory.mktemp("stores") / "maze.zarr"
    words = f"trace {model} --task maze --size 3 --seed 0:2 --steps 2 --frames 17 --for energy --out {out}"
    assert run(words.split()) == 0
    return out


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a test; nothing is in it."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
