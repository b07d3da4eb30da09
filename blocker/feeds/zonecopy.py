"""A transferred zone as a document: one text for one content, whichever way it came.

A head with the zone's name and its SOA record, then a line for each record, sorted: `owner TYPE data`, with
no TTL. So the whole zone (RFC 5936) and a difference from an earlier document (RFC 1995) make the same octets
of the same version, and a digest that a person accepted names both. A zone has no record twice (RFC 2181 §5);
but of records that list nothing it's kept only that they are there, so such lines stand as often as they are.
Pure.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Self

import dns.rdata
import dns.rdataclass
import dns.rdatatype

from blocker import names
from blocker.rpz.increment import Unusable
from blocker.rpz.transfer import FOREIGN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blocker.rpz.transfer import Record

_TYPES = {1: "A", 5: "CNAME", 28: "AAAA"}  # whatever else there is, is foreign
_UNREAD = b" TXT ?"
_SERIAL = 6  # the place of it in `@ 30 IN SOA mname rname serial …`


def line(record: Record) -> bytes:
    """The record, which is not of the zone's apex, as a line without its end."""
    owner = names.to_text(record.owner)
    if record.rule != FOREIGN:
        return f"{owner} {_TYPES[record.kind]} {record.rule}".encode("ascii")
    if record.alias:
        return f"{owner} CNAME {names.to_text(record.alias)}.".encode("ascii")
    return owner.encode("ascii") + _UNREAD


def document(zone: str, soa: bytes, ttl: int, lines: Iterable[bytes]) -> bytes:
    """The document of a zone with this SOA record (its data in wire form) and these lines, in any order."""
    data = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.SOA, soa, 0, len(soa))
    head = f"$ORIGIN {zone}.\n@ {ttl} IN SOA {data.to_text()}".encode("ascii")
    kept = (
        one
        for before, one in pairwise(chain((b"",), sorted(lines)))
        if one != before or one.endswith(_UNREAD)
    )
    return b"\n".join([head, *kept, b""])


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """An earlier document, from which a difference leads to a later one: its serial, octets and lines."""

    serial: int
    octets: int
    lines: list[bytes] = field(repr=False)

    @classmethod
    def of(cls, octets: bytes) -> Self:
        """What `document` made."""
        _, soa, *lines = octets.split(b"\n")
        return cls(serial=int(soa.split(b" ")[_SERIAL]), octets=len(octets), lines=lines[:-1])


class Edits:
    """The differences from a base, one after another. What contradicts what is there is unusable."""

    def __init__(self, base: Base) -> None:
        self._base = base.lines
        self._counts: dict[bytes, int] = {}  # of every line that was touched

    def add(self, one: bytes) -> None:
        """A record more. Raises Unusable if it is there already."""
        count = self._count(one)
        if count and not one.endswith(_UNREAD):
            raise Unusable("it adds a record that is there already")
        self._counts[one] = count + 1

    def remove(self, one: bytes) -> None:
        """A record less. Raises Unusable if it isn't there."""
        count = self._count(one)
        if not count:
            raise Unusable("it removes a record that isn't there")
        self._counts[one] = count - 1

    def _count(self, one: bytes) -> int:
        if one in self._counts:
            return self._counts[one]
        return bisect_right(self._base, one) - bisect_left(self._base, one)

    def lines(self) -> list[bytes]:
        """What is there now, in no order."""
        touched = self._counts
        kept = [one for one in self._base if one not in touched]
        return [*kept, *(one for one, count in touched.items() for _ in range(count))]
