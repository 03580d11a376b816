"""Progress as a log file, a program and a terminal see it; stdout has the record alone, whatever is shown."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest

import dit_lens
from dit_lens.cli import run
from dit_lens.cli.progress import Piece, working_on
from dit_lens.cli.progress.lines import Lines
from dit_lens.cli.progress.state import State

WORDS = "--task maze --size 3 --frames 17 --steps 3 --for energy --capture latent"
ESCAPE = "\x1b"
SHOW_CURSOR, HIDE_CURSOR, ERASE_LINE = "\x1b[?25h", "\x1b[?25l", "\x1b[2K"


def plain(said: str) -> str:
    """Without what moves the cursor or colours."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said)


def events_of(err: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in err.splitlines()]


def test_events_add_up_to_the_store(dit_lens_command, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "a.zarr"
    said = dit_lens_command("trace", model, *WORDS.split(), "--seed", "0:2", "--out", out, "--json")
    assert said.code == 0, said.err
    events = events_of(said.err)
    assert [event["event"] for event in (events[0], events[-1])] == ["begin", "end"]
    assert {event["event"] for event in events[1:-1]} <= {"advance"}
    assert events[-1]["outcome"] == "complete"
    assert {(event["work"], event["unit"], event["total"], event["pieces"]) for event in events} == {
        ("trace", "steps", 6, 2)
    }
    counts = [(event["done"], event["bytes"], event["seconds"], event["waited"]) for event in events]
    assert counts == sorted(counts)
    assert [unit["trace"] for unit in said.json["units"]] == list(dict.fromkeys(event["piece"] for event in events))
    store = dit_lens.open(out)
    recorded = sum(store[trace][name].nbytes for trace in store for name in ("block.out.energy", "latent.raw"))
    assert (events[-1]["done"], events[-1]["bytes"]) == (6, recorded)
    waited = sum(unit["waited"] for unit in said.json["units"])
    assert events[-1]["waited"] == pytest.approx(waited, abs=0.05)


def test_only_what_is_missing_is_counted(dit_lens_command, tmp_path: Path, model: Path, store: Path) -> None:
    out = shutil.copytree(store, tmp_path / "a.zarr")  # two traces of two steps
    words = ["--task", "maze", "--size", "3", "--steps", "2", "--frames", "17", "--for", "energy", "--json"]
    said = dit_lens_command("trace", model, *words, "--seed", "0:3", "--out", out)
    assert {event["total"] for event in events_of(said.err)} == {2}
    again = dit_lens_command("trace", model, *words, "--seed", "0:3", "--out", out)
    assert (again.code, again.err) == (0, "")


def test_events_of_bytes(dit_lens_command, tmp_path: Path, store: Path) -> None:
    """What is read, packed, sent and fetched is what the records and the files say."""
    url = "memory://progress/a.zarr"
    read = dit_lens_command("analyze", store, "--probe", "energy", "--out", tmp_path / "r", "--json")
    energy = sum(trace["block.out.energy"].nbytes for trace in map(dit_lens.open(store).get, dit_lens.open(store)))
    assert events_of(read.err)[-1]["bytes"] == energy
    sent = dit_lens_command("store", "push", store, url, "--license", "MIT", "--model-license", "MIT", "--json")
    assert events_of(sent.err)[-1]["done"] == sent.json["bytes"], sent.err
    came = dit_lens_command("store", "pull", url, tmp_path / "b.zarr", "--json")
    end = events_of(came.err)[-1]
    assert (end["work"], end["done"], end["total"]) == ("pull b.zarr", came.json["bytes"], came.json["bytes"])
    fsspec.filesystem("memory").rm("/progress", recursive=True)


def test_the_end_counts_the_seconds_after_the_last_report(capsys: pytest.CaptureFixture[str]) -> None:
    """Such as those of decoding a video."""
    with working_on("trace", "steps", as_json=True) as work:
        work(2, 2)
        time.sleep(0.2)
    begin, end = events_of(capsys.readouterr().err)
    assert end["seconds"] >= begin["seconds"] + 0.2
    assert (end["done"], end["total"]) == (begin["done"], begin["total"]) == (2, 2)


def test_an_interrupt_is_told(dit_lens_command, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = dit_lens.Lens.trace

    def interrupted(self, *given, on_progress, **options):  # as if Ctrl-C came after the second step
        def stop(standing):
            on_progress(standing)
            if standing.done == 2:
                raise KeyboardInterrupt

        return real(self, *given, on_progress=stop, **options)

    monkeypatch.setattr(dit_lens.Lens, "trace", interrupted)
    said = dit_lens_command("trace", model, *WORDS.split(), "--out", tmp_path / "a.zarr", "--json")
    *events, last = said.err.splitlines()
    end = json.loads(events[-1])
    assert (end["event"], end["outcome"], end["done"]) == ("end", "interrupted", 2)
    assert (said.code, last) == (130, "interrupted; the same command resumes")


def test_a_request_that_is_refused_leaves_its_reason_alone(dit_lens_command, tmp_path: Path, model: Path) -> None:
    said = dit_lens_command("trace", model, "--task", "maze", "--steps", 0, "--out", tmp_path / "a.zarr", "--json")
    assert said.code == 2
    assert not said.complaint.startswith("{")


def test_a_log_file_gets_a_line_a_piece(dit_lens_command, tmp_path: Path, model: Path, monkeypatch) -> None:
    """Many a CI asks for colours; they would be noise in its log. A run that stops early has fewer steps."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    words = (*WORDS.split(), "--seed", "0:2", "--stop-after", 1)
    said = dit_lens_command("trace", model, *words, "--out", tmp_path / "a.zarr")
    assert said.code == 0
    assert ESCAPE not in said.err
    first, second = said.err.splitlines()
    assert re.fullmatch(r"trace maze-3x3-0-seed-0-edited-\w+ \(1 of 2\): 1 of 4 steps, \S+ k?B, waited \d\.\d s", first)
    assert re.fullmatch(
        r"trace maze-3x3-0-seed-1-edited-\w+ \(2 of 2\): 3 of 4 steps, \S+ k?B, \S+ (steps/s|s a step), \d+:\d\d left, "
        r"waited \d\.\d s",
        second,
    )


def test_long_work_says_so_every_half_minute(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    for second in range(0, 3600):
        piece = Piece("long", 1, 2) if second < 3000 else Piece("other", 2, 2)
        lines.show(State("trace", "steps", second, 7200, piece, None, None, float(second), 1.0, 7200.0 - second))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 120
    assert said[:2] == [
        "trace long (1 of 2): 0 of 7200 steps, 1.0 steps/s, 2:00:00 left",
        "trace long (1 of 2): 30 of 7200 steps, 1.0 steps/s, 1:59:30 left",
    ]
    assert said[100] == "trace other (2 of 2): 3000 of 7200 steps, 1.0 steps/s, 1:10:00 left"


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 100) -> Iterator[Callable[[], str]]:
    """A pseudo-terminal in place of stderr; yields what reads all that was written to it."""
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    with os.fdopen(theirs, "w") as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", file)
        yield lambda: _read(ours)
    os.close(ours)


def _read(file: int) -> str:
    said = b""
    while select.select([file], [], [], 0.1)[0]:
        said += os.read(file, 65536)
    return said.decode()


def test_a_terminal_gets_bars(tmp_path: Path, store: Path, monkeypatch, capsys) -> None:
    with terminal(monkeypatch) as read:
        assert run(["analyze", str(store), "--probe", "energy", "--out", str(tmp_path / "r")]) == 0
        said = read()
    assert "━" in said
    assert re.search(r"probe energy on 2 traces.* (\S+ k?B) of \1, \S+ [kM]?B/s, 0:00 left", plain(said))
    assert said.rindex(SHOW_CURSOR) > said.rindex(HIDE_CURSOR)
    assert said.endswith(ERASE_LINE)
    assert ESCAPE not in capsys.readouterr().out


@pytest.mark.parametrize("columns", [40, 60, 80, 140])
def test_bars_fit_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    piece = Piece("a-trace-with-a-very-long-name-of-its-own-seed-0", 12, 1000)
    with terminal(monkeypatch, columns) as read:
        with working_on("trace", "steps") as work:
            for done in range(3):
                work(done, 50_000, piece=piece, nbytes=10**11, waited=1234.5)
                time.sleep(0.02)
        said = read()
    lines = plain(said).replace("\r", "\n").split("\n")
    assert max(map(len, lines)) <= columns
    assert any("2 of 50000 steps" in line for line in lines)
    assert any("waited 1234.5 s" in line for line in lines) == (columns == 140)


@pytest.mark.parametrize("name", ["[/red]", "[bold]x[/]", "a\x1b]0;title\x07b", "x\u202ey"])
def test_names_do_not_act_on_a_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch, 160) as read:
        with working_on(f"pack {name}", "bytes") as work:
            work(1, 2, piece=Piece(name, 1, 2))
        said = read()
    shown = name.encode("unicode_escape").decode()
    assert shown in said
    assert "\x1b]" not in said
    assert "\u202e" not in said


def test_events_come_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as read:
        with working_on("pack a", "bytes", as_json=True) as work:
            work(1, 2)
        said = read()
    assert [event["event"] for event in events_of(said)] == ["begin", "end"]


_IN_TERMINAL = "import os, sys; os.login_tty(int(sys.argv.pop(1))); from dit_lens.cli import main; main()"
_SLOW_PROBE = """
import time
from dit_lens_probes.energy import Energy


class Slow(Energy):
    name = "slow"
    chunks = 0

    def map(self, chunk):
        Slow.chunks += 1
        time.sleep(60 if Slow.chunks > 2 else 0.5)
        return super().map(chunk)
"""


def test_ctrl_c_leaves_a_clean_terminal(tmp_path: Path, store: Path) -> None:
    """The real keys in a real terminal: the kernel sends the signal, in the middle of the work."""
    (tmp_path / "slow.py").write_text(_SLOW_PROBE, encoding="utf-8")
    ours, theirs = pty.openpty()
    words = ["analyze", str(store), "--probe", f"{tmp_path / 'slow.py'}:Slow", "--out", str(tmp_path / "r")]
    command = [sys.executable, "-c", _IN_TERMINAL, str(theirs), *words]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, pass_fds=[theirs], env=environment) as process:
        os.close(theirs)
        said = _until(ours, r"of \S+ k?B, \S+ k?B/s, \d+:\d\d left")
        os.write(ours, b"\x03")
        said += _until(ours, "resumes")
        assert process.wait(30) == 130
    os.close(ours)
    assert said.rindex(SHOW_CURSOR) > said.rindex(HIDE_CURSOR)
    after = said[said.rindex(ERASE_LINE) + len(ERASE_LINE) :]
    assert plain(after).split() == ["interrupted;", "the", "same", "command", "resumes"]


def _until(file: int, pattern: str, seconds: float = 120) -> str:
    said, end = "", time.monotonic() + seconds
    while not re.search(pattern, said):
        assert time.monotonic() < end, said
        if select.select([file], [], [], 1)[0]:
            said += _rest(file, said)
    return said


def _rest(file: int, said: str) -> str:
    try:
        return os.read(file, 65536).decode(errors="replace")
    except OSError:  # nobody has the terminal open any more
        pytest.fail(f"the command ended: {plain(said)[-500:]}")
