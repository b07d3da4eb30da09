"""An applied order is what was applied: what happens to its files later is told, with a way out."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran, Site

LIST = b"one.example\ntwo.example\n"


@pytest.fixture
def applied(site: Site) -> Site:
    """A site with a block of one name and one of a list, both in force."""
    site.block("one", "x.example")
    site.block("list", "y.example")
    path = site.path("list")
    digest = hashlib.sha256(LIST).hexdigest()
    text = path.read_text().replace("names: [y.example]", f"names_file: {{file: list.txt, sha256: {digest}}}")
    path.write_text(text)
    (path.parent / "list.txt").write_bytes(LIST)
    assert site.apply().code == 0
    return site


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def restored(site: Site, ran: Ran) -> Ran:
    """`check`, after the command that it named was run as it stands there."""
    (command,) = re.findall(r"`((?:mkdir|cp) [^`]*)`", ran.out)
    subprocess.run(["sh", "-c", command], check=True)
    return site.run("check")


@pytest.mark.parametrize(
    "change",
    [
        lambda octets: octets.replace(b"x.example", b"z.example"),
        lambda octets: b"# only a comment\n" + octets,
        lambda octets: octets + b"\n",
    ],
    ids=["name", "comment", "blank line"],
)
def test_a_changed_file_of_an_applied_order_is_told_with_the_commands_that_mend_it(
    applied: Site, change: Callable[[bytes], bytes]
) -> None:
    path = applied.path("one")
    rewrite(path, change)

    ran = applied.run("check")

    archive = applied.folder / "state" / "archive"
    assert ran.code == 2
    assert ran.out == (
        f"{path}:1:1 applied-order-changed: this order is applied and its file was changed since; the "
        f"applied form stays in force. Restore the file (`cp {archive}/{kept(applied, 'one')} {path}`), and "
        "write what is to change as an order of its own: `blocker new --kind amend --of a/one`.\n"
    )
    assert applied.apply().code == 2
    assert applied.is_blocked("x.example")
    assert not applied.is_blocked("z.example")
    assert restored(applied, ran).code == 0


def kept(site: Site, slug: str) -> str:
    """The digest under which the order was archived."""
    (found,) = [
        path.name
        for path in (site.folder / "state" / "archive").iterdir()
        if f"order: a/{slug}\n".encode() in path.read_bytes()
    ]
    return found


def test_a_file_of_an_applied_order_that_is_gone_is_told_with_the_command_that_restores_it(
    applied: Site,
) -> None:
    applied.path("one").unlink()
    ran = applied.run("check")
    assert ran.code == 2
    assert "for deleting a file is not a lift" in ran.out
    assert "`blocker new --kind lift --of a/one`" in ran.out
    assert restored(applied, ran).code == 0


def test_a_file_that_is_gone_with_its_folder_is_restored_by_the_command_too(site: Site) -> None:
    site.block("one", "x.example")
    site.apply()
    shutil.rmtree(site.path("one").parent)
    ran = site.run("check")
    assert f"`mkdir -p {site.path('one').parent} && cp " in ran.out
    assert restored(site, ran).code == 0


def test_no_folder_is_made_that_other_orders_show_to_be_there(applied: Site) -> None:
    applied.path("one").unlink()
    assert "mkdir" not in applied.run("check").out


def test_a_renamed_file_is_told_in_both_its_places(applied: Site) -> None:
    applied.path("one").rename(applied.path("renamed"))
    ran = applied.run("check")
    assert ran.code == 2
    assert [line.split()[1] for line in ran.out.splitlines()] == ["applied-order-missing:", "id-not-path:"]
    assert applied.apply().code == 2
    assert applied.is_blocked("x.example")


@pytest.mark.parametrize(
    "change",
    [
        lambda octets: octets.replace(b"\n", b"\r\n"),
        lambda octets: b"\xef\xbb\xbf" + octets,
        lambda octets: octets,
    ],
    ids=["CR LF", "BOM", "touched"],
)
def test_what_editors_and_git_do_to_every_file_is_no_change(
    applied: Site, change: Callable[[bytes], bytes]
) -> None:
    rewrite(applied.path("one"), change)
    assert applied.run("check").code == 0
    assert "nothing to change" in applied.apply().out


def test_a_changed_list_of_an_applied_order_is_told_and_what_was_applied_holds(applied: Site) -> None:
    rewrite(applied.path("list").with_suffix(".txt"), lambda octets: octets + b"three.example\n")
    for verb in ("check", "plan"):
        ran = applied.run(verb)
        assert ran.code == 2
        assert "names-file-changed: 'list.txt': its SHA-256 is " in ran.out + ran.err
        assert "`blocker new --kind amend --of a/list`" in ran.out + ran.err
    assert applied.apply().code == 2
    assert applied.is_blocked("two.example")
    assert not applied.is_blocked("three.example")


def test_a_list_whose_line_ends_git_changed_is_told_what_happened(applied: Site) -> None:
    rewrite(applied.path("list").with_suffix(".txt"), lambda octets: octets.replace(b"\n", b"\r\n"))
    ran = applied.run("check")
    assert ran.code == 2
    assert "its line ends were changed from LF to CR LF, by git or an editor" in ran.out


def test_an_order_that_was_never_applied_may_be_changed_freely(site: Site) -> None:
    site.block("one", "x.example")
    site.run("check")
    site.block("one", "y.example")
    assert site.run("check").code == 0


def test_a_list_of_an_applied_order_that_is_gone_is_told_with_where_it_is_kept(applied: Site) -> None:
    (applied.path("list").parent / "list.txt").unlink()
    ran = applied.run("check")
    sha256 = hashlib.sha256(LIST).hexdigest()
    assert ran.code == 2
    assert f" The list as it was applied is in the state folder: archive/{sha256}." in ran.out
    assert (applied.folder / "state" / "archive" / sha256).read_bytes() == LIST


def spoil(site: Site, slug: str) -> Callable[[], None]:
    """Change an applied order's file and one octet of its archived form; what restores both."""
    path = site.path(slug)
    archived = site.folder / "state" / "archive" / kept(site, slug)
    before = [(one, one.read_bytes()) for one in (path, archived)]
    rewrite(path, lambda octets: octets.replace(b"2099-01-01", b"2098-01-01") + b"# changed\n")
    rewrite(archived, lambda octets: octets[:-1] + b"?")

    def restore() -> None:
        for one, octets in before:
            one.write_bytes(octets)

    return restore


