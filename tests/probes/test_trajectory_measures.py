"""The measures of the trajectory probe on paths with a planted commitment, correction, order and mixture."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lens.puzzles import routes_visible, unseen
from dit_lens_probes.trajectory.candidates import clips, count_visible, look
from dit_lens_probes.trajectory.distances import changes, over_frames, scale_of, to_last
from dit_lens_probes.trajectory.order import centre, frame_order, settled, spread
from dit_lens_probes.trajectory.readings import Dropped, Reading, commitment, dropped, first_readable
from dit_lens_probes.trajectory.seeds import answer_entropy, disagreement, sketch
from dit_lens_probes.trajectory.superposition import local_shares, superposition

FRAMES = 5
few = settings(max_examples=60, deadline=None)


def path(levels_SF):
    """Latents whose frames stand at given distances from their end, in a direction of their own."""
    rng = np.random.default_rng(0)
    end = rng.standard_normal((3, len(levels_SF[0]), 4, 4))
    way = rng.choice([-1.0, 1.0], size=end.shape)
    return np.stack([end + way * np.asarray(row)[None, :, None, None] for row in levels_SF])


def readings(text):
    """One letter a step: ``.`` no answer, a small letter one that is wrong, a capital one that is right."""
    return [Reading(None, False) if c == "." else Reading(c.lower(), c.isupper()) for c in text]


# distances


def test_distances_are_those_that_were_planted():
    levels = [[4.0, 2.0], [1.0, 2.0], [0.0, 0.0]]
    x = path(levels)
    scale = math.sqrt(math.fsum(float(v) ** 2 for v in x[-1].ravel()) / x[-1].size)
    assert scale_of(x) == pytest.approx(scale)
    np.testing.assert_allclose(to_last(x) * scale, levels, atol=1e-12)
    np.testing.assert_allclose(changes(x)[1:] * scale, [[3.0, 0.0], [1.0, 2.0]], atol=1e-12)
    assert np.isnan(changes(x)[0]).all()
    np.testing.assert_allclose(over_frames(to_last(x)) * scale, [math.sqrt(10), math.sqrt(2.5), 0.0], atol=1e-12)


def test_distances_of_float32_are_exact_far_from_zero():
    x = path([[1e-3], [0.0]]) + 1e4
    close = to_last(x) * scale_of(x)
    assert close[0, 0] == pytest.approx(1e-3, rel=1e-6)


def test_a_last_latent_of_zero_has_no_scale():
    assert np.isnan(to_last(np.zeros((2, 1, 1, 1, 1)))).all()


# order of frames


def planted_order(starts):
    """Frame f is far until its step, and there from then on."""
    return [[0.0 if step >= start else 1.0 for start in starts] for step in range(8)]


@pytest.mark.parametrize(
    ("starts", "order"),
    [([1, 2, 3, 4, 5], 1.0), ([5, 4, 3, 2, 1], -1.0), ([3, 3, 3, 3, 3], math.nan), ([1, 5, 1, 5, 3], None)],
)
def test_the_order_in_which_frames_settle_is_found(starts, order):
    found = settled(to_last(path(planted_order(starts))))
    assert found.tolist() == starts
    if order is None:
        assert abs(frame_order(found)) < 0.5
    else:
        assert frame_order(found) == pytest.approx(order, nan_ok=True)


def test_a_global_correction_is_told_from_one_frame_after_another():
    together = spread(changes(path(planted_order([3] * FRAMES))))
    apart = spread(changes(path(planted_order([1, 2, 3, 4, 5]))))
    assert together[3] == pytest.approx(1.0)
    assert apart[1:6] == pytest.approx(1 / FRAMES)
    assert np.isnan(together[[0, 1, 2, 4, 5, 6, 7]]).all()
    middles = centre(changes(path(planted_order([1, 2, 3, 4, 5]))))
    assert middles[1:6] == pytest.approx([0, 1, 2, 3, 4])


def test_a_frame_that_comes_near_and_leaves_again_has_not_settled():
    assert settled(np.array([[1.0], [0.0], [0.5], [0.05], [0.0]])).tolist() == [3]


def test_a_frame_that_is_given_is_settled_at_once():
    assert settled(np.array([[0.0, 1.0], [0.0, 0.5], [0.0, 0.0]])).tolist() == [0, 2]


# commitment and correction


@pytest.mark.parametrize(
    ("text", "final", "first", "committed", "gone"),
    [
        ("..AAA", "A", 2, 2, []),
        ("AAAAA", "A", 0, 0, []),
        ("..bAA", "A", 3, 3, [Dropped("b", 2, 3)]),
        (".bb.A", "A", 4, 4, [Dropped("b", 1, 3)]),
        ("A.AAA", "A", 0, 2, []),  # the final answer itself is not dropped, it only cannot be read for a step
        ("AbAbA", "A", 0, 4, [Dropped("b", 1, 2), Dropped("b", 3, 4)]),
        ("bcAAA", "A", 2, 2, [Dropped("b", 0, 1), Dropped("c", 1, 2)]),
        ("aaAAA", "A", 2, 2, []),  # the same answer, not whole before
        ("AAAAb", "A", 0, None, []),  # still read at the last step
        ("bb...", ".", None, None, [Dropped("b", 0, 2)]),
        (".....", ".", None, None, []),
    ],
)
def test_planted_commitments_and_corrections_are_found(text, final, first, committed, gone):
    path_, end = readings(text), readings(final)[0]
    assert first_readable(path_, end) == first
    assert commitment(path_, end) == committed
    assert dropped(path_, end) == gone


@few
@given(text=st.text(alphabet=".aAbBc", min_size=1, max_size=12), final=st.sampled_from("ABc"))
def test_commitment_is_what_its_definition_says(text, final):
    path_, end = readings(text), readings(final)[0]
    all_from = [place for place in range(len(path_)) if all(one == end for one in path_[place:])]
    assert commitment(path_, end) == (min(all_from) if all_from else None)
    for drop in dropped(path_, end):
        assert drop.answer != end.answer
        assert {one.answer for one in path_[drop.since : drop.gone]} == {drop.answer}
        assert path_[drop.gone].answer != drop.answer


# candidates


def test_planted_candidates_are_counted():
    fork = unseen("fork", 0)
    one, other = (clip.astype(float) for clip in clips(fork, None).values())
    both = ((one + other) / 2).astype(np.uint8)
    visible = look(fork, both).visible
    assert visible == routes_visible(fork, both[-1])
    assert count_visible(visible, 0.2) == 2
    assert count_visible(look(fork, one.astype(np.uint8)).visible, 0.2) == 1
    assert count_visible(look(fork, np.repeat(fork.clip()[:1], 17, axis=0)).visible, 0.2) == 0


def test_end_states_are_the_final_answer_and_another():
    fork = unseen("fork", 1)
    for name, clip in clips(fork, "route-1").items():
        assert fork.score(clip).answer == name
    assert next(iter(clips(fork, "route-1"))) == "route-1"


def test_a_puzzle_that_does_not_know_its_candidates_says_nothing():
    for task in ("maze", "grounding", "occlusion"):
        seen = look(unseen(task, 0), unseen(task, 0).clip())
        assert (seen.reading.solved, seen.score, dict(seen.visible)) == (True, 1.0, {})
        assert math.isnan(count_visible(seen.visible, 0.2))


# superposition


def ends(seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((2, 4, 3, 6, 6))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_a_blend_has_the_same_share_everywhere(share):
    a, b = ends()
    found = superposition(share * a + (1 - share) * b, a, b)
    assert found.share == pytest.approx(share, abs=1e-12)
    assert math.isnan(found.bimodality)
    if 0 < share < 1:
        assert found.blend == pytest.approx(1.0)


def test_a_patchwork_with_the_same_share_is_told_from_a_blend():
    a, b = ends()
    mask = np.random.default_rng(1).random((1, 3, 6, 6)) < 0.5
    found = superposition(np.where(mask, a, b), a, b)
    assert 0.3 < found.share < 0.7
    assert found.blend == pytest.approx(0.0, abs=1e-9)
    assert found.bimodality == pytest.approx(1.0)


def test_noise_around_a_blend_is_not_bimodal():
    rng = np.random.default_rng(2)
    a, b = np.ones((1, 40, 20, 20)), np.zeros((1, 40, 20, 20))
    found = superposition(0.5 + 0.1 * rng.standard_normal(a.shape), a, b)
    assert found.bimodality == pytest.approx(1 / 3, abs=0.02)
    assert found.blend == pytest.approx(1 - 0.01 / 0.25, abs=0.005)


def test_places_where_the_end_states_hardly_differ_do_not_decide():
    a, b = ends()
    a[:, 0], b[:, 0] = b[:, 0] + 1e-6, b[:, 0]
    mask = np.random.default_rng(1).random((1, 3, 6, 6)) < 0.5
    x = np.where(mask, a, b)
    x[:, 0] += 0.1  # a hundred thousand times as far as the end states are apart there
    found = superposition(x, a, b)
    assert found.bimodality == pytest.approx(1.0)
    assert found.blend == pytest.approx(0.0, abs=1e-9)


def test_the_share_is_the_projection_of_the_whole_latent():
    a, b = ends()
    x = np.random.default_rng(3).standard_normal(a.shape)
    way = (a - b).ravel()
    assert superposition(x, a, b).share == pytest.approx(float((x - b).ravel() @ way / (way @ way)), rel=1e-12)
    shares, weights = local_shares(x, a, b)
    assert weights.sum() == pytest.approx(1.0)
    assert len(shares) == x[0].size


def test_equal_end_states_say_nothing():
    a, _ = ends()
    assert all(math.isnan(value) for value in superposition(a, a, a))


# seeds


def test_disagreement_is_the_spread_that_was_planted():
    rng = np.random.default_rng(0)
    centre_P = rng.standard_normal(20_000)
    planted = centre_P + 0.3 * rng.standard_normal((6, 20_000))
    assert disagreement(planted) == pytest.approx(0.3, rel=0.01)
    assert disagreement(np.repeat(centre_P[None], 6, axis=0)) < 1e-15
    assert math.isnan(disagreement(centre_P[None]))
    assert disagreement(np.stack([sketch(row) for row in planted])) == pytest.approx(0.3, rel=0.02)


def test_entropy_is_that_of_the_shares():
    assert answer_entropy(list("abcd")) == pytest.approx(2.0)
    assert answer_entropy(["a", "a", "a", None]) == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))
    assert math.isnan(answer_entropy(["a"]))
