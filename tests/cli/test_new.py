"""`blocker new`, in a pipe and at a real terminal."""

from __future__ import annotations

import hashlib
import io
import os
import pty
import select
import struct
import sys
from fcntl import ioctl
from termios import TIOCSWINSZ
from typing import TYPE_CHECKING

import pytest

from blocker.orders.model import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ran, Site

ENVELOPE = (
    "--authority", "District Court", "--jurisdiction", "ID", "--contact", "mailto:registry@court.example",
    "--legal-basis", "Judgment 1 C 7/26: injunction", "--publication", "public",
)  # fmt: skip
BLOCK = ("shop.test", "--kind", "block", *ENVELOPE, "--id", "court/shop")
MANY = "".join(f"shop-{number}.test\n" for number in range(51))


@pytest.fixture
def standing(site: Site) -> Site:
    """A site with an order in force, and one of the same authority that is suspended."""
    site.block("one", "one.test")
    site.block("two", "two.test")
    site.act("two-suspended", "suspend", "a/two")
    assert site.apply().code == 0
    return site


def orders(site: Site) -> set[str]:
    found = (site.folder / "orders").rglob("*")
    return {str(path.relative_to(site.folder / "orders")) for path in found if path.is_file()}


def piped(site: Site, monkeypatch: pytest.MonkeyPatch, octets: bytes, *words: str) -> Ran:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))
    return site.run("new", *words)


FLAGS: dict[Kind, tuple[str, ...]] = {
    Kind.BLOCK: BLOCK,
    Kind.SUSPEND: ("--kind", "suspend", "--of", "a/one", "--legal-basis", "x", "--until", "2098-01-01"),
    Kind.REINSTATE: ("--kind", "reinstate", "--of", "a/two", "--legal-basis", "x"),
    Kind.LIFT: ("--kind", "lift", "--of", "a/one/one", "--legal-basis", "x"),
    Kind.AMEND: (
        "--kind",
        "amend",
        "--of",
        "a/one",
        "--legal-basis",
        "x",
        "new.test",
        "--remove",
        "w.one.test",
    ),
}


@pytest.mark.parametrize("kind", Kind)
def test_an_order_of_each_kind_is_written_in_a_pipe_checked_and_applied(standing: Site, kind: Kind) -> None:
    before = orders(standing)
    ran = standing.run("new", *FLAGS[kind])
    assert ran.code == 0, ran.err
    (new,) = orders(standing) - before
    assert ran.out == f"written: {standing.folder}/orders/{new}\n"
    assert "`blocker check`" in ran.err
    checked = standing.run("check")
    assert (checked.code, checked.out) == (0, "")
    assert standing.apply().code == 0


def test_what_was_written_holds(standing: Site) -> None:
    standing.run("new", *FLAGS[Kind.BLOCK], "--except", "help.shop.test", "--from", "2026-01-01")
    standing.run("new", *FLAGS[Kind.LIFT], "--from", "2026-03-01")
    standing.apply()
    assert standing.is_blocked("www.shop.test")
    assert not standing.is_blocked("help.shop.test")
    assert not standing.is_blocked("one.test")


def test_all_that_is_missing_is_named_in_one_sentence(site: Site) -> None:
    ran = site.run("new")
    assert ran.code == 2
    for flag in (
        "--kind",
        "--authority",
        "--jurisdiction",
        "--contact",
        "--legal-basis",
        "--publication",
        "NAME",
    ):
        assert flag in ran.err
    assert "--of" not in ran.err
    assert "--legal-basis; give them" in site.run(
        "new", "--kind", "lift", "--of", "a/x", *ENVELOPE[:6]
    ).err.replace(", --publication", "")
    assert orders(site) == set()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("https://shop.test/x",), "url-not-a-name: 'https://shop.test/x' is a URL; DNS can't block a path."),
        (("kept.example",), "protected-name: 'kept.example' would block 'kept.example'"),
        (("a.test", "--from", "2026-01-10T12:00"), "time-without-zone: "),
        (("a.test", "--until", "2020-01-01"), "empty-window: "),
        (("a.test", "--region", "ID"), "No such option"),
        (("a.test", "--regions", "FR"), "unknown-region: 'FR' is not a region of this site"),
        (("a.test", "--redirect", "0.0.0.0"), "redirect-address-invalid: "),
        (("a.test", "--id", "a/../../x"), "order-id-invalid: "),
        (("a.test", "--names-file", "-"), "not both"),
    ],
)
def test_a_wrong_flag_gets_the_sentence_that_check_has_for_it(
    site: Site, flags: tuple[str, ...], said: str
) -> None:
    ran = site.run("new", "--kind", "block", *ENVELOPE, *flags)
    assert ran.code == 2
    assert said in ran.err
    assert orders(site) == set()


