"""The ledger only grows: what is changed, removed, reordered or cut off is found."""

from __future__ import annotations

import re
import sqlite3
import tempfile
import threading
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker.errors import StoreError
from blocker.policy import chain, ledger
from blocker.policy.chain import Entry, Event, Head
from tests.policy.child import in_child

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = [
    Event(at=1000.5, event="applied", detail={"generation": 1, "by": "ü"}),
    Event(at=1001.0, event="in-force", subject="court/o1/d", detail={"point": "p1"}),
    Event(at=1002.0, event="withheld", subject="court/o1"),
    Event(at=1003.0, event="released", subject="court/o1"),
]


def rows(events: list[Event]) -> list[Entry]:
    made, head = [], Head()
    for event in events:
        made.append(chain.entry(event, head))
        head = made[-1].head
    return made


@pytest.mark.parametrize(("name", "mode"), [(ledger.FILE, 0o640), ("", 0o750)], ids=["file", "folder"])
def test_who_may_not_read_it_is_told_which_group_may(name: str, mode: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        state = Path(folder) / "state"
        ledger.append(state, EVENTS)
        state.chmod(0o755)
        (state / name).chmod(mode)
        for read in (lambda: list(ledger.entries(state)), lambda: ledger.head(state)):
            said = in_child(read, drop_rights=True)
            assert said.startswith(f"StoreError: {state / ledger.FILE}: no permission; the user needs")
            assert f"to be in the group of {state}" in said


def test_what_is_appended_comes_back_in_order_and_the_chain_is_whole(tmp_path: Path) -> None:
    first = ledger.append(tmp_path, EVENTS[:2])
    last = ledger.append(tmp_path, EVENTS[2:])
    found = list(ledger.entries(tmp_path))
    assert [(one.at, one.event, one.subject, one.facts) for one in found] == [
        (one.at, one.event, one.subject, one.detail) for one in EVENTS
    ]
    assert found[0].facts == EVENTS[0].detail
    assert (first, last) == (found[1].head, found[3].head)
    assert ledger.head(tmp_path) == last
    assert ledger.verify(tmp_path) == ledger.verify(tmp_path, first) == []


def test_some_events_can_be_read_alone(tmp_path: Path) -> None:
    ledger.append(tmp_path, EVENTS)
    assert [one.seq for one in ledger.entries(tmp_path, only=("released", "in-force"))] == [2, 4]


def test_without_a_ledger_there_is_nothing_and_nothing_is_wrong(tmp_path: Path) -> None:
    assert list(ledger.entries(tmp_path)) == []
    assert ledger.verify(tmp_path) == []
    assert ledger.head(tmp_path) == Head()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET at = 0 WHERE seq = 2",
        "DELETE FROM events WHERE seq = 4",
        "INSERT OR REPLACE INTO events VALUES (2, 0, 'x', '', '{}', '', '')",
        "INSERT INTO events VALUES (9, 0, 'x', '', '{}', '', '')",
    ],
)
def test_the_file_itself_refuses_changes(tmp_path: Path, statement: str) -> None:
    ledger.append(tmp_path, EVENTS)
    with closing(sqlite3.connect(tmp_path / ledger.FILE)) as database:
        with pytest.raises(sqlite3.IntegrityError, match="the ledger only grows"):
            database.execute(statement)
        database.rollback()
    assert ledger.verify(tmp_path) == []


