"""What goes through the flow arrives as if written directly, in order and within its bound, or fails in plain sight."""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lens.engine.disk import DiskGuard
from dit_lens.engine.errors import DiskFull, FlowClosed
from dit_lens.engine.flow import Flow, Landed, SideStream, copy_now, stored_values
from dit_lens_stores import ArraySpec, TraceWriter, create_store, open_store
from dit_lens_stores.errors import DuplicateEvent, StoreError

STEPS, LAYERS, VALUES = 5, 4, 1000
EVENT_BYTES = VALUES * 4 + 1024  # as the queue counts them
ORDER = [(step, layer) for step in range(STEPS) for layer in range(LAYERS)]


def begin(path: Path) -> TraceWriter:
    labels = {"step": tuple(range(STEPS)), "layer": tuple(range(LAYERS)), "channel": tuple(range(VALUES))}
    return create_store(path).begin("t0", [ArraySpec("x", tuple(labels), labels, ("step", "layer"))], [], {})


def values(step: int, layer: int) -> torch.Tensor:
    return torch.full((VALUES,), 1.0 + 10 * step + layer)


def put_all(flow: Flow, writer: TraceWriter) -> None:
    """Every event out of one tensor, which is overwritten as soon as it was put."""
    shared = torch.empty(VALUES)
    for step, layer in ORDER:
        shared.copy_(values(step, layer))
        flow.put(writer, "x", {"step": step, "layer": layer}, shared)
        shared.fill_(torch.nan)


def slowed(writer: TraceWriter, before: Callable[[], object]) -> list[tuple[int, int]]:
    """Have the writer do something before every write; what it writes, as it goes."""
    written, write = [], writer.write

    def slow(array: str, event: Any, values: Any, **options: Any) -> None:
        before()
        write(array, event, values, **options)
        written.append((event["step"], event["layer"]))

    writer.write = slow  # type: ignore[method-assign]
    return written


