"""Evidence: everything a judgement was made from, as one line of JSON that another judge can judge again.

Pure. A Record holds the octets that were sent and all that came back, with the clocks, what was expected and
why, what was known beside it, the policy, the rules' version, and the finding. What was read from octets
isn't kept: it is read anew, so that a fault of today's reading can be found with tomorrow's. A line that
isn't a whole record is refused with a sentence; nothing in a line is trusted.

A later version reads old lines: a member that it adds is read as its value's default where it is missing.

Lines are chained (`policy.chain`): each names the hash of all before it, and a segment's first line the last
hash of the segment before.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from blocker import names
from blocker.orders.model import Form
from blocker.orders.timetable import LIFTED
from blocker.prober import judge
from blocker.prober.expect import Expectation, Why
from blocker.prober.judge import BAD, Controls, Evidence, Finding, Kind
from blocker.prober.observe import (
    Arrival,
    Extended,
    Malformed,
    Mismatched,
    Observation,
    Outcome,
    Reply,
    Transport,
    Variant,
    read,
)
from blocker.prober.observe import (
    Record as Resource,
)
from blocker.prober.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from blocker.names import Key

FORMAT = 1
MOST_ARRIVALS = 16


class Unreadable(ValueError):
    """A line that is no record of this format; the sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One judged probe. `policy` is the digest of the policy it was derived from, `rules` their version."""

    samples: tuple[Observation, ...]
    expectation: Expectation
    evidence: Evidence
    finding: Finding
    policy: str = ""
    generation: int = 0
    rules: int = judge.VERSION


def instances_of(samples: Iterable[Observation]) -> frozenset[str]:
    """Which of the point's instances answered, as their NSIDs (RFC 5001) read."""
    nsids = {came.reply.nsid for one in samples for came in one.arrivals}
    return frozenset(shown(nsid) for nsid in nsids if nsid)


def shown(nsid: bytes) -> str:
    """An NSID for people: its text, or hexadecimal digits if it has none."""
    text = nsid.decode("ascii", "replace")
    return text if text.isprintable() and text.isascii() else nsid.hex()


def record(
    samples: Sequence[Observation],
    expectation: Expectation,
    evidence: Evidence,
    finding: Finding,
    *,
    policy: str = "",
    generation: int = 0,
) -> Record:
    """The record of one judgement by today's rules.

    Of the redirect addresses of the whole policy those are kept that were answered, for the judge asks for no
    others; of a flood of answers, the first and those that contradict it.
    """
    kept = tuple(map(_bounded, samples))
    seen = evidence.reference_seen
    answered = {resource.data for one in kept for came in one.arrivals for resource in came.reply.answers}
    return Record(
        samples=kept,
        expectation=expectation,
        evidence=replace(
            evidence,
            forged=evidence.forged & answered,
            control_samples=tuple(map(_bounded, evidence.control_samples)),
            reference_seen=None if seen is None else _bounded(seen),
        ),
        finding=finding,
        policy=policy,
        generation=generation,
    )


def _bounded(one: Observation) -> Observation:
    if len(one.arrivals) <= MOST_ARRIVALS:
        return one
    some = (one.arrivals[0], *(one.contradicting or one.arrivals[1:])[: MOST_ARRIVALS - 1])
    return replace(one, arrivals=some)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A record that today's rules judge otherwise; `now` None: they don't judge it at all."""

    record: Record
    now: Finding | None

    @property
    def is_bad(self) -> bool:
        """Whether something is said to be wrong that was not said before."""
        was = self.record.finding.kind
        return self.now is not None and self.now.kind in BAD and self.now.kind is not was


def rejudge(records: Iterable[Record]) -> Iterator[Change]:
    """What the rules of today say otherwise about old observations."""
    for one in records:
        now = judge.judge(one.expectation, one.samples, one.evidence)
        if now is None or (now.kind, now.rule) != (one.finding.kind, one.finding.rule):
            yield Change(record=one, now=now)


def pack(one: Record, prev: str) -> bytes:
    """The record as one line, without its end; `prev` is the hash of all before it."""
    return _line(
        {
            "prev": prev,
            "at": one.finding.at,
            "rules": one.rules,
            "policy": one.policy,
            "generation": one.generation,
            "expectation": expectation_record(one.expectation),
            "known": _known(one.evidence),
            "samples": [_sample(sample) for sample in one.samples],
            "finding": {
                "kind": one.finding.kind,
                "rule": one.finding.rule,
                "variant": variant_record(one.finding.variant),
                "detail": one.finding.detail,
            },
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The first line of a segment: its number, how many records came before it, since when (epoch seconds) it
    is written, and the hash of all before it.
    """

    segment: int
    before: int
    at: float
    prev: str