def test_a_kind_that_there_is_not_is_told_in_one_sentence_and_nothing_else(site: Site) -> None:
    ran = site.run("new", "--kind", "nonsense", *ENVELOPE, "shop.test", "--dry-run")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "kind-unknown: 'nonsense' is unknown; write one of block, suspend, reinstate, lift, amend.\n"
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((*BLOCK, "--remove", "x.test"), "--remove is not for block (it is for amend)"),
        ((*BLOCK, "--of", "a/one"), "--of is not for block (it is for suspend, reinstate, lift, amend)"),
        ((*FLAGS[Kind.LIFT], "w.one.test"), "NAME is not for lift (it is for block, amend)"),
        ((*FLAGS[Kind.LIFT], "--names-file", "-"), "NAME is not for lift (it is for block, amend)"),
        ((*FLAGS[Kind.LIFT], "--until", "2098-01-01"), "--until is not for lift (it is for block, "),
        ((*BLOCK, "--deadline", "1d"), "--deadline goes with --received"),
        ((*BLOCK, "--action", "nodata", "--redirect", "192.0.2.80"), "goes with --action redirect"),
        ((*BLOCK, "--action", "redirect"), "missing: --redirect"),
        (("--kind", "amend", "--of", "a/one", "--legal-basis", "x", "--remove", "w.one.test",
          "--regions", "GB", "--match", "exact"), "--regions goes with NAME; --match goes with NAME"),
        ((*BLOCK, "--until", ""), "--until is empty; give it a value, or leave it out"),
        ((*BLOCK, "--except", ""), "--except is empty; give it a value, or leave it out"),
    ],
)  # fmt: skip
def test_a_flag_that_would_change_nothing_is_not_passed_over(
    standing: Site, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], said: str
) -> None:
    before = orders(standing)
    ran = piped(standing, monkeypatch, MANY.encode(), *flags)
    assert ran.code == 2
    assert said in " ".join(ran.err.split())
    assert orders(standing) == before


def test_an_order_with_an_end_has_the_review_that_was_asked_for_too(site: Site) -> None:
    words = ("--until", "2098-01-01", "--review-by")
    assert "time-invalid: 'soon'" in site.run("new", *BLOCK, *words, "soon").err
    ran = site.run("new", *BLOCK, *words, "2097-01-01", "--dry-run")
    assert ("until: 2098-01-01" in ran.out, "review_by: 2097-01-01" in ran.out) == (True, True)


def test_a_warning_is_told_and_the_order_written(site: Site) -> None:
    ran = site.run("new", *BLOCK, "--except", "help.elsewhere.test")
    assert ran.code == 0
    assert "warning: except-unused: " in ran.err
    assert orders(site) == {"court/shop.yaml"}


def test_a_dry_run_prints_the_order_and_writes_nothing(site: Site) -> None:
    ran = site.run("new", *BLOCK, "--dry-run")
    assert ran.code == 0
    assert "order: court/shop" in ran.out
    assert orders(site) == set()
    site.path("x").parent.parent.joinpath("court").mkdir()
    (site.folder / "orders" / "court" / "shop.yaml").write_text(ran.out)
    assert site.run("check").code == 0


def test_an_order_is_never_overwritten(site: Site) -> None:
    assert site.run("new", *BLOCK).code == 0
    before = (site.folder / "orders" / "court" / "shop.yaml").read_bytes()
    ran = site.run("new", *BLOCK, "--reference", "another")
    assert ran.code == 2
    assert "none is overwritten" in ran.err
    assert (site.folder / "orders" / "court" / "shop.yaml").read_bytes() == before


