"""What a sweep asks: every name an order in force speaks of, once, and of each what `decide` says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.orders.model import Form, Match, Publication
from blocker.orders.schedule import schedule
from blocker.policy import decide
from blocker.policy.directives import Role
from blocker.policy.index import Index
from blocker.policy.reader import Reader
from blocker.policy.records import pack_number
from blocker.prober.expect import Look, Why, expect
from blocker.prober.observe import A
from blocker.sweep.pages import EVERY, Sample, Sweep
from tests.policy.strategies import EPOCH, REGIONS, orders, read
from tests.prober.world import POINT, T, block, commit, key, policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pytest

    from blocker.names import Key
    from blocker.orders.model import Order
    from blocker.orders.timetable import Scheduled
    from blocker.prober.expect import Expectation
    from blocker.site import Point
    from blocker.sweep.pages import Page, Source


class Paged:
    """A policy in memory, read page by page."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self._rows = [(one, pack_number(set_id)) for one, set_id in sorted(index.names.items())]

    @property
    def stamp(self) -> int:
        return self.index.stamp

    @property
    def directives(self) -> Mapping[int, Scheduled]:
        return self.index.directives

    @property
    def withheld(self) -> Mapping[str, object]:
        return self.index.withheld

    def set_of(self, key: Key) -> int | None:
        return self.index.set_of(key)

    def pairs(self, set_id: int) -> Sequence[decide.Pair]:
        return self.index.pairs(set_id)

    def page(self, after: Key, limit: int) -> list[tuple[Key, bytes]]:
        return [row for row in self._rows if row[0] > after][:limit]

    def find(self, key: Key) -> bytes | None:
        set_id = self.index.set_of(key)
        return None if set_id is None else pack_number(set_id)


def pages(asked: Sweep | Sample, source: Source, t: float, limit: int) -> list[Page]:
    """All of them, one after the other."""
    found = [asked.page(source, t, limit=limit)]
    while (after := found[-1].after) is not None:
        found.append(asked.page(source, t, after, limit))
    return found


def questions(found: Sequence[Page]) -> list[tuple[Key, Expectation]]:
    return [pair for page in found for pair in zip(page.names, page.wanted, strict=True)]


def swept(index: Index, t: float = T, *, point: Point = POINT) -> dict[str, Expectation]:
    """What is asked, by name."""
    found = questions(pages(Sweep(point), Paged(index), t, 3))
    return {names.to_text(name): wanted for name, wanted in found}


def holding(index: Index, name: Key, region: str, t: float) -> set[Role]:
    """The roles of the name in what is in force for the region and enforced."""
    set_id = index.set_of(name)
    return {
        role
        for number, role in (index.pairs(set_id) if set_id is not None else ())
        if (one := index.directives[number]).in_force(t)
        and (one.is_cut or (one.applies_to(region) and index.withheld.keys().isdisjoint(one.lineage)))
    }


@given(st.data(), orders(), st.integers(0, 9), st.sampled_from(REGIONS), st.integers(1, 6))
def test_every_name_in_force_is_asked_once_and_must_answer_as_decided(
    data: st.DataObject, given_: list[Order], second: int, region: str, limit: int
) -> None:
    t = EPOCH + second
    withheld = data.draw(st.sets(st.sampled_from([one.id for one in given_]), max_size=1))
    index = Index(schedule(given_), read, withheld=dict.fromkeys(withheld, ""))
    point = POINT.__class__(name="p", kind="embedded", address=POINT.address, region=region)
    asked = Sweep(point)
    asked.page(Paged(index), t + 1)  # Of another time: nothing of it may stay.
    found = questions(pages(asked, Paged(index), t, limit))
    wanted = set()
    for name in index.names:
        roles = holding(index, name, region, t)
        if Role.EXCEPT in roles or decide.decide(index, name, region, t).is_blocked:
            wanted.add(name)
        child = names.Key(name + b"\3www")
        if roles & {Role.BELOW, Role.EXCEPT_BELOW} and index.set_of(child) is None:
            wanted.add(child)
    assert sorted(name for name, _ in found) == sorted(wanted)
    for name, one in found:
        verdict = decide.decide(index, name, region, t)
        assert (one.form, one.because) == (verdict.form_for(A), verdict.because)
        assert one.addresses == (verdict.action.addresses if verdict.action else ())
        assert one.why is (Why.SUBJECT if verdict.is_blocked else Why.EXCEPT)
        assert any(one.ref == each.ref and one.order == each.order for each in index.directives.values())
        assert one.since <= t
        assert one.until is None or t < one.until


def test_an_except_must_pass_and_is_asked_for_its_directive() -> None:
    found = swept(policy(block("shop.example", excepts=("ok.shop.example", "*.free.shop.example"))))
    assert {name: one.form for name, one in found.items()} == {
        "shop.example": Form.NODATA,
        "free.shop.example": Form.NODATA,
        "ok.shop.example": None,
        "www.free.shop.example": None,
    }
    assert {one.ref for one in found.values()} == {"court/o1/d"}
    assert {one.order for one in found.values()} == {"court/o1"}


def test_of_what_is_blocked_below_alone_a_name_below_is_asked() -> None:
    found = swept(policy(block("*.shop.example", "*.two.example")))
    assert {name: one.form for name, one in found.items()} == {
        "www.shop.example": Form.NXDOMAIN,
        "www.two.example": Form.NXDOMAIN,
    }


def test_a_name_below_that_would_be_too_long_is_left_out() -> None:
    label = "a" * 62
    assert not swept(policy(block(f"*.{label}.{label}.{label}.{'b' * 54}.example")))


