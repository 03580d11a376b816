"""A causal probe goes on where it stopped, and is kept apart from probes that read traces."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from pydantic import BaseModel

from dit_lens.causal import Unit, intervene, prepare_intervention
from dit_lens.causal.intervals import over_puzzles
from dit_lens.causal.kept import Kept
from dit_lens.errors import BadBench, BadParams, NonConformingProbe, OtherBench, ProbeFailed
from dit_lens.probing import CausalProbe, analyze, captures_for, is_causal
from dit_lens.testing import check_probe, synthetic_store
from dit_lens.testing.pipeline import SMALL_CONDITION

ALL = ("protocol", "params", "run", "resume", "draw")


class Norm:
    """A correct causal probe to break: how large the last latents are, with a block's output halved."""

    name, version, api_version, summary = "norm", "1", 1, "Norm of the last latents."

    class Params(BaseModel):
        layer: int = 1

    def __init__(self, params=None):
        self.params = params or self.Params()

    def run(self, context):
        result = context.gather(lambda unit: self.measure(context, unit))
        return result.assign_attrs(controls=["clean: clean"])

    def measure(self, context, unit):
        edits = {"clean": [], "norm": [f"block.out:scale:0.5[layer={self.params.layer}]"]}
        ends = {
            name: context.lens.generate(context.request(unit), edits=edit, decode=False).latents
            for name, edit in edits.items()
        }
        return xr.Dataset({name: float(end.norm()) for name, end in ends.items()})

    def draw(self, result):
        return {"norm": Figure()}


def broken(**members):
    return type("Broken", (Norm,), members)


def test_a_causal_probe_is_told_apart():
    assert is_causal(Norm)
    assert isinstance(Norm(), CausalProbe)
    assert check_probe(Norm, {"layer": 0}) == ALL


def leave_a_hook(self, context):
    context.lens.pipeline.transformer.register_forward_hook(lambda *_: None)
    return Norm.run(self, context)


def once_only(self, context, unit, seen=[]):  # noqa: B006
    seen.append(unit)
    return xr.Dataset({"clean": float(len(seen))})


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"run": lambda self: None}, "its run takes other arguments"),
        ({"draw": None}, "it has no method draw"),
        ({"Params": dict}, "its Params is no pydantic model"),
        ({"run": lambda self, context: 3.0}, "check of run; got .* got a float, allowed an xarray.Dataset"),
        ({"run": lambda self, context: xr.Dataset()}, "got a result with no controls"),
        (
            {"run": lambda self, context: xr.Dataset(attrs={"controls": ["sham: sham"]})},
            "got a result with control 'sham'",
        ),
        ({"run": leave_a_hook}, "check of run; got a model that run has changed"),
        (
            {"run": lambda self, context: xr.Dataset({"clean": 0.0}, attrs={"controls": ["clean: clean"]})},
            "check of resume; got no unit that was kept",
        ),
        ({"measure": once_only}, "check of resume; got another result when a unit is measured again"),
        ({"draw": lambda self, result: {"norm": "a picture"}}, "check of draw; got 'norm' that is no figure"),
    ],
)
def test_each_broken_promise_is_found(members, words):
    with pytest.raises(NonConformingProbe, match=words):
        check_probe(broken(**members))


def test_a_run_that_was_stopped_goes_on(small, mazes, tmp_path):
    """It loses the unit that it was at, and ends with what an uninterrupted one ends with."""
    measured = []

    class Stopped(Norm):
        def measure(self, context, unit):
            measured.append(unit.name)
            if len(measured) == 2:
                with context.scratch() as folder:
                    (folder / "half").write_text("of something")
                    raise KeyboardInterrupt
            return super().measure(context, unit)

    with pytest.raises(KeyboardInterrupt):
        intervene(small, Stopped, mazes, [0], SMALL_CONDITION, out=tmp_path)
    assert not (tmp_path / "norm.units" / ".scratch").exists()
    done = intervene(small, Stopped, mazes, [0], SMALL_CONDITION, out=tmp_path)
    assert [measured.count(name) for name in dict.fromkeys(measured)] == [1, 2]
    whole = intervene(small, Stopped, mazes, [0], SMALL_CONDITION)
    xr.testing.assert_identical(done, whole)
    # puzzles and seeds may be added
    more = intervene(small, Stopped, mazes, [0, 1], SMALL_CONDITION, out=tmp_path)
    assert more["norm"].dims == ("question", "seed")
    np.testing.assert_array_equal(more["norm"].sel(seed=0).values, whole["norm"].sel(seed=0).values)
    assert len(measured) == 3 + 2 + 2