def test_the_next_order_of_that_day_and_name_gets_a_number(site: Site) -> None:
    words = (*BLOCK[:-2], "--issued", "2026-01-10")
    assert site.run("new", *words).code == 0
    assert site.run("new", *words).code == 0
    assert orders(site) == {
        "district-court/2026-01-10-shop.yaml",
        "district-court/2026-01-10-shop-2.yaml",
    }


def test_a_few_names_of_a_file_or_a_pipe_stand_in_the_order(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "few.txt").write_text("# two\nb.test\n*.c.test  # only below\n")
    ran = site.run("new", *BLOCK[1:], "--names-file", str(tmp_path / "few.txt"), "--dry-run")
    assert '      - b.test\n      - "*.c.test"\n' in ran.out
    again = piped(
        site, monkeypatch, (tmp_path / "few.txt").read_bytes(), *BLOCK[1:], "--names-file", "-", "--dry-run"
    )
    assert again.out == ran.out


@pytest.mark.parametrize("way", ["file", "pipe", "arguments"])
def test_many_names_become_a_list_beside_the_order_fixed_by_its_digest(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    (tmp_path / "many.txt").write_text(MANY)
    if way == "file":
        ran = site.run("new", *BLOCK[1:], "--names-file", str(tmp_path / "many.txt"))
    elif way == "pipe":
        ran = piped(site, monkeypatch, MANY.encode(), *BLOCK[1:], "--names-file", "-")
    else:
        ran = site.run("new", *MANY.split(), *BLOCK[1:])
    assert ran.code == 0, ran.err
    assert orders(site) == {"court/shop.yaml", "court/shop.txt"}
    assert (site.folder / "orders" / "court" / "shop.txt").read_text() == MANY
    text = (site.folder / "orders" / "court" / "shop.yaml").read_text()
    assert hashlib.sha256(MANY.encode()).hexdigest() in text
    assert site.run("check").code == 0


@pytest.mark.parametrize(
    ("publication", "mode"), [("public", 0o644), ("sealed", 0o640), ("sealed-until-effective", 0o640)]
)
def test_what_is_sealed_is_written_for_the_group_alone(
    site: Site, tmp_path: Path, publication: str, mode: int
) -> None:
    (tmp_path / "many.txt").write_text(MANY)
    words = (*BLOCK[1:], "--publication", publication, "--names-file", str(tmp_path / "many.txt"))
    before = os.umask(0o022)
    try:
        assert site.run("new", *words).code == 0
    finally:
        os.umask(before)
    written = [site.folder / "orders" / name for name in orders(site)]
    assert {path.stat().st_mode & 0o777 for path in written} == {mode}
    assert len(written) == 2
    ran = site.run("check")
    assert (ran.code, ran.out) == (0, "")


def test_a_list_that_lies_below_orders_is_named_where_it_is(site: Site) -> None:
    (site.folder / "orders" / "lists").mkdir()
    path = site.folder / "orders" / "lists" / "many.txt"
    path.write_text(MANY)
    assert site.run("new", *BLOCK[1:], "--names-file", str(path)).code == 0
    assert orders(site) == {"court/shop.yaml", "lists/many.txt"}
    assert site.run("check").code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<!DOCTYPE html>\n", "names-file-not-a-list"),
        ("a.test\nhttps://b.test/x\n", "url-not-a-name"),
        ("# nothing\n", "names-file-empty"),
        (MANY + "kept.example\n", "protected-name: 'kept.example'"),
    ],
)
def test_a_list_with_something_wrong_in_it_is_told_and_nothing_written(
    site: Site, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "list.txt").write_text(content)
    ran = site.run("new", *BLOCK[1:], "--names-file", str(tmp_path / "list.txt"))
    assert ran.code == 2
    assert said in ran.err
    assert orders(site) == set()


def test_a_list_that_is_not_there_is_told(site: Site, tmp_path: Path) -> None:
    ran = site.run("new", *BLOCK[1:], "--names-file", str(tmp_path / "gone.txt"))
    assert ran.code == 2
    assert "names-file-unreadable: it can't be read: No such file" in ran.err


