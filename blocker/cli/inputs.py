"""What verbs read before they call: the site, the orders folder, the live policy, the person."""

from __future__ import annotations

import getpass
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker.orders import files
from blocker.orders.schedule import Scheduled, schedule
from blocker.policy.apply import facts, live_policy, recall
from blocker.policy.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from blocker.orders.files import Loaded
    from blocker.orders.model import Order
    from blocker.policy.store import Snapshot
    from blocker.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The orders that may be applied, by id, with their directives; `loaded` has the Problems and lists."""

    orders: Mapping[str, Order]
    scheduled: tuple[Scheduled, ...]
    loaded: Loaded


def read_orders(site: Site) -> Orders:
    """The orders folder as it is; lists are parsed when they are asked for. Raises OrdersInvalid."""
    loaded = files.load(site.orders, facts(site))
    return Orders(
        orders={order.id: order for order in loaded.orders},
        scheduled=tuple(schedule(loaded.orders)),
        loaded=loaded,
    )


def live_directives(site: Site) -> list[Scheduled]:
    """Every applied directive and cut. Raises StoreError if nothing was applied."""
    with live(site) as policy:
        return list(policy.directives.values())


def live_orders(site: Site) -> dict[str, Order]:
    """Every applied order, from the archive. Raises StoreError."""
    applied = live_policy(site.state).orders
    return {id_: recall(site.state, id_, digest).order for id_, digest in applied.items()}


@contextmanager
def live(site: Site) -> Iterator[Snapshot]:
    """The live policy. Raises StoreError if nothing was applied."""
    reader = Reader(site.state)
    try:
        with reader.snapshot() as policy:
            yield policy
    finally:
        reader.close()


def whoami(site: Site) -> str:
    """The person at the keyboard, for the record."""
    return f"{getpass.getuser()}@{site.node}"
