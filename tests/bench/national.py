"""A national list: from file to live policy; then one name more, names taken out, a mistake undone.

Every step is the processes of its verbs, starts included. `delay` is from the return of the last verb until a
running `blocker serve` on the same store answers accordingly. Then Unbound and BIND load the same names as
RPZ, one after the other.
"""

from __future__ import annotations

import re
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import dns.rcode
import pytest

from blocker import sitefile
from tests.bench import servers, site, world
from tests.bench.engines import MB, REGION, say, write_zone
from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.options import Options
    from tests.bench.site import Ran

NAMES = 9_500_000
REMOVED = 100_000
MISTAKE = 1_000_000
SAMPLE = 500
WAITING = 30.0
"""Seconds for which an answer is waited for."""

PATIENCE = 900.0
"""Seconds that an engine may take to load the zone."""

ENGINES = ("unbound-rpz", "bind-rpz")

AMEND = """\
order: bench/amend
kind: amend
of: bench/list
authority: {{name: "Bench Authority", jurisdiction: ID, contact: "mailto:contest@authority.example"}}
legal_basis: ["Bench Act, section 2"]
issued: 2026-11-02
publication: public
from: {start}
remove_file: {{file: amend.txt, sha256: "{sha256}"}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Some verbs, one after the other, and the seconds from the last one's return to the answer."""

    what: str
    verbs: Sequence[Ran]
    target: str = ""
    delay: float | None = None

    def show(self) -> None:
        """One line."""
        wall = sum(one.wall for one in self.verbs)
        cpu = sum(one.cpu for one in self.verbs)
        each = " + ".join(f"{one.wall:.2f}" for one in self.verbs)
        peak = max(one.peak for one in self.verbs)
        delay = "" if self.delay is None else f"   delay {self.delay * 1000:.0f} ms"
        print(
            f"{self.what:<34}{wall:8.2f} s = {each:<22} CPU {cpu:7.2f} s   peak {peak / MB:6.0f} MB"
            f"{delay}   {self.target}",
            flush=True,
        )


