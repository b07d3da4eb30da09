"""One message of a zone transfer (RFC 5936), read record by record.

Pure. Millions of records come this way when a primary has to be read anew, so only what a policy zone may
hold is understood: everything else is foreign, and what is malformed is refused. Signatures are the caller's.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple

from blocker import names
from blocker.names import ROOT, Key
from blocker.rpz.zone import NODATA, NXDOMAIN, PASSTHRU, STAR

if TYPE_CHECKING:
    from collections.abc import Iterator

FOREIGN = "?"
"""The rule of an owner that has what we never write: it differs from all we want."""

SOA, TSIG = 6, 250
_A, _NS, _CNAME, _AAAA = 1, 2, 5, 28
_HEAD = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_NUMBERS = struct.Struct("!5I")
_QUESTION = 4
_MOST_LABELS = 127

_RULES = {ROOT: NXDOMAIN, Key(STAR): NODATA, names.to_key(PASSTHRU[:-1]): PASSTHRU}


class Malformed(ValueError):
    """The octets are no message of a transfer."""


class Record(NamedTuple):
    """One record: its owner within the zone, its type, its rule and its TTL; NS records are left out.

    `alias` is where a CNAME leads that is none of our rules, `serial` that of an SOA record.
    """

    owner: Key
    kind: int
    rule: str
    ttl: int
    alias: Key = ROOT
    serial: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Where the TSIG record stands: the record, its data, and how long that is."""

    at: int
    data: int
    octets: int
    owner: Key


class Message:
    """A message of the transfer of a zone, whose key is `zone`. Raises Malformed."""

    def __init__(self, wire: bytes, zone: Key) -> None:
        self._wire, self._zone = wire, zone
        self._names: dict[int, Key] = {}
        try:
            self.number, flags, questions, self._answers, others, more = _HEAD.unpack_from(wire)
            self.rcode = flags & 0xF
            at = _HEAD.size
            for _ in range(questions):
                at = self._name(at)[1] + _QUESTION
            self._start = at
            self.records = list(self._records())
            self.signature = self._signature(others + more)
        except (struct.error, IndexError) as error:
            raise Malformed("it ends midway") from error

    def _records(self) -> Iterator[Record]:
        wire, zone, at = self._wire, self._zone, self._start
        for _ in range(self._answers):
            owner, at = self._name(at)
            kind, _, ttl, octets = _RECORD.unpack_from(wire, at)
            at += _RECORD.size
            if at + octets > len(wire):
                raise Malformed("a record ends midway")
            if not owner.startswith(zone):
                raise Malformed("it has records of another zone")
            if kind != _NS or owner != zone:
                rule = self._rule(kind, at, octets)
                alias = self._name(at)[0] if rule == FOREIGN and kind == _CNAME else ROOT
                serial = self._serial(at, octets) if kind == SOA else 0
                yield Record(Key(owner[len(zone) :]), kind, rule, ttl, alias, serial)
            at += octets
        self._start = at

    def _signature(self, count: int) -> Signature | None:
        """The last record behind the answers, if it is one."""
        at, found = self._start, None
        for _ in range(count):
            begin = at
            owner, at = self._name(at)
            kind, _, _, octets = _RECORD.unpack_from(self._wire, at)
            at += _RECORD.size
            found = Signature(at=begin, data=at, octets=octets, owner=owner) if kind == TSIG else None
            at += octets
        if at != len(self._wire):
            raise Malformed("it has another length than it says")
        return found

    def _rule(self, kind: int, at: int, octets: int) -> str:
        if kind == _CNAME:
            target, end = self._name(at)
            if end == at + octets:
                return _RULES.get(target, FOREIGN)
        elif kind == _A and octets == 4:
            return str(IPv4Address(self._wire[at : at + 4]))
        elif kind == _AAAA and octets == 16:
            return str(IPv6Address(self._wire[at : at + 16]))
        return FOREIGN

    def _serial(self, at: int, octets: int) -> int:
        """The first of the five numbers behind an SOA record's names (RFC 1035 §3.3.13)."""
        if octets < _NUMBERS.size + 2:
            raise Malformed("an SOA record is too short")
        found: int = _NUMBERS.unpack_from(self._wire, at + octets - _NUMBERS.size)[0]
        return found

    def _name(self, at: int) -> tuple[Key, int]:
        """The key of the name that begins there, in lower case, and where it ends (RFC 1035 §4.1.4).

        A pointer may lead to any name before it, also to one in data that isn't read here. Each leads to
        before where the last one led, so there are no circles.
        """
        wire, known = self._wire, self._names
        labels: list[tuple[int, bytes]] = []
        key: Key | None = None
        begin, end = at, 0
        while key is None:
            length = wire[at]
            if length == 0:
                key, end = ROOT, end or at + 1
            elif length < 64:
                labels.append((at, wire[at : at + 1 + length]))
                at += 1 + length
            elif length >= 0xC0:
                to, end = (length & 0x3F) << 8 | wire[at + 1], end or at + 2
                if to >= begin:
                    raise Malformed("a name leads nowhere")
                key, begin, at = known.get(to), to, to
            else:
                raise Malformed("a label is of no kind there is")
            if len(labels) > _MOST_LABELS:
                raise Malformed("a name is longer than 255 octets")
        for place, label in reversed(labels):
            key = known[place] = Key(key + label.lower())
        if len(key) > 254:
            raise Malformed("a name is longer than 255 octets")
        return key, end
