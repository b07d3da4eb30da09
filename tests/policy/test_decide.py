from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from blocker.orders.model import Kind, Order, Publication
from blocker.orders.schedule import Book, schedule
from blocker.orders.timetable import shown_boundaries
from blocker.policy.decide import DNSKEY, DS, Decider, Verdict, decide
from blocker.policy.index import Index
from tests.policy import naive
from tests.policy.strategies import (
    ASKED_NAMES,
    EPOCH,
    INSTANTS,
    LISTS,
    REGIONS,
    at,
    directive,
    key,
    order,
    orders,
    read,
    refs_of,
)

A = 1
INSTANT = st.sampled_from(INSTANTS)
REGION = st.sampled_from([*REGIONS, None])
LAW = settings(
    max_examples=int(os.environ.get("LAW_EXAMPLES", "50")),
    suppress_health_check=[HealthCheck.too_slow],
)


def index_of(found: list[Order], withheld: frozenset[str] = frozenset()) -> Index:
    return Index(schedule(found), read, withheld=dict.fromkeys(withheld, ""))


def said(verdict: Verdict) -> naive.Answer:
    assert verdict.form_for(DS) == verdict.form_for(DNSKEY)
    return naive.Answer(
        action=verdict.action,
        because=frozenset(verdict.because),
        sent=verdict.form_for(A),
        sent_ds=verdict.form_for(DS),
    )


@st.composite
def withholdings(draw: st.DrawFn, found: list[Order]) -> frozenset[str]:
    return frozenset(
        draw(st.sets(st.sampled_from([*refs_of(found), *(one.id for one in found)]), max_size=2))
    )


@LAW
@given(found=orders(), second=INSTANT, region=REGION, data=st.data())
def test_every_verdict_is_what_the_contract_says(
    found: list[Order], second: int, region: str | None, data: st.DataObject
) -> None:
    withheld = data.draw(st.one_of(st.just(frozenset[str]()), withholdings(found)))
    index = index_of(found, withheld)
    world = naive.world_at(found, at(second), LISTS)
    for name in ASKED_NAMES:
        for t in (EPOCH + second, EPOCH + second + 0.999):
            verdict = decide(index, key(name), region, t)
            assert said(verdict) == naive.ask(world, name, region, at(second), withheld), name
            assert verdict.is_blocked == bool(verdict.because)


@LAW
@given(found=orders(publications=tuple(Publication)), data=st.data())
def test_a_decider_remembers_nothing_that_no_longer_holds(found: list[Order], data: st.DataObject) -> None:
    decider = Decider(limit=data.draw(st.sampled_from([1, 3, 100])))
    index, changed = index_of(found), index_of(found, frozenset(refs_of(found)[:1]))
    visits = st.tuples(st.integers(0, 18), REGION, st.booleans(), st.sampled_from(ASKED_NAMES))
    for half, region, is_changed, name in data.draw(st.lists(visits, min_size=2, max_size=12)):
        policy, t = (changed if is_changed else index), EPOCH + half / 2
        for asked in (name, "a.b.example", "a.a.example"):
            assert decider.decide(policy, key(asked), region, t) == decide(policy, key(asked), region, t)


def test_a_decider_that_is_full_begins_anew_and_says_the_same() -> None:
    index, decider = index_of([order("x/a", directives=(directive("d", "a.example"),))]), Decider(limit=1)
    for region in ("ID", "PL", "ID"):
        expected = decide(index, key("a.example"), region, EPOCH)
        assert decider.decide(index, key("a.example"), region, EPOCH) == expected
    assert decider.decide(index, key("free.example"), "ID", EPOCH) == decide(
        index, key("free.example"), "ID", EPOCH
    )


@LAW
@given(found=orders(), region=REGION)
def test_until_is_the_next_instant_at_which_the_verdict_differs(
    found: list[Order], region: str | None
) -> None:
    index = index_of(found)
    seconds = range(-1, 11)
    for name in ASKED_NAMES:
        verdicts = {second: decide(index, key(name), region, EPOCH + second) for second in seconds}
        for second, verdict in verdicts.items():
            differs = [
                EPOCH + later
                for later in seconds
                if later > second and _visible(verdicts[later]) != _visible(verdict)
            ]
            assert verdict.until == min(differs, default=None), (name, second)


def _visible(verdict: Verdict) -> tuple[object, ...]:
    return (verdict.action, verdict.because, verdict.has_holes, verdict.exempt)


@LAW
@given(found=orders(publications=tuple(Publication)), second=INSTANT, region=REGION, data=st.data())
def test_until_tells_nobody_of_a_sealed_start(
    found: list[Order], second: int, region: str | None, data: st.DataObject
) -> None:
    scheduled = schedule(found)
    t = EPOCH + second
    secret = [
        one.ref
        for one in scheduled
        if not one.in_force(t)
        and (
            one.publication is Publication.SEALED
            or (
                one.publication is Publication.SEALED_UNTIL_EFFECTIVE
                and t < min(one.windows or ((t + 1, 0),))[0]
            )
        )
    ]
    assume(secret)
    never_written = [replace(one, windows=()) if one.ref in secret else one for one in scheduled]
    index, without = Index(scheduled, read), Index(never_written, read)
    for name in ASKED_NAMES:
        assert decide(index, key(name), region, t).until == decide(without, key(name), region, t).until, name


