from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from blocker.policy import ledger, warninglists
from blocker.policy.hold import GUARDS
from blocker.policy.radius import REASONS

if TYPE_CHECKING:
    from tests.cli.conftest import Site

WIDE = "ocsp.ca.example"  # held by its own words, whatever the lists say
ADDS = """\
add:
  - id: more
    names: [{name}]
    match: subtree
    regions: [ID]
    from: 2026-02-01T00:00:00Z
    until: 2099-01-01T00:00:00Z"""


def plan(site: Site) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(site.run("plan", "--json").out)
    return found


def events(site: Site, *only: str) -> list[tuple[str, str, dict[str, Any]]]:
    found = ledger.entries(site.folder / "state", only=only or ("held", "accepted"))
    return [(one.event, one.subject, one.facts) for one in found]


def accept(site: Site, digest: str) -> int:
    return site.run("apply", "--accept", digest, "--reason", "the authority confirmed it").code


def allow(site: Site, most: str) -> None:
    path = site.folder / "site.yaml"
    path.write_text(path.read_text().replace("max_added: 5", f"max_added: {most}"))


def test_a_held_order_waits_while_the_rest_is_applied_and_the_refusal_names_the_way(site: Site) -> None:
    site.block("wide", "x.example", WIDE)
    site.block("plain", "y.example")
    ran = site.apply()
    assert ran.code == 3
    assert "held: a/wide: 1 name is where certificates are checked (OCSP, CRL)\n" in ran.err
    assert f"`blocker apply --accept {plan(site)['digest']} --reason TEXT`" in ran.err
    assert f"`blocker apply --accept {plan(site)['digest']} --reason TEXT`" in site.apply().err
    assert site.is_blocked("y.example")
    assert not site.is_blocked("x.example")
    assert not site.is_blocked(WIDE)


def test_plan_marks_what_is_held_and_says_how_to_accept_all_of_it(site: Site) -> None:
    site.block("wide", WIDE)
    site.block("plain", "y.example")
    ran = site.run("plan")
    assert ran.code == 3
    assert "HELD  a/wide\n" in ran.out
    assert f"blocker apply --reason TEXT \\\n    --accept {plan(site)['digest']}\n" in ran.out


def test_the_plan_accepted_by_its_digest_is_applied_whole_and_never_held_again(site: Site) -> None:
    site.block("wide", WIDE)
    site.block("plain", "y.example")
    assert accept(site, plan(site)["digest"]) == 0
    assert site.is_blocked(WIDE)
    assert site.is_blocked("y.example")
    assert site.apply().out.endswith("nothing to change: generation 1 has these orders\n")
    site.block("more", "z.example")
    assert site.apply().code == 0


def test_an_accepted_plan_is_accepted_after_the_rest_was_applied_too(site: Site) -> None:
    site.block("wide", WIDE)
    site.block("plain", "y.example")
    site.apply()
    assert accept(site, plan(site)["digest"]) == 0
    assert site.is_blocked(WIDE)


def test_the_command_that_apply_prints_is_right_though_a_region_changed_with_the_rest(site: Site) -> None:
    site.block("plain", "y.example")
    site.apply()
    site.block("wide", WIDE)
    file = site.folder / "site.yaml"
    file.write_text(file.read_text().replace("192.0.2.128/25", "192.0.2.128/26"))
    ran = site.apply()
    assert (ran.code, accept(site, ran.err.split("--accept ")[1].split()[0])) == (3, 0)
    assert site.is_blocked(WIDE)


@pytest.mark.parametrize("what", ["alone", "shortened by an amend that is held for its own names"])
def test_an_order_is_held_for_its_names_though_its_time_is_over(site: Site, what: str) -> None:
    """It would come back without being asked about: by an amend, by what stays held, by a clock set right."""
    site.block("plain", "y.example")
    site.block("wide", WIDE, until="2026-03-01" if what == "alone" else "2099-01-01")
    if what != "alone":
        site.act("short", "amend", "a/wide", "until: 2026-03-01", ADDS.format(name="crl.ca.example"))
    ran = site.apply()
    assert ran.code == 3
    assert "held: a/wide: 1 name is where certificates are checked (OCSP, CRL)\n" in ran.err
    assert not site.is_blocked(WIDE, at="2026-02-15")
    assert accept(site, plan(site)["digest"]) == 0
    assert site.is_blocked(WIDE, at="2026-02-15")
    assert not site.is_blocked(WIDE)


