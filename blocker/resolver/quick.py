"""What the engine said before, said again without asking it: the path of nearly every datagram.

Pure, and it decides nothing: every answer here was made by the engine, for a query that is this one but for
its id, the letters' case and, for a blocked name, the name. It rests on what an answer can hang on:

- of the query, on its *shape* (flags, type, class, and of EDNS the size, DO and whether NSID is asked for;
  not what an option says, such as a cookie that no two queries share), and on its name; of the client, on its
  region; of time, on `till` and `fresh`;
- a blocked answer hangs on the name by its path through the policy's sets alone (as `decide` has it), and by
  its length, for what does not fit is left out. Its owner is a pointer to the question, so one template
  answers every name of that length on a list, and a list of millions has a few dozen;
- a passing answer stands with its cache entry. Only its TTLs move, and where they are is known;
- a stranger is refused, whatever the name is.

So an answer is the query's own id and question, with a head before and a tail after the question; it is
written over the query. The engine's conclusions hold for an epoch, and `forget` ends them all. What is
unusual (compressed names, more records, what was never asked before) is left to the engine. Everything kept
is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from math import inf
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from blocker import names
from blocker.resolver import answer, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blocker.names import Key
    from blocker.resolver.batches import Batch
    from blocker.resolver.cache import Cache, Entry
    from blocker.resolver.engine import Enforced
    from blocker.resolver.judge import Judged
    from blocker.resolver.wire import Query

    Find = Callable[[Key], object | None]

_MOST_OCTETS = 512  # of a query without its name: others are not worth remembering
_MOST_CLIENTS = 65536
_MOST_ABOVE = 65536
_MOST_SHAPES = 4096
_MOST_TEMPLATES = 4096
_OUTCOMES = 8
_REMEMBERED = 8  # slots: what is asked often gets its turn, and what is not seldom pushes it out
_OPTIONS = 10 + 4 + 11  # where they begin in a query without its name: header, type and class, OPT
_U32 = Struct("!I")


class Ready(NamedTuple):
    """An answer but for its id and its question.

    Good while the wall clock is below `till` and the monotonic one below `fresh`. `head` are its octets 2 to
    12, `tail` those after the question, which ends at `end`, of `size` in all. `mark` counts it. `ttls` are
    the offsets and values of those that count down from `stored` and are at most `cap`.
    """

    till: float
    fresh: float
    head: bytes
    tail: bytes
    end: int
    size: int
    mark: int
    ttls: tuple[tuple[int, int], ...] = ()
    stored: float = 0.0
    cap: int = 0

    @property
    def plain(self) -> Plain:
        """The same without its names: what is just a tuple, Python 3.11 takes apart three times as fast."""
        return self[:]


Plain = tuple[float, float, bytes, bytes, int, int, int, tuple[tuple[int, int], ...], float, int]


class _Shape:
    """All of a query that its answer may hang on, but the name. The like have one and the same."""

    __slots__ = ("key",)

    def __init__(self, query: Query) -> None:
        self.key = (query.qtype, query.qclass, query.do, bool(query.flags & wire.CD))


_Above = tuple[bytes, tuple[object, ...] | None]
"""The key of a name's parent, and the sets met from the top down to it. No class: many queries make one."""

_Like = tuple[_Shape, tuple[object, ...] | None, object | None, int]
"""What queries with one template have in common: shape, sets above the name, its own, and its length."""

_TOP: _Above = (b"", ())
_NOWHERE: _Above = (b"", None)
_NOTHING = Ready(till=-inf, fresh=-inf, head=b"", tail=b"", end=0, size=0, mark=0).plain


@dataclass(slots=True, eq=False)
class Known:
    """What was said to the clients of one region, by the query's octets after the id; and templates."""

    memo: dict[bytes, Plain] = field(default_factory=dict)
    templates: dict[_Like, Plain] = field(default_factory=dict)

    def keep(self, like: _Like, ready: Plain) -> None:
        """One more template."""
        if len(self.templates) >= _MOST_TEMPLATES:
            self.templates.clear()
        self.templates[like] = ready


def mark_of(outcome: int, octets: bytes) -> int:
    """Under what number to count an answer: its outcome, and whether it is cut off."""
    return outcome * 2 + (octets[2] >> 1 & 1)


def _count_down(octets: Any, at: int, ttls: tuple[tuple[int, int], ...], age: int, cap: int) -> None:
    """Write the TTLs of an answer of this age into the octets from `at` on."""
    for offset, ttl in ttls:
        _U32.pack_into(octets, at + offset, max(0, min(ttl - age, cap)))


