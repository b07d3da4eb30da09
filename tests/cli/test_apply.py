from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import lmdb
import pytest

from blocker import sitefile
from blocker.cli.approvals import UNSIGNED
from blocker.errors import StalePlan
from blocker.policy import apply, ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Site


def test_an_applied_order_blocks(site: Site) -> None:
    site.block("one", "x.example")
    assert site.apply().code == 0
    assert site.is_blocked("www.x.example")
    assert not site.is_blocked("notx.example")


def test_a_second_apply_changes_nothing(site: Site) -> None:
    site.block("one", "x.example")
    site.apply()
    again = site.apply()
    nothing = f"{UNSIGNED}\nnothing to change: generation 1 has these orders\n"
    assert (again.code, again.out) == (0, nothing)


def test_a_broken_file_does_not_hold_up_the_rest(site: Site) -> None:
    site.block("one", "x.example")
    site.block("two", "https://y.example/path")
    ran = site.apply()
    assert ran.code == 2
    assert "url-not-a-name" in ran.err
    assert "a/two" in ran.err
    assert site.is_blocked("x.example")


def test_an_applied_order_whose_file_breaks_stays_in_force_as_it_was(site: Site) -> None:
    site.block("one", "x.example")
    site.apply()
    site.write("one", "order: [")
    ran = site.apply()
    assert ran.code == 2
    assert site.is_blocked("x.example")


def test_an_urgent_lift_of_an_order_whose_file_broke_is_applied(site: Site) -> None:
    site.block("one", "x.example")
    site.apply()
    site.write("one", "order: [")
    site.act("lift", "lift", "a/one")
    ran = site.apply()
    assert ran.code == 2
    assert not site.is_blocked("x.example")


def test_a_lift_of_an_order_that_was_never_right_waits_with_it(site: Site) -> None:
    site.write("one", "order: [")
    site.act("lift", "lift", "a/one")
    ran = site.apply()
    assert ran.code == 2
    assert "left out, or in their last applied form: a/lift, a/one" in ran.err


def test_deleting_a_file_is_not_a_lift(site: Site) -> None:
    site.block("one", "x.example")
    site.apply()
    site.path("one").unlink()
    ran = site.apply()
    assert ran.code == 2
    assert "applied-order-missing" in ran.err
    assert site.is_blocked("x.example")


def test_changing_an_applied_file_changes_nothing(site: Site) -> None:
    site.block("one", "x.example")
    site.apply()
    site.block("one", "y.example")
    ran = site.apply()
    assert ran.code == 2
    assert "applied-order-changed" in ran.err
    assert site.is_blocked("x.example")
    assert not site.is_blocked("y.example")


def test_deleting_the_lift_of_a_standing_order_does_not_revive_it(site: Site) -> None:
    site.block("one", "x.example", "y.example")
    site.act("lift", "lift", "a/one/one", start="2098-02-01")
    site.apply()
    site.path("lift").unlink()
    ran = site.apply()
    assert ran.code == 2
    assert "applied-order-missing" in ran.err
    assert str(site.path("lift")) in ran.err


def test_deleting_the_lift_of_a_block_that_is_over_does_not_revive_it(site: Site) -> None:
    site.block("one", "x.example")
    site.act("lift", "lift", "a/one")
    site.apply()
    site.path("lift").unlink()
    ran = site.apply()
    assert (ran.code, ran.err) == (0, "")
    assert not site.is_blocked("x.example")


def test_an_order_that_is_over_may_be_edited_without_a_word_and_without_effect(site: Site) -> None:
    site.block("one", "x.example", until="2026-02-01")
    site.apply()
    site.block("one", "x.example", until="2099-02-01")
    ran = site.apply()
    assert (ran.code, ran.err) == (0, "")
    assert not site.is_blocked("x.example")


def test_an_apply_that_was_stopped_before_its_first_commit_is_made_good_by_the_next(site: Site) -> None:
    site.block("one", "x.example")
    (site.folder / "state").mkdir()
    with lmdb.open(str(site.folder / "state" / "policy.lmdb"), subdir=False, max_dbs=5, map_size=1 << 24):
        pass
    assert site.run("check").code == 0
    assert site.apply().code == 0
    assert site.is_blocked("x.example")


