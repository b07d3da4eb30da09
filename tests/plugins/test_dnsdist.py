"""The store beside dnsdist: what one change writes, and that it heals from whatever became of it."""

from __future__ import annotations

import json
import os
import signal
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

import lmdb
import pytest

from blocker import names
from blocker.errors import StoreError
from blocker.orders.model import Kind
from blocker.plugins import dnsdist
from blocker.plugins.dnsdist import FILE, Dnsdist
from blocker.plugins.dnsdist_change import Spool
from blocker.plugins.dnsdist_classes import GONE
from blocker.policy import writer
from blocker.policy.reader import Reader
from blocker.policy.records import Withheld
from blocker.site import Enforcement
from tests.policy.child import in_child
from tests.policy.strategies import EPOCH, directive, key, order
from tests.policy.test_writer import commit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blocker.orders.model import Order
    from blocker.plugins.dnsdist_change import Change

SITE = Enforcement(default_region="ID", info_url="https://isp.example/blocked")


class World:
    """A policy store and the target beside it; regions come with the store's own site."""

    def __init__(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tests.policy.test_writer.SITE", SITE)
        self.state = state
        self.digest = ""
        self.target = Dnsdist(state)

    def apply(self, *orders: Order) -> None:
        self.digest = commit(self.state, orders, base=self.digest)

    def prepare(self, second: int = 0) -> Change:
        reader = Reader(self.state)
        try:
            with reader.snapshot() as policy:
                return self.target.prepare(policy, EPOCH + second)
        finally:
            reader.close()

    def push(self, second: int = 0) -> int:
        return self.target.send(self.prepare(second))

    @contextmanager
    def opened(self, *, write: bool = False) -> Iterator[tuple[lmdb.Environment, lmdb.Transaction]]:
        """The file in the hands of another."""
        self.target.close()
        env = lmdb.open(str(self.state / FILE), subdir=False, max_dbs=32, map_size=64 << 30)
        try:
            with env.begin(write=write) as txn:
                yield env, txn
        finally:
            env.close()

    def table(self, name: str) -> dict[bytes, bytes]:
        with self.opened() as (env, txn):
            rows = txn.cursor(db=env.open_db(name.encode(), txn=txn, create=False))
            return {bytes(one): bytes(other) for one, other in rows}

    def answer(self, name: str, region: str = "ID") -> bytes | None:
        """As dnsdist looks it up."""
        wire = names.to_wire(key(name))
        number = self.table("own").get(wire)
        below = self.table("names")
        while number is None and wire != b"\0":
            number = below.get(wire)
            wire = wire[1 + wire[0] :]
        return None if number is None else self.table(f"active-{region}").get(number)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path / "state", monkeypatch)
    yield made
    made.target.close()


ONE = order("x/1", directives=(directive("d", "a.example", excepts=["free.a.example"], start=2),))
TWO = order("x/2", directives=(directive("d", "b.example", "c.a.example", start=2),))


def test_what_decide_says_is_there_after_a_change(world: World) -> None:
    world.apply(ONE)
    world.push(2)
    assert world.answer("www.a.example") == f"x. {EPOCH + 8} - x/1/d https://isp.example/blocked".encode()
    assert world.answer("a.example") == f"d* {EPOCH + 8} - x/1/d https://isp.example/blocked".encode()
    assert world.answer("free.a.example") is None
    assert world.answer("b.example") is None


def test_before_the_start_the_instant_is_there_to_shape_ttls(world: World) -> None:
    world.apply(ONE)
    world.push(1)
    assert world.answer("a.example") == b"p. %d -" % (EPOCH + 2)


def test_a_start_of_many_names_is_one_row(world: World) -> None:
    world.apply(
        order("x/1", directives=(directive("d", *(f"n{one}.example" for one in range(5000)), start=2),))
    )
    assert world.push(1) == 5001
    change = world.prepare(2)
    assert (change.size, change.names.count, not change.is_empty) == (1, 0, True)
    assert world.target.send(change) == 1
    assert world.answer("n4999.example") is not None


def test_a_second_run_changes_nothing(world: World) -> None:
    world.apply(ONE, TWO)
    world.push(2)
    change = world.prepare(2)
    assert change.is_empty
    assert change.size == 0


def test_an_instant_at_which_nothing_starts_changes_nothing(world: World) -> None:
    world.apply(ONE)
    world.push(2)
    assert world.prepare(5).is_empty


