"""What `blocker probe` prints: one probe in full, for people in 80 columns and for programs.

Texts that came from the network hold whatever somebody put there: what can't be printed is escaped, so that
no answer writes to the terminal of who reads it.
"""

from __future__ import annotations

import textwrap
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import click
import dns.edns
import dns.exception
import dns.message
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from blocker import names
from blocker.cli import show
from blocker.prober import judge
from blocker.prober.expect import Why
from blocker.prober.observe import AAAA, CNAME, DNAME, A

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from blocker.prober.examine import Examined
    from blocker.prober.expect import Expectation
    from blocker.prober.forensics import Analysis
    from blocker.prober.observe import Arrival, Observation, Record, Reply

_WIDTH, _INDENT = 80, 11
_IN = dns.rdataclass.IN
_FLAGS = {0x8000: "QR", 0x0400: "AA", 0x0200: "TC", 0x0100: "RD", 0x0080: "RA", 0x0020: "AD", 0x0010: "CD"}


def printed(one: Examined, analyses: Sequence[Analysis], nearer: Analysis | None) -> None:
    """Print one way of asking. `analyses` are of its samples, `nearer` of the query that was to get less far,
    if they were captured.
    """
    for number, sample in enumerate(one.samples, 1):
        which = f" (sample {number} of {len(one.samples)})" if len(one.samples) > 1 else ""
        _line("asked", f"{sample.variant}{which}, at {_time(sample.sent)}")
        _line("query", _asked(sample.query))
        for at in range(0, len(sample.query), 16):
            _line("", sample.query[at : at + 16].hex(" ", 2))
        for place, arrival in enumerate(sample.arrivals, 1):
            _arrival(f"answer {place}", arrival)
        if not sample.arrivals:
            _line("answer", f"{sample.outcome}{f': {sample.trouble}' if sample.trouble else ''}")
        _line("besides", _besides(sample))
        if number <= len(analyses):
            _analysis("captured", analyses[number - 1])
    if nearer is not None and nearer.query is not None:
        _line("nearer", f"sent with an IP TTL of {nearer.query.ip_ttl}:")
        _analysis("", nearer)
    if one.controls:
        _line("controls", "; ".join(_control(control) for control in one.controls))
    if one.expectation is not None:
        _line("expected", _wanted(one.expectation))
    finding = one.finding
    if finding is not None:
        _line("judgement", f"{finding.kind} by rule {finding.rule}")
        _line("", judge.RULES[finding.rule])
        _line("", f"seen: {finding.detail}")
    else:
        _line("judgement", f"none: {one.unjudged or 'stopped'}")


def record(one: Examined, analyses: Sequence[Analysis], nearer: Analysis | None) -> dict[str, Any]:
    """One way of asking, for programs."""
    finding, wanted = one.finding, one.expectation
    return {
        "variant": str(one.variant),
        "expected": None
        if wanted is None
        else {
            "region": wanted.region,
            "form": "pass" if wanted.form is None else str(wanted.form),
            "addresses": [str(address) for address in wanted.addresses],
            "because": list(wanted.because),
            "why": str(wanted.why) if wanted.ref else None,
            "ref": wanted.ref or None,
        },
        "finding": None
        if finding is None
        else {
            "kind": str(finding.kind),
            "rule": finding.rule,
            "rules_version": judge.VERSION,
            "detail": finding.detail,
        },
        "unjudged": one.unjudged,
        "samples": [_observed(sample) for sample in one.samples],
        "controls": [_observed(control) for control in one.controls],
        "captured": [_analysed(analysis) for analysis in analyses],
        "nearer": None if nearer is None else _analysed(nearer),
    }