def test_state_belongs_to_its_group_and_its_files_are_not_the_worlds(site: Site) -> None:
    site.block("one", "x.example")
    site.apply()
    modes = {path.name: path.stat().st_mode & 0o7777 for path in (site.folder / "state").iterdir()}
    assert (site.folder / "state").stat().st_mode & 0o7777 == 0o2750
    assert modes == {
        "policy.lmdb": 0o640,
        "policy.lmdb-lock": 0o660,
        "archive": 0o2750,
        "ledger.sqlite": 0o640,
    }


def test_a_family_that_is_over_may_be_moved_away(site: Site) -> None:
    site.block("one", "x.example", until="2026-02-01")
    site.act("stop", "suspend", "a/one", start="2026-01-05")
    site.apply()
    site.path("one").unlink()
    site.path("stop").unlink()
    ran = site.apply()
    assert ran.code == 0
    assert "applied: generation 2" in ran.out


def test_the_archive_has_every_applied_file(site: Site) -> None:
    site.block("one", "x.example")
    octets = site.path("one").read_bytes()
    site.apply()
    assert octets in [path.read_bytes() for path in (site.folder / "state" / "archive").iterdir()]


def damage(path: Path) -> None:
    """Change one octet of it."""
    octets = path.read_bytes()
    path.write_bytes(bytes([octets[0] ^ 1]) + octets[1:])


def kept(site: Site, what: str) -> Path:
    """The file of the archive that has this in it."""
    (found,) = [
        path for path in (site.folder / "state" / "archive").iterdir() if what.encode() in path.read_bytes()
    ]
    return found


def listing(site: Site, slug: str, octets: bytes) -> None:
    """Make the names of an order those of a list."""
    site.path(slug).with_suffix(".txt").write_bytes(octets)
    digest = hashlib.sha256(octets).hexdigest()
    named = f"names_file: {{file: {slug}.txt, sha256: {digest}}}"
    site.write(slug, re.sub(r"names: .*", named, site.path(slug).read_text()))


@pytest.mark.parametrize("what", ["order: a/one", "listed.example"])
@pytest.mark.parametrize("more", [False, True])
def test_what_is_damaged_in_the_archive_is_put_back_by_the_next_apply(
    site: Site, what: str, *, more: bool
) -> None:
    site.block("one", "x.example")
    listing(site, "one", b"listed.example\n")
    site.apply()
    path = kept(site, what)
    good = path.read_bytes()
    damage(path)
    if more:
        site.block("two", "y.example")
    assert site.apply().code == 0
    assert path.read_bytes() == good


def test_a_long_list_is_put_back_when_its_length_shows_that_it_is_damaged(site: Site) -> None:
    site.block("one", "x.example")
    listing(site, "one", b"# %s\nlisted.example\n" % (b"x" * (1 << 20)))
    site.apply()
    path = kept(site, "listed.example")
    good = path.read_bytes()
    damage(path)
    site.apply()
    assert path.read_bytes() != good  # nobody reads so much at each apply
    path.write_bytes(good[:-1])
    assert site.apply().code == 0
    assert path.read_bytes() == good


@pytest.mark.parametrize("spoil", [damage, Path.unlink], ids=["damaged", "missing"])
@pytest.mark.parametrize(
    "words",
    [
        ("rollback", "1", "--reason", "a mistake"),
        ("explain", "x.example", "--live"),
        ("report", "a/one", "--names"),
        ("ledger", "export", "-"),
    ],
    ids=lambda words: words[0],
)
def test_what_the_archive_has_lost_is_taken_from_the_orders_folder(
    site: Site, words: tuple[str, ...], spoil: Callable[[Path], None]
) -> None:
    site.block("one", "x.example")
    listing(site, "one", b"listed.example\n")
    site.apply()
    site.block("two", "y.example")
    site.apply()
    for what in ("order: a/one", "listed.example"):
        spoil(kept(site, what))
    ran = site.run(*words)
    assert ran.code == 0, ran.err
    assert "archive" not in ran.err


