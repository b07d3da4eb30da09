"""CERT Polska's list of dangerous domains (`cert-pl`): a JSON list of entries.

An entry has `RegisterPositionId`, `DomainAddress`, `InsertDate` and `DeleteDate`, which alone says that the
name is no longer listed: absence says nothing. A name may come back under another number. Times without a
zone are Warsaw's. Pure.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from blocker.feeds.extract import Damaged, Edition

if TYPE_CHECKING:
    from blocker.feeds.extract import Extract, Rows

_WARSAW = ZoneInfo("Europe/Warsaw")
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_KEYS = ("RegisterPositionId", "DomainAddress", "InsertDate")


def read(octets: bytes, rows: Rows) -> Extract:
    """The list. Raises Damaged."""
    numbers = set[int]()
    newest = datetime.min.replace(tzinfo=UTC)
    for place, entry in enumerate(_entries(octets), 1):
        number = _number(entry, place)
        if number in numbers:
            raise Damaged("feed-row-twice", f"two entries have the number {number}; fetch the list anew.")
        numbers.add(number)
        since = _moment(entry, "InsertDate", number)
        until = _moment(entry, "DeleteDate", number) if entry.get("DeleteDate") else None
        newest = max(newest, since, until or since)
        # There are no lines to tell in JSON: an entry's number stands for one.
        rows.entry(entry["DomainAddress"], number, since, until)
    return rows.extract(
        edition=Edition((int(newest.timestamp()),), newest.isoformat(), at=newest.timestamp())
    )


def _entries(octets: bytes) -> list[dict[str, Any]]:
    try:
        entries = json.loads(octets.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_pairs)
    except UnicodeDecodeError as error:
        raise Damaged(
            "feed-charset", "the list is not UTF-8; fetch it anew.", octets.count(b"\n", 0, error.start) + 1
        ) from error
    except json.JSONDecodeError as error:
        cut = error.pos >= len(error.doc.rstrip()) - 1 or "Unterminated" in error.msg
        raise Damaged(
            "feed-cut-off" if cut else "feed-format",
            f"the list {'ends before its end' if cut else 'is not JSON'} ({error.msg}); fetch it anew.",
            error.lineno,
        ) from error
    except RecursionError as error:
        raise Damaged(
            "feed-too-deep", "the list is nested deeper than its two levels; fetch it anew."
        ) from error
    except ValueError as error:
        raise Damaged(
            "feed-format", f"the list is not what CERT Polska writes ({error}); fetch it anew."
        ) from error
    if not isinstance(entries, list):
        raise Damaged("feed-header", "the document is not a list of entries; fetch it anew.")
    if not entries:
        raise Damaged("feed-empty", "the list has no entry; fetch it anew.")
    return entries


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} in it")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice in one entry")
    return found


def _number(entry: Any, place: int) -> int:
    """The entry's number, if it is an entry."""
    right = isinstance(entry, dict) and all(key in entry for key in _KEYS)
    if right:
        number = entry["RegisterPositionId"]
        if (
            isinstance(number, int)
            and not isinstance(number, bool)
            and isinstance(entry["DomainAddress"], str)
        ):
            return number
    raise Damaged(
        "feed-format",
        f"the entry at place {place:,} does not have {', '.join(_KEYS)} as the list has them; fetch it anew.",
    )


def _moment(entry: dict[str, Any], key: str, number: int) -> datetime:
    written = entry[key]
    found = _TIME.fullmatch(written) if isinstance(written, str) else None
    try:
        when = datetime.fromisoformat("" if found is None else found[1] + (found[2] or ""))
    except ValueError as error:
        raise Damaged(
            "feed-date",
            f"{key!r} of the entry {number} is {str(written)[:40]!r}, not a time such as "
            "2026-01-10T12:00:00; fetch the list anew.",
        ) from error
    return when if when.tzinfo is not None else when.replace(tzinfo=_WARSAW)
