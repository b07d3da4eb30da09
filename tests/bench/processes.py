"""Processes of a benchmark: pinned to cores, stopped by pid, their memory and CPU time read."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Which core the servers have and which the client; one and the same where there is only one."""

    server: frozenset[int]
    client: int

    @classmethod
    def here(cls) -> Cores:
        found = sorted(os.sched_getaffinity(0))
        return cls(server=frozenset({found[-1]}), client=found[0])


@contextmanager
def pinned(cores: frozenset[int] | None) -> Iterator[None]:
    """What is started meanwhile runs on these cores alone; None: on all of ours."""
    before = os.sched_getaffinity(0)
    if cores is not None:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def started(
    words: Sequence[str],
    log: Path,
    *,
    cores: frozenset[int] | None = None,
    env: dict[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own: Ctrl-C reaches it through us alone."""
    with log.open("ab") as output, pinned(cores):
        process = subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(env or {})},
            cwd=log.parent,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def leave_on_signals() -> None:
    """SIGTERM ends a benchmark as Ctrl-C does: everything it started is stopped."""

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)


def family(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for one in found:
        try:
            children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
        except OSError:
            continue
        found += map(int, children)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Octets of a family of processes: their own, and the mapped files' pages (counted once for each)."""

    own: int
    mapped: int


def memory(pid: int) -> Memory:
    """RssAnon and RssFile of the process and all below it."""
    own = mapped = 0
    for one in family(pid):
        try:
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
        except OSError:
            continue
        figures = dict(line.split(":", 1) for line in lines if ":" in line)
        own += int(figures.get("RssAnon", "0 kB").split()[0]) * 1024
        mapped += int(figures.get("RssFile", "0 kB").split()[0]) * 1024
    return Memory(own=own, mapped=mapped)


def cpu(pid: int) -> float:
    """Seconds of CPU time that the process and all below it have used."""
    ticks = 0
    for one in family(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def until(
    true: Callable[[], bool], seconds: float, what: str, process: subprocess.Popen[bytes], log: Path
) -> None:
    """Wait until `true()`. Raises AssertionError with the log if it never came to be."""
    began = time.monotonic()
    while not true():
        assert process.poll() is None, f"{what} ended:\n{tail(log)}"
        assert time.monotonic() - began < seconds, f"{what} did not come up in {seconds:.0f} s:\n{tail(log)}"
        time.sleep(0.02)


def tail(log: Path, octets: int = 4000) -> str:
    """The end of a log."""
    return log.read_text(errors="replace")[-octets:]
