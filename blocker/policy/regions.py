"""Who the orders hold for: the clients in the site's regions, and how that changes.

Pure. An order names regions and the site says who is in them, so a prefix more blocks as much as an order
does, though no order changed.
"""

from __future__ import annotations

from ipaddress import collapse_addresses
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from ipaddress import IPv4Network

    from blocker.orders.timetable import Scheduled
    from blocker.site import Enforcement, Network

SHOWN = 10
"""Prefixes named of those that a region gains or loses; all are counted."""

_BITS = {4: 32, 6: 128}


class Growth(NamedTuple):
    """How many addresses of a version (IPv4, IPv6) are in the regions of some order, before and after."""

    version: str
    was: int
    now: int


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


def growth(old: Enforcement | None, new: Enforcement, scheduled: Iterable[Scheduled]) -> Iterator[Growth]:
    """Where the regions that these directives hold in have more addresses than before."""
    if old is None or (old.regions, old.default_region) == (new.regions, new.default_region):
        return
    named = {region for one in scheduled for region in one.regions}
    before, after = _covered(old, named), _covered(new, named)
    for version, was in before.items():
        if after[version] > was:
            yield Growth(f"IPv{version}", was, after[version])


def _covered(site: Enforcement, named: set[str]) -> dict[int, int]:
    """The addresses of each version that are in a region of these names, or below one."""
    if site.default_region is not None and _holds_in(site.default_region, named):
        out = [one for region, found in site.regions.items() if not _holds_in(region, named) for one in found]
        return {version: (1 << bits) - _size(out, version) for version, bits in _BITS.items()}
    inside = [one for region, found in site.regions.items() if _holds_in(region, named) for one in found]
    return {version: _size(inside, version) for version in _BITS}


def _holds_in(region: str, named: set[str]) -> bool:
    """As Scheduled.applies_to."""
    return any(region == own or region.startswith(f"{own}-") for own in named)


def _size(networks: Iterable[Network], version: int) -> int:
    one_version = cast("list[IPv4Network]", [one for one in networks if one.version == version])
    return sum(one.num_addresses for one in collapse_addresses(one_version))


def _listed(networks: Sequence[Network]) -> str:
    more = f" and {len(networks) - SHOWN:,} more" if len(networks) > SHOWN else ""
    return ", ".join(str(one) for one in networks[:SHOWN]) + more


def _named(region: str | None) -> str:
    return "none" if region is None else region
