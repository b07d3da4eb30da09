"""A policy in memory: the same sets and paths as the store's, for `explain`, zones and tests."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

from blocker.policy.directives import Role, entries
from blocker.site import Enforcement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from blocker import names
    from blocker.orders.model import NameList, NamesFile
    from blocker.orders.timetable import Scheduled
    from blocker.policy.decide import Pair

_STAMPS = count(1)


class Index:
    """Names → sets → (directive, role) pairs; satisfies decide.Policy.

    `only`, if given, is a set of keys beyond which nothing is kept: enough to explain one name of a list
    of millions.
    """

    def __init__(
        self,
        scheduled: Iterable[Scheduled],
        read: Callable[[NamesFile], NameList],
        *,
        withheld: Mapping[str, object] | None = None,
        enforcement: Enforcement | None = None,
        only: frozenset[names.Key] | None = None,
    ) -> None:
        self.directives: dict[int, Scheduled] = dict(enumerate(scheduled))
        self.withheld: Mapping[str, object] = withheld or {}
        self.enforcement = enforcement or Enforcement()
        self.stamp = next(_STAMPS)
        found: dict[names.Key, set[tuple[int, Role]]] = {}
        for number, one in self.directives.items():
            for key, role in entries(one, read):
                if only is None or key in only:
                    found.setdefault(key, set()).add((number, role))
        self._ids: dict[tuple[Pair, ...], int] = {}
        self.names: dict[names.Key, int] = {
            key: self._ids.setdefault(tuple(sorted(pairs)), len(self._ids)) for key, pairs in found.items()
        }
        self._sets = {set_id: pairs for pairs, set_id in self._ids.items()}

    def set_of(self, key: names.Key) -> int | None:
        """The id of the set of pairs at this very name."""
        return self.names.get(key)

    @property
    def find(self) -> Callable[[names.Key], int | None]:
        """As set_of."""
        return self.names.get

    def pairs(self, set_id: int) -> Sequence[Pair]:
        """What the names of this set are, and to which directives."""
        return self._sets[set_id]

    def walk(self) -> Iterable[tuple[names.Key, int]]:
        """Every name, in order, each with the id of its set."""
        return sorted(self.names.items())

    def sample(self, number: int, limit: int, seed: int) -> list[tuple[names.Key, Role]]:
        """At most `limit` of the (name, role) of one directive; which ones depends on `seed`."""
        found: list[tuple[names.Key, Role]] = sorted(
            (key, role)
            for key, set_id in self.names.items()
            for owner, role in self._sets[set_id]
            if owner == number and role is not Role.ABOVE
        )
        return found if len(found) <= limit else random.Random(seed).sample(found, limit)  # noqa: S311 - no secret
