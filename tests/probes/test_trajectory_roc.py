"""What seeds foretell: planted predictors, held to scikit-learn, with their figures."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import roc_auc_score, roc_curve

from dit_lens.errors import BadParams
from dit_lens.figures import data_of
from dit_lens_probes.trajectory.foretelling import foretold
from dit_lens_probes.trajectory.roc import draw_areas, draw_roc, has_area

QUESTIONS, STEPS = 40, [0, 1, 4]


@pytest.fixture(scope="module")
def planted() -> xr.Dataset:
    """Disagreement that foretells nothing at first, something then and all at last; entropy is not always known."""
    rng = np.random.default_rng(0)
    solved = rng.choice([0.0, 0.25, 0.5, 1.0], QUESTIONS)
    solved[:2] = np.nan  # no verdict
    failed = np.where(np.isfinite(solved), solved < 0.5, 0)
    spread = np.stack(
        [rng.random(QUESTIONS), failed + rng.normal(0, 1, QUESTIONS), failed + rng.random(QUESTIONS) / 2], 1
    )
    entropy = rng.integers(0, 3, (QUESTIONS, len(STEPS))).astype(float)
    entropy[5] = np.nan
    entropy[:, 2] = np.nan
    dims = ("question", "branch", "step")
    return foretold(
        xr.Dataset(
            {
                "disagreement": (dims, spread[:, None]),
                "answer_entropy": (dims, entropy[:, None]),
                "final_solved_mean": ("question", solved),
            },
            coords={
                "branch": np.array(["guided"], dtype=object),
                "step": STEPS,
                "sigma": ("step", [1.0, 0.9, 0.4]),
                "expert": ("step", np.array(["transformer", "transformer", "transformer_2"], dtype=object)),
            },
        )
    )


def known(planted, predictor, step):
    values, solved = planted[predictor].sel(step=step, branch="guided").values, planted["final_solved_mean"].values
    held = np.isfinite(values) & np.isfinite(solved)
    return solved[held] < 0.5, values[held]


@pytest.mark.parametrize("predictor", ["disagreement", "answer_entropy"])
def test_areas_are_those_of_scikit_learn(planted, predictor):
    name = {"disagreement": "auc_disagreement", "answer_entropy": "auc_entropy"}[predictor]
    for step in STEPS[: 3 if predictor == "disagreement" else 2]:
        here = planted.sel(step=step, branch="guided")
        assert float(here[name]) == pytest.approx(roc_auc_score(*known(planted, predictor, step)), abs=1e-12)
        assert float(here[f"{name}_low"]) < float(here[name]) <= float(here[f"{name}_high"]) <= 1


def test_what_was_planted_is_found_with_its_interval(planted):
    low, area, high = (planted[f"auc_disagreement{end}"].sel(branch="guided").values for end in ("_low", "", "_high"))
    assert low[0] < 0.5 < high[0]
    assert low[1] < 0.76 < high[1]  # two normals that lie one deviation apart
    assert area[2] == high[2] == 1
    assert 0.5 < low[2] < 1


def test_what_cannot_be_had_is_nan_with_its_reason(planted):
    assert planted["auc_entropy_low"].sel(step=4).isnull().all()
    reason = "auc_entropy: no question has a predictor and a verdict"
    assert planted.attrs["no_auc"] == planted.attrs["no_auc_interval"] == [reason]


@pytest.mark.parametrize(("step", "label"), [(None, 0), (1, 1), (-1, 4)])
def test_the_curve_is_that_of_scikit_learn(planted, step, label):
    figure = draw_roc(planted.sel(branch="guided"), step)
    curve = data_of(figure).sel(predictor="disagreement")
    false_rates, true_rates, _ = roc_curve(*known(planted, "disagreement", label))
    for name, rates in (("false_rate", false_rates), ("true_rate", true_rates)):
        np.testing.assert_array_equal(curve[name].dropna("point"), rates)
    assert float(curve["area"]) == planted["auc_disagreement"].sel(branch="guided", step=label)
    assert (int(curve["failed"]) + int(curve["solved"]), int(curve["step"])) == (38, label)
    assert "sigma" in curve.coords
    (axis,) = figure.axes
    chance, drawn = axis.lines[:2]
    np.testing.assert_array_equal(chance.get_data(), [[0, 1], [0, 1]])
    np.testing.assert_array_equal(drawn.get_xdata(), false_rates)
    interval = f"{float(curve['area']):.3f} [{float(curve['area_low']):.3f}, {float(curve['area_high']):.3f}]"
    failed = int(known(planted, "disagreement", label)[0].sum())
    assert drawn.get_label() == f"disagreement of latents: {interval}\n{failed} failed, {38 - failed} solved"
    if label != 4:
        entropy_failed, _ = known(planted, "answer_entropy", label)
        counted = f"{entropy_failed.sum()} failed, {(~entropy_failed).sum()} solved"
        assert axis.lines[2].get_label().endswith(counted)
        assert len(entropy_failed) == 37  # of one question with a verdict nobody knows the entropy
    assert f"step {label} (σ" in figure.get_suptitle()


def test_a_predictor_that_has_no_curve_says_why(planted):
    figure = draw_roc(planted.sel(branch="guided"), 4)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "entropy of answers: no question has a predictor and a verdict" in labels


def test_areas_are_drawn_with_their_intervals(planted, same_as_noted):
    assert has_area(planted)
    figure = draw_areas(planted.sel(branch="guided"))
    same_as_noted(figure)
    assert len(figure.axes[0].collections) == 2
    assert "38 questions with a verdict" in figure.get_suptitle()


def test_a_step_that_is_not_there_cannot_be_drawn(planted):
    with pytest.raises(BadParams, match=r"finds no such step to draw a ROC of; got 3, allowed 0, 1, 4; choose one"):
        draw_roc(planted.sel(branch="guided"), 3)
