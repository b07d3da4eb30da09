"""`blocker ledger`: what was done, whether it is whole, and an export that anybody can check."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from blocker.policy import ledger
from blocker.policy.chain import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Site


@pytest.fixture
def told(site: Site) -> Site:
    """Two applies, one order withheld and released."""
    site.block("one", "one.example")
    assert site.apply().code == 0
    site.block("two", "two.example")
    assert site.apply().code == 0
    assert site.run("withhold", "a/one", "--reason", "a hospital is behind it").code == 0
    assert site.run("release", "a/one").code == 0
    return site


def rewritten(site: Site, *statements: str) -> None:
    """What somebody does who has the file and knows SQLite."""
    with closing(sqlite3.connect(site.folder / "state" / ledger.FILE)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            database.execute(statement)
        database.commit()


def test_it_shows_what_was_done_in_order(told: Site) -> None:
    shown = told.run("ledger").out.splitlines()
    an_apply = ["received", "checked", "planned", "applied"]
    assert [line.split("\t")[2] for line in shown] == [*an_apply, *an_apply, "withheld", "released"]
    assert "reason a hospital is behind it" in shown[8]


def test_an_order_has_its_own_events_and_the_apply_that_brought_it(told: Site) -> None:
    events = json.loads(told.run("ledger", "--order", "a/one", "--json").out)
    assert [one["event"] for one in events] == ["received", "applied", "withheld", "released"]
    assert [one["event"] for one in json.loads(told.run("ledger", "--order", "a/two", "--json").out)] == [
        "received",
        "applied",
    ]


def test_what_happened_before_is_left_out(told: Site) -> None:
    assert json.loads(told.run("ledger", "--since", "2099-01-01", "--json").out) == []
    assert told.run("ledger", "--since", "2099-01-01").out == "nothing of that is in the ledger\n"


def test_a_long_ledger_shows_its_end_and_says_so(told: Site) -> None:
    ledger.append(told.folder / "state", [Event(at=1.0, event="reported", subject="a/one")] * 60)
    shown = told.run("ledger").out.splitlines()
    assert len(shown) == 51
    assert shown[-1] == "the last 50 of 70 events; --all shows all"
    assert len(told.run("ledger", "--all").out.splitlines()) == 70


def test_on_a_narrow_terminal_each_event_is_a_paragraph(told: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocker.cli.show.is_narrow", lambda: True)
    shown = told.run("ledger", "--order", "a/one").out.splitlines()
    assert [line[:5] for line in shown] == ["   1 ", "   4 ", "   9 ", "  10 "]
    assert shown[2].split("Z ", 1)[1].startswith("withheld a/one: by ")
    assert "reason a hospital is behind it" in shown[2]


def test_a_site_where_nothing_was_done_says_so(site: Site) -> None:
    assert site.run("ledger").out == "the ledger has no event yet\n"
    assert site.run("ledger", "verify").out.startswith("0 events, whole\n0:")


def test_a_whole_ledger_says_its_head_and_knows_it_again(told: Site) -> None:
    said = told.run("ledger", "verify")
    assert said.code == 0
    count, head = said.out.splitlines()
    assert count == "10 events, whole"
    assert told.run("ledger", "verify", "--head", head).code == 0


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE events SET at = at + 1 WHERE seq = 2", "entry 2 was changed"),
        ("UPDATE events SET detail = replace(detail, 'hospital', 'casino')", "entry 9 was changed"),
        ("DELETE FROM events WHERE seq = 3", "entry 3 is missing"),
        ("DELETE FROM events WHERE seq = 10", "entry 10 is not the one that was written down"),
        ("DELETE FROM events WHERE seq > 6", "entry 10 is not the one that was written down"),
        ("DELETE FROM events", "entry 10 is not the one that was written down"),
        ("UPDATE events SET seq = CASE seq WHEN 2 THEN -3 WHEN 3 THEN -2 ELSE seq END", "entry 2"),
    ],
)
def test_what_was_changed_removed_reordered_or_cut_off_is_found(
    told: Site, statement: str, words: str
) -> None:
    head = told.run("ledger", "verify").out.splitlines()[1]
    rewritten(told, statement, "UPDATE events SET seq = -seq WHERE seq < 0")
    said = told.run("ledger", "verify", "--head", head)
    assert said.code == 4
    assert words in said.err


def test_a_ledger_that_does_not_refuse_changes_any_more_is_told_until_something_is_added(told: Site) -> None:
    rewritten(told)
    said = told.run("ledger", "verify")
    assert (said.code, "the trigger events_never_go is gone" in said.err) == (4, True)
    assert told.run("withhold", "a/one", "--reason", "again").code == 0
    assert told.run("ledger", "verify").code == 0


@pytest.mark.parametrize("publication", ["public", "sealed"])
def test_two_hundred_random_tamperings_are_all_found(told: Site, tmp_path: Path, publication: str) -> None:
    """Of an export: one octet changed, lines removed, swapped, cut off; also where it has rows by their hash
    alone.
    """
    told.block("three", "three.example", publication=publication)
    assert told.apply().code == 0
    export = tmp_path / "ledger.jsonl"
    assert told.run("ledger", "export", str(export)).code == 0
    whole = export.read_bytes()
    head = told.run("ledger", "verify", "--file", str(export)).out.splitlines()[1]
    chance = random.Random(5)
    missed = []
    for number in range(200):
        changed = _tampered(whole, chance)
        export.write_bytes(changed)
        if told.run("ledger", "verify", "--file", str(export), "--head", head).code != 4:
            missed.append((number, changed))
    assert missed == []


def _tampered(whole: bytes, chance: random.Random) -> bytes:
    lines = whole.splitlines(keepends=True)
    one, two = chance.sample(range(len(lines)), 2)
    match chance.randrange(4):
        case 0:
            at = chance.choice([at for at, octet in enumerate(whole) if chr(octet).isalnum()])
            octet = chance.choice([new for new in b"0123456789abcdefxyz" if new != whole[at]])
            return whole[:at] + bytes([octet]) + whole[at + 1 :]
        case 1:
            del lines[one]
        case 2:
            lines[one], lines[two] = lines[two], lines[one]
        case _:
            return whole[: chance.randrange(len(whole) - 2)]
    return b"".join(lines)


def test_an_export_is_whole_by_itself_and_ends_with_the_head(told: Site, tmp_path: Path) -> None:
    export = tmp_path / "ledger.jsonl"
    said = told.run("ledger", "export", str(export))
    head = json.loads(export.read_text().splitlines()[-1])["head"]
    assert said.out.splitlines()[-1] == head == told.run("ledger", "verify").out.splitlines()[1]
    assert told.run("ledger", "export", "-").out == export.read_text()
    assert told.run("ledger", "verify", "--file", str(export)).code == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines[:-1], "it ends without a head: it was cut off"),
        (lambda lines: [], "it ends without a head: it was cut off"),
        (lambda lines: [*lines, lines[0]], "line 12 comes after the head"),
        (lambda lines: [lines[0], b"{\n"], "line 2 is no event of a ledger"),
        (lambda lines: [b"[" * 99_999], "line 1 is no event of a ledger"),
        (lambda lines: [b"7\n"], "line 1 is no event of a ledger"),
        (lambda lines: [b'{"head": 7}\n'], "line 1 is no event of a ledger"),
        (lambda lines: [lines[0].replace(b'"seq":1', b'"seq":true')], "line 1 is no event of a ledger"),
        (lambda lines: [*lines[:2], lines[-1]], "the head is not that of the last event"),
    ],
    ids=["cut", "empty", "more", "broken", "deep", "number", "no head", "no number", "other head"],
)
def test_a_file_that_is_no_whole_export_is_told(
    told: Site, tmp_path: Path, change: Callable[[Any], list[bytes]], words: str
) -> None:
    export = tmp_path / "ledger.jsonl"
    told.run("ledger", "export", str(export))
    export.write_bytes(b"".join(change(export.read_bytes().splitlines(keepends=True))))
    said = told.run("ledger", "verify", "--file", str(export))
    assert said.code == 4
    assert words in said.err


def test_an_export_to_publish_tells_nothing_of_sealed_orders_and_can_be_checked_all_the_same(
    told: Site, tmp_path: Path
) -> None:
    told.block("hush", "hush.example", publication="sealed")
    told.block("dawn", "dawn.example", publication="sealed-until-effective", start="2098-01-01")
    told.block("risen", "risen.example", publication="sealed-until-effective")
    told.act("end", "lift", "a/hush", start="2098-01-01")
    assert told.apply().code == 0
    told.run("withhold", "a/hush/one", "--reason", "a mistake")
    told.run("withhold", "a/one", "--reason", "as with A/HUSH")
    told.run("report", "a/dawn")
    told.block("broken", "https://a.example/path")
    told.block("four", "four.example")
    told.apply()
    export = tmp_path / "ledger.jsonl"
    said = told.run("ledger", "export", str(export))
    assert "8 of them by their hash alone" in said.out
    text = export.read_text().casefold()
    assert ("hush" in text, "a/end" in text) == (False, False)
    assert "dawn" not in text
    assert "a/risen" in text
    assert told.run("ledger", "verify", "--file", str(export)).out == told.run("ledger", "verify").out
    told.run("ledger", "export", "--sealed", str(export))
    assert "a/hush" in export.read_text()
    assert export.stat().st_mode & 0o777 == 0o640


def with_list(site: Site, slug: str, *names: str, until: str = "2099-01-01", publication: str) -> None:
    octets = "".join(f"{name}\n" for name in names).encode()
    (site.path(slug).parent / f"{slug}.txt").write_bytes(octets)
    site.block(slug, "unused.example", until=until, publication=publication)
    said = f"names_file: {{file: {slug}.txt, sha256: {hashlib.sha256(octets).hexdigest()}}}"
    text = site.path(slug).read_text()
    site.path(slug).write_text(text.replace("names: [unused.example]", said))


def test_an_export_tells_no_name_of_a_sealed_list_be_it_applied_still_or_gone(
    told: Site, tmp_path: Path
) -> None:
    with_list(told, "hush", "hush.example", "shared.example", publication="sealed")
    with_list(told, "past", "*.past.example", until="2026-02-01", publication="sealed")
    with_list(told, "open", "shared.example", publication="public")
    assert told.apply().code == 0
    told.path("past").unlink()
    assert told.apply().code == 0
    for reason in ("not hush.example", "below WWW.Past.example", "shared.example", "one.example"):
        told.run("withhold", "a/one", "--reason", reason)
        told.run("release", "a/one")
    export = tmp_path / "ledger.jsonl"
    told.run("ledger", "export", str(export))
    text = export.read_text().casefold()
    assert ("hush.example" in text, "past.example" in text) == (False, False)
    assert ("shared.example" in text, "one.example" in text) == (True, True)
    (told.folder / "state" / "policy.lmdb").unlink()
    assert told.run("ledger", "export", str(export)).code == 0
    assert "hush.example" not in export.read_text()


def reasons_told(site: Site, *reasons: str) -> list[str]:
    """Those of the reasons that an export tells."""
    for reason in reasons:
        site.run("withhold", "a/one", "--reason", reason)
        site.run("release", "a/one")
    ran = site.run("ledger", "export", "-")
    assert (ran.code, ran.err) == (0, "")
    return [reason for reason in reasons if json.dumps(json.dumps(reason))[1:-1] in ran.out]


OPENLY = ["a hospital is behind it", "one.example and two.example", "see a/open, which has new.example"]


def test_an_export_tells_nothing_of_sealed_orders_that_wait_in_the_folder(told: Site) -> None:
    told.block("open", "new.example")
    told.block("kept-quiet", "github.io", "secret-b.example", publication="sealed")
    told.block("dawn", "dawn.example", publication="sealed-until-effective")
    told.block("broken", "secret-c.example", "https://x.example/i/path", publication="sealed")
    told.write("broken", told.path("broken").read_text().replace("kind:", "reference: Geh. 4/Ä\nkind:"))
    told.block("guarded", "secret-d.example", "kept.example", publication="sealed")
    told.act("cut", "amend", "a/kept-quiet", "remove: [free.secret-b.example]")
    told.act("more", "amend", "a/cut", "remove: [other.example]")
    told.write("torn", "order: [\nnames: [secret-e.example], file: torn.txt\n")
    told.path("torn").with_suffix(".txt").write_text("secret-i.example\n")
    os.mkfifo(told.path("pipe"))
    with_list(told, "lots", "secret-f.example", publication="sealed")
    with_list(told, "odd", "secret-g.example", publication="sealed")
    told.write("odd", told.path("odd").read_text().replace("regions: [ID]", "regions: 7"))
    with_list(told, "half", "secret-h.example", publication="sealed")
    told.write("half", told.path("half").read_text().replace("publication: sealed", "publication: maybe"))
    told.path("away").symlink_to("/etc/hostname")
    (told.path("x").parent / ".hidden.yaml").write_text("directives: [hospital]")
    assert (
        reasons_told(
            told,
            *OPENLY,
            "because secret-b.example and a/broken are waiting",
            "as in broken",
            "geh. 4/ä",
            "www.secret-b.example",
            "dawn.example",
            "secret-c.example",
            "x.example",
            "secret-d.example",
            "a/cut",
            "a/more",
            "secret-e.example",
            "secret-f.example",
            "secret-g.example",
            "secret-h.example",
            "secret-i.example",
            "a/half",
            "a/pipe",
            "away",
        )
        == OPENLY
    )


def test_an_export_tells_nothing_of_what_the_ledger_alone_remembers_as_held_or_left_out(told: Site) -> None:
    told.block("kept-quiet", "github.io", publication="sealed")
    told.block("broken", "https://x.example/path", publication="sealed")
    told.block("three", "three.example")
    told.apply()
    assert {"held", "checked"} <= {one.event for one in ledger.entries(told.folder / "state")}
    for slug in ("kept-quiet", "broken"):
        told.path(slug).unlink()
    assert reasons_told(told, "a/kept-quiet", "as in broken", "a/three") == ["a/three"]


def test_a_changed_file_of_an_applied_order_hides_what_it_says_and_not_the_order(told: Site) -> None:
    told.block("one", "one.example", "secret-b.example", publication="sealed")
    told.write(
        "two", told.path("two").read_text().replace("two.example", "secret-c.example, https://x.example/")
    )
    openly = ["a/one has one.example", "a/two has two.example"]
    assert reasons_told(told, *openly, "secret-b.example", "secret-c.example") == openly


def test_an_export_can_be_made_without_a_folder_of_orders_and_not_if_what_waits_there_is_not_known(
    told: Site,
) -> None:
    (told.folder / "orders").rename(told.folder / "elsewhere")
    assert told.run("ledger", "export", "-").code == 0
    (told.folder / "orders").write_text("")
    ran = told.run("ledger", "export", "-")
    assert (ran.code, ran.out) == (4, "")
    assert "the folder can't be read, so which orders wait there is not known: Not a directory" in ran.err
    assert told.run("ledger", "export", "--sealed", "-").code == 0


def test_the_hash_of_a_row_that_is_not_told_can_not_be_guessed_at(told: Site) -> None:
    rows = list(ledger.entries(told.folder / "state"))
    salts = {json.loads(one.detail)["salt"] for one in rows}
    assert len(salts) == len(rows)
    assert not any("salt" in one.facts for one in rows)


@pytest.mark.parametrize(
    "head", ["", "12", "x:" + "0" * 64, "1:" + "g" * 64, "1:" + "0" * 63, "²:" + "0" * 64]
)
def test_what_is_no_head_is_refused_with_the_way_to_write_one(told: Site, head: str) -> None:
    said = told.run("ledger", "verify", "--head", head)
    assert said.code == 2
    assert "is no head of a ledger" in said.err


@pytest.mark.parametrize("words", [(), ("--sealed",)])
def test_of_a_ledger_that_is_gone_no_export_is_written(
    told: Site, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (told.folder / "state" / ledger.FILE).unlink()
    ran = told.run("ledger", "export", *words, "-")
    assert (ran.code, ran.out) == (4, "")
    assert "the ledger does not say who applied generation 1 to 2: it was lost or cut off" in ran.err
    export = tmp_path / "ledger.jsonl"
    export.write_text("an older one")
    assert told.run("ledger", "export", *words, str(export)).code == 4
    assert export.read_text() == "an older one"


def test_of_a_ledger_that_lacks_a_generation_the_rest_is_exported_with_exit_code_4(told: Site) -> None:
    (told.folder / "state" / ledger.FILE).unlink()
    told.block("three", "three.example")
    assert told.apply().code == 0
    ran = told.run("ledger", "export", "-")
    assert ran.code == 4
    assert "the ledger does not say who applied generation 1 to 2: it was lost or cut off" in ran.err
    assert [json.loads(line).get("event") for line in ran.out.splitlines()][-2:] == ["applied", None]


def test_an_export_into_no_folder_is_told_by_the_folder(told: Site, tmp_path: Path) -> None:
    ran = told.run("ledger", "export", str(tmp_path / "no" / "file"))
    assert (ran.code, f"there is no folder '{tmp_path / 'no'}'" in ran.err) == (2, True)


def test_an_approval_is_shown_by_who_gave_it_and_what_is_owed_by_when(site: Site) -> None:
    by = [{"who": "alice", "key": "SHA256:x", "roles": ["legal", "noc"], "signature": "00"}]
    given = Event(at=1.0, event="approved", subject="a/one", detail={"approvals": by})
    owed = Event(at=2.0, event="emergency", subject="a/one", detail={"due": 1795948904.07})
    site.apply()
    ledger.append(site.folder / "state", [given, owed])
    shown = site.run("ledger").out
    assert "approvals alice (legal, noc)\n" in shown
    assert "due 2026-11-29T10:41:44Z\n" in shown