@pytest.mark.parametrize("more", [False, True])
def test_an_archive_that_was_lost_is_filled_again_by_the_next_apply(site: Site, more: bool) -> None:
    listed = site.path("one").with_suffix(".txt")
    site.block("one", "x.example")
    listed.write_bytes(b"listed.example\n")
    digest = hashlib.sha256(listed.read_bytes()).hexdigest()
    text = site.path("one").read_text()
    site.write("one", text.replace("names: [x.example]", f"names_file: {{file: one.txt, sha256: {digest}}}"))
    site.apply()
    archive = site.folder / "state" / "archive"
    before = {path.name: path.read_bytes() for path in archive.iterdir()}
    shutil.rmtree(archive)
    if more:
        site.block("two", "y.example")
    assert site.apply().code == 0
    after = {path.name: path.read_bytes() for path in archive.iterdir()}
    assert before.items() <= after.items()
    assert len(after) == len(before) + more


def test_a_damaged_archive_is_named_and_nothing_changes(site: Site) -> None:
    site.block("one", "x.example")
    site.apply()
    for path in (site.folder / "state" / "archive").iterdir():
        path.write_bytes(b"damaged")
    site.path("one").unlink()
    ran = site.apply()
    assert ran.code == 2
    assert "archive is damaged" in ran.err
    assert site.is_blocked("x.example")


def test_growth_beyond_the_limit_is_refused_with_the_way_past_it(site: Site) -> None:
    site.block("one", *(f"n{number}.example" for number in range(6)))
    ran = site.apply()
    assert ran.code == 3
    assert "it blocks 6 more names, limits.max_added is 5" in ran.err
    digest = json.loads(site.run("plan", "--json").out)["digest"]
    assert f"--accept {digest} --reason TEXT" in ran.err
    assert not (site.folder / "state" / "policy.lmdb").exists()


def test_an_accepted_plan_passes_the_guard(site: Site) -> None:
    site.block("one", *(f"n{number}.example" for number in range(6)))
    digest = json.loads(site.run("plan", "--json").out)["digest"]
    assert site.run("apply", "--accept", digest, "--reason", "read by two of us").code == 0
    assert site.is_blocked("n3.example")


def test_an_accepted_plan_that_changed_since_is_refused(site: Site) -> None:
    site.block("one", *(f"n{number}.example" for number in range(6)))
    digest = json.loads(site.run("plan", "--json").out)["digest"]
    site.block("two", "more.example")
    ran = site.run("apply", "--accept", digest, "--reason", "read by two of us")
    assert ran.code == 3
    assert "read it again with `blocker plan`" in ran.err


def test_an_acceptance_where_nothing_is_planned_is_told_to_be_of_another_plan(site: Site) -> None:
    site.block("one", *(f"n{number}.example" for number in range(6)))
    digest = json.loads(site.run("plan", "--json").out)["digest"]
    words = ("apply", "--accept", digest, "--reason", "read by two of us")
    assert site.run(*words).code == 0
    again = site.run(*words)
    assert again.code == 0
    assert (
        f"nothing was accepted: there is nothing to apply, and {digest[:16]}… is another plan's" in again.err
    )
    idle = json.loads(site.run("plan", "--json").out)["digest"]
    ran = site.run("apply", "--accept", idle, "--reason", "x")
    assert (ran.code, "nothing was accepted: this plan changes nothing" in ran.err) == (0, True)


def test_an_acceptance_of_a_plan_that_nothing_holds_is_told_to_have_let_nothing_past(site: Site) -> None:
    site.block("one", "x.example")
    digest = json.loads(site.run("plan", "--json").out)["digest"]
    ran = site.run("apply", "--accept", digest, "--reason", "read")
    assert ran.code == 0
    assert "nothing was held, and no limit stood in the way: the plan needed no acceptance" in ran.err
    site.block("two", *(f"n{number}.example" for number in range(6)))
    digest = json.loads(site.run("plan", "--json").out)["digest"]
    assert "needed no acceptance" not in site.run("apply", "--accept", digest, "--reason", "read").err


@pytest.mark.parametrize("verb", [("apply",), ("import", "list")])
@pytest.mark.parametrize(
    ("digest", "said"),
    [
        ("abc123", "it is too short: 6 characters, and a digest has 64"),
        ("a" * 65, "it is too long: 65 characters, and a digest has 64"),
        ("A" * 64, "a digest has only the characters 0-9 and a-f"),
    ],
)
def test_what_is_no_whole_digest_is_told_so_and_not_that_something_changed(
    site: Site, verb: tuple[str, ...], digest: str, said: str
) -> None:
    site.block("one", "x.example")
    ran = site.run(*verb, "--accept", digest, "--reason", "x")
    assert ran.code == 2
    assert said in " ".join(ran.err.split())


