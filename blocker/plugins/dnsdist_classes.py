"""The policy as dnsdist can look it up: every name a class, every class an answer at the instant.

Pure. dnsdist finds the longest suffix of a name in one table, and can't tell the name itself from what is
below it. So two tables say the class of a name: `own`, asked first and exactly, holds the names whose own
class differs from that of what is below them; `names`, asked by longest suffix, holds the names below which
the class changes. Both follow from the name's path (see `policy.decide`), whatever the time.

A class is what a path makes of the directives on it: how specific each covers the name, whether it covers
all below, whether an except cuts it. All names of a class share one verdict in every region at every
instant, so an order of a million names starts by one row. A class is known by its `identity`, a digest of
refs and orders' digests: its number is never given to another, for a query may look up its class before a
commit and the answer after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING

from blocker.names import Key
from blocker.orders.model import Form
from blocker.policy import decide
from blocker.resolver.answer import reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from blocker.policy.decide import Policy, Verdict

FREE = 0
"""The class of names that nothing covers; it has no answer."""

IDENTITY = 16
"""Octets of an identity."""

_CHILD = b"\x01\x00"  # A label that no canonical name has: what lies below a name, whatever it is.
_MOST_STEPS = 65536

_LETTERS = {Form.NXDOMAIN: "x", Form.NODATA: "d", Form.REFUSED: "r", Form.REDIRECT: "a"}


Classed = tuple[int | None, int | None]
"""What dnsdist is told of one name: the class of the name itself, and that of the names below it (and of
itself where it has none of its own). None where the tables have no row.
"""

_PAIR = Struct(">II")
_NOTHING = 0xFFFFFFFF


def pack(classed: Classed) -> bytes:
    """Eight octets, to keep and compare."""
    own, below = classed
    return _PAIR.pack(_NOTHING if own is None else own, _NOTHING if below is None else below)


GONE = pack((None, None))


@dataclass(frozen=True, slots=True)
class _Step:
    """What a set does to the path above it; `packed` is None if that needs no row."""

    path: tuple[int, ...]
    below: int
    packed: bytes | None


class Classes:
    """The numbers of the classes of one policy, and a name of each to ask `decide` about.

    `known` are the numbers given before, by identity; `following` is the least that was never given.
    `digests` are those of the orders, by id.
    """

    def __init__(
        self, policy: Policy, digests: Mapping[str, str], *, known: Mapping[bytes, int], following: int = 1
    ) -> None:
        self._policy = policy
        self._digests = digests
        self._known = known
        self.following = max(1, following)
        self._numbers: dict[bytes, int] = {}
        self.members: dict[int, tuple[bytes, Key]] = {}
        """Identity and a member of every class met, by its number."""

    def rows(self, walk: Iterable[tuple[Key, int]]) -> Iterator[tuple[Key, bytes]]:
        """Every name that needs rows with its classes, packed.

        The names of the policy come with their sets in the order of their keys, and so do these.
        """
        steps: dict[tuple[tuple[int, ...], int], _Step] = {}
        above: list[tuple[Key, _Step]] = []
        top = _Step((), FREE, None)
        for key, set_id in walk:
            while above and not key.startswith(above[-1][0]):
                above.pop()
            parent = above[-1][1] if above else top
            step = steps.get((parent.path, set_id))
            if step is None:
                if len(steps) >= _MOST_STEPS:
                    steps.clear()
                step = steps[parent.path, set_id] = self._step(parent, key, set_id)
            above.append((key, step))
            if step.packed is not None:
                yield key, step.packed

    def _step(self, parent: _Step, key: Key, set_id: int) -> _Step:
        path = (*parent.path, set_id)
        own = self._number(path, key, has_own=True)
        below = self._number(path, key, has_own=False)
        packed = pack((own if own != below else None, below if below != parent.below else None))
        return _Step(path, below, packed if packed != GONE else None)

    def _number(self, path: tuple[int, ...], key: Key, *, has_own: bool) -> int:
        found = self._identity(path, has_own=has_own)
        if found is None:
            return FREE
        number = self._numbers.get(found)
        if number is None:
            number = self._known.get(found, self.following)
            self.following = max(self.following, number + 1)
            self._numbers[found] = number
            self.members[number] = (found, key if has_own else Key(key + _CHILD))
        return number

    def _identity(self, path: tuple[int, ...], *, has_own: bool) -> bytes | None:
        """What decides the verdict of a path, and nothing else; None if nothing can."""
        met = {}
        for number, at in decide.coverage(self._policy, path, has_own=has_own).items():
            one = self._policy.directives[number]
            if one.is_cut or (not at.excepted and (at.rank is not None or at.covers_below)):
                met[one.ref] = (one, at)
        # A cut of what isn't here cuts nothing here.
        kept = {
            ref: (one, at)
            for ref, (one, at) in met.items()
            if not one.is_cut
            or ((at.excepted or at.has_except_below) and any(cut in met for cut in one.cuts))
        }
        if not any(not one.is_cut for one, _ in kept.values()):
            return None
        depths = sorted({at.rank[0] for _, at in kept.values() if at.rank is not None})
        digest = blake2b(digest_size=IDENTITY)
        for ref, (one, at) in sorted(kept.items()):
            rank = None if at.rank is None else (depths.index(at.rank[0]), at.rank[1])
            holed = at.has_except_below and (at.covers_below or one.is_cut)
            said = (ref, self._digests.get(one.order, ""), rank, at.covers_below, at.excepted, holed)
            digest.update(repr(said).encode())
        return digest.digest()


def answer(verdict: Verdict, info_url: str) -> bytes | None:
    """What dnsdist needs to know of a verdict, as ASCII: form, until, addresses, text; None if nothing.

    `x.` NXDOMAIN, `d.` NODATA, `r.` refused, `a.` redirect, `p.` pass (with a coming start); `*` for `.`
    lets DS and DNSKEY pass. Until is in epoch seconds, 0 for never; addresses are hexadecimal, `-` for none.
    """
    if verdict.action is None:
        return None if verdict.until is None else b"p. %d -" % verdict.until
    letter = _LETTERS[verdict.form_for(1) or verdict.action.form]
    addresses = ",".join(one.packed.hex() for one in verdict.action.addresses) or "-"
    mark = "*" if verdict.has_holes else "."
    text = reason(verdict, info_url)
    return f"{letter}{mark} {verdict.until or 0} {addresses} {text}".rstrip().encode("ascii", "replace")


def answers(
    policy: Policy, members: Mapping[int, tuple[bytes, Key]], region: str, t: float, info_url: str
) -> dict[int, bytes]:
    """The answer of every class that has one in the region at `t`, by its number."""
    found = {}
    for number, (_, key) in members.items():
        said = answer(decide.decide(policy, key, region, t), info_url)
        if said is not None:
            found[number] = said
    return found
