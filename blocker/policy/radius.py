"""The blast radius of an order: what else its names stand for, before it is applied.

Pure. A name is judged by the Public Suffix List (does it belong to many who publish below it?), by the
warning lists (do many people rely on it?), by its own words (a government's domain, an OCSP responder) and
by the other ordered names that it covers. Each reason has an id that never changes; one is enough to hold
the whole order until a person accepts the plan, for an order is applied as it was written or not at all.

An `exact` subject is judged for itself alone. A `subtree` or `below` is judged for what hangs below it too.
A host below a site that nearly everybody uses counts as the site, unless it belongs to somebody else: below
a suffix or a shared parent each host is its owner's. Lists have millions of names, so a name of two labels
that nothing is known of costs two look-ups and makes no object.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from blocker import names
from blocker.names import Key
from blocker.orders import suffixes
from blocker.orders.model import Match
from blocker.policy.lists import ABOVE, AT, CATEGORIES, SHARED, UNDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

REASONS: dict[str, str] = {
    "public-suffix-private": "a suffix below which many publish, or above one",
    "shared-hosting": "a host that many publish under, or above one",
    "popular": "among the sites most used, or one of their hosts",
    "cdn": "what a content delivery network answers under for many sites",
    "bank": "a bank's",
    "university": "a university's",
    "ocsp-crl": "where certificates are checked (OCSP, CRL)",
    "government": "a government's",
    "covers-ordered": "above names of other orders",
}
"""Why an order is held for its names, each with what is so of a name; the order that people read them in."""

SHOWN = 20
"""Names kept for each reason; all are counted."""

MANY = 10
"""Names of other orders below one from which on it looks like a parent that many share. Fewer are shown:
registers list `www.` beside a name.
"""

DEPTHS = ("suffix", "registrable", "deeper")
"""Where a name stands: a public suffix, what one registers below one, or a host deeper down."""

_LISTED = {name: number for number, name in enumerate(CATEGORIES)}
_SOVEREIGN = re.compile(
    r"(?:gov|gob|gouv|govt|gub|gc|gv|mil)(?:\.|\Z)|go\.(?:ci|cr|id|jp|ke|kr|th|tj|tz|ug)\Z"
)
_CHECKING = re.compile(rb"(?:ocsp|crl)[0-9]*\Z")


class Found(NamedTuple):
    """A subject; as text it says how far it reaches. `via` is the site it is a host of, if that speaks for
    it.
    """

    key: Key
    match: Match
    via: Key = names.ROOT

    def __str__(self) -> str:
        name = ("*." if self.match is Match.BELOW else "") + names.to_text(self.key)
        only = " (this name alone)" if self.match is Match.EXACT else ""
        return f"{name}{only}" + (f" (a host of {names.to_text(self.via)})" if self.via else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Radius:
    """What is known of the names of one order.

    `depths` are how many names stand where, `counts` how many speak for each reason and `first` the first of
    them. `covers` are the first that names of other orders hang below, and how many.
    """

    depths: Mapping[str, int]
    counts: Mapping[str, int] = field(default_factory=dict)
    first: Mapping[str, tuple[Found, ...]] = field(default_factory=dict)
    covers: tuple[tuple[Found, int], ...] = ()


def judge(
    groups: Iterable[tuple[Match, Iterable[Key]]],
    table: Mapping[Key, int],
    *,
    others: Callable[[Key], int] | None = None,
) -> Radius:
    """The radius of an order's names, in groups by match.

    `table` is that of `policy.lists`. `others` counts the names of other orders strictly below one; None
    leaves that out.
    """
    depths = dict.fromkeys(DEPTHS, 0)
    counts: dict[str, int] = {}
    first: dict[str, list[Found]] = {}
    covers: list[tuple[Found, int]] = []
    for match, keys in groups:
        for key in _remarkable(keys, table, depths) if others is None else keys:
            depth, reasons, via = _look(key, match, table)
            depths[depth] += 1
            one = Found(key, match, via)
            covered = others(key) if others is not None and match is not Match.EXACT else 0
            if covered >= MANY:
                reasons.append("covers-ordered")
            if covered and len(covers) < SHOWN:
                covers.append((one, covered))
            for reason in reasons:
                counts[reason] = counts.get(reason, 0) + 1
                kept = first.setdefault(reason, [])
                if len(kept) < SHOWN:
                    kept.append(one)
    return Radius(
        depths=depths,
        counts=counts,
        first={reason: tuple(kept) for reason, kept in first.items()},
        covers=tuple(covers),
    )


def _look(key: Key, match: Match, table: Mapping[Key, int]) -> tuple[str, list[str], Key]:
    """The depth of a name, the reasons that lists and suffixes give, and the site it is a host of."""
    icann, private = suffixes.rules(), suffixes.private()
    bits = table.get(key, 0)
    listed = bits >> AT if match is Match.EXACT else bits >> AT | bits >> ABOVE
    reasons = set()
    is_suffix = icann.cover(key) or private.cover(key)
    if match is not Match.EXACT and (is_suffix or key in _parents()):
        reasons.add("public-suffix-private")
    depth, via = "suffix" if is_suffix else "deeper", names.ROOT
    for number, above in enumerate(_upwards(key)):
        if icann.cover(above) or private.cover(above):
            if number == 0 and not is_suffix:
                depth = "registrable"
            if not _sovereign().isdisjoint(names.ancestry(above)):
                reasons.add("government")
            break
        bits = table.get(above, 0)
        if bits & SHARED:
            break
        if under := bits >> UNDER:
            via = via or (above if under & ~listed else names.ROOT)
            listed |= under
    else:
        if len(names.labels_of(key)) == 2:
            depth = "registrable"
    if depth == "deeper" and _CHECKING.match(names.labels_of(key)[-1]):
        reasons.add("ocsp-crl")
    reasons |= {name for name, number in _LISTED.items() if listed >> number & 1}
    return depth, [name for name in REASONS if name in reasons], via


def _upwards(key: Key) -> Iterator[Key]:
    """The ancestors of a name, the nearest first."""
    return reversed([above for above in names.ancestry(key) if above != key])


@cache
def _parents() -> frozenset[Key]:
    """The names above a private suffix that are no ICANN ones: `amazonaws.com`, for `s3.amazonaws.com`."""
    icann, private = suffixes.rules(), suffixes.private()
    return frozenset(
        above
        for key in private.exact
        for above in names.ancestry(key)
        if above != key and len(above) > 1 + above[0] and not icann.cover(above)
    )


@cache
def _sovereign() -> frozenset[Key]:
    """The ICANN suffixes that governments and their armies keep to themselves."""
    return frozenset(key for key in suffixes.rules().exact if _SOVEREIGN.match(names.to_text(key)))


def _remarkable(keys: Iterable[Key], table: Mapping[Key, int], depths: dict[str, int]) -> Iterator[Key]:
    """Those of the names that need a look; the depths of all others are counted.

    What is passed over here has two or three labels, and neither it nor its parent is on any list: the
    parent is a top-level domain, a suffix that is nobody's, or a domain like any other.
    """
    known = table.get
    special, suffix, odd = _special()
    registrable = deeper = 0
    for key in keys:
        two = 1 + key[0]
        if known(key) is None and key not in special and two < len(key) and key[:two] not in odd:
            three = two + 1 + key[two]
            if three == len(key):
                registrable += 1
                continue
            if three + 1 + key[three] == len(key):
                above = key[:three]
                if above in suffix:
                    registrable += 1
                    continue
                if known(Key(above)) is None and above not in special and key[three + 1] not in b"oc":
                    deeper += 1
                    continue
        yield key
    depths["registrable"] += registrable
    depths["deeper"] += deeper


@cache
def _special() -> tuple[frozenset[Key], frozenset[Key], frozenset[Key]]:
    """The names that need a look themselves; the suffixes below which names don't; the top-level domains
    below which every name does.
    """
    icann, private = suffixes.rules(), suffixes.private()
    named = icann.exact | icann.wild | icann.free | private.exact | private.wild | private.free | _parents()
    plain = icann.exact - icann.wild - private.exact - private.wild - _parents() - _sovereign()
    return (
        named,
        plain,
        frozenset(key for key in _sovereign() | icann.wild | private.wild if len(key) == 1 + key[0]),
    )
