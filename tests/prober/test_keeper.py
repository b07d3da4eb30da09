"""The keeper and the shelf: what was kept can be read and proven, whatever happens to disk and process."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from blocker import supervisor
from blocker.errors import StoreError
from blocker.policy import ledger
from blocker.policy.chain import Event
from blocker.prober import evidence, keeper
from blocker.prober.keeper import Keeper
from blocker.prober.keeping import Diary
from blocker.prober.shelf import Shelf
from tests.prober.proof import blocked, expectation, forged, once, twice
from tests.prober.world import T, key, real

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blocker.prober.evidence import Record
    from blocker.prober.report import EvidenceView

SPACE = 1 << 20


def keep(one: Keeper, record: Record, *, is_sealed: bool = False) -> None:
    one.keep(
        record.samples,
        record.expectation,
        record.evidence,
        record.finding,
        policy=record.policy,
        generation=record.generation,
        is_sealed=is_sealed,
    )


@contextmanager
def keeping(state: Path, space: int = SPACE) -> Iterator[Keeper]:
    one = Keeper(state, space)
    try:
        yield one
    finally:
        one.close()


def kept(state: Path, *records: Record, space: int = SPACE, is_sealed: bool = False) -> EvidenceView:
    with keeping(state, space) as one:
        for record in records:
            keep(one, record, is_sealed=is_sealed)
    return one.view()


def leaks(count: int, order: str = "court/o1") -> list[Record]:
    """Many records, each of another question."""
    return [
        twice(expectation(name=key(f"n{number}.example"), order=order, ref=f"{order}/d"), real, at=T + number)
        for number in range(count)
    ]


def shelf(state: Path) -> tuple[list[Record], list[str]]:
    found = Shelf(state)
    records = [one.record for one in found.records()]
    return records, found.flaws


def events(state: Path, event: str) -> list[dict[str, Any]]:
    return [one.facts for one in ledger.entries(state, only=(event,))]


OK = once(expectation(), blocked)


def test_what_is_kept_is_read_back_and_counted(tmp_path: Path) -> None:
    records = [OK, *leaks(3)]
    view = kept(tmp_path, *records)
    assert shelf(tmp_path) == (records, [])
    assert (view.records, view.failures, view.trouble, view.written_at) == (4, 0, "", T + 2)
    assert view.octets == sum(path.stat().st_size for path in (tmp_path / "evidence").rglob("*.jsonl"))
    (anchor,) = events(tmp_path, "evidence")
    assert (anchor["stream"], anchor["records"], anchor["final"]) == ("open", 4, False)


def test_the_ledger_has_confirmations_and_findings_with_the_hash_of_their_records(tmp_path: Path) -> None:
    kept(tmp_path, OK, *leaks(2))
    hashes = [one.hash for one in Shelf(tmp_path).records()]
    (confirmed,) = events(tmp_path, "in-force")
    (opened,) = events(tmp_path, "finding-opened")
    assert (confirmed["evidence"], opened["evidence"]) == (hashes[0], hashes[1])
    assert (opened["stream"], opened["segment"]) == ("open", 1)
    kept(tmp_path, replace(OK, finding=replace(OK.finding, at=T + 50.0)))
    assert len(events(tmp_path, "in-force")) == 1, "a prober started again confirms nothing twice"


def test_the_ledger_is_told_what_no_longer_counts_and_the_next_run_knows(tmp_path: Path) -> None:
    kept(tmp_path, OK, forged(OK.expectation, at=T + 1))
    (back,) = events(tmp_path, "taken-back")
    assert (back["change"], back["stream"]) == ("in-force", "open"), "it names the record that shows why"
    assert shelf(tmp_path)[1] == []
    kept(tmp_path, once(OK.expectation, blocked, at=T + 9))
    assert len(events(tmp_path, "in-force")) == 2


@pytest.mark.parametrize(("settled", "times"), [(T - 9.0, 1), (T + 9.0, 0)])
def test_after_a_restart_only_what_was_told_since_the_last_whole_round_is_taken_back(
    tmp_path: Path, settled: float, times: int
) -> None:
    kept(tmp_path, OK)
    one = Keeper(tmp_path, SPACE, settled=settled)
    keep(one, forged(OK.expectation, at=T + 1))
    one.close()
    assert len(events(tmp_path, "taken-back")) == times


def test_what_a_whole_round_left_standing_twice_is_not_taken_back(tmp_path: Path) -> None:
    with keeping(tmp_path) as one:
        keep(one, OK)
        one.settle()
        one.settle()
        keep(one, forged(OK.expectation, at=T + 1))
    assert events(tmp_path, "taken-back") == []


def test_what_was_taken_back_while_the_queue_was_full_is_told_before_anything_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_QUEUED", 2)
    monkeypatch.setattr(threading.Thread, "start", lambda self: None)
    one = Keeper(tmp_path, SPACE)
    for record in (OK, *leaks(1), forged(OK.expectation, at=T + 1)):
        keep(one, record)
    for _ in range(2):
        one._queue.get_nowait()
    keep(one, once(OK.expectation, blocked, at=T + 3))
    queued = [one._queue.get_nowait() for _ in range(2)]
    assert [[event.event for event in item.events] for item in queued if item] == [
        ["taken-back"],
        ["in-force"],
    ]


def test_what_is_over_is_told_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_QUIET_EVERY", 0.0)
    one = Keeper(tmp_path, SPACE, patience=0.0)
    for record in (*leaks(1), replace(OK, finding=replace(OK.finding, at=T + 601.0))):
        keep(one, record)
    one.close()
    assert events(tmp_path, "finding-closed") == [{"point": "p1", "kind": "underblock", "last": float(T)}]


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_stepped_clock_is_not_the_end_of_a_leak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    monkeypatch.setattr(keeper, "_QUIET_EVERY", 0.0)
    (leak,) = leaks(1)
    stepped = replace(leak, finding=replace(leak.finding, at=T + step))
    kept(tmp_path, leak, replace(OK, finding=replace(OK.finding, at=T + step)), stepped)
    assert events(tmp_path, "finding-closed") == []
    assert len(events(tmp_path, "finding-opened")) == 1


def test_the_next_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    first, second = leaks(2), leaks(3)[2:]
    kept(tmp_path, *first)
    assert kept(tmp_path, *second).records == 3
    assert shelf(tmp_path) == ([*first, *second], [])
    assert len(list((tmp_path / "evidence" / "open").iterdir())) == 1


def test_what_is_sealed_lies_apart_for_its_owner_alone(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        kept(tmp_path, OK)
        kept(tmp_path, *leaks(1), is_sealed=True)
    finally:
        os.umask(mask)
    folder = tmp_path / "evidence"
    modes = {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in folder.rglob("*[!k]")}
    assert modes == {
        "open": 0o750,
        "open/00000001.jsonl": 0o640,
        "sealed": 0o700,
        "sealed/00000001.jsonl": 0o600,
    }
    assert b"court/o1/d" in (folder / "sealed" / "00000001.jsonl").read_bytes()
    assert len((folder / "open" / "00000001.jsonl").read_bytes().splitlines()) == 2


def test_evidence_keeps_to_its_space_and_what_was_dropped_is_explained(tmp_path: Path) -> None:
    records = leaks(1500)
    view = kept(tmp_path, *records)
    assert (view.records, view.failures) == (1500, 0)
    assert view.octets <= SPACE
    found, flaws = shelf(tmp_path)
    assert flaws == []
    assert 300 < len(found) < 1500
    assert found == records[-len(found) :]
    dropped = [one["segment"] for one in events(tmp_path, "evidence-dropped")]
    assert dropped == list(range(1, len(dropped) + 1))
    assert kept(tmp_path, *leaks(1501)[1500:]).records == 1501
    assert shelf(tmp_path)[1] == []


def test_the_ledger_knows_what_is_dropped_before_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[bool] = []
    note = ledger.note

    def noting(state: Path, *events: Event) -> str:
        folder = state / "evidence"
        there.extend(
            (folder / one.detail["stream"] / f"{one.detail['segment']:08d}.jsonl").exists()
            for one in events
            if one.event == "evidence-dropped"
        )
        return note(state, *events)

    monkeypatch.setattr(ledger, "note", noting)
    kept(tmp_path, *leaks(1500))
    assert there
    assert all(there)


class Killed(BaseException):
    """What ends a process in the middle."""


def killed_before_the_ledger_was_told(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments were filled, and nobody was told of how they ended."""

    def note(*_: object) -> str:
        raise Killed

    writer = keeper._Writer(state, SPACE)
    batch = [keeper._Item(record=one, is_sealed=False, events=()) for one in leaks(200)]
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "note", note)
        with pytest.raises(Killed):
            writer.write(batch)
    writer._held.close()


