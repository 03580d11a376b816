"""What the energy figures show and say; compared as data and text, not as pixels."""

import io
import sys

import numpy as np
import pytest
from matplotlib.colors import LogNorm

from dit_lens.engine.layout import Layout
from dit_lens.probing import BadParams, analyze
from dit_lens.testing import SMALL, synthetic_store
from dit_lens_probes.energy import Energy
from dit_lens_probes.energy.panels import colour_scale
from dit_lens_probes.energy.view import spread_around


@pytest.fixture(scope="module")
def result(energies):
    return analyze(energies, Energy, {"overlay": True})


def draw(result, name, **params):
    return Energy(Energy.Params(**params)).draw(result)[name]


def maps_of(figure):
    """The heat maps from the upper left: the last image of each panel that has a colour map of its own."""
    images = [ax.images[-1] for ax in figure.axes if ax.images]
    return [image for image in images if np.ma.asarray(image.get_array()).ndim == 2]


def texts_of(figure):
    labels = [ax.get_ylabel() for ax in figure.axes] + [ax.get_title() for ax in figure.axes]
    return [text for text in labels + [t.get_text() for ax in figure.axes for t in ax.texts] if text]


@pytest.mark.parametrize("scale", ["raw", "robust"])
def test_layers_by_frames_shows_the_values(result, scale):
    name = {"raw": "energy", "robust": "robust"}[scale]
    figure = draw(result, "layers_by_frames", trace="b", branch="uncond", step=1, scale=scale)
    expected = result[name].sel(trace="b", branch="uncond", step=1).values
    shown = np.array([image.get_array() for image in maps_of(figure)])
    np.testing.assert_array_equal(shown, expected.reshape(-1, 4, 5))


def test_layer_over_steps_shows_the_values(result):
    figure = draw(result, "layer_over_steps", layer=2, scale="raw")
    expected = result["energy"].sel(trace="a", branch="cond", layer=2).values
    np.testing.assert_array_equal(np.array([i.get_array() for i in maps_of(figure)]), expected.reshape(-1, 4, 5))


@pytest.mark.parametrize("name", ["layers_by_frames", "layer_over_steps"])
@pytest.mark.parametrize("scale", ["raw", "robust"])
def test_all_panels_share_one_colour_scale_and_one_bar(result, name, scale):
    figure = draw(result, name, scale=scale)
    assert len({id(image.norm) for image in maps_of(figure)}) == 1
    assert {image.get_cmap().name for image in maps_of(figure)} == {"viridis"}
    assert sum(bool(ax.yaxis.label.get_text()) and not ax.images for ax in figure.axes) == 1


def test_what_is_noted_is_what_is_drawn(result, same_as_noted):
    for scale in ("raw", "robust"):
        for name in ("layers_by_frames", "layer_over_steps"):
            same_as_noted(draw(result, name, scale=scale, max_rows=2, max_columns=2))


def test_titles_say_raw_or_robust_and_where(result):
    raw = draw(result, "layers_by_frames", scale="raw", step=-1).get_suptitle()
    assert raw == "Raw energy after every layer\ntrace a · step 3, σ 0.430, transformer_2 · branch cond"
    robust = draw(result, "layer_over_steps", trace="b", layer=0).get_suptitle()
    assert robust == (
        "Robust energy (1–99 % clip, z-score per layer) over the denoising steps\ntrace b · layer 0 · branch cond"
    )


def test_every_step_stands_with_its_sigma_and_expert_and_the_switch_is_marked(result):
    texts = texts_of(draw(result, "layer_over_steps"))
    for label in ("step 0, σ 1.000\ntransformer", "step 3, σ 0.430\ntransformer_2"):
        assert label in texts
    assert texts.count("experts switch: transformer → transformer_2") == 1
    assert not [text for text in texts_of(draw(result, "layers_by_frames")) if "switch" in text]


def test_rows_and_columns_are_named_by_the_models_own_numbers(tmp_path):
    store = synthetic_store(tmp_path / "s.zarr", ["block.out:energy[layer=0+2,frame=1:]"])
    texts = texts_of(draw(analyze(store, Energy), "layers_by_frames"))
    assert [text for text in texts if text.startswith(("layer", "frame"))] == [
        "layer 0",
        "layer 2",
        "frame 1",
        "frame 2",
    ]


def test_a_long_trace_is_thinned_and_says_so(tmp_path):
    layout = Layout(
        **{
            **vars(SMALL),
            "experts": ("transformer",) * 7 + ("transformer_2",) * 23,
            "sigmas": tuple(np.linspace(1, 0.1, 30)),
            "timesteps": tuple(np.linspace(999, 1, 30)),
        }
    )
    result = analyze(synthetic_store(tmp_path / "s.zarr", traces=["a"], layout=layout), Energy)
    figure = draw(result, "layer_over_steps", max_rows=6, max_columns=2)
    assert figure.get_suptitle().endswith("6 of 30 steps · 2 of 3 frames")
    steps = [text.split(",")[0] for text in texts_of(figure) if text.startswith("step")]
    assert {"step 0", "step 6", "step 7", "step 29"} <= set(steps)  # both sides of the switch are there


def test_thinning_never_drops_a_side_of_a_switch():
    for at in range(1, 40):
        for most in range(2, 12):
            picked = spread_around(range(40), most, [at])
            assert {at - 1, at} <= set(picked)
            assert len(picked) <= most


def test_overlay_draws_the_maps_over_the_frames(result, energies):
    figure = draw(result, "layers_by_frames", overlay=True)
    pictures = [ax.images[0].get_array() for ax in figure.axes if len(ax.images) == 1]
    np.testing.assert_array_equal(pictures, energies["a"]["video"].values[[0, 4, 8]])
    panels = [ax for ax in figure.axes if len(ax.images) == 2]
    assert len(panels) == 9
    for ax in panels:
        below, above = ax.images
        assert tuple(below.get_extent()) == tuple(above.get_extent()) == (-0.5, 39.5, 31.5, -0.5)
        assert 0 < above.get_alpha() < 1


def test_overlay_needs_a_result_with_video(result):
    with pytest.raises(BadParams, match="cannot draw its overlay; got a result without 'video'"):
        draw(result.drop_vars("video"), "layers_by_frames", overlay=True)


def test_colour_scales():
    assert isinstance(colour_scale(np.array([1.0, 30.0, np.nan])), LogNorm)
    assert not isinstance(colour_scale(np.array([0.0, 30.0])), LogNorm)
    limited = colour_scale(np.array([-9.0, 1.0]), limit=3)
    assert (limited.vmin, limited.vmax) == (-3, 1)
    assert colour_scale(np.array([2.0, 2.0])).vmax > 2.0
    assert colour_scale(np.array([np.nan])).vmin == 0.0


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_figures_render_without_pyplot(result, kind):
    for figure in Energy(Energy.Params(overlay=True)).draw(result).values():
        picture = io.BytesIO()
        figure.savefig(picture, format=kind, dpi=50)
        assert picture.tell() > 2000
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_nothing_is_cut_off(result):
    figure = draw(result, "layer_over_steps", overlay=True)
    figure.savefig(io.BytesIO(), format="png", dpi=100)
    canvas = figure.bbox
    for ax in figure.axes:
        box = ax.get_tightbbox()
        if box is not None:
            assert box.x0 >= canvas.x0
            assert box.x1 <= canvas.x1
            assert box.y0 >= canvas.y0
            assert box.y1 <= canvas.y1
