"""Whether applied lists would block a name that this site protects now.

Orders are checked when they come. A name protected later is held against the applied names, for reading a
list of millions again at every apply would make an urgent lift wait. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from blocker import names
from blocker.errors import Problem
from blocker.policy.decide import Policy, coverage, path_of
from blocker.policy.directives import SUBJECT_ROLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from blocker.names import Key

_MOST = 1000  # names looked at below one protected name


class Searchable(Policy, Protocol):
    """A policy whose names can be walked in order."""

    def below(self, key: Key, limit: int) -> Iterable[tuple[Key, int]]:
        """At most `limit` names strictly below the key, each with the id of its set."""


def protected_names(
    policy: Searchable, protected: Iterable[Key], orders: Collection[str]
) -> Iterator[Problem]:
    """A Problem for each of these applied orders and each protected name that it blocks."""
    for key in protected:
        for number, blocked in sorted(_blocking(policy, key).items()):
            one = policy.directives[number]
            if one.order in orders:
                yield Problem(
                    id="protected-name",
                    path=f"{one.order}.yaml",
                    order=one.order,
                    message=f"the applied directive {one.ref} blocks '{names.to_text(blocked)}', and this "
                    f"site protects '{names.to_text(key)}' now; it stays in force. "
                    f"`blocker withhold {one.ref}` ends that at once, an amend that removes the name for "
                    "good.",
                )


def _blocking(policy: Searchable, key: Key) -> dict[int, Key]:
    """The directives that block the name or one below it, with the name they block."""
    path, has_own = path_of(policy, key)
    reach = coverage(policy, path, has_own=has_own)
    free = {number for number, at in reach.items() if at.excepted}
    found = {
        number: key
        for number, at in reach.items()
        if number not in free and (at.rank is not None or at.covers_below)
    }
    for below, set_id in policy.below(key, _MOST):
        for number, role in policy.pairs(set_id):
            if role in SUBJECT_ROLES and number not in free:
                found.setdefault(number, below)
    return found
