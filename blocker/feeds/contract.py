"""What a feed promises, and whether a document keeps it.

The Feed is one entry of feeds.yaml: the envelope of the orders that are made of it, and what its documents
are held to. A document that breaks a promise changes nothing at all: it neither lifts nor adds, the last good
one stands. Some promises a person may waive for one document, by its digest (WAIVABLE); a document that is
not whole is never taken. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker.errors import Problem
from blocker.feeds.extract import BELOW, ONLY
from blocker.orders.model import PLAIN, Match

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime
    from pathlib import Path

    from blocker.feeds.difference import Difference
    from blocker.feeds.extract import Extract, Row
    from blocker.orders.model import Action, Authority, Publication
    from blocker.site import Endpoint

WAIVABLE = frozenset(
    {
        "feed-too-few",
        "feed-changed-too-much",
        "feed-older",
        "feed-same-edition",
        "feed-ahead",
        "feed-tail-missing",
        "feed-last-unknown",
        "feed-cuts-others",
    }
)
"""What a person who looked at the document may let past; the others say that it is damaged."""

MOST_AHEAD = 86_400
"""Seconds that a document's newest date may lie after its retrieval: zones and clocks differ."""

MOST_ODD = 10
ODD_ROWS, ODD_ROWS_IF_MANY = 20, 100
"""How many rows may be unreadable before the whole document counts as damaged: one in 20 up to 10 of them,
and one in 100 of a longer list. These are left out, and told.
"""

LEAST_CHANGE = 1
"""Names that may come and go in a list so short that its ratio allows none."""

