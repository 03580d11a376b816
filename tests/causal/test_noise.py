"""Known answers of the noise probe, and its controls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

from dit_lens.causal import Unit
from dit_lens.errors import BadParams, BadSelection
from dit_lens.testing import check_probe
from dit_lens.testing.pipeline import small_lens
from dit_lens_probes.noise import NoiseProbe
from dit_lens_probes.noise.injected import Clean, draw_noise, edits_of, noised
from dit_lens_probes.noise.sweep import Place
from dit_lens_stores import open_store

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
FEW = {"at": "step", "kind": "dose", "noise_seeds": 1, "steps": "2"}
MEASURED = ("score", "solved", "final_distance", "latent_distance", "x0_distance", "layer_distance")


def one(variable, **at):
    """A variable of a result with one question, seed and noise."""
    chosen = variable.sel(**at)
    return chosen.isel({dim: 0 for dim in ("question", "seed", "noise_seed") if dim in chosen.dims}).values


def test_every_control_is_in_the_result(swept, scored):
    kinds = [control.split(": ") for control in swept.attrs["controls"]]
    assert [kind for kind, _ in kinds] == [
        "clean",
        "sham",
        "late start",
        "floor",
        "reset of the solver",
        "reset of the solver",
    ]
    assert all(bool(scored[name].notnull().all()) for name in ("clean_score", "score_at_step", "control_score_at_step"))
    assert swept["sham_identical"].values.all()
    assert swept["late_start_identical"].values.all()
    assert float(scored["floor"].values[0]) == pytest.approx(0.1)
    effect = one(scored["score_at_step"] - scored["control_score_at_step"], kind="dose", level="state")
    assert scored["effect_at_step_mean"].values.ravel() == pytest.approx(effect)
    for at in ("step", "frame"):
        for name in MEASURED[2:]:
            assert swept[f"{name}_at_{at}"].notnull().all()
            assert swept[f"control_{name}_at_{at}"].notnull().all()


def test_the_result_says_what_it_is_of(swept):
    assert swept.attrs["probe"] == "noise"
    assert swept.attrs["questions"] == ["red"]
    assert swept.attrs["solver_resets"] == "before every step with noise in the state"
    assert "state:replace:dose[step=S,frame=3]" in swept.attrs["edits"]
    assert '"weights_sha256"' in swept.attrs["settings"]
    assert list(swept["expert"].values) == ["transformer", "transformer", "transformer_2"]
    assert swept["sigma"].dims == ("step",)
    assert swept["observed_sigma"].values == pytest.approx(swept["sigma"].values)


def test_nothing_differs_before_the_noise_is_put_in(swept, ask):
    """Also where the steps before it run again, and what is behind it is the same either way."""
    whole = ask(late_start=False, **FEW)
    assert not one(whole["x0_distance_at_step"], observed=[0, 1]).any()
    assert not one(whole["layer_distance_at_step"], observed=[0, 1]).any()
    assert (one(whole["layer_distance_at_step"], observed=2) > 0).all()
    assert one(whole["x0_distance_at_step"], observed=2).min() > 0
    late = ask(**FEW)
    for name in (*MEASURED, "dose"):
        np.testing.assert_array_equal(late[f"{name}_at_step"].values, whole[f"{name}_at_step"].values)
    # clean and sham are whole; the late start again, the noise and its control are one step of two branches each
    assert late["calls"].values.item() == 2 * (3 + 3) + 3 * 2
    assert whole["calls"].values.item() == 2 * 3 * 5 == 5 * whole["calls_of_a_whole_run"].values.item()
    matrix = swept["x0_distance_at_step"].isel(question=0, seed=0, noise_seed=0)
    for step in range(3):
        assert (matrix.sel(step=step, observed=list(range(step))) == 0).all()
        assert (matrix.sel(step=step, observed=2) > 0).all()


def test_noise_of_no_dose_changes_no_bit(ask):
    result = ask(strength=0, at="cell", level="state+view", noise_seeds=1, frames="1", steps="2")
    assert not result["dose_at_cell"].values.any()
    assert not any(result[f"{name}_distance_at_cell"].values.any() for name in ("final", "x0", "latent", "layer"))
    assert not result["control_final_distance_at_cell"].values.any()


def test_noise_in_a_frame_changes_that_frame_alone(small, picture, smaller, tmp_path):
    unit = Unit(picture, 0)
    small.trace(smaller, ["latent", "x0.guided"], tmp_path / "a.zarr", trace_id="a", decode=False)
    clean = open_store(tmp_path / "a.zarr")["a"]
    latents, x0 = clean["latent.raw"], clean["x0.guided.raw"]
    sigma = float(latents.sel(step=2)["sigma"])
    known = {2: Clean(torch.tensor(latents.sel(step=2).values), torch.tensor(x0.sel(step=2).values), sigma)}
    noise = draw_noise(unit, 0, 2, known[2].latent_CFHW)
    edits, doses = edits_of("state", Place("cell", (2, 3), (2,), (3,)), {2: noised("dose", 1, known[2], noise)}, known)
    small.trace(smaller, ["latent"], tmp_path / "b.zarr", trace_id="b", edits=edits, decode=False)
    edited = open_store(tmp_path / "b.zarr")["b"]["latent.raw"]
    changed = (edited.values != latents.values).any(axis=(1, 3, 4))  # steps and frames
    np.testing.assert_array_equal(changed, [[False] * 5, [False] * 5, [False, False, False, True, False]])
    expected = latents.sel(step=2).values.copy()
    expected[:, 3] = (1 - sigma) * x0.sel(step=2).values[:, 3] + sigma * noise.numpy()[:, 3]
    np.testing.assert_allclose(edited.sel(step=2).values, expected, atol=1e-5)
    jump = np.linalg.norm(expected - latents.sel(step=2).values) / np.linalg.norm(latents.sel(step=2).values)
    assert doses == {2: pytest.approx(jump, rel=1e-5)}


def test_the_dose_is_what_the_latents_show(swept):
    """The state that a step starts from is what the noise left; a view leaves the state."""
    for step in range(3):
        at = {"step": step, "observed": step}
        assert one(swept["dose_at_step"], level="state", step=step) == pytest.approx(
            one(swept["latent_distance_at_step"], level="state", **at), rel=1e-5
        )
        assert not one(swept["latent_distance_at_step"], level="view", **at).any()
    later = [one(swept["dose_at_step"], level="state", kind="dose", step=step) for step in range(3)]
    assert later[0] > later[1] > later[2]  # less noise to exchange at each step
    paper = [one(swept["dose_at_step"], level="state", kind="paper", step=step) for step in range(3)]
    assert paper[2] > later[2]


def test_each_control_has_the_resets_of_its_noise(swept, small, smaller):
    plain = small.generate(smaller, decode=False).latents
    for step, resets in ((1, [1]), (2, [2])):
        reset = small.generate(smaller, resets=resets, decode=False).latents
        distance = float((reset - plain).norm() / plain.norm())
        assert one(swept["control_final_distance_at_step"], level="state", step=step) == pytest.approx(distance)
    every = small.generate(smaller, resets=[0, 1, 2], decode=False).latents
    assert one(swept["control_final_distance_at_frame"], level="state", frame=3) == pytest.approx(
        float((every - plain).norm() / plain.norm())
    )
    assert one(swept["control_final_distance_at_step"], level="state", step=0) == 0
    assert not one(swept["control_final_distance_at_step"], level="view").any()


def test_a_solver_without_a_history_needs_no_other_control(ask):
    lens = small_lens()
    lens.pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0)
    result = ask(lens=lens, **FEW)
    assert result.attrs["solver_resets"] == "none"
    assert not result["control_final_distance_at_step"].values.any()
    assert result["final_distance_at_step"].values.all()
    assert result["sham_identical"].values.all()


def test_both_branches_see_the_same_noise(small, picture, smaller):
    unit, seen = Unit(picture, 0), []
    known = {1: Clean(torch.zeros(16, 5, 4, 4), torch.zeros(16, 5, 4, 4), 0.5)}
    noise = draw_noise(unit, 0, 1, known[1].latent_CFHW)
    edits, _ = edits_of("view", Place("step", (1,), (1,), tuple(range(5))), {1: noise}, known)
    look = small.pipeline.transformer.patch_embedding.register_forward_hook(
        lambda module, args, out: seen.append(args[0][0, :16].clone())
    )
    small.generate(smaller, edits=edits, decode=False)
    look.remove()
    assert len(seen) == 4  # two steps of this expert, two branches
    assert torch.equal(seen[2], noise)
    assert torch.equal(seen[3], noise)


def test_noises_differ_by_seed_step_and_unit(mazes):
    like = torch.zeros(2, 2, 2, 2)
    drawn = [
        draw_noise(Unit(maze, seed), noise, step, like)
        for maze in mazes
        for seed in range(2)
        for noise in range(2)
        for step in range(2)
    ]
    assert len({tuple(values.ravel().tolist()) for values in drawn}) == 16


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"steps": "7"}, BadSelection, "probe 'noise'"),
        ({"frames": "0:9"}, BadSelection, "probe 'noise'"),
        ({"layers": "99"}, BadSelection, "probe 'noise'"),
        ({"kind": "dosed"}, BadParams, "probe 'noise' refuses its parameters: kind"),
        ({"at": "stp"}, BadParams, "probe 'noise' refuses its parameters: at"),
        ({"strength": 2}, BadParams, "strength cannot be used; got 2, allowed"),
        ({"step": 3}, BadParams, "knows no parameter 'step'; .* did you mean 'steps'"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_runs(ask, tmp_path, params, error, words):
    with pytest.raises(error, match=words) as caught:
        ask(out=tmp_path / "noise", **params)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "noise").exists()


def test_a_dose_is_matched_for_flow_matching_alone(ask):
    lens = small_lens()
    lens.pipeline.scheduler = UniPCMultistepScheduler(prediction_type="epsilon")
    with pytest.raises(BadParams) as caught:
        ask(lens=lens)
    assert str(caught.value) == (
        "probe 'noise' knows no matched dose for UniPCMultistepScheduler; got kind dose, allowed paper, or a "
        "flow-matching scheduler; set noise.kind=paper"
    )


@pytest.mark.slow
def test_it_conforms():
    params = {**FEW, "layers": "none"}
    assert check_probe(NoiseProbe, params) == ("protocol", "params", "run", "resume", "draw")


def test_figures_draw_everything(swept, scored, ask, same_as_noted):
    assert sorted(NoiseProbe().draw(swept)) == [
        "injection_by_observation",
        "layers",
        "scores_at_frame",
        "scores_at_step",
    ]
    figures = NoiseProbe().draw(scored)
    for figure in [*NoiseProbe().draw(swept).values(), *figures.values()]:
        same_as_noted(figure)
    axis = figures["scores_at_step"].axes[0]
    labels = axis.get_legend_handles_labels()[1]
    assert "clean run" in labels
    assert "nothing happens (floor)" in labels
    assert "same resets, no noise" in labels
    assert any("transformer_2" in text.get_text() for text in axis.texts)  # where the experts switch
    cells = ask(at="cell", kind="dose", noise_seeds=1, steps="2", frames="2+3", layers="none")
    assert cells["final_distance_at_cell"].sizes["frame"] == 2
    assert sorted(NoiseProbe().draw(cells)) == ["scores_at_cell"]


def test_activations_are_compared_by_cka_on_demand(ask, swept):
    """What comes before the noise is like itself; what comes after is as far as the formula says."""
    result = ask(cka=True, late_start=False, **FEW)
    assert result["layer_cka_at_step"].dims[-3:] == ("observed", "branch", "layer")
    assert np.abs(one(result["layer_cka_at_step"], observed=[0, 1])).max() < 1e-6
    behind = one(result["layer_cka_at_step"], observed=2)
    assert (behind > 1e-3).all()
    np.testing.assert_array_equal(result["layer_distance_at_step"].values, ask(**FEW)["layer_distance_at_step"].values)
    late = ask(cka=True, **FEW)
    np.testing.assert_allclose(one(late["layer_cka_at_step"], observed=2), behind, atol=1e-6)
    assert "layer_cka_at_step" not in swept
    figures = NoiseProbe(NoiseProbe.Params(cka=True, **FEW)).draw(result)
    assert "cka" in figures


def test_cka_without_layers_is_refused(ask):
    with pytest.raises(BadParams, match=r"got noise\.cka=true with layers none, allowed some layers"):
        ask(cka=True, layers="none", **FEW)
