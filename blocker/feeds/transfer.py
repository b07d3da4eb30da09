"""A feed's zone from its primary (RFC 5936), signed with TSIG both ways (RFC 8945). A shell.

The records are read one by one and kept as the text of a zone, which is the document: what was transferred
can be kept, digested and read again. Without the record that ends a transfer there is no document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dns.rdata
import dns.rdataclass
import dns.rdatatype

from blocker import bounded, names
from blocker.errors import OrdersInvalid, PointError, Problem
from blocker.feeds.fetch import Validators
from blocker.feeds.mint import Source
from blocker.orders.files import MAX_LIST_OCTETS
from blocker.rpz import keyfile
from blocker.rpz.exchange import Session
from blocker.rpz.transfer import FOREIGN

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.feeds.contract import Axfr
    from blocker.rpz.keyfile import SigningKey
    from blocker.rpz.transfer import Record

_KEY = bounded.Words(
    unreadable="rpz-key-missing",
    irregular="rpz-key-missing",
    large="rpz-key-missing",
    too_large="the file is too large for a key; name the file of the TSIG key.",
)


def from_primary(source: Axfr, at: int, known: Validators) -> tuple[Source | None, Validators]:
    """The zone as text, None if it still has the serial `known` (as a tag), and what to ask with next.

    Raises OrdersInvalid for the key file, PointError for what the primary does.
    """
    key = _key(source.key)
    place = f"{source.zone} at {source.primary}"
    with Session(source.primary, source.zone, key) as session:
        soa, serial, ttl = session.soa()
        validators = Validators(etag=f"serial {serial}")
        if known == validators:
            return None, known
        held = bytearray(_head(source.zone, soa, ttl).encode("ascii"))
        for record in (one for one in session.transfer() if one.owner):
            held += f"{names.to_text(record.owner)} {_data(record)}\n".encode("ascii")
            if len(held) > MAX_LIST_OCTETS:
                raise PointError(f"{place}: the zone is larger than 512 MiB as text; no order can hold it")
        if session.soa()[1] != serial:
            raise PointError(
                f"{place}: the zone changed while it was transferred; it is fetched anew next time"
            )
    return Source(octets=bytes(held), place=place, at=at), validators


def _head(zone: str, soa: bytes, ttl: int) -> str:
    data = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.SOA, soa, 0, len(soa))
    return f"$ORIGIN {zone}.\n@ {ttl} IN SOA {data.to_text()}\n"


def _data(record: Record) -> str:
    """The record's type and data. Of types that list nothing only the type is kept."""
    if record.rule == FOREIGN:
        return f"CNAME {names.to_text(record.alias)}." if record.alias else "TXT ?"
    if record.kind == dns.rdatatype.CNAME:
        return f"CNAME {record.rule}"
    return f"{dns.rdatatype.to_text(dns.rdatatype.RdataType(record.kind))} {record.rule}"


def _key(path: Path) -> SigningKey:
    shown = bounded.printable(path)
    try:
        return keyfile.parse(bounded.octets(path, 1 << 16, _KEY).decode("utf-8"))
    except bounded.Refused as refused:
        raise OrdersInvalid([Problem(id=refused.id, path=shown, message=str(refused))]) from refused
    except (keyfile.KeyInvalid, UnicodeDecodeError) as error:
        raise OrdersInvalid([Problem(id="rpz-key-missing", path=shown, message=f"{error}.")]) from error