def interrupt_and_open(gate: threading.Event) -> None:
    """Interrupt as Ctrl-C does; let the write that is under way go on when that has long arrived."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    time.sleep(0.3)
    gate.set()


@pytest.fixture
def writer(tmp_path: Path) -> TraceWriter:
    return begin(tmp_path / "a.zarr")


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert "dit-lens-flow" not in {thread.name for thread in threading.enumerate()}


def check_complete(path: Path) -> None:
    stored = open_store(path)["t0"]["x"].values
    for step, layer in ORDER:
        assert np.array_equal(stored[step, layer], values(step, layer).numpy())


def test_a_slow_writer_bounds_the_queue_and_keeps_the_order(tmp_path: Path, writer: TraceWriter) -> None:
    flow = Flow(limit_bytes=3 * EVENT_BYTES)
    queued: list[int] = []

    def slow() -> None:
        time.sleep(0.005)
        queued.append(flow.queued)

    written = slowed(writer, slow)
    start = time.perf_counter()
    with flow:
        put_all(flow, writer)
    writer.finish()
    assert written == ORDER
    assert max(queued) == flow.peak == 3 * EVENT_BYTES, "full, and never more than full"
    assert 0.03 < flow.waited < time.perf_counter() - start
    assert (flow.events, flow.bytes, flow.queued) == (len(ORDER), len(ORDER) * VALUES * 4, 0)
    check_complete(tmp_path / "a.zarr")


def lingering(monkeypatch: pytest.MonkeyPatch, seconds: float) -> float:
    monkeypatch.setattr("dit_lens.engine.flow.LINGER_SECONDS", seconds)
    return seconds


def until_empty(flow: Flow) -> None:
    until = time.monotonic() + 20
    while flow.queued and time.monotonic() < until:
        time.sleep(0.01)
    assert not flow.queued


def test_a_small_event_is_written_though_nobody_waits_for_it(writer: TraceWriter) -> None:
    written = slowed(writer, lambda: None)
    with Flow() as flow:
        flow.put(writer, "x", {"step": 0, "layer": 0}, values(0, 0))
        until_empty(flow)
        assert written == ORDER[:1]
    writer.fail("enough")


@pytest.mark.parametrize("idle", [0.0, 0.5, 0.9])
def test_what_is_small_gathers_however_long_nothing_came(monkeypatch: pytest.MonkeyPatch, idle: float) -> None:
    linger = lingering(monkeypatch, 0.4)
    seen: list[tuple[float, int]] = []
    with Flow() as flow:
        time.sleep(idle * linger)
        put = time.monotonic()
        for _ in range(4):
            flow.call(lambda: seen.append((time.monotonic() - put, flow.queued)))
            time.sleep(linger / 8)
        until_empty(flow)
    assert min(seen)[0] >= linger, "as long as the first of them may wait"
    assert [queued for _, queued in seen] == [4 * 1024] * 4, "all at once"


@pytest.mark.parametrize("wake", ["drain", "room", "a megabyte"])
def test_nobody_waits_for_what_gathers(monkeypatch: pytest.MonkeyPatch, wake: str) -> None:
    lingering(monkeypatch, 3600)
    seen: list[str] = []
    with Flow(limit_bytes=2**22) as flow:
        flow.call(lambda: seen.append("first"))
        if wake == "drain":
            flow.drain()
        elif wake == "room":
            flow.hand_over(torch.zeros(2**22, dtype=torch.uint8), lambda tensor: seen.append("second"))
        else:
            flow.hand_over(torch.zeros(2**20, dtype=torch.uint8), lambda tensor: seen.append("second"))
            until_empty(flow)
        assert seen[0] == "first"
    assert seen == (["first"] if wake == "drain" else ["first", "second"])


def test_what_gathers_does_not_keep_whoever_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    lingering(monkeypatch, 3600)
    seen: list[int] = []
    with pytest.raises(ValueError, match="the model's own"), Flow() as flow:  # noqa: PT012
        flow.call(lambda: seen.append(1))
        raise ValueError("the model's own")
    assert seen == []


def test_a_fast_writer_lets_nobody_wait(tmp_path: Path, writer: TraceWriter) -> None:
    with Flow() as flow:
        put_all(flow, writer)
        flow.drain()
        assert (flow.queued, writer.missing()) == (0, [])
        assert open_store(tmp_path / "a.zarr").get("t0", partial=True).done("x").all(), "it is on disk"
    assert flow.waited == 0
    writer.finish()
    check_complete(tmp_path / "a.zarr")


def test_an_event_larger_than_the_limit_passes_alone(tmp_path: Path, writer: TraceWriter) -> None:
    with Flow(limit_bytes=1) as flow:
        put_all(flow, writer)
    assert flow.peak == EVENT_BYTES
    writer.finish()
    check_complete(tmp_path / "a.zarr")


def test_many_small_entries_are_bounded_as_well() -> None:
    gate, seen = threading.Event(), []
    with Flow(limit_bytes=8 * 1024) as flow:
        flow.call(gate.wait)
        threading.Timer(0.05, gate.set).start()
        for number in range(100):
            flow.call(lambda number=number: seen.append(number))
    assert (flow.peak, seen, flow.events) == (8 * 1024, list(range(100)), 0)
    assert flow.waited > 0.01


def test_calls_come_in_their_turn(writer: TraceWriter) -> None:
    missing: list[int] = []
    with Flow() as flow:
        for layer in range(LAYERS):
            flow.put(writer, "x", {"step": 0, "layer": layer}, values(0, layer))
            flow.call(lambda: missing.append(len(writer.missing())))
    assert missing == [19, 18, 17, 16]


def test_a_trace_may_be_finished_in_its_turn(tmp_path: Path, writer: TraceWriter) -> None:
    with Flow() as flow:
        put_all(flow, writer)
        flow.call(writer.finish)
    check_complete(tmp_path / "a.zarr")


def test_an_error_of_the_writer_is_raised_at_the_next_put_and_at_every_one_after(writer: TraceWriter) -> None:
    gate = threading.Event()
    with pytest.raises(StoreError) as caught, Flow() as flow:  # noqa: PT012
        flow.call(gate.wait)
        flow.put(writer, "x", {"step": 0, "layer": 99}, values(0, 0))
        flow.put(writer, "x", {"step": 0, "layer": 1}, values(0, 1))
        gate.set()
        with pytest.raises(StoreError, match="does not hold layer=99") as first:
            flow.drain()
        frames = [frame.name for frame in traceback.extract_tb(first.value.__traceback__)]
        assert {"drain", "_do_next", "_write", "_find"} <= set(frames), "the thread's own frames are there"
        with pytest.raises(StoreError) as again:
            flow.call(gate.set)
        assert again.value is first.value
        assert len(traceback.extract_tb(again.value.__traceback__)) <= len(frames) + 2
        flow.put(writer, "x", {"step": 0, "layer": 2}, values(0, 2))
    assert caught.value is first.value
    assert not getattr(caught.value, "__notes__", []), "it is not told twice"
    assert len(writer.missing()) == len(ORDER), "nothing was written after it"


def test_an_error_that_nobody_met_is_raised_when_the_flow_is_left(writer: TraceWriter) -> None:
    event = {"step": 0, "layer": 0}
    with pytest.raises(DuplicateEvent), Flow() as flow:  # noqa: PT012
        flow.put(writer, "x", event, values(0, 0))
        flow.put(writer, "x", event, values(0, 0))


def test_whoever_waits_for_room_learns_of_the_error(writer: TraceWriter) -> None:
    gate = threading.Event()

    def fail() -> None:
        gate.wait()
        raise SystemExit("the thread's own")

    threading.Timer(0.05, gate.set).start()
    with pytest.raises(SystemExit, match="the thread's own"), Flow(limit_bytes=1) as flow:  # noqa: PT012
        flow.call(fail)
        flow.put(writer, "x", {"step": 0, "layer": 0}, values(0, 0))
    assert flow.waited > 0.01


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_leaving_with_an_exception_drops_the_queue(writer: TraceWriter, kind: type[BaseException]) -> None:
    started, gate = threading.Event(), threading.Event()
    written = slowed(writer, lambda: (started.set(), gate.wait()))
    with pytest.raises(kind), Flow() as flow:  # noqa: PT012
        put_all(flow, writer)
        started.wait()
        threading.Timer(0.3, gate.set).start()  # when it has long been told to stop
        raise kind("the model's own")
    assert written == ORDER[:1], "the one that was under way, and no more"
    writer.fail("given up")  # the writer is nobody else's any more
    with pytest.raises(FlowClosed):
        flow.put(writer, "x", {"step": 0, "layer": 1}, values(0, 1))


def test_an_interrupt_ends_the_wait_for_room(writer: TraceWriter) -> None:
    gate = threading.Event()
    written = slowed(writer, gate.wait)
    threading.Timer(0.2, interrupt_and_open, [gate]).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt), Flow(limit_bytes=2 * EVENT_BYTES) as flow:
        put_all(flow, writer)
    assert time.perf_counter() - start < 5
    assert flow.waited > 0.05
    assert written == ORDER[:1]


def test_an_interrupt_ends_the_last_wait(writer: TraceWriter) -> None:
    gate = threading.Event()
    written = slowed(writer, gate.wait)
    threading.Timer(0.2, interrupt_and_open, [gate]).start()
    with pytest.raises(KeyboardInterrupt), Flow() as flow:
        put_all(flow, writer)
    assert written == ORDER[:1]


def test_both_errors_are_told_if_the_model_and_the_writer_fail(writer: TraceWriter) -> None:
    with pytest.raises(ValueError, match="the model's own") as caught, Flow() as flow:  # noqa: PT012
        flow.put(writer, "x", {"step": 0, "layer": 99}, values(0, 0))
        with pytest.raises(StoreError):
            flow.drain()
        raise ValueError("the model's own")
    assert caught.value.__notes__[0].startswith(
        "writing ended as well: StoreError: write to 'x' does not hold layer=99"
    )


def test_a_copy_that_fails_leaves_the_flow_as_it_was(writer: TraceWriter) -> None:
    def no_memory(tensor: torch.Tensor) -> Landed:
        raise MemoryError

    with Flow(copier=no_memory) as flow:
        with pytest.raises(MemoryError):
            flow.put(writer, "x", {"step": 0, "layer": 0}, values(0, 0))
        flow.drain()
        assert (flow.queued, flow.events, flow.bytes) == (0, 0, 0)


def test_a_flow_that_does_not_run_says_so(writer: TraceWriter) -> None:
    flow = Flow()
    message = (
        "a flow takes nothing; got a flow that is not running, allowed one that was entered and not left; "
        "use it inside its with block"
    )
    for use in (lambda: flow.put(writer, "x", {}, torch.zeros(1)), lambda: flow.call(writer.missing), flow.drain):
        with pytest.raises(FlowClosed) as caught:
            use()
        assert str(caught.value) == message


def test_a_copy_may_land_late(tmp_path: Path, writer: TraceWriter) -> None:
    """As from a device: what is read before the copy has landed is wrong."""
    waited_on: set[str] = set()

    def late(tensor: torch.Tensor) -> Landed:
        kept, host = tensor.clone(), torch.full_like(tensor, torch.nan)

        def landed() -> torch.Tensor:
            waited_on.add(threading.current_thread().name)
            return host.copy_(kept)

        return landed

    with Flow(limit_bytes=4 * EVENT_BYTES, copier=late) as flow:
        put_all(flow, writer)
    writer.finish()
    check_complete(tmp_path / "a.zarr")
    assert waited_on == {"dit-lens-flow"}, "the model never waits for a transfer"


class Recorded:
    """Streams and events in the manner of ``torch.cuda``, which note what is asked of them."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def current_stream(self, device: torch.device) -> str:
        return f"model's on {device}"

    def Stream(self, device: torch.device) -> SimpleNamespace:
        self.seen.append(("made", str(device)))
        return SimpleNamespace(wait_stream=lambda other: self.seen.append(("waits for", other)))

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        self.seen.append("aside")
        yield
        self.seen.append("back")

    def Event(self) -> SimpleNamespace:
        return SimpleNamespace(
            record=lambda stream: self.seen.append("recorded"), synchronize=lambda: self.seen.append("synchronized")
        )