def altered(state: Path, *statements: str) -> None:
    """What somebody does who has the file and knows SQLite."""
    with closing(sqlite3.connect(state / ledger.FILE)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


MUTED = "CREATE TRIGGER events_never_go BEFORE DELETE ON events WHEN 0 BEGIN SELECT 1; END"
FOREIGN = 'CREATE TRIGGER "their ""own""" AFTER INSERT ON events BEGIN SELECT 1; END'


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (
            [
                f"DROP TRIGGER {name}"
                for name in ("events_never_change", "events_never_go", "events_come_last")
            ],
            [
                "the trigger events_never_change is gone",
                "the trigger events_never_go is gone",
                "the trigger events_come_last is gone",
            ],
        ),
        (["DROP TRIGGER events_never_go", MUTED], ["the trigger events_never_go was changed"]),
        ([FOREIGN], ["""the trigger 'their "own"' is not the ledger's"""]),
    ],
    ids=["gone", "changed", "foreign"],
)
def test_triggers_that_are_not_as_they_must_be_are_told_and_the_next_event_mends_them(
    tmp_path: Path, statements: list[str], said: list[str]
) -> None:
    ledger.append(tmp_path, EVENTS[:2])
    altered(tmp_path, *statements)
    assert ledger.verify(tmp_path) == said
    ledger.append(tmp_path, EVENTS[2:])
    assert ledger.verify(tmp_path) == []
    with pytest.raises(sqlite3.IntegrityError, match="the ledger only grows"):
        altered(tmp_path, "DELETE FROM events WHERE seq = 4")


def swapped(found: list[Entry]) -> list[Entry]:
    one, two = replace(found[1], seq=3), replace(found[2], seq=2)
    return [found[0], two, one, found[3]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: [rows[0], replace(rows[1], at=1.0), *rows[2:]], "entry 2 was changed"),
        (lambda rows: [rows[0], replace(rows[1], hash="no"), *rows[2:]], "entry 2 was changed"),
        (lambda rows: [rows[0], replace(rows[1], prev="no"), *rows[2:]], "entry 2 was changed"),
        (lambda rows: [rows[0], *rows[2:]], "entry 2 is missing"),
        (swapped, "entry 2 does not follow the one before it"),
        (lambda rows: rows[:3], "entry 4 is not the one that was written down"),
        (lambda rows: [], "entry 4 is not the one that was written down"),
    ],
    ids=["changed", "hash", "prev", "removed", "reordered", "cut", "gone"],
)
def test_every_way_of_changing_the_past_is_found(change: Callable[[Any], Any], words: str) -> None:
    whole = rows(EVENTS)
    assert chain.flaws(whole, whole[-1].head) == []
    assert any(words in flaw for flaw in chain.flaws(change(whole), whole[-1].head))


def numbered(*numbers: int) -> list[Entry]:
    """Rows that follow one another, with these numbers."""
    made, before = [], chain.START
    for number, event in zip(numbers, EVENTS, strict=False):
        made.append(chain.entry(event, Head(count=number - 1, hash=before)))
        before = made[-1].hash
    return made


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (numbered(2), ["entry 1 is missing"]),
        (numbered(1, 2, 9), ["entries 3 to 8 are missing"]),
        ([*numbered(-4), *numbered(1, 2)], ["there is an entry -4: entries are numbered from 1 on"]),
        ([*numbered(0), *numbered(1, 2)], ["there is an entry 0: entries are numbered from 1 on"]),
        ([*numbered(1, 2, 3), *numbered(1)], ["entry 1 is out of order: it comes after entry 3"]),
        ([*numbered(1, 2), numbered(1, 2)[1]], ["entry 2 is out of order: it comes after entry 2"]),
        (
            [rows(EVENTS)[at] for at in (0, 2, 1, 3)],
            ["entry 2 is missing", "entry 2 is out of order: it comes after entry 3"],
        ),
    ],
    ids=["no first", "gap", "negative", "zero", "again", "twice", "swapped"],
)
def test_of_each_number_that_is_not_the_next_one_sentence_is_said(
    found: list[Entry], said: list[str]
) -> None:
    assert chain.flaws(found) == said


def test_a_head_of_the_beginning_says_nothing() -> None:
    assert chain.flaws(rows(EVENTS), Head()) == []


@given(
    st.lists(
        st.builds(
            Event,
            at=st.floats(0, 4e9),
            event=st.sampled_from(sorted(ledger.EVENTS)),
            subject=st.text(max_size=5),
            detail=st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
        ),
        min_size=1,
        max_size=6,
    ),
    st.data(),
)
def test_no_row_can_go_and_leave_the_chain_whole(events: list[Event], data: st.DataObject) -> None:
    whole = rows(events)
    assert chain.flaws(whole, whole[-1].head) == []
    gone = data.draw(st.integers(0, len(whole) - 1))
    assert chain.flaws(whole[:gone] + whole[gone + 1 :], whole[-1].head)


