"""The octets of an update of the zone (RFC 2136), unsigned.

Pure. One message takes the zone from one serial to the next, or nothing happens: its prerequisite is the very
SOA that the zone was last seen with (§2.4.2), so what somebody else changed meanwhile is noticed and not
written over. Millions of records pass through here; an owner is its labels and a pointer to the zone's name.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING

from blocker import names
from blocker.rpz.zone import NODATA, NXDOMAIN, PASSTHRU

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blocker.rpz.delta import Edit

MOST = 60_000
"""Octets of edits in one message: it ends at 65,535 with its head, its SOA records and its signature."""

_A, _CNAME, _SOA, _AAAA, _ANY = 1, 5, 6, 28, 255
_IN = 1
_UPDATE = 5 << 11  # RFC 2136 §2.2: the opcode
_HEAD = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_ORIGIN = b"\xc0\x0c"  # RFC 1035 §4.1.4: the zone's name stands right behind the head
_DELETED = _RECORD.pack(_ANY, _ANY, 0, 0)  # RFC 2136 §2.5.3: all RRsets of the owner

_TARGETS = {NXDOMAIN: b"\0", NODATA: b"\x01*\0", PASSTHRU: names.to_wire(names.to_key("rpz-passthru"))}


def cost(edit: Edit) -> int:
    """The octets that the edit takes in a message, at most."""
    rule = edit.now or ""
    records = rule.count(" ") + 1 if rule else 0
    if edit.was is not None:
        records += 1
    return records * (len(edit.owner) + len(_ORIGIN) + _RECORD.size + 16)


def message(
    *, zone: str, before: bytes, after: bytes, edits: Iterable[Edit], ttl: int, number: int = 0
) -> bytes:
    """The update from the SOA data `before` to `after`, in wire form; `number` is its id."""
    parts = [names.to_wire(names.to_key(zone)), struct.pack("!HH", _SOA, _IN)]
    parts += (_ORIGIN, _RECORD.pack(_SOA, _IN, 0, len(before)), before)
    count = 1
    for edit in edits:
        owner = _owner(edit.owner)
        if edit.was is not None:
            parts += (owner, _DELETED)
            count += 1
        for kind, data in _records(edit.now):
            parts += (owner, _RECORD.pack(kind, _IN, ttl, len(data)), data)
            count += 1
    parts += (_ORIGIN, _RECORD.pack(_SOA, _IN, ttl, len(after)), after)
    return _HEAD.pack(number, _UPDATE, 1, 1, count, 0) + b"".join(parts)


def _owner(key: names.Key) -> bytes:
    return names.to_wire(key)[:-1] + _ORIGIN


def _records(rule: str | None) -> list[tuple[int, bytes]]:
    if rule is None:
        return []
    if rule in _TARGETS:
        return [(_CNAME, _TARGETS[rule])]
    addresses = map(ip_address, rule.split(" "))
    return [(_A if one.version == 4 else _AAAA, one.packed) for one in addresses]


def soa(zone_soa: str) -> bytes:
    """The data of a SOA record in wire form, from the text that `zone.soa` makes."""
    server, mail, *numbers = zone_soa.split(" ")
    return b"".join(
        names.to_wire(names.to_key(name.removesuffix("."))) for name in (server, mail)
    ) + struct.pack("!5I", *map(int, numbers))
