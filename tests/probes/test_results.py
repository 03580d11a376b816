import numpy as np
import pytest
import xarray as xr
import zarr

from dit_lens.probing import NotAResult, ResultExists, analyze, load_result, save_result
from dit_lens_probes.energy import Energy


@pytest.fixture(scope="module")
def result(energies):
    return analyze(energies, Energy, {"overlay": True})


def test_round_trip_keeps_everything(result, tmp_path):
    opened = load_result(save_result(result, tmp_path / "r.zarr"))
    xr.testing.assert_identical(opened.load(), result)
    for name in result.variables:
        assert opened[name].dtype == result[name].dtype, name


def test_plain_xarray_opens_it(result, tmp_path):
    save_result(result, tmp_path / "r.zarr")
    opened = xr.open_zarr(tmp_path / "r.zarr", consolidated=False, chunks=None)
    assert opened.attrs["probe"] == "energy"
    assert opened["energy"].sel(trace="b", branch="uncond", step=3).shape == (3, 3, 4, 5)
    assert opened["expert"].values.tolist() == ["transformer", "transformer", "transformer_2", "transformer_2"]


def test_an_earlier_result_is_replaced_whole(result, tmp_path):
    path = save_result(result, tmp_path / "r.zarr")
    save_result(result.drop_vars("robust").isel(step=[0]), path)
    assert "robust" not in load_result(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.zarr"]


def test_an_opened_result_can_be_saved_over_itself(result, tmp_path):
    path = save_result(result, tmp_path / "r.zarr")
    save_result(load_result(path), path)
    assert load_result(path).equals(result)


def test_a_save_that_fails_leaves_the_earlier_result(result, tmp_path):
    path = save_result(result, tmp_path / "r.zarr")
    with pytest.raises(TypeError):
        save_result(result.assign_attrs(bad=object()), path)
    assert load_result(path).equals(result)
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.zarr"]


def test_what_is_no_result_is_left_alone(result, tmp_path, energies):
    file, folder = tmp_path / "notes.txt", tmp_path / "folder"
    file.write_text("keep me")
    folder.mkdir()
    (folder / "thesis.txt").write_text("keep me too")
    for path in (file, folder, energies.path):
        with pytest.raises(ResultExists, match="got something that is no result"):
            save_result(result, path)
    assert file.read_text() == "keep me"
    assert (folder / "thesis.txt").read_text() == "keep me too"
    assert len(energies) == 2


def test_an_empty_folder_may_be_used(result, tmp_path):
    (tmp_path / "r.zarr").mkdir()
    assert load_result(save_result(result, tmp_path / "r.zarr")).equals(result)


def test_what_is_no_result_is_not_opened(tmp_path, energies):
    with pytest.raises(NotAResult, match=r"got nothing, .* make one with 'dit-lens analyze STORE --probe NAME --out"):
        load_result(tmp_path / "absent.zarr")
    with pytest.raises(NotAResult, match="got something else"):
        load_result(energies.path)
    zarr.create_group(tmp_path / "new.zarr", attributes={"dit_lens_result": "9.0"})
    with pytest.raises(NotAResult, match=r"got format 9.0, allowed a result of format 1.0"):
        load_result(tmp_path / "new.zarr")


def test_attributes_fit_netcdf_too(result):
    for name, value in result.attrs.items():
        assert isinstance(value, str | int | float | list), name
        assert not isinstance(value, list) or all(isinstance(entry, str) for entry in value), name
    assert np.isfinite(result["energy"].values).all()
