"""A trace that is resumed keeps the steps that are whole, compares runs, and ends with the bytes of one run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dit_lens_stores import (
    ArraySpec,
    Coordinate,
    NotDone,
    OtherRun,
    OtherSettings,
    Store,
    StoreError,
    StoreExists,
    TraceWriter,
    create_store,
)
from dit_lens_stores.latents import LATENTS, Journal, latent_coordinate
from dit_lens_stores.log import log_of

STEPS, LAYERS = 5, 3
WHOLE = {"step": tuple(range(STEPS)), "layer": tuple(range(LAYERS)), "token": (0, 1)}
PART = {**WHOLE, "step": (1, 3), "layer": (2,)}
SPECS = [
    ArraySpec("raw", tuple(WHOLE), WHOLE, ("step", "layer"), attrs={"source_dtype": "unknown"}),
    ArraySpec("part", tuple(PART), PART, ("step", "layer"), encoding="float16"),
    ArraySpec("latent", ("step", "token"), {"step": WHOLE["step"], "token": (0, 1)}, ("step",)),
    ArraySpec("video", ("pixel",), {"pixel": (0, 1, 2)}, (), "uint8"),
]
COORDINATES = [Coordinate("sigma", "step", {}, dtype="float64"), latent_coordinate()]
MANIFEST = {"model": "tiny", "seed": 3, "scheduler": {"shift": 5, "kind": "a"}, "captures": ["raw", "part"]}
MANIFEST |= {"versions": {"torch": "1"}, "git": None, "weights_sha256": {"transformer": "00"}}


def hash_of(step: int, run: int = 0) -> str:
    return sha256(f"{step} {run}".encode()).hexdigest()


def begin(
    store: Store, manifest: dict[str, Any] = MANIFEST, specs: list[ArraySpec] = SPECS, **options: Any
) -> TraceWriter:
    return store.begin("t0", specs, COORDINATES, manifest, **{"resume": True, **options})


def value(spec: ArraySpec, event: dict[str, Any]) -> Any:
    """A number that says where it is from."""
    base = np.arange(np.prod(spec.event_shape)) + 10 * int(event.get("step", 0)) + 2 * int(event.get("layer", 0))
    return base.reshape(spec.event_shape).astype("uint8" if spec.dtype == "uint8" else "float32")


def run(writer: TraceWriter, upto: int = STEPS, run_of: Callable[[int], int] = lambda step: 0) -> list[int]:
    """Play a run: what a recorder does up to the start of a step, or to the end; returns the steps that it wrote."""
    wrote = []
    writer.note_latents(0, hash_of(0, run_of(0)))
    for step in range(upto):
        if step >= writer.kept_steps:
            wrote.append(step)
        for spec in SPECS[:3]:
            for event in spec.events():
                if event["step"] == step and step >= writer.kept_steps:
                    writer.write(spec.name, event, value(spec, event))
        writer.set_coordinate("sigma", step, 1 / (1 + step))
        writer.note_latents(step + 1, hash_of(step + 1, run_of(step + 1)))
    if upto == STEPS:
        if not writer.holds("video", {}):
            writer.write("video", {}, value(SPECS[3], {}))
        writer.set_array_attribute("raw", "source_dtype", "bfloat16")
        writer.update_manifest({"sigmas": [1.0], "seed": 3})
        writer.finish()
    return wrote


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def events(store: Store) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log_of(store.path).read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("time", "host", "process", "trace")} for line in lines]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    store = create_store(tmp_path_factory.mktemp("whole") / "a.zarr")
    assert run(begin(store)) == list(range(STEPS))
    return content(store.path)


def stopped(store: Store, upto: int) -> None:
    writer = begin(store)
    run(writer, upto)
    writer.drain()


def test_a_complete_trace_tells_the_latents_of_its_run(reference: dict[str, bytes], tmp_path: Path) -> None:
    store = create_store(tmp_path / "a.zarr")
    run(begin(store))
    trace = store["t0"]
    assert trace.manifest["latents"] == [hash_of(step) for step in range(STEPS + 1)]
    assert trace["raw"][LATENTS].values.tolist() == [hash_of(step) for step in range(STEPS)]
    assert content(store.path) == reference
    assert not any("partial" in name for name in reference)


@pytest.mark.parametrize("end", ["killed", "failed"])
@pytest.mark.parametrize("upto", range(STEPS))
def test_a_resumed_trace_ends_with_the_bytes_of_one_run(
    store: Store, reference: dict[str, bytes], upto: int, end: str
) -> None:
    writer = begin(store)
    run(writer, upto)
    if end == "failed":
        writer.write("raw", {"step": upto, "layer": 0}, np.ones(2, np.float32))  # half a shard, and of another run
        writer.fail("stopped")
    else:
        writer.drain()
    del writer
    again = begin(store)
    assert (again.kept_steps, again.anew) == (upto, None)
    with pytest.raises(NotDone):
        _ = store["t0"]["raw"].sel(step=upto).values
    for spec in SPECS[:3]:
        for event in (event for event in spec.events() if event["step"] < upto):
            assert np.array_equal(store["t0"][spec.name].sel(event).values, value(spec, event).astype(np.float32))
    assert run(again) == list(range(upto, STEPS))
    assert content(store.path) == reference
    assert events(store)[-2:] == [
        {"event": "resume", "kept_steps": upto} if upto else {"event": "begin"},
        {"event": "complete"},
    ]


def test_what_is_left_beside_the_shards_is_deleted(store: Store, reference: dict[str, bytes]) -> None:
    stopped(store, 3)
    trace = store.path / "t0"
    for name in ("raw/c/3/0/0.partial", "raw/c/4/0/0", "zarr.0a.partial", "raw/zarr.1b.partial", "part/c/3/0/0"):
        (trace / name).parent.mkdir(parents=True, exist_ok=True)
        (trace / name).write_bytes(b"half")
    (store.path / f"zarr.{'0a' * 16}.partial").write_bytes(b"half")
    assert run(begin(store)) == [3, 4]
    assert content(store.path) == reference


def test_a_step_whose_file_is_lost_is_recorded_again(store: Store, reference: dict[str, bytes]) -> None:
    stopped(store, 4)
    (store.path / "t0" / "part" / "c" / "1" / "0" / "0").unlink()
    assert run(begin(store)) == [1, 2, 3, 4]
    assert content(store.path) == reference


def test_a_step_is_kept_only_if_the_next_has_begun(store: Store, reference: dict[str, bytes]) -> None:
    """The latents that a step leaves are the only witness of what it computed."""
    stopped(store, 4)
    journal = Journal(store.path / "t0")
    journal.path.write_bytes(journal.path.read_bytes()[:-30])  # killed in the middle of a line
    writer = begin(store)
    assert writer.kept_steps == 3
    with pytest.raises(NotDone):
        _ = store["t0"]["raw"].sel(step=3).values
    assert run(writer) == [3, 4]
    assert content(store.path) == reference


@pytest.mark.parametrize("differs", [0, 2, 3])
def test_another_run_is_never_mixed_in(store: Store, reference: dict[str, bytes], differs: int) -> None:
    stopped(store, 3)
    before = content(store.path / "t0" / "raw")
    writer = begin(store)
    with pytest.raises(OtherRun) as caught:
        run(writer, run_of=lambda step: int(step >= differs))
    assert str(caught.value) == (
        f"resuming trace 't0' in '{store.path}' failed at step {differs}; got other latents than the run that began "
        f"it, allowed the same bits; record the trace anew"
    )
    writer.fail(str(caught.value))
    assert content(store.path / "t0" / "raw") == before
    assert run(begin(store, resume=False)) == list(range(STEPS))
    assert content(store.path) == reference


def test_after_what_was_kept_another_run_may_go_its_own_way(store: Store) -> None:
    stopped(store, 3)
    assert run(begin(store), run_of=lambda step: int(step > 3)) == [3, 4]
    assert store["t0"].manifest["latents"] == [hash_of(step, int(step > 3)) for step in range(STEPS + 1)]


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"seed": 4}, "got seed 4, allowed 3"),
    ({"scheduler": {"shift": 3, "kind": "a"}}, "got scheduler.shift 3, allowed 5"),
    ({"scheduler": {"shift": 5}}, "got scheduler.kind None, allowed 'a'"),
    ({"captures": ["raw"]}, "got captures ['raw'], allowed ['part', 'raw']"),
    ({"weights_sha256": {"transformer": "01"}}, "got another weights_sha256.transformer, allowed the same"),
    ({"new": 1}, "got new 1, allowed None"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES)
def test_other_settings_are_refused_and_touch_nothing(store: Store, change: dict[str, Any], told: str) -> None:
    stopped(store, 3)
    before = content(store.path)
    with pytest.raises(OtherSettings) as caught:
        begin(store, MANIFEST | change)
    assert str(caught.value) == (
        f"trace 't0' of '{store.path}' was begun with other settings; {told}; use the same settings, another name or "
        f"another store, or remove the trace"
    )
    assert caught.value.exit_code == 2
    assert content(store.path) == before
    assert begin(store).kept_steps == 3


def test_another_layout_is_refused(store: Store) -> None:
    stopped(store, 3)
    before = content(store.path)
    other = [
        *SPECS[:2],
        ArraySpec("latent", ("step", "token"), {"step": WHOLE["step"], "token": (0, 2)}, ("step",)),
        SPECS[3],
    ]
    with pytest.raises(OtherSettings, match="got another 'token', allowed the one that it has"):
        begin(store, specs=other)
    assert content(store.path) == before


def test_captures_in_another_order_are_the_same(store: Store) -> None:
    stopped(store, 3)
    assert begin(store, MANIFEST | {"captures": ["part", "raw"]}).kept_steps == 3


@pytest.mark.parametrize("change", [{"versions": {"torch": "2"}}, {"git": {"commit": "a"}}, {"device": "cuda"}])
def test_another_environment_begins_anew_and_says_so(store: Store, change: dict[str, Any]) -> None:
    stopped(store, 3)
    writer = begin(store, MANIFEST | change)
    (name,) = change
    assert writer.kept_steps == 0
    assert writer.anew is not None
    assert writer.anew.startswith(name)
    assert run(writer) == list(range(STEPS))
    assert {"event": "begin", "anew": writer.anew} in events(store)


def test_what_nothing_vouches_for_is_recorded_anew(store: Store) -> None:
    stopped(store, 3)
    Journal(store.path / "t0").remove()
    writer = begin(store)
    assert (writer.kept_steps, writer.anew) == (0, "nothing vouches for what was recorded")


def test_marks_that_cannot_be_read_are_no_marks(store: Store, reference: dict[str, bytes]) -> None:
    stopped(store, 3)
    marks = store.path / "t0" / "raw_done" / "c" / "0" / "0"
    marks.write_bytes(b"\1" + marks.read_bytes()[1:-4] + b"crc!")
    writer = begin(store)
    assert (writer.kept_steps, writer.anew) == (0, "its done marks cannot be read")
    run(writer)
    assert content(store.path) == reference


def test_killed_at_every_write_of_laying_out(store: Store, reference: dict[str, bytes], tmp_path: Path) -> None:
    """Whatever files of the layout are there, the trace is begun as if none were."""
    begin(store).drain()
    files = sorted(path.relative_to(store.path) for path in (store.path / "t0").rglob("*") if path.is_file())
    for number in range(len(files)):
        path = tmp_path / str(number) / "a.zarr"
        shutil.copytree(store.path, path)
        for file in files[number:]:
            if file.name != "zarr.json" or len(file.parts) > 2:
                (path / file).unlink()
        run(begin(create_store(path)))
        assert content(path) == reference


def test_killed_between_the_index_and_the_status(store: Store, reference: dict[str, bytes], monkeypatch: Any) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("dit_lens_stores.claim.Claim.give_up", lambda *_: exec("raise KeyboardInterrupt"))
        with pytest.raises(KeyboardInterrupt):
            run(begin(store))
    assert store.status("t0") == "running"
    run(begin(store))
    assert content(store.path) == reference


def test_a_complete_trace_is_left_alone(store: Store, reference: dict[str, bytes]) -> None:
    run(begin(store))
    with pytest.raises(StoreExists):
        begin(store)
    assert content(store.path) == reference


def test_a_folder_that_may_not_be_written_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dit_lens_stores.root.os.access", lambda *_: False)
    with pytest.raises(StoreError) as caught:
        begin(store)
    assert str(caught.value) == (
        f"begin cannot write to '{store.path}'; got a folder that may not be written, allowed one that may; change its "
        f"permissions, or write elsewhere"
    )
    assert store.traces == ()
