"""``dit-lens intervene`` with the probes that swap and average: what it writes, and what it refuses in one line."""

from __future__ import annotations

import pytest

WORDS = "--task grounding:plain --n 1 --steps 2"


def test_a_swap_from_the_command_line(dit_lens_command, model, tmp_path):
    few = "--set swap.verdict=false --set swap.layers=9 --set swap.steps=0"
    words = f"intervene {model} --probe swap {WORDS} {few} --out {tmp_path} --json".split()
    said = dit_lens_command(*words)
    assert said.code == 0, said.err
    (record,) = said.json["results"]
    assert record["calls"] == 2 * (3 + 2 * 3 + 2)
    assert record["controls"][0] == "sham: sham_identical"
    assert [path.rpartition("/")[2] for path in record["figures"]] == ["swap-effect_by_layer.png"]
    assert dit_lens_command(*words).json["results"][0]["already_there"] == 1


@pytest.mark.slow
def test_an_ensemble_from_the_command_line(dit_lens_command, model, tmp_path):
    few = "--set ensemble.n=2 --set ensemble.baselines=latents --set ensemble.weights=1+1"
    said = dit_lens_command(*f"intervene {model} --probe ensemble {WORDS} {few} --out {tmp_path} --json".split())
    assert said.code == 0, said.err
    (record,) = said.json["results"]
    assert record["calls"] == 2 * 2 * 6
    assert [path.rpartition("/")[2] for path in record["figures"]] == ["ensemble-scores.png"]


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ("swap.layers=10", "parameter 'swap.layers'; got 10, allowed 0 to 9"),
        ("swap.layer=1", "did you mean 'layers'?"),
        ("swap.region=taget", "did you mean 'target'?"),
        ("ensemble.continues=3", "continues below n, which is 3"),
        ("ensemble.steps=1", "no latents to average after the last step"),
    ],
)
def test_bad_settings_are_one_line(dit_lens_command, model, tmp_path, setting, match):
    probe = setting.partition(".")[0]
    out = tmp_path / "out"
    said = dit_lens_command(*f"intervene {model} --probe {probe} {WORDS} --set {setting} --out {out}".split())
    assert said.code == 2
    assert match in said.complaint
    assert not out.exists() or not list(out.iterdir())


def test_a_maze_has_no_pair(dit_lens_command, model, tmp_path):
    said = dit_lens_command(*f"intervene {model} --probe swap --task maze:plain --n 1 --out {tmp_path}".split())
    assert said.code == 2
    assert "allowed grounding; ask grounding puzzles, or set swap.donor=seed" in said.complaint
