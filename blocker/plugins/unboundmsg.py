"""Unbound's messages as `unbound` needs them: read, made, shortened, taken out of its cache.

`ub` is Unbound's own `unboundmodule`, `qstate`, `message` (`qstate.return_msg`) and `rep` are pointers of it:
without types, and good during one call alone. Names are in wire form and lower case, TTLs in seconds. Nothing
here decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from blocker import names
from blocker.orders.model import Form
from blocker.resolver import answer, chain, wire

if TYPE_CHECKING:
    from collections.abc import Sequence

_ALIASING = (wire.CNAME, wire.DNAME)
_INDETERMINATE = 2  # As its security; 0, not yet looked at, would be SERVFAIL under a validator.


def received(ub: Any, message: Any, qname: bytes, qtype: int) -> chain.Received | None:
    """The alias chain of what was found for the question; None if there is none. Raises wire.Malformed."""
    if message is None:
        return None
    rep = message.rep
    rrsets = rep.rrsets
    found = [rrsets[number] for number in range(rep.an_numrrsets)]
    kinds = [ub.ntohs(rrset.rk.type) for rrset in found]
    if not any(kind in _ALIASING for kind in kinds):
        return None
    records = []
    for kind, rrset in zip(kinds, found, strict=True):
        owner, data = bytes(rrset.rk.dname), rrset.entry.data
        # Of what is no alias its presence is all that counts.
        for number in range(data.count if kind in _ALIASING else 1):
            octets = bytes(data.rr_data[number])[2:]  # after their length
            records.append(wire.pack_record(owner, kind, wire.IN, data.rr_ttl[number], octets))
    question = qname + qtype.to_bytes(2, "big") + wire.IN.to_bytes(2, "big")
    head = wire.pack_header(0, wire.QR | rep.flags & 0xF, (1, len(records), 0, 0))
    return chain.receive(head + question + b"".join(records), question)


@dataclass(frozen=True, slots=True)
class Made:
    """A finished answer: Unbound's DNSMessage, good for any number of queries, and the EDE options."""

    message: Any
    rcode: int
    edes: tuple[tuple[int, bytes], ...]


def blocked(ub: Any, qname: bytes, qtype: int, said: answer.Block) -> Made:
    """The answer that says so."""
    owner = said.owner if said.chain else qname
    addresses = _addresses(said, qtype)
    made = ub.DNSMessage(_text(qname), qtype, wire.IN, ub.PKT_QR | ub.PKT_RA | ub.PKT_RD)
    made.answer = [_record(link.owner, link.ttl, link.rtype, link.target) for link in said.chain]
    made.answer += [_record(owner, said.ttl, qtype, octets) for octets in addresses]
    if not addresses and said.form is not Form.REFUSED:  # Only denials are kept by an SOA.
        made.authority = [_record(owner, said.ttl, wire.SOA, answer.soa(said.ttl))]
    return Made(made, answer.RCODES[said.form], edes(said, qtype))


def give(ub: Any, qstate: Any, made: Made) -> None:
    """Make this answer the query's. Raises RuntimeError if Unbound doesn't take it."""
    if not made.message.set_return_msg(qstate):
        raise RuntimeError("Unbound could not make the answer to a blocked name")
    rep = qstate.return_msg.rep
    rep.flags = rep.flags & ~0xF | made.rcode
    rep.security = _INDETERMINATE
    qstate.return_rcode = wire.NOERROR
    explain(ub, made.edes, qstate.edns_opts_front_out, qstate.region)


def _addresses(said: answer.Block, qtype: int) -> list[bytes]:
    """The addresses, packed, that the answer has for this query type."""
    version = {wire.A: 4, wire.AAAA: 6}.get(qtype)
    return [address.packed for address in said.addresses if address.version == version]


def edes(said: answer.Block, qtype: int) -> tuple[tuple[int, bytes], ...]:
    """The EDE options (RFC 8914): 16 with the reason, 4 beside it for a made-up address."""
    reason = answer.ede(answer.EDE_CENSORED, said.text)
    return (reason, answer.ede(answer.EDE_FORGED)) if _addresses(said, qtype) else (reason,)


def explain(ub: Any, found: tuple[tuple[int, bytes], ...], options: Any, region: Any) -> None:
    """Add EDE options to a list that Unbound keeps in `region`."""
    for code, octets in found:
        ub.edns_opt_list_append(options, code, bytearray(octets), region)


def longest(rep: Any) -> int:
    """The largest TTL of all records, and of the message."""
    return max([int(rep.ttl), *(int(rep.rrsets[at].entry.data.ttl) for at in range(rep.rrset_count))])


def lower(rep: Any, most: int) -> None:
    """No record's TTL is more than so many seconds."""
    for at in range(rep.rrset_count):
        data = rep.rrsets[at].entry.data
        data.ttl = min(data.ttl, most)
        for record in range(data.count + data.rrsig_count):
            data.rr_ttl[record] = min(data.rr_ttl[record], most)


def keep(ub: Any, qstate: Any, message: Any, most: int) -> None:
    """Put the message into Unbound's cache for at most so many seconds, in the place of what is there."""
    rep = message.rep
    rep.ttl, rep.prefetch_ttl = min(rep.ttl, most), min(rep.prefetch_ttl, most)
    rep.authoritative = 0  # Unbound refuses to keep what is.
    ub.storeQueryInCache(qstate, message.qinfo, rep, 0)


def forget(ub: Any, qstate: Any, owners: Sequence[bytes], qtype: int) -> None:
    """Take the messages of these names out of Unbound's cache, whether they are there or not.

    Taking out what is not there would be logged, so it is put there first.
    """
    found = qstate.return_msg
    for owner in owners:
        made = ub.DNSMessage(_text(owner), qtype, wire.IN, ub.PKT_QR | ub.PKT_RA)
        if made.set_return_msg(qstate):
            empty = qstate.return_msg
            empty.rep.ttl = 1
            ub.storeQueryInCache(qstate, empty.qinfo, empty.rep, 0)
            ub.invalidateQueryInCache(qstate, empty.qinfo)
    qstate.return_msg = found


@lru_cache(maxsize=16384)
def _text(name: bytes) -> str:
    """The name as Unbound reads it: absolute, odd octets escaped."""
    return names.to_text(names.from_wire(name)).removesuffix(".") + "."


def _record(owner: bytes, ttl: int, rtype: int, octets: bytes) -> str:
    """A record in the generic form of RFC 3597 §5, in which octets stay what they are."""
    return f"{_text(owner)} {ttl} IN TYPE{rtype} \\# {len(octets)} {octets.hex()}"
