"""``dit-lens models check``: a table or JSON on stdout, exit code 0 where all holds and 1 where anything fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dit_lens.adapters import wan
from dit_lens.testing import check_adapter

SMALL = ("--height", 32, "--width", 48, "--frames", 5)


def test_a_model_that_holds(dit_lens_command: Any, model: Path, empty: Path) -> None:
    said = dit_lens_command("models", "check", model, *SMALL)
    assert said.code == 0
    assert said.err == ""
    rows = [line.split()[:2] for line in said.out.splitlines()]
    assert rows[0] == ["check", "outcome"]
    assert ["tokens.frames", "passed"] in rows
    assert {outcome for _, outcome in rows[1:]} == {"passed"}
    assert "2 steps of 32 x 48 x 5" in said.out
    assert list(empty.iterdir()) == []


@pytest.mark.slow
def test_json_holds_the_same(dit_lens_command: Any, model: Path) -> None:
    said = dit_lens_command("models", "check", model, *SMALL, "--json", "--dtype", "bfloat16")
    assert said.code == 0
    record = said.json
    assert record["model"] == str(model)
    assert (record["pipeline"], record["family"], record["passed"]) == ("WanImageToVideoPipeline", "wan", True)
    assert set(record["checks"][0]) == {"name", "outcome", "seen", "remedy"}


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_a_model_that_does_not_hold(
    dit_lens_command: Any, model: Path, monkeypatch: pytest.MonkeyPatch, json: tuple[str, ...]
) -> None:
    wrong = replace(wan.WAN, grid=lambda _denoiser, latent: (latent[1], latent[3], latent[2]))
    monkeypatch.setattr("dit_lens.lens.family_of", lambda _pipeline: wrong)
    said = dit_lens_command("models", "check", model, *SMALL, *json)
    assert said.code == 1
    assert said.complaint.startswith("the adapter 'wan' does not fit WanImageToVideoPipeline; got ")
    assert "tokens.rows" in said.complaint
    assert "tokens.rows" in said.out, "the table is written all the same"
    assert not json or said.json["passed"] is False


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ("--height", 40),
            "no request that was made up fits wan: the height of the video does not fit the model",
        ),
        (("--device", "nowhere"), "no such device here; got 'nowhere'"),
    ],
)
def test_what_cannot_be_checked_is_said_before_anything_runs(
    dit_lens_command: Any, model: Path, words: tuple[Any, ...], complaint: str
) -> None:
    said = dit_lens_command("models", "check", model, *words)
    assert said.code == 2
    assert said.complaint.startswith(complaint)
    assert said.out == ""


@pytest.mark.slow
def test_the_shipped_model_holds() -> None:
    import dit_lens

    report = check_adapter(dit_lens.load("tiny-wan"))
    assert {row.outcome for row in report.checks} == {"passed"}
