"""The ledger: what was done and seen, in a file that only grows, `state/ledger.sqlite`.

Shell. Triggers refuse every change of a row, and each row is chained to the one before it (`policy.chain`),
so that a change made without us is found. Any process of the toolkit may append: SQLite's lock orders them.
What it says is a by-product: nobody enforces less because the ledger can't be written, so `note`, which
everybody but the tests calls, answers with a sentence instead of raising.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from blocker.errors import StoreError
from blocker.policy import store
from blocker.policy.chain import SALT, Entry, Event, Head, entry, flaws, salted
from blocker.policy.overdue import OVERDUE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

FILE = "ledger.sqlite"

_T = TypeVar("_T")

EVENTS: dict[str, str] = {
    "received": "A new order came with an apply: when it was received, digests of its file and its document.",
    "checked": "What the orders were complained of at an apply: problems by check, orders left out.",
    "approved": "The approvals that let an order in: by whom, as what, with which key, and the signatures.",
    "emergency": "An order came in on an emergency's approvals: by whom, why, and when the others are due.",
    "approvals-changed": "Orders come in by other rules of approval: the old and the new ones, by whom, why.",
    "planned": "The plan that was applied: its digest, its base and next policy, names blocked and freed.",
    "held": "An apply left a new order out until a person accepts it: why, and of how many names.",
    "accepted": "A person accepted a plan by its digest: why, by whom, and what was held in it.",
    "applied": "A generation became the live policy: its digest, by whom, which orders came and went.",
    "withheld": "The operator stopped enforcing an order or directive, and why.",
    "released": "The operator enforces it again.",
    "rolled-back": "The operator stopped enforcing all that came into force since a generation, and why.",
    "in-force": "A block was first observed at a point after its start.",
    "suspended": "The suspension of a block was first observed at a point; it is no lift.",
    "lapsed": "The end of a block that was not reviewed in time was first observed; it is no lift.",
    "lifted": "Its end was first observed at a point.",
    "taken-back": "The `change` first observed at a point no longer counts: contradicting answers came.",
    "review-overdue": "An order was not reviewed by its date; told once for each date.",
    "finding-opened": "Something was first observed at a point that is not as ordered.",
    "finding-closed": "It was not observed any more.",
    "evidence": "The head of a segment of evidence; `final` if nothing is added to it any more.",
    "evidence-cut": "The last line of a segment was incomplete, after a crash, and was cut off.",
    "evidence-dropped": "The oldest segment was removed, for the space given to evidence is used up.",
    "reported": "A report about an order was made, and its digest.",
    "not-kept": "It could not be written for long, and these events were lost: how many of each, since when.",
}
"""Every event that this version writes."""

_WAIT = 5.0  # seconds for another writer to finish
_TABLE = """CREATE TABLE events (
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, event TEXT NOT NULL, subject TEXT NOT NULL,
    detail TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL
) STRICT"""
_TRIGGERS = {
    "events_never_change": """CREATE TRIGGER events_never_change BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END""",
    "events_never_go": """CREATE TRIGGER events_never_go BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END""",
    # INSERT OR REPLACE would remove a row without asking the trigger before it.
    "events_come_last": """CREATE TRIGGER events_come_last BEFORE INSERT ON events
    WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM events)
    BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END""",
}
"""By name, each as SQLite keeps it."""
_SALT_OF = f"CASE WHEN json_valid(detail) THEN json_extract(detail, '$.{SALT}') END"
_INDEX = f"CREATE INDEX IF NOT EXISTS events_salts ON events ({_SALT_OF})"
_COLUMNS = "seq, at, event, subject, detail, prev, hash"


def append(state: Path, events: Sequence[Event]) -> Head:
    """Add the events in one transaction; the head after them. Raises StoreError."""
    path = state / FILE
    try:
        store.make(state)
        # SQLite gives the files beside it the mode of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o640))
        return _patiently(lambda: _append(path, events))
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path}: the ledger can't be written: {error}") from error


def _append(path: Path, events: Sequence[Event]) -> Head:
    with closing(sqlite3.connect(path, timeout=_WAIT, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN IMMEDIATE")
        try:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone():
                database.execute(_TABLE)
            _guard(database)
            database.execute(_INDEX)
            head = _head(database)
            for event in _news(database, events):
                made = entry(salted(event, secrets.token_hex(8)), head)
                row = (made.seq, made.at, made.event, made.subject, made.detail, made.prev, made.hash)
                database.execute(f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608  # a constant
                head = made.head
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")
        return head


def _guard(database: sqlite3.Connection) -> None:
    """Make the triggers what they must be, whatever became of them."""
    found = _triggers(database)
    for name in found.keys() - _TRIGGERS.keys():
        database.execute(f"DROP TRIGGER {_quoted(name)}")
    for name, wanted in _TRIGGERS.items():
        if found.get(name) != wanted:
            database.execute(f"DROP TRIGGER IF EXISTS {name}")
            database.execute(wanted)


def _triggers(database: sqlite3.Connection) -> dict[str, str]:
    """The triggers of the rows that the file has, by name."""
    return dict(database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))


def _quoted(name: str) -> str:
    """An identifier of SQL: whoever named it may have meant harm."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _news(database: sqlite3.Connection, events: Sequence[Event]) -> Iterator[Event]:
    """The events less what is told once and was: several notice it, and each of them after each start; and
    less those with a salt that a row has.
    """
    told: set[tuple[str, object]] | None = None
    for event in events:
        if SALT in event.detail and _has(database, event.detail[SALT]):
            continue
        if event.event == OVERDUE:
            if told is None:
                rows = database.execute("SELECT subject, detail FROM events WHERE event = ?", (OVERDUE,))
                told = {(subject, _review_by(detail)) for subject, detail in rows}
            mark = (event.subject, event.detail.get("review_by"))
            if mark in told:
                continue
            told.add(mark)
        yield event


