"""What the points of a site mean for plan, apply and the daemons."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from blocker.orders import names_file

if TYPE_CHECKING:
    from typing import NoReturn

    import pytest

    from tests.cli.conftest import Site

KNOT = """\
rpz: {}
points:
  - {name: k1, kind: knot, address: "127.0.0.1:5399", region: ID}
"""


def with_points(site: Site, points: str) -> None:
    path = site.folder / "site.yaml"
    path.write_text(path.read_text() + points)


def replace(site: Site, old: str, new: str) -> None:
    path = site.folder / "site.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def refuse(site: Site) -> None:
    site.block("grok", "grok.example")
    path = site.path("grok")
    path.write_text(path.read_text() + "    action: refused\n")


def test_a_plan_that_a_point_cannot_say_is_refused_and_changes_nothing(site: Site) -> None:
    with_points(site, KNOT)
    refuse(site)
    planned = site.run("plan")
    assert planned.code == 3
    assert "a/grok/one at k1: refused can't be said there" in planned.out
    applied = site.apply()
    assert applied.code == 3
    assert "Give the point another way" in applied.err
    assert not (site.folder / "state" / "policy.lmdb").exists()


def test_the_same_plan_is_fine_where_no_point_is_of_that_kind(site: Site) -> None:
    refuse(site)
    assert site.apply().code == 0


def test_the_plan_tells_what_a_point_does_not_get_to(site: Site) -> None:
    with_points(site, KNOT)
    site.block("grok", "grok.example")
    planned = site.run("plan")
    assert planned.code == 0
    assert "k1 (knot by rpz) has limits: " in planned.out
    assert "shaping" in json.loads(site.run("plan", "--json").out)["reach"]["k1"]


def test_the_plan_tells_what_a_module_without_a_control_command_cannot_take_back(site: Site) -> None:
    point = '  - {name: u1, kind: unbound, by: module, address: "127.0.0.1:5399", region: ID}\n'
    with_points(site, f"points:\n{point}")
    site.block("grok", "grok.example")
    assert "u1 (unbound by module) has limits: cached-names" in site.run("plan").out
    replace(site, "region: ID}", "region: ID, control: [unbound-control]}")
    assert "has limits" not in site.run("plan").out


LONG = ".".join([*("a" * 60,) * 3, "example"])
ROOMLESS = f"rpz.{'z' * 60}.example"


def test_a_zone_with_another_name_needs_room_for_every_name_in_force(site: Site) -> None:
    with_points(site, KNOT)
    site.block("grok", LONG)
    assert site.apply().code == 0
    assert "nothing to change" in site.run("plan").out
    replace(site, "rpz: {}", f"rpz: {{zone: {ROOMLESS}}}")
    planned = site.run("plan")
    assert planned.code == 3
    assert f"a/grok/one at k1: {LONG}: with *. and .id.{ROOMLESS} it is longer than" in planned.out
    assert site.apply().code == 3
    replace(site, f"zone: {ROOMLESS}", "zone: rpz.isp.example")
    planned = site.run("plan")
    assert (planned.code, "site: zones changes" in planned.out) == (0, True)
    assert site.apply().code == 0
    assert "nothing to change" in site.run("plan").out


def test_the_first_zone_needs_room_for_every_name_in_force(site: Site) -> None:
    site.block("grok", "a.rpz-ip")
    assert site.apply().code == 0
    with_points(site, KNOT)
    assert "a.rpz-ip: its last label makes a response policy zone" in site.run("plan").out
    assert site.apply().code == 3


def test_the_names_of_applied_lists_are_read_again_for_new_zones_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    whole = names_file.parse

    def parse(octets: bytes, path: str) -> object:
        listed.append(path)
        return whole(octets, path)

    with_points(site, KNOT)
    site.block("grok", "grok.example")
    octets = b"a.example\nb.example\n"
    site.path("list").with_name("list.txt").write_bytes(octets)
    site.block("list", "x.example")
    listing = f"names_file: {{file: list.txt, sha256: {hashlib.sha256(octets).hexdigest()}}}"
    site.write("list", site.path("list").read_text().replace("names: [x.example]", listing))
    assert site.apply().code == 0
    monkeypatch.setattr(names_file, "parse", parse)
    site.block("more", "more.example")
    assert site.apply().code == 0
    assert listed == []
    site.path("list").unlink()
    site.path("list").with_name("list.txt").unlink()
    replace(site, "rpz: {}", "rpz: {zone: other}")
    # Of the order whose file is gone the applied form stands.
    assert site.apply().code == 2
    assert listed


def test_pushing_without_anything_to_push_to_says_what_is_missing(site: Site) -> None:
    site.block("grok", "grok.example")
    assert site.apply().code == 0
    ran = site.run("push")
    assert ran.code == 2
    assert "there is nothing to push to; add points" in ran.err


def test_a_closed_pipe_is_no_good_end_of_a_daemon(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def supervise(*_: object, **__: object) -> NoReturn:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("blocker.cli.daemons.supervise", supervise)
    with_points(site, KNOT)
    site.block("grok", "grok.example")
    assert site.apply().code == 0
    ran = site.run("push")
    assert ran.code == 4
    assert "closed by its other end" in ran.err
