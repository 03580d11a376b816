"""The linear probe: no video on both sides, the closed form to rounding, planted truths, and chance for chance."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import KFold, cross_val_score

from dit_lens_probes.linear import Linear
from dit_lens_probes.linear.folds import Task, deal, make_task, permuted
from dit_lens_probes.linear.logistic import fit_logistic
from dit_lens_probes.linear.nested import Predicted, predict_held_out
from dit_lens_probes.linear.ridge import blocks_of, fit_dual, fit_primal, targets_of
from dit_lens_probes.linear.rows import Video
from dit_lens_probes.linear.score import score

ALPHAS = (1e-3, 0.1, 10.0)


def chunks(values, labels=None, steps=(0, 3), manifest=None):
    """Chunks as a store would give them: ``values[trace]`` is (step, layer, frame, token, channel)."""
    for trace, array in values.items():
        for at, step in enumerate(steps):
            here = array[None, at : at + 1].astype(np.float32)
            coords = {"branch": ["cond"], "step": [step], "layer": np.arange(here.shape[2])}
            coords |= {"frame": np.arange(here.shape[3]), "token": np.arange(here.shape[4])}
            coords |= {"sigma": ("step", [1.0 - step / 10]), "expert": ("step", np.array(["one"], dtype=object))}
            dims = ("branch", "step", "layer", "frame", "token", "channel")
            facts = {"model": "made up", "prompt": trace, **(manifest or {})}
            data = xr.Dataset({"block.out.raw": (dims, here)}, coords=coords)
            yield data.assign_attrs(trace_id=trace, manifest=facts)


def table(path, labels, head="trace,label"):
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in labels)]) + "\n")
    return str(path)


def run(values, path, labels, **params):
    probe = Linear(Linear.Params(csv=table(path, labels), label="label", **params))
    return probe.finish(probe.combine([probe.map(chunk) for chunk in chunks(values)]))


def videos_of(count, shape, seed=0):
    """Videos that are alike within: each has a mean of its own."""
    rng = np.random.default_rng(seed)
    return {
        f"v{number:02d}": rng.standard_normal((1, 1, 1, 1, shape[-1])) + 0.5 * rng.standard_normal(shape)
        for number in range(count)
    }


# The leak --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def leaky():
    """Random labels of 60 videos, which say nothing about any of them."""
    values = videos_of(60, (2, 1, 1, 40, 64))
    labels = dict(zip(values, np.random.default_rng(7).integers(0, 4, 60).tolist(), strict=True))
    return values, labels


def test_random_labels_per_video_give_chance(leaky, tmp_path):
    values, labels = leaky
    result = run(values, tmp_path / "l.csv", labels.items(), rows="token", tokens=0)
    assert result.attrs["chance"] == 0.25
    assert result.attrs["rows"] == 2400
    assert (np.abs(result["score"] - 0.25) < 0.12).all()
    assert (np.abs(result["control"] - 0.25) < 0.1).all()
    assert ((result["score_low"] < 0.25) & (result["score_high"] > 0.25)).all()


def test_a_split_of_tokens_finds_random_labels(leaky):
    values, labels = leaky
    x = np.concatenate([value[0, 0, 0] for value in values.values()])
    y = np.repeat(list(labels.values()), 40)
    scores = cross_val_score(RidgeClassifier(), x, y, cv=KFold(5, shuffle=True, random_state=0))
    assert scores.mean() > 0.8  # it knows the videos, and no label says anything


# The fit ---------------------------------------------------------------------------------------------------------


def problem(rows, features, classes, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, features)) * np.exp(rng.standard_normal(features)) + offset
    kind = rng.permutation(np.arange(rows) % max(classes, 1) ** 2 % max(classes, 1))
    code = kind.astype(float) if classes else x[:, 0] - x[:, 1] + rng.standard_normal(rows)
    return x, code, kind if classes else np.zeros(rows, dtype=int)


def by_scikit_learn(x, code, kind, classes, alpha):
    """Weighted standardisation written out, then scikit-learn's ridge."""
    count = np.bincount(kind)
    weight = (len(x) / (len(count) * count))[kind] if classes else np.ones(len(x))
    mean = np.average(x, axis=0, weights=weight)
    deviation = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=weight))
    z, y = (x - mean) / deviation, np.eye(classes)[kind] if classes else code[:, None]
    model = Ridge(alpha=alpha * weight.sum(), solver="cholesky").fit(z, y, sample_weight=weight)
    return np.atleast_2d(model.predict(z).reshape(len(x), -1))


