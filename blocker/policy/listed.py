"""In which orders' lists a name is: asked of the store, which has the names of every applied order, and, for
those that left the policy, of the archive. Shell.

A look-up in the store reads no list. A list of the archive is read once, when the first name is asked for.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING

from blocker.errors import NothingApplied
from blocker.orders.files import lists_of
from blocker.policy.directives import Role
from blocker.policy.examine import archived
from blocker.policy.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from blocker.names import Key
    from blocker.orders.model import NameList, Order
    from blocker.policy.store import Snapshot
    from blocker.site import Site


@contextmanager
def asked(site: Site, orders: Iterable[Order]) -> Iterator[Callable[[Key], Iterable[str]]]:
    """What tells the ids of the applied orders that have a name, and of those of `orders` that left the
    policy and have it in a list; good inside the `with`. Raises StoreError, and so does what it gives.
    """
    with ExitStack() as stack:
        policy = None
        with suppress(NothingApplied):
            reader = Reader(site.state)
            stack.callback(reader.close)
            policy = stack.enter_context(reader.snapshot())
        applied = policy.orders if policy is not None else {}
        gone = [one for one in orders if one.id not in applied]
        lists = cache(lambda: [(one.id, archived(site, one, at)) for one in gone for _, at in lists_of(one)])
        yield lambda key: (*_applied(policy, key), *_left(key, lists()))


def _applied(policy: Snapshot | None, key: Key) -> Iterator[str]:
    if policy is not None and (set_id := policy.set_of(key)) is not None:
        for number, role in policy.pairs(set_id):
            if role is not Role.ABOVE:
                yield policy.directives[number].order


def _left(key: Key, lists: Iterable[tuple[str, NameList]]) -> Iterator[str]:
    return (order for order, names in lists if key in names.keys or key in names.below)