class Swept(NamedTuple):
    """The slots left to the engine, the number of answers by mark, and what went wrong."""

    left: list[int]
    tally: list[int]
    faults: list[Exception]


class Quick:
    """The engine's answers of one epoch. `who` tells of a client whether it may ask, and its region."""

    def __init__(
        self,
        cache: Cache[Judged],
        who: Callable[[str, Enforced, float], tuple[bool, str | None]],
        *,
        most: int = 20_000,
    ) -> None:
        """`most` answers are remembered by their query's octets, in all."""
        self._cache = cache
        self._who = who
        self._most = most
        self._count = 0
        self._strangers = Known()
        self._clients: dict[bytes, Known] = {}
        self._regions: dict[str | None, Known] = {}
        self._above: dict[bytes, _Above] = {}
        self._shapes: dict[bytes, _Shape] = {}
        self._alike: dict[tuple[object, ...], _Shape] = {}

    def forget(self) -> None:
        """A new epoch: what was concluded may not hold any more."""
        for known in (self._strangers, *self._regions.values()):  # Cache entries may still name them.
            known.memo.clear()
            known.templates.clear()
        for kept in (self._clients, self._regions, self._above, self._shapes, self._alike):
            kept.clear()
        self._count = 0

    def sweep(
        self,
        batch: Batch,
        sizes: Sequence[int],
        policy: Enforced,
        t: float,
        now: float,
    ) -> Swept:
        """Answer in place what can be. Raises only before the first answer is written.

        A fault in one query is told, and the query left to the engine.
        """
        octets, answers = batch.octets, batch.answers
        find, shapes, above = policy.find, self._shapes, self._above
        left: list[int] = []
        tally = [0] * (2 * _OUTCOMES)
        faults: list[Exception] = []
        clients = batch.clients(sizes)
        # Few and plain steps: at line rate a call for each datagram is a percent of all we do.
        knowns = map(self._clients.get, clients)
        for slot, (at, head_at, body, known) in enumerate(
            zip(batch.packets, batch.heads, batch.bodies(sizes), knowns, strict=False)
        ):
            try:
                if known is None:
                    known = self._meet(clients[slot], policy, t)  # noqa: PLW2901 - it is what was missing
                ready = known.memo.get(body, _NOTHING)
                if t >= ready[0] or now >= ready[1]:
                    name, _, rest = body[10:].partition(b"\0")
                    shape = shapes.get(body[:10] + rest) or self._shape_of(body[:10] + rest)
                    size = len(name)
                    if shape is not None and 0 < size < 255 and (first := name[0] + 1) <= 64:
                        name = name.lower()
                        key, path = above.get(name[first:]) or self._above_of(name, find)
                        own = find(key + name[:first])  # type: ignore[arg-type]  # to say Key costs a call
                        ready = known.templates.get((shape, path, own, size), _NOTHING)
                        if ready is _NOTHING:
                            ready = self._kept(name, shape, known, now)
                        if slot < _REMEMBERED and ready is not _NOTHING:
                            self._remember(body, known, ready)
                    if t >= ready[0] or now >= ready[1]:
                        answers[slot] = 0
                        left.append(slot)
                        continue
                _, _, head, tail, end, size, mark, ttls, stored, cap = ready
                octets[head_at] = head
                octets[at + end : at + size] = tail
                if ttls:
                    _count_down(octets, at, ttls, int(now - stored), cap)
                answers[slot] = size
                tally[mark] += 1
            except Exception as error:  # noqa: BLE001 - a bug here is not the client's, nor its neighbours'
                faults.append(error)
                octets[at + 2 : at + 2 + len(body)] = body
                answers[slot] = 0
                left.append(slot)
        return Swept(left, tally, faults)

    def _meet(self, octets: bytes, policy: Enforced, t: float) -> Known:
        """What is known for a client that was not seen before."""
        allowed, region = self._who(str(ip_address(octets)), policy, t)
        if len(self._clients) >= _MOST_CLIENTS:
            self._clients.clear()
        known = self._clients[octets] = self._region(region) if allowed else self._strangers
        return known

    def _region(self, region: str | None) -> Known:
        known = self._regions.get(region)
        if known is None:
            known = self._regions[region] = Known()
        return known

    def _kept(self, name: bytes, shape: _Shape, known: Known, now: float) -> Plain:
        """What strangers are told, or what stands with the cache entry, if it is for the like of this."""
        if known is self._strangers:
            return (
                known.templates.get((shape, (), None, len(name)), _NOTHING) if _is_whole(name) else _NOTHING
            )
        entry = self._cache.get((name + b"\0", *shape.key), now)
        ready = entry and entry.ready
        return ready[2] if ready and ready[0] is known and ready[1] is shape else _NOTHING

    def _remember(self, body: bytes, known: Known, ready: Plain) -> None:
        if known is self._strangers:  # They may be a flood, and push nobody out.
            return
        if self._count >= self._most:
            self._count = 0
            for other in self._regions.values():
                other.memo.clear()
        self._count += 1
        known.memo[body] = ready

    def keep(
        self,
        packet: bytes,
        query: Query,
        region: str | None,
        find: Find,
        ready: Ready,
        entry: Entry[Judged] | None = None,
    ) -> None:
        """Take in what the engine answered: from the cache entry, or else because the name is blocked."""
        shape, name = self._shape(packet, query), query.qname[:-1]
        if shape is None or not name:
            return
        known = self._region(region)
        if entry is not None:
            entry.ready = (known, shape, ready.plain)
            return
        first = name[0] + 1
        key, path = self._above.get(name[first:]) or self._above_of(name, find)
        own = find(names.Key(key + name[:first]))
        known.keep((shape, path, own, len(name)), ready.plain)

    def refuse(self, packet: bytes, query: Query, ready: Ready) -> None:
        """Take in what the engine told a stranger: the same for all names of this length.

        It is kept as if nothing were at the name or above, which is said of no octets that are no name.
        """
        shape = self._shape(packet, query)
        if shape is not None:
            self._strangers.keep((shape, (), None, len(query.qname) - 1), ready.plain)

    def _above_of(self, name: bytes, find: Find) -> _Above:
        """What is above a name whose parent is not in `_above` (lower case, without the root's octet).

        Label by label, for it must end where its octets do: else there is no such name.
        """
        first = name[0] + 1
        if first > 64 or first > len(name):
            return _NOWHERE
        if first == len(name):
            return _TOP
        higher = name[first:]
        second = higher[0] + 1
        key, path = self._above.get(higher[second:]) or self._above_of(higher, find)
        if path is None or second > 64:
            return _NOWHERE
        key += higher[:second]
        own = find(key)  # type: ignore[arg-type]  # as above
        if own is not None:  # Not kept: a list has as many of these as it has names.
            return key, path + (own,)  # noqa: RUF005 - half of the time
        if len(self._above) >= _MOST_ABOVE:
            self._above.clear()
        found = self._above[higher] = (key, path)
        return found

    def _shape(self, packet: bytes, query: Query) -> _Shape | None:
        """The query's shape; None where octets may mean something by their place, as compressed names do."""
        end = 12 + len(query.question)
        if any(packet[6:11]) or packet[11] > 1 or (packet[11] and packet[end]):
            return None
        octets = _silent(packet[2:12] + packet[end - 4 :])
        shape = self._shapes.get(octets)
        if shape is None and len(octets) <= _MOST_OCTETS:
            asks_nsid = query.edns and any(code == wire.OPTION_NSID for code, _ in query.edns.options)
            limit = answer.limit_of(query, tcp=False)
            alike = (query.flags, query.question[-4:], query.edns is None, query.do, asks_nsid, limit)
            # Apart, for there are few of the like: as long as these stay, so do their templates.
            if len(self._alike) >= _MOST_SHAPES:
                self._alike.clear()
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            shape = self._shapes[octets] = self._alike.setdefault(alike, _Shape(query))
        return shape

    def _shape_of(self, octets: bytes) -> _Shape | None:
        """The shape of a query (its octets without id and name) that has options which say something."""
        return self._shapes.get(_silent(octets)) if _OPTIONS < len(octets) <= _MOST_OCTETS else None


def _is_whole(name: bytes) -> bool:
    """Whether the octets (without the root's) are labels to the end: else the engine calls them malformed."""
    at = 0
    while at < len(name) and name[at] < 64:
        at += name[at] + 1
    return at == len(name)


def _silent(octets: bytes) -> bytes:
    """The octets of a query without id and name, with zeros for what its EDNS options say.

    Whether it is well-formed hangs on the options' codes and lengths, and so does all that we answer.
    """
    made, at = bytearray(octets), _OPTIONS
    while at + 4 <= len(made):
        size = made[at + 2] << 8 | made[at + 3]
        at += 4
        made[at : at + size] = bytes(len(made[at : at + size]))
        at += size
    return bytes(made)