@pytest.mark.parametrize(("rows", "features"), [(200, 12), (30, 80)])
@pytest.mark.parametrize("classes", [0, 2, 5])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_ridge_is_that_of_scikit_learn(rows, features, classes, offset):
    x, code, kind = problem(rows, features, classes, offset=offset)
    moved, y, size = x - x.mean(0), targets_of(code, classes), np.ones(features)
    fold = np.arange(rows) % 3
    primal = fit_primal(blocks_of(moved, y, kind, fold, 3, classes), [0, 1, 2], ALPHAS, classes, size)
    dual = fit_dual(moved, y, kind, ALPHAS, classes, size)
    for at, alpha in enumerate(ALPHAS):
        expected = by_scikit_learn(x, code, kind, classes, alpha)
        np.testing.assert_allclose(primal.predict(moved)[at], expected, atol=1e-8)
        np.testing.assert_allclose(dual.predict(moved)[at], expected, atol=1e-8)


def test_a_channel_that_does_not_vary_takes_no_part():
    x, code, kind = problem(60, 5, 2)
    dead = np.column_stack([x, np.full(60, 1e6) + 1e-4 * np.random.default_rng(0).standard_normal(60)])
    fold, size = np.arange(60) % 3, np.sqrt((dead**2).mean(0))
    moved = dead - dead.mean(0)
    y = targets_of(code, 2)
    for fit in (
        fit_primal(blocks_of(moved, y, kind, fold, 3, 2), [0, 1], ALPHAS, 2, size),
        fit_dual(moved, y, kind, ALPHAS, 2, size),
        fit_logistic(moved, kind, ALPHAS, 2, size),
    ):
        assert not fit.coefficient_ADK[:, -1].any()


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_is_that_of_scikit_learn(classes):
    x, _, kind = problem(90, 6, classes)
    z = (x - x.mean(0)) / x.std(0)
    model = LogisticRegression(C=1 / (0.1 * 90), class_weight="balanced", max_iter=1000).fit(z, kind)
    found = fit_logistic(x, kind, [0.1], classes, np.ones(6)).predict(x)[0]
    np.testing.assert_array_equal(found.argmax(1), model.predict(z))
    np.testing.assert_allclose(
        found[:, 1] - found[:, 0], np.diff(np.log(model.predict_proba(z)[:, :2]))[:, 0], atol=1e-6
    )


# Who is on which side --------------------------------------------------------------------------------------------


def made_task(groups, rows, classes=3, folds=4, seed=0):
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), rows)
    code = rng.integers(0, classes, groups).astype(float)[group]
    task = Task(tuple(map(str, range(groups))), group, tuple(map(str, range(classes))), code, group)
    return Task(**{**vars(task), "fold_N": deal(task, folds, seed)})


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 40), st.integers(3, 8), st.integers(1, 5), st.integers(0, 1000))
def test_a_video_is_on_one_side_and_folds_are_alike(groups, folds, rows, seed):
    task = made_task(groups, rows, folds=folds, seed=seed)
    assert all(len(set(task.fold_N[task.group_N == group])) == 1 for group in range(groups))
    sizes = np.bincount(task.fold_N[::rows], minlength=folds)
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(("model", "features"), [("ridge", 5), ("ridge", 60), ("logistic", 5)])
def test_what_is_tested_takes_no_part_in_any_choice(model, features):
    """Predictions of a fold stay the same bit for bit, whatever its own labels are."""
    task = made_task(16, 3)
    x = np.random.default_rng(3).standard_normal((48, features))
    before = predict_held_out(x, task, ALPHAS, model)
    for held in range(4) if model == "ridge" else (1,):
        code = task.code_N.copy()
        code[task.fold_N == held] = (code[task.fold_N == held] + 1) % 3
        after = predict_held_out(x, Task(**{**vars(task), "code_N": code}), ALPHAS, model)
        assert after.alphas[held] == before.alphas[held]
        rows = task.fold_N == held
        np.testing.assert_array_equal(after.value_N[rows], before.value_N[rows])


