"""One policy for many cases, as values and as a store."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import ip_network
from typing import TYPE_CHECKING

from blocker.orders.model import NameList
from blocker.orders.schedule import schedule
from blocker.policy.index import Index
from blocker.policy.records import Generation, Withheld
from blocker.policy.writer import Target, commit, release, withhold
from blocker.site import Enforcement
from tests.conformance.cases import INFO, REGIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from blocker.orders.model import NamesFile, Order
    from blocker.orders.timetable import Scheduled
    from tests.conformance.cases import Case

ENFORCEMENT = Enforcement(
    regions={region: (ip_network(f"{address}/32"),) for region, address in REGIONS.items() if region},
    ttl=30,
    max_ttl=3600,
    info_url=INFO,
)


def _no_lists(_: NamesFile) -> NameList:
    return NameList(keys=())


@dataclass(frozen=True, kw_only=True)
class World:
    """Cases together, and what the operator withholds of them."""

    cases: tuple[Case, ...]

    @cached_property
    def orders(self) -> tuple[Order, ...]:
        return tuple(order for case in self.cases for order in case.orders)

    @cached_property
    def withheld(self) -> tuple[str, ...]:
        return tuple(ref for case in self.cases for ref in case.withheld)

    @cached_property
    def scheduled(self) -> list[Scheduled]:
        return schedule(self.orders)

    @cached_property
    def policy(self) -> Index:
        return Index(
            self.scheduled,
            _no_lists,
            withheld=dict.fromkeys(self.withheld, object()),
            enforcement=ENFORCEMENT,
        )

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        return {owner.lower(): target for case in self.cases for owner, target in case.aliases.items()}

    def where(self, fits: Callable[[Case], bool]) -> World:
        """The world of some of the cases."""
        return World(cases=tuple(case for case in self.cases if fits(case)))

    def without(self, unwanted: Callable[[Order], bool]) -> World:
        """The world before these orders came; nothing was withheld then."""
        return World(
            cases=tuple(
                replace(
                    case, orders=tuple(order for order in case.orders if not unwanted(order)), withheld=()
                )
                for case in self.cases
            )
        )


@dataclass(kw_only=True)
class Store:
    """A policy store that holds one world after another."""

    state: Path
    number: int = 0
    withheld: Mapping[str, Sequence[Withheld]] = field(default_factory=dict)

    def hold(self, world: World) -> None:
        """Make the store hold the world, as an apply does."""
        commit(
            self.state,
            Target(
                generation=Generation(
                    number=self.number + 1, digest=str(self.number + 1), applied_at=time.time(), by="lab"
                ),
                orders={order.id: order.digest for order in world.orders},
                directives=world.scheduled,
                enforcement=ENFORCEMENT,
                read=_no_lists,
            ),
            base=str(self.number) if self.number else "",
        )
        self.number += 1
        release(self.state, self.withheld, at=time.time())
        act = Withheld(reason="lab", at=time.time(), by="lab")
        for ref in world.withheld:
            withhold(self.state, act, ref)
        self.withheld = dict.fromkeys(world.withheld, (act,))
