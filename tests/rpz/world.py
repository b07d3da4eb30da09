"""A policy as the pusher hands it to a target, without a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from blocker.orders.schedule import schedule
from blocker.policy.index import Index
from blocker.policy.records import Generation
from blocker.site import Enforcement
from tests.policy.strategies import EPOCH, directive, order, read

if TYPE_CHECKING:
    from blocker.orders.model import Order
    from blocker.policy.store import Snapshot


class Policy(Index):
    """An index that knows of which generation it is."""

    generation = Generation(number=7, digest="c0ffee" * 10, applied_at=float(EPOCH), by="test")


def policy_of(*orders: Order, ttl: int = 30) -> Snapshot:
    return cast("Snapshot", Policy(schedule(orders), read, enforcement=Enforcement(ttl=ttl)))


def blocking(*names: str, ttl: int = 30, **changes: object) -> Snapshot:
    """One order that blocks these names for ID."""
    return policy_of(order("x/b", directives=(directive("d", *names, **changes),)), ttl=ttl)


def silent() -> None:
    """A pulse nobody feels."""
