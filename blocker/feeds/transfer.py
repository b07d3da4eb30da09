"""A feed's zone from its primary, signed with TSIG both ways (RFC 8945). A shell.

The records are kept as the text of a zone, which is the document: what was transferred can be kept, digested
and read again. If the document of an earlier version is held, what changed since is asked for (RFC 1995);
whatever is said instead, or isn't so, has no further effect than that the whole zone is (RFC 5936). Without
the record that ends a transfer there is no document, nor if a signature is wrong.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from blocker import bounded
from blocker.errors import OrdersInvalid, PointError, Problem
from blocker.feeds import basing, zonecopy
from blocker.feeds.fetch import Validators
from blocker.feeds.mint import Source
from blocker.feeds.zonecopy import Edits
from blocker.orders.files import MAX_LIST_OCTETS
from blocker.rpz import keyfile
from blocker.rpz.exchange import Session, Untrusted
from blocker.rpz.increment import Part, Unusable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from blocker.feeds.contract import Axfr
    from blocker.feeds.zonecopy import Base
    from blocker.rpz.keyfile import SigningKey
    from blocker.rpz.transfer import Record

WHOLE_AFTER = 7 * 24 * 3600
"""Seconds after which the whole zone is transferred again, also under the same serial: else one that was
built anew under a serial that it had would differ from what is held for ever, and nobody would know.
"""

_MORE_OCTETS = 1 << 20
"""How much longer than the document it starts from a difference may be."""

_KEY = bounded.Words(
    unreadable="rpz-key-missing",
    irregular="rpz-key-missing",
    large="rpz-key-missing",
    too_large="the file is too large for a key; name the file of the TSIG key.",
)


def from_primary(source: Axfr, at: int, known: Validators, held: Path) -> tuple[Source | None, Validators]:
    """The zone as text, None if it still has the serial `known` (as a tag), and what to ask with next.

    `at` is now, in epoch seconds. `held` is the file of the document that the next difference begins with;
    it is of no use WHOLE_AFTER a whole zone was transferred. Raises OrdersInvalid for the key
    file, PointError for what the primary does.
    """
    key = _key(source.key)
    place = f"{source.zone} at {source.primary}"
    with Session(source.primary, source.zone, key) as session:
        soa, serial, ttl = session.soa()
        validators = Validators(etag=f"serial {serial}")
        whole = basing.whole_at(held)
        if whole is None or not 0 <= at - whole < WHOLE_AFTER:
            lines, whole = None, at
        elif known == validators:
            return None, known
        else:
            base = basing.read(held, place, whole)
            lines = _changed(place, session, base, serial) if base is not None else None
        if lines is None:
            lines, whole = _whole(place, session.transfer(serial)), at
        session.close()  # Whoever serves may have closed it after the transfer (RFC 7766 §6.2.3).
        if session.soa()[1] != serial:
            raise PointError(f"{place}: it changed while it was transferred; it is fetched anew next time")
    octets = zonecopy.document(source.zone, soa, ttl, lines)
    if len(octets) > MAX_LIST_OCTETS:
        raise _too_large(place)
    basing.keep(held, place, whole, octets)
    return Source(octets=octets, place=place, at=at), validators


def _whole(place: str, records: Iterable[Record]) -> list[bytes]:
    """The lines of the whole zone. Raises PointError if there are more than any document may have."""
    lines, left = [], MAX_LIST_OCTETS
    for record in records:
        if record.owner:
            lines.append(line := zonecopy.line(record))
            left -= len(line) + 1
            if left < 0:
                raise _too_large(place)
    return lines


def _changed(place: str, session: Session, base: Base, serial: int) -> list[bytes] | None:
    """The lines of the zone's version `serial` by what changed; None if the whole zone must be asked for."""
    if base.serial == serial:
        return base.lines
    edits = Edits(base)
    answer = session.increment(base.serial, serial, base.octets + _MORE_OCTETS)
    try:
        for part, record in answer:
            if part is Part.WHOLE:
                return _whole(place, chain((record,), (one for _, one in answer)))
            if part is not Part.HEAD and record.owner:
                (edits.add if part is Part.NEW else edits.remove)(zonecopy.line(record))
    except Untrusted:
        raise
    except (Unusable, PointError):
        session.close()  # Whatever else comes on this connection belongs to that answer.
        return None
    return edits.lines()


def _too_large(place: str) -> PointError:
    return PointError(f"{place}: the zone is larger than 512 MiB as text; no order can hold it")


def _key(path: Path) -> SigningKey:
    shown = bounded.printable(path)
    try:
        return keyfile.parse(bounded.octets(path, 1 << 16, _KEY).decode("utf-8"))
    except bounded.Refused as refused:
        raise OrdersInvalid([Problem(id=refused.id, path=shown, message=str(refused))]) from refused
    except (keyfile.KeyInvalid, UnicodeDecodeError) as error:
        raise OrdersInvalid([Problem(id="rpz-key-missing", path=shown, message=f"{error}.")]) from error
