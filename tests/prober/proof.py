"""Judged probes for the tests of evidence: real octets, read and judged as the prober does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dns.edns
import dns.message

from blocker import names
from blocker.orders.model import Form
from blocker.prober import evidence, judge
from blocker.prober.expect import Expectation, Why
from blocker.prober.judge import Controls, Evidence
from blocker.prober.observe import PLAIN, A, Arrival, Observation, Outcome, Variant, query, read
from tests.prober.world import T, answer, key, real

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blocker.prober.evidence import Record

NAME = "x.shop.example"


def blocked(question: dns.message.Message) -> dns.message.Message:
    return answer(question, rcode=3, ede=(16,))


def expectation(**more: Any) -> Expectation:
    values: dict[str, Any] = {
        "point": "p1",
        "region": "ID",
        "name": key(NAME),
        "qtype": A,
        "why": Why.SUBJECT,
        "ref": "court/o1/d",
        "order": "court/o1",
        "form": Form.NXDOMAIN,
        "because": ("court/o1/d",),
        "since": float(T - 1000),
        "started": T - 1000,
    }
    return Expectation(**{**values, **more})


def seen(
    one: Expectation,
    *scripts: Callable[[dns.message.Message], dns.message.Message],
    at: float = T,
    variant: Variant = PLAIN,
    nsid: bytes = b"",
) -> Observation:
    """What comes back when the point answers by these scripts, one after the other; silence without any."""
    octets = query(one.name, one.qtype, 4711, variant)
    arrivals = []
    for number, script in enumerate(scripts):
        made = script(dns.message.from_wire(octets))
        options = [*made.options, *([dns.edns.GenericOption(dns.edns.NSID, nsid)] if nsid else [])]
        rcode = made.rcode()
        made.use_edns(0, options=options)
        made.set_rcode(rcode)
        wire = made.to_wire()
        reply = read(wire, ident=4711, name=one.name, qtype=one.qtype)
        arrivals.append(Arrival(reply=reply, octets=wire, latency=0.001 * (number + 1), ip_ttl=64 - number))
    first = arrivals[0] if arrivals else None
    return Observation(
        point=one.point,
        variant=variant,
        name=one.name,
        qtype=one.qtype,
        sent=at - 0.001,
        received=at if first else None,
        latency=first.latency if first else None,
        outcome=Outcome.ANSWERED if first else Outcome.SILENT,
        reply=first.reply if first else None,
        query=octets,
        arrivals=tuple(arrivals),
        differing=sum(one.reply.says(A) != arrivals[0].reply.says(A) for one in arrivals[1:]),
    )


def reference(one: Expectation) -> Any:
    octets = query(one.name, one.qtype, 1)
    wire = real(dns.message.from_wire(octets)).to_wire()
    return read(wire, ident=1, name=one.name, qtype=one.qtype)


def judged(
    one: Expectation, samples: Sequence[Observation], known: Evidence | None = None, **more: Any
) -> Record:
    """The record of what the rules of today say."""
    known = known or Evidence(controls=Controls.PASS, reference=reference(one))
    finding = judge.judge(one, samples, known)
    assert finding is not None
    return evidence.record(samples, one, known, finding, policy="p" * 64, generation=3, **more)


def twice(one: Expectation, script: Any, *, at: float = T, **more: Any) -> Record:
    """Two samples alike: what it takes to say something bad."""
    return judged(one, [seen(one, script, at=at - 0.3, **more), seen(one, script, at=at, **more)])


def once(one: Expectation, script: Any, *, at: float = T, **more: Any) -> Record:
    return judged(one, [seen(one, script, at=at, **more)])


def forged(one: Expectation, *scripts: Any, at: float = T) -> Record:
    """Two answers to each question, the forged one first: that of a block, if not told otherwise."""
    both = scripts or (blocked, real)
    return judged(one, [seen(one, *both, at=at - 0.3), seen(one, *both, at=at)])


def text(record: Record) -> str:
    return names.to_text(record.expectation.name)