def test_accepting_needs_a_reason(site: Site) -> None:
    site.block("one", "x.example")
    ran = site.run("apply", "--accept", "0" * 64)
    assert ran.code == 2
    assert "--reason" in ran.err


def test_two_nodes_with_the_same_orders_have_the_same_digest(site: Site, tmp_path: Path) -> None:
    site.block("one", "x.example")
    site.block("two", "y.example")
    site.apply()
    first = json.loads(site.run("plan", "--json").out)["next"]
    shutil.rmtree(site.folder / "state")
    site.apply()
    assert json.loads(site.run("plan", "--json").out)["next"] == first


def test_withhold_is_at_once_and_survives_every_apply(site: Site) -> None:
    site.block("one", "x.example")
    site.apply()
    assert site.run("withhold", "a/one/one", "--reason", "wrong name").code == 0
    assert not site.is_blocked("x.example")
    site.block("two", "y.example")
    site.apply()
    assert not site.is_blocked("x.example")
    assert "withheld by this operator" in site.run("explain", "x.example", "--live").out
    assert site.run("release", "a/one/one").code == 0
    assert site.is_blocked("x.example")


@pytest.mark.parametrize("words", [("withhold", "a/two", "--reason", "r"), ("release", "a/one")])
def test_withholding_what_is_not_there_is_a_clear_error(site: Site, words: tuple[str, ...]) -> None:
    site.block("one", "x.example")
    site.apply()
    ran = site.run(*words)
    assert ran.code == 2
    assert words[1] in ran.err


def test_a_store_of_a_newer_format_is_refused_and_left_alone(site: Site) -> None:
    site.block("one", "x.example")
    site.apply()
    path = site.folder / "state" / "policy.lmdb"
    with lmdb.open(str(path), subdir=False, max_dbs=5, map_size=1 << 24) as store:
        meta = store.open_db(b"meta")
        with store.begin(write=True) as txn:
            txn.put(b"format", b"99", db=meta)
    site.block("two", "y.example")
    ran = site.apply()
    assert ran.code == 4
    assert "format 99" in ran.err


def test_no_store_yet_is_a_sentence_with_the_way_out(site: Site) -> None:
    ran = site.run("explain", "x.example", "--live")
    assert ran.code == 4
    assert "`blocker apply` makes it" in ran.err


def test_a_missing_orders_folder_is_a_sentence(site: Site) -> None:
    shutil.rmtree(site.folder / "orders")
    ran = site.apply()
    assert ran.code == 2
    assert "orders-missing" in ran.err


def test_acts_issued_on_one_day_are_known_in_the_order_they_take_effect(site: Site) -> None:
    """`go-on` sorts before `stop`; that must not make it a reinstate of nothing."""
    site.block("one", "x.example")
    for slug, kind, start in (("stop", "suspend", "2026-02-01"), ("go-on", "reinstate", "2026-03-01")):
        site.act(slug, kind, "a/one", start=start)
        text = site.path(slug).read_text().replace(f"issued: {start}", "issued: 2026-01-15")
        site.path(slug).write_text(text)
    ran = site.apply()
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(
    ("protected", "blocked"),
    [
        ("www.late.example", "www.late.example"),
        ("late.example", "late.example"),
        ("other.example", "deep.other.example"),
    ],
)
def test_a_name_protected_after_its_list_was_applied_is_a_problem(
    site: Site, protected: str, blocked: str
) -> None:
    octets = b"late.example\ndeep.other.example\nthird.example\n"
    (site.folder / "orders" / "a" / "list.txt").write_bytes(octets)
    site.block("one", "x.example")
    listed = f"names_file: {{file: list.txt, sha256: {hashlib.sha256(octets).hexdigest()}}}"
    site.write("one", site.path("one").read_text().replace("names: [x.example]", listed))
    assert site.apply().code == 0
    (site.folder / "protected.yaml").write_text(f"protected: [{protected}, free.example]\n")
    ran = site.apply()
    assert ran.code == 2
    assert f"protected-name: the applied directive a/one/one blocks '{blocked}'" in ran.err
    assert "`blocker withhold a/one/one`" in ran.err
    assert site.is_blocked("late.example")


