"""Unbound's messages as `unbound` needs them: read, made, shortened, taken out of its cache.

`ub` is Unbound's own `unboundmodule`, `qstate`, `message` (`qstate.return_msg`) and `rep` are pointers of it:
without types, and good during one call alone. Names are in wire form and lower case, TTLs in seconds. Nothing
here decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from blocker import names
from blocker.orders.model import Form
from blocker.resolver import answer, chain, wire

if TYPE_CHECKING:
    from collections.abc import Sequence

Options = tuple[tuple[int, bytearray], ...]
"""Codes and octets, in the type that Unbound takes them in."""

_ALIASING = (wire.CNAME, wire.DNAME)
_INDETERMINATE = 2  # As its security; 0, not yet looked at, would be SERVFAIL under a validator.


def received(ub: Any, rep: Any, qname: bytes, qtype: int) -> chain.Chain | None:
    """The alias chain of what was found for the question; None if there is none. Raises wire.Malformed."""
    rrsets = rep.rrsets
    keys = [rrsets[number].rk for number in range(rep.an_numrrsets)]
    kinds = [ub.ntohs(key.type) for key in keys]
    if not any(kind in _ALIASING for kind in kinds):
        return None
    owners = [bytes(key.dname).lower() for key in keys]
    links = []
    for number, (kind, owner) in enumerate(zip(kinds, owners, strict=True)):
        if kind in _ALIASING:
            data = rrsets[number].entry.data
            for at in range(data.count):
                octets = bytes(data.rr_data[at])
                target = chain.target_of(octets, 2, len(octets))  # after their length
                links.append(chain.Link(owner=owner, rtype=kind, ttl=data.rr_ttl[at], target=target))
    return chain.follow(links, set(owners), qname, qtype)


class Shape(NamedTuple):
    """The blocked answer without its name, good for every name that has the same verdict.

    `answer` and `authority` hold what follows the owner in each record, `edes` the EDE options.
    """

    rcode: int
    answer: tuple[str, ...]
    authority: tuple[str, ...]
    edes: Options


def shape(said: answer.Block, qtype: int) -> Shape:
    """The answer that says so."""
    addresses = _addresses(said, qtype)
    # Only denials are kept by an SOA.
    is_denial = not addresses and said.form is not Form.REFUSED
    return Shape(
        rcode=answer.RCODES[said.form],
        answer=tuple(_rest(said.ttl, qtype, octets) for octets in addresses),
        authority=(_rest(said.ttl, wire.SOA, answer.soa(said.ttl)),) if is_denial else (),
        edes=edes(said, qtype),
    )


def give(
    ub: Any,
    qstate: Any,
    question: tuple[bytes, int],
    shape: Shape,
    *,
    links: Sequence[chain.Link] = (),
    owner: bytes = b"",
) -> None:
    """Make this answer the query's. Raises RuntimeError if Unbound doesn't take it.

    `links` lead from the question's name to the blocked `owner`; without any it is blocked itself.
    """
    qname, qtype = question
    name = _text(qname)
    at = _text(owner) if links else name
    records = [_text(link.owner) + _rest(link.ttl, link.rtype, link.target) for link in links]
    records += [at + rest for rest in shape.answer]
    authority = [at + rest for rest in shape.authority]
    flags = ub.PKT_QR | ub.PKT_RA | ub.PKT_RD
    # Not by its DNSMessage, which keeps all this for another time.
    if not ub.set_return_msg(qstate, name, qtype, wire.IN, flags, 0, [], records, authority, []):
        raise RuntimeError("Unbound could not make the answer to a blocked name")
    rep = qstate.return_msg.rep
    rep.flags = wire.QR | wire.RA | wire.RD | shape.rcode
    rep.security = _INDETERMINATE
    qstate.return_rcode = wire.NOERROR
    explain(ub, shape.edes, qstate.edns_opts_front_out, qstate.region)


def _addresses(said: answer.Block, qtype: int) -> list[bytes]:
    """The addresses, packed, that the answer has for this query type."""
    version = {wire.A: 4, wire.AAAA: 6}.get(qtype)
    return [address.packed for address in said.addresses if address.version == version]


def edes(said: answer.Block, qtype: int) -> Options:
    """The EDE options (RFC 8914): 16 with the reason, 4 beside it for a made-up address."""
    found = [answer.ede(answer.EDE_CENSORED, said.text)]
    if _addresses(said, qtype):
        found.append(answer.ede(answer.EDE_FORGED))
    return tuple((code, bytearray(octets)) for code, octets in found)


def is_said(rep: Any, said: answer.Block, qtype: int) -> bool:
    """Whether an answer without error has no records, or none but those addresses for this query type."""
    if rep is None:
        return True
    ordered = _addresses(said, qtype)
    for at in range(rep.an_numrrsets):
        data = rep.rrsets[at].entry.data
        # After their length, of two octets.
        if any(bytes(data.rr_data[number])[2:] not in ordered for number in range(data.count)):
            return False
    return True


def explain(ub: Any, found: Options, options: Any, region: Any) -> None:
    """Add EDE options to a list that Unbound keeps in `region`."""
    for code, octets in found:
        ub.edns_opt_list_append(options, code, octets, region)


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
    rep.authoritative = 0  # As in `take_back`.
    ub.storeQueryInCache(qstate, message.qinfo, rep, 0)


def take_back(ub: Any, qstate: Any, message: Any) -> None:
    """Take the message and each of its records out of Unbound's cache, whether it is there or not.

    With them goes every other message that refers to one of these records: an alias of the same name. Taking
    out what is not there would be logged and would leave the records, so it is put there first.
    """
    rep = message.rep
    ttl, rep.ttl = rep.ttl, max(rep.ttl, 1)
    rep.authoritative = 0  # Unbound refuses to keep what is.
    ub.storeQueryInCache(qstate, message.qinfo, rep, 0)
    ub.invalidateQueryInCache(qstate, message.qinfo)
    rep.ttl = ttl


def keep_links(ub: Any, qstate: Any, message: Any, links: Sequence[chain.Link]) -> None:
    """Put the leading records of the message that are such links into Unbound's cache, nothing else of it."""
    rep = message.rep
    owners = {link.owner for link in links}
    leading = 0
    while leading < rep.an_numrrsets and bytes(rep.rrsets[leading].rk.dname).lower() in owners:
        leading += 1
    whole = (rep.ttl, rep.an_numrrsets, rep.ns_numrrsets, rep.ar_numrrsets, rep.rrset_count)
    # Of a message without TTL Unbound keeps the records alone.
    rep.ttl, rep.an_numrrsets, rep.ns_numrrsets, rep.ar_numrrsets, rep.rrset_count = 0, leading, 0, 0, leading
    ub.storeQueryInCache(qstate, message.qinfo, rep, 0)
    rep.ttl, rep.an_numrrsets, rep.ns_numrrsets, rep.ar_numrrsets, rep.rrset_count = whole


def forget(ub: Any, qstate: Any, owners: Sequence[bytes], qtype: int) -> None:
    """Take the messages of these names out of Unbound's cache; what records they had stay."""
    found = qstate.return_msg
    for owner in owners:
        made = ub.DNSMessage(_text(owner), qtype, wire.IN, ub.PKT_QR | ub.PKT_RA)
        if made.set_return_msg(qstate):
            take_back(ub, qstate, qstate.return_msg)
    qstate.return_msg = found


def _text(name: bytes) -> str:
    """The name as Unbound reads it: absolute, odd octets escaped."""
    return names.to_text(names.from_wire(name)).removesuffix(".") + "."


def _rest(ttl: int, rtype: int, octets: bytes) -> str:
    """A record after its owner, in the generic form of RFC 3597 §5, in which octets stay what they are."""
    return f" {ttl} IN TYPE{rtype} \\# {len(octets)} {octets.hex()}"
