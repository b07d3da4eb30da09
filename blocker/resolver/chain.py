"""What upstream said, taken apart: the alias chain, the TTLs, and how long it may be kept.

An answer is a chain of owners from the question on, each step a CNAME (RFC 1034 §3.6.2) or a DNAME with or
without its synthesised CNAME (RFC 6672 §3), and data at its end. Who decides looks at every owner of the
chain in turn. Owners that are not in the chain have no business in an answer: they are kept apart as
`strays`, so that nobody slips a name past the decision. A DNAME's own owner is not asked for and so not
decided: a directive for that name alone says nothing of the names below it.

The additional section is dropped: it is optional (RFC 2181 §9) and could carry a blocked name's addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from blocker import names
from blocker.resolver import wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_LINKS = 16
LONGEST = 86400
"""Seconds that anything is kept at most."""

_MOST_EDE_OCTETS = 256
_MOST_EDES = 3
_ALIASED = frozenset({wire.CNAME, wire.DNAME, wire.ANY})
_NO_DATA = frozenset({wire.CNAME, wire.RRSIG})
_MINIMUM = Struct("!I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One step of an alias chain: a CNAME or DNAME. Names in wire form and lower case, ttl in seconds."""

    owner: bytes
    rtype: int
    ttl: int
    target: bytes


