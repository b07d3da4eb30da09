"""Every point with a control command forgets what no longer holds: after each transition and apply.

One process, one event loop, a task for each point: nothing waits for the slowest. A command that fails or
hangs is tried again after 1, 2, 4 … 30 s with all that has come together meanwhile, and the report says so.
What happened while nobody was here is made up for at the start: caches keep nothing for longer than
`answers.max_ttl`, so what began or ended since then is purged once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from blocker.errors import PointError
from blocker.fleet import purge, report
from blocker.fleet.report import Purged
from blocker.orders.timetable import boundaries, last_boundary
from blocker.policy.directives import Role
from blocker.resolver.live import LivePolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from blocker.policy.store import Snapshot
    from blocker.site import Point

FIRST_RETRY, LAST_RETRY = 1.0, 30.0
TIMEOUT = 10.0
"""Seconds a control command may take."""

FILE = "purges.json"

_POLL = 0.05
_WRITE_EVERY = 1.0
_MOST_SAID = 200  # octets of what a failed command said


class Cache:
    """One point's cache: what it must forget and when (monotonic seconds)."""

    def __init__(self, point: Point) -> None:
        self.point = point
        self.purged = Purged(point=point.name)
        self.due: dict[str, tuple[float, ...]] = {}
        self._delay = 0.0

    def want(self, names: Iterable[str], skipped: int, now: float) -> None:
        """These names changed just now."""
        times = tuple(now + after for after in purge.WAYS[self.point.kind, self.point.by].after)
        for name in names:
            if name in self.due or len(self.due) < purge.NAMES:
                self.due[name] = tuple(sorted({*self.due.get(name, ()), *times}))[-8:]
            else:
                skipped += 1
        if skipped:
            self.say(f"{skipped} names are too many to purge; they expire by answers.max_ttl")
        self.purged = replace(self.purged, skipped=self.purged.skipped + skipped, pending=len(self.due))

    async def run(self) -> None:
        """Purge what is due, for ever."""
        while True:
            now = time.monotonic()
            found = [name for name, times in self.due.items() if times[0] <= now]
            if not found:
                await asyncio.sleep(_POLL / 5)
                continue
            made, skipped = purge.commands(self.point, found)
            try:
                for words in made:
                    await control((*self.point.control, *words), secret=len(words) - 1)
            except PointError as error:
                self._delay = min(LAST_RETRY, max(FIRST_RETRY, self._delay * 2))
                if str(error) != self.purged.trouble:
                    self.say(f"{error}; trying again after {self._delay:.0f} s, then less often")
                self.purged = replace(
                    self.purged, failures=self.purged.failures + 1, trouble=str(error), pending=len(self.due)
                )
                await asyncio.sleep(self._delay)
                continue
            self._done(found, skipped, now)

    def _done(self, found: Sequence[str], skipped: int, now: float) -> None:
        for name in found:
            left = tuple(at for at in self.due[name] if at > now)
            if left:
                self.due[name] = left
            else:
                del self.due[name]
        if self.purged.trouble:
            self.say("it takes commands again")
        self._delay = 0.0
        self.purged = replace(
            self.purged,
            names=self.purged.names + len(found) - skipped,
            skipped=self.purged.skipped + skipped,
            pending=len(self.due),
            purged_at=time.time(),
            trouble="",
        )

    def say(self, sentence: str) -> None:
        print(f"purge {self.point.name}: {sentence}", file=sys.stderr, flush=True)


async def control(words: Sequence[str], *, secret: int = 0) -> None:
    """Run one command of a control tool; the last `secret` words go into no log. Raises PointError."""
    command = " ".join(words[: len(words) - secret])
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as error:
        raise PointError(
            f"`{words[0]}` can't be started: {error.strerror}; mend the point's control"
        ) from error
    try:
        async with asyncio.timeout(TIMEOUT):
            said, _ = await process.communicate()
    except TimeoutError:
        raise PointError(f"`{command}` did not end within {TIMEOUT:.0f} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        text = said[:_MOST_SAID].decode("utf-8", "replace")
        for word in words[len(words) - secret :]:
            text = text.replace(word, "…")
        raise PointError(f"`{command}` failed with exit code {process.returncode}: {' '.join(text.split())}")


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
        self._active: dict[str, frozenset[str]] = {}
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
                print(f"purge: {error}", file=sys.stderr, flush=True)
        self._write()

    def look(self, policy: Snapshot, now: float) -> None:
        """Give each cache what changed for its region since the last look."""
        was_applied = policy.stamp != self._stamp
        if not was_applied and self._since <= now < self._till:
            return
        self._since = last_boundary(policy.directives.values(), now)
        self._till = next(iter(boundaries(policy.directives.values(), after=now)), float("inf"))
        active = {
            region: purge.active(policy, region, now)
            for region in {cache.point.region for cache in self.caches}
        }
        for cache in self.caches:
            way, region = purge.WAYS[cache.point.kind, cache.point.by], cache.point.region
            if self._stamp is None:
                since = now - policy.enforcement.max_ttl
                changed = active[region] | purge.fresh(policy, now, since=since)
                if policy.generation.applied_at <= since:
                    changed &= purge.fresh(policy, now, since=since)
            elif way.is_shaped and not was_applied:
                continue
            else:
                changed = active[region] ^ self._active[region]
            if changed:
                cache.want(*_names(policy, changed), time.monotonic())
        self._stamp, self._active = policy.stamp, active

    def _write(self) -> None:
        now, found = time.monotonic(), tuple(cache.purged for cache in self.caches)
        if found == self._written[1] or now - self._written[0] < _WRITE_EVERY:
            return
        self._written = (now, found)
        with contextlib.suppress(OSError):  # As with the prober's report: the work goes on unseen.
            self._path.parent.mkdir(mode=0o2750, exist_ok=True)
            scratch = self._path.with_suffix(f".{os.getpid()}.new")
            scratch.write_text(report.to_json(found))
            scratch.replace(self._path)


def _names(policy: Snapshot, refs: frozenset[str]) -> tuple[list[str], int]:
    """Names of these directives and cuts, and how many more there are."""
    keys = []
    numbers = sorted(number for number, one in policy.directives.items() if one.ref in refs)
    for number in numbers:
        found = policy.sample(number, purge.NAMES, 0)
        keys += [key for key, role in found if role is not Role.ABOVE]
        if len(keys) >= purge.NAMES:
            break
    counts = policy.counts()
    total = sum(counts.get(number, 0) for number in numbers)
    return purge.as_text(keys)[: purge.NAMES], max(0, total - len(keys))
