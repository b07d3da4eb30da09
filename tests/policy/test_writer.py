from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocker.errors import StalePlan, StoreError
from blocker.orders.schedule import schedule
from blocker.policy import records, writer
from blocker.policy.decide import decide
from blocker.policy.directives import entries
from blocker.policy.index import Index
from blocker.policy.plan import policy_digest
from blocker.policy.reader import Reader
from blocker.site import Enforcement
from tests.policy.strategies import (
    ASKED_NAMES,
    EPOCH,
    REGIONS,
    SUBJECT_NAMES,
    directive,
    key,
    order,
    orders,
    read,
    refs_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from blocker.names import Key
    from blocker.orders.model import Order
    from blocker.orders.timetable import Scheduled
    from blocker.policy.directives import Role
    from blocker.policy.store import Snapshot

SITE = Enforcement(ttl=7, info_url="https://isp.example/blocked")
STORE_LAW = settings(max_examples=40, suppress_health_check=list(HealthCheck))


_NUMBERS = itertools.count(1000)


def commit(
    state: Path,
    given: Sequence[Order],
    *,
    base: str,
    number: int | None = None,
    former: Callable[[Scheduled], Iterable[Key]] = lambda _: (),
) -> str:
    """Apply the orders, as the next generation if no number is given; the new digest."""
    wanted = target(given, former, number=number)
    writer.commit(state, wanted, base=base)
    return wanted.generation.digest


def target(
    given: Sequence[Order], former: Callable[[Scheduled], Iterable[Key]], *, number: int | None = None
) -> writer.Target:
    """What the store is to hold after a commit of these orders."""
    digests = {one.id: one.digest for one in given}
    return writer.Target(
        generation=records.Generation(
            number=next(_NUMBERS) if number is None else number,
            digest=policy_digest(digests),
            applied_at=EPOCH,
            by="a test",
        ),
        orders=digests,
        directives=schedule(given),
        enforcement=SITE,
        read=read,
        former=former,
    )


def content(snapshot: Snapshot) -> dict[Key, set[tuple[str, Role]]]:
    """The (ref, role) of every name that the store holds, with its sets and counts checked."""
    found: dict[Key, set[tuple[str, Role]]] = {}
    counts: dict[int, int] = {}
    for name, value in snapshot._txn.cursor(db=snapshot._names):
        set_id = records.unpack_number(value)
        counts[set_id] = counts.get(set_id, 0) + 1
        found[name] = {(snapshot.directives[number].ref, role) for number, role in snapshot.pairs(set_id)}
    stored = {
        records.unpack_number(number): records.unpack_set(value)[0]
        for number, value in snapshot._txn.cursor(db=snapshot._sets_db)
    }
    assert stored == counts
    return found


def holds(snapshot: Snapshot, given: Sequence[Order]) -> Index:
    """Check that the store holds these orders and nothing else."""
    index = Index(schedule(given), read)
    assert content(snapshot) == {
        name: {(index.directives[number].ref, role) for number, role in index.pairs(set_id)}
        for name, set_id in index.names.items()
    }
    assert {one.ref: one for one in snapshot.directives.values()} == {
        one.ref: one for one in index.directives.values()
    }
    assert snapshot.orders == {one.id: one.digest for one in given}
    return index


@STORE_LAW
@given(data=st.data())
def test_after_any_sequence_of_commits_the_store_is_as_if_built_afresh(data: st.DataObject) -> None:
    pool = data.draw(orders(most=8))
    with tempfile.TemporaryDirectory() as folder:
        state, base = Path(folder) / "state", ""
        # What is known of the names that a directive had may be all, some, none, and what it never had.
        known = {one.ref: [name for name, _ in entries(one, read)] for one in schedule(pool)}
        some = st.lists(st.sampled_from([key(name) for name in SUBJECT_NAMES]))

        def former(one: Scheduled) -> list[Key]:
            return known.get(one.ref, []) if data.draw(st.booleans()) else data.draw(some)

        steps = data.draw(st.lists(st.sets(st.sampled_from(range(len(pool)))), min_size=1, max_size=4))
        for number, step in enumerate([set(range(len(pool))), *steps], start=1):
            # Any subset: an act whose order is not there names nothing, and the store must not mind.
            applied = [pool[at] for at in sorted(step)]
            base = commit(state, applied, base=base, number=number, former=former)
            reader = Reader(state)
            with reader.snapshot() as snapshot:
                index = holds(snapshot, applied)
                assert snapshot.enforcement == SITE
                assert snapshot.generation.number == number
                region = data.draw(st.sampled_from(REGIONS))
                t = EPOCH + data.draw(st.integers(0, 9))
                for name in ASKED_NAMES:
                    assert decide(snapshot, key(name), region, t) == decide(index, key(name), region, t)
                by_ref = {snapshot.directives[at].ref: count for at, count in snapshot.counts().items()}
            reader.close()
            assert by_ref == _counted(applied)


def _counted(applied: Sequence[Order]) -> dict[str, int]:
    """How many names each directive has as subjects, each cut as excepts, by looking at every name."""
    index = Index(schedule(applied), read)
    found = {}
    for number, one in index.directives.items():
        roles = (3, 4) if one.is_cut else (0, 1, 2)
        found[one.ref] = sum(
            any(owner == number and role in roles for owner, role in index.pairs(set_id))
            for set_id in index.names.values()
        )
    return found


FIVE = ["a.example", "b.example", "c.example", "d.example", "e.example"]


@pytest.mark.parametrize(
    "gone",
    [[0], [4], [2], [0, 1], [3, 4], [1, 2, 3], [0, 4], [0, 2, 4], [0, 1, 2, 3, 4]],
    ids=["first", "last", "middle", "first two", "last two", "three between", "both ends", "odd", "all"],
)
@pytest.mark.parametrize("shared", [[], [1], [4], [0, 1, 2, 3, 4]], ids=str)
def test_dropped_names_leave_the_store_and_shared_ones_stay(
    tmp_path: Path, gone: list[int], shared: list[int]
) -> None:
    kept = [number for number in range(5) if number not in gone]
    going = order("x/going", directives=(directive("d", *(FIVE[at] for at in gone)),))
    staying = [
        order(f"x/staying-{number}", directives=(directive("d", FIVE[at]),))
        for number, at in enumerate([*kept, *shared])
    ]
    base = commit(tmp_path, [going, *staying], base="")
    commit(tmp_path, staying, base=base)
    reader = Reader(tmp_path)
    with reader.snapshot() as snapshot:
        holds(snapshot, staying)
    reader.close()


def test_a_file_that_changed_under_one_id_is_written_anew(tmp_path: Path) -> None:
    first = [order("x/1", directives=(directive("d", "a.example", "b.example"),))]
    second = [order("x/1", directives=(directive("d", "b.example", "*.c.example"),))]
    base = commit(tmp_path, first, base="")
    commit(tmp_path, second, base=base)
    reader = Reader(tmp_path)
    with reader.snapshot() as snapshot:
        holds(snapshot, second)
    reader.close()


def test_a_commit_from_another_base_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    first = [order("x/1", directives=(directive("d", "a.example"),))]
    second = [order("x/2", directives=(directive("d", "b.example"),))]
    base = commit(tmp_path, first, base="")
    for wrong in ("", "0" * 64):
        with pytest.raises(StalePlan, match=rf"\({base[:12]}\), the plan is .*`blocker plan` again"):
            commit(tmp_path, second, base=wrong)
    fresh = tmp_path / "fresh"
    with pytest.raises(StalePlan, match=r"it is generation 0 \(empty\)"):
        commit(fresh, second, base=base)
    reader = Reader(tmp_path)
    with reader.snapshot() as snapshot:
        holds(snapshot, first)
    reader.close()


def test_an_error_while_names_are_read_leaves_the_old_generation_whole(tmp_path: Path) -> None:
    first = [order("x/1", directives=(directive("d", "a.example"),))]
    base = commit(tmp_path, first, base="")

    def stop(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    target = writer.Target(
        generation=records.Generation(number=10**6, digest="f" * 64, applied_at=EPOCH, by="a test"),
        orders={},
        directives=schedule([order("x/2", directives=(directive("d", "b.example"),))]),
        enforcement=SITE,
        read=read,
    )
    with pytest.raises(KeyboardInterrupt):
        writer.commit(tmp_path, target, base=base, progress=stop)
    reader = Reader(tmp_path)
    with reader.snapshot() as snapshot:
        holds(snapshot, first)
    reader.close()


def test_withholding_survives_every_commit_until_its_release(tmp_path: Path) -> None:
    held = records.Withheld(reason="a hospital's name", at=EPOCH, by="someone")
    first = [order("x/1", directives=(directive("d", "a.example"),))]
    with pytest.raises(StoreError, match="run `blocker apply`"):
        writer.withhold(tmp_path, held, refs_of(first)[0])
    base = commit(tmp_path, first, base="")
    writer.withhold(tmp_path, held, refs_of(first)[0])
    base = commit(tmp_path, [], base=base)
    commit(tmp_path, first, base=base)
    reader = Reader(tmp_path)
    with reader.snapshot() as snapshot:
        assert snapshot.withheld == {"x/1/d": (held,)}
        assert not decide(snapshot, key("a.example"), "ID", EPOCH).is_blocked
    reader.close()
    for _ in range(2):  # The second release finds nothing to do.
        writer.release(tmp_path, {"x/1/d": (held,)}, at=EPOCH + 1)
    reader = Reader(tmp_path)
    with reader.snapshot() as snapshot:
        assert snapshot.withheld == {}
        assert decide(snapshot, key("a.example"), "ID", EPOCH).is_blocked
    reader.close()


@pytest.mark.parametrize("standing", [0, 1, 12, 13, 500])
def test_a_long_list_is_written_around_the_names_that_stand(tmp_path: Path, standing: int) -> None:
    few = order(
        "x/few", directives=(directive("d", "n.example", *(f"n{n * 7}.example" for n in range(standing))),)
    )
    many = order(
        "x/many",
        directives=(directive("d", *(f"n{n}.example" for n in range(100)), excepts=["a.n1.example"]),),
    )
    last = order("x/last", directives=(directive("d", "zzz.zzz"),))
    base = commit(tmp_path, [few], base="")
    base = commit(tmp_path, [few, many], base=base)
    base = commit(tmp_path, [few, many, last], base=base)
    reader = Reader(tmp_path)
    with reader.snapshot() as snapshot:
        holds(snapshot, [few, many, last])
    reader.close()


def test_names_that_are_known_are_taken_out_without_a_look_at_the_others(tmp_path: Path) -> None:
    one, two = (
        order(f"x/{name}", directives=(directive("d", *(f"{name}{n}.example" for n in range(60_000))),))
        for name in ("one", "two")
    )
    base = commit(tmp_path, [one, two], base="")
    known = [name for name, _ in entries(schedule([two])[0], read)]
    told: list[str] = []
    writer.commit(
        tmp_path,
        target([one], lambda _: known),
        base=base,
        progress=lambda what, _done, _all: told.append(what),
    )
    assert set(told) == {"removing x/two/d", "committing"}
    reader = Reader(tmp_path)
    with reader.snapshot() as snapshot:
        holds(snapshot, [one])
    reader.close()
