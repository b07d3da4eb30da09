"""Who the orders hold for: the clients in the site's regions, and how that changes.

Pure. An order names regions and the site says who is in them, so a prefix more blocks as much as an order
does, though no order changed.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from blocker.orders.timetable import Scheduled
    from blocker.site import Enforcement, Network

SHOWN = 10
"""Prefixes named of those that a region gains or loses; all are counted."""

_BITS = {4: 32, 6: 128}


_Stretch = tuple[int, int]
"""Addresses as numbers: the first, and the first that is beyond."""


class Shift(NamedTuple):
    """How many addresses of a version (IPv4, IPv6) are in a region that orders name, or below it, before, and
    how many of them come and go.
    """

    region: str
    version: str
    was: int
    gained: int
    lost: int


def moves(old: Enforcement | None, new: Enforcement) -> Iterator[str]:
    """A sentence for each region that gains or loses clients; none for a site that is new."""
    if old is None:
        return
    for region in sorted(old.regions.keys() | new.regions.keys()):
        before, after = old.regions.get(region, ()), new.regions.get(region, ())
        gains = [one for one in after if one not in set(before)]
        loses = [one for one in before if one not in set(after)]
        if gains:
            yield f"region {region} takes in {_listed(gains)}"
        if loses:
            yield f"region {region} leaves {_listed(loses)}"
    if old.default_region != new.default_region:
        was, now = _named(old.default_region), _named(new.default_region)
        yield f"clients of no prefix were in {was} and are in {now}"


def digest(old: Enforcement | None, new: Enforcement) -> str:
    """The digest in hex of who is where before and after, with the prefixes that `moves` only counts; empty
    if nobody moves.
    """
    if old is None or (old.regions, old.default_region) == (new.regions, new.default_region):
        return ""
    sides = [
        [{name: sorted(map(str, found)) for name, found in one.regions.items()}, one.default_region]
        for one in (old, new)
    ]
    return hashlib.sha256(json.dumps(sides, sort_keys=True).encode()).hexdigest()


def shifts(old: Enforcement | None, new: Enforcement, scheduled: Iterable[Scheduled]) -> Iterator[Shift]:
    """Where the regions that these directives name have other clients than before; as many others, too."""
    if old is None or (old.regions, old.default_region) == (new.regions, new.default_region):
        return
    for region in sorted({name for one in scheduled for name in one.regions}):
        for version, bits in _BITS.items():
            before, after = _inside(old, region, version, bits), _inside(new, region, version, bits)
            both = _size(_merged([*before, *after]))
            was, gained, lost = _size(before), both - _size(before), both - _size(after)
            if gained or lost:
                yield Shift(region, f"IPv{version}", was, gained, lost)


def said(count: int) -> str:
    """So many addresses; those of IPv6 are too many to be read."""
    return f"{count:,}" if count < 1 << 40 else f"about 2^{math.log2(count):.0f}"


def _inside(site: Enforcement, region: str, version: int, bits: int) -> list[_Stretch]:
    """The addresses of the region's clients: the longest prefix says whose client one is, as in region_of."""
    prefixes = sorted(
        (int(one.network_address), -one.num_addresses, _is_in(name, region))
        for name, networks in site.regions.items()
        for one in networks
        if one.version == version
    )
    found: list[_Stretch] = []
    at = 0
    around = [(1 << bits, site.default_region is not None and _is_in(site.default_region, region))]

    def reach(end: int) -> None:
        """Up to there, what lies innermost decides."""
        nonlocal at
        if around[-1][1] and end > at:
            found.append((at, end))
        at = end

    for start, size, is_inside in prefixes:
        while around[-1][0] <= start:
            reach(around[-1][0])
            around.pop()
        reach(start)
        around.append((start - size, is_inside))
    while around:
        reach(around[-1][0])
        around.pop()
    return found


def _is_in(region: str, named: str) -> bool:
    """As Scheduled.applies_to."""
    return region == named or region.startswith(f"{named}-")


def _merged(stretches: Iterable[_Stretch]) -> Iterator[_Stretch]:
    """The same addresses, each once."""
    at = 0
    for start, end in sorted(stretches):
        if end > at:
            yield max(start, at), end
            at = end


def _size(stretches: Iterable[_Stretch]) -> int:
    return sum(end - start for start, end in stretches)


def _listed(networks: Sequence[Network]) -> str:
    more = f" and {len(networks) - SHOWN:,} more" if len(networks) > SHOWN else ""
    return ", ".join(str(one) for one in networks[:SHOWN]) + more


def _named(region: str | None) -> str:
    return "none" if region is None else region
