import shutil

import pytest

from dit_lens.probing import BrokenProbe, UnknownProbe, analyze, get_probe

ONE = """
from dit_lens_probes.energy import Energy
class Mine(Energy):
    name = "mine"
"""


def write(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(text)
    return path


def test_probe_in_a_file_runs(tmp_path, monkeypatch, energies):
    write(tmp_path, ONE)
    monkeypatch.chdir(tmp_path)
    assert get_probe("./mine.py:Mine").name == "mine"
    result = analyze(energies, "mine.py")  # one probe only: the class may be left out
    assert result.attrs["probe"] == "mine"
    assert result.attrs["probe_package"].startswith("dit_lens_probe_file_mine")


def test_of_several_probes_one_must_be_named(tmp_path):
    path = write(tmp_path, ONE + "class Other(Mine): pass\n")
    with pytest.raises(UnknownProbe, match=r"allowed Mine, Other; write .*mine.py:Class"):
        get_probe(str(path))
    with pytest.raises(UnknownProbe, match="did you mean 'Other'"):
        get_probe(f"{path}:Othr")


def test_no_such_file(tmp_path):
    with pytest.raises(UnknownProbe, match="no file holds the probe"):
        get_probe(str(tmp_path / "absent.py:Mine"))


def test_file_that_raises_is_named_with_its_reason(tmp_path):
    path = write(tmp_path, "1 / 0\n")
    with pytest.raises(BrokenProbe, match="cannot be run; got ZeroDivisionError: division by zero; correct"):
        get_probe(str(path))


def test_class_that_is_no_probe(tmp_path):
    path = write(tmp_path, "class Mine: pass\n")
    with pytest.raises(BrokenProbe, match="is no probe; got its name is no text"):
        get_probe(f"{path}:Mine")


def test_code_inside_a_store_is_never_run(tmp_path, energies):
    store = shutil.copytree(energies.path, tmp_path / "gift.zarr")
    path = write(store / "a", f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(BrokenProbe, match="lies inside the store 'a'"):
        get_probe(f"{path}:Mine")
    assert not (tmp_path / "ran").exists()
