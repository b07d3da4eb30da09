"""A bound on something scarce, of which no client has more than its share.

What is full is full for one client long before it is so for the others: who asks for a thousand random
names takes nobody's place but his own.
"""

from __future__ import annotations

from collections import Counter

SHARE = 4
"""One client has a quarter at most."""


class Shares:
    """At most `most` places in all, and `most // SHARE` (at least one) for each client."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._each = max(1, most // SHARE)
        self._taken: Counter[str] = Counter()
        self._all = 0

    def take(self, client: str) -> bool:
        """Whether the client got a place; one that it got must be given back."""
        if self._all >= self._most or self._taken[client] >= self._each:
            return False
        self._all += 1
        self._taken[client] += 1
        return True

    def give_back(self, client: str) -> None:
        self._all -= 1
        self._taken[client] -= 1
        if not self._taken[client]:
            del self._taken[client]