def _has(database: sqlite3.Connection, salt: object) -> bool:
    found = database.execute(f"SELECT 1 FROM events WHERE {_SALT_OF} = ?", (salt,))  # noqa: S608  # a constant
    return found.fetchone() is not None


def _review_by(detail: str) -> object:
    try:
        return json.loads(detail)["review_by"]
    except (ValueError, TypeError, KeyError):
        return None


def _patiently(what: Callable[[], _T]) -> _T:
    """Do it, again if the file was busy: SQLite itself does not wait for one who makes it, or who is the last
    to close it and cleans up (https://sqlite.org/wal.html, "Sometimes Queries Return SQLITE_BUSY").
    """
    deadline = time.monotonic() + _WAIT
    while True:
        try:
            return what()
        except sqlite3.OperationalError as error:
            is_busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            # Between its first octets and its table a new ledger is a file that has no table.
            is_being_made = str(error) == "no such table: events"
            if not (is_busy or is_being_made) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def note(state: Path, *events: Event) -> str:
    """Add the events; why they could not be added, empty if they were."""
    try:
        append(state, events)
    except StoreError as error:
        return str(error)
    return ""


def entries(
    state: Path, *, only: Sequence[str] = (), since: float | None = None, after: int = 0
) -> Iterator[Entry]:
    """Every row from the first on, or after the row of this number; of these events alone, and not before
    `since` (epoch seconds), if given. Raises StoreError.
    """
    path = state / FILE
    if not _is_there(path):
        return
    asked = [f"event IN ({', '.join('?' * len(only))})"] if only else []
    asked += ["at >= ?"] if since is not None else []
    asked += ["seq > ?"] if after else []
    values = (*only, *([since] if since is not None else []), *([after] if after else []))
    where = f" WHERE {' AND '.join(asked)}" if asked else ""
    try:
        with closing(_reading(path)) as database:
            for row in database.execute(f"SELECT {_COLUMNS} FROM events{where} ORDER BY seq", values):  # noqa: S608  # constants
                yield Entry(**dict(zip(Entry.__slots__, row, strict=True)))
    except sqlite3.Error as error:
        raise StoreError(f"{path}: the ledger can't be read: {error}") from error


def head(state: Path) -> Head:
    """Of the last row; the beginning if there is none. Raises StoreError."""
    path = state / FILE
    if not _is_there(path):
        return Head()
    try:
        with closing(_reading(path)) as database:
            return _head(database)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: the ledger can't be read: {error}") from error


def news(state: Path, events: Sequence[Event]) -> list[Event]:
    """Those of the events that it would be added. Raises StoreError."""
    path = state / FILE
    if not events or not _is_there(path):
        return [*events]
    try:
        with closing(_reading(path)) as database:
            return [*_news(database, events)]
    except sqlite3.Error as error:
        raise StoreError(f"{path}: the ledger can't be read: {error}") from error


def unguarded(state: Path) -> list[str]:
    """Which triggers of the file are not what they must be, a sentence each; the next append mends them.
    Raises StoreError.
    """
    path = state / FILE
    if not _is_there(path):
        return []
    try:
        with closing(_reading(path)) as database:
            found = _triggers(database)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: the ledger can't be read: {error}") from error
    return [
        *(f"the trigger {name} is gone" for name in _TRIGGERS if name not in found),
        *(
            f"the trigger {name} was changed"
            for name, made in _TRIGGERS.items()
            if found.get(name, made) != made
        ),
        *(f"the trigger {name!r} is not the ledger's" for name in sorted(found.keys() - _TRIGGERS.keys())),
    ]


def verify(state: Path, known: Head | None = None) -> list[str]:
    """What is wrong with the ledger, a sentence each; `known` is a head written down earlier. Raises
    StoreError.
    """
    return [*flaws(entries(state), known), *unguarded(state)]


def _head(database: sqlite3.Connection) -> Head:
    row = database.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return Head() if row is None else Head(count=row[0], hash=row[1])


def _is_there(path: Path) -> bool:
    """Raises StoreError if it can't be known, or the ledger is there and not for this user."""
    # It is not opened: to close it again would end the locks that SQLite has on it in this process.
    try:
        octets = path.stat().st_size
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(store.sentence(path, error)) from error
    return octets > 0


def _reading(path: Path) -> sqlite3.Connection:
    """A connection for one who may only read: without the writer's files beside it nobody is writing."""
    try:
        return _patiently(lambda: _connected(path, "mode=ro"))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise
    return _connected(path, "mode=ro&immutable=1")


def _connected(path: Path, how: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"file:{path}?{how}", uri=True, timeout=_WAIT)
    try:
        database.execute("SELECT 1 FROM events LIMIT 1")
    except sqlite3.Error:
        database.close()
        raise
    return database