def test_the_side_stream_waits_for_the_model_and_the_thread_for_the_side_stream() -> None:
    backend = Recorded()
    copier = SideStream(backend, pinned=False)
    tensor = torch.arange(6.0).reshape(2, 3).T
    landed = copier(tensor)
    started = [("made", "cpu"), ("waits for", "model's on cpu"), "aside", "recorded", "back"]
    assert backend.seen == started
    tensor.zero_()
    assert landed().tolist() == [[0, 3], [1, 4], [2, 5]]
    assert landed().is_contiguous()
    assert backend.seen == [*started, "synchronized", "synchronized"]
    copier(tensor)
    assert backend.seen.count(("made", "cpu")) == 1, "one stream a device"


def test_a_flow_through_side_streams_writes_the_same(tmp_path: Path, writer: TraceWriter) -> None:
    with Flow(limit_bytes=4 * EVENT_BYTES, copier=SideStream(Recorded(), pinned=False)) as flow:
        put_all(flow, writer)
    writer.finish()
    check_complete(tmp_path / "a.zarr")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_what_leaves_a_cuda_device_is_what_was_there_when_it_was_put(tmp_path: Path, writer: TraceWriter) -> None:
    shared = torch.empty(VALUES, device="cuda")
    busy = torch.randn(2048, 2048, device="cuda")
    with Flow() as flow:
        for step, layer in ORDER:
            busy = busy @ busy  # so that the stream is behind the host
            shared.copy_(values(step, layer))
            flow.put(writer, "x", {"step": step, "layer": layer}, shared)
            shared.fill_(torch.nan)
    writer.finish()
    check_complete(tmp_path / "a.zarr")


