"""The supervisor, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from blocker import supervisor
from blocker.errors import PointError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Trace:
    """What the children write down: one line each time, in a file they all append to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, word: str) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(handle, f"{word} {os.getpid()}\n".encode())
        os.close(handle)

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def wait(self, word: str, number: int = 1) -> list[int]:
        """The processes that noted the word, once `number` of them have."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = [int(pid) for said, pid in self.lines() if said == word]
            if len(found) >= number:
                return found
            time.sleep(0.005)
        raise AssertionError(f"no {number} times {word} in {self.lines()}")


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace(tmp_path / "trace")


@pytest.fixture
def start() -> Iterator[Callable[..., int]]:
    """Runs supervise in a process of its own; returns its id."""
    begun: list[int] = []

    def run(
        *children: supervisor.Child, on_hangup: Callable[[], Any] | None = None, grace: float = 1.5
    ) -> int:
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                code = supervisor.supervise(children, on_hangup=on_hangup, grace=grace)
            finally:
                os._exit(code)
        begun.append(pid)
        return pid

    yield run
    for pid in begun:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def steady(trace: Trace) -> Callable[[Callable[[], None]], None]:
    """A child that beats until SIGTERM, then says so."""

    def run(beat: Callable[[], None]) -> None:
        stopping: list[int] = []
        signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
        trace.note("start")
        while not stopping:
            beat()
            time.sleep(0.02)
        trace.note("stop")

    return run


def test_sigterm_ends_the_children_in_order_and_returns_zero(trace: Trace, start: Callable[..., int]) -> None:
    children = [supervisor.Child(name=str(n), run=steady(trace), heartbeat=2) for n in range(2)]
    parent = start(*children)
    started = trace.wait("start", 2)
    os.kill(parent, signal.SIGTERM)
    assert exit_code(parent) == 0
    assert sorted(trace.wait("stop", 2)) == sorted(started)


def test_a_terminal_interrupt_to_the_whole_group_is_an_orderly_end(
    trace: Trace, start: Callable[..., int]
) -> None:
    parent = start(supervisor.Child(name="a", run=steady(trace), heartbeat=2))
    (child,) = trace.wait("start")
    os.kill(child, signal.SIGINT)
    os.kill(parent, signal.SIGINT)
    assert exit_code(parent) == 0
    assert trace.wait("stop") == [child]


def test_a_killed_child_is_started_again(trace: Trace, start: Callable[..., int]) -> None:
    parent = start(supervisor.Child(name="a", run=steady(trace), heartbeat=2))
    (first,) = trace.wait("start")
    os.kill(first, signal.SIGKILL)
    assert trace.wait("start", 2)[1] != first
    os.kill(parent, signal.SIGTERM)
    assert exit_code(parent) == 0


def test_a_child_that_stops_beating_is_killed_and_started_again(
    trace: Trace, start: Callable[..., int]
) -> None:
    def hangs(beat: Callable[[], None]) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        beat()
        trace.note("start")
        time.sleep(60)

    start(supervisor.Child(name="a", run=hangs, heartbeat=0.3))
    first, second = trace.wait("start", 2)[:2]
    assert first != second
    assert gone(first)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), PointError("port taken")])
def test_a_child_that_raises_is_started_again_with_a_delay(
    trace: Trace, start: Callable[..., int], error: Exception
) -> None:
    def raises(beat: Callable[[], None]) -> None:
        trace.note(f"at-{time.monotonic()}")
        trace.note("start")
        raise error

    start(supervisor.Child(name="a", run=raises, heartbeat=2))
    trace.wait("start", 2)
    first, second = [float(word[3:]) for word, _ in trace.lines() if word.startswith("at-")][:2]
    assert second - first >= supervisor.FIRST_DELAY - 0.01


@pytest.mark.parametrize("log", ["full", "gone"])
def test_a_log_that_takes_nothing_ends_no_supervision(
    trace: Trace, start: Callable[..., int], monkeypatch: pytest.MonkeyPatch, log: str
) -> None:
    full = open("/dev/full", "w") if log == "full" else None  # noqa: PTH123, SIM115 - a device, as stderr is
    monkeypatch.setattr("sys.stderr", full)
    if full is not None:
        full.write("what was said before")
    parent = start(supervisor.Child(name="a", run=steady(trace), heartbeat=2))
    (first,) = trace.wait("start")
    os.kill(first, signal.SIGKILL)
    trace.wait("start", 2)
    os.kill(parent, signal.SIGTERM)
    assert exit_code(parent) == 0
    if full is not None:
        with pytest.raises(OSError, match="space"):
            full.close()


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(
    trace: Trace, start: Callable[..., int]
) -> None:
    def deaf(beat: Callable[[], None]) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        trace.note("start")
        while True:
            beat()
            time.sleep(0.02)

    parent = start(supervisor.Child(name="a", run=deaf, heartbeat=2), grace=0.2)
    (child,) = trace.wait("start")
    os.kill(parent, signal.SIGTERM)
    assert exit_code(parent) == 0
    assert gone(child)


@pytest.mark.parametrize(
    "error", [StoreError("site.yaml is gone"), BrokenPipeError("a log's reader went"), RuntimeError("a bug")]
)
def test_sighup_is_the_callers_and_its_error_changes_nothing(
    trace: Trace, start: Callable[..., int], error: Exception
) -> None:
    def reload() -> None:
        trace.note("hangup")
        raise error

    parent = start(supervisor.Child(name="a", run=steady(trace), heartbeat=2), on_hangup=reload)
    trace.wait("start")
    os.kill(parent, signal.SIGHUP)
    trace.wait("hangup")
    os.kill(parent, signal.SIGHUP)
    trace.wait("hangup", 2)
    os.kill(parent, signal.SIGTERM)
    assert exit_code(parent) == 0
    assert len(trace.wait("start")) == 1


@pytest.mark.parametrize(
    ("alone", "words"), [(True, ["start", "stop", "start"]), (False, ["start", "start", "stop"])]
)
def test_who_is_to_be_alone_is_started_when_the_one_it_replaces_has_ended(
    trace: Trace, start: Callable[..., int], alone: bool, words: list[str]
) -> None:
    ended = trace.path.with_name("ended")

    def until_told(beat: Callable[[], None]) -> None:
        signal.signal(signal.SIGTERM, lambda *_: trace.note("told"))
        trace.note("start")
        while not ended.exists():
            beat()
            time.sleep(0.005)
        trace.note("stop")

    old = supervisor.Child(name="a", run=until_told, heartbeat=2, alone=alone)
    new = supervisor.Child(name="a", run=steady(trace), heartbeat=2, alone=alone)
    parent = start(old, on_hangup=lambda: [new], grace=8)
    trace.wait("start")
    os.kill(parent, signal.SIGHUP)
    trace.wait("told")
    if not alone:
        trace.wait("start", 2)
    ended.touch()
    trace.wait("start", 2)
    trace.wait("stop")
    assert [word for word, _ in trace.lines() if word != "told"] == words
    os.kill(parent, signal.SIGTERM)
    assert exit_code(parent) == 0


def test_children_end_when_their_parent_is_killed(trace: Trace, start: Callable[..., int]) -> None:
    parent = start(supervisor.Child(name="a", run=steady(trace), heartbeat=2))
    (child,) = trace.wait("start")
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert trace.wait("stop") == [child]


def test_a_pause_of_the_whole_tree_kills_nobody(trace: Trace, start: Callable[..., int]) -> None:
    parent = start(supervisor.Child(name="a", run=steady(trace), heartbeat=0.6))
    (child,) = trace.wait("start")
    os.kill(parent, signal.SIGSTOP)
    os.kill(child, signal.SIGSTOP)
    time.sleep(1.2)
    os.kill(parent, signal.SIGCONT)
    time.sleep(0.2)
    os.kill(child, signal.SIGCONT)
    os.kill(parent, signal.SIGTERM)
    assert exit_code(parent) == 0
    assert [word for word, _ in trace.lines()] == ["start", "stop"]


def test_a_lock_that_is_held_names_the_process(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    code = f"""
import sys, time, pathlib
from blocker.supervisor import lock
with lock(pathlib.Path({str(path)!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=f"process {holder.pid}"), supervisor.lock(path):
            pass
        holder.kill()
    with supervisor.lock(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_lock_in_a_folder_that_is_not_there_names_its_path(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"), supervisor.lock(tmp_path / "nowhere" / "run.lock"):
        pass