def test_an_order_that_cannot_be_read_back_stays_as_it_is_and_a_lift_of_another_goes_on(
    applied: Site,
) -> None:
    restore = spoil(applied, "one")
    applied.act("end", "lift", "a/list")
    applied.act("end-one", "lift", "a/one")
    ran = applied.run("check")
    assert ran.code == 2
    (line,) = ran.out.splitlines()
    assert line.startswith(f"{applied.path('one')} applied-order-unreadable: ")
    assert "`blocker withhold a/one` ends its enforcement meanwhile." in line
    assert applied.apply().code == 2
    for live in (True, False):
        assert applied.is_blocked("x.example", live=live)
        assert not applied.is_blocked("two.example", live=live)
    assert applied.run("withhold", "a/one", "--reason", "x").code == 0
    assert not applied.is_blocked("x.example")
    applied.run("release", "a/one")
    restore()
    assert applied.apply().code == 0
    assert not applied.is_blocked("x.example")


def test_what_cannot_be_read_back_is_explained_as_far_as_the_store_has_it(applied: Site) -> None:
    spoil(applied, "one")
    for live in ((), ("--live",)):
        ran = applied.run("explain", "www.x.example", *live, "--region", "ID")
        assert ran.code == 0
        assert "a/one/one: in force since 2026-01-01T00:00:00Z, until 2099-01-01T00:00:00Z" in ran.out
        assert "who ordered it and why can't be read back; `blocker check` says more" in ran.out
        found = json.loads(applied.run("explain", "x.example", *live, "--region", "ID", "--json").out)
        assert found["directives"][0]["authority"] is None
        assert "who ordered it" not in applied.run("explain", "two.example", *live).out
    assert "a/one" in applied.run("timeline", "--all").out


def test_what_cannot_be_read_back_is_told_to_be_suspended_by_what_can(applied: Site) -> None:
    applied.act("pause", "suspend", "a/one")
    assert applied.apply().code == 0
    spoil(applied, "one")
    ran = applied.run("explain", "x.example", "--at", "2026-03-01", "--region", "ID")
    assert "a/one/one: suspended since 2026-02-01T00:00:00Z by a/pause" in ran.out