def test_an_order_that_came_in_is_told_as_it_holds_until_its_amend_is_accepted(site: Site) -> None:
    site.block("plain", "y.example", until="2099-01-01")
    site.act("short", "amend", "a/plain", "until: 2098-03-01", ADDS.format(name=WIDE))
    one, short = sorted(plan(site)["orders"], key=lambda each: str(each["id"]))
    assert one["directives"][0]["until_accepted"].endswith("until 1 January 2099, 00:00 UTC")
    assert (one["directives"][0]["in_force"], short["directives"][0]["until_accepted"]) != ("", None)
    assert (
        "without held  from 1 January 2026, 00:00 UTC until 1 January 2099, 00:00 UTC" in site.run("plan").out
    )
    assert site.apply().code == 3
    assert site.is_blocked("y.example", at="2098-06-01")


def test_a_digest_does_not_accept_what_was_held_since(site: Site) -> None:
    site.block("wide", WIDE)
    digest = plan(site)["digest"]
    site.block("wider", "crl.ca.example")
    ran = site.run("apply", "--accept", digest, "--reason", "read")
    assert ran.code == 3
    assert "read it again with `blocker plan`" in ran.err
    assert not site.is_blocked(WIDE, live=False, at="2020-01-01")
    assert not (site.folder / "state" / "policy.lmdb").exists()


def test_the_digest_of_the_same_orders_differs_by_what_is_held_in_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.block("one", "google.com")
    held = plan(site)
    monkeypatch.setattr(warninglists, "find_spec", lambda _name: None)
    free = plan(site)
    assert (held["held"], free["held"]) == (["a/one"], [])
    assert held["next"] == free["next"]
    assert held["digest"] != free["digest"]
    assert accept(site, held["digest"]) == 3


def test_a_plan_without_the_lists_says_how_to_install_them_and_holds_by_suffixes_all_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warninglists, "find_spec", lambda _name: None)
    site.block("one", "google.com")
    site.block("two", "github.io")
    ran = site.run("plan")
    assert ran.out.count("pip install 'blocker[radius]'") == 1
    assert plan(site)["held"] == ["a/two"]