def test_what_is_not_in_force_is_not_asked() -> None:
    assert not swept(policy(block("shop.example")), T - 2000)
    assert not swept(policy(block("shop.example", regions=("GB",))))


def test_a_page_holds_until_the_next_transition_and_under_its_own_policy() -> None:
    index = policy(block("shop.example", until=T + 50))
    [page] = pages(Sweep(POINT), Paged(index), T, 9)
    assert page.holds(index.stamp, T + 49)
    assert not page.holds(index.stamp, T + 50)
    assert not page.holds(index.stamp, T - 1001)
    assert not page.holds(index.stamp + 1, T)
    [page] = pages(Sweep(POINT), Paged(policy(block("shop.example", until=None))), T, 9)
    assert page.until is None
    assert page.holds(page.stamp, T + 10**9)


def test_the_addresses_of_redirects_travel_with_the_page() -> None:
    index = policy(block("shop.example", form=Form.REDIRECT, addresses=("192.0.2.1",)))
    [page] = pages(Sweep(POINT), Paged(index), T, 9)
    assert page.forged == {b"\xc0\0\2\1"}


def test_the_names_of_sealed_orders_are_marked_as_such_while_they_are_sealed() -> None:
    index = policy(
        block("open.example"),
        block("hush.example", ident="court/o2", publication=Publication.SEALED),
        block("begun.example", ident="court/o3", publication=Publication.SEALED_UNTIL_EFFECTIVE),
        block("both.example", ident="court/o4"),
        block("both.example", ident="court/o5", publication=Publication.SEALED),
        block("*.wide.example", ident="court/o6", publication=Publication.SEALED),
    )
    assert {name for name, one in swept(index).items() if one.is_sealed} == {
        "hush.example",
        "both.example",
        "www.wide.example",
    }


def test_a_sweep_expects_of_a_name_what_a_round_does_and_knows_how_far_the_point_reaches() -> None:
    bind = replace(POINT, kind="bind", by="rpz")
    index = policy(block("x.example", excepts=("free.x.example",)))
    round_s = {(one.name, one.qtype): one for one in expect(index, [bind], T, Look())}
    found = swept(index, point=bind)
    assert {one.misses_aliases for one in found.values()} == {False, True}
    for name, one in found.items():
        other = round_s[key(name), A]
        assert (one.form, one.why, one.misses_aliases) == (other.form, other.why, other.misses_aliases)


def test_verdicts_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocker.sweep.pages._MOST", 1)
    found = swept(policy(block("a.example"), block("b.example", ident="court/o2", form=Form.REFUSED)))
    assert {name: one.form for name, one in found.items()} == {
        "a.example": Form.NXDOMAIN,
        "b.example": Form.REFUSED,
    }


@given(st.data(), st.integers(1, 4))
def test_a_sample_is_the_questions_at_its_places(data: st.DataObject, limit: int) -> None:
    source = Paged(policy(block(*(f"n{number}.example" for number in range(30)), match=Match.EXACT)))
    whole = questions(pages(Sweep(POINT), source, T, 7))
    places = sorted(data.draw(st.sets(st.integers(0, 29))))
    sample = Sample(Sweep(POINT), {EVERY: places})
    assert sample.point == POINT
    for _ in range(2):  # From the start again: the same.
        assert questions(pages(sample, source, T, limit)) == [whole[at] for at in places]


def test_each_order_is_sampled_among_its_own_names_and_asked_for_on_its_own_account() -> None:
    first = block("a.example", "b.example", "both.example", "d.example", ident="court/o1")
    second = block("both.example", "c.example", ident="court/o2")
    source = Paged(policy(first, second))
    sample = Sample(Sweep(POINT), {"court/o1": [1, 3], "court/o2": [1]})
    found = questions(pages(sample, source, T, 99))
    assert sorted((names.to_text(name), one.order, one.ref) for name, one in found) == [
        ("b.example", "court/o1", "court/o1/d"),
        ("both.example", "court/o1", "court/o1/d"),
        ("both.example", "court/o2", "court/o2/d"),
    ]


def test_what_is_blocked_by_an_order_on_a_name_above_alone_is_that_orders_question() -> None:
    above = block("shop.example", ident="court/o1")
    over = block("www.shop.example", ident="court/o2", start=T - 100, until=T - 50)
    [page] = pages(Sweep(POINT), Paged(policy(above, over)), T, 99)
    assert page.speaking == [(("court/o1", "court/o1/d"),), (("court/o1", "court/o1/d"),)]


def test_a_sample_of_a_long_list_comes_in_pages() -> None:
    source = Paged(policy(block(*(f"n{number}.example" for number in range(30)))))
    found = pages(Sample(Sweep(POINT), {"court/o1": range(0, 30, 2)}, step=4), source, T, 5)
    assert [len(page.names) for page in found] == [6, 6, 3]
    assert sum(page.read for page in found) == 30


def test_the_store_gives_its_names_page_by_page(tmp_path: Path) -> None:
    subjects = ("shop.example", "a.shop.example", "*.other.example", "z.example")
    commit(tmp_path, block(*subjects))
    reader = Reader(tmp_path)
    with reader.snapshot() as snapshot:
        assert snapshot.size() == 4
        stored = questions(pages(Sweep(POINT), snapshot, T, 2))
        assert snapshot.page(key("other.example"), 2) == []
    reader.close()
    assert stored == questions(pages(Sweep(POINT), Paged(policy(block(*subjects))), T, 99))