def test_traces_from_one_picture_are_one_video():
    """Two seeds and another prompt over one picture stay together."""
    probe = Linear(Linear.Params(label="answer", csv=""))
    assert probe.params.folds == 5
    from dit_lens_probes.linear.rows import _group

    picture = {"image_sha256": "abc"}
    assert _group({**picture, "prompt": "x", "seed": 0}, "a") == _group({**picture, "prompt": "y", "seed": 1}, "b")
    assert _group({"image_sha256": None, "prompt": "x"}, "a") == _group({"image_sha256": None, "prompt": "x"}, "b")
    assert _group({"image_sha256": "def"}, "a") != _group(picture, "a")


def made_videos(groups, per_group, labels):
    return {
        f"t{group}-{seed}": Video(f"g{group}", np.array(labels[group], dtype=object), np.arange(len(labels[group])), {})
        for group in range(groups)
        for seed in range(per_group)
    }


def test_the_control_moves_whole_videos():
    """Every group gets the label map of exactly one group, and each map is given once."""
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 2, 9).tolist() for _ in range(12)]
    videos = made_videos(12, 2, labels)
    task = make_task(videos, "class", 4, 0)
    null = permuted(task, videos, "class", 4, 0, 0)
    maps = {tuple(one) for one in labels}
    got = [tuple(null.code_N[task.group_N == group].astype(int)) for group in range(12)]
    assert all(both[:9] == both[9:] and both[:9] in maps for both in got)
    assert sorted(both[:9] for both in got) == sorted(map(tuple, labels))
    assert got != [tuple(task.code_N[task.group_N == group].astype(int)) for group in range(12)]


# Scores ----------------------------------------------------------------------------------------------------------


def test_a_class_and_a_video_weigh_the_same_however_many_rows_they_have():
    code = np.array([0.0] * 10 + [1.0] * 2 + [0.0] * 2)
    group = np.array([0] * 10 + [1] * 2 + [2] * 2)
    task = Task(("a", "b", "c"), group, ("no", "yes"), code, group)
    value = np.array([0.0] * 5 + [1.0] * 5 + [1.0, 0.0] + [0.0, 0.0])
    found = score(task, Predicted(value, code, ()))
    assert found.value == pytest.approx(((0.5 + 1.0) / 2 + 0.5) / 2)
    assert found.by_group == (0.5, 0.5, 1.0)


def test_numbers_are_scored_by_what_is_explained():
    code, group = np.array([1.0, 2.0, 4.0, 5.0]), np.arange(4)
    task = Task(tuple("abcd"), group, (), code, group)
    assert score(task, Predicted(np.full(4, 3.0), np.full(4, 3.0), ())).value == 0
    assert score(task, Predicted(code, np.full(4, 3.0), ())).value == 1
    assert score(task, Predicted(np.full(4, 9.0), np.full(4, 3.0), ())).value < -1


# Planted truths --------------------------------------------------------------------------------------------------


def planted(count=24, channels=40, strength=1.5, kind="class"):
    """A label along one direction, in layer 1 of the second step alone, under a massive channel."""
    values = videos_of(count, (2, 3, 2, 6, channels), seed=5)
    rng = np.random.default_rng(6)
    way = rng.standard_normal(channels) / np.sqrt(channels)
    labels = {}
    for number, (name, value) in enumerate(values.items()):
        labels[name] = number % 2 if kind == "class" else round(float(rng.uniform(-2, 2)), 3)
        value[1, 1] += strength * 4 * (labels[name] - (0.5 if kind == "class" else 0)) * way
        value[..., 5] = 1e4 + 30 * rng.standard_normal(value.shape[:-1])
        values[name] = value
    return values, labels


