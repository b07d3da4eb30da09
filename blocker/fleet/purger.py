"""Every point with a control command forgets what no longer holds: after each transition and apply.

One process, one event loop, a task for each point: nothing waits for the slowest. A tool that fails or hangs
is tried again after 1, 2, 4 … 30 s with all that has come together meanwhile; a name that it refuses waits so
long by itself, behind all others. The report says so. What happened while nobody was here is made up for at
the start: caches keep nothing for longer than `answers.max_ttl`, so what began or ended since then is purged
once more; and after an apply, a withholding or a release all that is in force, for what it changed is not
known any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from blocker import names
from blocker.errors import PointError
from blocker.fleet import purge, report
from blocker.fleet.report import Purged
from blocker.journal import say
from blocker.names import Key
from blocker.orders.timetable import boundaries, last_boundary
from blocker.resolver.live import LivePolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from blocker.fleet.purge import Force
    from blocker.policy.store import Snapshot
    from blocker.site import Point

FIRST_RETRY, LAST_RETRY = 1.0, 30.0
TIMEOUT = 10.0
"""Seconds a control command may take."""

FILE = "purges.json"

PHRASES = (
    "bad auth",
    "certificate",
    "clocks are not synchronized",
    "could not connect",
    "could not open",
    "connection refused",
    "connection timed out",
    "key has expired",
    "no such file",
    "not found",
    "not running",
    "out of memory",
    "permission denied",
    "syntax error",
    "unknown command",
)
"""What of a tool's output may be told: in the rest the name of a sealed order may stand, or a part of it."""

_POLL = 0.05
_WRITE_EVERY = 1.0
_MOST_READ = 4096  # octets of what a command says
_MOST_REFUSALS = 8  # of one round: then it may be the tool that does not work
_GRACE = 1.0  # seconds that a killed tool has to be gone


class Cache:
    """One point's cache: what it must forget and when (monotonic seconds)."""

    def __init__(self, point: Point) -> None:
        self.point = point
        self.purged = Purged(point=point.name)
        self.due: dict[Key, tuple[float, ...]] = {}
        self._delay = 0.0
        self._refused: dict[Key, float] = {}  # and after how many seconds each is tried again

    def want(self, keys: Iterable[Key], skipped: int, now: float) -> None:
        """These names changed just now; `skipped` is how many more did."""
        way, keys = purge.WAYS[self.point.kind, self.point.by], tuple(keys)
        times = {now + after for after in way.after}
        if way.is_leaky and (skipped or len(self.due.keys() | set(keys)) > purge.NAMES):
            # The new times come after those of all others, but for the next of them.
            times.update(sorted(due[0] for due in self.due.values())[:1])
            self._refused.clear()
            self.due, keys, skipped = {}, (names.ROOT,), 0
            self._say("so many names changed that it is to forget everything")
        for key in keys:
            if key in self.due or len(self.due) < purge.NAMES:
                self.due[key] = tuple(sorted({*self.due.get(key, ()), *times}))[-8:]
            else:
                skipped += 1
        if skipped:
            self._say(f"{skipped} names are too many to purge; they expire by answers.max_ttl")
        self.purged = replace(self.purged, skipped=self.purged.skipped + skipped, pending=len(self.due))

    async def run(self) -> None:
        """Purge what is due, for ever."""
        while True:
            now = time.monotonic()
            found = [key for key, times in self.due.items() if times[0] <= now]
            if not found:
                await asyncio.sleep(_POLL / 5)
                continue
            done, refused, trouble = await self._round(found)
            for key in done:
                self._settle(key, now)
            for key in refused:
                self._postpone(key, now)
            self._note(len(done), trouble, len(refused) or bool(trouble))
            is_stuck = not done and len(refused) < len(found)
            self._delay = min(LAST_RETRY, max(FIRST_RETRY, self._delay * 2)) if is_stuck else 0.0
            await asyncio.sleep(self._delay)

    async def _round(self, found: Sequence[Key]) -> tuple[set[Key], set[Key], str]:
        """Have the names purged: those that were, those that the tool refused, and the last trouble."""
        made = purge.commands(self.point, [key for key in found if key not in self._refused])
        # A name that was refused in one command with others is asked for alone, for their sake.
        made += purge.apart(self.point, [key for key in found if key in self._refused])
        tried, refusals, refused, trouble = 0, 0, set[Key](), ""
        try:
            for command in made:
                why = await control(self.point.control, command.words)
                tried += 1
                if why:
                    trouble, refusals = why, refusals + 1
                    refused.update(command.keys)
                if refusals == _MOST_REFUSALS:
                    break
        except PointError as error:  # The tool does not work at all: no other name would fare better.
            trouble = str(error)
        untried = {key for command in made[tried:] for key in command.keys}
        return set(found) - untried - refused, refused, trouble

    def _settle(self, key: Key, now: float) -> None:
        self._refused.pop(key, None)
        left = tuple(at for at in self.due.pop(key, ()) if at > now)
        if left:
            self.due[key] = left

    def _postpone(self, key: Key, now: float) -> None:
        if key not in self.due:  # Meanwhile everything is to be forgotten.
            return
        delay = min(LAST_RETRY, max(FIRST_RETRY, self._refused.get(key, 0.0) * 2))
        self._refused[key] = delay
        times = self.due.pop(key)
        self.due[key] = (now + delay, *(at for at in times if at > now + delay))

    def _note(self, done: int, trouble: str, failures: int) -> None:
        if trouble and trouble != self.purged.trouble:
            self._say(f"{trouble}; it is tried again, after {LAST_RETRY:.0f} s at most")
        if not trouble and self._refused:
            trouble = self.purged.trouble
        if not trouble and self.purged.trouble:
            self._say("it takes commands again")
        self.purged = replace(
            self.purged,
            names=self.purged.names + done,
            pending=len(self.due),
            failures=self.purged.failures + failures,
            purged_at=time.time() if done else self.purged.purged_at,
            trouble=trouble,
        )

    def _say(self, sentence: str) -> None:
        say("purge", sentence, point=self.point.name)