def test_a_folder_is_of_one_probe_with_one_set_of_parameters(small, mazes, tmp_path):
    def prepare(**changes):
        given = {"params": {"layer": 0}, "out": tmp_path, "condition": SMALL_CONDITION, **changes}
        return prepare_intervention(small, Norm, mazes[:1], [0], **given)

    prepare().run()
    with pytest.raises(
        OtherBench, match=r"the causal probe in '.*norm.units' was begun with other settings; got params"
    ):
        prepare(params={"layer": 1})
    assert prepare().missing == 0
    held = prepare().context.kept
    held.begin()
    with pytest.raises(BadBench, match=r"a causal probe cannot go on in '.*'; got one that is running there"):
        prepare()
    held.end()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "norm.units").write_text("mine")
    with pytest.raises(BadBench, match=r"the units of a causal probe cannot be kept in '.*'; got something else there"):
        prepare(out=tmp_path / "other")


def test_another_question_of_the_same_name_is_noticed(mazes, tmp_path):
    kept = Kept(tmp_path / "units", {})
    kept.begin()
    kept.once(Unit(mazes[0], 0), lambda unit: xr.Dataset({"score": 1.0}))
    other = type(mazes[1])(**{**vars(mazes[1]), "name": mazes[0].name})
    with pytest.raises(OtherBench, match=r"was measured otherwise in '.*'; got another first frame or prompt"):
        kept.has(Unit(other, 0))
    kept.end()


def test_each_kind_of_probe_is_sent_to_its_own_command(small, mazes, tmp_path):
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:energy"])
    for ask in (lambda: analyze(store, Norm), lambda: captures_for(Norm)):
        with pytest.raises(BadParams) as caught:
            ask()
        assert str(caught.value) == (
            "probe 'norm' changes runs and reads no traces; got 'norm', allowed a probe with captures; run it with "
            "dit-lens intervene"
        )
    with pytest.raises(BadParams, match=r"probe 'energy' reads traces and changes no run; .* use dit-lens trace and"):
        intervene(small, "energy", mazes, condition=SMALL_CONDITION)
    with pytest.raises(BadBench, match="the seeds cannot be run; got 1, 1, allowed one seed or more, each once"):
        intervene(small, Norm, mazes, [1, 1], SMALL_CONDITION)


def test_a_probe_that_raises_is_named(small, mazes):
    failing = broken(measure=lambda self, context, unit: 1 / 0)
    with pytest.raises(ProbeFailed, match=r"probe 'norm' 1 of module .* failed in run; got ZeroDivisionError"):
        intervene(small, failing, mazes, condition=SMALL_CONDITION)


def table(values):
    count = len(values)
    coords = {"task": ("question", ["maze"] * count), "variant": ("question", ["plain"] * count)}
    return xr.DataArray(values, dims=("question", "seed", "noise_seed"), coords=coords)


def test_seeds_of_a_puzzle_are_no_further_puzzles():
    scores = np.array([0.2, 0.9, 0.4, 0.7])[:, None, None]
    few = over_puzzles(table(scores), repeats=("noise_seed",))
    many = over_puzzles(table(np.broadcast_to(scores, (4, 30, 5))), repeats=("noise_seed",))
    for end in ("mean", "low", "high"):
        assert float(many[end]) == pytest.approx(float(few[end]))
    assert float(few["low"]) < 0.55 < float(few["high"])


def test_differences_are_paired_before_they_are_averaged():
    """What puzzles differ in is the same in both conditions, and is gone."""
    base = np.linspace(0, 0.8, 400)[:, None, None]
    apart = over_puzzles(table(base + 0.1), repeats=("noise_seed",))
    paired = over_puzzles(table(base + 0.1) - table(base), None, ("noise_seed",))
    assert float(paired["mean"]) == pytest.approx(0.1)
    assert float(paired["high"] - paired["low"]) < float(apart["high"] - apart["low"])
    assert all(np.isnan(over_puzzles(table(np.full((3, 1, 1), np.nan)))[end]) for end in ("mean", "low", "high"))