@pytest.mark.parametrize("kind", ["lift", "suspend"])
def test_a_block_does_not_come_back_because_its_lift_cannot_be_read(applied: Site, kind: str) -> None:
    applied.act("end", kind, "a/one")
    assert applied.apply().code == 0
    spoil(applied, "end")
    applied.path("end").unlink()
    applied.block("new", "new.example")
    assert applied.apply().code == 2
    assert applied.is_blocked("new.example")
    for live in (True, False):
        assert not applied.is_blocked("x.example", live=live)


@pytest.mark.parametrize(
    ("verb", "word"), [("plan", "new.example"), ("check", "applied-order-unreadable")], ids=["plan", "check"]
)
def test_a_plan_with_something_that_cannot_be_read_back_is_made(applied: Site, verb: str, word: str) -> None:
    spoil(applied, "one")
    applied.block("new", "new.example")
    ran = applied.run(verb)
    assert ran.code == 2
    assert word in ran.out + ran.err


def test_a_review_lists_what_cannot_be_read_back_without_its_authority(site: Site) -> None:
    for slug in ("one", "other"):
        site.block(slug, f"{slug}.example")
        site.write(slug, site.path(slug).read_text().replace("until: 2099-01-01", "review_by: 2026-02-01"))
    assert site.apply().code == 0
    spoil(site, "one")
    ran = site.run("review")
    assert ran.code == 4
    assert "a/one: OVERDUE" in ran.out
    assert "authority    can't be read back; `blocker check` says more" in ran.out
    assert "a/other: OVERDUE" in ran.out
    assert ran.err.count("warning: ") == 1
    one, other = json.loads(site.run("review", "--json").out)
    assert one["authority"] is one["jurisdiction"] is one["contact"] is one["publication"] is None
    assert other["contact"] == "mailto:contest@authority.example"


def test_a_report_is_made_though_an_order_that_is_no_act_about_it_cannot_be_read_back(applied: Site) -> None:
    spoil(applied, "list")
    ran = applied.run("report", "a/one", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["evidence"]["flaws"] == []
    assert applied.run("report", "a/list").code == 4
    assert applied.run("ledger", "export", "-").code == 4


def test_a_report_says_that_an_act_about_its_order_may_be_what_cannot_be_read_back(applied: Site) -> None:
    applied.act("end", "lift", "a/list")
    assert applied.apply().code == 0
    spoil(applied, "end")
    ran = applied.run("report", "a/one", "--json")
    assert ran.code == 4
    (flaw,) = json.loads(ran.out)["evidence"]["flaws"]
    assert flaw == (
        "applied orders that can't be read: 1; acts about this order may be among them, "
        "`blocker check` names them"
    )


def test_a_rollback_undoes_what_came_since_though_an_older_order_cannot_be_read_back(applied: Site) -> None:
    applied.block("mistake", "mistake.example")
    assert applied.apply().code == 0
    spoil(applied, "one")
    ran = applied.run("rollback", "1", "--reason", "a mistake")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "withheld: a/mistake")
    assert not applied.is_blocked("mistake.example")
    assert applied.is_blocked("x.example")
    assert applied.is_blocked("two.example")


def test_a_rollback_undoes_a_mistake_that_cannot_be_read_back_itself(applied: Site) -> None:
    applied.block("mistake", "mistake.example")
    assert applied.apply().code == 0
    spoil(applied, "mistake")
    ran = applied.run("rollback", "1", "--reason", "a mistake")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "withheld: a/mistake")
    assert not applied.is_blocked("mistake.example")
    assert applied.is_blocked("x.example")


def test_a_rollback_leaves_and_tells_of_what_cannot_be_read_back_and_may_have_changed_older_orders(
    applied: Site,
) -> None:
    applied.act("pause", "suspend", "a/one", start="2026-02-01")
    assert applied.apply().code == 0
    applied.act("again", "reinstate", "a/one", start="2026-03-01")
    applied.block("mistake", "mistake.example")
    assert applied.apply().code == 0
    restore = spoil(applied, "again")
    ran = applied.run("rollback", "2", "--reason", "a mistake")
    assert ran.code == 4
    assert "withheld: a/mistake\n" in ran.out
    assert "left: a/again: it, or an order about the same block, can't be read back" in ran.out
    assert applied.is_blocked("x.example"), "as before: what it was is not known"
    restore()
    assert applied.run("rollback", "2", "--reason", "a mistake").code == 0
    assert not applied.is_blocked("x.example")
