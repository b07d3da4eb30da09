"""What upstream said, kept for as long as it said, and no second longer.

Bounded by entries and by octets; the least recently used go first. The key is (qname in lower case, qtype,
class, DO, CD), because what may be said differs between them. Time is monotonic seconds, told by the
caller. What the cache holds is not the last word: the engine decides every owner of a kept chain anew after
every transition and apply, and remembers so in `judged`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from blocker.resolver.chain import Received
    from blocker.resolver.quick import Plain

CacheKey = tuple[bytes, int, int, bool, bool]
J = TypeVar("J")

_OVERHEAD = 900  # octets of Python around one entry, by measure, and around what is ready of it


@dataclass(slots=True, kw_only=True)
class Entry(Generic[J]):
    """A message with when it came and when it ends; `judged` is the engine's, by region.

    `ready` is quick's: the answer as last given, and for whom and what shape of query it is good.
    """

    received: Received
    stored: float
    expires: float
    judged: dict[str | None, tuple[int, J]] = field(default_factory=dict)
    ready: tuple[object, object, Plain] | None = None

    def age(self, now: float) -> int:
        """Whole seconds it was kept."""
        return max(0, int(now - self.stored))

    @property
    def weight(self) -> int:
        return 2 * len(self.received.octets) + _OVERHEAD + 60 * len(self.received.ttls)


class Cache(Generic[J]):
    """Least recently used last out; `entries` 0 keeps nothing."""

    def __init__(self, *, entries: int = 100_000, octets: int = 64 << 20) -> None:
        self._entries = entries
        self._most = octets
        self._kept: OrderedDict[CacheKey, Entry[J]] = OrderedDict()
        self.octets = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: CacheKey, now: float) -> Entry[J] | None:
        """The entry, if it is still good."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        if now >= entry.expires:
            self._remove(key)
            return None
        self._kept.move_to_end(key)
        return entry

    def put(self, key: CacheKey, entry: Entry[J]) -> None:
        """Keep the entry if it may be kept at all."""
        if entry.expires <= entry.stored or entry.weight > self._most:
            return
        if key in self._kept:
            self._remove(key)
        self._kept[key] = entry
        self.octets += entry.weight
        while len(self._kept) > self._entries or self.octets > self._most:
            self._remove(next(iter(self._kept)))

    def _remove(self, key: CacheKey) -> None:
        self.octets -= self._kept.pop(key).weight
