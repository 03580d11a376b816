"""One result, however the work is split: in a loop, over threads, processes and a cluster, in any order and grouping.

Rounding as stated: a probe that collects (energy) gives the same bits; one that adds up in float64 agrees to 1e-12.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from distributed import LocalCluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dit_lens.probing import (
    BadScheduler,
    MissingDask,
    ProbeFailed,
    WorkersLost,
    analyze,
    get_probe,
    make_probe,
    prepare,
)
from dit_lens.probing.units import map_unit
from dit_lens.testing import synthetic_store

MOMENTS = f"{Path(__file__).with_name('moments.py')}:Moments"
RTOL = {"energy": 0.0, MOMENTS: 1e-12}
PROBES = pytest.mark.parametrize("probe", RTOL, ids=["energy", "moments"])


@pytest.fixture(scope="session")
def analyses(energies):
    """Both probes, their loop's results, and the state of every unit."""
    ready = {probe: prepare(energies, probe) for probe in RTOL}
    states = {probe: [map_unit(one.probe, probe, unit) for unit in one.units] for probe, one in ready.items()}
    return {probe: (one, one.run(), states[probe]) for probe, one in ready.items()}


def assert_same(result: xr.Dataset, expected: xr.Dataset, probe: str) -> None:
    if RTOL[probe] == 0:
        xr.testing.assert_identical(result, expected)
    else:
        xr.testing.assert_allclose(result, expected, rtol=RTOL[probe], atol=0)
        assert result.attrs == expected.attrs


def test_the_toy_probe_is_right(energies, analyses):
    """Against one array in memory, in float64."""
    _, result, _ = analyses[MOMENTS]
    both = [energies[trace]["block.out.raw"].transpose("layer", ...).values.astype(np.float64) for trace in "ab"]
    whole = np.concatenate([values.reshape(3, -1) for values in both], axis=1)
    np.testing.assert_allclose(result["mean"], whole.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(result["spread"], whole.std(axis=1), rtol=1e-12)
    assert result["n"].values.tolist() == [whole.shape[1]] * 3


def merged(data: st.DataObject, states: list, probe) -> object:
    """Merge states in a tree of any form: cut anywhere, each part merged by itself first."""
    if len(states) == 1:
        return states[0]
    if data.draw(st.booleans()):
        return probe.combine(states)
    cut = data.draw(st.integers(1, len(states) - 1))
    return probe.combine([merged(data, states[:cut], probe), merged(data, states[cut:], probe)])


@PROBES
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_and_any_grouping_give_the_same_result(probe, analyses, data):
    analysis, expected, states = analyses[probe]
    shuffled = data.draw(st.permutations(states))
    result = analysis.probe.finish(merged(data, shuffled, analysis.probe))
    assert_same(result.assign_attrs(expected.attrs), expected, probe)


@pytest.mark.parametrize(
    ("scheduler", "probe"),
    [("threads", "energy"), ("threads", MOMENTS), ("processes", MOMENTS)],
    ids=["threads-energy", "threads-moments", "processes-moments"],
)
def test_dask_and_the_loop_agree(energies, analyses, probe, scheduler):
    told: list[tuple[int, int]] = []
    result = analyze(energies, probe, scheduler=scheduler, progress=lambda *at: told.append(at))
    assert_same(result, analyses[probe][1], probe)
    total = prepare(energies, probe).nbytes
    assert len(told) == len(prepare(energies, probe).units)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (total, total)


def test_bytes_are_those_that_are_read(energies):
    raw, video = energies["a"]["block.out.raw"], energies["a"]["video"]
    assert prepare(energies, MOMENTS, traces=["a"]).nbytes == raw.nbytes
    assert prepare(energies, "energy", {"overlay": True}).nbytes == 2 * (
        energies["a"]["block.out.energy"].nbytes + video.nbytes
    )


def test_a_video_is_read_once_for_its_trace_and_not_kept(energies, monkeypatch):
    read = []
    compute = xr.DataArray.compute
    monkeypatch.setattr(xr.DataArray, "compute", lambda array: read.append(array.name) or compute(array))
    analysis = prepare(energies, "energy", {"overlay": True})
    analysis.run()
    assert read == ["video", "video"]
    assert all("video" in cut.video.name and not cut.video.variable._in_memory for cut in analysis.cuts)


@pytest.fixture(scope="module")
def cluster():
    running = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0)
    yield running
    running.close(timeout=120)  # a machine that is busy takes its time