@pytest.mark.parametrize("detail", ["{", "[1]"])
def test_a_detail_that_is_no_record_holds_no_facts(detail: str) -> None:
    assert replace(rows(EVENTS)[0], detail=detail).facts == {}


def add(folder: Path, number: int) -> None:
    for at in range(20):
        ledger.append(folder, [Event(at=float(at), event="reported", subject=f"w{number}")])


def test_several_processes_append_to_one_chain(tmp_path: Path) -> None:
    context = get_context("spawn")
    writers = [context.Process(target=add, args=(tmp_path, number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = list(ledger.entries(tmp_path))
    assert len(found) == 60
    assert chain.flaws(found) == []


def test_only_its_owner_writes_it_and_the_group_reads_it(tmp_path: Path) -> None:
    ledger.append(tmp_path, EVENTS)
    assert (tmp_path / ledger.FILE).stat().st_mode & 0o777 == 0o640


def test_who_may_only_read_reads_it_too(tmp_path: Path) -> None:
    ledger.append(tmp_path, EVENTS)
    (tmp_path / ledger.FILE).chmod(0o440)
    tmp_path.chmod(0o550)
    try:
        assert len(list(ledger.entries(tmp_path))) == len(EVENTS)
    finally:
        tmp_path.chmod(0o750)


def test_a_file_that_is_no_ledger_is_named_and_noting_something_only_says_so(tmp_path: Path) -> None:
    (tmp_path / ledger.FILE).write_bytes(b"no database, but long enough to be read as one" * 40)
    for read in (
        lambda: list(ledger.entries(tmp_path)),
        lambda: ledger.head(tmp_path),
        lambda: ledger.unguarded(tmp_path),
    ):
        with pytest.raises(StoreError, match=r"ledger\.sqlite: the ledger can't be read"):
            read()
    with pytest.raises(StoreError, match=r"ledger\.sqlite: the ledger can't be written"):
        ledger.append(tmp_path, EVENTS)
    assert "the ledger can't be written" in ledger.note(tmp_path, EVENTS[0])


def test_an_event_that_can_not_be_written_leaves_none_of_its_fellows(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        ledger.append(tmp_path, [EVENTS[0], Event(at=None, event="x")])  # type: ignore[arg-type]  # a bug's
    assert ledger.note(tmp_path, EVENTS[1]) == ""
    assert len(list(ledger.entries(tmp_path))) == 1


def test_every_event_is_explained_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "ops" / "docs" / "evidence.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", page, re.MULTILINE))
    assert rows == ledger.EVENTS


def test_of_an_overdue_review_it_is_told_once_for_each_order_and_date(tmp_path: Path) -> None:
    """The prober after each start, and each apply: whoever notices it tells."""

    def late(order: str, due: int, at: float) -> Event:
        return Event(at=at, event="review-overdue", subject=order, detail={"review_by": due})

    ledger.append(tmp_path, [late("x/b", 5, 10.0), late("x/b", 5, 11.0)])
    ledger.append(tmp_path, [late("x/b", 5, 12.0), late("x/c", 5, 12.0), late("x/b", 9, 12.0)])
    told = [(one.at, one.subject, one.facts["review_by"]) for one in ledger.entries(tmp_path)]
    assert told == [(10.0, "x/b", 5), (12.0, "x/c", 5), (12.0, "x/b", 9)]


def test_a_ledger_that_is_being_made_is_waited_for(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / ledger.FILE)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA user_version = 0")
        database.commit()
    assert (tmp_path / ledger.FILE).stat().st_size > 0
    making = threading.Timer(0.2, ledger.append, (tmp_path, [Event(at=1.0, event="applied")]))
    making.start()
    assert [one.event for one in ledger.entries(tmp_path)] == ["applied"]
    making.join()