def _observed(one: Observation) -> dict[str, Any]:
    return {
        "name": names.to_text(one.name),
        "type": type_name(one.qtype),
        "sent": one.sent,
        "query": one.query.hex(),
        "outcome": str(one.outcome),
        "trouble": one.trouble,
        "mismatched": one.mismatched,
        "malformed": one.malformed,
        "contradicting": one.differing,
        "answers": [
            {
                "after": arrival.latency,
                "ip_ttl": arrival.ip_ttl,
                "octets": arrival.octets.hex(),
                **_reply(arrival.reply, arrival.octets),
            }
            for arrival in one.arrivals
        ],
    }


def _reply(reply: Reply, octets: bytes) -> dict[str, Any]:
    return {
        "rcode": _rcode(reply),
        "flags": _flags(reply.flags.to_bytes(2, "big")),
        "records": [_recorded(record, octets) for record in reply.answers],
        "soa": None if reply.soa is None else _recorded(reply.soa, octets),
        "soa_in_additional": None
        if reply.additional_soa is None
        else _recorded(reply.additional_soa, octets),
        "edns": reply.edns,
        "ede": [{"code": one.code, "text": _shown(one.text)} for one in reply.extended],
        "nsid": reply.nsid.hex(),
    }


def _recorded(record: Record, octets: bytes) -> dict[str, Any]:
    return {
        "owner": names.to_text(record.owner),
        "type": type_name(record.rtype),
        "ttl": record.ttl,
        "data": _data(record, octets),
    }


def _analysed(one: Analysis) -> dict[str, Any]:
    return {
        "verdict": str(one.verdict),
        "sent_with_ip_ttl": None if one.query is None else one.query.ip_ttl,
        "answers": [
            {
                "at": answer.packet.at,
                "from": str(answer.packet.source),
                "to": str(answer.packet.target),
                "ip_ttl": answer.packet.ip_ttl,
                "ip_id": answer.packet.ip_id,
                "checksum": str(answer.packet.checksum),
                "octets": answer.octets.hex(),
                "rcode": None if answer.reply is None else _rcode(answer.reply),
            }
            for answer in one.answers
        ],
        "signs": [{"sign": sign.id, "answer": sign.answer, "sentence": sign.sentence} for sign in one.signs],
    }


def _asked(query: bytes) -> str:
    """The reading of a query of our own."""
    read = dns.message.from_wire(query)
    said = [f"{len(query)} octets", f"id {read.id:04x}", str(read.question[0])]
    said.append(f"flags {' '.join(_flags(query[2:4]))}")
    if read.edns < 0:
        return ", ".join((*said, "no EDNS"))
    options = [option.otype.name for option in read.options]
    said.append(f"EDNS of {read.payload} octets")
    return ", ".join((*said, *(["DO"] if read.ednsflags & 0x8000 else []), *options))


def _arrival(lead: str, one: Arrival) -> None:
    ttl = "" if one.ip_ttl is None else f", IP TTL {one.ip_ttl}"
    _line(lead, f"after {one.latency * 1000:.1f} ms, {len(one.octets)} octets{ttl}")
    reply = one.reply
    _line("", f"{_rcode(reply)}, flags {' '.join(_flags(reply.flags.to_bytes(2, 'big')))}")
    for record in reply.answers:
        _line("", f"has {_text(record, one.octets)}")
    if reply.soa is not None:
        _line("", f"SOA in AUTHORITY: {_text(reply.soa, one.octets)}")
    if reply.additional_soa is not None:
        _line("", f"SOA in ADDITIONAL: {_text(reply.additional_soa, one.octets)}")
    for ede in reply.extended:
        _line("", f"EDE {ede.code} {_ede(ede.code)}{f': {_shown(ede.text)}' if ede.text else ''}")
    if reply.nsid:
        _line("", f"NSID {_shown(reply.nsid.decode('utf-8', 'backslashreplace'))}")
    _line("", "no EDNS" if reply.edns is None else f"EDNS of {reply.edns} octets")