async def control(tool: Sequence[str], words: Sequence[str]) -> str:
    """Run one command of a control tool; empty if it did what it was told, else how it refused.

    The first of the `words` may be told, the others are names. Raises PointError if the tool can't be started
    or does not end.
    """
    command = " ".join((*tool, *words[:1]))
    with _Output() as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *tool,
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.writer,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # It is killed with all that it started.
            )
        except OSError as error:
            raise PointError(
                f"`{tool[0]}` can't be started: {error.strerror}; mend the point's control"
            ) from error
        try:
            async with asyncio.timeout(TIMEOUT):
                code = await process.wait()
        except TimeoutError:
            raise PointError(f"`{command}` did not end within {TIMEOUT:.0f} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_GRACE):
                        await process.wait()
        if code == 0:
            return ""
        told = output.told()
        return f"`{command}` failed with exit code {code}" + (f" ({told})" if told else "")


class _Output:
    """What a command says: a pipe that is read as it comes, whoever holds its other end for how long."""

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._said = bytearray()
        self._loop.add_reader(self._reader, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._reader)
        os.close(self._reader)
        os.close(self.writer)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            octets = os.read(self._reader, _MOST_READ)
            self._said += octets[: max(0, _MOST_READ - len(self._said))]

    def told(self) -> str:
        """The PHRASES in it."""
        self._read()
        said = self._said.decode("utf-8", "replace").lower()
        return ", ".join(phrase for phrase in PHRASES if phrase in said)


class Purger:
    """All points whose control command is known."""

    def __init__(self, points: Sequence[Point], state: Path, beat: Callable[[], None]) -> None:
        self.caches = [
            Cache(point) for point in points if point.control and (point.kind, point.by) in purge.WAYS
        ]
        self._path = state / report.FOLDER / FILE
        self._live = LivePolicy(state, beat)
        self._beat = beat
        self._stamp: int | None = None
        self._at = 0.0
        self._forces: dict[str, Force] = {}
        self._since = self._till = 0.0
        self._said = ""
        self._written: tuple[float, tuple[Purged, ...]] = (float("-inf"), ())

    async def run(self) -> None:
        """Until SIGTERM."""
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(cache.run()) for cache in self.caches]
            while not stopping.is_set():
                self.step()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL):
                        await stopping.wait()
            for task in running:
                task.cancel()

    def step(self) -> None:
        """See what changed, and have it purged."""
        self._beat()
        try:
            with self._live.snapshot() as policy:
                self.look(policy, time.time())
        except Exception as error:  # noqa: BLE001 - the store's own trouble; resolvers keep what they have
            self._live.failed()
            if str(error) != self._said:
                self._said = str(error)
                say("purge", self._said)
        self._write()

    def look(self, policy: Snapshot, now: float) -> None:
        """Give each cache what changed for its region since the last look."""
        was_applied = policy.stamp != self._stamp
        if not was_applied and self._since <= now < self._till:
            return
        ahead = policy.enforcement.max_ttl  # for so long a cache may keep what is in it now
        since = now - ahead
        forces = {
            region: purge.force(policy, region) for region in {cache.point.region for cache in self.caches}
        }
        for cache in self.caches:
            way, region = purge.WAYS[cache.point.kind, cache.point.by], cache.point.region
            was, force = self._forces.get(region, {}), forces[region]
            if self._stamp is None:
                wanted = purge.fresh(force, since=since, now=now) | purge.let_go(policy, region, since)
                if policy.changed_at > since:
                    wanted |= purge.differing({}, force, now, ahead if way.is_shaped else 0)
            elif way.is_shaped:
                wanted = purge.differing(was, force, now, ahead) if was_applied else set()
            else:
                wanted = purge.changed(was, self._at, force, now)
            if wanted:
                found = purge.of_directives(policy, wanted, now, is_leaky=way.is_leaky)
                cache.want(*found, time.monotonic())
        # Only now: a look that failed is made again.
        self._stamp, self._at, self._forces = policy.stamp, now, forces
        self._since = last_boundary(policy.directives.values(), now)
        self._till = next(iter(boundaries(policy.directives.values(), after=now)), float("inf"))

    def _write(self) -> None:
        now, found = time.monotonic(), tuple(cache.purged for cache in self.caches)
        age = now - self._written[0]
        if age < (report.WRITE_EVERY if found == self._written[1] else _WRITE_EVERY):
            return
        self._written = (now, found)
        with contextlib.suppress(OSError):  # As with the prober's report: the work goes on unseen.
            self._path.parent.mkdir(mode=0o2750, exist_ok=True)
            scratch = self._path.with_suffix(f".{os.getpid()}.new")
            scratch.touch(mode=0o640)
            scratch.write_text(report.to_json(tuple(replace(one, at=time.time()) for one in found)))
            scratch.replace(self._path)
