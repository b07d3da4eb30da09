"""One question to one point, seen in full: what left, what came, what must come and the judgement.

Shell. It probes and judges as rounds do, with controls around and a second sample where the first looks
bad, and keeps every observation. Without an applied policy there is nothing to judge by; then it only asks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker.errors import StoreError
from blocker.policy.reader import Reader
from blocker.prober import forensics, report, single
from blocker.prober.book import Book
from blocker.prober.capture import write
from blocker.prober.matrix import Probe
from blocker.prober.observe import A, Transport, Variant
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
    from blocker.prober.observe import Observation
    from blocker.site import Endpoint, Point, Site


@dataclass(slots=True, kw_only=True)
class Examined:
    """What is known of the question asked in one way, so far.

    `unjudged` says why there is no finding. `samples` are the probes, `controls` those around them.
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

    def take(self, seen: Observation) -> None:
        is_sample = (seen.name, seen.qtype) == (self.name, self.qtype)
        (self.samples if is_sample else self.controls).append(seen)

    def analyses(self, captures: Iterable[Capture]) -> list[Analysis]:
        """What the captured packets say of each sample."""
        return [
            forensics.analyse(packets, sample, self.controls, capture.endpoint)
            for capture in captures
            if capture.asked == self.asked
            for packets in [capture.packets()]
            for sample in self.samples
        ]

    @property
    def asked(self) -> Endpoint:
        """The address and port that the question goes to."""
        point, transport = self.point, self.variant.transport
        if point.tls is not None and transport in (Transport.DOT, Transport.DOH):
            encrypted = point.tls.dot if transport is Transport.DOT else point.tls.doh
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
        seen = [
            sight for each in examined if each.asked == one.asked for sight in each.samples + each.controls
        ]
        frames += one.frames(forensics.ours(one.packets(), seen, one.endpoint))
    write(path, sorted(frames, key=lambda frame: float(frame.time)))
    return len(frames)
