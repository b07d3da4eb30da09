"""What of the ledger may be published: nothing that names an order which nobody outside may know of.

Pure. Of a row that can't be told the hash alone is, which keeps the chain whole: the row has a salt, so the
hash tells nothing, and whoever is given the row later finds that it is the one. When in doubt, a row is not
told: an order that nobody knows the publication of counts as sealed.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from blocker import names
from blocker.orders import relations
from blocker.orders.model import Publication, instant
from blocker.orders.schedule import schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from blocker.orders.model import Order
    from blocker.policy.chain import Entry


_SHORT = 4  # letters
_NAME = re.compile(r"[\w-]+(?:\.[\w-]+)+")


def public_orders(orders: Iterable[Order], t: float) -> frozenset[str]:
    """The ids of those that everybody may know of at `t`."""
    every = list(orders)
    sealed = {one.order for one in schedule(every) if one.is_sealed(t)}
    return frozenset(order.id for order in every if order.id not in sealed and _is_told(order, t))


def _is_told(order: Order, t: float) -> bool:
    if order.publication is Publication.SEALED_UNTIL_EFFECTIVE:
        return order.start is None or instant(order.start) <= t
    return order.publication is Publication.PUBLIC


def _names(order: Order) -> Iterator[str]:
    """The names that the file of an order has itself."""
    for directive in order.directives:
        for subject in (*directive.subjects, *directive.excepts):
            yield names.to_text(subject.key)
    for subject in order.remove:
        yield names.to_text(subject.key)


def _spoken(typed: str) -> Iterator[str]:
    """What may be a name in a text, and what it would be below."""
    for word in _NAME.findall(typed):
        labels = word.strip(".").split(".")
        for at in range(len(labels)):
            yield ".".join(labels[at:])


def _says(typed: str, said: str) -> bool:
    """Whether it is in the text; what is as short as `7`, or little could be told, as a word of its own."""
    if len(said) >= _SHORT:
        return said in typed
    return re.search(rf"(?<!\w){re.escape(said)}(?!\w)", typed) is not None


def teller(orders: Mapping[str, Order], t: float) -> Callable[[Entry], bool]:
    """What says whether a row may be told at `t`: it names no order but public ones, neither as what it is
    about nor in what somebody typed, and no name that a sealed one blocks or frees, nor one below it; those
    of a names_file aren't looked for. `orders` are all that were ever applied, by id.
    """
    public = public_orders(orders.values(), t)
    sealed = {
        said.casefold()
        for id_, order in orders.items()
        if id_ not in public
        for said in (id_, id_.rpartition("/")[2], order.reference)
        if said
    }

    hidden = {name for id_, order in orders.items() if id_ not in public for name in _names(order)}
    hidden -= {name for id_ in public for name in _names(orders[id_])}

    def may_be_told(entry: Entry) -> bool:
        named = [*entry.refs, *([entry.subject] if entry.subject else [])]
        if any(relations.order_of(ref) not in public for ref in named):
            return False
        typed = json.dumps(entry.facts, ensure_ascii=False).casefold()
        return not any(_says(typed, said) for said in sealed) and hidden.isdisjoint(_spoken(typed))

    return may_be_told