def test_how_segments_ended_is_told_by_the_next_run_if_the_last_was_killed_before_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_before_the_ledger_was_told(tmp_path, monkeypatch)
    filled = len(list((tmp_path / "evidence" / "open").iterdir())) - 1
    assert filled > 1
    kept(tmp_path, OK)
    ends = [one for one in events(tmp_path, "evidence") if one["final"]]
    assert [one["segment"] for one in ends[:filled]] == list(range(1, filled + 1))
    kept(tmp_path, *leaks(1500))
    dropped = [one["segment"] for one in events(tmp_path, "evidence-dropped")]
    assert dropped[:filled] == list(range(1, filled + 1))
    assert shelf(tmp_path)[1] == []


def test_nothing_is_dropped_before_the_ledger_can_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "note", lambda *_: "the ledger can't be written")
        kept(tmp_path, *leaks(1500))
    assert shelf(tmp_path)[1] == []
    assert kept(tmp_path, OK).octets <= SPACE
    assert shelf(tmp_path)[1] == []


def test_a_space_made_smaller_is_kept_to_at_the_next_start(tmp_path: Path) -> None:
    kept(tmp_path, *leaks(1500), space=4 << 20)
    assert kept(tmp_path, OK).octets <= SPACE
    assert shelf(tmp_path)[1] == []


