"""The answer to "what changed since version n of the zone?" (RFC 1995), read record by record.

Pure. The answer begins with the SOA record of the version it leads to. Then comes either the whole zone, as a
transfer has it, or one difference sequence or more: the SOA record of the version before, what is gone, the
SOA record of the version after, what is new; and at last the first SOA record again (§4). Nothing is believed
that doesn't begin at the version held and lead, step by step, to the one asked for: then the whole zone is to
be transferred.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from blocker.rpz.transfer import SOA

if TYPE_CHECKING:
    from blocker.rpz.transfer import Record

_RECORD_OCTETS = 12  # of any record, without its owner's labels and its data


class Unusable(Exception):
    """The difference can't be used, for this reason; the whole zone can."""


class Part(Enum):
    """What a record of the answer is."""

    HEAD = "the SOA record of some version"
    GONE = "in the version before, not in the one after"
    NEW = "in the version after, not in the one before"
    WHOLE = "of the whole zone"


class Increment:
    """An answer: of `held` and `final`, serials that differ; no more than `most` octets of differences."""

    def __init__(self, held: int, final: int, most: int) -> None:
        self._version, self._final, self._left = held, final, most
        self._part: Part | None = None
        self.is_over = False

    def take(self, record: Record) -> Part:
        """The next record. Raises Unusable."""
        if self.is_over:
            raise Unusable("it goes on behind its end")
        if self._part is not Part.WHOLE:
            self._left -= _RECORD_OCTETS + len(record.owner) + len(record.alias)
            if self._left < 0:
                raise Unusable("it is longer than the zone")
        if record.kind == SOA and not record.owner:
            self._part = self._head(record.serial)
            return Part.HEAD
        if self._part is None:
            raise Unusable("it does not begin with an SOA record")
        if self._part is Part.HEAD:
            self._part = Part.WHOLE
        return self._part

    def _head(self, serial: int) -> Part:
        """What comes behind this SOA record."""
        if self._part is None or self._part is Part.WHOLE:
            # One SOA record alone, of the version held or an older one, says that none is newer (§2).
            if serial != self._final:
                raise Unusable(f"it leads to serial {serial}, not {self._final}")
            self.is_over = self._part is Part.WHOLE
            return self._part or Part.HEAD
        if self._part is Part.GONE:
            self._version = serial
            return Part.NEW
        if serial != self._version:
            raise Unusable(f"a sequence begins at serial {serial}, not {self._version}")
        self.is_over = serial == self._final
        return Part.GONE
