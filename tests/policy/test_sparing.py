"""What cuts spare, of applied orders in a real store and of new ones beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from blocker.errors import StoreError
from blocker.orders.model import Kind, Match, NameList, NamesFile
from blocker.orders.schedule import schedule
from blocker.orders.timetable import Names
from blocker.policy.reader import Reader
from blocker.policy.sparing import Sparing
from tests.policy.strategies import directive, order, read
from tests.policy.test_writer import commit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from blocker.orders.model import Order
    from blocker.orders.timetable import Scheduled

LISTED = NamesFile(file="x.txt", sha256="1" * 64)  # a.a.example, b.example, *.b.b.example
MANY = tuple(f"m{number}.many.example" for number in range(30))
BIG = order("x/big", directives=(directive("d", *MANY, "other.example"),))
TWO = order(
    "x/big",
    directives=(directive("d", *MANY), directive("e", *MANY[:10]), directive("f", "x.example")),
)
OTHER = order("x/other", directives=(directive("d", "m0.many.example", "z.many.example"),))
OF_A_LIST = order(
    "x/big",
    directives=(directive("d", "b.example", "c.b.example", "a.example"), directive("e", names_file=LISTED)),
)
HOLES = order("x/big", directives=(directive("d", "many.example", excepts=("m1.many.example",)),))


def cut(*removed: str, of: str = "x/big", remove_file: NamesFile | None = None) -> Order:
    return order("x/rm", Kind.AMEND, of=of, start=2, remove=removed, remove_file=remove_file)


def counted(
    state: Path,
    applied: Sequence[Order],
    after: Sequence[Order],
    *,
    ref: str = "x/rm:remove",
    named: bool = True,
    lost: bool = False,
) -> int:
    if applied:
        commit(state, applied, base="")
    scheduled = schedule(after)
    (one,) = [each for each in scheduled if each.ref == ref]

    def found(file: NamesFile) -> NameList:
        if lost:
            raise StoreError("the archive has lost it")
        return read(file)

    sparing = Sparing(state, found, is_live=bool(applied))
    asked = one if named else replace(one, names=Names())
    with sparing.counting(scheduled) as spares:
        count = spares(asked)
    with sparing.counting(scheduled) as spares:
        assert spares(asked) == count
    return count


@pytest.mark.parametrize("is_new", [False, True], ids=["applied", "new"])
@pytest.mark.parametrize(
    ("orders", "removal", "expected"),
    [
        ([BIG], cut("many.example"), 30),
        ([BIG], cut("many.example", "m1.many.example", "x.m1.many.example"), 30),
        ([BIG], cut("*.many.example", "other.example"), 31),
        ([BIG], cut("m1.many.example", "m2.many.example"), 2),
        ([BIG], cut("x.m1.many.example", "y.m1.many.example", "many.example"), 30),
        ([BIG], cut("x.other.example", "y.other.example"), 2),
        ([BIG, OTHER], cut("many.example"), 30),
        ([TWO], cut("many.example"), 40),
        ([TWO], cut("many.example", of="x/big/e"), 10),
        ([OF_A_LIST], cut("b.example"), 4),
        ([OF_A_LIST], cut("example"), 6),
        ([BIG], cut("many.example", remove_file=LISTED), 32),
        ([HOLES], cut("m1.many.example", "many.example"), 1),
    ],
    ids=[
        "a parent",
        "a parent and what is below it",
        "below a name",
        "the names themselves",
        "below its own names, too",
        "below a subtree",
        "names of another order",
        "names of two directives",
        "of one of the directives",
        "of a list",
        "of everything",
        "by a list, too",
        "excepts are no names",
    ],
)
def test_a_cut_spares_the_ordered_names_at_and_below_its_own(
    tmp_path: Path, orders: list[Order], removal: Order, expected: int, is_new: bool
) -> None:
    applied = [] if is_new else orders
    assert counted(tmp_path / "state", applied, [*orders, removal]) == expected


def test_names_that_are_applied_and_names_that_are_new_count_together(tmp_path: Path) -> None:
    more = order(
        "x/more", Kind.AMEND, of="x/big", start=1, directives=(directive("n", "n.many.example", start=1),)
    )
    assert counted(tmp_path / "state", [BIG], [BIG, more, cut("many.example")]) == 31


@pytest.mark.parametrize("lost", [False, True], ids=["its form is asked for", "its list is lost"])
def test_what_an_applied_cut_spares_is_known_from_the_store_alone(tmp_path: Path, lost: bool) -> None:
    policy = [BIG, cut("many.example", "*.other.example", remove_file=LISTED)]
    assert counted(tmp_path / "state", policy, policy, named=lost, lost=lost) == 33


def test_a_new_cut_whose_list_cannot_be_read_is_not_counted_wrong(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="lost"):
        counted(tmp_path / "state", [BIG], [BIG, cut("many.example", remove_file=LISTED)], lost=True)


def test_of_directives_that_go_a_cut_spares_nothing(tmp_path: Path) -> None:
    policy = [BIG, cut("many.example")]
    commit(tmp_path / "state", policy, base="")
    (one,) = [each for each in schedule(policy) if each.is_cut]
    with Sparing(tmp_path / "state", read, is_live=True).counting([]) as spares:
        assert spares(replace(one, names=Names())) == 0


def test_the_store_is_looked_into_only_when_somebody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def counting(state: Path) -> Reader:
        opened.append(state)
        return Reader(state)

    monkeypatch.setattr("blocker.policy.sparing.Reader", counting)
    policy: list[Order] = [BIG, cut("many.example")]
    commit(tmp_path / "state", policy, base="")
    sparing = Sparing(tmp_path / "state", read, is_live=True)
    scheduled: list[Scheduled] = schedule(policy)
    with sparing.counting(scheduled):
        pass
    assert opened == []
    for _ in range(2):
        with sparing.counting(scheduled) as spares:
            spares(scheduled[-1])
    assert len(opened) == 1


def test_an_exact_name_above_those_that_are_removed_is_not_spared(tmp_path: Path) -> None:
    above = order("x/big", directives=(directive("d", *MANY, "example", match=Match.EXACT),))
    assert counted(tmp_path / "state", [above], [above, cut("many.example")]) == 30
