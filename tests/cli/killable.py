"""Command lines in processes of their own, cheap to start and free to be killed: forks of one that has imported all.

Run as a program, this loads a model, says ``ready``, and then takes one JSON line a command: ``words``, the file that
``stderr`` goes to, and ``file_bytes``, the largest file that the command may write. It forks, tells the child's process
number, and when the child has ended its exit status, negative for a signal. A list of such lines is run all at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).parent


@dataclass
class Running:
    """A command that runs."""

    pid: int
    stderr: Path
    _process: subprocess.Popen[str]

    def send(self, signal: int) -> None:
        """Send it a signal; until it is waited for, the number is its own, even if it has ended."""
        os.kill(self.pid, signal)

    def wait(self) -> int:
        """Wait for its exit status."""
        return _codes(self._process)[0]

    @property
    def complaint(self) -> str:
        """What it said on stderr last."""
        return (self.stderr.read_text().splitlines() or [""])[-1]


@dataclass
class Forker:
    """Starts commands, one at a time."""

    process: subprocess.Popen[str]
    folder: Path

    def start(self, *words: object, file_bytes: int = 0) -> Running:
        """Start a command line."""
        assert self.process.stdout is not None
        stderr = self.folder / "stderr"
        order = {"words": [str(word) for word in words], "stderr": str(stderr), "file_bytes": file_bytes}
        self._order([order])
        return Running(json.loads(self.process.stdout.readline())[0], stderr, self.process)

    def together(self, *commands: list[object]) -> list[int]:
        """Run command lines at the same time; their exit statuses."""
        assert self.process.stdout is not None
        self._order(
            {"words": [str(word) for word in words], "stderr": str(self.folder / f"stderr-{number}"), "file_bytes": 0}
            for number, words in enumerate(commands)
        )
        self.process.stdout.readline()
        return _codes(self.process)

    def _order(self, orders: Iterable[dict[str, Any]]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(list(orders)) + "\n")
        self.process.stdin.flush()

    def run(self, *words: object, file_bytes: int = 0) -> tuple[int, str]:
        """Run a command line to its end; its exit status and last complaint."""
        running = self.start(*words, file_bytes=file_bytes)
        return running.wait(), running.complaint


def _codes(process: subprocess.Popen[str]) -> list[int]:
    """Wait until what was ordered has ended, let it go, and return the exit statuses."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ended\n"
    process.stdin.write("\n")
    process.stdin.flush()
    codes: list[int] = json.loads(process.stdout.readline())
    return codes


@contextmanager
def forker(model: str, folder: Path) -> Iterator[Forker]:
    """Load a model in a process that forks: ``untrained``, or one that ``dit_lens.load`` knows."""
    command = [sys.executable, str(Path(__file__)), model]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    with (
        (folder / "server").open("w") as server,
        subprocess.Popen(command, stderr=server, **pipes) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", (folder / "server").read_text()
        yield Forker(process, folder)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def _serve(model: str) -> None:
    import dit_lens.cli.trace as command
    import dit_lens.engine.flow
    import dit_lens.manifest
    from dit_lens.cli import run  # noqa: F401  so that it is imported before the fork

    dit_lens.manifest.git_state = lambda: None  # somebody may work on the source meanwhile
    dit_lens.engine.flow.LINGER_SECONDS = 0.05  # so that a run of a second has something to lose
    lens = _load(model)
    _ = lens.identity
    command.load_quietly = lambda *_, **__: lens
    _say("ready")
    for line in sys.stdin:
        pids = [os.fork() or _obey(**order) for order in json.loads(line)]
        _say(json.dumps(pids))
        for pid in pids:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        _say("ended")
        sys.stdin.readline()  # until then their numbers are nobody else's
        _say(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _load(model: str) -> Any:
    if model != "untrained":
        from dit_lens import load

        return load(model)
    sys.path.insert(0, str(HERE.parent / "trace"))
    from conftest import build, look

    return look(build())


def _obey(words: list[str], stderr: str, file_bytes: int) -> NoReturn:
    code = 70
    try:
        import resource

        from dit_lens.cli import run

        file = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if file_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
        code = run(words)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