def _analysis(lead: str, one: Analysis) -> None:
    _line(lead, f"{one.verdict}: {show.counted(len(one.answers), 'answer')} to this query")
    for place, answer in enumerate(one.answers, 1):
        packet = answer.packet
        says = "no answer to it" if answer.reply is None else _rcode(answer.reply)
        id_ = "" if packet.ip_id is None else f", IP ID {packet.ip_id}"
        _line(
            "",
            f"{place}: {_time(packet.at)} from {packet.source}, IP TTL {packet.ip_ttl}{id_}, "
            f"checksum {packet.checksum}: {says}",
        )
    for sign in one.signs:
        whose = "" if sign.answer is None else f"answer {sign.answer + 1}: "
        _line("", f"{whose}{sign.sentence} ({sign.id})")


def _control(one: Observation) -> str:
    if one.reply is None:
        return f"{names.to_text(one.name)} {one.outcome}"
    after = "" if one.latency is None else f" after {one.latency * 1000:.1f} ms"
    ttl = one.arrivals[0].ip_ttl if one.arrivals else None
    return (
        f"{names.to_text(one.name)} {_rcode(one.reply)}{after}{'' if ttl is None else f' with IP TTL {ttl}'}"
    )


def _wanted(one: Expectation) -> str:
    where = f"in {one.region}" if one.region else "for clients in no region"
    if one.form is not None:
        to = f" to {', '.join(str(address) for address in one.addresses)}" if one.addresses else ""
        return f"{one.form}{to} {where}, because of {', '.join(one.because)}"
    if not one.ref:
        return f"to pass {where}: no order in force speaks of it"
    reasons = {
        Why.EXCEPT: "its own except frees it from",
        Why.WITHHELD: "the operator withholds",
        Why.ENDED: "it is over with",
        Why.COMING: "it has not begun for",
        Why.ELSEWHERE: "another region is meant by",
    }
    return f"to pass {where}: {reasons.get(one.why, 'it is free from')} {one.ref}"


def _besides(one: Observation) -> str:
    found = (
        (one.mismatched, "to other questions"),
        (one.malformed, "malformed"),
        (one.differing, "contradicting the first"),
    )
    return ", ".join(f"{count} {what}" for count, what in found)


def _line(lead: str, text: str) -> None:
    width = _WIDTH - _INDENT
    lines = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    click.echo("\n".join(f"{lead if not place else '':<{_INDENT}}{line}" for place, line in enumerate(lines)))


def _time(at: float) -> str:
    return f"{show.moment(at)[:-1]}.{int(at % 1 * 1_000_000):06}Z"


def _flags(word: bytes) -> list[str]:
    bits = int.from_bytes(word, "big")
    return [name for bit, name in _FLAGS.items() if bits & bit]


def _rcode(reply: Reply) -> str:
    return dns.rcode.to_text(dns.rcode.Rcode.make(reply.rcode))


def type_name(number: int) -> str:
    """The mnemonic of a query type."""
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(number))


def _ede(code: int) -> str:
    try:
        return dns.edns.EDECode(code).name.replace("_", " ").title()
    except ValueError:
        return "unassigned"


def _text(record: Record, octets: bytes) -> str:
    owner, kind = names.to_text(record.owner), type_name(record.rtype)
    return f"{owner} {record.ttl} {kind} {_data(record, octets)}"


def _data(record: Record, octets: bytes) -> str:
    """The RDATA as text; what can't be read in the form of RFC 3597 §5."""
    if record.rtype in (CNAME, DNAME):
        return names.to_text(names.from_wire(record.data))
    if (record.rtype, len(record.data)) in ((A, 4), (AAAA, 16)):
        return str(ip_address(record.data))
    # Names in it may be compressed: it is read where it stands in the message.
    at = octets.find(record.data)
    try:
        read = dns.rdata.from_wire(
            _IN, dns.rdatatype.RdataType.make(record.rtype), octets, at, len(record.data)
        )
    except (dns.exception.DNSException, ValueError, IndexError):
        return f"\\# {len(record.data)} {record.data.hex()}"
    return _shown(read.to_text())


def _shown(text: str | Iterable[str]) -> str:
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)
