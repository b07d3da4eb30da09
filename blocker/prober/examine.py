"""One question to one point, seen in full: what left, what came, what must come and the judgement.

Shell. It probes and judges as rounds do, with controls around and a second sample where the first looks
bad, and keeps every observation. Without an applied policy there is nothing to judge by; then it only asks.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker.errors import StoreError
from blocker.policy.reader import Reader
from blocker.prober import forensics, report, single
from blocker.prober.book import Book
from blocker.prober.capture import write
from blocker.prober.matrix import Probe
from blocker.prober.observe import A, Observation, Outcome, Transport, Variant, query
from blocker.prober.reference import Reference, endpoints
from blocker.prober.rounds import Rounds, way_of
from blocker.prober.transports import probe
from blocker.site import ProberConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from blocker.names import Key
    from blocker.prober.capture import Capture
    from blocker.prober.expect import Expectation
    from blocker.prober.forensics import Analysis
    from blocker.prober.judge import Finding
    from blocker.site import Endpoint, Point, Site


@dataclass(slots=True, kw_only=True)
class Examined:
    """What is known of the question asked in one way, so far.

    `unjudged` says why there is no finding. `samples` are the probes, `controls` those around them, `near` is
    the query that was not to get as far as the point.
    """

    point: Point
    name: Key
    qtype: int
    variant: Variant
    expectation: Expectation | None = None
    finding: Finding | None = None
    unjudged: str = ""
    samples: list[Observation] = field(default_factory=list)
    controls: list[Observation] = field(default_factory=list)
    near: Observation | None = None

    def take(self, seen: Observation) -> None:
        is_sample = (seen.name, seen.qtype) == (self.name, self.qtype)
        (self.samples if is_sample else self.controls).append(seen)

    def analyses(self, captures: Iterable[Capture]) -> list[Analysis]:
        """What the captured packets say of each sample; nothing of what is encrypted."""
        return self._analyses(captures, self.samples)

    def nearer(self, captures: Iterable[Capture]) -> Analysis | None:
        """What they say of the query that was not to get as far as the point, if there was one."""
        return next(iter(self._analyses(captures, [self.near] if self.near else [])), None)

    def _analyses(self, captures: Iterable[Capture], seen: Sequence[Observation]) -> list[Analysis]:
        return [
            forensics.analyse(packets, one, self.controls, capture.endpoint)
            for capture in captures
            if capture.asked == self.asked and not self.is_encrypted
            for packets in [capture.packets()]
            for one in seen
        ]

    @property
    def seen(self) -> list[Observation]:
        """All that was sent on account of it."""
        return [*self.samples, *self.controls, *([self.near] if self.near else [])]

    @property
    def is_encrypted(self) -> bool:
        return self.variant.transport in (Transport.DOT, Transport.DOH)

    @property
    def asked(self) -> Endpoint:
        """The address and port that the question goes to."""
        point = self.point
        if point.tls is not None and self.is_encrypted:
            encrypted = point.tls.dot if self.variant.transport is Transport.DOT else point.tls.doh
            if encrypted is not None:
                return encrypted
        return point.addresses[self.variant.place]


class _Noted(Book):
    """A book that passes on what it sees."""

    def __init__(self, examined: Examined, before: report.Snapshot | None) -> None:
        super().__init__(before)
        self._examined = examined

    def saw(self, observation: Observation) -> None:
        super().saw(observation)
        self._examined.take(observation)


async def examine(site: Site, examined: Examined, *, timeout: float = 1.5, linger: float = 1.0) -> None:  # noqa: ASYNC109  # as in probe
    """Ask, judge and write into `examined`, so that an interrupted one has what was seen until then."""
    try:
        reader = Reader(site.state)
    except StoreError as error:
        examined.unjudged = str(error)
        await _ask(site, examined, timeout, linger)
        return
    try:
        with reader.snapshot() as policy:
            question = examined.name, examined.qtype
            now, stamp = time.time(), policy.stamp
            wanted, is_secret = single.expected(policy, examined.point, question, examined.variant, now)
        examined.expectation = wanted
        book = _Noted(examined, _before(site.state))
        # Nobody else learns of a name that is a secret.
        reference = Reference(() if is_secret else endpoints(site), timeout=timeout)
        rounds = Rounds(site, reader, book, reference, timeout=timeout)
        asked = [Probe(wanted, examined.variant)]
        lingering = (way_of(examined.variant),)
        found = await rounds.look(asked, stamp=stamp, urgent=True, linger=linger, lingering=lingering)
        examined.finding = found[0] if found else None
        examined.unjudged = "" if found else "the policy changed under way; probe again"
    finally:
        reader.close()


async def _ask(site: Site, examined: Examined, timeout: float, linger: float) -> None:  # noqa: ASYNC109  # as in probe
    """Control, probe, control."""
    canaries = (site.prober or ProberConfig()).canaries[:1]
    way = way_of(examined.variant)
    for question, variant in (
        *(((name, A), way) for name in canaries),
        ((examined.name, examined.qtype), examined.variant),
        *(((name, A), way) for name in canaries),
    ):
        is_probe = question == (examined.name, examined.qtype)
        waited = linger if is_probe else 0.0
        examined.take(await probe(examined.point, question, variant, timeout=timeout, linger=waited))


async def ask_near(examined: Examined, hops: int, wait: float) -> None:
    """Send the query once more over UDP, so that routers drop it after so many hops.

    What comes within `wait` seconds is the capture's to see. An answer to a query that can't have got as far
    as the point was made on the way to it.
    """
    ident = secrets.randbelow(65536)
    octets = query(examined.name, examined.qtype, ident, examined.variant)
    asked = examined.asked
    own = asked.asked_from(examined.point.source)
    is_v6 = ":" in asked.host
    level, option = (
        (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if is_v6 else (socket.IPPROTO_IP, socket.IP_TTL)
    )
    with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(level, option, hops)
        if own is not None:
            sock.bind(own)
        sock.connect((asked.host, asked.port))
        examined.near = Observation(
            point=examined.point.name,
            variant=examined.variant,
            name=examined.name,
            qtype=examined.qtype,
            sent=time.time(),
            outcome=Outcome.SILENT,
            query=octets,
        )
        sock.send(octets)
        await asyncio.sleep(wait)


def _before(state: Path) -> report.Snapshot | None:
    """What the prober of this site remembers, if it has run."""
    try:
        return report.from_json((state / report.FILE).read_bytes())
    except OSError:
        return None


def keep(path: Path, examined: Sequence[Examined], captures: Sequence[Capture]) -> int:
    """Write the packets of our own queries; how many there are. Raises OSError."""
    frames = []
    for one in captures:
        seen = [sight for each in examined if each.asked == one.asked for sight in each.seen]
        frames += one.frames(forensics.ours(one.packets(), seen, one.endpoint))
    write(path, sorted(frames, key=lambda frame: float(frame.time)))
    return len(frames)