class Chain(NamedTuple):
    """`owners` are the names of the chain, the qname first, in wire form; `keys` are theirs.

    `links[n]` are the records that lead from `owners[n]` to `owners[n + 1]`.
    """

    owners: tuple[bytes, ...]
    keys: tuple[names.Key, ...]
    links: tuple[tuple[Link, ...], ...]
    strays: tuple[names.Key, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One usable message from upstream.

    `octets` end with the authority section; `counts` are of answer and authority; `ttls` the offsets and
    values of their TTLs (seconds). `owners`, `keys`, `links` and `strays` are those of its Chain. `tc`: it
    is cut off. `edes` are upstream's own. `lifetime` is for how many seconds it may be kept, 0 not at all.
    """

    rcode: int
    octets: bytes
    counts: tuple[int, int]
    ttls: tuple[tuple[int, int], ...]
    owners: tuple[bytes, ...]
    keys: tuple[names.Key, ...]
    links: tuple[tuple[Link, ...], ...]
    strays: tuple[names.Key, ...]
    ad: bool
    tc: bool
    edes: tuple[tuple[int, bytes], ...]
    lifetime: int


def receive(message: bytes, question: bytes) -> Received:
    """Take apart the response to our question (its octets: name, type, class).

    Raises Malformed for what answers no such question, for a chain of more than 16 links and for a loop.
    """
    head = wire.header(message)
    if not head.flags & wire.QR or head.flags & wire.OPCODE or head.counts[0] != 1:
        raise wire.Malformed("not a response with one question")
    start = wire.question_end(message)
    if message[12:start].lower() != question.lower():
        raise wire.Malformed("a response to another question")
    qtype = int.from_bytes(question[-4:-2], "big")
    found = wire.records(message, start, head.counts)
    edns = wire.edns_of(message, found)
    kept = [record for record in found if record.section < 3]
    end = kept[-1].end if kept else start
    answers = [record for record in kept if record.section == 1]
    rcode = head.flags & 0xF | (edns.rcode << 4 if edns else 0)
    owners, keys, links, strays = follow(
        _links(message, answers), {record.owner for record in answers}, question[:-4].lower(), qtype
    )
    negative = _negative_ttl(message, kept, owners[-1])
    ttls = tuple(
        (
            record.ttl_at,
            min(record.ttl, negative) if record.rtype == wire.SOA and record.section == 2 else record.ttl,
        )
        for record in kept
    )
    has_data = any(
        record.owner == owners[-1] and (record.rtype == qtype or record.rtype not in _NO_DATA)
        for record in answers
    )
    is_kept = rcode in (wire.NOERROR, wire.NXDOMAIN) and not head.flags & wire.TC
    is_kept = is_kept and not strays and (negative > 0 or (has_data and rcode == wire.NOERROR))
    return Received(
        rcode=rcode,
        octets=message[:end],
        counts=(len(answers), len(kept) - len(answers)),
        ttls=ttls,
        owners=owners,
        keys=keys,
        links=links,
        strays=strays,
        ad=bool(head.flags & wire.AD),
        tc=bool(head.flags & wire.TC),
        edes=_edes(edns),
        lifetime=min((LONGEST, *(ttl for _, ttl in ttls))) if is_kept else 0,
    )


def follow(found: Iterable[Link], present: set[bytes], qname: bytes, qtype: int) -> Chain:
    """The chain that begins at the question. `found` are the aliases of the answer, `present` all its owners.

    Raises Malformed for two aliases of one name, for more than 16 links and for a loop.
    """
    aliases: dict[int, dict[bytes, Link]] = {wire.CNAME: {}, wire.DNAME: {}}
    for link in found:
        if aliases[link.rtype].setdefault(link.owner, link).target != link.target:
            raise wire.Malformed("two aliases of one name")  # RFC 2181 §10.1
    owners, links = _steps(aliases, qname, qtype)
    dnames = {link.owner for step in links for link in step if link.rtype == wire.DNAME}
    return Chain(
        owners=tuple(owners),
        keys=tuple(names.from_wire(owner) for owner in owners),
        links=tuple(links),
        strays=tuple(sorted(names.from_wire(owner) for owner in present - set(owners) - dnames)),
    )


def _steps(
    aliases: dict[int, dict[bytes, Link]], qname: bytes, qtype: int
) -> tuple[list[bytes], list[tuple[Link, ...]]]:
    """The owners from the question on, and the links between them."""
    owners: list[bytes] = [qname]
    links: list[tuple[Link, ...]] = []
    while True:
        owner = owners[-1]
        dname = next(
            (aliases[wire.DNAME][above] for above in _above(owner) if above in aliases[wire.DNAME]), None
        )
        cname = aliases[wire.CNAME].get(owner)
        if qtype in _ALIASED and dname is None:  # The alias itself is what was asked for.
            return owners, links
        if cname is not None:
            step, target = ((dname, cname) if dname else (cname,)), cname.target
        elif dname is not None:
            step, target = (dname,), owner[: len(owner) - len(dname.owner)] + dname.target
            if len(target) > 255:  # RFC 6672 §2.2: the answer is YXDOMAIN and ends here.
                return owners, links
        else:
            return owners, links
        if target in owners or len(links) == MOST_LINKS:
            raise wire.Malformed(f"an alias chain that loops or has more than {MOST_LINKS} links")
        owners.append(target)
        links.append(step)


def _links(message: bytes, answers: list[wire.Record]) -> Iterator[Link]:
    for record in answers:
        if record.rtype in (wire.CNAME, wire.DNAME) and record.rclass == wire.IN:
            target = target_of(message, record.data_at, record.end)
            yield Link(owner=record.owner, rtype=record.rtype, ttl=record.ttl, target=target)


def target_of(message: bytes, at: int, end: int) -> bytes:
    """What an alias leads to whose data stand between these offsets. Raises Malformed."""
    target, found = wire.name_at(message, at)
    if found != end:
        raise wire.Malformed("an alias has one target")
    return target


def _above(owner: bytes) -> list[bytes]:
    """The strict ancestors, nearest first, without the root."""
    found, at = [], 0
    while owner[at]:
        at += 1 + owner[at]
        found.append(owner[at:])
    return found[:-1]


def _negative_ttl(message: bytes, kept: list[wire.Record], last: bytes) -> int:
    """RFC 2308 §5: the lesser of the SOA's TTL and its minimum; 0 without an SOA that speaks for the name."""
    speakers = {last, b"\0", *_above(last)}
    for record in kept:
        if record.section == 2 and record.rtype == wire.SOA and record.owner in speakers:
            if record.end - record.data_at < 22:
                raise wire.Malformed("an SOA is cut off")
            return min(record.ttl, int(_MINIMUM.unpack_from(message, record.end - 4)[0]))
    return 0


def _edes(edns: wire.Edns | None) -> tuple[tuple[int, bytes], ...]:
    """What upstream explains, as far as it is short enough to be passed on."""
    found = [option for option in (edns.options if edns else ()) if option[0] == wire.OPTION_EDE]
    return tuple(option for option in found if 2 <= len(option[1]) <= _MOST_EDE_OCTETS)[:_MOST_EDES]
