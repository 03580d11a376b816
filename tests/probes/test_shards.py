"""Parts of an analysis: each leaves a state, all together give the result, and strangers are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import xarray as xr

from dit_lens.probing import BadParams, BadShard, BadState, MissingShard, OtherShard, prepare
from dit_lens.testing import synthetic_store

MOMENTS = f"{Path(__file__).with_name('moments.py')}:Moments"


@pytest.fixture(scope="module")
def parts(energies, tmp_path_factory):
    """Three parts of each probe, made in another order, one of them under dask."""
    folder = tmp_path_factory.mktemp("parts")
    for probe in ("energy", MOMENTS):
        for part, scheduler in ((2, None), (0, "threads"), (1, None)):
            prepare(energies, probe).write_shard((part, 3), folder, scheduler=scheduler)
    return folder


def test_parts_give_the_result_of_the_loop(energies, parts):
    energy, moments = prepare(energies, "energy"), prepare(energies, MOMENTS)
    xr.testing.assert_identical(energy.join_shards(parts), energy.run())
    xr.testing.assert_allclose(moments.join_shards(parts), moments.run(), rtol=1e-12, atol=0)
    assert moments.join_shards(parts).attrs == moments.run().attrs


def test_joining_reads_no_chunk(energies, parts, monkeypatch):
    monkeypatch.setattr("dit_lens.probing.chunks.TraceCut.chunk", lambda *_: pytest.fail("a chunk was read"))
    prepare(energies, "energy").join_shards(parts)


def test_a_part_reads_only_its_own_chunks(energies, tmp_path):
    told = []
    analysis = prepare(energies, "energy")
    analysis.write_shard((1, 3), tmp_path, progress=lambda *at: told.append(at))
    mine = analysis.units[1::3]
    assert len(told) == len(mine)
    assert told[-1] == (sum(unit.nbytes for unit in mine),) * 2


def test_the_other_probes_parts_are_in_nobodys_way(energies, parts):
    assert {path.name for path in parts.iterdir()} == {
        f"{probe}.shard-{part}-of-3.state" for probe in ("energy", "moments") for part in range(3)
    }


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (["energy.shard-1-of-3.state"], "got 2 of 3, allowed all; make them with --shard 1/3"),
        (
            [f"energy.shard-{part}-of-3.state" for part in range(3)],
            "got none, allowed all of them; make them with --shard 0/N to N-1/N and the same --out",
        ),
    ],
)
def test_a_part_that_is_missing_is_named(energies, parts, tmp_path, gone, words):
    folder = shutil.copytree(parts, tmp_path / "parts")
    for name in gone:
        (folder / name).unlink()
    with pytest.raises(MissingShard, match=words) as info:
        prepare(energies, "energy").join_shards(folder)
    assert info.value.exit_code == 2
    with pytest.raises(MissingShard, match="got none"):
        prepare(energies, "energy").join_shards(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("choose", "words"),
    [
        (lambda store: prepare(store, "energy", {"clip_high": 95}), r'got params {"clip_low":1\.0,"clip_high":99\.0,'),
        (lambda store: prepare(store, "energy", traces=["b"]), r'got traces \["a", "b"\], allowed \["b"\]'),
    ],
)
def test_parts_of_another_analysis_are_refused(energies, parts, choose, words):
    with pytest.raises(OtherShard, match=words) as info:
        choose(energies).join_shards(parts)
    assert "energy.shard-0-of-3.state' is a part of another analysis" in str(info.value)
    assert info.value.exit_code == 2
    assert len(str(info.value)) < 400


def test_parts_of_another_store_are_refused_by_its_manifests(energies, parts, tmp_path, monkeypatch):
    """The same ids, the same sizes: only the manifests tell that it is another run."""
    from dit_lens.testing import synthetic

    plain = synthetic._manifest
    monkeypatch.setattr(synthetic, "_manifest", lambda *args: plain(*args) | {"seed": 7})
    other = synthetic_store(tmp_path / "other.zarr", ["block.out:energy", "block.out:raw"])
    with pytest.raises(OtherShard, match="got manifest_sha256"):
        prepare(other, "energy").join_shards(parts)


def test_parts_of_an_earlier_form_of_a_file_are_refused(energies, tmp_path):
    mine = tmp_path / "mine.py"
    text = Path(MOMENTS.removesuffix(":Moments")).read_text(encoding="utf-8")
    mine.write_text(text, encoding="utf-8")
    prepare(energies, str(mine)).write_shard((0, 1), tmp_path)
    mine.write_text(f"{text}\n# a change\n", encoding="utf-8")
    with pytest.raises(OtherShard, match="got probe_package"):
        prepare(energies, str(mine)).join_shards(tmp_path)


def test_parts_of_a_file_that_was_moved_are_joined(energies, parts, tmp_path):
    """As on a cluster: the name of the module is that of the path, the probe is the same."""
    moved = shutil.copy(MOMENTS.removesuffix(":Moments"), tmp_path / "moments.py")
    result = prepare(energies, str(moved)).join_shards(parts)
    xr.testing.assert_allclose(result, prepare(energies, MOMENTS).run(), rtol=1e-12, atol=0)


def test_parts_of_two_divisions_are_refused(energies, parts, tmp_path):
    folder = shutil.copytree(parts, tmp_path / "parts")
    prepare(energies, "energy").write_shard((0, 2), folder)
    with pytest.raises(BadShard, match="got parts of 2 and of 3, allowed those of one division; remove the others"):
        prepare(energies, "energy").join_shards(folder)


def test_a_part_under_the_name_of_another_is_refused(energies, parts, tmp_path):
    folder = shutil.copytree(parts, tmp_path / "parts")
    shutil.copy(folder / "energy.shard-0-of-3.state", folder / "energy.shard-1-of-3.state")
    with pytest.raises(BadShard, match=r"energy\.shard-1-of-3\.state' is no part of an analysis"):
        prepare(energies, "energy").join_shards(folder)


@pytest.mark.parametrize("part", [(3, 3), (-1, 3), (0, 0), (0, 9)])
def test_a_part_that_cannot_be_is_refused(energies, part, tmp_path):
    with pytest.raises(BadParams, match=rf"no part {part[0]} of {part[1]} can be made; .* to 8, the number of chunks"):
        prepare(energies, "energy").write_shard(part, tmp_path)


def test_a_state_that_no_file_can_keep_is_found_with_the_first_chunk(energies, tmp_path):
    from dit_lens.probing import get_probe

    seen = []

    class Odd(get_probe(MOMENTS)):
        def map(self, chunk):
            seen.append(chunk)
            return object()

    with pytest.raises(BadState, match="the state of probe 'moments' cannot be kept in a file; got object"):
        prepare(energies, Odd).write_shard((0, 2), tmp_path)
    assert len(seen) == 1
    assert list(tmp_path.iterdir()) == []