@pytest.mark.parametrize("torn", [b'{"prev":"ab', b"\x00" * 100])
def test_a_line_that_a_crash_left_incomplete_is_cut_off_and_noted(tmp_path: Path, torn: bytes) -> None:
    kept(tmp_path, OK)
    path = tmp_path / "evidence" / "open" / "00000001.jsonl"
    with path.open("ab") as file:
        file.write(torn)
    assert shelf(tmp_path) == ([OK], []), "what has no end is not read"
    more = leaks(1)
    kept(tmp_path, *more)
    assert shelf(tmp_path) == ([OK, *more], [])
    (cut,) = events(tmp_path, "evidence-cut")
    assert (cut["stream"], cut["octets"]) == ("open", len(torn))


@pytest.mark.parametrize("left", [b"", b'{"prev'])
def test_a_segment_without_a_whole_first_line_is_begun_anew(tmp_path: Path, left: bytes) -> None:
    kept(tmp_path, OK)
    (tmp_path / "evidence" / "open" / "00000002.jsonl").write_bytes(left)
    more = leaks(1)
    kept(tmp_path, *more)
    assert shelf(tmp_path) == ([OK, *more], [])


def test_a_segment_of_another_version_is_left_alone_and_named(tmp_path: Path) -> None:
    kept(tmp_path, OK)
    path = tmp_path / "evidence" / "open" / "00000002.jsonl"
    path.write_bytes(b'{"format":9}\n')
    view = kept(tmp_path, *leaks(1))
    assert view.failures == 1
    assert "format 9; this version reads 1; move the file away" in view.trouble
    assert path.read_bytes() == b'{"format":9}\n'


def test_where_all_segments_are_gone_the_chain_goes_on_from_the_ledger(tmp_path: Path) -> None:
    kept(tmp_path, OK)
    path = tmp_path / "evidence" / "open" / "00000001.jsonl"
    path.unlink()
    more = leaks(1)
    assert kept(tmp_path, *more).records == 2
    found, flaws = shelf(tmp_path)
    assert found == more
    assert [flaw.partition(":")[0] for flaw in flaws] == ["open/00000001"]


@pytest.fixture
def lines(tmp_path: Path) -> tuple[Path, list[bytes]]:
    kept(tmp_path, OK, *leaks(3))
    path = tmp_path / "evidence" / "open" / "00000001.jsonl"
    return path, path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: [*lines[:2], *lines[3:]], "line 3 does not follow the one before it"),
        (lambda lines: [*lines[:2], lines[3], lines[2], lines[4]], "line 3 does not follow"),
        (lambda lines: [*lines[:2], lines[2].replace(b"NOERROR", b"NXDOMAI"), *lines[3:]], "line 4 does not"),
        (lambda lines: lines[:4], "it was cut off"),
        (lambda lines: [*lines[:4], lines[4].replace(b"NOERROR", b"NXDOMAI")], "not what the ledger answers"),
        (
            lambda lines: [lines[0].replace(b'"prev":"0', b'"prev":"1'), *lines[1:]],
            "what came before it is missing",
        ),
        (lambda lines: [], "its first line can't be read"),
        (lambda lines: [], "it is missing"),
        (lambda lines: [*lines, b'{"prev":"x"}\n'], "line 6: 'expectation' is missing"),
    ],
    ids=["removed", "reordered", "changed", "cut", "last", "first", "emptied", "missing", "added"],
)
def test_whatever_was_changed_is_found(
    tmp_path: Path, lines: tuple[Path, list[bytes]], change: Any, words: str
) -> None:
    path, found = lines
    assert shelf(tmp_path)[1] == []
    path.write_bytes(b"".join(change(found)))
    assert any(words in flaw for flaw in shelf(tmp_path)[1])