@pytest.mark.parametrize("owned", [False, True])
def test_what_nobody_will_change_is_not_copied(writer: TraceWriter, owned: bool) -> None:
    copied: list[torch.Tensor] = []

    def noting(tensor: torch.Tensor) -> Landed:
        copied.append(tensor)
        return copy_now(tensor)

    with Flow(copier=noting) as flow:
        flow.put(writer, "x", {"step": 0, "layer": 0}, values(0, 0), owned=owned)
    assert len(copied) == (not owned)
    assert writer.holds("x", {"step": 0, "layer": 0})
    writer.fail("enough")


@pytest.mark.parametrize(
    ("dtype", "encoding", "expected"),
    [
        (torch.float32, "exact", "float32"),
        (torch.float64, "exact", "float32"),
        (torch.bfloat16, "exact", "uint16"),
        (torch.bfloat16, "bitround:4", "float32"),
        (torch.bfloat16, "bits", "uint16"),
        (torch.float32, "bits", "uint16"),
        (torch.uint16, "bits", "uint16"),
        (torch.float16, "exact", "float32"),
        (torch.float16, "float16", "float16"),
        (torch.float32, "float16", "float32"),
        (torch.uint8, "exact", "uint8"),
    ],
)
def test_values_as_the_store_takes_them(dtype: torch.dtype, encoding: str, expected: str) -> None:
    tensor = torch.tensor([0.0, 1.0, 3.0]).to(dtype)
    stored = stored_values(tensor, encoding)
    assert stored.dtype == expected
    if expected == "uint16" and dtype != torch.uint16:
        stored = (stored.astype(np.uint32) << 16).view(np.float32)
    assert stored.tolist() == [0, 1, 3]


