from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import stat
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import lmdb
import pytest

from blocker.errors import StoreError
from blocker.orders.model import Kind
from blocker.orders.schedule import schedule
from blocker.policy import store
from blocker.policy.directives import Role
from blocker.policy.index import Index
from blocker.policy.plan import policy_digest
from blocker.policy.reader import Reader
from tests.policy import kill_apply
from tests.policy.child import Child, in_child
from tests.policy.strategies import directive, key, order, read
from tests.policy.test_writer import commit, holds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blocker.orders.model import Order

FIRST = [order("x/1", directives=(directive("d", "a.example"),))]
SECOND = [order("x/2", directives=(directive("d", "b.example", "*.c.example"),))]
MANY = [order("x/3", directives=(directive("d", *(f"n{number}.example" for number in range(20_000))),))]


@pytest.fixture
def state() -> Iterator[Path]:
    """A folder that other users can reach, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "state"


def held(state: Path) -> str:
    """Which orders a fresh reader finds."""
    reader = Reader(state)
    try:
        with reader.snapshot() as snapshot:
            return " ".join(snapshot.orders)
    finally:
        reader.close()


def file_of(state: Path) -> Path:
    return state / store.FILE


def test_a_missing_store_is_said_with_the_way_out(state: Path) -> None:
    with pytest.raises(StoreError, match="there is no policy store yet; `blocker apply` makes it"):
        Reader(state)
    assert not state.exists()


@pytest.mark.parametrize(
    "octets",
    [b"\0" * 65536, random.Random(1).randbytes(65536), b"orders: [", b"x", b"# a text file\n" * 4000],
    ids=["zeros", "noise", "short text", "one octet", "long text"],
)
def test_a_file_that_is_no_store_is_refused_and_left_alone(state: Path, octets: bytes) -> None:
    state.mkdir()
    file_of(state).write_bytes(octets)
    for work in (lambda: held(state), lambda: commit(state, FIRST, base="")):
        said = in_child(work)
        assert said.startswith(f"StoreError: {file_of(state)}: this is not a policy store"), said
        assert "move it away and run `blocker apply`" in said
        assert file_of(state).read_bytes() == octets


def test_an_empty_file_has_no_policy_yet_and_apply_fills_it(state: Path) -> None:
    state.mkdir()
    file_of(state).touch()
    said = in_child(lambda: held(state))
    assert said.startswith(f"NothingApplied: {file_of(state)}: "), said
    assert "`blocker apply`" in said
    commit(state, FIRST, base="")
    assert held(state) == "x/1"


def test_a_folder_in_place_of_the_file_is_a_store_error(state: Path) -> None:
    file_of(state).mkdir(parents=True)
    for work in (lambda: held(state), lambda: commit(state, FIRST, base="")):
        assert in_child(work).startswith(f"StoreError: {file_of(state)}: ")


@pytest.mark.parametrize("part", [0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_store_is_refused_and_ends_no_process(state: Path, part: float) -> None:
    base = commit(state, FIRST, base="")
    commit(state, MANY, base=base)
    size = file_of(state).stat().st_size
    os.truncate(file_of(state), int(size * part))
    for work in (lambda: held(state), lambda: commit(state, FIRST, base=base)):
        said = in_child(work)
        assert said.startswith(f"StoreError: {file_of(state)}: "), said
        assert "`blocker apply`" in said


def test_a_refused_store_can_be_moved_away_and_built_again_by_one_process(state: Path) -> None:
    commit(state, MANY, base="")
    os.truncate(file_of(state), 20_000)
    with pytest.raises(StoreError, match="truncated") as refused:
        Reader(state)
    file_of(state).rename(state / "broken")
    commit(state, FIRST, base="")
    assert held(state) == "x/1"
    assert refused.value.__traceback__ is not None  # Whatever it holds has kept nothing open.


def test_a_store_of_a_newer_format_is_refused_by_both_sides(state: Path) -> None:
    commit(state, FIRST, base="")
    with lmdb.open(str(file_of(state)), subdir=False, max_dbs=5) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True) as txn:
            txn.put(b"format", b"99", db=meta)
    for work in (lambda: held(state), lambda: commit(state, FIRST, base="")):
        said = in_child(work)
        assert said.startswith(f"StoreError: {file_of(state)}: the store has format 99, this version "), said
        assert "use the version that wrote it" in said


@pytest.mark.parametrize(
    ("spoil", "writes"),
    [
        (lambda state: file_of(state).chmod(0o600), False),
        (lambda state: (state / "policy.lmdb-lock").chmod(0o640), False),
        (lambda state: state.chmod(0o700), False),
        (lambda state: file_of(state).chmod(0o644), True),
        (lambda state: state.chmod(0o755), True),
    ],
    ids=["data unreadable", "lock read-only", "folder closed", "data read-only", "folder read-only"],
)
def test_missing_rights_are_a_store_error_that_names_the_group(
    state: Path, spoil: Callable[[Path], None], writes: bool
) -> None:
    base = commit(state, FIRST, base="")
    state.chmod(0o755)
    file_of(state).chmod(0o644)
    (state / "policy.lmdb-lock").chmod(0o666)
    spoil(state)
    said = in_child(lambda: commit(state, SECOND, base=base) if writes else held(state), drop_rights=True)
    assert said.startswith(
        f"StoreError: {file_of(state)}: no permission; the user needs to be in the group"
    ), said
    assert held(state) == "x/1"


def test_a_state_folder_that_cannot_be_made_is_a_store_error(state: Path) -> None:
    said = in_child(lambda: commit(state, FIRST, base=""), drop_rights=True)
    assert said.startswith("StoreError: "), said
    assert "no permission" in said


def test_a_full_disk_is_a_store_error_and_the_old_generation_stays_whole(state: Path) -> None:
    base = commit(state, FIRST, base="")

    def on_a_full_disk() -> str:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = file_of(state).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return commit(state, MANY, base=base)

    said = in_child(on_a_full_disk)
    assert said.startswith(f"StoreError: {file_of(state)}: "), said
    assert "the last generation is untouched" in said
    reader = Reader(state)
    with reader.snapshot() as snapshot:
        holds(snapshot, FIRST)
    reader.close()
    commit(state, MANY, base=base)
    assert held(state) == "x/3"


def test_a_disk_full_from_the_start_leaves_nothing_that_stops_a_later_apply(state: Path) -> None:
    def on_a_full_disk() -> str:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        return commit(state, FIRST, base="")

    assert in_child(on_a_full_disk).startswith("StoreError: ")
    commit(state, FIRST, base="")
    assert held(state) == "x/1"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_the_group_may_read_the_data_and_write_its_reader_slot(state: Path, umask: int) -> None:
    def with_umask() -> str:
        os.umask(umask)
        return commit(state, FIRST, base="")

    in_child(with_umask)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (state, file_of(state), state / "policy.lmdb-lock")
    }
    assert modes == {"state": 0o2750, "policy.lmdb": 0o640, "policy.lmdb-lock": 0o660}


def test_a_reader_neither_waits_for_a_writer_nor_sees_half_of_its_work(state: Path) -> None:
    base = commit(state, FIRST, base="")
    later = Child(lambda: commit(state, SECOND, base=base, number=10**6))
    reader = Reader(state)
    with reader.snapshot() as snapshot:
        stamp = snapshot.stamp
        assert "Error" not in later.go()
        holds(snapshot, FIRST)
    with reader.snapshot() as snapshot:
        holds(snapshot, SECOND)
        assert snapshot.stamp != stamp
        assert snapshot.generation.number == 10**6
    with reader.snapshot() as snapshot:
        assert snapshot.stamp == reader._snapshot.stamp  # type: ignore[union-attr]  # it has been read
    assert reader.trouble == ""
    reader.close()


def look(reader: Reader) -> str:
    """The orders the reader holds, after it has looked at the file."""
    reader._looked = float("-inf")
    with reader.snapshot() as snapshot:
        return " ".join(snapshot.orders)


@pytest.mark.parametrize("commits", [1, 2, 3, 4])
@pytest.mark.parametrize("before", [1, 2])
def test_a_replaced_store_is_noticed_and_read_whole(state: Path, commits: int, before: int) -> None:
    base = ""
    for number in range(1, 1 + before):
        base = commit(state, FIRST, base=base, number=number)

    def replace_it() -> None:
        base = ""
        for number in range(1, 1 + commits):
            given: list[Order] = SECOND if number == commits else MANY
            base = commit(state.parent / "new", given, base=base, number=number)
        file_of(state.parent / "new").replace(file_of(state))

    replacing = Child(replace_it)
    following = Child(lambda: commit(state, FIRST, base=policy_digest({SECOND[0].id: SECOND[0].digest})))
    reader = Reader(state)
    assert look(reader) == "x/1"
    with reader.snapshot() as snapshot:
        stamp = snapshot.stamp
    assert replacing.go() == "None"
    assert look(reader) == "x/2"
    assert reader.trouble == ""
    with reader.snapshot() as snapshot:
        assert snapshot.stamp != stamp
        holds(snapshot, SECOND)
    assert "Error" not in following.go()
    assert look(reader) == "x/1"
    reader.close()
    assert held(state) == "x/1"


def test_a_store_moved_away_and_applied_anew_is_picked_up(state: Path) -> None:
    commit(state, FIRST, base="")
    again = Child(lambda: commit(state, SECOND, base=""))
    reader = Reader(state)
    file_of(state).rename(state / "away")
    assert look(reader) == "x/1"
    assert "goes on being enforced" in reader.trouble
    assert "Error" not in again.go()
    assert look(reader) == "x/2"
    assert reader.trouble == ""
    reader.close()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.write_bytes(random.Random(2).randbytes(65536)), "this is not a policy store"),
        (lambda path: path.touch(), "no policy store yet"),
        (lambda path: os.truncate(path, 10_000), "the store is truncated"),
    ],
    ids=["noise", "empty", "truncated"],
)
def test_while_a_new_file_cannot_be_read_the_old_policy_serves_and_trouble_says_why(
    state: Path, spoil: Callable[[Path], None], says: str
) -> None:
    commit(state, FIRST, base="")
    shutil.copy(file_of(state), state / "copy")
    if says == "the store is truncated":
        shutil.copy(file_of(state), state / "bad")
    spoil(state / "bad")
    reader = Reader(state)
    (state / "bad").replace(file_of(state))
    for _ in range(2):
        assert look(reader) == "x/1"
        assert says in reader.trouble
    (state / "copy").replace(file_of(state))
    assert look(reader) == "x/1"
    assert reader.trouble == ""
    reader.close()


def test_a_generation_in_a_newer_format_is_refused_not_guessed_at(state: Path) -> None:
    commit(state, FIRST, base="")

    def write_format(octets: bytes) -> None:
        with lmdb.open(str(file_of(state)), subdir=False, max_dbs=5) as env:
            meta = env.open_db(b"meta")
            with env.begin(write=True) as txn:
                txn.put(b"format", octets, db=meta)

    upgrading, downgrading = (Child(partial(write_format, octets)) for octets in (b"2", b"1"))
    reader = Reader(state)
    assert upgrading.go() == "None"
    for _ in range(2):
        # The old directives with the new names would block what no order demands.
        with pytest.raises(StoreError, match="format 2, this version reads 1"), reader.snapshot():
            pass
        assert "format 2" in reader.trouble
    assert downgrading.go() == "None"
    with reader.snapshot() as snapshot:
        assert list(snapshot.orders) == ["x/1"]
    assert reader.trouble == ""
    reader.close()


def test_slots_of_killed_readers_are_cleared_by_the_next_apply(state: Path) -> None:
    base = commit(state, FIRST, base="")

    def die_reading() -> None:
        reader = Reader(state)
        with reader.snapshot():
            os.kill(os.getpid(), signal.SIGKILL)

    def slots() -> int:
        with lmdb.open(str(file_of(state)), subdir=False, readonly=True, max_dbs=5) as env:
            return len(env.readers().splitlines())

    dying = [Child(die_reading) for _ in range(3)]
    before, after = Child(slots), Child(slots)
    applying = Child(lambda: commit(state, SECOND, base=base))
    daemon = Reader(state)  # Keeps the lock file from being made anew.
    for child in dying:
        assert child.go() == "killed by SIGKILL"
    full = int(before.go())
    assert "Error" not in applying.go()
    assert int(after.go()) == full - 3
    daemon.close()


def test_apply_killed_anywhere_leaves_the_old_or_the_new_generation(state: Path) -> None:
    assert kill_apply.run(state, 10, seed=4) == 10


@pytest.mark.parametrize("record", [b"generation", b"orders", b"site", b"withheld", b"format"])
@pytest.mark.parametrize("octets", [b"", b"{", b"[1]", b"\xff", b"null"], ids=repr)
def test_a_record_that_cannot_be_read_is_a_store_error(state: Path, record: bytes, octets: bytes) -> None:
    commit(state, FIRST, base="")
    with lmdb.open(str(file_of(state)), subdir=False, max_dbs=5) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True) as txn:
            txn.put(record, octets, db=meta)
    with pytest.raises(StoreError, match="`blocker apply`"):
        Reader(state)


LONG = [
    order(
        "x/long",
        directives=(
            directive("d", *(f"n{number}.example" for number in range(3000)), excepts=["a.n7.example"]),
            directive("e", "n1.example", "b.n2.example", excepts=["c.n1.example"]),
        ),
    ),
    order("x/cut", Kind.AMEND, of="x/long", start=1, remove=["z.n1.example", "*.n3.example"]),
]


def test_a_sample_is_bounded_true_and_spread_by_its_seed(state: Path) -> None:
    commit(state, LONG, base="")
    index = Index(schedule(LONG), read)
    reader = Reader(state)
    with reader.snapshot() as snapshot:
        for number, one in snapshot.directives.items():
            (same,) = [at for at, other in index.directives.items() if other.ref == one.ref]
            whole = set(index.sample(same, 10_000, seed=0))
            for limit in (1, 5, 40, 60):
                sample = snapshot.sample(number, limit, seed=3)
                assert set(sample) <= whole
                assert len(sample) == len(set(sample)) == min(limit, len(whole))
                assert sample == snapshot.sample(number, limit, seed=3)
        (long,) = [at for at, one in snapshot.directives.items() if one.ref == "x/long/d"]
        assert snapshot.sample(long, 40, seed=1) != snapshot.sample(long, 40, seed=2)
        assert (key("a.n7.example"), Role.EXCEPT) in snapshot.sample(long, 40, seed=1)
    reader.close()


def test_many_excepts_leave_room_for_names_that_must_be_blocked(state: Path) -> None:
    excepts = [f"free{number}.n1.example" for number in range(50)]
    names = [f"n{number}.example" for number in range(3000)]
    commit(state, [order("x/b", directives=(directive("d", *names, excepts=excepts),))], base="")
    reader = Reader(state)
    with reader.snapshot() as snapshot:
        (number,) = snapshot.directives
        roles = [role for _, role in snapshot.sample(number, 20, seed=1)]
        assert roles.count(Role.EXCEPT) == roles.count(Role.SUBTREE) == 10
        assert [role for _, role in snapshot.sample(number, 1, seed=1)] == [Role.SUBTREE]
    reader.close()


def test_a_reader_takes_over_what_an_apply_did_not_change(state: Path) -> None:
    base = commit(state, FIRST, base="")
    both = Child(lambda: commit(state, [*FIRST, *SECOND], base=base, number=10**6))
    reader = Reader(state)
    with reader.snapshot() as snapshot:
        before = dict(snapshot.directives)
    assert "Error" not in both.go()
    with reader.snapshot() as snapshot:
        holds(snapshot, [*FIRST, *SECOND])
        assert all(snapshot.directives[number] is one for number, one in before.items())
    reader.close()
