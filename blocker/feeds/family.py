"""What a feed's own orders list now, as the law has it.

A feed's orders are known by their ids: a block `<folder>/<date>-<feed>` and amends of it with the time behind
the feed's name, with COMING behind that if another one of the same import removes. What others wrote about
them counts from its date on: what they removed or lifted stays out though the feed lists it. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker import names
from blocker.feeds.difference import cut, is_within
from blocker.feeds.extract import BELOW, ONLY
from blocker.feeds.mint import COMING
from blocker.orders import relations
from blocker.orders.model import Kind, Match, instant
from blocker.orders.schedule import Book, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from blocker.orders.model import Directive, NameList, NamesFile, Order, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The orders of one feed: the `block`, the `latest` of them, and those that stand as `acts`, as they took
    effect; the names that they list and those that other orders took out or added. `is_over` says that
    nothing can be added to them; `ahead` are those of them that are yet to begin, as when the clock was
    wrong.
    """

    block: Order
    latest: Order
    acts: tuple[Order, ...] = ()
    listed: frozenset[bytes] = field(repr=False)
    withdrawn: frozenset[bytes] = field(repr=False)
    others: frozenset[bytes] = field(repr=False, default=frozenset())
    is_over: bool = False
    ahead: tuple[Order, ...] = ()


def is_own(id_: str, folder: str, feed: str) -> bool:
    """Whether this is the id of an order that the feed's imports made."""
    return re.fullmatch(_own(folder, feed), id_) is not None


def _own(folder: str, feed: str) -> str:
    amend = f"-[0-9]{{6}}(?:{re.escape(COMING)})?"
    return rf"{re.escape(folder)}/[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}-{re.escape(feed)}(?:{amend})?"


def family(
    orders: Iterable[Order], folder: str, feed: str, read: Callable[[NamesFile], NameList], *, now: float
) -> Family | None:
    """The orders of the feed as they are at `now`; None if there is none yet. `read` gives the content of a
    names_file.
    """
    every = {order.id: order for order in orders}
    book = Book(every.values())
    own = [one for one in every.values() if is_own(one.id, folder, feed) and not _never_comes(book, one, now)]
    blocks = sorted(
        (one for one in own if one.kind is Kind.BLOCK),
        key=lambda one: (not _never_was(book, one), relations.came(one)),
    )
    if not blocks:
        return None
    block = blocks[-1]
    amends = (
        one
        for one in every.values()
        if one.kind is Kind.AMEND and block.id in book.lineage(one.of) and not _never_comes(book, one, now)
    )
    # What others change from a later date on changes nothing until then. Whatever an import writes before it
    # takes effect earlier, so it is cut by their removals, and cuts none of their additions.
    acts = sorted((one for one in amends if one in own or moment(one)[0] <= now), key=moment)
    standing: list[Order] = []
    listed: set[bytes] = set()
    withdrawn: set[bytes] = set()
    others: set[bytes] = set()
    for order in (block, *acts):
        if order.kind is Kind.AMEND and _is_cancelled(book, order, now):
            withdrawn |= _added(order, read)
            continue
        removed = set(_removed(order, read))
        others -= removed
        if order not in own:
            if removed:
                listed = {name for name in listed if not is_within(name, removed)}
            withdrawn |= {name for name in removed if not name.startswith(ONLY)}
            others.update(
                *(
                    _names(directive.subjects, directive.names_file, directive.match, read)
                    for directive in order.directives
                    if not book.directive(order, directive).is_ended(now)
                )
            )
            continue
        standing.append(order)
        listed -= removed
        for directive in order.directives:
            is_ended = book.directive(order, directive).is_ended(now)
            found = set(_names(directive.subjects, directive.names_file, directive.match, read))
            listed = listed - found if is_ended else listed | found
            withdrawn = withdrawn | found if is_ended else withdrawn - found
    return Family(
        block=block,
        latest=[block, *(one for one in acts if one in own)][-1],
        acts=tuple(standing),
        listed=frozenset(listed),
        withdrawn=frozenset(withdrawn),
        others=frozenset(others),
        is_over=all(book.directive(block, one).is_ended(now) for one in block.directives),
        ahead=tuple(sorted((one for one in own if _starts(one) > now), key=relations.came)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """Names that are ordered anew in the words of the `directive` with this `ref`, which had them."""

    ref: str
    names: frozenset[bytes] = field(repr=False)
    directive: Directive


def continued(
    known: Family, again: AbstractSet[bytes], read: Callable[[NamesFile], NameList]
) -> list[Continued]:
    """Which of the feed's directives these names are of, the last of several; `read` as in `family`."""
    owners: dict[bytes, str] = {}
    written: dict[str, Directive] = {}
    for order in known.acts if again else ():
        for directive in order.directives:
            ref = f"{order.id}/{directive.id}"
            written[ref] = directive
            found = _names(directive.subjects, directive.names_file, directive.match, read)
            owners.update((name, ref) for name in found if name in again)
    listed: dict[str, set[bytes]] = {}
    for name, ref in owners.items():
        listed.setdefault(ref, set()).add(name)
    return [
        Continued(ref=ref, names=frozenset(listed[ref]), directive=written[ref]) for ref in sorted(listed)
    ]


def _starts(order: Order) -> int:
    """When the order begins to say anything; an import's says all of it at once."""
    return moment(order)[0] if order.start else min(instant(one.start) for one in order.directives)


def _never_was(book: Book, order: Order) -> bool:
    """Whether the order was lifted before it began."""
    return (lifted := book.lifted_from([order.id])) is not None and lifted <= _starts(order)


def _never_comes(book: Book, order: Order, now: float) -> bool:
    """Whether it is yet to begin and won't. One that a court lifts as of a date before it began is another
    matter: it stays known, so that an import doesn't begin anew what was lifted.
    """
    return _starts(order) > now and _never_was(book, order)


def _is_cancelled(book: Book, amend: Order, now: float) -> bool:
    return (lifted := book.lifted_from([amend.id])) is not None and lifted <= now


def _added(order: Order, read: Callable[[NamesFile], NameList]) -> set[bytes]:
    """What an amend alone orders; what it continues is ordered without it, too."""
    return {
        name
        for one in order.directives
        if not one.continues
        for name in _names(one.subjects, one.names_file, one.match, read)
    }


def _removed(order: Order, read: Callable[[NamesFile], NameList]) -> Iterator[bytes]:
    """The listed forms that an amend's removals are about."""
    for name in _names(order.remove, order.remove_file, Match.SUBTREE, read):
        yield name
        if not name.startswith(BELOW):
            yield ONLY + cut(name)


def _names(
    subjects: Iterable[Subject],
    file: NamesFile | None,
    match: Match,
    read: Callable[[NamesFile], NameList],
) -> Iterator[bytes]:
    signs = {Match.EXACT: ONLY, Match.SUBTREE: b"", Match.BELOW: BELOW}
    for one in subjects:
        yield signs[one.match] + names.to_text(one.key).encode()
    if file is not None:
        found = read(file)
        for key in found.keys:
            yield signs[match] + names.to_text(key).encode()
        for key in found.below:
            yield BELOW + names.to_text(key).encode()
