"""One row for each sentence of "Kinds of order"; seconds stand for instants, None for open ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocker.orders.model import Kind, NamesFile, Order, Publication
from blocker.orders.schedule import Book, moment, schedule
from blocker.orders.timetable import Event, Scheduled, boundaries, last_boundary, timeline
from tests.policy import naive
from tests.policy.strategies import EPOCH, at, directive, order, orders

if TYPE_CHECKING:
    from collections.abc import Sequence

Spans = list[tuple[int, int | None]]

BLOCK = order("x/b", directives=(directive("d", "a.example", start=0, until=8),))
OPEN = order("x/b", directives=(directive("d", "a.example", start=0, until=None),))
TWO = order(
    "x/b",
    directives=(
        directive("d", "a.example", start=0, until=8),
        directive("e", "b.example", start=2, until=None),
    ),
)


def suspend(id_: str, start: int, until: int | None = None, of: str = "x/b", issued: int = -1) -> Order:
    return order(id_, Kind.SUSPEND, of=of, start=start, until=until, issued=issued)


def reinstate(id_: str, start: int, of: str = "x/b", issued: int = -1) -> Order:
    return order(id_, Kind.REINSTATE, of=of, start=start, issued=issued)


def lift(id_: str, start: int, of: str = "x/b", issued: int = -1) -> Order:
    return order(id_, Kind.LIFT, of=of, start=start, issued=issued)


def until(id_: str, start: int, ends: int, of: str = "x/b", issued: int = -1) -> Order:
    return order(id_, Kind.AMEND, of=of, start=start, until=ends, issued=issued)


def add(id_: str, start: int, *, of: str = "x/b", begins: int | None = None, ends: int | None = 8) -> Order:
    begins = start if begins is None else begins
    added = directive("n", "c.example", start=begins, until=ends)
    return order(id_, Kind.AMEND, of=of, start=start, directives=(added,))


def remove(id_: str, start: int, of: str = "x/b") -> Order:
    return order(id_, Kind.AMEND, of=of, start=start, remove=["c.a.example"])


def windows(given: Sequence[Order], ref: str = "x/b/d") -> Spans:
    (one,) = [one for one in schedule(given) if one.ref == ref]
    return [(start - EPOCH, None if end is None else end - EPOCH) for start, end in one.windows]


@pytest.mark.parametrize(
    ("sentence", "given", "ref", "expected"),
    [
        ("a window is [from, until)", [BLOCK], "x/b/d", [(0, 8)]),
        ("until may be open", [OPEN], "x/b/d", [(0, None)]),
        # suspend
        ("a suspension is [from, until)", [BLOCK, suspend("x/s", 2, 4)], "x/b/d", [(0, 2), (4, 8)]),
        (
            "or until the first reinstate",
            [BLOCK, suspend("x/s", 2), reinstate("x/r", 5)],
            "x/b/d",
            [(0, 2), (5, 8)],
        ),
        (
            "whichever comes first",
            [BLOCK, suspend("x/s", 2, 4), reinstate("x/r", 3)],
            "x/b/d",
            [(0, 2), (3, 8)],
        ),
        ("an open suspension leaves nothing", [BLOCK, suspend("x/s", 2)], "x/b/d", [(0, 2)]),
        ("overlaps join", [BLOCK, suspend("x/s", 2, 5), suspend("x/t", 4, 6)], "x/b/d", [(0, 2), (6, 8)]),
        (
            "a suspension inside another adds nothing",
            [BLOCK, suspend("x/s", 2, 6), suspend("x/t", 3, 4)],
            "x/b/d",
            [(0, 2), (6, 8)],
        ),
        (
            "touching suspensions leave no window",
            [BLOCK, suspend("x/s", 2, 4), suspend("x/t", 4, 6)],
            "x/b/d",
            [(0, 2), (6, 8)],
        ),
        ("suspension never extends until", [BLOCK, suspend("x/s", 2, 20)], "x/b/d", [(0, 2)]),
        ("a suspension before the start delays it", [TWO, suspend("x/s", 0, 4)], "x/b/e", [(4, None)]),
        ("a suspension over before the start is nothing", [TWO, suspend("x/s", 0, 1)], "x/b/e", [(2, None)]),
        ("a suspension after the end is nothing", [BLOCK, suspend("x/s", 9, 10)], "x/b/d", [(0, 8)]),
        ("a suspension from the very end is nothing", [BLOCK, suspend("x/s", 8)], "x/b/d", [(0, 8)]),
        (
            "a suspension of a directive leaves the others",
            [TWO, suspend("x/s", 3, of="x/b/d")],
            "x/b/e",
            [(2, None)],
        ),
        # reinstate
        (
            "a reinstate ends every suspension that began before it",
            [BLOCK, suspend("x/s", 1), suspend("x/t", 2, 7), reinstate("x/r", 5)],
            "x/b/d",
            [(0, 1), (5, 8)],
        ),
        (
            "and none that begins after it",
            [BLOCK, suspend("x/s", 1), reinstate("x/r", 3), suspend("x/t", 5)],
            "x/b/d",
            [(0, 1), (3, 5)],
        ),
        (
            "a reinstate of a directive leaves the others suspended",
            [TWO, suspend("x/s", 3), reinstate("x/r", 4, of="x/b/d")],
            "x/b/e",
            [(2, 3)],
        ),
        (
            "at one instant a suspend issued first is ended",
            [BLOCK, suspend("x/s", 3, issued=-9), reinstate("x/r", 3)],
            "x/b/d",
            [(0, 8)],
        ),
        (
            "at one instant a suspend issued later stands",
            [BLOCK, suspend("x/t", 1), suspend("x/s", 3, 5), reinstate("x/r", 3, issued=-9)],
            "x/b/d",
            [(0, 1), (5, 8)],
        ),
        ("issued alike, the id decides", [BLOCK, suspend("x/s", 3), reinstate("x/t", 3)], "x/b/d", [(0, 8)]),
        (
            "issued alike, the id decides the other way",
            [BLOCK, suspend("x/q", 1), suspend("x/s", 3), reinstate("x/r", 3)],
            "x/b/d",
            [(0, 1)],
        ),
        # lift
        ("a lift is final", [BLOCK, lift("x/l", 5), until("x/a", 1, 20)], "x/b/d", [(0, 5)]),
        ("a lift names a directive alone", [TWO, lift("x/l", 5, of="x/b/d")], "x/b/e", [(2, None)]),
        ("a lift before the start leaves nothing", [TWO, lift("x/l", 1)], "x/b/e", []),
        (
            "a reinstate does not undo a lift",
            [BLOCK, suspend("x/s", 2), lift("x/l", 3), reinstate("x/r", 4)],
            "x/b/d",
            [(0, 2)],
        ),
        ("the first of two lifts counts", [BLOCK, lift("x/l", 5), lift("x/k", 3)], "x/b/d", [(0, 3)]),
        (
            "a lift of a suspend cancels it from then on",
            [BLOCK, suspend("x/s", 2, 6), lift("x/l", 4, of="x/s")],
            "x/b/d",
            [(0, 2), (4, 8)],
        ),
        (
            "a lift of a coming suspend cancels all of it",
            [BLOCK, suspend("x/s", 5), lift("x/l", 4, of="x/s")],
            "x/b/d",
            [(0, 8)],
        ),
        (
            "a lift of a pending lift cancels it",
            [BLOCK, lift("x/l", 5), lift("x/k", 4, of="x/l")],
            "x/b/d",
            [(0, 8)],
        ),
        (
            "a lift of a lift that came is too late",
            [BLOCK, lift("x/l", 5), lift("x/m", 6, of="x/l")],
            "x/b/d",
            [(0, 5)],
        ),
        (
            "a cancelled cancellation cancels nothing",
            [BLOCK, lift("x/l", 5), lift("x/k", 4, of="x/l"), lift("x/j", 3, of="x/k")],
            "x/b/d",
            [(0, 5)],
        ),
        (
            "at one instant a cancellation issued first finds the lift pending",
            [BLOCK, lift("x/l", 5), lift("x/k", 5, of="x/l", issued=-9)],
            "x/b/d",
            [(0, 8)],
        ),
        (
            "at one instant a cancellation issued later is too late",
            [BLOCK, lift("x/l", 5, issued=-9), lift("x/k", 5, of="x/l")],
            "x/b/d",
            [(0, 5)],
        ),
        (
            "a lift of an amend ends what it added",
            [BLOCK, add("x/a", 1), lift("x/l", 4, of="x/a")],
            "x/a/n",
            [(1, 4)],
        ),
        (
            "a lift of an amend leaves the amended order",
            [BLOCK, add("x/a", 1), lift("x/l", 4, of="x/a")],
            "x/b/d",
            [(0, 8)],
        ),
        (
            "a lift of a coming amend leaves nothing of it",
            [BLOCK, add("x/a", 5), lift("x/l", 4, of="x/a")],
            "x/a/n",
            [],
        ),
        # amend
        (
            "an added directive has its own window",
            [BLOCK, add("x/a", 1, begins=2, ends=20)],
            "x/a/n",
            [(2, 20)],
        ),
        (
            "it shares every suspension",
            [BLOCK, suspend("x/s", 2, 4), add("x/a", 1)],
            "x/a/n",
            [(1, 2), (4, 8)],
        ),
        ("also one that began before it", [BLOCK, suspend("x/s", 0, 4), add("x/a", 1)], "x/a/n", [(4, 8)]),
        ("it shares every lift", [BLOCK, add("x/a", 1), lift("x/l", 5)], "x/a/n", [(1, 5)]),
        (
            "what an amend of an amend adds shares them too",
            [BLOCK, add("x/a", 1), add("x/c", 2, of="x/a"), lift("x/l", 5)],
            "x/c/n",
            [(2, 5)],
        ),
        (
            "what an amend of a directive adds shares its lift",
            [TWO, add("x/a", 1, of="x/b/d"), lift("x/l", 5, of="x/b/d")],
            "x/a/n",
            [(1, 5)],
        ),
        ("until renews", [BLOCK, until("x/a", 5, 20)], "x/b/d", [(0, 20)]),
        ("until shortens", [BLOCK, until("x/a", 3, 5)], "x/b/d", [(0, 5)]),
        ("until closes an open window", [OPEN, until("x/a", 3, 5)], "x/b/d", [(0, 5)]),
        ("the last renewal holds", [BLOCK, until("x/a", 3, 20), until("x/c", 4, 12)], "x/b/d", [(0, 12)]),
        ("what has ended stays ended", [BLOCK, until("x/a", 9, 20)], "x/b/d", [(0, 8)]),
        ("also when renewed at the very instant", [BLOCK, until("x/a", 8, 20)], "x/b/d", [(0, 8)]),
        (
            "a cancelled renewal reverts",
            [BLOCK, until("x/a", 3, 20), lift("x/l", 5, of="x/a")],
            "x/b/d",
            [(0, 8)],
        ),
        (
            "a renewal cancelled too late ends then",
            [BLOCK, until("x/a", 3, 20), lift("x/l", 10, of="x/a")],
            "x/b/d",
            [(0, 10)],
        ),
        (
            "a shortening cancelled in time reverts",
            [BLOCK, until("x/a", 3, 6), lift("x/l", 5, of="x/a")],
            "x/b/d",
            [(0, 8)],
        ),
        (
            "a shortening cancelled too late stands",
            [BLOCK, until("x/a", 3, 5), lift("x/l", 6, of="x/a")],
            "x/b/d",
            [(0, 5)],
        ),
        (
            "a coming renewal that is cancelled never was",
            [BLOCK, until("x/a", 5, 20), lift("x/l", 4, of="x/a")],
            "x/b/d",
            [(0, 8)],
        ),
        ("an until before the start leaves nothing", [TWO, until("x/a", 0, 1)], "x/b/e", []),
        (
            "what never began has not ended",
            [TWO, until("x/a", 0, 1), lift("x/l", 2, of="x/a")],
            "x/b/e",
            [(2, None)],
        ),
        (
            "an amend speaks of what earlier amends added",
            [BLOCK, add("x/a", 1), until("x/c", 2, 20)],
            "x/a/n",
            [(1, 20)],
        ),
        (
            "never of its own",
            [
                BLOCK,
                order(
                    "x/a",
                    Kind.AMEND,
                    of="x/b",
                    start=1,
                    until=20,
                    directives=(directive("n", "c.example", start=1, until=8),),
                ),
            ],
            "x/a/n",
            [(1, 8)],
        ),
        ("never of later ones", [BLOCK, until("x/a", 1, 20), add("x/c", 2)], "x/c/n", [(2, 8)]),
        (
            "an added directive begins with its amend at the earliest",
            [BLOCK, add("x/a", 3, begins=1)],
            "x/a/n",
            [(3, 8)],
        ),
        (
            "also where the amend is cancelled before it began",
            [BLOCK, add("x/a", 5, begins=1), lift("x/l", 3, of="x/a")],
            "x/a/n",
            [],
        ),
        ("a removal lasts as long as its amend", [BLOCK, remove("x/a", 2)], "x/a:remove", [(2, None)]),
        (
            "a lift of the amend ends the removal",
            [BLOCK, remove("x/a", 2), lift("x/l", 4, of="x/a")],
            "x/a:remove",
            [(2, 4)],
        ),
        (
            "a removal cancelled before it began never was",
            [BLOCK, remove("x/a", 5), lift("x/l", 4, of="x/a")],
            "x/a:remove",
            [],
        ),
    ],
)
def test_kinds_of_order(sentence: str, given: list[Order], ref: str, expected: Spans) -> None:
    assert windows(given, ref) == expected, sentence
    assert windows(given[::-1], ref) == expected, "the order in which files are read means nothing"


def one_of(given: Sequence[Order], ref: str) -> Scheduled:
    (one,) = [one for one in schedule(given) if one.ref == ref]
    return one


def test_a_removal_cuts_what_is_there_before_it_and_not_its_own_or_later_additions() -> None:
    early, late = add("x/a", 1), add("x/z", 5)
    own = directive("own", "d.example", start=3)
    cut = order("x/c", Kind.AMEND, of="x/b", start=3, directives=(own,), remove=["c.a.example"])
    assert one_of([TWO, early, cut, late], "x/c:remove").cuts == ("x/a/n", "x/b/d", "x/b/e")
    narrow = order("x/c", Kind.AMEND, of="x/b/e", start=3, remove=["c.a.example"])
    assert one_of([TWO, early, narrow, late], "x/c:remove").cuts == ("x/b/e",)


def test_a_removal_of_nothing_is_no_cut() -> None:
    assert [one.ref for one in schedule([BLOCK, remove("x/a", 2, of="x/other")])] == ["x/b/d"]


def test_a_removal_can_be_a_file_of_names() -> None:
    file = NamesFile(file="gone.txt", sha256="1" * 64)
    cut = order("x/a", Kind.AMEND, of="x/b", start=2, remove_file=file)
    assert one_of([BLOCK, cut], "x/a:remove").names.file == file


def test_a_review_is_recorded_by_the_last_amend_that_was_not_cancelled_at_once() -> None:
    reviews = [order(f"x/{n}", Kind.AMEND, of="x/b", start=n, review_by=100 * n) for n in (1, 2, 3)]
    assert one_of([OPEN], "x/b/d").review_by == EPOCH + 1000
    assert one_of([OPEN, *reviews], "x/b/d").review_by == EPOCH + 300
    assert one_of([OPEN, *reviews, lift("x/l", 2, of="x/3")], "x/b/d").review_by == EPOCH + 200
    assert windows([OPEN, *reviews]) == [(0, None)]


@pytest.mark.parametrize(
    ("given", "ref", "ends"),
    [
        ([BLOCK], "x/b/d", 8),
        ([OPEN], "x/b/d", None),
        ([BLOCK, suspend("x/s", 2)], "x/b/d", 8),
        ([OPEN, suspend("x/s", 2)], "x/b/d", None),
        ([OPEN, lift("x/l", 5)], "x/b/d", 5),
        ([BLOCK, remove("x/a", 2)], "x/a:remove", None),
        ([BLOCK, remove("x/a", 5), lift("x/l", 4, of="x/a")], "x/a:remove", 5),
    ],
)
def test_an_open_suspension_is_no_end(given: list[Order], ref: str, ends: int | None) -> None:
    one = one_of(given, ref)
    assert one.ends == (None if ends is None else EPOCH + ends)
    assert one.is_ended(EPOCH + 8) == (ends is not None)
    assert not one.is_ended(EPOCH + 1)


def test_the_timeline_says_every_change_of_force_in_order() -> None:
    given = [BLOCK, suspend("x/s", 2, 4), remove("x/a", 3), lift("x/l", 6, of="x/a"), lift("x/m", 7)]
    assert timeline(schedule(given)) == [
        Event(at=EPOCH, ref="x/b/d", event="starts"),
        Event(at=EPOCH + 2, ref="x/b/d", event="suspended"),
        Event(at=EPOCH + 3, ref="x/a:remove", event="removes"),
        Event(at=EPOCH + 4, ref="x/b/d", event="resumed"),
        Event(at=EPOCH + 6, ref="x/a:remove", event="restores"),
        Event(at=EPOCH + 7, ref="x/b/d", event="ends"),
    ]
    assert timeline(schedule([TWO, lift("x/l", 1, of="x/b/e")]))[-1].ref == "x/b/d"


def test_boundaries_are_the_edges_after_and_at_or_before() -> None:
    scheduled = schedule([TWO, suspend("x/s", 3, 4)])
    assert boundaries(scheduled, after=EPOCH) == [EPOCH + at for at in (2, 3, 4, 8)]
    assert boundaries(scheduled, after=EPOCH + 3.5) == [EPOCH + 4, EPOCH + 8]
    assert last_boundary(scheduled, EPOCH + 3.5) == EPOCH + 3
    assert last_boundary(scheduled, EPOCH + 3) == EPOCH + 3
    assert last_boundary(scheduled, EPOCH - 1) == float("-inf")


@pytest.mark.parametrize(
    ("publication", "before", "after"),
    [
        (Publication.PUBLIC, False, False),
        (Publication.SEALED_UNTIL_EFFECTIVE, True, False),
        (Publication.SEALED, True, True),
    ],
)
def test_sealed_until_effective_ends_with_the_first_window(
    publication: Publication, before: bool, after: bool
) -> None:
    block = order("x/b", publication=publication, directives=(directive("d", "a.example", start=2),))
    one = one_of([block, suspend("x/s", 4)], "x/b/d")
    assert [one.is_sealed(EPOCH + second) for second in (1, 2, 5, 9)] == [before, after, after, after]
    never = one_of([block, lift("x/l", 1)], "x/b/d")
    assert never.is_sealed(EPOCH + 9) == before


PUBLIC, DAWN, SEALED = Publication


@pytest.mark.parametrize(
    ("amended", "amending", "sealed"),
    [
        (PUBLIC, PUBLIC, ""),
        (PUBLIC, DAWN, "01234"),
        (PUBLIC, SEALED, "0123456789"),
        (DAWN, PUBLIC, "01"),  # until the block takes effect, at 2
        (DAWN, DAWN, "01234"),
        (SEALED, PUBLIC, "0123456789"),
        (SEALED, DAWN, "0123456789"),
        (DAWN, SEALED, "0123456789"),
    ],
)
def test_what_an_amend_writes_is_told_to_nobody_who_may_not_know_of_what_it_amends(
    amended: Publication, amending: Publication, sealed: str
) -> None:
    block = order("x/b", publication=amended, directives=(directive("d", "a.example", start=2),))
    amend = order(
        "x/a",
        Kind.AMEND,
        of="x/b/d",
        start=5,
        directives=(directive("n", "c.example", start=5),),
        remove=["c.a.example"],
        publication=amending,
    )
    again = order("x/c", Kind.AMEND, of="x/a", start=5, directives=(directive("n", "e.example", start=5),))
    for ref in ("x/a/n", "x/a:remove", "x/c/n"):
        one = one_of([block, amend, again], ref)
        assert "".join(str(second) for second in range(10) if one.is_sealed(EPOCH + second)) == sealed, ref


def test_what_amends_an_order_that_never_takes_effect_is_as_secret_as_that_order() -> None:
    block = order("x/b", publication=DAWN, directives=(directive("d", "a.example", start=4),))
    amend = add("x/a", 2, begins=3)
    assert one_of([block, lift("x/l", 3, of="x/b/d"), amend], "x/a/n").is_sealed(EPOCH + 9)
    cancelled = replace(amend, publication=DAWN)
    further = add("x/c", 3, of="x/a", begins=5)
    assert one_of([OPEN, cancelled, further, lift("x/l", 1, of="x/a")], "x/c/n").is_sealed(EPOCH + 9)


@pytest.mark.parametrize(
    ("region", "applies"),
    [("ID", True), ("ID-JK", True), ("ID-JK-01", True), ("I", False), ("IDX", False), ("GB", False)],
)
def test_regions_nest(region: str, applies: bool) -> None:
    assert one_of([BLOCK], "x/b/d").applies_to(region) == applies


def test_a_deadline_counts_from_receipt_and_is_that_of_the_order_that_wrote_the_directive() -> None:
    own = order(
        "x/b",
        directives=(directive("d", "a.example"),),
        received=at(1),
        deadline=timedelta(seconds=60),
    )
    amend = order(
        "x/a",
        Kind.AMEND,
        of="x/b",
        start=2,
        directives=(directive("n", "c.example", start=2),),
        remove=["c.a.example"],
        received=at(2),
        deadline=timedelta(seconds=30),
    )
    found = {one.ref: one.deadline for one in schedule([own, amend])}
    assert found == {"x/b/d": EPOCH + 61, "x/a/n": EPOCH + 32, "x/a:remove": EPOCH + 32}
    assert one_of([BLOCK], "x/b/d").deadline is None


def test_a_review_that_a_sealed_order_sets_is_among_the_hidden_instants() -> None:
    amend = order("x/a", Kind.AMEND, of="x/b", start=2, review_by=7, publication=Publication.SEALED)
    one = one_of([BLOCK, amend], "x/b/d")
    assert one.review_by == EPOCH + 7
    assert EPOCH + 7 in one.hidden


def test_a_block_has_no_moment_of_its_own() -> None:
    with pytest.raises(ValueError, match="x/b is a block"):
        moment(BLOCK)


def test_orders_that_name_each_other_or_nothing_end_in_a_schedule_all_the_same() -> None:
    loop = [
        add("x/a", 1, of="x/c"),
        add("x/c", 1, of="x/a"),
        lift("x/l", 1, of="x/m"),
        lift("x/m", 1, of="x/l"),
    ]
    lost = [
        suspend("x/s", 1, of="x/nothing"),
        reinstate("x/r", 1, of="x/b/nothing"),
        lift("x/self", 1, of="x/self"),
    ]
    assert windows([BLOCK, *loop, *lost]) == [(0, 8)]
    assert Book([*loop, *lost]).lifted_from(["x/self"]) == EPOCH + 1


LAW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@LAW
@given(found=orders())
def test_windows_partition_the_timeline_as_the_contract_says(found: list[Order]) -> None:
    scheduled = {one.ref: one for one in schedule(found)}
    for one in scheduled.values():
        edges = [edge for window in one.windows for edge in window if edge is not None]
        assert edges == sorted(set(edges)), "ascending, disjoint, never touching, never empty"
        assert all(end is not None for _, end in one.windows[:-1])
        assert one.ends is None or all(edge <= one.ends for edge in edges) or one.is_cut
    for second in range(-1, 11):
        world = naive.world_at(found, at(second))
        in_force = {
            ref for ref, owner, own in world.directives() if world.in_force(ref, owner, own, at(second))
        }
        for t in (EPOCH + second, EPOCH + second + 0.5):
            assert {ref for ref, one in scheduled.items() if not one.is_cut and one.in_force(t)} == in_force


@LAW
@given(found=orders(), data=st.data())
def test_any_subset_of_orders_has_a_schedule_and_the_order_of_files_means_nothing(
    found: list[Order], data: st.DataObject
) -> None:
    subset = data.draw(st.permutations(found))[: data.draw(st.integers(0, len(found)))]
    assert schedule(subset) == schedule(sorted(subset, key=lambda one: one.id))
