from __future__ import annotations

from ipaddress import ip_network

import pytest

from blocker.errors import TooMuchChange
from blocker.orders.schedule import schedule
from blocker.policy import regions
from blocker.policy.plan import guard
from blocker.policy.regions import Growth
from blocker.site import Enforcement, Limits
from tests.policy.strategies import directive, order
from tests.policy.test_plan import plan

ORDER = order("x/a", directives=(directive("d", "a.example", regions=["ID"]),))


def site(default: str | None = None, **networks: list[str]) -> Enforcement:
    return Enforcement(
        regions={
            name.replace("_", "-"): tuple(ip_network(one) for one in found)
            for name, found in networks.items()
        },
        default_region=default,
    )


SMALL = site(ID=["192.0.2.0/24"], PL=["198.51.100.0/24"])


@pytest.mark.parametrize(
    ("before", "after", "said", "grown"),
    [
        (SMALL, SMALL, [], []),
        (
            SMALL,
            site(ID=["0.0.0.0/0"], PL=["198.51.100.0/24"]),
            ["region ID takes in 0.0.0.0/0", "region ID leaves 192.0.2.0/24"],
            [Growth("IPv4", 256, 1 << 32)],
        ),
        (
            SMALL,
            site(ID=["192.0.2.0/24", "2001:db8::/32"], PL=[]),
            ["region ID takes in 2001:db8::/32", "region PL leaves 198.51.100.0/24"],
            [Growth("IPv6", 0, 1 << 96)],
        ),
        (
            SMALL,
            site(ID=["192.0.2.0/24"], PL=["198.51.100.0/24"], ID_JK=["203.0.113.0/24"]),
            ["region ID-JK takes in 203.0.113.0/24"],
            [Growth("IPv4", 256, 512)],
        ),
        (SMALL, site(ID=["192.0.2.0/25", "192.0.2.128/25"], PL=["0.0.0.0/0"]), [
            "region ID takes in 192.0.2.0/25, 192.0.2.128/25", "region ID leaves 192.0.2.0/24",
            "region PL takes in 0.0.0.0/0", "region PL leaves 198.51.100.0/24",
        ], []),
        (
            SMALL,
            site("ID", ID=["192.0.2.0/24"], PL=["198.51.100.0/24"]),
            ["clients of no prefix were in none and are in ID"],
            [Growth("IPv4", 256, (1 << 32) - 256), Growth("IPv6", 0, 1 << 128)],
        ),
        (site(ID=[]), site(ID=[f"10.0.{number}.0/24" for number in range(12)]), [
            "region ID takes in " + ", ".join(f"10.0.{number}.0/24" for number in range(10)) + " and 2 more"
        ], [Growth("IPv4", 0, 12 * 256)]),
        (None, SMALL, [], []),
    ],
    ids=[
        "the same", "everybody", "another version", "a region below", "in pieces, and another region",
        "by default", "many", "a new site",
    ],
)  # fmt: skip
def test_who_is_in_the_regions_newly_is_told_and_how_many_more_orders_hold_for(
    before: Enforcement | None, after: Enforcement, said: list[str], grown: list[Growth]
) -> None:
    assert list(regions.moves(before, after)) == said
    assert list(regions.growth(before, after, schedule([ORDER]))) == grown


def test_a_site_that_grows_beyond_its_ratio_is_asked_for_an_acceptance_and_another_digest() -> None:
    grown = plan([ORDER], [ORDER], was=SMALL, site=site(ID=["0.0.0.0/0"], PL=["198.51.100.0/24"]))
    with pytest.raises(TooMuchChange, match="grow from 256 to 4,294,967,296 addresses of IPv4; "):
        guard(grown, Limits())
    a_little = plan([ORDER], [ORDER], was=SMALL, site=site(ID=["192.0.2.0/24", "203.0.113.0/26"]))
    guard(a_little, Limits(max_added_ratio=0.3))
    assert len({grown.digest, a_little.digest, plan([ORDER], [ORDER], was=SMALL, site=SMALL).digest}) == 3
