"""One look at the points: ask, gather evidence, judge, and ask again before anything bad is said.

Shell. It takes expectations and returns findings; what they mean is the judge's business. Controls go out
with the probes and after them, a second sample after a pause. Every query takes a token of its point's
bucket; those around a transition may use the share that rounds of everything leave. A name that is a secret
until its order begins is not asked of the reference, which is somebody else's.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from blocker.errors import StoreError
from blocker.orders.model import Publication
from blocker.policy import decide
from blocker.prober.book import FINE
from blocker.prober.expect import Why, forged
from blocker.prober.judge import (
    Controls,
    Evidence,
    Finding,
    Kind,
    controls_of,
    in_part,
    judge,
    leads_nowhere,
    looks_ordered,
    wants_more,
)
from blocker.prober.observe import PLAIN, A, Observation, Outcome, Reply, Transport, Variant
from blocker.prober.schedule import Bucket
from blocker.prober.transports import probe
from blocker.site import ProberConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from blocker.names import Key
    from blocker.orders.timetable import Scheduled
    from blocker.policy.reader import Reader
    from blocker.prober.book import Book
    from blocker.prober.expect import Expectation
    from blocker.prober.matrix import Probe
    from blocker.prober.reference import Reference
    from blocker.site import Point, Site

_CHUNK = 16  # probes between two controls
_SILENCES = 2
_PAUSE = 0.3  # seconds before a second sample
_MOST_SAMPLES = 6  # where instances disagree
_LINGER = 0.2  # seconds a second sample listens for contradicting answers
_RESERVE = 0.5  # the share of a bucket that rounds of everything leave to transitions


@dataclass(frozen=True, slots=True, kw_only=True)
class _How:
    """As the arguments of Rounds.look. `leaks` wait to be kept until all ways of their point were tried."""

    stamp: int
    urgent: bool
    linger: float
    lingering: Collection[Variant]
    told: Callable[[int], None]
    leaks: dict[Finding, tuple[Callable[..., None], Evidence]] = field(default_factory=dict)


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
        self._canary_order = config.canary_order
        self._rate = float(config.rate)
        self._reader, self._book, self._reference = reader, book, reference
        self._timeout, self._keep = timeout, keep
        self._buckets: dict[str, Bucket] = {}
        self._turn = 0
        self._redirects: tuple[int, frozenset[bytes]] = (-1, frozenset())
        self._secrets: dict[str, Scheduled] = {}

    async def look(
        self,
        probes: Sequence[Probe],
        *,
        stamp: int,
        urgent: bool = False,
        linger: float = 0.0,
        lingering: Collection[Variant] = (PLAIN,),
        told: Callable[[int], None] = lambda _: None,
    ) -> list[Finding]:
        """Make all of the probes and keep the findings in the book.

        `stamp` is that of the policy they were derived from: what comes back after it changed is not
        judged. Points are asked side by side, each no faster than its rate, in one way after the other.
        For `linger` seconds after an answer in the ways `lingering`, the plain one if not given, another one
        is waited for that contradicts it. A point that was silent about two chunks with their controls is
        taken to be silent about what else is asked in that way. `told` hears of so many more that were made.
        """
        how = _How(stamp=stamp, urgent=urgent, linger=linger, lingering=lingering, told=told)
        by_point: dict[str, list[Probe]] = {}
        for one in probes:
            by_point.setdefault(one.expectation.point, []).append(one)
        try:
            found = await asyncio.gather(
                *(
                    self._point(self._points[name], asked, how)
                    for name, asked in by_point.items()
                    if name in self._points
                )
            )
        finally:  # Of a round that was ended, what is left.
            for finding, (keep, evidence) in how.leaks.items():
                keep(evidence, finding)
        return [finding for findings in found for finding in findings]

    async def _point(self, point: Point, asked: list[Probe], how: _How) -> list[Finding]:
        by_way: dict[tuple[Variant, bool], list[Probe]] = {}
        for one in asked:
            by_way.setdefault((way_of(one.variant), one.variant.do), []).append(one)
        found: list[tuple[Probe, Finding]] = []
        patience = _SILENCES
        for (way, _), probes in by_way.items():
            silences = 0  # of this way alone: another address or transport may answer
            for at in range(0, len(probes), _CHUNK):
                chunk = probes[at : at + _CHUNK]
                if silences < patience:
                    judged = await self._chunk(point, chunk, way, how)
                else:
                    judged = await self._unasked(chunk, how)
                is_silent = bool(judged) and all(one.rule == "point-silent" for _, one in judged)
                silences = silences + 1 if is_silent else 0
                found += judged
                how.told(len(chunk))
            if silences and way == PLAIN:
                patience = 1
        return [self._in_part(probe, finding, how) for probe, finding in found]

    async def _unasked(self, chunk: list[Probe], how: _How) -> list[tuple[Probe, Finding]]:
        """What holds for these at a point that says nothing."""
        found = []
        for unsent in chunk:
            one = unsent.expectation
            lost = Observation(
                point=one.point,
                variant=unsent.variant,
                name=one.name,
                qtype=one.qtype,
                sent=time.time(),
                outcome=Outcome.SILENT,
            )
            finding = await self._judge(unsent, [lost, lost], Controls.SILENT, how)
            if finding is not None:
                self._book.note(one, finding)
                found.append((unsent, finding))
        return found

    def _in_part(self, probe: Probe, finding: Finding, how: _How) -> Finding:
        """The finding once all ways were tried: a name that is blocked in some of them leaks in part."""
        if finding.kind is not Kind.UNDERBLOCK:
            return finding
        is_in_part = self._book.is_blocked_otherwise(probe.expectation, finding.variant)
        found = in_part(finding) if is_in_part else finding
        if is_in_part:
            self._book.note(probe.expectation, found)
        if finding in how.leaks:
            keep, evidence = how.leaks.pop(finding)
            keep(replace(evidence, is_blocked_otherwise=is_in_part), found)
        return found

    async def _chunk(
        self, point: Point, chunk: list[Probe], way: Variant, how: _How
    ) -> list[tuple[Probe, Finding]]:
        samples: list[list[Observation]] = [[] for _ in chunk]
        waiting = list(range(len(chunk)))
        found: dict[int, Finding] = {}
        around: list[Observation] = []
        has_answered = False
        for sample in range(1, _MOST_SAMPLES + 1):
            if sample > 1:
                await asyncio.sleep(_PAUSE)
            asked = [(_other(chunk[at].variant, samples[at]), chunk[at].expectation) for at in waiting]
            linger = how.linger if way in how.lingering else 0.0
            linger = max(linger, _LINGER if sample == 2 else 0.0)
            seen, both = await self._sample(point, asked, way, urgent=how.urgent, linger=linger)
            around += both
            controls = controls_of(both)
            has_answered = has_answered or any(one.reply for one in seen)
            if controls is Controls.SILENT and has_answered:
                controls = Controls.FAIL
            for at, one in zip(waiting, seen, strict=True):
                samples[at].append(one)
            judged = await asyncio.gather(
                *(self._judge(chunk[at], samples[at], controls, how, around) for at in waiting)
            )
            again = []
            for at, finding in zip(waiting, judged, strict=True):
                if finding is None:
                    found.pop(at, None)
                    continue
                found[at] = finding
                if finding.kind not in FINE and (sample == 1 or wants_more(finding, samples[at])):
                    again.append(at)
                if finding.kind in FINE or sample > 1:
                    self._book.note(chunk[at].expectation, finding)
            waiting = again
            if not waiting:
                break
        return [(chunk[at], found[at]) for at in sorted(found)]

    async def _sample(
        self,
        point: Point,
        asked: list[tuple[Variant, Expectation]],
        way: Variant,
        *,
        urgent: bool,
        linger: float,
    ) -> tuple[list[Observation], list[Observation]]:
        """Ask all of these once, between two controls: what came back, and what for these."""
        # The control before leaves first, but nobody waits for it: the instant matters more.
        first = asyncio.ensure_future(self._control(point, way, urgent=urgent))
        seen = await asyncio.gather(
            *(
                self._ask(point, variant, (one.name, one.qtype), urgent=urgent, linger=linger)
                for variant, one in asked
            )
        )
        before, after = await first, await self._control(point, way, urgent=urgent)
        both = [one for one in (before, after) if one is not None]
        # A way that is dead is a finding of its own: the others are not silenced for it.
        if both and way == PLAIN:
            self._book.controls(point.name, are_fine=controls_of(both) is Controls.PASS)
        return seen, both

    async def _judge(
        self,
        probe: Probe,
        samples: list[Observation],
        controls: Controls,
        how: _How,
        around: Sequence[Observation] = (),
    ) -> Finding | None:
        expectation, reply = probe.expectation, samples[-1].reply
        reference = None
        if reply is not None and not self._speaks_for_itself(expectation, reply):
            reference = await self._reference.observe(expectation.name, expectation.qtype)
        try:
            with self._reader.snapshot() as policy:
                if policy.stamp != how.stamp:
                    return None
                if self._redirects[0] != how.stamp:
                    self._redirects = (how.stamp, forged(policy))
                    self._secrets = _secrets(policy)
                sent, region = samples[-1].sent, expectation.region
                exempt = decide.decide(policy, expectation.name, region, sent).exempt
                verdicts = {
                    target: decide.decide(policy, target, region, sent, exempt=exempt)
                    for one in (reply, reference.reply if reference else None)
                    for target in (one.targets if one else ())
                }
                digest, generation = policy.generation.digest, policy.generation.number
        except StoreError:
            return None
        evidence = Evidence(
            controls=controls,
            reference=None if reference is None else reference.reply,
            control_samples=tuple(around),
            reference_seen=reference,
            **self._form(probe, samples[-1]),
            was_attributed=self._book.was_attributed(expectation.point, expectation.ref),
            is_blocked_otherwise=self._book.is_blocked_otherwise(expectation, samples[-1].variant),
            was_resolved=self._book.was_resolved(expectation.point, expectation.name, expectation.qtype),
            forged=self._redirects[1],
            blocked_aliases=frozenset(target for target, one in verdicts.items() if one.is_blocked),
        )
        finding = judge(expectation, samples, evidence)
        if finding is not None and self._keep is not None and _is_last(finding, samples):
            refs = {expectation.ref, *expectation.because}.union(*(one.because for one in verdicts.values()))
            keep = partial(
                self._keep,
                tuple(samples),
                expectation,
                policy=digest,
                generation=generation,
                is_sealed=any(
                    ref in self._secrets and self._secrets[ref].is_sealed(finding.at) for ref in refs
                ),
            )
            if finding.kind is Kind.UNDERBLOCK:
                how.leaks[finding] = keep, evidence
            else:
                keep(evidence, finding)
        return finding

    def _speaks_for_itself(self, one: Expectation, reply: Reply) -> bool:
        """Whether the answer is judged without the reference, which is somebody else's."""
        if one.is_sealed:
            return True
        if one.form is not None:
            return reply.is_attributed and looks_ordered(one, reply)
        data = reply.data_of(one.qtype)
        is_odd = leads_nowhere(reply, one.qtype) or not data.isdisjoint(self._redirects[1])
        return bool(data) and not reply.is_attributed and not is_odd

    def _form(self, probe: Probe, sample: Observation) -> dict[str, Any]:
        """What is known of the form of the point's blocks; a sample of the canary order's is learnt from."""
        one, reply = probe.expectation, sample.reply
        is_canary = one.why is Why.SUBJECT and bool(one.order) and one.order == self._canary_order
        is_learnt = is_canary and (one.qtype, probe.variant) == (A, PLAIN)
        if is_learnt and one.form is not None and reply is not None and looks_ordered(one, reply):
            self._book.canary(one.point, one.form, reply, sample.received or sample.sent)
        learnt = self._book.learnt(one.point, one.form)
        if learnt is None:
            return {}
        return {"profile": learnt.profile, "drift": learnt.drift if is_learnt else ""}

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


def way_of(variant: Variant) -> Variant:
    """What controls must have in common with the probe: the way that packets take."""
    return Variant(transport=variant.transport, place=variant.place, outside=variant.outside)


def _other(variant: Variant, samples: list[Observation]) -> Variant:
    """A datagram that is cut off is asked for again over TCP (RFC 7766 §5); elsewhere that is a fault."""
    is_cut = any(one.reply is not None and one.reply.is_truncated for one in samples)
    if is_cut and variant.transport is Transport.UDP:
        return replace(variant, transport=Transport.TCP)
    return variant


def _is_last(finding: Finding, samples: Sequence[Observation]) -> bool:
    """Whether it is a word that stands, about something that was asked."""
    if finding.kind in FINE:
        return True
    is_asked_again = wants_more(finding, samples) and len(samples) < _MOST_SAMPLES
    return len(samples) > 1 and not is_asked_again and all(one.query for one in samples)


def _secrets(policy: decide.Policy) -> dict[str, Scheduled]:
    """The directives that are, or were once, sealed: by their refs."""
    return {one.ref: one for one in policy.directives.values() if one.publication is not Publication.PUBLIC}
