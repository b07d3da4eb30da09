"""`blocker rollback`: one command undoes a mistaken apply, and blocks nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import lmdb
import pytest

from blocker.policy import records

if TYPE_CHECKING:
    from tests.cli.conftest import Site


@pytest.fixture
def mistaken(site: Site) -> Site:
    """Generation 1 blocks one name; generation 2 two more, by two orders, and lifts the first."""
    site.block("one", "one.example")
    assert site.apply().code == 0
    site.block("two", "two.example")
    site.block("three", "three.example")
    site.act("end", "lift", "a/one")
    assert site.apply().code == 0
    return site


def test_what_came_since_is_no_longer_enforced_and_what_was_lifted_stays_lifted(mistaken: Site) -> None:
    assert mistaken.is_blocked("two.example")
    ran = mistaken.run("rollback", "1", "--reason", "a list of the wrong country")
    assert ran.code == 0
    assert ran.out.splitlines()[:2] == ["withheld: a/three", "withheld: a/two"]
    assert not any(mistaken.is_blocked(f"{name}.example") for name in ("one", "two", "three"))


def test_it_survives_later_applies_until_it_is_released(mistaken: Site) -> None:
    mistaken.run("rollback", "1", "--reason", "a mistake")
    mistaken.block("four", "four.example")
    assert mistaken.apply().code == 0
    assert mistaken.is_blocked("four.example")
    assert not mistaken.is_blocked("two.example")
    assert mistaken.run("release", "a/two", "a/three").code == 0
    assert mistaken.is_blocked("two.example")
    assert mistaken.is_blocked("three.example")


def test_it_is_the_operators_own_act_with_its_reason(mistaken: Site) -> None:
    mistaken.run("rollback", "1", "--reason", "a mistake")
    said = mistaken.run("explain", "two.example", "--live", "--at", "2026-06-01", "--region", "ID").out
    assert "withheld" in said
    assert "rollback to generation 1: a mistake" in said
    [event] = [
        one for one in json.loads(mistaken.run("ledger", "--json").out) if one["event"] == "rolled-back"
    ]
    assert event["detail"]["refs"] == ["a/three", "a/two"]
    assert (event["detail"]["generation"], event["detail"]["from"]) == (1, 2)
    assert event["detail"]["reason"] == "rollback to generation 1: a mistake"


def test_to_the_beginning_everything_goes(mistaken: Site) -> None:
    mistaken.block("four", "four.example")
    mistaken.apply()
    assert mistaken.run("rollback", "0", "--reason", "x").code == 0
    assert not any(mistaken.is_blocked(f"{name}.example") for name in ("one", "two", "three", "four"))


def test_a_dry_run_changes_nothing(mistaken: Site) -> None:
    ran = mistaken.run("rollback", "1", "--reason", "x", "--dry-run")
    assert ran.out.splitlines() == ["would be withheld: a/three", "would be withheld: a/two"]
    assert mistaken.is_blocked("two.example")


def test_twice_is_once(mistaken: Site) -> None:
    mistaken.run("rollback", "1", "--reason", "x")
    ran = mistaken.run("rollback", "1", "--reason", "x")
    assert ran.code == 0
    assert ran.out == "nothing that came into force since generation 1 is enforced here\n"


@pytest.mark.parametrize("generation", ["2", "3", "99", "-1", "abc", "", "1.5", "9" * 5000, "٣"])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_generation_that_is_not_before_is_refused_with_those_that_are(
    mistaken: Site, generation: str, dry: tuple[str, ...]
) -> None:
    ran = mistaken.run("rollback", generation, "--reason", "x", *dry)
    assert ran.code == 2
    assert (
        "no-such-generation: the live policy is generation 2; roll back to one before it, 0 to 1 (0 is "
        "before the first apply). `blocker ledger` shows which apply made which.\n" in ran.err
    )
    assert len(ran.err) < 300
    assert mistaken.is_blocked("two.example")


def test_before_the_second_apply_there_is_only_the_beginning_to_go_back_to(site: Site) -> None:
    assert (
        "there is no policy store yet; `blocker apply` makes it"
        in site.run("rollback", "0", "--reason", "x").err
    )
    assert (
        "there is no policy store yet; `blocker apply` makes it"
        in site.run("rollback", "abc", "--reason", "x").err
    )
    site.block("one", "one.example")
    site.apply()
    assert "generation 1; roll back to one before it, 0 (0 is before" in (
        site.run("rollback", "1", "--reason", "x").err
    )


def test_an_option_that_there_is_not_is_no_generation(mistaken: Site) -> None:
    assert mistaken.run("rollback", "1", "--dryrun", "--reason", "x").code == 2
    assert mistaken.run("rollback", "--dryrun", "1", "--reason", "x").code == 2
    assert mistaken.is_blocked("two.example")


def test_a_reason_must_be_given(mistaken: Site) -> None:
    assert mistaken.run("rollback", "1").code == 2
    assert mistaken.run("rollback", "1", "--reason", " ").code == 2
    assert mistaken.is_blocked("two.example")


@pytest.mark.parametrize("generation", ["-1", "abc", "", "1.5", "9" * 5000])
def test_a_release_of_a_rollback_to_what_is_no_generation_is_told_which_there_are(
    mistaken: Site, generation: str
) -> None:
    mistaken.run("rollback", "1", "--reason", "x")
    ran = mistaken.run("release", "--rollback", generation)
    assert ran.code == 2
    assert "no-such-generation: the live policy is generation 2; roll back to one before it" in ran.err
    assert len(ran.err) < 300
    assert not mistaken.is_blocked("two.example")


def test_what_is_released_is_released_whole_or_not_at_all(mistaken: Site) -> None:
    mistaken.run("rollback", "1", "--reason", "x")
    ran = mistaken.run("release", "a/two", "a/nine")
    assert ran.code == 2
    assert "'a/nine' is not withheld; withheld are: a/three, a/two" in ran.err
    assert not mistaken.is_blocked("two.example")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("a/two/one", "'a/two/one' is withheld with all of its order; release 'a/two'"),
        ("a/one", "not all of 'a/one' is withheld, only parts of it; release a/one/one"),
    ],
)
def test_what_is_withheld_under_another_name_is_said_to_be(mistaken: Site, asked: str, said: str) -> None:
    mistaken.run("withhold", "a/one/one", "--reason", "x")
    mistaken.run("rollback", "1", "--reason", "x")
    ran = mistaken.run("release", asked)
    assert ran.code == 2
    assert said in ran.err


def test_one_of_several_is_released_and_the_rest_stays_undone(mistaken: Site) -> None:
    mistaken.run("rollback", "1", "--reason", "x")
    assert mistaken.run("release", "a/two").code == 0
    assert mistaken.is_blocked("two.example")
    assert not mistaken.is_blocked("three.example")


def test_the_undoing_is_undone_with_one_command_and_leaves_what_was_withheld_before(mistaken: Site) -> None:
    mistaken.run("withhold", "a/three", "--reason", "a question to the court")
    mistaken.run("rollback", "1", "--reason", "x")
    listed = mistaken.run("release").out.splitlines()
    assert [line.split("\t")[0] for line in listed] == ["a/three", "a/three", "a/two"]
    assert listed[0].endswith("a question to the court")
    assert mistaken.run("release", "--rollback", "1").code == 0
    assert mistaken.is_blocked("two.example")
    assert not mistaken.is_blocked("three.example")
    again = mistaken.run("release", "--rollback", "1")
    assert (again.code, "nothing is withheld by a rollback to generation 1" in again.err) == (2, True)
    mistaken.run("release", "a/three")
    assert mistaken.run("release").out == "nothing is withheld\n"


def test_what_many_orders_did_is_undone_in_a_screenful(site: Site) -> None:
    path = site.folder / "site.yaml"
    path.write_text(path.read_text().replace("max_added: 5", "max_added: 500"))
    site.block("first", "first.example")
    site.apply()
    for number in range(60):
        site.block(f"n{number:02}", f"n{number:02}.example")
    site.apply()
    undone = site.run("rollback", "1", "--reason", "x").out.splitlines()
    assert (len(undone), undone[50][:13]) == (52, "… and 10 more")
    assert site.run("release", "a/first").err.count("a/n") == 5
    assert len(site.run("release", "--rollback", "1").out.splitlines()) == 51


def test_a_name_that_another_order_demands_stays_blocked_for_that_order_alone(site: Site) -> None:
    site.block("one", "both.example")
    site.apply()
    site.block("two", "both.example", "other.example")
    site.apply()
    site.run("rollback", "1", "--reason", "a mistake")
    made = json.loads(
        site.run("explain", "both.example", "--live", "--at", "2026-06-01", "--region", "ID", "--json").out
    )
    assert (made["blocked"], made["because"]) == (True, ["a/one/one"])
    assert {one["ref"]: one["state"] for one in made["directives"]} == {
        "a/one/one": "in-force",
        "a/two/one": "withheld",
    }
    assert not site.is_blocked("other.example")


def test_what_an_order_that_came_since_is_amended_to_stays_undone(mistaken: Site) -> None:
    mistaken.run("rollback", "1", "--reason", "a mistake")
    added = "{id: more, names: [more.example], regions: [ID], from: 2026-03-01, until: 2099-01-01}"
    mistaken.act("amend", "amend", "a/two", f"add: [{added}]", start="2026-03-01")
    assert mistaken.apply().code == 0
    assert not mistaken.is_blocked("more.example")
    assert not mistaken.is_blocked("two.example")
    said = mistaken.run("explain", "more.example", "--live", "--at", "2026-06-01", "--region", "ID").out
    assert "the authority did not lift it" in said


def test_report_and_ledger_of_an_order_tell_of_its_rollback_as_the_operators_act(mistaken: Site) -> None:
    mistaken.run("rollback", "1", "--reason", "a mistake")
    told = [one["event"] for one in json.loads(mistaken.run("ledger", "--order", "a/two", "--json").out)]
    assert told == ["received", "applied", "rolled-back"]
    made = json.loads(mistaken.run("report", "a/two", "--json").out)
    (act,) = made["operator_acts"]
    assert (act["act"], act["ref"]) == ("rolled-back", "a/two")
    assert "lifted" not in json.dumps(made["confirmations"])
    assert "a/three" not in json.dumps(made)


@pytest.fixture
def grown(site: Site) -> Site:
    """Generation 1 blocks two names until 2098, and spares a third; generation 2 puts that off, with a
    mistake beside it.
    """
    site.block("base", "base.example", "other.example", until="2098-01-01")
    site.act("cut", "amend", "a/base", "remove: [sub.base.example]")
    assert site.apply().code == 0
    site.block("mist", "mist.example")
    return site


def test_what_generation_n_enforces_itself_stays_in_force_and_is_told_with_its_ends_and_the_way(
    grown: Site,
) -> None:
    grown.act("prolong", "amend", "a/base", "until: 2099-01-01")
    assert grown.apply().code == 0
    for dry, said in (("--dry-run",), "would be withheld"), ((), "withheld"):
        ran = grown.run("rollback", "1", "--reason", "x", *dry)
        assert ran.code == 3
        first, second, *_ = ran.out.splitlines()
        assert first == f"{said}: a/mist"
        assert second == (
            "left: a/base/one: to withhold it would free what generation 1 blocks itself. There it is not "
            "in force from 2098-01-01T00:00:00Z on, now it is until 2099-01-01T00:00:00Z, by a/prolong. An "
            "order undoes that (`blocker new --kind amend --of a/base/one`); `blocker withhold a/base/one "
            "--reason TEXT` withholds all of it, at once"
        )
    assert grown.is_blocked("base.example")
    assert grown.is_blocked("other.example")
    assert not grown.is_blocked("mist.example")
    (event,) = [one for one in json.loads(grown.run("ledger", "--json").out) if one["event"] == "rolled-back"]
    assert (event["detail"]["refs"], event["detail"]["left"]) == (["a/mist"], ["a/base/one"])


def test_what_was_spared_and_is_no_longer_stays_blocked_with_all_that_was_blocked_before(grown: Site) -> None:
    grown.act("uncut", "lift", "a/cut", start="2026-03-01")
    assert grown.apply().code == 0
    ran = grown.run("rollback", "1", "--reason", "x")
    assert ran.code == 3
    assert (
        "left: a/base/one: to withhold it would free what generation 1 blocks itself. There it is without "
        "the names of a/cut:remove, now it has them, by a/uncut. An order undoes that" in ran.out
    )
    assert all(grown.is_blocked(f"{name}.example") for name in ("base", "other", "sub.base"))
    assert not grown.is_blocked("mist.example")


def test_where_all_is_left_nothing_is_said_to_be_withheld(grown: Site) -> None:
    grown.path("mist").unlink()
    grown.act("prolong", "amend", "a/base", "until: 2099-01-01")
    assert grown.apply().code == 0
    ran = grown.run("rollback", "1", "--reason", "x")
    assert (ran.code, "withheld:" in ran.out, "no longer enforced" in ran.out) == (3, False, False)
    assert ran.out.splitlines()[-1] == "what is left is not undone: not all is as it was in generation 1"
    assert grown.run("release").out == "nothing is withheld\n"


def test_what_is_back_and_was_to_be_back_later_is_withheld_with_the_instant_told(site: Site) -> None:
    site.block("one", "one.example")
    site.act("off", "suspend", "a/one", "until: 2098-01-01")
    assert site.apply().code == 0
    site.act("on", "reinstate", "a/one", start="2026-03-01")
    assert site.apply().code == 0
    ran = site.run("rollback", "1", "--reason", "x")
    assert ran.code == 0
    assert ran.out.startswith(
        "withheld: a/one/one; in generation 1 it is in force from 2098-01-01T00:00:00Z on, release it for "
    )
    assert not site.is_blocked("one.example")


def test_many_that_are_left_are_a_screenful(site: Site) -> None:
    path = site.folder / "site.yaml"
    path.write_text(path.read_text().replace("max_added: 5", "max_added: 500"))
    for number in range(60):
        site.block(f"n{number:02}", f"n{number:02}.example", until="2098-01-01")
    site.apply()
    for number in range(60):
        site.act(f"p{number:02}", "amend", f"a/n{number:02}", "until: 2099-01-01")
    assert site.apply().code == 0
    told = site.run("rollback", "1", "--reason", "x").out.splitlines()
    assert (len(told), told[50]) == (52, "… and 10 more are left")


def test_what_would_take_with_it_what_is_enforced_is_left(site: Site) -> None:
    path = site.folder / "site.yaml"
    path.write_text(f"{path.read_text()}review: {{overdue: lapse}}\n")
    site.block("one", "one.example", until="2099-01-01\n    review_by: 2026-02-01")
    added = "{id: more, names: [more.example], regions: [ID], from: 2026-03-01, until: 2099-01-01}"
    site.act("amend", "amend", "a/one/one", f"add: [{added}]", start="2026-03-01")
    assert site.apply().code == 0
    assert (site.is_blocked("one.example"), site.is_blocked("more.example")) == (False, True)
    site.act("reviewed", "amend", "a/one/one", "review_by: 2098-01-01", start="2026-04-01")
    assert site.apply().code == 0
    ran = site.run("rollback", "1", "--reason", "x")
    assert (ran.code, "withheld:" in ran.out) == (3, False)
    assert (
        "left: a/one/one: to withhold it would free a/amend/more, which generation 1 blocks itself."
        in ran.out
    )
    assert site.is_blocked("more.example")


def test_one_rollback_released_leaves_what_another_withholds(site: Site) -> None:
    for number in range(1, 5):
        site.block(f"g{number}", f"g{number}.example")
        assert site.apply().code == 0
    assert site.run("rollback", "3", "--reason", "x").out.startswith("withheld: a/g4\n")
    assert site.run("rollback", "1", "--reason", "y").out.startswith(
        "withheld: a/g2\nwithheld: a/g3\nwithheld: a/g4\n"
    )
    assert site.run("release", "--rollback", "3").out == (
        "released: a/g4, and still withheld: rollback to generation 1: y. `blocker release a/g4` ends that\n"
    )
    assert not site.is_blocked("g4.example")
    said = site.run("explain", "g4.example", "--live", "--at", "2026-06-01", "--region", "ID").out
    assert "rollback to generation 1: y" in said
    assert "generation 3" not in said
    assert len(site.run("release").out.splitlines()) == 3
    assert site.run("release", "--rollback", "1").code == 0
    assert all(site.is_blocked(f"g{number}.example") for number in range(1, 5))


def test_what_was_withheld_by_hand_stays_so_after_the_rollback_and_the_other_way_round(
    mistaken: Site,
) -> None:
    mistaken.run("withhold", "a/two", "--reason", "a question")
    assert "withheld: a/two\n" in mistaken.run("rollback", "1", "--reason", "x").out
    listed = [line.split("\t") for line in mistaken.run("release").out.splitlines()]
    assert [(row[0], row[3]) for row in listed] == [
        ("a/three", "rollback to generation 1: x"),
        ("a/two", "a question"),
        ("a/two", "rollback to generation 1: x"),
    ]
    assert "a/two, and still withheld: rollback to generation 1: x" in mistaken.run("release", "a/two").out
    assert not mistaken.is_blocked("two.example")
    assert mistaken.run("release", "a/two").out.startswith("released: a/two is enforced again")
    assert mistaken.is_blocked("two.example")
    told = json.loads(mistaken.run("ledger", "--order", "a/two", "--json").out)
    assert [one["detail"].get("still") for one in told if one["event"] == "released"] == [True, None]
    acts = json.loads(mistaken.run("report", "a/two", "--json").out)["operator_acts"]
    assert [one["act"] for one in acts] == ["withheld", "rolled-back", "released"]


def test_what_is_withheld_again_by_hand_has_the_later_reason_alone(mistaken: Site) -> None:
    mistaken.run("withhold", "a/two", "--reason", "a question")
    mistaken.run("withhold", "a/two", "--reason", "another")
    assert [line.split("\t")[3] for line in mistaken.run("release").out.splitlines()] == ["another"]


def test_what_several_rollbacks_withhold_is_let_out_of_all_of_them_by_its_name(mistaken: Site) -> None:
    mistaken.run("rollback", "1", "--reason", "x")
    mistaken.run("rollback", "0", "--reason", "y")
    assert mistaken.run("release", "a/two").out.startswith("released: a/two is enforced again")
    assert mistaken.is_blocked("two.example")


def test_what_is_withheld_with_its_order_too_is_said_to_be(mistaken: Site) -> None:
    mistaken.run("withhold", "a/two/one", "--reason", "a question")
    mistaken.run("rollback", "1", "--reason", "x")
    assert mistaken.run("release", "a/two/one").out == (
        "released: a/two/one, and still withheld with a/two: rollback to generation 1: x. "
        "`blocker release a/two` ends that\n"
    )
    assert not mistaken.is_blocked("two.example")


def test_what_the_site_lets_lapse_and_keeps_again_is_withheld_and_the_setting_told(site: Site) -> None:
    path = site.folder / "site.yaml"
    plain = path.read_text()
    path.write_text(f"{plain}review: {{overdue: lapse}}\n")
    site.block("rev", "rev.example", until="2099-01-01\n    review_by: 2026-02-01")
    assert site.apply().code == 0
    site.block("two", "two.example")
    assert site.apply().code == 0
    assert not site.is_blocked("rev.example")
    path.write_text(plain)
    assert site.apply().code == 0
    assert site.is_blocked("rev.example")
    ran = site.run("rollback", "2", "--reason", "x")
    assert ran.code == 3
    assert ran.out.startswith(
        "withheld: a/rev/one\nsite: review changed since; it was lapse, it is keep. A rollback leaves it; "
        "undo it in site.yaml, and `blocker apply`\n"
    )
    assert not site.is_blocked("rev.example")
    assert site.is_blocked("two.example")


def test_regions_that_grew_are_told_for_no_order_did_that(mistaken: Site) -> None:
    path = mistaken.folder / "site.yaml"
    path.write_text(path.read_text().replace('GB: ["198.51.100.0/24"]', 'GB: ["0.0.0.0/0"]'))
    digest = json.loads(mistaken.run("plan", "--json").out)["digest"]
    assert mistaken.run("apply", "--accept", digest, "--reason", "a mistake").code == 0
    ran = mistaken.run("rollback", "2", "--reason", "x")
    assert (ran.code, "nothing that came" in ran.out) == (3, False)
    assert "site: regions changed since; it was {" in ran.out
    assert "GB: 198.51.100.0/24" in ran.out
    assert "GB: 0.0.0.0/0" in ran.out
    assert mistaken.run("rollback", "0", "--reason", "x").code == 0


def test_what_no_version_kept_of_the_site_is_told_not_to_be_known(mistaken: Site) -> None:
    with lmdb.open(str(mistaken.folder / "state" / "policy.lmdb"), subdir=False, max_dbs=5) as store:
        meta = store.open_db(b"meta", create=False)
        with store.begin(write=True) as txn:
            assert txn.delete(records.site_key(1), db=meta)
    mistaken.block("four", "four.example")
    assert mistaken.apply().code == 0
    ran = mistaken.run("rollback", "1", "--reason", "x")
    assert (ran.code, "site: what site.yaml said then is not known" in ran.out) == (3, True)
    assert mistaken.run("rollback", "2", "--reason", "x").code == 0


def test_a_plan_says_of_what_is_withheld_that_it_stays_so(mistaken: Site) -> None:
    mistaken.run("rollback", "1", "--reason", "a mistake")
    added = "{id: more, names: [more.example], regions: [ID], from: 2026-03-01, until: 2099-01-01}"
    mistaken.act("amend", "amend", "a/two", f"add: [{added}]", "until: 2099-06-01", "remove: [x.two.example]")
    target = mistaken.folder / "plan.html"
    seen = mistaken.run("plan", "--html", str(target)).out
    assert "names blocked that were not (2 of them withheld: not enforced), 0 freed" in seen
    assert seen.count("  withheld      by this operator since ") == 2
    assert seen.count(" UTC, and so it stays until it is released\n") == 2
    page = target.read_text(encoding="utf-8")
    assert page.count("and so it stays until it is released") == 2
    assert "(2 of them withheld: not enforced)" in page
    made = json.loads(mistaken.run("plan", "--json").out)
    assert made["withheld"] == 2
    assert {one["ref"]: bool(one["withheld"]) for one in made["changes"]} == {
        "a/amend/more": True,
        "a/amend:remove": False,
        "a/two/one": True,
    }
    assert "2 of them withheld" in mistaken.apply().out
    assert not mistaken.is_blocked("more.example")


@pytest.mark.parametrize("how", ["narrowed", "lifted"])
def test_names_that_the_generation_blocks_by_what_is_over_since_are_told_to_be_free(
    site: Site, how: str
) -> None:
    site.block("old", "shop.example", "'*.deep.example'")
    assert site.apply().code == 0
    names = ("pay.shop.example", "'*.x.deep.example'", "other.example")
    if how == "narrowed":
        window = "regions: [ID], from: 2026-01-01, until: 2099-01-01"
        added = f"{{id: one, names: [{', '.join(names)}], except: [a.other.example], {window}}}"
        removed = "remove: [shop.example, deep.example]"
        site.act("new", "amend", "a/old", removed, f"add: [{added}]", start="2026-01-02")
    else:
        site.act("end", "lift", "a/old", start="2026-01-02")
        site.block("new", *names)
    assert site.apply().code == 0
    assert site.is_blocked("y.x.deep.example")
    dry = site.run("rollback", "1", "--reason", "a mistake", "--dry-run")
    ran = site.run("rollback", "1", "--reason", "a mistake")
    for one in (dry, ran):
        assert one.code == 3
        assert "freed: at least 2 names of a/new/one, which generation 1 blocks" in one.out
        assert one.out.splitlines()[-1] == "not all is as it was in generation 1"
    assert "`blocker release a/new` blocks all of it again" in " ".join(ran.out.split())
    assert not any(site.is_blocked(f"{name}.example") for name in ("pay.shop", "y.x.deep", "other"))


def test_names_that_are_free_since_for_another_reason_are_not_told(mistaken: Site) -> None:
    mistaken.block("cover", "one.example")
    assert mistaken.apply().code == 0
    ran = mistaken.run("rollback", "2", "--reason", "a mistake")
    assert (ran.code, "freed" in ran.out) == (0, False), "generation 2 had lifted it"
