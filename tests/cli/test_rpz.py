from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Site

AT = ("--at", "2026-06-01")


def test_the_zone_is_that_of_the_applied_policy_at_the_instant(site: Site) -> None:
    site.block("now", "blocked.example")
    site.block("later", "later.example", start="2026-07-01")
    site.apply()
    site.block("written", "unapplied.example")
    ran = site.run("rpz", *AT)
    head, *rest = ran.out.splitlines()
    assert head.startswith("; generation 1 of ")
    assert head.endswith(", as of 2026-06-01T00:00:00Z; written by blocker rpz")
    assert rest == [
        "$ORIGIN id.rpz.",
        "$TTL 30",
        "@ SOA localhost. nobody.invalid. 1780272000 30 5 2592000 30",
        "@ NS localhost.",
        "blocked.example CNAME .",
        "*.blocked.example CNAME .",
    ]
    assert "later.example CNAME .\n" in site.run("rpz", "--at", "2026-07-01").out


def test_the_zone_is_of_one_region_and_named_for_it(site: Site) -> None:
    site.block("now", "blocked.example")
    path = site.folder / "site.yaml"
    path.write_text(f"{path.read_text()}rpz: {{zone: rpz.isp.example}}\n")
    site.apply()
    assert "$ORIGIN id-jk.rpz.isp.example.\n" in site.run("rpz", *AT, "--region", "ID-JK").out
    assert "blocked.example" in site.run("rpz", *AT, "--region", "ID-JK").out
    assert "blocked.example" not in site.run("rpz", *AT, "--region", "GB").out


def test_a_region_that_there_is_not_is_refused(site: Site) -> None:
    ran = site.run("rpz", "--region", "FR")
    assert ran.code == 2
    assert "'FR' is no region of this site; it has GB, ID, ID-JK" in ran.err.replace("\n", " ")


def test_a_site_without_a_default_region_needs_one_named(site: Site) -> None:
    path = site.folder / "site.yaml"
    path.write_text(path.read_text().replace("default_region: ID\n", ""))
    ran = site.run("rpz")
    assert ran.code == 2
    assert "no default region; name one of GB, ID, ID-JK" in ran.err.replace("\n", " ")


def test_without_a_policy_there_is_no_zone(site: Site) -> None:
    ran = site.run("rpz")
    assert (ran.code, ran.out) == (4, "")
    assert "blocker apply" in ran.err


def test_names_that_are_left_out_are_counted_beside_the_zone(site: Site) -> None:
    site.block("now", "blocked.example", "a.rpz-ip")
    site.apply()
    ran = site.run("rpz", *AT)
    assert "rpz-ip" not in ran.out
    assert "id.rpz can't speak of 1 name" in ran.err
