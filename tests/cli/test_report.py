"""`blocker report` and `blocker rejudge` on a site's own files: whom they tell what."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from blocker.compliance.operator_acts import UNTOLD
from blocker.compliance.schema import SCHEMA
from blocker.policy import ledger
from blocker.prober.judge import Kind
from blocker.prober.keeper import Keeper
from tests.cli.test_ledger import with_list
from tests.prober.proof import blocked, expectation, once, twice
from tests.prober.world import key, real

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.prober.evidence import Record
    from tests.cli.conftest import Site

START = 1_767_225_600  # 2026-01-01
POINTS = """\
points:
  - {name: p1, kind: embedded, address: "127.0.0.1:5300", region: ID}
  - {name: p2, kind: embedded, address: "127.0.0.1:5301", region: GB}
"""


@pytest.fixture
def applied(site: Site) -> Site:
    """One public order in force, confirmed at one point, and one that is sealed."""
    with (site.folder / "site.yaml").open("a") as file:
        file.write(POINTS)
    site.block("one", "one.example", "two.example")
    site.block("secret", "covert.example", publication="sealed")
    assert site.apply().code == 0
    keep(site, once(subject(), blocked, at=START + 9.0))
    return site


def subject(order: str = "a/one", name: str = "one.example") -> Any:
    return expectation(
        order=order, ref=f"{order}/one", name=key(name), since=float(START), started=START, because=()
    )


def keep(site: Site, *records: Record, is_sealed: bool = False) -> None:
    keeper = Keeper(site.folder / "state", 1 << 20)
    for one in records:
        keeper.keep(
            one.samples,
            one.expectation,
            one.evidence,
            one.finding,
            policy="",
            generation=1,
            is_sealed=is_sealed,
        )
    keeper.close()


def document(site: Site, order: str = "a/one", *words: str) -> dict[str, Any]:
    ran = site.run("report", order, "--json", *words)
    assert (ran.code, ran.err) == (0, "")
    made: dict[str, Any] = json.loads(ran.out)
    jsonschema.validate(made, SCHEMA)
    return made


def test_the_report_has_the_order_its_points_and_its_names(applied: Site) -> None:
    made = document(applied)
    assert made["order"]["authority"]["name"] == "Test Authority"
    assert made["directives"][0]["names"] == ["one.example", "two.example"]
    (confirmed,) = made["confirmations"]
    assert (confirmed["point"], confirmed["first_observed"]) == ("p1", "2026-01-01T00:00:09Z")
    assert made["applied"][0]["generation"] == 1
    assert made["evidence"]["records"] == 1


def test_two_runs_give_the_same_octets_and_the_ledger_knows_of_both(applied: Site) -> None:
    first, second = (applied.run("report", "a/one").out for _ in range(2))
    assert first == second
    told = [one.facts for one in ledger.entries(applied.folder / "state", only=("reported",))]
    assert [one["format"] for one in told] == ["html", "html"]
    assert told[0]["sha256"] == told[1]["sha256"]


def test_names_of_a_sealed_order_are_told_only_to_who_asks_for_them(applied: Site) -> None:
    keep(applied, once(subject("a/secret", "covert.example"), blocked, at=START + 9.0), is_sealed=True)
    for form in ("html", "json"):
        ran = applied.run("report", "a/secret", "--format", form)
        assert ran.code == 0
        assert "covert" not in ran.out
    assert document(applied, "a/secret")["directives"][0]["names_count"] == 1
    assert document(applied, "a/secret")["evidence"]["records"] == 1
    assert document(applied, "a/secret", "--names")["directives"][0]["names"] == ["covert.example"]


def test_a_report_says_nothing_of_other_orders(applied: Site) -> None:
    keep(applied, once(subject("a/secret", "covert.example"), blocked, at=START + 9.0), is_sealed=True)
    text = applied.run("report", "a/one").out
    assert "a/secret" not in text
    assert "covert" not in text


@pytest.mark.parametrize(
    "reason",
    [
        "hidden with covert.example",
        "as WWW.Covert.Example is",
        "see a/secret",
        "with the secret one",
        "listed.example is on it",
    ],
)
def test_a_reason_that_speaks_of_a_sealed_order_is_not_told_in_the_report_on_another(
    applied: Site, reason: str
) -> None:
    with_list(applied, "hushed", "listed.example", publication="sealed")
    assert applied.apply().code == 0
    applied.run("withhold", "a/one", "--reason", reason)
    (act,) = document(applied)["operator_acts"]
    assert (act["act"], act["ref"], act["reason"]) == ("withheld", "a/one", UNTOLD)
    page = applied.run("report", "a/one").out
    assert (reason in page, UNTOLD in page) == (False, True)
    assert applied.run("report", "a/one").out == page
    others = json.loads(applied.run("report", "a/hushed", "--json", "--names").out)
    assert others["operator_acts"] == []


def test_a_rollback_of_both_tells_its_reason_in_the_report_on_the_sealed_order_alone(site: Site) -> None:
    site.block("old", "old.example")
    assert site.apply().code == 0
    site.block("one", "one.example")
    site.block("secret", "covert.example", publication="sealed")
    site.block("other", "hush.example", publication="sealed")
    assert site.apply().code == 0
    site.run("rollback", "1", "--reason", "covert.example of a/secret is wrong, one.example too")

    def reasons(order: str) -> list[str]:
        made = json.loads(site.run("report", order, "--json").out)
        return [one["reason"] for one in made["operator_acts"] if one["act"] == "rolled-back"]

    assert reasons("a/one") == reasons("a/other") == [UNTOLD]
    assert reasons("a/secret") == [
        "rollback to generation 1: covert.example of a/secret is wrong, one.example too"
    ]


@pytest.mark.parametrize(
    "reason", ["a mistake", "one.example of a/one is a hospital", "ask hospital.example"]
)
def test_a_reason_that_speaks_of_nothing_sealed_is_told(applied: Site, reason: str) -> None:
    applied.run("withhold", "a/one", "--reason", reason)
    assert [one["reason"] for one in document(applied)["operator_acts"]] == [reason]


def test_a_reason_that_speaks_of_a_sealed_order_that_waits_in_the_folder_is_not_told(applied: Site) -> None:
    applied.block("kept-quiet", "github.io", "secret-b.example", publication="sealed")
    applied.block("broken", "https://x.example/path", publication="sealed")
    applied.run("withhold", "a/one", "--reason", "because secret-b.example waits")
    applied.run("withhold", "a/one", "--reason", "because a/broken waits")
    assert [one["reason"] for one in document(applied)["operator_acts"]] == [UNTOLD, UNTOLD]


def test_a_reason_is_told_as_it_was_at_the_instant_the_report_speaks_of(
    applied: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied.block("dawn", "dawn.example", publication="sealed-until-effective", start="2098-01-01")
    assert applied.apply().code == 0
    applied.run("withhold", "a/one", "--reason", "as a/dawn")
    before = applied.run("report", "a/one").out
    monkeypatch.setattr("blocker.cli.report.time.time", lambda: 4_102_444_800.0)
    assert applied.run("report", "a/one").out == before
    assert UNTOLD in before


def test_a_reason_is_not_told_if_an_order_or_a_list_that_it_may_speak_of_can_not_be_read(
    applied: Site,
) -> None:
    with_list(applied, "past", "past.example", until="2026-02-01", publication="sealed")
    assert applied.apply().code == 0
    applied.path("past").unlink()
    applied.path("past").with_suffix(".txt").rename(applied.folder / "list.txt")
    assert applied.apply().code == 0
    octets = (applied.folder / "list.txt").read_bytes()
    (applied.folder / "state" / "archive" / hashlib.sha256(octets).hexdigest()).unlink()
    applied.run("withhold", "a/one", "--reason", "past.example")
    assert [one["reason"] for one in document(applied)["operator_acts"]] == [UNTOLD]
    applied.run("withhold", "a/one", "--reason", "as a/secret")
    order = applied.folder / "state" / "archive" / ledger_digest(applied, "a/secret")
    order.unlink()
    applied.path("secret").unlink()
    assert [one["reason"] for one in document(applied)["operator_acts"]] == [UNTOLD, UNTOLD]


def ledger_digest(site: Site, order: str) -> str:
    found = (one.facts["orders"] for one in ledger.entries(site.folder / "state", only=("applied",)))
    return str(next(one[order] for one in found if order in one))


def test_names_of_long_lists_are_counted(applied: Site) -> None:
    names = [f"n{number}.example" for number in range(60)]
    applied.block("many", *names)
    digest = json.loads(applied.run("plan", "--json").out)["digest"]
    assert applied.run("apply", "--accept", digest, "--reason", "tried").code == 0
    (directive,) = document(applied, "a/many")["directives"]
    assert (directive["names_count"], directive["names"]) == (60, None)
    assert len(document(applied, "a/many", "--names")["directives"][0]["names"]) == 60


def test_names_that_lie_in_a_file_are_read_from_the_archive(applied: Site) -> None:
    listing = b"listed.example\n*.below.example\n"
    applied.path("list").with_suffix(".txt").write_bytes(listing)
    applied.block("list", "own.example")
    digest = hashlib.sha256(listing).hexdigest()
    text = applied.path("list").read_text()
    applied.write(
        "list",
        text.replace(
            "    regions:",
            f"    match: exact\n    names_file: {{file: list.txt, sha256: {digest}}}\n    regions:",
        ),
    )
    assert applied.apply().code == 0
    applied.path("list").with_suffix(".txt").unlink()
    assert document(applied, "a/list")["directives"][0]["names"] == [
        "*.below.example",
        "listed.example",
        "own.example (this name alone)",
    ]


def test_an_order_that_ended_and_was_tidied_away_can_still_be_reported_on(applied: Site) -> None:
    applied.act("lift", "lift", "a/one", start="2026-02-01")
    assert applied.apply().code == 0
    applied.path("one").unlink()
    applied.path("lift").unlink()
    assert applied.apply().code == 0
    assert applied.run("explain", "one.example", "--live").code == 0
    made = document(applied)
    assert [one["kind"] for one in made["acts"]] == ["lift"]
    assert made["directives"][0]["windows"] == [
        {"from": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}
    ]
    assert len(made["applied"]) == 3


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("a/on", "no order 'a/on' was ever applied here; did you mean a/one?"),
        ("zzz", "no order 'zzz' was ever applied here; `blocker timeline --live` lists them"),
        ("a/lift2", "this is an act about another order; report on a/one"),
    ],
)
def test_what_can_not_be_reported_on_is_said(applied: Site, order: str, words: str) -> None:
    applied.act("lift", "lift", "a/one", start="2098-02-01")
    applied.act("lift2", "lift", "a/lift", start="2097-02-01")
    assert applied.apply().code == 0
    ran = applied.run("report", order)
    assert ran.code == 2
    assert words in ran.err


def test_an_order_is_named_or_the_schema_asked_for(applied: Site) -> None:
    assert applied.run("report").code == 2
    assert json.loads(applied.run("report", "--schema").out) == SCHEMA


def test_a_file_is_written_whole_for_owner_and_group(applied: Site, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    ran = applied.run("report", "a/one", "--out", str(out))
    assert (ran.code, ran.out) == (0, "")
    assert out.read_text(encoding="utf-8") == applied.run("report", "a/one").out
    assert out.stat().st_mode & 0o007 == 0
    nowhere = tmp_path / "no" / "report.html"
    ran = applied.run("report", "a/one", "--out", str(nowhere))
    assert ran.code == 4
    assert f"{nowhere}: the report can't be written: No such file or directory" in ran.err


def test_evidence_that_is_not_whole_is_said_in_the_report_and_by_the_exit_code(applied: Site) -> None:
    path = applied.folder / "state" / "evidence" / "open" / "00000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"rules":', b'"rulez":'))
    ran = applied.run("report", "a/one", "--json")
    assert ran.code == 4
    assert "warning: open/00000001: " in ran.err
    assert json.loads(ran.out)["evidence"]["flaws"]
    assert applied.run("rejudge").code == 4


def test_a_ledger_that_can_not_be_written_is_a_warning(
    applied: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "note", lambda *_: "no room")
    ran = applied.run("report", "a/one")
    assert (ran.code, ran.err) == (0, "warning: no room\n")


def praised(at: float) -> Record:
    """A leak that an older version called fine."""
    leak = twice(subject(), real, at=at)
    return replace(leak, finding=replace(leak.finding, kind=Kind.OK, rule="an-older-rule"))


def test_judging_again_by_the_same_rules_changes_nothing(applied: Site) -> None:
    ran = applied.run("rejudge")
    assert (ran.code, ran.out) == (0, "1 record judged again, 0 otherwise, 0 newly not as ordered\n")
    assert json.loads(applied.run("rejudge", "--json").out) == []


def test_what_today_s_rules_find_wrong_is_shown_with_what_was_said_and_exit_code_1(applied: Site) -> None:
    keep(applied, praised(START + 5000.0))
    ran = applied.run("rejudge")
    assert ran.code == 1
    assert "ok (an-older-rule)\tunderblock (resolves-though-blocked)" in ran.out
    assert "2 records judged again, 1 otherwise, 1 newly not as ordered" in ran.out
    assert "one.example" not in ran.out
    (made,) = json.loads(applied.run("rejudge", "--json", "--names").out)
    assert made == {
        "at": "2026-01-01T01:23:20Z",
        "point": "p1",
        "order": "a/one",
        "transport": "udp",
        "rules": made["rules"],
        "was": {"kind": "ok", "rule": "an-older-rule"},
        "now": {"kind": "underblock", "rule": "resolves-though-blocked"},
        "name": "one.example",
    }
    assert "one.example" in applied.run("rejudge", "--names").out
    assert applied.run("rejudge", "--since", "2026-01-02").code == 0


def test_what_is_not_judged_any_more_is_no_accusation(applied: Site) -> None:
    old = once(subject(), blocked, at=START + 5000.0)
    keep(applied, replace(old, expectation=replace(old.expectation, since=START + 9000.0, started=START + 1)))
    ran = applied.run("rejudge")
    assert ran.code == 0
    assert "not judged" in ran.out
    assert json.loads(applied.run("rejudge", "--json").out)[0]["now"] is None
