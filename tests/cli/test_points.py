"""What the points of a site mean for plan, apply and the daemons."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Site

KNOT = """\
rpz: {}
points:
  - {name: k1, kind: knot, address: "127.0.0.1:5399", region: ID}
"""


def with_points(site: Site, points: str) -> None:
    path = site.folder / "site.yaml"
    path.write_text(path.read_text() + points)


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


def test_pushing_without_anything_to_push_to_says_what_is_missing(site: Site) -> None:
    site.block("grok", "grok.example")
    assert site.apply().code == 0
    ran = site.run("push")
    assert ran.code == 2
    assert "there is nothing to push to; add points" in ran.err
