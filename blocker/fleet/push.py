"""One target kept at the policy of now: prepared before each instant, sent at it, and again until it holds.

A Target is anything that can't read the store's timetable by itself. The loop here is all there is to it:

- what holds between two transitions is sent once; a new generation, a transition or a step of the clock
  (forth or back) makes it due again;
- the difference for the next transition is prepared ahead, as early as the last preparation took, three
  times over, and sent at the instant; a generation that comes in between voids it, and does not wait for
  the preparation to end: an order that starts with its apply is urgent;
- what fails is tried again after 1, 2, then every 4 s, from the start: preparing finds what the target holds
  now, so a primary that was killed midway or a file edited by hand heals;
- twice a minute a target that seems fine is asked whether it still is.

Each target has a process of its own, so that nothing waits for the slowest. Verdicts follow the wall
clock, delays the monotonic one.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from blocker.errors import BlockerError
from blocker.fleet import report
from blocker.fleet.report import Pushed
from blocker.journal import fault, kind, say
from blocker.orders.timetable import boundaries, last_boundary
from blocker.resolver.live import LivePolicy

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.policy.store import Snapshot

LEAD = 5.0
"""Seconds before an instant at which its change is prepared, at least."""

MOST_LEAD = 300.0
FIRST_RETRY, LAST_RETRY = 1.0, 4.0
LOOK_EVERY = 30.0
"""Seconds between two looks at whether the target still holds what was sent."""

_POLL = 0.05


class Change(Protocol):
    """What makes a target hold the policy of one instant; `size` counts its records.

    `lack` is what the target can't hold of it, in a sentence without names; empty if it can hold all.
    """

    @property
    def is_empty(self) -> bool: ...

    @property
    def size(self) -> int: ...

    @property
    def lack(self) -> str: ...


class Target(Protocol):
    """What gets the policy pushed. Blocking; used by one process. Making one touches nothing.

    `name` is for the log and the label of metrics: never a domain name of an order.
    """

    name: str

    def prepare(self, policy: Snapshot, t: int) -> Any:
        """The Change that makes the target hold what `decide` says at `t`, from what it holds now.

        May take long; must call the target's pulse meanwhile, and be ready for what that raises: then nothing
        is prepared. Raises PointError, StoreError.
        """

    def send(self, change: Any) -> int:
        """Make it so; how many records changed. Doing it twice does no harm. Raises as prepare does.

        An empty change is sent, too: then what the target was found to hold is what it is to hold.
        """

    def is_whole(self) -> bool:
        """A cheap look at whether the target still holds what was last sent. Raises as prepare does."""


Make = Callable[[Callable[[], None]], Target]
"""Makes the target, which is to call this pulse whenever it works for long."""


class _OvertakenError(Exception):
    """While a change was prepared for an instant to come, another policy came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What the target holds, and the instants between which that is right."""

    stamp: int
    since: float
    till: float

    def is_right(self, stamp: int, now: float) -> bool:
        return self.stamp == stamp and self.since <= now < self.till


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A prepared change: for this policy, at this instant."""

    stamp: int
    at: int
    change: Any