def test_the_schema_is_named_where_the_site_has_it(site: Site) -> None:
    assert "$schema" not in site.run("new", *BLOCK, "--dry-run").out
    (site.folder / "order.schema.json").write_text("{}")
    assert site.run("new", *BLOCK, "--dry-run").out.startswith(
        "# yaml-language-server: $schema=../../order.schema.json\n"
    )


def test_an_order_whose_file_is_gone_can_still_be_lifted(standing: Site) -> None:
    standing.path("one").unlink()
    assert standing.run("new", *FLAGS[Kind.LIFT]).code == 0


class Terminal:
    """A real terminal of 80 columns with the verb in it."""

    def __init__(self, site: Site, *words: str) -> None:
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            arguments = [
                sys.executable,
                "-m",
                "blocker",
                "--site",
                str(site.folder / "site.yaml"),
                "new",
                *words,
            ]
            os.execv(sys.executable, arguments)
        ioctl(self._end, TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
        self.seen = ""

    def answer(self, *lines: str) -> str:
        """Type each line when it is asked for; what was shown in all."""
        for line in lines:
            self._read(until=(" > ", "[Y/n]: "))
            os.write(self._end, f"{line}\n".encode())
        return self.seen

    def end(self) -> int:
        self._read(until=())
        _, status = os.waitpid(self.pid, 0)
        os.close(self._end)
        return os.waitstatus_to_exitcode(status)

    def _read(self, *, until: tuple[str, ...]) -> None:
        fresh = ""
        while not fresh.endswith(until or ("\0",)):
            assert select.select([self._end], [], [], 60)[0], self.seen
            try:
                part = os.read(self._end, 4096).decode(errors="replace")
            except OSError:  # How Linux says that the other side is closed.
                part = ""
            if not part:
                assert not until, self.seen
                return
            fresh += part
            self.seen += part


def test_a_person_is_asked_until_each_answer_is_right(site: Site) -> None:
    terminal = Terminal(site)
    terminal.answer(
        "blok", "",  # kind
        "", "District Court",  # an authority can't be left out
        "ID",
        "registry@court.example", "mailto:registry@court.example",
        "Judgment 1 C 7/26", "",
        "",  # reference
        "2026-01-10",
        "now", "24h",
        "<", "2d",  # back to the deadline
        "",  # publication
        "https://shop.test/x", "shop.test, www.grok.test", "",
        "help.shop.test", "",
        "FR", "",  # regions
        "", "",  # match, action
        "2026-01-11",
        "", "",  # until, review_by
        "",  # id
        "y",
    )  # fmt: skip
    assert terminal.end() == 0
    for sentence in (
        "kind-unknown: 'blok' is unknown",
        "contact-invalid: 'registry@court.example'",
        "url-not-a-name: 'https://shop.test/x' is a URL",
        "unknown-region: 'FR' is not a region of this site",
        "next: `blocker check`",
    ):
        assert sentence in terminal.seen
    assert orders(site) == {"district-court/2026-01-10-shop.yaml"}
    text = (site.folder / "orders" / "district-court" / "2026-01-10-shop.yaml").read_text()
    assert "deadline: 2d " in text
    asked = terminal.seen.partition("# Never change")[0].replace("\r", "").splitlines()
    assert max(len(line) for line in asked if "\x1b" not in line) <= 80
    assert site.run("check").code == 0


def test_the_orders_that_fit_are_offered_by_number(standing: Site) -> None:
    terminal = Terminal(standing, "--kind", "reinstate")
    terminal.answer("1", "", "", "", "Judgment 3", "", "", "", "", "", "", "", "y")
    assert terminal.end() == 0
    assert "1  a/two (block by Test Authority)" in terminal.seen
    assert "a/one (" not in terminal.seen
    (new,) = {name for name in orders(standing) if name.endswith("-reinstated.yaml")}
    assert "of: a/two" in (standing.folder / "orders" / new).read_text()


@pytest.mark.parametrize("answer", ["n", "\x03"], ids=["no", "Ctrl-C"])
def test_who_thinks_better_of_it_leaves_nothing_behind(standing: Site, answer: str) -> None:
    before = orders(standing)
    terminal = Terminal(standing, "--kind", "lift", "--of", "a/one")
    terminal.answer("", "", "", "Judgment 3", "", "", "", "", "", "", "", answer)
    assert terminal.end() == 130
    assert orders(standing) == before