def pack_opening(one: Opening) -> bytes:
    return _line(
        {"prev": one.prev, "format": FORMAT, "segment": one.segment, "before": one.before, "at": one.at}
    )


def unpack_opening(line: bytes) -> Opening:
    """Raises Unreadable."""
    made = _parse(line)
    try:
        if made["format"] != FORMAT:
            raise Unreadable(f"format {made['format']!r}; this version reads {FORMAT}")
        return Opening(
            segment=_whole(made["segment"]),
            before=_whole(made["before"]),
            at=_number(made["at"]),
            prev=_hash(made["prev"]),
        )
    except (KeyError, TypeError) as error:
        raise Unreadable(f"no first line of a segment: {error}") from error


def prev_of(line: bytes) -> str:
    """The hash that a line says was before it, empty if it says none: the line is not read for that."""
    return line[9:73].decode("ascii", "replace") if line.startswith(b'{"prev":"') else ""


def is_about(line: bytes, orders: Iterable[str]) -> bool:
    """Whether a line may hold a record about one of the orders; the line is not read for that."""
    return any(f'"order":{json.dumps(order)},'.encode() in line for order in orders)


def unpack(line: bytes) -> Record:
    """The record of a line. Raises Unreadable."""
    made = _parse(line)
    try:
        expectation = expectation_of(made["expectation"])
        point, question = expectation.point, (expectation.name, expectation.qtype)
        finding = made["finding"]
        return Record(
            samples=tuple(_read_sample(one, point, question) for one in _several(made["samples"])),
            expectation=expectation,
            evidence=_read_known(made["known"]),
            finding=Finding(
                kind=Kind(finding["kind"]),
                rule=_text(finding["rule"]),
                point=point,
                order=expectation.order,
                ref=expectation.ref,
                why=expectation.why,
                name=expectation.name,
                qtype=expectation.qtype,
                variant=variant_of(finding["variant"]),
                at=_number(made["at"]),
                detail=_text(finding["detail"]),
            ),
            policy=_text(made["policy"]),
            generation=_whole(made["generation"]),
            rules=_whole(made["rules"]),
        )
    except KeyError as error:
        raise Unreadable(f"{error} is missing") from error
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise Unreadable(f"no record: {error}") from error


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _parse(line: bytes) -> dict[str, Any]:
    try:
        made = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is not JSON") from error
    if not isinstance(made, dict):
        raise Unreadable("it is no JSON object")
    return made


def expectation_record(one: Expectation) -> dict[str, Any]:
    """As a record keeps it; it holds the name."""
    return {
        "point": one.point,
        "region": one.region,
        "name": _octets(one.name),
        "type": one.qtype,
        "why": one.why,
        "ref": one.ref,
        "order": one.order,
        "form": one.form,
        "addresses": [str(address) for address in one.addresses],
        "because": one.because,
        "since": one.since,
        "until": one.until,
        "started": one.started,
        "ended": one.ended,
        **({} if one.ending == LIFTED else {"ending": one.ending}),
        "outside": one.outside,
        "declared": one.declared,
        "sealed": one.is_sealed,
        "misses_aliases": one.misses_aliases,
    }


def expectation_of(made: Mapping[str, Any]) -> Expectation:
    """Read back. Raises ValueError, TypeError, KeyError."""
    return Expectation(
        point=_text(made["point"]),
        region=None if made["region"] is None else _text(made["region"]),
        name=_key(made["name"]),
        qtype=_whole(made["type"]),
        why=Why(made["why"]),
        ref=_text(made["ref"]),
        order=_text(made["order"]),
        form=None if made["form"] is None else Form(made["form"]),
        addresses=tuple(ip_address(_text(one)) for one in _several(made["addresses"])),
        because=tuple(map(_text, _several(made["because"]))),
        since=_number(made["since"]),
        until=None if made["until"] is None else _number(made["until"]),
        started=None if made["started"] is None else int(_number(made["started"])),
        ended=None if made["ended"] is None else int(_number(made["ended"])),
        ending=_text(made.get("ending", LIFTED)),
        outside=made["outside"] is True,
        declared=_text(made["declared"]),
        is_sealed=made["sealed"] is True,
        misses_aliases=made["misses_aliases"] is True,
    )