@pytest.mark.parametrize("params", [{}, {"rows": "frame"}, {"rows": "token", "tokens": 5}])
def test_a_planted_label_is_found_where_it_is_and_nowhere_else(tmp_path, params):
    values, labels = planted(strength=4.0)
    result = run(values, tmp_path / "l.csv", labels.items(), alphas=(0.01, 1.0), controls=2, **params).squeeze("branch")
    assert float(result["score"].sel(step=3, layer=1)) > 0.9
    assert float(result["selectivity"].sel(step=3, layer=1)) > 0.25
    assert float(result["score_low"].sel(step=3, layer=1)) > 0.6
    elsewhere = result["score"].where((result["step"] != 3) | (result["layer"] != 1))
    assert float(elsewhere.max()) < 0.8
    assert float(result["score"].max()) > float(result["control_highest"].max())


def test_a_planted_number_is_found(tmp_path):
    values, labels = planted(count=40, strength=3.0, kind="number")
    result = run(values, tmp_path / "l.csv", labels.items(), kind="number").squeeze("branch")
    assert float(result["score"].sel(step=3, layer=1)) > 0.5
    assert float(result["score"].sel(step=0, layer=1)) < 0.2
    assert float(result["control"].sel(step=3, layer=1)) < 0.2
    assert result.attrs["quantity"].startswith("share of variance")


def test_a_label_of_tokens_is_found_and_its_place_is_the_control(tmp_path):
    """Labels that depend on the place alone are as easy for the labels of other videos: selectivity is nothing."""
    values = videos_of(16, (2, 1, 2, 6, 20), seed=9)
    for value in values.values():
        value[..., :3, 0] += 6.0
    rows = [(name, frame, token, token < 3) for name in values for frame in range(2) for token in range(6)]
    path = tmp_path / "l.csv"
    table(path, rows, "trace,frame,token,label")
    probe = Linear(Linear.Params(csv=str(path), label="label", tokens=0))
    result = probe.finish(probe.combine([probe.map(chunk) for chunk in chunks(values)]))
    assert result.attrs["row"] == "token"
    assert (result["score"] > 0.95).all()
    assert (np.abs(result["selectivity"]) < 0.02).all()


# States ----------------------------------------------------------------------------------------------------------


@st.composite
def groupings(draw, count):
    """Any tree over any order of ``count`` states."""
    parts = draw(st.permutations(range(count)))
    while len(parts) > 1:
        size = draw(st.integers(2, len(parts)))
        start = draw(st.integers(0, len(parts) - size))
        parts = [*parts[:start], parts[start : start + size], *parts[start + size :]]
    return parts[0]


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    values, labels = planted(count=6, channels=6)
    path = tmp_path_factory.mktemp("labels") / "l.csv"
    csv = table(path, labels.items())
    probe = Linear(
        Linear.Params(csv=csv, label="label", folds=3, controls=1, alphas=(0.1, 1.0), rows="token", tokens=5)
    )
    return probe, [probe.map(chunk) for chunk in chunks(values)]


@settings(max_examples=12, deadline=None)
@given(tree=groupings(12))
def test_any_split_in_any_order_gives_the_same_result_to_the_bit(states, tree):
    probe, leaves = states

    def merged(node):
        return leaves[node] if isinstance(node, int) else probe.combine([merged(part) for part in node])

    xr.testing.assert_identical(probe.finish(merged(tree)), probe.finish(probe.combine(leaves)))


def test_the_state_is_as_large_as_stated(states):
    probe, leaves = states
    result = probe.finish(probe.combine(leaves))
    assert result.attrs["state_bytes"] == 6 * 1 * 2 * 3 * 5 * 6 * 4
