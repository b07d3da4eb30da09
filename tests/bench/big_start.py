"""100,000 names start at one instant: when is the last of them blocked where, and who goes silent meanwhile?

Every engine is asked for a cached name that passes all the time, and from the instant on for ordered names
until each of a sample was blocked: `last passed` is when the last of these questions left that was answered
as if nothing were ordered. A silence is how long somebody who asked waited until the server said
anything at all. All engines share the machine with the pushing of the zone and with the client.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import fleet, poll, site
from tests.bench.engines import say
from tests.bench.poll import Hunt, Steady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.fleet import Fleet
    from tests.bench.options import Options

    Asked = tuple[Steady, Hunt]

SETTING_UP = 60
"""Seconds from planning to the instant: for applying the order, starting everything, preparing the change."""

SAMPLE = 200
BEFORE = 10.0
"""Seconds before the instant from which the name that passes is asked for."""

AFTER = 5.0
"""Seconds after the last block for which it goes on being asked for."""

MOST = 240.0
"""Seconds after the instant when it is given up."""

EVERY = 0.005
LONGEST = 0.2
"""Seconds of silence that no engine may exceed on which we have an influence."""

PASSES = "free.example"


def run(options: Options) -> None:
    """Print a line for each engine."""
    count = options.names or (5_000 if options.quick else 100_000)
    with tempfile.TemporaryDirectory() as scratch:
        instant = int(time.time()) + (30 if options.quick else SETTING_UP)
        listed = list(site.listed(count))
        order = fleet.Instant(
            slug="list",
            name="first.bench.example",
            target="second.bench.example",
            alias="third.alias.example",
            start=instant,
            until=instant + 86400,
            names=listed,
        )
        with fleet.started(Path(scratch), [order], options) as running:
            assert time.time() < instant - BEFORE, "setting up took longer than this benchmark allows for"
            asked = ask(running, sorted(listed), instant)
            show(running, asked, instant, count)


def ask(running: Fleet, listed: Sequence[str], instant: int) -> list[Asked]:
    """Ask every engine until each blocks the sample."""
    sample = [*listed[:: max(1, len(listed) // SAMPLE)], listed[-1]]
    till = instant + MOST
    hunts = [
        Hunt(server=name, every=EVERY, since=float(instant), till=till, pending=dict.fromkeys(sample))
        for name in running.points
    ]

    def is_over(now: float) -> bool:
        """Some seconds after the last name was blocked everywhere."""
        last = max((max(hunt.blocked.values(), default=0.0) for hunt in hunts), default=0.0)
        return now > till or (not any(hunt.pending for hunt in hunts) and now > max(last, instant) + AFTER)

    steadies = [
        Steady(server=name, asks=PASSES, every=EVERY, since=instant - BEFORE, is_over=is_over)
        for name in running.points
    ]
    say(f"the names start in {instant - time.time():.0f} s")
    client = poll.Client(running.ports)
    try:
        client.run([*hunts, *steadies])
    finally:
        client.close()
    return list(zip(steadies, hunts, strict=True))


def show(running: Fleet, asked: Sequence[Asked], instant: int, count: int) -> None:
    """A line for each engine, and what was pushed."""
    print(f"{count:,} names; milliseconds")
    print(
        f"{'engine':<16}{'first block':>12}{'last passed':>12}{'missing':>8}   before:{'p50':>8}{'p99':>8}"
        f"{'silence':>9}   after:{'p50':>8}{'p99':>8}{'silence':>9}"
    )
    till = max((max(hunt.blocked.values(), default=0.0) for _, hunt in asked), default=0.0) + AFTER
    for steady, hunt in asked:
        first = f"{(min(hunt.blocked.values()) - instant) * 1000:.0f}" if hunt.blocked else "never"
        last = f"{(hunt.passed - instant) * 1000:.0f}" if hunt.passed else "none"
        windows = ((instant - BEFORE + 1, float(instant)), (float(instant), till))
        shown = []
        for since, until in windows:
            shown += [steady.latency(share, since=since, till=until) for share in (0.5, 0.99)]
            shown.append(steady.silence(since=since, till=until))
        before, after = shown[:3], shown[3:]
        print(
            f"{steady.server:<16}{first:>12}{last:>12}{len(hunt.pending):>8}          {_ms(before)}         "
            f"{_ms(after)}  {'yes' if after[2] <= LONGEST else 'NO: a silence over 200 ms'}"
        )
    for one in running.pushed():
        print(f"pushed to {one.target}: {one.size:,} records, done {one.lateness:.2f} s after the instant")


def _ms(values: Sequence[float]) -> str:
    low, high, silence = (value * 1000 for value in values)
    return f"{low:>8.1f}{high:>8.1f}{silence:>9.1f}"