def test_one_more_order_changes_only_the_rows_of_its_names(world: World) -> None:
    world.apply(order("x/1", directives=(directive("d", *(f"n{one}.example" for one in range(1000))),)))
    world.push()
    world.apply(
        order("x/1", directives=(directive("d", *(f"n{one}.example" for one in range(1000))),)),
        order("x/2", directives=(directive("d", "n7.example", "b.example"),)),
    )
    change = world.prepare()
    assert change.names.count == 2
    assert world.target.send(change) == 4  # Two classes more.
    said = world.answer("n7.example")
    assert said is not None
    assert b"x/1/d x/2/d" in said


def test_what_is_gone_from_the_policy_is_gone_from_the_store(world: World) -> None:
    world.apply(ONE, TWO)
    world.push(2)
    world.apply(ONE)
    world.push(2)
    assert world.answer("b.example") is None
    assert names.to_wire(key("b.example")) not in world.table("names")
    assert world.answer("c.a.example") == world.answer("x.a.example")


def test_a_query_under_way_still_finds_the_answer_to_a_class_that_lost_its_names(world: World) -> None:
    world.apply(TWO)
    world.push(2)
    before = world.table("names")[names.to_wire(key("b.example"))]
    world.apply(ONE)
    world.push(2)
    assert before in world.table("active-ID")
    assert world.prepare(2).is_empty
    world.apply(ONE, order("x/3", directives=(directive("d", "z.example"),)))
    world.push(2)
    assert before not in world.table("active-ID")
    assert before not in world.table("classes")


def test_a_class_that_comes_back_has_another_number(world: World) -> None:
    world.apply(TWO)
    world.push(2)
    before = world.table("names")[names.to_wire(key("b.example"))]
    world.apply(ONE)
    world.push(2)
    world.apply(TWO)
    world.push(2)
    assert world.table("names")[names.to_wire(key("b.example"))] != before


def test_what_the_operator_withholds_passes_without_a_walk_over_the_names(world: World) -> None:
    world.apply(TWO)
    world.push(2)
    writer.withhold(world.state, Withheld(reason="a reason", at=EPOCH, by="someone"), "x/2")
    change = world.prepare(2)
    assert not change.is_new
    world.target.send(change)
    assert world.answer("b.example") is None


def test_a_lift_takes_its_row_away(world: World) -> None:
    world.apply(TWO, order("x/3", Kind.LIFT, of="x/2", start=5))
    world.push(2)
    assert world.push(5) == 1
    assert world.answer("b.example") is None


def test_a_killed_pusher_goes_on_from_what_it_left(world: World) -> None:
    world.apply(TWO)
    world.push(1)
    lost = world.prepare(2)
    world.target.close()
    world.target = Dnsdist(world.state)
    assert not lost.is_empty
    assert world.push(2) == 1
    assert world.prepare(2).is_empty


def test_sending_a_change_twice_does_no_harm(world: World) -> None:
    world.apply(TWO)
    change = world.prepare(2)
    assert world.target.send(change) > 0
    assert world.target.send(change) == 0
    assert world.prepare(2).is_empty


def test_a_change_of_another_state_is_refused(world: World) -> None:
    world.apply(TWO)
    world.push(1)
    stale = world.prepare(2)
    world.apply(ONE)
    world.push(1)
    with pytest.raises(
        StoreError, match=r"it was changed since the change was prepared; only one `blocker push`"
    ):
        world.target.send(stale)
    assert world.answer("b.example") is None


def test_what_another_hand_wrote_is_noticed_and_written_anew(world: World) -> None:
    world.apply(TWO)
    world.push(2)
    assert world.target.is_whole()
    with world.opened(write=True) as (env, txn):
        txn.put(names.to_wire(key("innocent.example")), b"\0\0\0\1", db=env.open_db(b"names", txn=txn))
    assert not world.target.is_whole()
    change = world.prepare(2)
    assert change.is_fresh
    world.target.send(change)
    assert world.answer("innocent.example") is None
    assert world.answer("b.example") is not None
    assert world.target.is_whole()


def test_a_file_of_another_format_is_written_anew_in_place(world: World) -> None:
    world.apply(TWO)
    world.push(2)
    inode = (world.state / FILE).stat().st_ino
    with world.opened(write=True) as (env, txn):
        held = env.open_db(b"held", txn=txn)
        said = json.loads(bytes(txn.get(b"held", b"", db=held)))
        txn.put(b"held", json.dumps({**said, "format": 0, "transaction": txn.id()}).encode(), db=held)
    world.push(2)
    assert world.answer("b.example") is not None
    assert (world.state / FILE).stat().st_ino == inode