def test_nothing_is_said_of_lists_where_there_was_nothing_to_judge(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.block("one", "x.example")
    site.apply()
    monkeypatch.setattr(warninglists, "known_of", None)
    site.act("lift", "lift", "a/one")
    ran = site.run("plan")
    assert ran.code == 0
    assert "judged by" not in ran.out


def test_one_such_name_among_many_holds_its_whole_order(site: Site) -> None:
    allow(site, "500")
    names = [f"n{number}.example" for number in range(200)]
    site.block("many", *names[:100], "github.io", *names[100:])
    found = plan(site)
    (why,) = [why for why in found["orders"][0]["why"] if why["id"] == "public-suffix-private"]
    assert (why["count"], why["first"]) == (1, ["github.io"])
    assert site.apply().code == 3
    assert not site.is_blocked("n7.example")


def test_what_is_about_a_held_order_waits_with_it(site: Site) -> None:
    site.block("wide", WIDE)
    site.act("more", "amend", "a/wide", "until: 2098-01-01")
    site.act("stop", "suspend", "a/wide")
    site.act("end", "lift", "a/stop", start="2026-03-01")
    site.block("plain", "y.example")
    found = plan(site)
    assert (found["held"], found["waits"]) == (["a/wide"], ["a/end", "a/more", "a/stop"])
    ran = site.apply()
    assert (ran.code, "waiting with it: a/end, a/more, a/stop\n" in ran.err) == (3, True)
    assert site.is_blocked("y.example")
    assert accept(site, plan(site)["digest"]) == 0
    assert site.is_blocked(WIDE)


def test_a_held_amend_leaves_its_order_as_it_was_and_a_lift_of_that_goes_through(site: Site) -> None:
    site.block("one", "x.example", "y.example")
    site.apply()
    site.act(
        "more",
        "amend",
        "a/one",
        "add:",
        f"  - {{id: n, names: [{WIDE}], regions: [ID], from: 2026-03-01, until: 2099-01-01}}",
    )
    assert site.apply().code == 3
    assert site.is_blocked("x.example")
    assert not site.is_blocked(WIDE)
    site.act("end", "lift", "a/one", start="2098-03-01")
    assert site.apply().code == 3
    assert site.is_blocked("x.example")
    assert not site.is_blocked("x.example", at="2098-06-01")


def test_an_order_that_comes_with_its_own_suspension_is_held_for_it_may_come_back(site: Site) -> None:
    site.block("wide", WIDE)
    site.act("stop", "suspend", "a/wide")
    assert (plan(site)["held"], plan(site)["waits"]) == (["a/wide"], ["a/stop"])


def test_a_lift_is_never_held(site: Site) -> None:
    site.block("wide", WIDE)
    accept(site, plan(site)["digest"])
    site.act("stop", "suspend", "a/wide", "until: 2026-03-01")
    site.act("end", "lift", "a/wide", start="2026-04-01")
    assert site.apply().code == 0
    assert not site.is_blocked(WIDE)


def test_whoever_answers_yes_gets_the_rest_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return True

    monkeypatch.setattr("click.confirm", confirm)
    site.block("wide", WIDE)
    site.block("plain", "y.example")
    assert site.run("apply").code == 3
    assert asked == ["apply this plan without the 1 order held?"]
    assert site.is_blocked("y.example")
    assert not site.is_blocked(WIDE)


def test_the_rest_alone_can_be_accepted_past_the_limits(site: Site) -> None:
    site.block("wide", WIDE)
    site.block("big", *(f"n{number}.example" for number in range(6)))
    ran = site.apply()
    assert ran.code == 3
    assert "it blocks 6 more names, limits.max_added is 5" in ran.err
    rest = ran.err.split("--accept ")[1].split()[0]
    assert rest != plan(site)["digest"]
    assert accept(site, rest) == 3
    assert site.is_blocked("n3.example")
    assert not site.is_blocked(WIDE)
    assert [event for event, _, _ in events(site)] == ["accepted", "held"]
    assert events(site, "accepted")[0][2]["orders"] == {}


def test_a_problem_elsewhere_is_said_first(site: Site) -> None:
    site.block("wide", WIDE)
    site.block("bad", "https://y.example/path")
    assert site.apply().code == 2
    assert site.run("plan").code == 2


def test_the_ledger_has_what_was_held_once_and_what_was_accepted_and_no_names(site: Site) -> None:
    site.block("wide", WIDE, publication="sealed")
    site.apply()
    site.apply()
    found = plan(site)
    accept(site, found["digest"])
    held, accepted = events(site)
    assert held[:2] == ("held", "a/wide")
    assert held[2]["reasons"] == {"ocsp-crl": 1}
    assert accepted[2]["plan"] == found["digest"]
    assert accepted[2]["reason"] == "the authority confirmed it"
    assert accepted[2]["orders"] == {"a/wide": {"ocsp-crl": 1}}
    assert all("ca.example" not in one.detail for one in ledger.entries(site.folder / "state"))


def test_an_order_held_for_another_reason_is_told_again(site: Site) -> None:
    site.block("wide", WIDE)
    site.apply()
    site.block("wide", WIDE, "github.io")
    site.apply()
    assert [set(facts["reasons"]) >= {"ocsp-crl"} for _, _, facts in events(site)] == [True, True]


def test_a_ledger_that_cannot_be_read_is_warned_of_and_the_rest_is_applied(site: Site) -> None:
    site.block("plain", "y.example")
    site.apply()
    (site.folder / "state" / "ledger.sqlite").write_bytes(b"no database" * 100)
    site.block("wide", WIDE)
    site.block("more", "z.example")
    ran = site.apply()
    assert ran.code == 3
    assert "warning: " in ran.err
    assert site.is_blocked("z.example")


def test_the_limit_of_each_order_holds_the_order_that_is_over_it(site: Site) -> None:
    text = (site.folder / "site.yaml").read_text()
    (site.folder / "site.yaml").write_text(
        text.replace("max_added: 5,", "max_added: 50, max_added_per_order: 2,")
    )
    site.block("big", "a.example", "b.example", "c.example")
    site.block("small", "d.example")
    ran = site.apply()
    assert ran.code == 3
    assert "held: a/big: it blocks 3 names; limits.max_added_per_order is 2" in ran.err
    assert site.is_blocked("d.example")
    assert not site.is_blocked("a.example")


def test_many_names_of_other_orders_below_one_hold_it_whether_they_are_live_or_new(site: Site) -> None:
    allow(site, "50")
    site.block("live", *(f"l{number}.parent.example" for number in range(6)))
    site.apply()
    site.block("new", *(f"n{number}.parent.example" for number in range(4)))
    site.block("parent", "parent.example")
    (order,) = [one for one in plan(site)["orders"] if one["id"] == "a/parent"]
    assert [why["id"] for why in order["why"]] == ["covers-ordered"]
    assert order["covers"] == [{"name": "parent.example", "count": 10}]


def test_the_names_of_an_order_do_not_hold_their_own_parent(site: Site) -> None:
    allow(site, "50")
    site.block("one", "parent.example", *(f"n{number}.parent.example" for number in range(12)))
    found = plan(site)
    assert (found["held"], found["orders"][0]["covers"]) == ([], [])


def test_every_reason_to_hold_an_order_is_explained() -> None:
    page = (Path(__file__).parents[2] / "ops" / "docs" / "plan.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)
    assert told == [*REASONS, *GUARDS]


def big(site: Site, count: int = 2000) -> None:
    """An applied order of a list of names below one parent."""
    write_list(site, "big", *(f"m{number}.many.example" for number in range(count)))
    site.apply()
    accept(site, plan(site)["digest"])


def write_list(site: Site, slug: str, *names: str, of: str = "") -> None:
    """An order of a list of names, or an amend that removes them from another."""
    path = site.path(slug).with_suffix(".txt")
    path.write_text("".join(f"{name}\n" for name in names))
    file = f"{{file: {slug}.txt, sha256: {hashlib.sha256(path.read_bytes()).hexdigest()}}}"
    if of:
        site.act(slug, "amend", of, f"remove_file: {file}")
        return
    site.block(slug)
    site.write(slug, site.path(slug).read_text().replace("names: []", f"names_file: {file}"))


@pytest.mark.parametrize("written", ["many.example", '"*.many.example"'])
def test_a_parent_that_is_removed_counts_all_names_that_it_frees(site: Site, written: str) -> None:
    big(site)
    site.act("rm", "amend", "a/big", f"remove: [{written}]")
    found = plan(site)
    (change,) = found["changes"]
    (why,) = found["orders"][0]["why"]
    assert (change["names"], why["id"], why["count"]) == (2000, "removes-many", 2000)
    assert why["sentence"].startswith("it takes away 2,000 of the 2,000 names of its order, 100%")
    shown = written.strip('"')
    assert f"frees         2,000 names, at or below these: {shown}\n" in site.run("plan").out
    assert site.apply().code == 3
    assert site.is_blocked("m7.many.example")
    assert ("held", "a/rm", {"removes-many": 2000}) in [
        (event, order, facts.get("reasons")) for event, order, facts in events(site)
    ]


def test_the_end_of_such_a_removal_blocks_as_many_and_is_refused(site: Site) -> None:
    big(site)
    site.act("rm", "amend", "a/big", "remove: [many.example]")
    accept(site, plan(site)["digest"])
    site.act("unrm", "lift", "a/rm", start="2026-03-01")
    assert "2,000 names blocked that were not, " in site.run("plan").out
    ran = site.apply()
    assert ran.code == 3
    assert "it blocks 2,000 more names, limits.max_added is 5" in ran.err
    assert not site.is_blocked("m7.many.example")
    assert accept(site, plan(site)["digest"]) == 0
    assert site.is_blocked("m7.many.example")
    (*_, planned) = events(site, "planned")
    assert planned[2]["blocks"] == 2000


def test_an_order_counts_the_same_whether_a_parent_is_removed_or_a_list(site: Site) -> None:
    big(site)
    write_list(site, "rm", *(f"m{number}.many.example" for number in range(2000)), of="a/big")
    listed = plan(site)
    site.act("rm", "amend", "a/big", "remove: [many.example]")
    parent = plan(site)
    assert [one["changes"][0]["names"] for one in (listed, parent)] == [2000, 2000]
    assert [one["orders"][0]["why"] for one in (listed, parent)] == [parent["orders"][0]["why"]] * 2


def test_what_a_removal_spares_is_told_on_the_page(site: Site) -> None:
    big(site)
    site.act("rm", "amend", "a/big", "remove: [many.example]")
    site.run("plan", "--html", str(site.folder / "plan.html"))
    page = (site.folder / "plan.html").read_text()
    assert '<dd>2,000 names, at or below these<ul class="names"><li>many.example</li></ul></dd>' in page


def test_a_removal_that_comes_with_its_order_counts_the_names_that_are_new(site: Site) -> None:
    site.block("one", "a.many.example", "b.many.example", "c.example")
    site.act("rm", "amend", "a/one", "remove: [many.example]")
    found = {change["ref"]: change["names"] for change in plan(site)["changes"]}
    assert found == {"a/one/one": 3, "a/rm:remove": 2}


def test_a_removal_whose_list_the_archive_lost_is_counted_by_what_is_applied(site: Site) -> None:
    """Nobody must wait for a lift because a file is gone."""
    big(site)
    write_list(site, "rm", "many.example", of="a/big")
    accept(site, plan(site)["digest"])
    path = site.path("rm").with_suffix(".txt")
    (site.folder / "state" / "archive" / hashlib.sha256(path.read_bytes()).hexdigest()).unlink()
    path.unlink()
    site.act("unrm", "lift", "a/rm", start="2026-03-01")
    assert site.run("plan").out.count("2,000 names blocked that were not") == 1