def _known(one: Evidence) -> dict[str, Any]:
    return {
        "controls": one.controls,
        # What it said is read anew from its octets, where they are.
        "reference": None if one.reference is None or one.reference_seen else _reply(one.reference),
        "was_attributed": one.was_attributed,
        "was_resolved": one.was_resolved,
        "is_blocked_otherwise": one.is_blocked_otherwise,
        "profile": None if one.profile is None else asdict(one.profile),
        "drift": one.drift,
        "forged": sorted(map(_octets, one.forged)),
        "blocked_aliases": sorted(map(_octets, one.blocked_aliases)),
        "control_samples": [_aside(control) for control in one.control_samples],
        "reference_seen": None if one.reference_seen is None else _aside(one.reference_seen),
    }


def _read_known(made: Mapping[str, Any]) -> Evidence:
    seen = None if made.get("reference_seen") is None else _read_aside(made["reference_seen"])
    kept = None if made["reference"] is None else _read_reply(made["reference"])
    return Evidence(
        controls=Controls(made["controls"]),
        reference=kept if seen is None else seen.reply,
        was_attributed=made["was_attributed"] is True,
        was_resolved=made["was_resolved"] is True,
        is_blocked_otherwise=made["is_blocked_otherwise"] is True,
        profile=None if made["profile"] is None else _read_profile(made["profile"]),
        drift=_text(made["drift"]),
        forged=frozenset(map(_read_octets, _several(made["forged"]))),
        blocked_aliases=frozenset(map(_key, _several(made["blocked_aliases"]))),
        control_samples=tuple(map(_read_aside, _several(made.get("control_samples", [])))),
        reference_seen=seen,
    )


def _aside(one: Observation) -> dict[str, Any]:
    """A sample of another question than the record's, or of another server."""
    return {"server": one.point, "name": _octets(one.name), "type": one.qtype, **_sample(one)}


def _read_aside(made: Mapping[str, Any]) -> Observation:
    return _read_sample(made, _text(made["server"]), (_key(made["name"]), _whole(made["type"])))


def _read_profile(made: Mapping[str, Any]) -> Profile:
    return Profile(
        rcode=_whole(made["rcode"]),
        soa=_text(made["soa"]),
        zone=_text(made["zone"]),
        is_authoritative=made["is_authoritative"] is True,
        is_recursive=made["is_recursive"] is True,
        codes=tuple(map(_whole, _several(made["codes"]))),
        ttl=_whole(made["ttl"]),
    )


def _reply(one: Reply) -> dict[str, Any]:
    """A reply whose octets nobody has any more."""
    return {
        "rcode": one.rcode,
        "flags": one.flags,
        "answers": [_resource(each) for each in one.answers],
        "soa": None if one.soa is None else _resource(one.soa),
        "additional_soa": None if one.additional_soa is None else _resource(one.additional_soa),
        "extended": [[each.code, each.text] for each in one.extended],
        "nsid": _octets(one.nsid),
        "edns": one.edns,
    }


def _read_reply(made: Mapping[str, Any]) -> Reply:
    return Reply(
        rcode=_whole(made["rcode"]),
        flags=_whole(made["flags"]),
        answers=tuple(_read_resource(one) for one in _several(made["answers"])),
        soa=None if made["soa"] is None else _read_resource(made["soa"]),
        additional_soa=None if made["additional_soa"] is None else _read_resource(made["additional_soa"]),
        extended=tuple(
            Extended(code=_whole(code), text=_text(text)) for code, text in _several(made["extended"])
        ),
        nsid=_read_octets(made["nsid"]),
        edns=None if made["edns"] is None else _whole(made["edns"]),
    )


def _resource(one: Resource) -> list[Any]:
    return [_octets(one.owner), one.rtype, one.ttl, _octets(one.data)]


