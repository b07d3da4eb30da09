"""A parent that keeps its children alive: fork, watch, restart, and stop them all in time.

It knows nothing of what the children do. Rules:

- A child beats; when its last beat is older than its limit it is killed and started again.
- A child that ends is started again: at once if it had lived a while, else after 1, 2, 4 … 30 s.
- SIGTERM or SIGINT: every child gets SIGTERM, and after a grace SIGKILL.
- SIGHUP: the caller may give other children. They are started first and the old ones ended then, so that
  sockets of one port group hand over without a gap; what an old child held open here is let go at once.
  One that is to be alone is started when the old one of its name has ended.
- A child whose parent is gone ends itself at its next beat: no orphan keeps a port or a lock.
- Beats are monotonic time. A pause of the whole machine (a stopped tree, a migrated guest) is seen by the
  parent's own lateness and held against nobody.

Signals are taken by sigtimedwait, so no handler ever runs between two lines of the parent.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker.errors import BlockerError, StoreError
from blocker.journal import fault, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

GRACE = 1.5
"""Seconds between SIGTERM and SIGKILL."""

FIRST_DELAY, LAST_DELAY = 1.0, 30.0
"""Seconds before a child that died young is started again."""

ADULT = 10.0
"""Seconds of life after which a child's end is an accident, not its nature."""

_TICK = 0.1
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """What to run in a process of its own.

    `run` is called after the fork with `beat`, which it must call more often than every `heartbeat`
    seconds (infinity: it need not); it returns when it has been told to by SIGTERM, whose handler is its
    own affair. Returning or raising at any other time means a restart. `alone` is for who writes to what the
    one it replaces writes to.
    """

    name: str
    run: Callable[[Callable[[], None]], None]
    heartbeat: float
    alone: bool = False


@dataclass(slots=True, kw_only=True)
class _Life:
    """One child's present life."""

    child: Child
    pulse: memoryview[float] = field(
        repr=False, default_factory=lambda: memoryview(mmap.mmap(-1, 8)).cast("d")
    )
    pid: int = 0
    leaves: float | None = None
    born: float = 0.0
    delay: float = 0.0
    due: float = 0.0


def supervise(
    children: Sequence[Child],
    *,
    on_hangup: Callable[[], Sequence[Child]] | None = None,
    grace: float = GRACE,
) -> int:
    """Run the children until SIGTERM or SIGINT; 0 when all of them have ended.

    Must be called in the main thread of a process without other threads, for it forks. `on_hangup` gives
    the children to go on with after SIGHUP; what it raises is printed and changes nothing.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    lives = [_Life(child=child) for child in children]
    del children  # What they hold open is to be let go when they are replaced.
    try:
        _watch(lives, on_hangup, before, grace)
    finally:
        _stop(lives, grace)
        while signal.sigtimedwait(_SIGNALS, 0) is not None:
            pass  # An impatient second Ctrl-C must not spoil an orderly end.
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return 0


def _watch(
    lives: list[_Life],
    on_hangup: Callable[[], Sequence[Child]] | None,
    mask: set[int | signal.Signals],
    grace: float,
) -> None:
    last = time.monotonic()
    while True:
        now = time.monotonic()
        if now - last > 10 * _TICK:
            for life in lives:
                life.pulse[0] = now
        last = now
        for life in lives:
            _tend(life, lives, now, mask)
        lives[:] = [life for life in lives if life.pid or life.leaves is None]
        taken = signal.sigtimedwait(_SIGNALS, _TICK)
        if taken is None:
            continue
        if taken.si_signo in (signal.SIGTERM, signal.SIGINT):
            return
        if taken.si_signo == signal.SIGHUP and on_hangup is not None:
            _replace(lives, on_hangup, mask, grace)
            last = time.monotonic()


def _replace(
    lives: list[_Life],
    on_hangup: Callable[[], Sequence[Child]],
    mask: set[int | signal.Signals],
    grace: float,
) -> None:
    try:
        coming = [_Life(child=child) for child in on_hangup()]
    except BlockerError as error:
        _say(f"not reloaded: {error}")
        return
    except Exception as error:  # noqa: BLE001 - a bug or a disk: neither may take the children along
        _say(f"not reloaded\n{fault(error)}")
        return
    _forget(lives)  # Before the fork, or the new children would hold what the old ones have open.
    for life in coming:
        if not life.child.alone:
            _start(life, coming, mask)
    for life in lives:
        life.leaves = life.leaves or time.monotonic() + grace
        if life.pid:
            os.kill(life.pid, signal.SIGTERM)
    lives += coming


def _forget(lives: Iterable[_Life]) -> None:
    """Let go of what these children are to run, and with it of their sockets."""
    for life in lives:
        life.child = Child(name=life.child.name, run=_nothing, heartbeat=float("inf"))


def _nothing(_beat: Callable[[], None]) -> None:
    """What a child that was replaced is to do if it had to be started again: nothing."""


def _tend(life: _Life, lives: list[_Life], now: float, mask: set[int | signal.Signals]) -> None:
    if life.leaves is not None:
        if life.pid and _ended(life.pid):
            life.pid = 0
        elif life.pid and now >= life.leaves:
            os.kill(life.pid, signal.SIGKILL)
        return
    if life.pid and (ended := _ended(life.pid)):
        lived = now - life.born
        life.delay = 0.0 if lived >= ADULT else min(LAST_DELAY, max(FIRST_DELAY, life.delay * 2))
        life.due = now + life.delay
        life.pid = 0
        again = f"again in {life.delay:.0f} s" if life.delay else "again now"
        _say(f"{life.child.name} ended after {lived:.1f} s ({ended}); starting it {again}")
    if life.pid == 0:
        if now >= life.due and not _is_waiting(life, lives):
            _start(life, lives, mask)
    elif now - life.pulse[0] > life.child.heartbeat:
        _say(f"{life.child.name} (process {life.pid}) has not beaten for {life.child.heartbeat:g} s: killed")
        os.kill(life.pid, signal.SIGKILL)
        life.pulse[0] = now  # One kill is enough; its end comes by waitpid.


def _is_waiting(life: _Life, lives: Iterable[_Life]) -> bool:
    """Whether it is to be alone, and the one that it replaces has not ended yet."""
    old = (one for one in lives if one.leaves is not None and one.child.name == life.child.name)
    return life.child.alone and any(one.pid for one in old)


def _ended(pid: int) -> str:
    """How the process ended; empty while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    if found == 0:
        return ""
    code = os.waitstatus_to_exitcode(status)
    return f"exit {code}" if code >= 0 else signal.Signals(-code).name