class Scene:
    """The site, its running resolver, and who asks it."""

    def __init__(self, folder: Path, port: int, count: int) -> None:
        self.folder, self.port, self.count = folder, port, count
        share = min(1.0, count / NAMES)
        self.removing, self.mistaken = max(1, int(REMOVED * share)), max(1, int(MISTAKE * share))

    def checked(self) -> list[Ran]:
        """Check, plan and apply; past the guard where it must be."""
        check = self._run("check")
        plan = site.blocker(self.folder, "plan", "--json")
        found = re.search(r'"digest": "([0-9a-f]{64})"', plan.output)
        assert found, plan.output
        words = ("--yes",) if plan.code == 0 else ("--accept", found[1], "--reason", "bench")
        return [check, plan, self._run("apply", *words)]

    def _run(self, *words: str) -> Ran:
        found = site.blocker(self.folder, *words)
        assert found.code == 0, found.output
        return found

    def delay(self, name: str, *, blocked: bool) -> float:
        """Seconds from now until the resolver answers the name so."""
        began = time.monotonic()
        wanted = dns.rcode.NXDOMAIN if blocked else dns.rcode.NOERROR
        while True:
            said = lab.ask(self.port, name, timeout=0.1)
            now = time.monotonic()
            if said is not None and said.rcode() == wanted:
                return now - began
            assert now - began < WAITING, f"{name} is not {'blocked' if blocked else 'free'} yet"

    def file(self, slug: str, names: Sequence[str]) -> str:
        """A list beside the orders; its digest."""
        return site.write(self.folder / "orders" / "bench" / f"{slug}.txt", names)

    def urgent(self, number: int) -> Step:
        """One name more."""
        name = f"urgent{number}.example"
        self.delay(name, blocked=False)
        site.order(self.folder, f"urgent{number}", names=f"names: [{name}]", start=_now())
        verbs = self.checked()
        return Step(
            what="one name more",
            verbs=verbs,
            delay=self.delay(name, blocked=True),
            target="target 1 s, delay 150 ms",
        )

    def removed(self, count: int) -> Step:
        """Names taken out of the list by an amend."""
        names = list(site.listed(count))
        digest = self.file("amend", names)
        path = self.folder / "orders" / "bench" / "amend.yaml"
        path.write_text(AMEND.format(start=_now().isoformat(), sha256=digest))
        verbs = self.checked()
        return Step(
            what=f"{count:,} names removed by an amend",
            verbs=verbs,
            delay=self.delay(names[-1], blocked=False),
            target="target 5 s",
        )

    def dropped(self, count: int) -> Step:
        """An order that is over leaves the store."""
        orders = self.folder / "orders" / "bench"
        site.bulk(self.folder, "over", count, first=self.count, start=_now() - timedelta(days=2), days=1)
        self.checked()
        (orders / "over.yaml").unlink()
        return Step(what=f"an order of {count:,} names dropped", verbs=self.checked(), target="target 5 s")

    def undone(self, count: int) -> tuple[Step, Step]:
        """A mistake applied and rolled back."""
        site.bulk(self.folder, "mistake", count, first=self.count + REMOVED)
        name = next(site.listed(1, first=self.count + REMOVED + count // 2))
        applied = self.checked()
        mistake = Step(
            what=f"{count:,} names by mistake", verbs=applied, delay=self.delay(name, blocked=True)
        )
        generation = re.search(r"applied: generation (\d+)", applied[-1].output)
        assert generation
        undone = self._run("rollback", str(int(generation[1]) - 1), "--reason", "bench")
        return mistake, Step(
            what="rolled back",
            verbs=[undone],
            delay=self.delay(name, blocked=False),
            target="target 1 s with the delay",
        )


def run(options: Options) -> None:
    """Print a line for each step, then one for each engine."""
    count = options.names or (20_000 if options.quick else NAMES)
    rounds = options.rounds or (1 if options.quick else 3)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as open_:
        folder = Path(scratch)
        upstream = open_.enter_context(world.upstream())
        scene = Scene(folder, site.make(folder, upstream=upstream), count)
        say(f"writing {count:,} names")
        site.bulk(folder, "list", count)
        size = (folder / "orders" / "bench" / "list.txt").stat().st_size
        say("check, plan, apply")
        first = Step(
            what=f"{count:,} names, {size / MB:.0f} MB", verbs=scene.checked(), target="target 240 s, 2000 MB"
        )
        first.show()
        store = (folder / "state" / "policy.lmdb").stat().st_size
        print(f"{'store':<34}{store / MB:8.0f} MB   target 500 MB")
        with servers.embedded(_labs(scene, upstream, folder / "none")) as serving:
            show_loading("serve", serving)
            for number in range(rounds):
                scene.urgent(number).show()
            scene.removed(scene.removing).show()
            scene.dropped(scene.removing).show()
            for step in scene.undone(scene.mistaken):
                step.show()
        store = (folder / "state" / "policy.lmdb").stat().st_size
        print(f"{'store, with what is free in it':<34}{store / MB:8.0f} MB")
        load_as_rpz(scene, upstream, options)


def load_as_rpz(scene: Scene, upstream: int, options: Options) -> None:
    """The same policy as a zone, in who knows RPZ: seconds to the first blocked answers, and memory."""
    engines = [name for name in ENGINES if options.takes(name)]
    zone = scene.folder / "id.rpz.zone"
    if engines:
        say("rendering the zone")
        began = time.monotonic()
        write_zone(zone, scene.folder / "state")
        print(f"{'zone':<34}{time.monotonic() - began:8.2f} s to render   {zone.stat().st_size / MB:.0f} MB")
    for name in engines:
        say(f"starting {name}")
        try:
            with servers.STARTERS[name](_labs(scene, upstream, zone)) as one:
                show_loading(name, one)
        except (pytest.skip.Exception, AssertionError) as why:
            print(f"{name}: left out, {why}")


def show_loading(name: str, one: servers.Running) -> None:
    """From its start to its answers, and what it holds."""
    memory = f"own memory {one.memory.own / MB:.0f} MB, mapped {one.memory.mapped / MB:.0f} MB"
    print(f"{name:<34}{one.loaded:8.2f} s to the first blocked answers   {memory}", flush=True)


def _labs(scene: Scene, upstream: int, zone: Path) -> servers.Lab:
    step = max(1, scene.count // SAMPLE)
    return servers.Lab(
        folder=scene.folder,
        site=sitefile.load(scene.folder / "site.yaml"),
        region=REGION,
        upstream=upstream,
        names=tuple(islice(site.listed(scene.count), scene.removing, None, step)),
        zone=zone,
        cores=None,
        patience=PATIENCE,
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