@LAW
@given(found=orders(publications=tuple(Publication)), second=INSTANT, region=REGION)
def test_only_refs_that_may_be_shown_are_public(found: list[Order], second: int, region: str | None) -> None:
    index = index_of(found)
    for name in ASKED_NAMES:
        verdict = decide(index, key(name), region, EPOCH + second)
        assert list(verdict.public) == [ref for ref in verdict.because if is_told(found, ref, second)]


def is_told(found: list[Order], of: str, second: int) -> bool:
    """Whether everybody may know of an order or directive, and of all that it amends."""
    book = Book(found)
    order = book.orders.get(of) or book.writer[of]
    if order.kind is Kind.AMEND and of == order.id:
        starts = [window[0] for window in [book.active(order)] if window is not None]
    else:
        windows = [one.windows for one in schedule(found) if of in (one.ref, one.order) and not one.is_cut]
        starts = [start for every in windows for start, _ in every]
    has_begun = any(start <= EPOCH + second for start in starts)
    by_itself = {
        Publication.PUBLIC: True,
        Publication.SEALED_UNTIL_EFFECTIVE: has_begun,
        Publication.SEALED: False,
    }
    return by_itself[order.publication] and (not order.of or is_told(found, order.of, second))


@LAW
@given(found=orders(), second=INSTANT, region=REGION, data=st.data())
def test_withholding_one_ref_never_unblocks_what_another_demands(
    found: list[Order], second: int, region: str | None, data: st.DataObject
) -> None:
    held = data.draw(st.sampled_from(refs_of(found)))
    index, less = index_of(found), index_of(found, frozenset({held}))
    reached = {one.ref for one in schedule(found) if held in one.lineage}
    for name in ASKED_NAMES:
        before = decide(index, key(name), region, EPOCH + second)
        after = decide(less, key(name), region, EPOCH + second)
        assert set(after.because) == set(before.because) - reached, name
        assert after.is_blocked == bool(set(before.because) - reached)


@LAW
@given(found=orders(), second=INSTANT, region=REGION, data=st.data())
def test_lifting_one_of_two_overlapping_orders_never_unblocks_what_the_other_demands(
    found: list[Order], second: int, region: str | None, data: st.DataObject
) -> None:
    lifted = data.draw(st.sampled_from([one.id for one in found if one.kind is Kind.BLOCK]))
    lift = order("zz/lift", Kind.LIFT, of=lifted, start=second, issued=50)
    index, less = index_of(found), index_of([*found, lift])
    reached = {one.ref for one in schedule(found) if lifted in one.lineage}
    for name in ASKED_NAMES:
        for t in (EPOCH + second, EPOCH + second + 1, EPOCH + 8):
            before, after = (decide(policy, key(name), region, t) for policy in (index, less))
            assert set(after.because) == set(before.because) - reached, (name, t)
        for earlier in range(second):
            assert said(decide(index, key(name), region, EPOCH + earlier)) == said(
                decide(less, key(name), region, EPOCH + earlier)
            )


@LAW
@given(found=orders(), second=INSTANT, region=REGION)
def test_exempt_directives_do_not_count_and_are_those_excepted_at_the_name(
    found: list[Order], second: int, region: str | None
) -> None:
    index = index_of(found)
    refs = refs_of(found)
    for name in ASKED_NAMES:
        verdict = decide(index, key(name), region, EPOCH + second)
        assert verdict.exempt.isdisjoint(verdict.because)
        kept = decide(index, key(name), region, EPOCH + second, exempt=frozenset(refs[:1]))
        assert set(kept.because) == set(verdict.because) - set(refs[:1])


@pytest.mark.parametrize("publication", [Publication.SEALED, Publication.SEALED_UNTIL_EFFECTIVE])
def test_a_sealed_reinstate_is_not_told_and_a_sealed_lift_is_obeyed_in_time(publication: Publication) -> None:
    """Who hides when a block comes back must not be betrayed by TTLs; a block must never linger for it."""
    block = order("x/b", directives=(directive("d", "a.example", until=None),))
    stop = order("x/stop", Kind.SUSPEND, of="x/b", start=2)
    go_on = order("x/go-on", Kind.REINSTATE, of="x/b", start=6, publication=publication)
    lift = order("x/lift", Kind.LIFT, of="x/b", start=8, publication=publication)
    index = index_of([block, stop, go_on, lift])
    until = {second: decide(index, key("a.example"), "ID", EPOCH + second).until for second in (1, 3, 7)}
    assert until == {1: EPOCH + 2, 3: None, 7: EPOCH + 8}
    assert shown_boundaries(index.directives.values(), EPOCH + 1) == [EPOCH + 2]
