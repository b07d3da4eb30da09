"""From an order's instant to the first answer that obeys it: starts and lifts, on every engine.

All orders are applied beforehand, and every name is asked for long enough to stand in every cache. Each
instant has names of its own: one that is ordered, and an alias of another one that is ordered with it. One
client asks every engine for them every 2 ms; what counts is when the first right answer arrived, by the
clock that all share. `last old` is when the last query left that was answered by the policy before; `after
it` are such answers after one by the new policy, and what was lost.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from blocker import capabilities
from tests.bench import fleet, poll
from tests.bench.engines import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.bench.fleet import Fleet, Instant
    from tests.bench.options import Options
    from tests.bench.poll import Judged, Watch

STEP = 1.0
"""Seconds between two instants; a start and a lift by turns."""

HELD = 3
"""So many starts later an order ends."""

WARM = 6.0
"""Seconds before an instant from which its names are asked for."""

TAIL = 3.0
"""Seconds after an instant for which they are asked for."""

TOGETHER = (
    ("embedded", "unbound-module", "dnsdist"),
    ("unbound-rpz", "bind", "powerdns", "knot"),
)
"""Engines that share one run: what feeds and loads zones would take the cores of those that need none."""

ROWS = ("name", "alias")

Group = tuple[str, str, str]
"""An engine, what happens, and a row."""

TARGETS = {
    "embedded": 0.005,
    "unbound-module": 0.005,
    "dnsdist": 0.020,
    "unbound-rpz": 0.100,
    "bind": 1.0,
}
"""Seconds that the median for a name is held to."""

FLOORS = {"powerdns": 2.0, "knot": 1.0}
"""Seconds after which no engine that looks for itself answers by the old policy.

PowerDNS asks its primary every second, Knot Resolver looks at its file five times a second; both then load
what is new.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One start or lift of one order."""

    what: str
    instant: float
    order: Instant


def plan(count: int, first: float) -> tuple[list[Instant], list[Event]]:
    """So many orders, the first of which starts at `first` (whole epoch seconds), and what happens when."""
    orders = []
    for number in range(count):
        start = first + 2 * STEP * number
        orders.append(
            fleet.Instant(
                slug=f"o{number}",
                name=f"n{number}.bench.example",
                target=f"t{number}.bench.example",
                alias=f"a{number}.alias.example",
                start=int(start),
                until=int(start + 2 * STEP * HELD + STEP),
            )
        )
    events = [Event(what="start", instant=float(one.start), order=one) for one in orders]
    events += [Event(what="lift", instant=float(one.until), order=one) for one in orders]
    return orders, sorted(events, key=lambda event: event.instant)


def watches(events: Sequence[Event], servers: Iterable[str]) -> dict[Group, list[Watch]]:
    """What is asked of whom."""
    found: dict[Group, list[Watch]] = {}
    for event in events:
        for server in servers:
            for row in ROWS:
                found.setdefault((server, event.what, row), []).append(
                    poll.Watch(
                        server=server,
                        asks=event.order.name if row == "name" else event.order.alias,
                        instant=event.instant,
                        rcode=poll.NXDOMAIN if event.what == "start" else poll.NOERROR,
                        since=event.instant - (WARM if event.what == "start" else STEP),
                        till=event.instant + TAIL,
                    )
                )
    return found


def run(options: Options) -> None:
    """Print the distributions, in milliseconds."""
    count = options.rounds or (5 if options.quick else 50)
    for engines in TOGETHER:
        wanted = tuple(engine for engine in engines if options.takes(engine))
        if wanted:
            print(f"\ntogether: {', '.join(wanted)}; {count} starts and {count} lifts")
            _run(count, replace(options, only=wanted))


def _run(count: int, options: Options) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        first = int(time.time()) + fleet.SETTING_UP
        orders, events = plan(count, first)
        whole = events[-1].instant - time.time()
        say(f"{count} orders: the first starts in {fleet.SETTING_UP} s, the last ends in {whole:.0f} s")
        with fleet.started(Path(scratch), orders, options) as running:
            assert time.time() < first - WARM, "setting up took longer than this benchmark allows for"
            asked = watches(events, running.points)
            client = poll.Client(running.ports)
            try:
                client.run([one for group in asked.values() for one in group])
            finally:
                client.close()
        show({key: [poll.judge(one) for one in group] for key, group in asked.items()}, running)
        print(
            f"\nthe client asked {len(client.late):,} times, {statistics.median(client.late) * 1000:.2f} ms "
            f"late in the median, {max(client.late) * 1000:.1f} ms at most"
        )


def show(found: Mapping[Group, Sequence[Judged]], running: Fleet) -> None:
    """A table for starts and one for lifts."""
    for what in ("start", "lift"):
        for row in ROWS:
            shown = "names that were asked for" if row == "name" else "aliases of names"
            print(
                f"\n{what}: {shown} before; milliseconds from the instant to the first answer that obeys it"
            )
            print(
                f"{'engine':<16}{'min':>9}{'median':>9}{'p90':>9}{'max':>9}"
                f"{'last old':>10}{'never':>7}{'early':>7}  after it"
            )
            for server, point in running.points.items():
                group = found[server, what, row]
                if row == "alias" and "aliases" in point.reach:
                    print(f"{server:<16}  declared: {capabilities.REACH['aliases']}")
                    continue
                values = [one.first for one in group if one.first is not None]
                print(
                    f"{server:<16}{poll.distribution(values)}"
                    f"{max(one.stale for one in group) * 1000:>10.1f}{len(group) - len(values):>7}"
                    f"{sum(one.early for one in group):>7}  {_after(group)}{_verdict(server, group, row)}"
                )


def _after(group: Sequence[Judged]) -> str:
    """What went wrong besides, in words."""
    counts = {
        "old answers after a new one": sum(one.relapsed for one in group),
        "neither": sum(one.wrong for one in group),
        "lost": sum(one.lost for one in group),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _verdict(server: str, group: Sequence[Judged], row: str) -> str:
    """Beside what the engine is held to."""
    values = [one.first for one in group if one.first is not None]
    if row == "name" and server in TARGETS and values:
        is_met = statistics.median(values) <= TARGETS[server]
        return f"  median at most {TARGETS[server] * 1000:.0f} ms: {'yes' if is_met else 'NO'}"
    if server in FLOORS:
        late = sum(one.stale > FLOORS[server] for one in group)
        return f"  no old answer after {FLOORS[server]:.0f} s: {'yes' if not late else f'NO, {late} times'}"
    return ""