def test_a_plan_made_before_another_apply_is_stale_even_if_the_orders_are_the_same(site: Site) -> None:
    site.block("one", "x.example")
    site.apply()
    path = site.folder / "site.yaml"
    before = sitefile.load(path)
    path.write_text(path.read_text() + "answers: {ttl: 60s, max_ttl: 1h}\n")
    plans = [apply.prepare(one, now=time.time()) for one in (before, sitefile.load(path))]
    apply.apply(plans[1], by="b", now=time.time())
    with pytest.raises(StalePlan, match="it is generation 2"):
        apply.apply(plans[0], by="a", now=time.time())


def test_declining_the_plan_applies_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.block("one", "x.example")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    ran = site.run("apply")
    assert ran.code == 3
    assert ran.out.endswith("not applied\n")
    assert not (site.folder / "state" / "policy.lmdb").exists()


@pytest.mark.parametrize("ref", ["a/stop", "a/longer", "a/cut", "a/cut:remove", "a/lift"])
def test_what_blocks_no_names_of_its_own_can_not_be_withheld(site: Site, ref: str) -> None:
    site.block("one", "x.example", "y.example")
    site.act("stop", "suspend", "a/one", start="2026-02-01")
    site.act("longer", "amend", "a/one", "until: 2099-06-01", start="2026-02-05")
    site.act("cut", "amend", "a/one", "remove: [y.example]", start="2026-02-10")
    site.act("lift", "lift", "a/one", start="2026-04-01")
    site.apply()
    ran = site.run("withhold", ref, "--reason", "r")
    assert (ran.code, ran.out) == (2, "")
    assert f"ref-blocks-nothing: {ref} blocks no names of its own; " in ran.err
    assert "withheld" not in site.run("ledger").out


def test_a_reason_as_rollbacks_give_it_is_no_reason_by_hand(site: Site) -> None:
    site.block("one", "x.example")
    site.apply()
    ran = site.run("withhold", "a/one", "--reason", "rollback to generation 0: as legal asked")
    assert (ran.code, "it begins as the reasons of rollbacks do" in ran.err) == (2, True)
    assert site.is_blocked("x.example")


def test_withholding_needs_a_reason(site: Site) -> None:
    site.block("one", "x.example")
    site.apply()
    assert site.run("withhold", "a/one", "--reason", " ").code == 2
    assert site.is_blocked("x.example")


def test_a_user_without_a_name_may_apply(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    site.block("one", "x.example")
    assert site.apply().code == 0


def test_apply_as_json_says_what_it_did(site: Site) -> None:
    site.block("one", "x.example")
    found = json.loads(site.run("apply", "--yes", "--json").out)
    assert (found["generation"], found["added"], found["changes"][0]["ref"]) == (1, 1, "a/one/one")
    assert json.loads(site.run("apply", "--yes", "--json").out)["changes"] == []
    assert site.run("apply", "--json").code == 2


def test_what_is_applied_withheld_and_released_is_in_the_ledger(site: Site) -> None:
    site.block("one", "one.example")
    site.apply()
    site.run("withhold", "a/one", "--reason", "wrong name")
    site.run("release", "a/one")
    found = list(ledger.entries(site.folder / "state"))
    assert [(one.event, one.subject) for one in found] == [
        ("received", "a/one"),
        ("checked", ""),
        ("planned", ""),
        ("applied", ""),
        ("withheld", "a/one"),
        ("released", "a/one"),
    ]
    assert found[3].facts["generation"] == 1
    assert list(found[3].facts["orders"]) == ["a/one"]
    assert found[4].facts["reason"] == "wrong name"
    assert ledger.verify(site.folder / "state") == []


def test_a_ledger_that_can_not_be_written_is_a_warning_and_the_policy_holds(site: Site) -> None:
    (site.folder / "state").mkdir()
    (site.folder / "state" / ledger.FILE).mkdir()
    site.block("one", "one.example")
    for words in (("apply", "--yes"), ("withhold", "a/one", "--reason", "r"), ("release", "a/one")):
        ran = site.run(*words)
        assert ran.code == 0
        assert "warning: " in ran.err
        assert "the ledger can't be written" in ran.err
    assert site.is_blocked("one.example")