def test_a_copy_is_contiguous_and_asks_for_no_gradient() -> None:
    tensor = torch.arange(6.0).reshape(2, 3).T.requires_grad_()
    host = copy_now(tensor)()
    assert (host.is_contiguous(), host.requires_grad) == (True, False)
    assert stored_values(host).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_the_guard_looks_as_often_as_it_says_and_counts_what_is_in_memory(tmp_path: Path, writer: TraceWriter) -> None:
    looks: list[int] = []

    class Watch(DiskGuard):
        def check(self, pending: int = 0) -> None:
            looks.append(pending)

    with Flow(guard=Watch(tmp_path, every_bytes=8000)) as flow:
        put_all(flow, writer)
    assert len(looks) == len(ORDER) / 2, "two events are eight thousand bytes"
    assert looks[0] == min(looks) == 4000, "the event alone"
    assert min(looks[1::2]) >= 3 * 4000, "with half a shard that the writer gathers"


def test_a_full_disk_ends_the_flow(tmp_path: Path, writer: TraceWriter) -> None:
    free = iter([10**9, 10**9, 100])
    guard = DiskGuard(tmp_path, reserve_bytes=2**20, every_bytes=4000, free=lambda path: next(free))
    with pytest.raises(DiskFull, match="got 100 B free"), Flow(guard=guard) as flow:
        put_all(flow, writer)
    assert len(writer.missing()) == len(ORDER) - 2


def _files(path: Path) -> dict[str, bytes]:
    """What is stored, without the pages on which times and claims stand."""
    found = (file for file in path.rglob("*") if file.is_file() and file.name != "zarr.json")
    return {str(file.relative_to(path)): file.read_bytes() for file in found}


puts = st.lists(
    st.tuples(st.sampled_from(ORDER), st.sampled_from([torch.float32, torch.bfloat16, torch.float16])),
    unique_by=lambda put: put[0],
)


@settings(max_examples=25, deadline=None)
@given(puts, st.integers(0, 4 * EVENT_BYTES), st.integers(0, 2**32 - 1))
def test_any_puts_end_as_direct_writes_would(puts: list[Any], limit: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tensors = [torch.randn(VALUES, generator=generator).to(dtype) for _, dtype in puts]
    events = [{"step": step, "layer": layer} for (step, layer), _ in puts]
    with TemporaryDirectory() as folder:
        direct, through = begin(Path(folder, "direct.zarr")), begin(Path(folder, "through.zarr"))
        with Flow(limit_bytes=limit) as flow:
            for event, tensor in zip(events, tensors, strict=True):
                direct.write("x", event, tensor.float().numpy())
                flow.put(through, "x", event, tensor)
        assert direct.missing() == through.missing()
        for writer in (direct, through):
            writer.fail("as far as it goes")
        assert _files(Path(folder, "direct.zarr")) == _files(Path(folder, "through.zarr"))
    assert flow.peak <= max(limit, EVENT_BYTES)
    assert flow.bytes == sum(tensor.numel() * tensor.element_size() for tensor in tensors)
