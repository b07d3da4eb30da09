"""What of the ledger may be published: nothing that names an order which nobody outside may know of.

Pure. Of a row that can't be told the hash alone is, which keeps the chain whole: the row has a salt, so the
hash tells nothing, and whoever is given the row later finds that it is the one. When in doubt, a row is not
told: an order that nobody knows the publication of counts as sealed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blocker import names
from blocker.orders import relations
from blocker.orders.model import Publication, instant
from blocker.orders.schedule import schedule

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from blocker.orders.model import Order
    from blocker.policy.chain import Entry


_SHORT = 4  # letters
_MOST_LABELS = 127  # of a name (RFC 1035 §2.3.4)


def _no_name(_key: names.Key) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What nobody outside may know of that was never applied, or can't be read: its `ids` and `references`,
    and what says whether it `has` a name.
    """

    ids: frozenset[str] = frozenset()
    references: frozenset[str] = frozenset()
    has: Callable[[names.Key], bool] = _no_name


NOTHING = Waiting()


def public_orders(orders: Iterable[Order], t: float) -> frozenset[str]:
    """The ids of those that everybody may know of at `t`: an act about a sealed order tells of that one."""
    every = {order.id: order for order in orders}
    sealed = {one.order for one in schedule(every.values()) if one.is_sealed(t)}
    public = {order.id for order in every.values() if order.id not in sealed and _is_told(order, t)}
    while less := {id_ for id_ in public if (of := every[id_].of) and relations.order_of(of) not in public}:
        public -= less
    return frozenset(public)


def _is_told(order: Order, t: float) -> bool:
    if order.publication is Publication.SEALED_UNTIL_EFFECTIVE:
        return order.start is None or instant(order.start) <= t
    return order.publication is Publication.PUBLIC


def sealed_among(
    waiting: Mapping[str, Order], public: Collection[str], applied: Collection[str]
) -> dict[str, Order]:
    """Those of the orders in the folder, by id, that nobody outside may know of though their files can be
    read: what waits has not taken effect, whatever its time. `public` are the ids of applied orders that
    everybody may know of, `applied` those of all.
    """
    told = {
        id_
        for id_, order in waiting.items()
        if order.publication is Publication.PUBLIC and (id_ in public or id_ not in applied)
    }
    while less := {
        id_ for id_ in told if (of := waiting[id_].of) and relations.order_of(of) not in told.union(public)
    }:
        told -= less
    return {id_: order for id_, order in waiting.items() if id_ not in told}


def names_of(order: Order) -> Iterator[names.Key]:
    """The names that the file of an order has itself."""
    for directive in order.directives:
        for subject in (*directive.subjects, *directive.excepts):
            yield subject.key
    for subject in order.remove:
        yield subject.key


def _texts(value: Any) -> Iterator[str]:
    """All that a detail says in words, as it was typed."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for one in value:
            yield from _texts(one)
        if isinstance(value, Mapping):
            yield from _texts(list(value.values()))


def names_in(text: str) -> Iterator[names.Key]:
    """What may be a name in a text."""
    for labels in _words(text):
        if len(labels) > 1:
            yield from _key(labels)


def _spoken(text: str) -> Iterator[names.Key]:
    """What may be a name in a text, and what it would be below."""
    for labels in _words(text):
        for at in range(len(labels) - 1):
            yield from _key(labels[at:])


def _key(labels: list[str]) -> Iterator[names.Key]:
    with suppress(names.NameInvalid):
        yield names.to_key(names.canonical(".".join(labels)))


def _words(text: str) -> Iterator[list[str]]:
    """The words of a text, by their labels."""
    spaced = "".join(
        char if char in "-._" or unicodedata.category(char)[0] in "LMN" else " " for char in text
    )
    for word in spaced.split():
        yield word.strip("-._").split(".")[-_MOST_LABELS:]


def _says(typed: str, said: str) -> bool:
    """Whether it is in the text; what is as short as `7`, or little could be told, as a word of its own."""
    if len(said) >= _SHORT:
        return said in typed
    return re.search(rf"(?<!\w){re.escape(said)}(?!\w)", typed) is not None


def teller(
    orders: Mapping[str, Order],
    public: Collection[str],
    listed: Callable[[names.Key], Iterable[str]],
    waiting: Waiting = NOTHING,
) -> Callable[[Entry], bool]:
    """What says whether a row may be told: it is about public orders alone, and what somebody typed may be
    told (`text_teller`).
    """
    may_be_said = text_teller(orders, public, listed, waiting)

    def may_be_told(entry: Entry) -> bool:
        named = [*entry.refs, *([entry.subject] if entry.subject else [])]
        return all(relations.order_of(ref) in public for ref in named) and may_be_said(
            "\n".join(_texts(entry.facts))
        )

    return may_be_told


def text_teller(
    orders: Mapping[str, Order],
    public: Collection[str],
    listed: Callable[[names.Key], Iterable[str]],
    waiting: Waiting = NOTHING,
) -> Callable[[str], bool]:
    """What says whether a text that somebody typed may be told: it names no order but public ones, and no
    name that a sealed one blocks or frees, nor one below it, unless a public one says it. `orders` are all
    that were ever applied, by id, `public` the ids of those that whoever is told may know of; `listed` gives
    the ids of orders that have a name in a list. `waiting` is what else may not be known of.
    """
    own = {id_ for id_ in orders if id_ not in public}
    ids = own.union(id_ for id_ in waiting.ids if id_ not in public)
    references = waiting.references.union(orders[id_].reference for id_ in own)
    slugs = {id_.rpartition("/")[2] for id_ in ids}
    sealed = {word.casefold() for word in ids | slugs | references if word}
    written: dict[names.Key, set[str]] = {}
    for id_, order in orders.items():
        for key in names_of(order):
            written.setdefault(key, set()).add(id_)

    def is_hidden(key: names.Key) -> bool:
        owners = written.get(key, set()).union(listed(key))
        return owners.isdisjoint(public) if owners else waiting.has(key)

    def may_be_said(typed: str) -> bool:
        plain = typed.casefold()
        return not any(_says(plain, word) for word in sealed) and not any(map(is_hidden, _spoken(typed)))

    return may_be_said