def unanchored(state: Path, *records: Record) -> None:
    """Kept, and told the ledger, by a process that was killed before the next head."""
    writer = keeper._Writer(state, SPACE)
    diary = Diary()
    for record in records:
        told = tuple(diary.note(record.expectation, record.finding, 0.0))
        writer.write([keeper._Item(record=record, is_sealed=False, events=told)])
    writer._held.close()


def test_a_record_that_the_ledger_names_is_missed_though_no_head_was_told_since(tmp_path: Path) -> None:
    unanchored(tmp_path, OK, *leaks(2))
    path = tmp_path / "evidence" / "open" / "00000001.jsonl"
    assert shelf(tmp_path)[1] == []
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))
    (opened,) = ledger.entries(tmp_path, only=("finding-opened",))
    gone = f"open/00000001: the record that entry {opened.seq} of the ledger names is gone"
    assert shelf(tmp_path) == ([OK], [gone])
    kept(tmp_path, *leaks(3)[2:])
    assert shelf(tmp_path)[1] == [gone], "what is written in its place heals nothing"


def test_a_whole_segment_that_no_head_speaks_of_is_missed(tmp_path: Path) -> None:
    unanchored(tmp_path, OK)
    (tmp_path / "evidence" / "open" / "00000001.jsonl").unlink()
    assert [flaw.partition(":")[0] for flaw in shelf(tmp_path)[1]] == ["open/00000001"]


def test_a_segment_taken_away_from_the_middle_is_found(tmp_path: Path) -> None:
    kept(tmp_path, *leaks(200))
    folder = tmp_path / "evidence" / "open"
    assert len(list(folder.iterdir())) > 3
    (folder / "00000002.jsonl").unlink()
    assert shelf(tmp_path)[1] == [
        "open/00000002: it is missing, and the ledger doesn't say that it was dropped"
    ]


def test_the_records_of_one_order_are_read_alone(tmp_path: Path) -> None:
    kept(tmp_path, OK, *leaks(2, "court/o2"))
    found = Shelf(tmp_path)
    assert [one.record for one in found.records(["court/o2"])] == leaks(2, "court/o2")
    assert found.flaws == []
    assert [(one.stream, one.number, one.records) for one in found.segments if one.records] == [
        ("open", 1, 3)
    ]


class FullDisk:
    """A disk without room: a write that begins and fails in the middle."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = True
        real = os.pwrite

        def pwrite(handle: int, octets: bytes, at: int) -> int:
            if not self.is_full or b'"prev"' not in octets[:10]:
                return real(handle, octets, at)
            real(handle, octets[:50], at)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "pwrite", pwrite)


def test_on_a_full_disk_losses_are_counted_and_told_and_when_there_is_room_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(tmp_path, OK)
    disk = FullDisk(monkeypatch)
    view = kept(tmp_path, *leaks(2))
    assert (view.failures, view.records) == (2, 1)
    assert "No space left on device" in view.trouble
    assert shelf(tmp_path) == ([OK], [])
    disk.is_full = False
    view = kept(tmp_path, *leaks(2))
    assert (view.failures, view.records, view.trouble) == (0, 3, "")
    assert shelf(tmp_path) == ([OK, *leaks(2)], [])


def test_what_a_full_disk_did_not_take_is_kept_when_it_is_seen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(tmp_path)
    disk = FullDisk(monkeypatch)
    records = [OK, *leaks(2)]
    with keeping(tmp_path) as one:
        for failures in (3, 6):
            for record in records:
                keep(one, record)
            until(lambda failures=failures: len(one._unwritten) == 3 and one.view().failures == failures)
        disk.is_full = False
        for record in records:
            keep(one, record)
    assert shelf(tmp_path) == (records, [])
    first, again = events(tmp_path, "in-force")
    assert ("evidence" in first, again["first"]) == (False, T)
    assert again["evidence"] == next(Shelf(tmp_path).records()).hash
    assert [("evidence" in one) for one in events(tmp_path, "finding-opened")] == [False, True]
    kept(tmp_path, OK)
    assert len(events(tmp_path, "in-force")) == 2, "it is proven now"


def until(is_so: Any) -> None:
    """Wait for the writer's thread, ten seconds at most."""
    end = time.monotonic() + 10.0
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_state_that_can_not_be_written_at_all_is_told_and_nothing_raises(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("a file where the folder belongs")
    view = kept(tmp_path, *leaks(2))
    assert view.failures == 2
    assert str(tmp_path / "evidence") in view.trouble
    assert len(events(tmp_path, "finding-opened")) == 1, "the ledger is another file"


def test_a_state_that_was_removed_under_it_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_RETRY_EVERY", 0.0)
    writer = keeper._Writer(tmp_path / "state", SPACE)
    writer.write([keeper._Item(record=OK, is_sealed=False, events=())])
    shutil.rmtree(tmp_path / "state")
    more = leaks(1)
    writer.write([keeper._Item(record=more[0], is_sealed=False, events=())], is_last=True)
    assert shelf(tmp_path / "state") == (more, [])


def test_a_ledger_that_can_not_be_written_is_counted_and_said_once_and_evidence_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ledger.FILE).mkdir()
    writer = keeper._Writer(tmp_path, SPACE)
    for at, record in enumerate(leaks(2)):
        event = Event(at=1.0, event="in-force")
        writer.write([keeper._Item(record=record, is_sealed=False, events=(event,))], is_last=at == 1)
    assert writer.view.records == 2
    assert writer.view.failures >= 2
    assert "the ledger can't be written" in writer.view.trouble
    assert capsys.readouterr().err.count("the ledger can't be written") == 1