@PROBES
def test_a_cluster_and_the_loop_agree(energies, analyses, probe, cluster):
    told = []
    address = cluster.scheduler_address
    result = analyze(energies, probe, scheduler=address, progress=lambda *at: told.append(at))
    assert_same(result, analyses[probe][1], probe)
    assert told[-1] == (prepare(energies, probe).nbytes,) * 2


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(energies, analyses, cluster, tmp_path):
    """The process of a worker is killed with the states that it holds, once a third of the units is done."""
    victims: list[int] = []
    everything = len(prepare(energies, MOMENTS).units)

    def kill() -> None:
        while len(marks := list(tmp_path.iterdir())) < everything // 3:
            time.sleep(0.01)
        victims.append(int(marks[-1].name.partition(".")[0]))
        os.kill(victims[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with cluster.get_client() as client:
        params = {"marks": str(tmp_path), "wait": 0.05}
        result = analyze(energies, MOMENTS, params, scheduler=client)
    killer.join()
    by_process = [int(mark.name.partition(".")[0]) for mark in tmp_path.iterdir()]
    assert victims[0] in by_process
    assert len(by_process) > everything, "what the dead one held was done again"
    expected = analyses[MOMENTS][1]
    assert_same(result.assign_attrs(params=expected.attrs["params"]), expected, MOMENTS)


DEADLY = """
import os, signal
import importlib.util
import xarray as xr
from pydantic import BaseModel
from dit_lens import Capture

class Deadly:
    name, version, api_version, summary, access = "deadly", "1", 1, "Ends the process that it runs in.", "trace"
    class Params(BaseModel):
        how: str = "kill"
    def __init__(self, params=None):
        self.params = params or self.Params()
    def captures(self):
        return [Capture("block.out", "energy")]
    def map(self, chunk):
        if self.params.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyError("lost\\nsomething")
    def combine(self, states):
        return states[0]
    def finish(self, state):
        return xr.Dataset()
    def draw(self, result):
        return {}
"""


@pytest.fixture
def deadly(tmp_path):
    path = tmp_path / "deadly.py"
    path.write_text(DEADLY, encoding="utf-8")
    return f"{path}:Deadly"


@pytest.mark.parametrize("scheduler", ["threads", "processes", "cluster"])
def test_a_probe_that_raises_is_named_in_one_line_wherever_it_runs(energies, deadly, scheduler, request):
    if scheduler == "cluster":
        scheduler = request.getfixturevalue("cluster").scheduler_address
    with pytest.raises(ProbeFailed) as info:
        analyze(energies, deadly, {"how": "raise"}, scheduler=scheduler)
    assert "probe 'deadly' 1 " in str(info.value)
    assert "failed in map on trace '" in str(info.value)
    assert "; got KeyError: 'lost\\nsomething'; report it there" in str(info.value)
    assert "\n" not in str(info.value)


def test_workers_that_die_again_and_again_are_one_line(energies, deadly, cluster, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    with pytest.raises(WorkersLost) as info:
        analyze(energies, deadly, traces=["a"], scheduler=cluster.scheduler_address)
    assert str(info.value).startswith("workers died while probe 'deadly' 1 of module ")
    assert "give each more memory" in str(info.value)


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        ("theads", "no scheduler is called 'theads'; got 'theads', allowed threads, processes, or the address"),
        ("tcp://127.0.0.1:1", r"no cluster answers at 'tcp://127\.0\.0\.1:1'; got OSError: .* start one"),
        (7, "units cannot be given to a int; got 7, allowed a text or a distributed.Client"),
    ],
)
def test_a_scheduler_that_is_none_is_refused_in_one_line(energies, scheduler, words, monkeypatch):
    monkeypatch.setattr("dit_lens.probing.schedulers._TIMEOUT", "1s")
    with pytest.raises(BadScheduler, match=words) as info:
        analyze(energies, "energy", scheduler=scheduler)
    assert "\n" not in str(info.value)
    assert info.value.exit_code == 2


@pytest.mark.parametrize(
    ("scheduler", "package"), [("threads", "dask"), ("processes", "cloudpickle"), ("tcp://there:8786", "distributed")]
)
def test_without_dask_the_extra_is_named(energies, scheduler, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDask) as info:
        analyze(energies, "energy", scheduler=scheduler)
    assert "pip install 'dit-lens[dask]'" in str(info.value)
    assert f"needs dask; got no package '{package}'" in str(info.value)
    assert info.value.exit_code == 2


def test_a_store_that_was_written_again_is_read_again(tmp_path):
    """A process keeps traces open for one run, not for the next."""
    path = tmp_path / "s.zarr"
    synthetic_store(path, traces=["a"])
    first = analyze(path, "energy", scheduler="threads")
    synthetic_store(path, traces=["b"])
    second = analyze(path, "energy", scheduler="threads")
    assert (first.sizes["trace"], second.sizes["trace"]) == (1, 2)


def test_a_probe_of_torch_chooses_its_own_device(energies):
    """The engine hands out plain arrays; where a probe takes them is its own affair."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    class OnDevice(get_probe(MOMENTS)):
        access = "step"

        def map(self, chunk):
            values = torch.from_numpy(np.ascontiguousarray(chunk["block.out.raw"].values)).to(device)
            return values.double().sum()

        def combine(self, states):
            return torch.stack(list(states)).sum()

        def finish(self, state):
            return xr.Dataset({"sum": float(state)})

    loop = analyze(energies, OnDevice)
    assert loop["sum"] == pytest.approx(float(analyze(energies, OnDevice, scheduler="threads")["sum"]), rel=1e-12)


def test_a_probe_object_is_used_as_it_is_in_threads(energies):
    probe = make_probe(MOMENTS)
    assert_same(analyze(energies, probe, scheduler="threads"), analyze(energies, probe), MOMENTS)
