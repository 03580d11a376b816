"""Units that several processes measured are those that one process measures."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import xarray as xr
from pydantic import BaseModel

from dit_lens.bench import puzzle_questions
from dit_lens.causal import intervene, prepare_intervention
from dit_lens.causal.workers import measure_by_processes
from dit_lens.errors import BadBench, ProbeFailed
from dit_lens.testing.pipeline import SMALL_CONDITION, small_lens

SEEDS = (0, 1, 2)


class Ends:
    """A causal probe: the last latents of a run with an edit, and which process ran it."""

    name, version, api_version, summary = "ends", "1", 1, "Last latents."

    class Params(BaseModel):
        fails_at: int = -1

    def __init__(self, params=None):
        self.params = params or self.Params()

    def run(self, context):
        return context.gather(partial(self.measure, context)).assign_attrs(controls=["clean: norm"])

    def measure(self, context, unit):
        if unit.seed == self.params.fails_at:
            raise ValueError("no such seed")
        edits = ["block.out:scale:0.5[layer=1]"]
        end = context.lens.generate(context.request(unit), edits=edits, decode=False).latents
        return xr.Dataset(
            {"norm": float(end.double().norm()), "share": -1 if context.share is None else context.share[0]}
        )

    def draw(self, result):
        return {}


def ask(out, share=None, **params):
    questions = puzzle_questions(["maze:plain"], n=1, size=3)
    return prepare_intervention(
        small_lens(), Ends, questions, SEEDS, SMALL_CONDITION, out=out, params=params, share=share
    )


def ask_share(out, params, share):
    torch.set_num_threads(1)
    return ask(out, share, **params)


def test_processes_measure_what_one_process_does(tmp_path):
    questions = puzzle_questions(["maze:plain"], n=1, size=3)
    alone = intervene(small_lens(), Ends, questions, SEEDS, SMALL_CONDITION)
    together, seen = ask(tmp_path / "out"), []
    measure_by_processes(together, partial(ask_share, tmp_path / "out", {}), 2, lambda *at: seen.append(at))
    assert together.missing == 0
    result = together.run()
    xr.testing.assert_equal(result["norm"], alone["norm"])
    assert result["share"].values.ravel().tolist() == [0, 1, 0]
    assert seen[0] == (0, 3)


@pytest.mark.slow
def test_the_reason_of_a_process_is_told_and_nothing_measured_is_lost(tmp_path):
    together = ask(tmp_path / "out", fails_at=1)
    with pytest.raises(ProbeFailed, match=r"probe 'ends' .* failed in run.*no such seed"):
        measure_by_processes(together, partial(ask_share, tmp_path / "out", {"fails_at": 1}), 2)
    again = ask(tmp_path / "out", fails_at=1)
    assert again.missing < 3  # and the folder is free again


def test_others_are_kept_out_meanwhile(tmp_path):
    first = ask(tmp_path / "out")
    first.context.kept.begin()
    with pytest.raises(BadBench, match="got one that is running there"):
        ask(tmp_path / "out")
    ask(tmp_path / "out", share=(0, 2))
    first.context.kept.end()
