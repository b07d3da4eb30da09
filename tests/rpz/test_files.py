from __future__ import annotations

import os
import resource
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from blocker.errors import StoreError
from blocker.rpz import zone
from blocker.rpz.files import ZoneFile
from tests.policy.child import in_child
from tests.policy.strategies import EPOCH
from tests.rpz.world import blocking, silent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def target(tmp_path: Path, *, pulse: Callable[[], None] = silent, now: float = EPOCH) -> ZoneFile:
    return ZoneFile(zone="id.rpz", region="ID", state=tmp_path / "state", pulse=pulse, clock=lambda: now)


def push(to: ZoneFile, *names: str, t: int = EPOCH, ttl: int = 30) -> int:
    return to.send(to.prepare(blocking(*names, ttl=ttl), t))


def serial(to: ZoneFile) -> int:
    return int(to.path.read_text().splitlines()[3].split(" ")[4])


def test_the_file_is_a_zone_that_says_where_it_is_from(tmp_path: Path) -> None:
    to = target(tmp_path)
    assert to.name == "file id.rpz"
    assert push(to, "a.example") == 3  # Two owners, and the head.
    assert to.path.read_text() == (
        "; generation 7 of c0ffeec0ffeec0ff, as of 2027-01-15T08:00:00Z; written by blocker push\n"
        "$ORIGIN id.rpz.\n"
        "$TTL 30\n"
        f"@ SOA localhost. nobody.invalid. {EPOCH} 30 5 2592000 30\n"
        "@ NS localhost.\n"
        "a.example CNAME .\n"
        "*.a.example CNAME .\n"
    )
    assert to.path == tmp_path / "state" / "rpz" / "id.rpz.zone"
    assert to.path.stat().st_mode & 0o777 == 0o640
    assert to.path.parent.stat().st_mode & 0o7777 == 0o2750


def test_a_file_that_says_it_already_is_left_alone(tmp_path: Path) -> None:
    to = target(tmp_path)
    push(to, "a.example")
    before = to.path.stat()
    change = target(tmp_path, now=EPOCH + 60).prepare(blocking("a.example"), EPOCH + 5)
    assert change.is_empty
    assert to.send(change) == 0
    assert to.path.stat() == before
    assert list(to.path.parent.iterdir()) == [to.path]


def test_each_change_counts_the_owners_that_differ_and_has_a_later_serial(tmp_path: Path) -> None:
    to = target(tmp_path)
    push(to, "a.example", "b.example")
    assert push(to, "b.example", "c.example") == 4
    assert serial(to) == EPOCH + 1, "the clock stood still, or went back"
    assert push(target(tmp_path, now=EPOCH + 100), "b.example") == 2
    assert serial(to) == EPOCH + 100


def test_nothing_is_in_force_before_it_is_sent(tmp_path: Path) -> None:
    to = target(tmp_path)
    push(to, "a.example")
    before = to.path.read_text()
    to.prepare(blocking("b.example"), EPOCH)
    assert to.path.read_text() == before


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("a.example", "other.example"),
        lambda text: text + "b.example CNAME .\n",
        lambda text: text[:-5],
        lambda text: "",
        lambda text: text.replace("$TTL 30", "$TTL 31"),
        lambda text: text.replace("localhost. nobody", "localhost.  nobody"),
        lambda text: text + "\x00\xff rubbish\n",
        lambda text: text.replace("CNAME .", "TXT x"),
    ],
)
def test_a_file_edited_by_hand_is_noticed_and_heals(tmp_path: Path, edit: Callable[[str], str]) -> None:
    to = target(tmp_path)
    push(to, "a.example")
    assert to.is_whole()
    right = to.path.read_text().splitlines()[4:]
    to.path.write_text(edit(to.path.read_text()), encoding="latin-1")
    assert not to.is_whole()
    assert push(to, "a.example") > 0
    assert to.path.read_text().splitlines()[4:] == right
    assert to.is_whole()


def test_a_file_that_vanished_is_not_whole_and_comes_back(tmp_path: Path) -> None:
    to = target(tmp_path)
    push(to, "a.example")
    to.path.unlink()
    assert not to.is_whole()
    push(to, "a.example")
    assert to.is_whole()


def test_another_ttl_is_written_though_no_name_differs(tmp_path: Path) -> None:
    to = target(tmp_path)
    push(to, "a.example")
    assert push(to, "a.example", ttl=60) == 1
    assert "$TTL 60\n" in to.path.read_text()