class Pusher:
    """The loop of one target. `state` holds the store and gets the report."""

    def __init__(
        self,
        make: Make,
        state: Path,
        *,
        beat: Callable[[], None],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._target = target = make(self._pulse)
        self._path = state / report.FOLDER / (target.name.replace(" ", "-").replace("/", "_") + ".json")
        self._live = LivePolicy(state, beat)
        self._beat, self._clock, self._monotonic, self._sleep = beat, clock, monotonic, sleep
        self._held: _Held | None = None
        self._ready: _Ready | None = None
        self._is_ahead = False
        self._lead = LEAD
        self._retry_at = float("-inf")
        self._delay = 0.0
        self._look_at = 0.0
        self._right_at = 0.0
        self._written_at = float("-inf")
        self.pushed = Pushed(target=target.name)

    def step(self) -> float:
        """Do what is due; the seconds until something may be."""
        self._live_on()
        now = self._clock()
        if self._monotonic() < self._retry_at:
            return min(_POLL, self._retry_at - self._monotonic())
        try:
            return self._step(now)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next try starts from nothing
            self._fail(error)
            return _POLL

    def _step(self, now: float) -> float:
        with self._live.snapshot() as policy:
            held, ready = self._held, self._ready
            if held is None or not held.is_right(policy.stamp, now):
                if ready is None or ready.stamp != policy.stamp or not _covers(policy, ready.at, now):
                    started = self._monotonic()
                    ready = _Ready(
                        stamp=policy.stamp, at=int(now), change=self._target.prepare(policy, int(now))
                    )
                    self._took(self._monotonic() - started)
                self._send(policy, ready)
                return 0.0
            if held.till - now <= self._lead and (ready is None or ready.stamp != policy.stamp):
                self._prepare_ahead(policy, int(held.till))
                return 0.0
        self._right_at = now
        if self._monotonic() >= self._look_at:
            self._look_at = self._monotonic() + LOOK_EVERY
            if not self._target.is_whole():
                self._held = self._ready = None
                self._say("it no longer holds what was sent to it; sending again")
                return 0.0
        return max(0.0, min(_POLL, held.till - self._clock()))

    def _prepare_ahead(self, policy: Snapshot, at: int) -> None:
        started = self._monotonic()
        self._is_ahead = True
        try:
            self._ready = _Ready(stamp=policy.stamp, at=at, change=self._target.prepare(policy, at))
        except _OvertakenError:
            return
        finally:
            self._is_ahead = False
        self._took(self._monotonic() - started)

    def _live_on(self) -> None:
        """Show that we live: to the supervisor, and to who reads the report."""
        self._beat()
        if self._monotonic() - self._written_at >= report.WRITE_EVERY:
            self._write()

    def _pulse(self) -> None:
        self._live_on()
        if self._is_ahead and self._live.is_overtaken:
            raise _OvertakenError

    def _took(self, seconds: float) -> None:
        self._lead = min(MOST_LEAD, max(LEAD, 3 * seconds))

    def _send(self, policy: Snapshot, ready: _Ready) -> None:
        self._ready = self._held = None  # Until it is known that it arrived, nothing is known.
        self._target.send(ready.change)
        since = last_boundary(policy.directives.values(), ready.at)
        till = next(iter(boundaries(policy.directives.values(), after=ready.at)), float("inf"))
        self._held = _Held(stamp=policy.stamp, since=since, till=till)
        self._look_at = self._monotonic() + LOOK_EVERY
        done = self._clock()
        # What was right a moment ago is late since then: a release long after the apply, an edit by hand. A
        # moment that is to come is one before the clock was set back.
        right_at = self._right_at if self._right_at <= done else 0.0
        known = max(since, policy.generation.applied_at, right_at)
        lack = ready.change.lack
        if lack and lack != self.pushed.trouble:
            self._say(lack)
        elif self.pushed.trouble and not lack:
            self._say(f"it holds the policy again, after {self.pushed.failures} failures in all")
        self._delay = 0.0
        self.pushed = replace(
            self.pushed,
            generation=policy.generation.number,
            instant=float(ready.at),
            sent_at=done,
            # A change of nothing at a start of ours is no lateness.
            lateness=0.0 if ready.change.is_empty else max(0.0, done - known),
            size=ready.change.size,
            changes=self.pushed.changes + (not ready.change.is_empty),
            trouble=lack,
        )
        self._write()

    def _fail(self, error: Exception) -> None:
        self._live.failed()
        self._held = self._ready = None
        self._delay = min(LAST_RETRY, max(FIRST_RETRY, self._delay * 2))
        self._retry_at = self._monotonic() + self._delay
        trouble = str(error) if isinstance(error, BlockerError) else kind(error)
        is_new = trouble != self.pushed.trouble
        self.pushed = replace(self.pushed, failures=self.pushed.failures + 1, trouble=trouble)
        self._write()  # Before the log: the report is what alerts are made of.
        if is_new and not isinstance(error, (BlockerError, OSError)):
            self._say(fault(error))
        if is_new:
            self._say(f"{trouble}; trying again every {LAST_RETRY:.0f} s")

    def _write(self) -> None:
        self._written_at = self._monotonic()
        self.pushed = replace(self.pushed, at=self._clock())
        text, scratch = report.to_json((self.pushed,)), self._path.with_suffix(f".{os.getpid()}.new")
        try:
            self._path.parent.mkdir(mode=0o2750, exist_ok=True)
            scratch.touch(mode=0o640)
            scratch.write_text(text)
            scratch.replace(self._path)
        except OSError:
            # A full disk must not keep the target from its policy, nor an old report alive that says that all
            # is well: in its place there is room.
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
            with suppress(OSError):
                self._path.touch(mode=0o640)
                self._path.write_text(text)

    def _say(self, sentence: str) -> None:
        say("push", sentence, target=self._target.name)

    def run(self) -> None:
        """Until SIGTERM."""
        stopping = False

        def stop(*_: object) -> None:
            nonlocal stopping
            stopping = True

        signal.signal(signal.SIGTERM, stop)
        self._write()
        while not stopping:
            self._sleep(self.step())


def _covers(policy: Snapshot, at: int, now: float) -> bool:
    """Whether what holds at `at` is what holds now."""
    return at <= now and not any(edge <= now for edge in boundaries(policy.directives.values(), after=at))
