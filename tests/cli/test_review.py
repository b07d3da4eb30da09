"""`blocker review`, and what becomes of what is not reviewed in time, as the verbs tell it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Site

NOW = datetime.now(UTC).replace(microsecond=0)
LATE, SOON, FAR = ((NOW + timedelta(days=days, hours=1)).isoformat() for days in (-4, 9, 400))


def open_order(site: Site, slug: str, review_by: str, publication: str = "public") -> None:
    site.block(slug, f"{slug}.example", publication=publication)
    text = site.path(slug).read_text().replace("until: 2099-01-01", f"review_by: {review_by}")
    site.path(slug).write_text(text)


@pytest.fixture
def due(site: Site) -> Site:
    path = site.folder / "site.yaml"
    path.write_text(path.read_text() + "prober: {reference: ['127.0.0.1:9']}\n")
    open_order(site, "late", LATE)
    open_order(site, "hushed", LATE, "sealed")
    open_order(site, "soon", SOON)
    open_order(site, "far", FAR)
    assert site.apply().code == 0
    return site


def lapse(site: Site, how: str = "lapse") -> None:
    path = site.folder / "site.yaml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("review:")]
    path.write_text("\n".join([*lines, f"review: {{overdue: {how}}}", ""]))


def test_it_lists_what_is_overdue_and_what_is_due_soon_with_whom_to_turn_to(due: Site) -> None:
    ran = due.run("review", "--json")
    assert ran.code == 1
    made = {one["order"]: one for one in json.loads(ran.out)}
    assert list(made) == ["a/hushed", "a/late", "a/soon"]
    late, soon = made["a/late"], made["a/soon"]
    assert (late["overdue"], late["days"], late["lapsed"]) == (True, -4, [])
    assert (soon["overdue"], soon["days"]) == (False, 9)
    assert late["contact"] == "mailto:contest@authority.example"
    assert late["names"] == {"ordered": 1, "asked": 1, "gone": 0, "unknown": 1}
    assert made["a/hushed"]["names"]["asked"] == 0
    said = due.run("review", "--names").out
    assert "a/late: OVERDUE by 3 d 23 h" in said or "a/late: OVERDUE by 3 d 22 h" in said
    assert "not asked for: the order is sealed" in said
    assert "mailto:contest@authority.example" in said


def test_the_exit_code_tells_whether_something_is_overdue(site: Site) -> None:
    open_order(site, "soon", SOON)
    site.apply()
    assert site.run("review").code == 0
    quiet = site.run("review", "--within", "2d")
    assert (quiet.code, quiet.out) == (0, "no review is overdue, and none is due within 2 d\n")
    assert "is not a duration" in site.run("review", "--within", "soon").err


def test_the_ledger_is_told_once_of_what_is_overdue(due: Site) -> None:
    open_order(due, "more", FAR)
    due.apply()
    told = [one for one in json.loads(due.run("ledger", "--json").out) if one["event"] == "review-overdue"]
    assert [one["subject"] for one in told] == ["a/hushed", "a/late"]


def test_a_site_that_lapses_frees_what_is_overdue_and_every_verb_says_why(due: Site) -> None:
    now = NOW.isoformat()
    assert due.is_blocked("late.example", at=now)
    lapse(due)
    plan = due.run("plan").out
    assert "of what was applied before" in plan
    assert "a/late/one" in plan
    assert "what is overdue for review is not enforced any more" in plan
    assert due.apply().code == 0
    assert due.is_blocked("soon.example", at=now)
    then = (NOW + timedelta(minutes=10)).isoformat()
    assert due.is_blocked("late.example", at=now), "it was enforced until the site chose otherwise"
    assert not due.is_blocked("late.example", at=then)
    for live in ([], ["--live"]):
        said = due.run("explain", "late.example", "--at", then, "--region", "ID", *live).out
        assert "the authority did not lift it" in said
        assert "lapsed since" in said
        assert f"its review was due {datetime.fromisoformat(LATE):%Y-%m-%dT%H:%M:%SZ}, and this" in said
        events = json.loads(due.run("timeline", "--json", *live).out)
        assert [one["event"] for one in events if one["ref"] == "a/late/one"] == ["starts", "lapsed"]
    due.block("more", "more.example")
    assert "a/late" not in due.run("plan").out, "what lapsed stays so as it was"
    early = due.run("explain", "late.example", "--at", "2025-01-01", "--region", "ID").out
    assert "not yet in force" in early
    assert json.loads(due.run("review", "--json").out)[1]["lapsed"] == ["a/late/one"]
    assert "no: the site lets it lapse" in due.run("review").out
    report = json.loads(due.run("report", "a/late", "--json").out)
    assert report["directives"][0]["lapsed"][0]["until"] is None
    assert "The authority did not lift it." in " ".join(report["summary"])
    assert "its review was due" in due.run("report", "a/late").out


def test_deleting_the_file_of_what_lapsed_is_no_lift_and_a_renewal_starts_it_again(due: Site) -> None:
    lapse(due)
    due.apply()
    due.act("renewal", "amend", "a/late", f"review_by: {FAR}", start=NOW.isoformat())
    assert due.apply().code == 0
    assert due.is_blocked("late.example", at=(NOW + timedelta(minutes=1)).isoformat())
    due.path("soon").unlink()
    assert "deleting a file is not a lift" in due.apply().err


def test_what_was_never_applied_while_a_site_kept_it_lapsed_when_its_review_was_due(site: Site) -> None:
    open_order(site, "late", LATE)
    lapse(site)
    assert site.apply().code == 0
    day = timedelta(days=1)
    before, after = (datetime.fromisoformat(LATE) + step for step in (-day, day))
    for live in (True, False):
        assert site.is_blocked("late.example", live=live, at=before.isoformat())
        assert not site.is_blocked("late.example", live=live, at=after.isoformat())
    said = site.run("explain", "late.example", "--at", after.isoformat(), "--region", "ID").out
    assert "its review was due then, and this site" in said
    assert "lapses_from" not in site.run("ledger").out, "it was so always"


def test_a_site_that_keeps_again_blocks_again(due: Site) -> None:
    lapse(due)
    due.apply()
    lapse(due, "keep")
    assert "what is overdue for review is enforced again" in due.run("plan").out
    assert due.apply().code == 0
    assert due.is_blocked("late.example", at=NOW.isoformat())
    report = json.loads(due.run("report", "a/late", "--json").out)
    assert [one["act"] for one in report["operator_acts"]] == ["lapses", "keeps"]