def test_a_change_prepared_before_another_one_is_not_sent(tmp_path: Path) -> None:
    to = target(tmp_path)
    old = to.prepare(blocking("a.example"), EPOCH)
    to.prepare(blocking("b.example"), EPOCH)
    with pytest.raises(StoreError, match="another change was prepared"):
        to.send(old)


def test_a_full_disk_is_a_store_error_and_the_old_zone_stays_whole(tmp_path: Path) -> None:
    to = target(tmp_path)
    push(to, "a.example")
    before = to.path.read_bytes()

    def on_a_full_disk() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
        return push(to, *(f"n{number}.example" for number in range(1000)))

    said = in_child(on_a_full_disk)
    assert said.startswith(f"StoreError: {to.path}: "), said
    assert "the old zone stays" in said
    assert to.path.read_bytes() == before
    assert list(to.path.parent.iterdir()) == [to.path]


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "rpz").write_text("in the way")
    with pytest.raises(StoreError, match="rpz"):
        push(target(tmp_path), "a.example")


def test_a_long_zone_is_felt_by_the_pulse(tmp_path: Path) -> None:
    beats: list[None] = []
    to = target(tmp_path, pulse=lambda: beats.append(None))
    push(to, *(f"n{number}.example" for number in range(2500)))
    assert len(beats) == 4, "once for each thousand names, and at the end"
    held = to.path.read_text().splitlines(keepends=True)[5:]
    assert len(list(zone.parse(held))) == 5000


def test_an_edit_is_noticed_although_the_next_change_is_prepared_already(tmp_path: Path) -> None:
    to, policy = target(tmp_path), blocking("a.example", start=10, until=20)
    to.send(to.prepare(policy, EPOCH))
    to.path.write_text(to.path.read_text() + "b.example CNAME .\n")
    to.prepare(policy, EPOCH + 10)
    assert not to.is_whole()
    to.send(to.prepare(policy, EPOCH))
    assert "b.example" not in to.path.read_text()
    assert to.is_whole()


def test_a_file_that_was_right_at_the_start_is_whole_until_it_is_edited(tmp_path: Path) -> None:
    push(target(tmp_path), "a.example")
    to = target(tmp_path)
    assert push(to, "a.example") == 0
    assert to.is_whole()
    to.path.write_text(to.path.read_text() + "b.example CNAME .\n")
    assert not to.is_whole()


def test_a_second_writer_never_takes_what_the_first_is_writing(tmp_path: Path) -> None:
    old, new = target(tmp_path), target(tmp_path)
    change = old.prepare(blocking("a.example"), EPOCH)
    other = new.prepare(blocking("a.example", "b.example"), EPOCH)
    assert old.send(change) == 3
    assert old.path.read_text().endswith("\na.example CNAME .\n*.a.example CNAME .\n")
    assert new.send(other) == 5
    assert not old.is_whole()
    assert new.is_whole()
    assert list(new.path.parent.iterdir()) == [new.path]


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    old = target(tmp_path)
    change = old.prepare(blocking("a.example"), EPOCH)

    def die() -> None:
        target(tmp_path).prepare(blocking("b.example"), EPOCH)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(die) == "killed by SIGKILL"
    assert len(list(old.path.parent.iterdir())) == 2
    new = target(tmp_path)
    assert push(new, "c.example") == 3
    assert len(list(old.path.parent.iterdir())) == 2
    assert old.send(change) == 3
    assert list(old.path.parent.iterdir()) == [old.path]


def test_a_change_that_was_sent_is_not_sent_again(tmp_path: Path) -> None:
    to = target(tmp_path)
    change = to.prepare(blocking("a.example"), EPOCH)
    assert to.send(change) == 3
    assert to.send(change) == 0


def test_a_folder_that_was_taken_away_comes_back(tmp_path: Path) -> None:
    to = target(tmp_path)
    push(to, "a.example")
    shutil.rmtree(to.path.parent)
    assert not to.is_whole()
    push(to, "a.example")
    assert to.is_whole()


def test_names_that_the_zone_has_no_room_for_are_told(tmp_path: Path) -> None:
    to = target(tmp_path)
    assert to.prepare(blocking("a.example"), EPOCH).lack == ""
    assert "can't speak of 1 name" in to.prepare(blocking("a.example", "a.rpz-ip"), EPOCH).lack
