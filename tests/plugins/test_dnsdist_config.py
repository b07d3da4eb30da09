"""The rules name what the site has; tests/servers/test_dnsdist.py shows that dnsdist obeys them."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest

from blocker.plugins.dnsdist_config import MOST_REGIONS, render
from blocker.site import Enforcement


def regions(text: str) -> dict[str, set[str]]:
    """The prefixes of each region, as the rules have them."""
    found = re.findall(r'^  region\("([^"]*)", \{(.*)\}\)$', text, re.MULTILINE)
    return {name: set(re.findall(r'"([^"]*)"', prefixes)) for name, prefixes in found}


def test_a_regions_clients_are_its_own_prefixes_without_those_of_others() -> None:
    site = Enforcement(
        regions={"ID": (ip_network("192.0.2.0/24"),), "ID-JK": (ip_network("192.0.2.128/25"),)},
        default_region="GB",
    )
    own, inner = "192.0.2.0/24", "192.0.2.128/25"
    mapped, inner_mapped = "::ffff:192.0.2.0/120", "::ffff:192.0.2.128/121"
    assert regions(render(site, "x")) == {
        "ID": {own, mapped, f"!{inner}", f"!{inner_mapped}"},
        "ID-JK": {inner, inner_mapped, f"!{own}", f"!{mapped}"},
        "GB": {"0.0.0.0/0", "::/0", f"!{own}", f"!{mapped}", f"!{inner}", f"!{inner_mapped}"},
    }


def test_the_default_regions_own_prefixes_stay_its_own() -> None:
    site = Enforcement(regions={"GB": (ip_network("2001:db8::/32"),)}, default_region="GB")
    assert regions(render(site, "x")) == {"GB": {"2001:db8::/32", "0.0.0.0/0", "::/0"}}


@pytest.mark.parametrize("wide", ["::/0", "::/64", "::fffe:0:0/95"])
def test_no_ipv6_prefix_takes_in_clients_that_carry_an_ipv4_address(wide: str) -> None:
    site = Enforcement(
        regions={"ID": (ip_network(wide), ip_network("192.0.2.0/24")), "XB": (ip_network("198.51.100.0/24"),)}
    )
    assert regions(render(site, "x"))["ID"] == {
        "!::ffff:0:0/96",
        str(ip_network(wide)),
        "192.0.2.0/24",
        "::ffff:192.0.2.0/120",
        "!198.51.100.0/24",
        "!::ffff:198.51.100.0/120",
    }


def test_those_of_no_prefix_are_of_the_default_region_beside_one_as_wide_as_all_of_ipv6() -> None:
    site = Enforcement(regions={"ID": (ip_network("::/0"),)}, default_region="GB")
    assert regions(render(site, "x")) == {
        "ID": {"!::ffff:0:0/96", "::/0"},
        "GB": {"0.0.0.0/0", "::ffff:0:0/96", "::/0", "!::/0"},
    }


def test_a_region_without_clients_matches_nobody() -> None:
    site = Enforcement(regions={"GB": (), "ID": (ip_network("192.0.2.0/24"),)})
    assert regions(render(site, "x"))["GB"] == set()


@pytest.mark.parametrize(
    ("path", "lua"),
    [
        ("/var/lib/blocker/dnsdist.lmdb", '"/var/lib/blocker/dnsdist.lmdb"'),
        ('/a "b"\\c\n', '"/a \\034b\\034\\092c\\010"'),
        ("/stände/x", '"/stände/x"'),
    ],
)
def test_a_path_is_written_as_a_lua_string(path: str, lua: str) -> None:
    assert f"local store = {lua}\n" in render(Enforcement(), path)


def test_ttls_are_those_of_the_site() -> None:
    assert "local ttl, most = 7, 600 " in render(Enforcement(ttl=7, max_ttl=600), "x")


def test_more_regions_than_dnsdist_can_open_are_refused() -> None:
    site = Enforcement(regions={f"ID-{one}": () for one in range(MOST_REGIONS + 1)})
    with pytest.raises(ValueError, match="dnsdist can look at 100 regions at most, the site has 101"):
        render(site, "x")