def test_a_second_keeper_writes_nothing_and_names_the_first(tmp_path: Path) -> None:
    kept(tmp_path, OK)
    with supervisor.lock(tmp_path / "evidence" / "lock"):
        view = kept(tmp_path, *leaks(1))
    assert view.failures == 1
    assert f"held by process {os.getpid()}" in view.trouble
    assert shelf(tmp_path) == ([OK], [])


def test_more_than_the_disk_can_take_is_counted_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_QUEUED", 1)
    monkeypatch.setattr(threading.Thread, "start", lambda self: None)
    monkeypatch.setattr(threading.Thread, "join", lambda self: None)
    one = Keeper(tmp_path, SPACE)
    for record in leaks(3):
        keep(one, record)
    assert one.view().failures == 2
    one._queue.get_nowait()
    for record in leaks(2):
        keep(one, record)
    queued = one._queue.get_nowait()
    assert queued is not None
    assert queued.record == leaks(2)[1], "what there was no room for is wanted again"


def test_a_bug_in_the_writer_is_counted_and_does_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> bytes:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(evidence, "pack", broken)
        view = kept(tmp_path, *leaks(1))
        assert (view.failures, view.trouble) == (1, "evidence was lost: RuntimeError")
    assert kept(tmp_path, *leaks(1)).records == 1


def test_a_bug_in_choosing_costs_one_record_and_no_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(evidence, "instances_of", lambda samples: 1 / 0)
        view = kept(tmp_path, OK)
    assert (view.failures, view.records) == (1, 0)


def test_records_that_the_disk_may_not_have_are_counted_as_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("blocker.prober.segments.os.fdatasync", broken)
    view = kept(tmp_path, *leaks(1))
    assert view.failures > 0
    assert "Input/output error" in view.trouble


def test_what_the_disk_may_not_have_is_kept_again_and_no_ledger_answers_for_it_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing: list[int] = [1]

    def sync(_: int) -> None:
        if failing:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("blocker.prober.segments.os.fdatasync", sync)
    writer = keeper._Writer(tmp_path, SPACE)
    told = Event(at=T, event="finding-opened", subject="court/o1", detail={"point": "p1", "kind": "leak"})
    first, second = leaks(2)
    open_ = keeper._Item(record=first, is_sealed=False, events=(told,))
    sealed = keeper._Item(record=second, is_sealed=True, events=())
    over = keeper._Item(record=None, is_sealed=False, events=())
    monkeypatch.setattr(keeper, "_ANCHOR_EVERY", 0.0)
    assert writer.write([open_, sealed, over]) == [open_, sealed]
    assert events(tmp_path, "evidence") == []
    assert ["evidence" in one for one in events(tmp_path, "finding-opened")] == [False]
    failing.clear()
    assert writer.write([open_, sealed], is_last=True) == []
    assert [one["records"] for one in events(tmp_path, "evidence")] == [2, 2]
    assert ["evidence" in one for one in events(tmp_path, "finding-opened")] == [False, True]


def test_a_record_longer_than_a_segment_is_refused_and_counted(tmp_path: Path) -> None:
    long = replace(OK, finding=replace(OK.finding, detail="x" * (1 << 17)))
    view = kept(tmp_path, long, *leaks(1))
    assert (view.failures, view.records) == (1, 1)


def test_who_may_not_read_the_sealed_part_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(tmp_path, OK)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("sealed"))
    with pytest.raises(StoreError, match="run this as the user of the prober"):
        list(Shelf(tmp_path).records())


def test_without_evidence_there_is_nothing_and_nothing_is_wrong(tmp_path: Path) -> None:
    assert shelf(tmp_path) == ([], [])