def _read_resource(made: Any) -> Resource:
    owner, rtype, ttl, data = _several(made)
    return Resource(owner=_key(owner), rtype=_whole(rtype), ttl=_whole(ttl), data=_read_octets(data))


def _sample(one: Observation) -> dict[str, Any]:
    return {
        "variant": variant_record(one.variant),
        "sent": one.sent,
        "received": one.received,
        "latency": one.latency,
        "outcome": one.outcome,
        "query": _octets(one.query),
        "arrivals": [[_octets(each.octets), each.latency, each.ip_ttl] for each in one.arrivals],
        "mismatched": one.mismatched,
        "malformed": one.malformed,
        "differing": one.differing,
        "trouble": one.trouble,
    }


def _read_sample(made: Mapping[str, Any], point: str, question: tuple[Key, int]) -> Observation:
    query = _read_octets(made["query"])
    arrivals = tuple(_arrival(one, query, question) for one in _several(made["arrivals"]))
    return Observation(
        point=point,
        variant=variant_of(made["variant"]),
        name=question[0],
        qtype=question[1],
        sent=_number(made["sent"]),
        received=None if made["received"] is None else _number(made["received"]),
        latency=None if made["latency"] is None else _number(made["latency"]),
        outcome=Outcome(made["outcome"]),
        reply=arrivals[0].reply if arrivals else None,
        query=query,
        arrivals=arrivals,
        mismatched=_whole(made["mismatched"]),
        malformed=_whole(made["malformed"]),
        differing=_whole(made["differing"]),
        trouble=_text(made["trouble"]),
    )


def _arrival(made: Any, query: bytes, question: tuple[Key, int]) -> Arrival:
    octets, latency, ip_ttl = _several(made)
    message = _read_octets(octets)
    try:
        reply = read(message, ident=int.from_bytes(query[:2], "big"), name=question[0], qtype=question[1])
    except (Malformed, Mismatched) as error:
        raise Unreadable(f"an answer can't be read: {error}") from error
    return Arrival(
        reply=reply,
        octets=message,
        latency=_number(latency),
        ip_ttl=None if ip_ttl is None else _whole(ip_ttl),
    )


def variant_record(one: Variant) -> dict[str, Any]:
    """As a record keeps it."""
    return {
        "transport": one.transport,
        "edns": one.edns,
        "do": one.do,
        "cd": one.cd,
        "mixed": one.mixed,
        "place": one.place,
        "outside": one.outside,
    }


def variant_of(made: Mapping[str, Any]) -> Variant:
    """Read back. Raises ValueError, TypeError, KeyError."""
    return Variant(
        transport=Transport(made["transport"]),
        edns=made["edns"] is True,
        do=made["do"] is True,
        cd=made["cd"] is True,
        mixed=made["mixed"] is True,
        place=_whole(made["place"]),
        outside=made["outside"] is True,
    )


def _octets(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _read_octets(made: Any) -> bytes:
    try:
        return base64.b64decode(_text(made), validate=True)
    except binascii.Error as error:
        raise Unreadable("octets that are not base64") from error


def _key(made: Any) -> Key:
    """A name as a key: whole labels, 255 octets with the root at most (RFC 1035 §2.3.4)."""
    octets = _read_octets(made)
    at = 0
    while at < len(octets):
        if not 1 <= octets[at] <= 63:
            raise Unreadable("a label of an unknown length")
        at += 1 + octets[at]
    if at != len(octets) or at > 254:
        raise Unreadable("a name that is cut off, or too long")
    return names.Key(octets)


def _hash(made: Any) -> str:
    text = _text(made)
    if len(text) != 64 or text.strip("0123456789abcdef"):
        raise Unreadable("no hash")
    return text


def _text(made: Any) -> str:
    if not isinstance(made, str):
        raise Unreadable("a text is wanted")
    return made


def _number(made: Any) -> float:
    if isinstance(made, bool) or not isinstance(made, int | float) or not abs(made) < 1e12:
        raise Unreadable("a number is wanted")
    return made


def _whole(made: Any) -> int:
    if isinstance(made, bool) or not isinstance(made, int) or not 0 <= made < 1 << 53:
        raise Unreadable("a whole number is wanted")
    return made


def _several(made: Any) -> list[Any]:
    if not isinstance(made, list) or len(made) > 4096:
        raise Unreadable("a list is wanted")
    return made
