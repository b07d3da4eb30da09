from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker.errors import TooMuchChange
from blocker.orders.schedule import schedule
from blocker.policy import regions
from blocker.policy.plan import guard
from blocker.policy.regions import Shift
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
            [Shift("ID", "IPv4", 256, (1 << 32) - 512, 0)],
        ),
        (
            SMALL,
            site(ID=["192.0.2.0/24", "2001:db8::/32"], PL=[]),
            ["region ID takes in 2001:db8::/32", "region PL leaves 198.51.100.0/24"],
            [Shift("ID", "IPv6", 0, 1 << 96, 0)],
        ),
        (
            SMALL,
            site(ID=["192.0.2.0/24"], PL=["198.51.100.0/24"], ID_JK=["203.0.113.0/24"]),
            ["region ID-JK takes in 203.0.113.0/24"],
            [Shift("ID", "IPv4", 256, 256, 0)],
        ),
        (SMALL, site(ID=["192.0.2.0/25", "192.0.2.128/25"], PL=["0.0.0.0/0"]), [
            "region ID takes in 192.0.2.0/25, 192.0.2.128/25", "region ID leaves 192.0.2.0/24",
            "region PL takes in 0.0.0.0/0", "region PL leaves 198.51.100.0/24",
        ], []),
        (
            SMALL,
            site("ID", ID=["192.0.2.0/24"], PL=["198.51.100.0/24"]),
            ["clients of no prefix were in none and are in ID"],
            [Shift("ID", "IPv4", 256, (1 << 32) - 512, 0), Shift("ID", "IPv6", 0, 1 << 128, 0)],
        ),
        (site(ID=[]), site(ID=[f"10.0.{number}.0/24" for number in range(12)]), [
            "region ID takes in " + ", ".join(f"10.0.{number}.0/24" for number in range(10)) + " and 2 more"
        ], [Shift("ID", "IPv4", 0, 12 * 256, 0)]),
        (
            SMALL,
            site(ID=["203.0.113.0/24"], PL=["198.51.100.0/24"]),
            ["region ID takes in 203.0.113.0/24", "region ID leaves 192.0.2.0/24"],
            [Shift("ID", "IPv4", 256, 256, 256)],
        ),
        (
            SMALL,
            site(ID=["192.0.2.0/24"], PL=["198.51.100.0/24", "192.0.2.64/26"]),
            ["region PL takes in 192.0.2.64/26"],
            [Shift("ID", "IPv4", 256, 0, 64)],
        ),
        (
            site("ID", ID=["192.0.2.0/24"]),
            site(ID=["192.0.2.0/24"]),
            ["clients of no prefix were in ID and are in none"],
            [Shift("ID", "IPv4", 1 << 32, 0, (1 << 32) - 256), Shift("ID", "IPv6", 1 << 128, 0, 1 << 128)],
        ),
        (None, SMALL, [], []),
    ],
    ids=[
        "the same", "everybody", "another version", "a region below", "in pieces, and another region",
        "by default", "many", "others", "to a longer prefix", "no default", "a new site",
    ],
)  # fmt: skip
def test_who_comes_to_a_region_and_who_leaves_it_is_told_and_counted(
    before: Enforcement | None, after: Enforcement, said: list[str], grown: list[Shift]
) -> None:
    assert list(regions.moves(before, after)) == said
    assert list(regions.shifts(before, after, schedule([ORDER]))) == grown


def test_a_site_that_grows_beyond_its_ratio_is_asked_for_an_acceptance_and_another_digest() -> None:
    grown = plan([ORDER], [ORDER], was=SMALL, site=site(ID=["0.0.0.0/0"], PL=["198.51.100.0/24"]))
    with pytest.raises(TooMuchChange, match="region ID gains 4,294,966,784 addresses of IPv4, it had 256; "):
        guard(grown, Limits())
    a_little = plan([ORDER], [ORDER], was=SMALL, site=site(ID=["192.0.2.0/24", "203.0.113.0/26"]))
    guard(a_little, Limits(max_added_ratio=0.3))
    assert len({grown.digest, a_little.digest, plan([ORDER], [ORDER], was=SMALL, site=SMALL).digest}) == 3


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (site(ID=[]), r"region ID loses 256 addresses of IPv4, it had 256; limits\.max_removed_ratio is 30%"),
        (site(ID=["192.0.2.0/24", "2001:db8::/32"]), r"ID gains about 2\^96 addresses of IPv6, it had 0; "),
        (site(ID=["203.0.113.0/24"]), r"gains 256 addresses .*max_added_ratio.*loses 256 addresses"),
    ],
    ids=["nobody is left", "of IPv6", "others instead"],
)
def test_a_region_with_other_clients_is_asked_for_an_acceptance(after: Enforcement, said: str) -> None:
    with pytest.raises(TooMuchChange, match=said):
        guard(plan([ORDER], [ORDER], was=site(ID=["192.0.2.0/24"]), site=after), Limits())


_PREFIXES = st.lists(st.integers(26, 32).flatmap(
    lambda length: st.integers(0, (1 << length - 24) - 1).map(
        lambda at: f"192.0.2.{at << 32 - length}/{length}"
    )
), max_size=4, unique=True)  # fmt: skip


@st.composite
def _sites(draw: st.DrawFn) -> Enforcement:
    free = draw(_PREFIXES)
    of = [draw(st.sampled_from(["ID", "ID-JK", "PL"])) for _ in free]
    found = {
        region: [one for one, name in zip(free, of, strict=True) if name == region]
        for region in ("ID", "ID-JK", "PL")
    }
    return Enforcement(
        regions={region: tuple(map(ip_network, several)) for region, several in found.items()},
        default_region=draw(st.sampled_from([None, "ID", "PL"])),
    )


@given(_sites(), _sites())
def test_every_address_that_comes_or_goes_is_counted(before: Enforcement, after: Enforcement) -> None:
    def inside(one: Enforcement) -> set[int]:
        """Of the last octets, and -1 for everybody else."""
        places = {at: one.region_of(f"192.0.2.{at}") for at in range(256)} | {-1: one.default_region}
        return {at for at, region in places.items() if (region or "").startswith("ID")}

    def size(found: set[int]) -> int:
        return len(found - {-1}) + ((1 << 32) - 256) * (-1 in found)

    was, now = inside(before), inside(after)
    expected = Shift("ID", "IPv4", size(was), size(now - was), size(was - now))
    counted = [one for one in regions.shifts(before, after, schedule([ORDER])) if one.version == "IPv4"]
    assert counted == ([expected] if was != now else [])


def test_a_plan_has_another_digest_for_any_prefix_that_is_another() -> None:
    def moved(last: str, default: str | None = None) -> str:
        many = site(default, ID=[*(f"203.0.113.{2 * at}/31" for at in range(10)), last])
        return plan([ORDER], [ORDER], was=SMALL, site=many).digest

    assert len({moved("203.0.113.20/31"), moved("8.0.0.0/5"), moved("8.0.0.0/5", "ID")}) == 3