@pytest.mark.parametrize("octets", [b"nonsense", b"[]", b'{"surplus": 1}'])
def test_a_file_that_says_nonsense_of_itself_is_written_anew(world: World, octets: bytes) -> None:
    world.apply(TWO)
    world.push(2)
    with world.opened(write=True) as (env, txn):
        txn.put(b"held", octets, db=env.open_db(b"held", txn=txn))
    assert world.push(2) > 0
    assert world.answer("b.example") is not None


def test_a_file_that_was_taken_away_is_made_again(world: World) -> None:
    world.apply(TWO)
    world.push(2)
    (world.state / FILE).unlink()
    (world.state / f"{FILE}-lock").unlink()
    assert not world.target.is_whole()
    world.push(2)
    assert world.answer("b.example") is not None


def test_a_truncated_file_is_said_with_the_way_out(world: World) -> None:
    world.apply(order("x/1", directives=(directive("d", *(f"n{one}.example" for one in range(5000))),)))
    world.push()
    world.target.close()
    os.truncate(world.state / FILE, 8192)
    with pytest.raises(
        StoreError, match=r"it is truncated; stop dnsdist, remove the file and start both again"
    ):
        world.target.is_whole()


def test_a_file_that_is_no_store_is_refused_and_left_alone(world: World) -> None:
    world.apply(TWO)
    (world.state / FILE).write_bytes(b"# a text file\n" * 4000)
    with pytest.raises(StoreError, match=r"this is not what dnsdist reads .*; stop dnsdist, remove the file"):
        world.prepare()
    assert (world.state / FILE).read_bytes() == b"# a text file\n" * 4000


def test_a_full_disk_leaves_the_last_change_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.apply(TWO)
    world.push(2)
    world.apply(TWO, ONE)
    change = world.prepare(2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dnsdist, "_say", full)
    with pytest.raises(StoreError, match=r"dnsdist.lmdb: \[Errno 28\] No space left on device"):
        world.target.send(change)
    monkeypatch.undo()
    assert world.answer("b.example") is not None
    assert world.answer("a.example") is None
    world.target.send(change)
    assert world.answer("a.example") is not None


def test_dnsdists_group_may_read_the_file_and_take_a_slot_in_the_lock(world: World) -> None:
    world.target.make(SITE)
    assert stat.S_IMODE((world.state / FILE).stat().st_mode) == 0o640
    assert stat.S_IMODE((world.state / f"{FILE}-lock").stat().st_mode) == 0o660


def test_a_pusher_killed_while_it_writes_leaves_the_last_change_whole(world: World) -> None:
    world.apply(TWO)
    world.push(2)
    world.target.close()
    world.apply(TWO, ONE)

    def killed() -> None:
        target = Dnsdist(world.state)
        reader = Reader(world.state)
        with reader.snapshot() as policy:
            change = target.prepare(policy, EPOCH + 2)
        target._pulse = lambda: os.kill(os.getpid(), signal.SIGKILL)
        target.send(change)

    assert in_child(killed) == "killed by SIGKILL"
    assert world.answer("a.example") is None
    assert world.answer("b.example") is not None
    assert world.push(2) > 0
    assert world.answer("a.example") is not None


def test_a_new_region_gets_its_database_and_nothing_else_changes(world: World) -> None:
    world.apply(TWO)
    world.push(2)
    world.target.make(Enforcement(regions={"GB": ()}, default_region="ID"))
    assert world.table("active-GB") == {}
    assert world.target.is_whole()
    assert world.prepare(2).is_empty


def test_a_region_that_the_site_dropped_has_no_answers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.apply(TWO)
    world.push(2)
    assert world.table("active-ID")
    monkeypatch.setattr("tests.policy.test_writer.SITE", Enforcement(default_region="GB"))
    world.apply(TWO, ONE)
    world.push(2)
    world.apply(ONE)
    world.push(2)
    assert not world.table("active-ID")


def test_long_work_lets_the_heart_beat(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dnsdist, "_BATCH", 1000)
    world.apply(order("x/1", directives=(directive("d", *(f"n{one}.example" for one in range(3000))),)))
    beats = []
    world.target = Dnsdist(world.state, pulse=lambda: beats.append(1))
    change = world.prepare()
    prepared = len(beats)
    world.target.send(change)
    assert prepared >= 3
    assert len(beats) - prepared >= 3


def test_a_spool_gives_back_what_it_took_however_much_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blocker.plugins.dnsdist_change._IN_MEMORY", 100)
    monkeypatch.setattr("blocker.plugins.dnsdist_change._CHUNK", 7)
    rows = [(names.to_key(f"n{one}.example"), b"%08d" % one, GONE) for one in range(50)]
    spool = Spool(tmp_path)
    for row in rows:
        spool.add(*row)
    assert list(spool) == list(spool) == rows
    assert spool.count == 50