FEED_CHECKS: dict[str, str] = {
    "feed-unknown": "no feed has this name",
    "feed-source-invalid": "a feed's source is not one its format can be had from",
    "feed-format-unknown": "a format is none that there is an importer for",
    "feed-absence-unknown": "what absence means is neither lifted nor kept",
    "feed-end-unclear": "a feed has neither review_after nor until",
    "duplicate-feed": "two feeds have one name, or one name for their orders",
    "feed-name-invalid": "a feed's name or folder can't be part of an order's id",
    "feed-empty": "the document is empty, or lists no name",
    "feed-too-large": "the document is larger than 512 MiB",
    "feed-html": "a web page came where a list belongs",
    "feed-binary": "the document has octets that no text has",
    "feed-charset": "the document is not UTF-8",
    "feed-cut-off": "the document ends before its end",
    "feed-format": "the document is not of the feed's format",
    "feed-doctype": "an XML document declares a document type, with which entities come",
    "feed-too-deep": "a JSON document is nested deeper than its format",
    "feed-namespace": "an XML document is of another namespace",
    "feed-header": "the head of the document is not what the format has",
    "feed-date": "a date in the document is none",
    "feed-dates-contradict": "entries end before they begin, and count for nothing",
    "feed-later": "warning: entries have dates yet to come, and say nothing until then",
    "feed-row-twice": "two entries have one number",
    "feed-row-unreadable": "rows are neither names, URLs nor addresses: few are left out, many are damage",
    "feed-exception": "a zone exempts a name below one that it lists, which an order made of it can't say",
    "feed-too-few": "the document has fewer names than the feed always has",
    "feed-changed-too-much": "more names came or went at once than the feed allows",
    "feed-older": "the document is older than the last one",
    "feed-same-edition": "the document has the number of the last one, and other names",
    "feed-tail-missing": "the last name of the last document is gone, as when a list is cut off",
    "feed-ahead": "the document has dates that are yet to come",
    "feed-last-unknown": "the last document can't be read, so that a cut-off one can't be told by it",
    "feed-cuts-others": "a name that goes would take along what an order of somebody else added",
    "feed-order-ended": "the feed's order has ended, so that nothing can be added to it",
    "feed-order-ahead": "an order that the feed made is yet to begin, as when a clock was wrong",
    "feed-orders-broken": "the feed's own orders have problems",
    "feed-order-wrong": "the order that the feed's entry makes would be refused",
    "feed-envelope-changed": "warning: the feed's entry is another than its block has, which keeps its own",
    "feed-left-behind": "warning: a block of a feed that is no more stands beside the new one",
    "feed-absent-kept": "warning: names are absent without being said to be lifted, and stay",
    "feed-removed-by-order": "warning: the feed lists names that an order of its own removed",
    "feed-order-exists": "there is a file already where the new order belongs",
    "feed-accept-other": "the document is not the one that was accepted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Axfr:
    """A zone on a primary; `zone` is canonical text, `key` the file of the TSIG key."""

    primary: Endpoint
    zone: str
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One feed. `source` is an https URL, the path of a file, or a zone to transfer.

    `review_after` and `deadline` (seconds) count from the import; `minimum` are names, `max_change` is the
    part of the names that may come, and that may go, at once. `interval` (seconds) lies between two polls.
    `keeps_absent`: a name's absence does not lift it.
    """

    name: str
    format: str
    source: str | Path | Axfr
    folder: str
    authority: Authority
    legal_basis: tuple[str, ...]
    reference: str = ""
    publication: Publication
    regions: tuple[str, ...]
    match: Match = Match.SUBTREE
    action: Action = PLAIN
    review_after: int = 0
    until: datetime | None = None
    deadline: int = 0
    minimum: int
    max_change: float = 0.1
    interval: int = 3600
    keeps_absent: bool = False


def most(feed: Feed, before: int) -> int:
    """How many names may come, and how many may go, at once."""
    return max(LEAST_CHANGE, int(feed.max_change * before))


def judge(
    feed: Feed,
    extract: Extract,
    difference: Difference,
    last: Extract | None,
    before: int,
    *,
    at: float,
    has_end: bool,
) -> list[Problem]:
    """What the document, retrieved `at` (epoch seconds), breaks of the feed's promises. `last` is the last
    good document.

    `before` counts the names that the feed's orders list now. `has_end` says that the format itself tells
    where a document ends.
    """
    found: list[Problem] = []

    def complain(id_: str, message: str, *, line: int = 0) -> None:
        found.append(Problem(id=id_, path=feed.name, message=message, line=line, column=min(line, 1)))

    if _is_damaged(extract, has_end=has_end):
        for id_, row, what in _odd(extract):
            complain(
                id_,
                f"{what}, so the document may be damaged; fetch it anew, or ask its authority.",
                line=row.line,
            )
    if not extract.names:
        # Nothing else is told of it: whatever a person may accept, this would lift a whole register.
        complain(
            "feed-empty",
            "the document lists no name, and would lift all that the feed's orders block; fetch it anew. If "
            "its authority lifted all of it, say so by an order: `blocker new --kind lift --of ORDER`.",
        )
        return found
    if len(extract.names) < feed.minimum:
        complain(
            "feed-too-few",
            f"the document lists {len(extract.names):,} names and the feed promises {feed.minimum:,}; fetch "
            "it anew, or lower 'minimum' if the list is that short.",
        )
    for id_, message in _judge_state(extract, difference, last, at=at, is_known=before > 0, has_end=has_end):
        complain(id_, message)
    allowed = most(feed, before)
    for word, changed in (("new", len(difference.added)), ("gone", len(difference.removed))):
        if before and changed > allowed:
            complain(
                "feed-changed-too-much",
                f"{changed:,} names are {word} at once and the feed allows {allowed:,} of {before:,}; look "
                "at "
                "the document, or raise 'max_change'.",
            )
    return found


def _is_damaged(extract: Extract, *, has_end: bool) -> bool:
    """Whether its odd rows are more than a slip. A format that tells where a document ends holds its rows
    apart, too: there, a broken one is only odd.
    """
    odd = sum(extract.counts.get(kind, 0) for _, kinds, _ in _ODD for kind in kinds)
    allowed = max(extract.rows // ODD_ROWS_IF_MANY, min(extract.rows // ODD_ROWS, MOST_ODD))
    return odd > allowed or (not has_end and extract.counts.get("broken", 0) > 0)


def _odd(extract: Extract) -> Iterator[tuple[str, Row, str]]:
    """The rows that can't be read: the check's id, the first one, and what they are."""
    for id_, kinds, what in _ODD:
        rows = [row for row in extract.skipped if row.kind in kinds]
        if rows:
            count = sum(extract.counts.get(kind, 0) for kind in kinds)
            more = f" and {count - 1:,} more" if count > 1 else ""
            yield id_, rows[0], f"{rows[0].text[:60]!r}{more} {what}"


_ODD = (
    (
        "feed-row-unreadable",
        ("broken", "unreadable"),
        "is neither a name nor a URL nor an address",
    ),
    ("feed-dates-contradict", ("contradicting",), "ends before it begins"),
)


def left_out(extract: Extract, place: str) -> list[Problem]:
    """The rows that a document which is taken all the same doesn't say anything with, or not yet."""
    found = [
        Problem(
            id=id_,
            path=place,
            line=row.line,
            column=1,
            message=f"{what}; it is left out, and a name that such an entry is about stays as it is. "
            "Ask the authority."
            if id_ == "feed-dates-contradict"
            else f"{what}; it is left out, and the rest is taken. Ask the authority.",
        )
        for id_, row, what in _odd(extract)
    ]
    if extract.later:
        first, more = extract.later[0], len(extract.later) - 1
        found.append(
            Problem(
                id="feed-later",
                path=place,
                line=first.line,
                column=1,
                message=f"{first.text[:60]!r}{f' and {more:,} more' if more else ''} has a date yet to come, "
                "which does nothing until then; import the document again at that time.",
                severity="warning",
            )
        )
    return found


def _judge_state(
    extract: Extract,
    difference: Difference,
    last: Extract | None,
    *,
    at: float,
    is_known: bool,
    has_end: bool,
) -> Iterator[tuple[str, str]]:
    """What is wrong with the document beside the last one and the time."""
    if last is not None and last.edition and extract.edition and extract.edition.is_before(last.edition):
        yield (
            "feed-older",
            (
                f"the document is of {extract.edition.text} and the last one of {last.edition.text}; "
                "fetch it anew."
            ),
        )
    if last is not None and extract.edition and extract.edition.is_numbered and difference:
        is_same = last.edition is not None and last.edition.order == extract.edition.order
        if is_same and extract.names.keys() != last.names.keys():
            yield (
                "feed-same-edition",
                (
                    f"the document is of {extract.edition.text}, as the last one is, but lists other names; "
                    "fetch it anew, or ask its authority."
                ),
            )
    if extract.edition and extract.edition.at is not None and extract.edition.at > at + MOST_AHEAD:
        yield (
            "feed-ahead",
            (
                f"the document has the date {extract.edition.text}, which is yet to come, by more "
                "than clocks differ; ask its authority."
            ),
        )
    if last is None and is_known and difference:
        yield (
            "feed-last-unknown",
            (
                "the document of the feed's last order is gone or can't be read, so nothing tells whether "
                "this one is older or cut off; restore it."
            ),
        )
    if difference.crossed:
        yield (
            "feed-cuts-others",
            (
                f"{shown(difference.crossed)} would no longer be blocked with what is gone, though an amend "
                "that the feed didn't make added it; write that as a block of its own."
            ),
        )
    if not has_end and last is not None and difference.removed and not _is_listed(last.last, extract):
        yield (
            "feed-tail-missing",
            (
                f"'{last.last.decode()}', with which the last document ended, is gone, as when a list is cut "
                "off; "
                "fetch it anew."
            ),
        )


def _is_listed(name: bytes, extract: Extract) -> bool:
    """Whether the name is listed at all, however far."""
    bare = name.removeprefix(BELOW).removeprefix(ONLY)
    return any(sign + bare in extract.names for sign in (b"", BELOW, ONLY))


def warnings(feed: Feed, difference: Difference) -> list[Problem]:
    """What a person should know of a document that is taken all the same."""
    told = {
        "feed-absent-kept": (
            difference.absent,
            "absent from the document, which doesn't say that they are lifted, and kept",
        ),
        "feed-removed-by-order": (
            difference.withdrawn,
            "still listed, though another order removed or lifted them, and left out",
        ),
    }
    return [
        Problem(
            id=id_,
            path=feed.name,
            message=f"{what}: {shown(listed)}; ask the authority, or write an amend.",
            severity="warning",
        )
        for id_, (listed, what) in told.items()
        if listed
    ]


def shown(listed: Collection[bytes]) -> str:
    """The first of the names, and how many more there are."""
    more = f" and {len(listed) - 1:,} more" if len(listed) > 1 else ""
    return f"'{min(listed).removeprefix(ONLY).decode()}'{more}"