def _start(life: _Life, lives: list[_Life], mask: set[int | signal.Signals]) -> None:
    _flush()  # Or the child would say once more what the parent said.
    parent = os.getpid()
    life.born = life.pulse[0] = time.monotonic()
    life.pid = os.fork()
    if life.pid:
        return
    code = 1
    try:
        _forget(other for other in lives if other is not life)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else signal.SIG_DFL)
        # A terminal's Ctrl-C reaches the whole group; only the parent may turn it into an orderly end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask - _SIGNALS)
        life.child.run(_beat(life.pulse, parent))
        code = 0
    except BlockerError as error:
        _say(f"{life.child.name}: {error}")
        code = error.exit_code
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - nothing may pass the fork: the parent's stack lies above
        _say(f"{life.child.name} failed\n{fault(error)}")
    finally:
        _flush()
        os._exit(code)


def _flush() -> None:
    """Write out what was printed; a log that is full or closed ends no supervision."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # Closed before Python began.
            with contextlib.suppress(OSError, ValueError):
                stream.flush()


def _beat(pulse: memoryview[float], parent: int) -> Callable[[], None]:
    def beat() -> None:
        pulse[0] = time.monotonic()
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return beat


def _stop(lives: list[_Life], grace: float) -> None:
    for life in lives:
        if life.pid and not _ended(life.pid):
            os.kill(life.pid, signal.SIGTERM)
        else:
            life.pid = 0
    deadline = time.monotonic() + grace
    while any(life.pid for life in lives):
        left = deadline - time.monotonic()
        signal.sigtimedwait({signal.SIGCHLD}, min(_TICK, max(0.001, left)))
        for life in lives:
            if life.pid and _ended(life.pid):
                life.pid = 0
            elif life.pid and left <= 0:
                os.kill(life.pid, signal.SIGKILL)
                os.waitpid(life.pid, 0)
                life.pid = 0


def _say(sentence: str) -> None:
    say("supervisor", sentence)


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock file while inside, with our process id in it.

    Raises StoreError, naming the process, if another holds it. The file stays: removing it would let two
    processes lock two files of one name.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    except OSError as error:
        raise StoreError(f"{path}: the lock can't be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
            raise StoreError(
                f"{path} is held by process {holder}: it is running already; stop that process first"
            ) from error
        with contextlib.suppress(OSError):  # On a full disk: the lock is what counts, not who is named in it.
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
