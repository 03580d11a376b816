"""Every message, word for word: one line, what was got, what is allowed, one remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import dit_lens_stores as ds
from dit_lens_stores import ArraySpec, Coordinate, Store, TraceWriter, create_store, open_store

DIMS = ("step", "frame")


def message(kind: type[ds.DitLensError], call: Callable[[], Any]) -> str:
    with pytest.raises(kind) as caught:
        call()
    text = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in text
    return text


def spec(name: str = "x", **changes: Any) -> ArraySpec:
    fields = {"dims": DIMS, "labels": {"step": (0, 1), "frame": (0, 1)}, "event_dims": ("step",)} | changes
    return ArraySpec(name, **fields)


@pytest.fixture
def writer(store: Store) -> TraceWriter:
    return store.begin("t0", [spec("block.out.raw"), spec("latent")], [Coordinate("sigma", "step", [1.0, 0.5])], {})


@pytest.mark.parametrize(
    ("kind", "builtin", "code"),
    [
        (ds.NotAStore, ValueError, 2),
        (ds.StoreExists, FileExistsError, 2),
        (ds.UnknownTrace, LookupError, 2),
        (ds.UnknownArray, LookupError, 2),
        (ds.UnknownFormat, ValueError, 2),
        (ds.DuplicateEvent, ValueError, 2),
        (ds.NotDone, ValueError, 3),
    ],
)
def test_classes_inherit_the_builtin_that_fits(kind: type[ds.DitLensError], builtin: type, code: int) -> None:
    assert issubclass(kind, ds.StoreError)
    assert issubclass(kind, builtin)
    assert kind.exit_code == code


@pytest.mark.parametrize("made", ["nothing", "a file", "a folder that is no Zarr group", "no mark", "broken"])
def test_not_a_store(tmp_path: Path, made: str) -> None:
    path, got = tmp_path / "p", made
    if made == "a file":
        path.write_text("mine")
    elif made.startswith("a folder"):
        path.mkdir()
    elif made == "no mark":
        zarr.create_group(path, zarr_format=3)
        got = "a Zarr group without 'dit_lens_format'"
    elif made == "broken":
        path.mkdir()
        (path / "zarr.json").write_text("{")
        got = "a folder that is no Zarr group"
    text = message(ds.NotAStore, lambda: open_store(path))
    assert text == f"open_store found no store at '{path}'; got {got}, allowed a dit-lens store; check the path"


@pytest.mark.parametrize("version", ["2.0", "0.9", "draft"])
@pytest.mark.parametrize("action", [open_store, create_store])
def test_another_format_is_refused(store: Store, version: str, action: Callable[[Path], Store]) -> None:
    node = store.path / "zarr.json"
    content = json.loads(node.read_text())
    content["attributes"]["dit_lens_format"] = version
    node.write_text(json.dumps(content))
    expected = (
        f"{action.__name__} cannot read '{store.path}'; got format '{version}', allowed 1.x; install a newer dit-lens"
    )
    assert message(ds.UnknownFormat, lambda: action(store.path)) == expected


@pytest.mark.parametrize("made", ["a file", "a folder that is no dit-lens store"])
def test_what_is_not_ours_is_refused_and_untouched(tmp_path: Path, made: str) -> None:
    path = tmp_path / "p"
    kept = path if made == "a file" else path / "mine.txt"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")
    before = kept.stat().st_mtime_ns
    text = message(ds.StoreExists, lambda: create_store(path))
    allowed = "a new path, an empty folder or a dit-lens store"
    assert text == f"create_store refused '{path}'; got {made}, allowed {allowed}; choose another path"
    assert (kept.read_text(), kept.stat().st_mtime_ns) == ("mine", before)
    assert len([file for file in tmp_path.rglob("*") if file.is_file()]) == 1


def test_an_empty_folder_and_our_own_store_are_taken(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    create_store(str(tmp_path / "p")).begin("t0", [spec()], [], {})
    assert create_store(tmp_path / "p").traces == ("t0",)


def test_a_foreign_zarr_is_refused(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "p", zarr_format=3, attributes={"theirs": True})
    before = (tmp_path / "p" / "zarr.json").read_bytes()
    assert "a folder that is no dit-lens store" in message(ds.StoreExists, lambda: create_store(tmp_path / "p"))
    assert (tmp_path / "p" / "zarr.json").read_bytes() == before


def test_a_complete_trace_is_never_overwritten(full: Store) -> None:
    before = {file: file.stat().st_mtime_ns for file in full.path.rglob("*")}
    text = message(ds.StoreExists, lambda: full.begin("t0", [spec()], [], {}))
    assert text == (
        f"begin refused trace 't0' in '{full.path}'; got the id of a complete trace, allowed a new id or one that is "
        f"not complete; choose another id"
    )
    assert {file: file.stat().st_mtime_ns for file in full.path.rglob("*")} == before


def test_a_store_opened_for_reading_takes_no_trace(store: Store) -> None:
    text = message(ds.StoreError, lambda: open_store(store.path).begin("t0", [spec()], [], {}))
    assert text == (
        f"begin cannot write to '{store.path}'; got a store opened for reading, allowed one opened for writing; use "
        f"create_store"
    )


def test_unknown_trace(full: Store) -> None:
    head = f"store '{full.path}' holds no trace of that id;"
    assert message(ds.UnknownTrace, lambda: full["tt0"]) == f"{head} got 'tt0', allowed t0; did you mean 't0'?"
    assert message(ds.UnknownTrace, lambda: full.status("b")) == f"{head} got 'b', allowed t0; look at store.traces"


def test_unknown_array(full: Store) -> None:
    names = "block.out.raw, block.out.energy, latent.energy, video"
    head = "trace 't0' holds no array of that name;"
    text = message(ds.UnknownArray, lambda: full["t0"]["block.out.energ"])
    assert text == f"{head} got 'block.out.energ', allowed {names}; did you mean 'block.out.energy'?"
    text = message(ds.UnknownArray, lambda: full["t0"].done("zz"))
    assert text == f"{head} got 'zz', allowed {names}; name one of them, or trace again with a capture of it"


def test_a_write_that_does_not_fit(writer: TraceWriter) -> None:
    two = np.zeros(2, np.float32)
    text = message(ds.UnknownArray, lambda: writer.write("blok.out.raw", {"step": 0}, two))
    allowed = "allowed block.out.raw, latent; did you mean 'block.out.raw'?"
    assert text == f"write found no array in trace 't0'; got 'blok.out.raw', {allowed}"
    text = message(ds.StoreError, lambda: writer.write("latent", {"step": 7}, two))
    assert text == "write to 'latent' does not hold step=7; got 7, allowed 0, 1; add it to the capture's selection"
    text = message(ds.StoreError, lambda: writer.write("latent", {"layer": 0}, two))
    expected = "got ['layer'], allowed exactly ['step']; name each of them once"
    assert text == f"write to 'latent' needs its event dimensions; {expected}"
    text = message(ds.StoreError, lambda: writer.write("latent", {"step": 0}, np.zeros(3, np.float32)))
    remedy = "select the capture's own labels before writing"
    assert text == f"write of latent[step=0] has another shape; got (3,), allowed (2,) (frame); {remedy}"
    text = message(ds.StoreError, lambda: writer.write("latent", {"step": 0}, np.zeros(2)))
    expected = "got float64, allowed float32 or narrower; convert it before writing"
    assert text == f"write of latent[step=0] would lose values; {expected}"
    assert writer.missing() == [(name, {"step": step}) for name in ("block.out.raw", "latent") for step in (0, 1)]


def test_a_word_that_is_no_label_gets_the_close_match(store: Store) -> None:
    writer = store.begin("t0", [ArraySpec("x", ("branch",), {"branch": ("cond", "uncond")}, ("branch",))], [], {})
    text = message(ds.StoreError, lambda: writer.write("x", {"branch": "con"}, np.float32(0)))
    allowed = "allowed cond, uncond; did you mean 'cond'?"
    assert text == f"write to 'x' does not hold branch=con; got 'con', {allowed}"


@pytest.mark.parametrize("steps", [1, 2])
def test_an_event_written_twice(store: Store, steps: int) -> None:
    dims = ("step", "layer")
    layered = ArraySpec("x", dims, {"step": (0,), "layer": range(steps)}, dims)
    writer = store.begin("t0", [layered], [], {})
    writer.write("x", {"step": 0, "layer": 0}, np.float32(1))  # in place at once, or still in memory
    text = message(ds.DuplicateEvent, lambda: writer.write("x", {"step": 0, "layer": 0}, np.float32(2)))
    expected = "got a second visit, allowed one write of each event; record each event once"
    assert text == f"write got x[step=0, layer=0] a second time; {expected}"
    writer.fail("stopped")
    assert store.get("t0", partial=True)["x"].values[0, 0] == 1


def test_not_done(store: Store, writer: TraceWriter) -> None:
    text = message(ds.NotDone, lambda: store["t0"]["block.out.raw"].values)
    assert text == (
        f"reading trace 't0' found what is not done in '{store.path}'; got block.out.raw[step=0], "
        f"block.out.raw[step=1], allowed events that were written; trace it again, or open it with "
        f"get('t0', partial=True)"
    )
    first = "block.out.raw[step=0], block.out.raw[step=1], latent[step=0] and 1 more"
    text = message(ds.NotDone, writer.finish)
    expected = f"got 4 events missing: {first}, allowed none; run it again"
    assert text == f"trace 't0' is not complete in '{store.path}'; {expected}"


def test_a_closed_writer_takes_nothing(writer: TraceWriter) -> None:
    writer.fail("stopped")
    calls: dict[str, Callable[[], None]] = {
        "write": lambda: writer.write("latent", {"step": 0}, np.zeros(2, np.float32)),
        "set_coordinate": lambda: writer.set_coordinate("sigma", 0, 1.0),
        "update_manifest": lambda: writer.update_manifest({}),
        "finish": writer.finish,
        "fail": lambda: writer.fail("again"),
    }
    for action, call in calls.items():
        text = message(ds.StoreError, call)
        expected = "got status 'failed', allowed 'running'; begin the trace again"
        assert text == f"{action} on trace 't0' came too late; {expected}"


def test_coordinates_that_do_not_fit(store: Store, writer: TraceWriter) -> None:
    text = message(ds.StoreError, lambda: writer.set_coordinate("sigm", 0, 1.0))
    assert text == "set_coordinate found no coordinate; got 'sigm', allowed sigma; did you mean 'sigma'?"
    text = message(ds.StoreError, lambda: writer.set_coordinate("sigma", 9, 1.0))
    assert text == "set_coordinate of 'sigma' has no such step; got 9, allowed 0, 1; set only what the trace holds"
    cases = {
        "coordinate 'y' is on no dimension; got 'tokn', allowed step, frame, token; did you mean 'token'?": Coordinate(
            "y", "tokn", [0]
        ),
        "coordinate 'y' has another length than 'token'; got 2 values, allowed 1 (the union of all arrays' labels); "
        "give a mapping from label to value": Coordinate("y", "token", [0, 1]),
    }
    token = ArraySpec("x", (*DIMS, "token"), {"step": (0,), "frame": (0,), "token": (0,)}, ("step",))
    for expected, coordinate in cases.items():
        assert message(ds.StoreError, lambda made=coordinate: store.begin("t1", [token], [made], {})) == expected  # type: ignore[misc]
    text = message(ds.StoreError, lambda: Coordinate("y", "token", ["a", 1]).kind)
    allowed = "allowed all str, all integers or all floats; give its dtype"
    assert text == f"coordinate 'y' has values of no one kind; got ['a', 1], {allowed}"
    assert "t1" not in store


def test_specs_that_cannot_be_stored() -> None:
    rule = "a name without '/', '\\' and control characters, a leading dot or '__', not ending in '_done'"
    for name in ("", "a/b", ".a", "__a", "x_done"):
        text = message(ds.StoreError, lambda name=name: spec(name))  # type: ignore[misc]
        assert text == f"ArraySpec refused its name; got '{name}', allowed {rule}; rename it"
    text = message(ds.StoreError, lambda: spec(dtype="bfloat16"))
    assert text == "array 'x' has a dtype; got 'bfloat16', allowed float32, uint8; widen to float32"
    text = message(ds.StoreError, lambda: spec(event_dims=("frame",)))
    expected = "got ('frame',), allowed a beginning of ('step', 'frame'); put the event dimensions first"
    assert text == f"array 'x' has event_dims that do not lead; {expected}"
    text = message(ds.StoreError, lambda: spec(labels={"step": (0,)}))
    expected = "got labels of ['step'], allowed exactly ['frame', 'step']; give every dimension its labels once"
    assert text == f"array 'x' has labels that do not fit its dims; {expected}"


@pytest.mark.parametrize("labels", [(), (1, 0), (0, 0), ("a", "a"), (0, "a"), (True, 2)])
def test_labels_that_cannot_be_stored(labels: tuple[Any, ...]) -> None:
    text = message(ds.StoreError, lambda: spec(labels={"step": labels, "frame": (0,)}))
    expected = "allowed rising integers or different words, at least one; sort them and drop what is double"
    assert text == f"array 'x' has labels of 'step' that cannot be stored; got {labels}, {expected}"


def test_plans_that_cannot_be_stored_leave_nothing(store: Store) -> None:
    def begin(*specs: ArraySpec, manifest: dict[str, Any] | None = None, trace_id: str = "t0") -> str:
        return message(ds.StoreError, lambda: store.begin(trace_id, specs, [], manifest or {}))

    assert begin() == "begin got no array; got 0, allowed at least 1; add a capture"
    text = begin(spec("a"), spec("a"))
    assert text == "begin got one name twice; got 'a', allowed each name once; rename one of the two"
    assert begin(spec("step")).startswith("begin got one name twice; got 'step',")
    text = begin(spec("a"), spec("b", labels={"step": ("first",), "frame": (0,)}))
    expected = "got (0, 1, 'first'), allowed all integers or all words; use one kind in every array"
    assert text == f"begin found two kinds of labels along 'step'; {expected}"
    text = begin(
        *(spec(name, labels={"step": (0,), "frame": words}) for name, words in (("a", ("p", "q")), ("b", ("q", "p"))))
    )
    expected = "got ('q', 'p'), allowed the order of ('p', 'q'); use one order in every array"
    assert text == f"array 'b' has labels of 'frame' in another order; {expected}"
    text = begin(spec(), trace_id="Maze 5")
    assert text == "begin refused a trace id; got 'Maze 5', allowed [a-z0-9][a-z0-9._-]*; did you mean 'maze-5'?"
    text = begin(spec(), manifest={"device": object})
    assert text.startswith(
        "manifest cannot be stored; got Object of type type is not JSON serializable, allowed what JSON"
    )
    assert begin(spec(), manifest={"sigma": float("nan")}).startswith(
        "manifest cannot be stored; got Out of range float"
    )
    assert begin(spec(attrs={"site": object()})).startswith("attrs of array 'x' cannot be stored; got Object of type")
    assert [file.name for file in store.path.rglob("*")] == ["zarr.json"]
