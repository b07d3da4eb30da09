"""One look at the points: ask, gather evidence, judge, and ask again before anything bad is said.

Shell. It takes expectations and returns findings; what they mean is the judge's business. Controls go out
with the probes and after them, a second sample after a pause. Every query takes a token of its point's
bucket; those around a transition may use the share that rounds of everything leave. A name that is a secret
until its order begins is not asked of the reference, which is somebody else's.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from blocker.errors import StoreError
from blocker.orders.model import Form, Publication
from blocker.policy import decide
from blocker.prober.book import FINE
from blocker.prober.judge import Controls, Evidence, Finding, controls_of, judge
from blocker.prober.observe import A, Observation, Transport, Variant
from blocker.prober.schedule import Bucket
from blocker.prober.transports import probe
from blocker.site import ProberConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blocker.names import Key
    from blocker.orders.timetable import Scheduled
    from blocker.policy.reader import Reader
    from blocker.prober.book import Book
    from blocker.prober.expect import Expectation
    from blocker.prober.reference import Reference
    from blocker.site import Point, Site

_CHUNK = 8  # probes between two controls
_PAUSE = 0.3  # seconds before a second sample
_LINGER = 0.2  # seconds a second sample listens for contradicting answers
_RESERVE = 0.5  # the share of a bucket that rounds of everything leave to transitions


class Rounds:
    """Asks the points of a site. `timeout` is in seconds; `keep` gets what evidence is made of (`keeper`)."""

    def __init__(
        self,
        site: Site,
        reader: Reader,
        book: Book,
        reference: Reference,
        *,
        timeout: float = 1.5,
        keep: Callable[..., None] | None = None,
    ) -> None:
        config = site.prober or ProberConfig()
        self._points = {point.name: point for point in site.points}
        self._canaries = config.canaries
        self._rate = float(config.rate)
        self._reader, self._book, self._reference = reader, book, reference
        self._timeout, self._keep = timeout, keep
        self._buckets: dict[str, Bucket] = {}
        self._turn = 0
        self._redirects: tuple[int, frozenset[bytes]] = (-1, frozenset())
        self._secrets: dict[str, Scheduled] = {}

    async def look(
        self,
        expectations: Sequence[Expectation],
        variant: Variant,
        *,
        stamp: int,
        urgent: bool = False,
    ) -> list[Finding]:
        """Probe all of them in one way and keep the findings in the book.

        `stamp` is that of the policy they were derived from: what comes back after it changed is not
        judged. Points are asked side by side, each no faster than its rate.
        """
        by_point: dict[str, list[Expectation]] = {}
        for one in expectations:
            by_point.setdefault(one.point, []).append(one)
        found = await asyncio.gather(
            *(
                self._point(self._points[name], asked, variant, stamp=stamp, urgent=urgent)
                for name, asked in by_point.items()
                if name in self._points
            )
        )
        return [finding for findings in found for finding in findings]

    async def _point(
        self, point: Point, asked: list[Expectation], variant: Variant, *, stamp: int, urgent: bool
    ) -> list[Finding]:
        findings = []
        for at in range(0, len(asked), _CHUNK):
            chunk = asked[at : at + _CHUNK]
            findings += await self._chunk(point, chunk, variant, stamp=stamp, urgent=urgent)
        return findings

    async def _chunk(
        self, point: Point, chunk: list[Expectation], variant: Variant, *, stamp: int, urgent: bool
    ) -> list[Finding]:
        samples: list[list[Observation]] = [[] for _ in chunk]
        waiting = list(range(len(chunk)))
        found: dict[int, Finding] = {}
        has_answered = False
        for sample in (1, 2):
            if sample == 2:
                await asyncio.sleep(_PAUSE)
            # The control before leaves first, but nobody waits for it: the instant matters more.
            first = asyncio.ensure_future(self._control(point, variant, urgent=urgent))
            seen = await asyncio.gather(
                *(
                    self._ask(
                        point,
                        _other(variant, samples[at]),
                        (chunk[at].name, chunk[at].qtype),
                        urgent=urgent,
                        linger=_LINGER if sample == 2 else 0.0,
                    )
                    for at in waiting
                )
            )
            before = await first
            after = await self._control(point, variant, urgent=urgent)
            controls = controls_of([one for one in (before, after) if one is not None])
            has_answered = has_answered or any(one.reply for one in seen)
            if controls is Controls.SILENT and has_answered:
                controls = Controls.FAIL
            for at, one in zip(waiting, seen, strict=True):
                samples[at].append(one)
            judged = await asyncio.gather(
                *(self._judge(chunk[at], samples[at], controls, stamp) for at in waiting)
            )
            for at, finding in zip(waiting, judged, strict=True):
                if finding is None:
                    found.pop(at, None)
                    continue
                found[at] = finding
                if finding.kind in FINE or sample == 2:
                    self._book.note(chunk[at], finding)
            waiting = [at for at, finding in found.items() if finding.kind not in FINE]
            if not waiting:
                break
        return [found[at] for at in sorted(found)]

    async def _judge(
        self, expectation: Expectation, samples: list[Observation], controls: Controls, stamp: int
    ) -> Finding | None:
        reply = samples[-1].reply
        reference = None
        if reply is not None and not reply.is_attributed:
            data = reply.data_of(expectation.qtype)
            if expectation.form is not None or not data or not data.isdisjoint(self._redirects[1]):
                reference = await self._reference.ask(expectation.name, expectation.qtype)
        try:
            with self._reader.snapshot() as policy:
                if policy.stamp != stamp:
                    return None
                if self._redirects[0] != stamp:
                    self._redirects = (stamp, _redirects(policy))
                    self._secrets = _secrets(policy)
                verdicts = {
                    target: decide.decide(policy, target, expectation.region, samples[-1].sent)
                    for target in (reply.targets if reply else ())
                }
                digest, generation = policy.generation.digest, policy.generation.number
        except StoreError:
            return None
        evidence = Evidence(
            controls=controls,
            reference=reference,
            was_attributed=self._book.was_attributed(expectation.point, expectation.ref),
            is_blocked_otherwise=self._book.is_blocked_otherwise(expectation, samples[-1].variant),
            was_resolved=self._book.was_resolved(expectation.point, expectation.name, expectation.qtype),
            forged=self._redirects[1],
            blocked_aliases=frozenset(target for target, one in verdicts.items() if one.is_blocked),
        )
        finding = judge(expectation, samples, evidence)
        if finding is not None and self._keep is not None and (finding.kind in FINE or len(samples) > 1):
            refs = {expectation.ref, *expectation.because}.union(*(one.because for one in verdicts.values()))
            self._keep(
                tuple(samples),
                expectation,
                evidence,
                finding,
                policy=digest,
                generation=generation,
                is_sealed=any(
                    ref in self._secrets and self._secrets[ref].is_sealed(finding.at) for ref in refs
                ),
            )
        return finding

    async def _control(self, point: Point, variant: Variant, *, urgent: bool) -> Observation | None:
        if not self._canaries:
            return None
        self._turn += 1
        name = self._canaries[self._turn % len(self._canaries)]
        return await self._ask(point, variant, (name, A), urgent=urgent)

    async def _ask(
        self,
        point: Point,
        variant: Variant,
        question: tuple[Key, int],
        *,
        urgent: bool,
        linger: float = 0.0,
    ) -> Observation:
        await self._token(point.name, urgent=urgent)
        seen = await probe(point, question, variant, timeout=self._timeout, linger=linger)
        self._book.saw(seen)
        return seen

    async def _token(self, point: str, *, urgent: bool) -> None:
        while True:
            now = time.monotonic()
            bucket = self._buckets.get(point) or Bucket.full(self._rate, now)
            self._buckets[point], wait = bucket.take(now, reserve=0.0 if urgent else _RESERVE)
            if not wait:
                return
            await asyncio.sleep(wait)


def _other(variant: Variant, samples: list[Observation]) -> Variant:
    """A cut-off answer is asked for again over TCP (RFC 7766 §5)."""
    if samples and samples[-1].reply is not None and samples[-1].reply.is_truncated:
        return replace(variant, transport=Transport.TCP)
    return variant


def _redirects(policy: decide.Policy) -> frozenset[bytes]:
    return frozenset(
        address.packed
        for one in policy.directives.values()
        if one.action.form is Form.REDIRECT
        for address in one.action.addresses
    )


def _secrets(policy: decide.Policy) -> dict[str, Scheduled]:
    """The directives that are, or were once, sealed: by their refs."""
    return {one.ref: one for one in policy.directives.values() if one.publication is not Publication.PUBLIC}
