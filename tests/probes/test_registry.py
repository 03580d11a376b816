import subprocess
import sys

import pytest

from dit_lens.probing import BrokenProbe, UnknownProbe, analyze, get_probe, list_probes, package_of
from dit_lens_probes.energy import Energy


def rows_of(dist):
    return {row.name: row for row in list_probes() if row.dist == dist}


def announce(folder, dist, points):
    """A package by hand: what an installer leaves on disk."""
    info = folder / f"{dist.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
    lines = "\n".join(f"{name} = {value}" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[dit_lens.probes]\n{lines}\n")


def test_shipped_probe_registers_like_any_other():
    row = rows_of("dit-lens")["energy"]
    assert (row.status, row.reason) == ("ok", "")
    assert row.summary == Energy.summary
    assert get_probe("energy") is Energy
    assert package_of(Energy) == f"dit-lens {row.version}"


def test_third_party_probe_is_found_and_runs(plugin, energies):
    row = rows_of("lens-loudness")["loudness"]
    assert (row.version, row.status, row.summary) == ("0.3.1", "ok", "Mean energy of every layer.")
    result = analyze(energies, "loudness")
    arrays = [energies[trace]["block.out.energy"].values.astype("f8") for trace in energies.traces]
    expected = sum(array.mean((0, 1, 3, 4)) for array in arrays) / len(arrays)
    assert result["loudness"].values == pytest.approx(expected, rel=1e-12)
    assert result.attrs["probe_package"] == "lens-loudness 0.3.1"


def test_broken_probes_are_reported_with_package_and_reason_and_harm_nothing(plugin, energies):
    rows = rows_of("lens-loudness")
    assert rows["crash"].status == rows["unfinished"].status == "broken"
    for word in ("lens-loudness 0.3.1", "ModuleNotFoundError", "a_module_that_nobody_has"):
        assert word in rows["crash"].reason
    for word in ("lens-loudness 0.3.1", "api_version is 99, this dit-lens speaks 1", "has no method map"):
        assert word in rows["unfinished"].reason
    assert analyze(energies, "energy").attrs["probe_package"].startswith("dit-lens ")


def test_asking_for_a_broken_probe_says_why_in_one_line(plugin):
    with pytest.raises(
        BrokenProbe, match=r"'crash' of package lens-loudness 0\.3\.1 cannot be used; got Module"
    ) as info:
        get_probe("crash")
    assert "\n" not in str(info.value)
    assert isinstance(info.value.__cause__, ModuleNotFoundError)
    assert info.value.exit_code == 2


def test_a_module_that_leaves_python_is_only_a_broken_probe(tmp_path, monkeypatch):
    announce(tmp_path, "lens-quitter", {"quit": "lens_quitter:Quit"})
    (tmp_path / "lens_quitter.py").write_text("raise SystemExit(7)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "SystemExit: 7" in rows_of("lens-quitter")["quit"].reason


def test_a_name_of_dit_lens_stays_with_dit_lens_and_the_other_is_reachable(plugin):
    assert rows_of("dit-lens")["energy"].status == "ok"
    other = rows_of("lens-loudness")["energy"]
    assert (other.status, other.reason) == (
        "shadowed",
        "dit-lens has a probe of this name too; ask for 'lens-loudness:energy'",
    )
    assert get_probe("energy") is get_probe("dit-lens:energy") is Energy
    assert get_probe("lens-loudness:energy").name == "loudness"
    assert get_probe("lens_loudness:energy").name == "loudness"  # as the package spells itself


def test_a_name_that_two_strangers_claim_goes_to_neither(plugin, tmp_path, monkeypatch):
    announce(tmp_path, "other-lens", {"loudness": "dit_lens_probes.energy:Energy"})
    monkeypatch.syspath_prepend(str(tmp_path))
    assert rows_of("other-lens")["loudness"].status == rows_of("lens-loudness")["loudness"].status == "shadowed"
    with pytest.raises(UnknownProbe, match="allowed lens-loudness:loudness, other-lens:loudness; name the package"):
        get_probe("loudness")
    assert get_probe("other-lens:loudness") is Energy
    assert get_probe("lens-loudness:loudness").name == "loudness"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("enrgy", "did you mean 'energy'?"),
        ("dit-lens:enrgy", "did you mean 'dit-lens:energy'?"),
        ("zzz", "./mine.py:Class"),
    ],
)
def test_unknown_probe_names_the_allowed_ones(name, hint):
    with pytest.raises(UnknownProbe, match=f"no probe is called '{name}'; got '{name}', allowed cka, energy") as info:
        get_probe(name)
    assert str(info.value).endswith(hint)
    assert isinstance(info.value, LookupError)


def test_looking_for_probes_runs_no_plugin_that_was_not_asked_for(plugin):
    code = (
        "import sys; from dit_lens.probing import get_probe; get_probe('energy');"
        "assert not [m for m in sys.modules if m.startswith('lens_loudness')], 'imported'"
    )
    env = {"PYTHONPATH": str(plugin)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
