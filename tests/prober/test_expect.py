from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest

from blocker.names import to_text
from blocker.orders import suffixes
from blocker.orders.model import Form, Kind, Match, Publication
from blocker.policy import decide
from blocker.policy.decide import DS
from blocker.policy.directives import Role
from blocker.prober.expect import (
    MORE,
    Expectation,
    Look,
    Why,
    changing,
    controls,
    count,
    expect,
    renew,
    turns,
    under,
)
from blocker.prober.observe import ANY, HTTPS
from blocker.site import Enforcement, Outside
from tests.prober.world import AAAA, POINT, A, T, act, block, key, policy, subject, when

if TYPE_CHECKING:
    from blocker.orders.model import Order
    from blocker.prober.expect import Source


def asked(*orders: Order, t: float = T, look: Look | None = None, **more: object) -> dict[str, Expectation]:
    """The expectations about A by name; each name is asked about once in these tests."""
    found = expect(policy(*orders, **more), [POINT], t, look or Look())  # type: ignore[arg-type]  # withheld
    return {to_text(one.name): one for one in found if one.qtype == A}


def test_a_subject_must_be_blocked_in_the_ordered_form_for_every_type_that_leaks_addresses() -> None:
    found = expect(policy(block("x.blocked.example", form=Form.NODATA)), [POINT], T, Look())
    ours = [one for one in found if one.why is Why.SUBJECT]
    assert {one.qtype for one in ours} > {A, AAAA, HTTPS}
    assert {one.form for one in ours} == {Form.NODATA}
    assert {one.because for one in ours} == {("court/o1/d",)}
    assert {(one.order, one.ref, one.started) for one in ours} == {("court/o1", "court/o1/d", T - 1000)}


def types(**look: Any) -> set[int]:
    found = expect(policy(block("x.blocked.example")), [POINT], T, Look(**look))
    return {one.qtype for one in found if one.why is Why.SUBJECT}


def test_a_look_at_the_whole_has_every_type() -> None:
    assert types(whole=True) == {A, *MORE}


@pytest.mark.parametrize(("orders", "names"), [(1, 1), (60, 3), (20, 10), (5, 20), (100, 2), (3, 4)])
def test_rounds_in_a_row_ask_for_every_name_of_short_lists_in_every_type(orders: int, names: int) -> None:
    index = policy(
        *(
            block(
                *(f"n{at}.o{number}.example" for at in range(names)),
                ident=f"court/o{number}",
                excepts=(f"free.n0.o{number}.example",),
            )
            for number in range(orders)
        )
    )
    wanted = {
        (key(f"n{at}.o{number}.example"), qtype)
        for at in range(names)
        for number in range(orders)
        for qtype in (A, *MORE)
    }
    asked: set[tuple[bytes, int]] = set()
    for number in range(1000):
        found = expect(index, [POINT], T, Look(number=number + 12345))
        asked |= {(one.name, one.qtype) for one in found if one.why is Why.SUBJECT}
        if wanted <= asked:
            break
    assert wanted <= asked


def test_nothing_of_a_sealed_order_is_asked_for_that_goes_on_to_others() -> None:
    sealed = block(
        "x.secret.example",
        excepts=("free.x.secret.example",),
        publication=Publication.SEALED,
        regions=("ID", "GB"),
    )
    other = replace(POINT, name="p2", region="SG")
    point = replace(POINT, outside=OUTSIDE)
    found = [one for one in expect(policy(sealed), [point, other], T, Look(whole=True)) if one.ref]
    assert found
    assert all(one.form is not None or one.declared or one.qtype == DS for one in found)
    assert all(one.is_sealed for one in found)


def test_around_an_instant_only_addresses_are_asked_for() -> None:
    assert types(only=frozenset({"court/o1/d"})) == {A, AAAA}


def test_a_look_at_the_whole_asks_below_every_subject() -> None:
    names = [f"n{number}.blocked.example" for number in range(9)]
    index = policy(block(*names))
    some, every = (
        {one.name for one in expect(index, [POINT], T, Look(whole=whole)) if one.why is Why.BELOW}
        for whole in (False, True)
    )
    hosts = {key(f"www.{name}") for name in names}
    assert hosts <= every
    assert some < hosts


def raw(*orders: Order, **look: Any) -> list[str]:
    found = expect(policy(*orders), [POINT], T, Look(**look))
    return [to_text(one.name) for one in found if one.why is Why.BELOW and "\\" in to_text(one.name)]


def test_a_look_at_the_whole_asks_below_a_blocked_name_for_a_label_that_no_host_has() -> None:
    orders = block("x.blocked.example"), block("*.y.blocked.example", ident="court/o2")
    label = r"a\046b\032\233"
    assert sorted(raw(*orders, whole=True)) == [f"{label}.x.blocked.example", f"{label}.y.blocked.example"]
    assert raw(*orders) == []


def test_such_a_label_is_not_asked_for_where_it_need_not_be_blocked() -> None:
    exact = block("x.blocked.example", match=Match.EXACT)
    withheld = policy(block("x.blocked.example"), withheld={"court/o1/d": "a reason"})
    assert raw(exact, whole=True) == []
    assert all(one.name.find(b"\xe9") < 0 for one in expect(withheld, [POINT], T, Look(whole=True)))


def test_such_a_label_is_left_out_below_too_long_a_name() -> None:
    long = ".".join(["a" * 63] * 3 + ["b" * 56])
    assert raw(block(long), whole=True) == []


def test_a_zone_may_miss_only_aliases_that_an_except_holds_at() -> None:
    bind = replace(POINT, kind="bind", by="rpz")
    index = policy(block("x.blocked.example", excepts=("free.x.blocked.example",)))
    missed = {one.why for one in expect(index, [bind], T, Look()) if one.misses_aliases}
    assert missed == {Why.EXCEPT}


@pytest.mark.parametrize(("kind", "by"), [("dnsdist", "lmdb"), ("unbound", "rpz")])
def test_who_misses_aliases_misses_any(kind: str, by: str) -> None:
    point = replace(POINT, kind=kind, by=by)
    assert all(one.misses_aliases for one in expect(policy(block("x.blocked.example")), [point], T, Look()))


OUTSIDE = Outside(source="192.0.2.1")


def outside(*orders: Order, **at: Any) -> list[Expectation]:
    point = replace(POINT, outside=OUTSIDE)
    index = policy(*orders)
    index.enforcement = Enforcement(**at)
    return [one for one in expect(index, [point], T, Look()) if one.outside]


def test_a_client_of_no_region_must_be_answered() -> None:
    (one,) = outside(block("x.blocked.example"))
    assert (one.why, one.form, one.region, one.name) == (Why.OUTSIDE, None, None, key("x.blocked.example"))


def test_a_client_of_another_region_has_the_orders_of_that_region() -> None:
    regions = {"GB": (ip_network("192.0.2.0/24"),)}
    both = block("x.blocked.example", regions=("ID", "GB"))
    (here,) = outside(block("x.blocked.example"), regions=regions)
    (there,) = outside(both, regions=regions)
    assert (here.region, here.form) == ("GB", None)
    assert (there.region, there.form) == ("GB", Form.NXDOMAIN)


def test_an_outside_question_stays_one_when_it_is_renewed() -> None:
    index = policy(block("x.blocked.example"))
    (one,) = outside(block("x.blocked.example"))
    (again,), gone = renew(index, [one], T)
    assert (again.outside, again.form, again.why, gone) == (True, None, Why.OUTSIDE, [])


def test_of_a_directive_below_its_names_the_outside_is_asked_below_too() -> None:
    (one,) = outside(block("*.x.blocked.example"))
    assert one.name == key("www.x.blocked.example")


def test_the_shards_of_several_probers_are_all_directives_and_each_once() -> None:
    index = policy(*(block(f"n{at}.blocked.example", ident=f"court/o{at}") for at in range(30)))
    shards = [
        {one.ref for one in expect(index, [POINT], T, Look(shard=(at, 3), budget=1000)) if one.ref}
        for at in range(3)
    ]
    assert all(shards)
    assert sum(map(len, shards)) == len(set().union(*shards)) == 30


def test_what_a_point_is_declared_not_to_reach_is_told_with_the_question() -> None:
    bind = replace(POINT, kind="bind", by="rpz")
    found = expect(policy(block("x.blocked.example")), [POINT, bind], T, Look(whole=True))
    assert {(one.point, one.qtype) for one in found if one.declared} == {("p1", ANY)}
    assert len([one for one in found if one.qtype == ANY and not one.declared]) == 1


@pytest.mark.parametrize(
    ("name", "why", "form"),
    [
        ("parent.example", Why.PARENT, None),
        ("www.parent.example", Why.SIBLING, None),
        ("notx.parent.example", Why.LOOKALIKE, None),
        ("www.x.parent.example", Why.BELOW, Form.NXDOMAIN),
    ],
)
def test_the_names_around_a_subject_are_controls(name: str, why: Why, form: Form | None) -> None:
    one = asked(block("x.parent.example"))[name]
    assert (one.why, one.form, one.qtype) == (why, form, A)


def test_what_is_below_an_exact_subject_must_pass() -> None:
    one = asked(block("x.parent.example", match=Match.EXACT))["www.x.parent.example"]
    assert (one.why, one.form) == (Why.BELOW, None)


def test_an_exact_subject_is_expected_as_nodata_for_it_has_free_names_below() -> None:
    assert asked(block("x.parent.example", match=Match.EXACT))["x.parent.example"].form is Form.NODATA


def test_a_subject_written_with_a_star_is_asked_below_and_itself_must_pass() -> None:
    found = asked(block("*.x.parent.example"))
    assert found["www.x.parent.example"].form is not None
    assert (found["x.parent.example"].why, found["x.parent.example"].form) == (Why.PARENT, None)


def test_a_public_suffix_is_no_control() -> None:
    assert key("co.uk") not in {
        name for _, name in controls(key("shop.co.uk"), Role.SUBTREE, suffixes.rules().cover)
    }
    assert key("example") not in {name for _, name in controls(key("blocked.example"), Role.SUBTREE)}


def test_the_sibling_of_a_www_name_is_another_name() -> None:
    found = dict(controls(key("www.shop.example"), Role.SUBTREE))
    assert found[Why.SIBLING] == key("mail.shop.example")


def test_an_excepted_name_must_pass() -> None:
    one = asked(block("x.example", excepts=("free.x.example",)))["free.x.example"]
    assert (one.why, one.form) == (Why.EXCEPT, None)


def test_a_control_that_another_order_covers_is_expected_to_be_blocked() -> None:
    found = asked(block("x.parent.example"), block("parent.example", ident="court/o2", form=Form.REFUSED))
    assert found["www.parent.example"].form is Form.REFUSED
    assert found["www.parent.example"].because == ("court/o2/d",)


def test_a_coming_order_must_not_be_seen_yet() -> None:
    one = asked(block("x.example", start=T + 60))["x.example"]
    assert (one.why, one.form, one.until) == (Why.COMING, None, T + 60)


def test_an_ended_order_must_not_be_seen_any_more() -> None:
    one = asked(block("x.example", until=T - 60))["x.example"]
    assert (one.why, one.form, one.ended, one.since) == (Why.ENDED, None, T - 60, T - 60)


def test_what_ended_but_is_demanded_by_another_order_is_still_expected() -> None:
    found = expect(
        policy(block("x.example", until=T - 60), block("x.example", ident="court/o2")), [POINT], T, Look()
    )
    forms = {one.ref: one.form for one in found if one.name == key("x.example") and one.qtype == A}
    assert forms == {"court/o1/d": Form.NXDOMAIN, "court/o2/d": Form.NXDOMAIN}


def test_a_suspended_order_is_one_that_was_lifted() -> None:
    order = block("x.example")
    one = asked(order, act(Kind.SUSPEND, "court/o1", "court/s1", start=T - 50))["x.example"]
    assert (one.why, one.form, one.ended, one.ending) == (Why.ENDED, None, T - 50, "suspended")


def test_a_name_that_an_amend_removed_must_pass() -> None:
    amend = act(Kind.AMEND, "court/o1", "court/a1", start=T - 50, remove=(subject("free.x.example"),))
    one = asked(block("x.example"), amend)["free.x.example"]
    assert (one.why, one.form, one.order) == (Why.EXCEPT, None, "court/a1")


def test_a_withheld_order_must_pass() -> None:
    one = asked(block("x.example"), withheld={"court/o1": "appeal"})["x.example"]
    assert (one.why, one.form) == (Why.WITHHELD, None)


def test_an_order_for_elsewhere_must_not_be_seen_here() -> None:
    one = asked(block("x.example", regions=("GB",)))["x.example"]
    assert (one.why, one.form) == (Why.ELSEWHERE, None)


def test_canaries_are_asked_once_and_are_not_derived_again() -> None:
    look = Look(canaries=(key("parent.example"),))
    found = [
        one
        for one in expect(policy(block("x.parent.example")), [POINT], T, look)
        if one.name == key("parent.example")
    ]
    assert [(one.why, one.order) for one in found] == [(Why.CANARY, "")]


def test_protected_names_are_not_derived_as_controls() -> None:
    found = asked(block("x.parent.example"), look=Look(protected=(key("www.parent.example"),)))
    assert "www.parent.example" not in found
    assert "parent.example" in found


def test_the_budget_bounds_the_questions_for_a_point() -> None:
    orders = [block(f"x{number}.example", ident=f"court/o{number}") for number in range(50)]
    found = expect(policy(*orders), [POINT], T, Look(budget=30))
    assert 24 < len(found) <= 30


def many(directives: int, subjects: int) -> Source:
    """A policy of so many directives of so many names and an except each."""
    return policy(
        *(
            block(
                *(f"n{at}.s{number}.example" for at in range(subjects)),
                ident=f"court/o{number:03}",
                excepts=(f"free.n0.s{number}.example",),
            )
            for number in range(directives)
        )
    )


AROUND = {Why.PARENT, Why.SIBLING, Why.LOOKALIKE, Why.BELOW}


@pytest.mark.parametrize(("directives", "subjects"), [(1, 20), (12, 20), (40, 20), (210, 1), (420, 1)])
def test_every_round_asks_about_excepts_and_every_kind_of_control(directives: int, subjects: int) -> None:
    index = many(directives, subjects)
    for number in range(3):
        found = expect(index, [POINT], T, Look(number=number, limit=subjects + 1))
        assert len(found) <= 400
        assert {one.why for one in found} == {Why.SUBJECT, Why.EXCEPT, *AROUND}


def test_whoever_is_asked_about_a_directives_subject_is_asked_about_an_except_and_a_control_too() -> None:
    found = expect(many(60, 5), [POINT], T, Look(budget=100, limit=6))
    whys: dict[str, set[Why]] = {}
    for one in found:
        whys.setdefault(one.ref, set()).add(one.why)
    assert len(whys) == 25
    assert all({Why.SUBJECT, Why.EXCEPT} < asked and asked & AROUND for asked in whys.values())


def test_which_control_comes_first_changes_with_the_round() -> None:
    index = many(1, 5)
    third = {expect(index, [POINT], T, Look(number=at, limit=6))[2].why for at in range(40)}
    assert third == AROUND


@pytest.mark.parametrize("first", [0, 59_000_000])
def test_every_directive_has_its_turn_in_as_many_rounds_as_are_needed(first: int) -> None:
    index = many(42, 1)
    seen: set[str] = set()
    for number in range(first, first + 5):
        seen |= {one.ref for one in expect(index, [POINT], T, Look(number=number, budget=40))}
    assert len(seen) == 42


def test_around_an_instant_the_subjects_of_many_directives_come_before_the_controls_of_few() -> None:
    only = frozenset(f"court/o{number:03}/d" for number in range(12))
    found = expect(many(20, 1), [POINT], T, Look(only=only, budget=12))
    assert [one.why for one in found] == [Why.SUBJECT] * 12
    assert {one.ref for one in found} == only


@pytest.mark.parametrize("canaries", [(), ("canary.example", "other.example")])
@pytest.mark.parametrize("only", [None, frozenset({"court/o001/d"})])
def test_what_is_beyond_the_budget_is_counted(canaries: tuple[str, ...], only: frozenset[str] | None) -> None:
    look = Look(limit=6, only=only, canaries=tuple(map(key, canaries)), budget=10**6)
    index = many(7, 5)
    everything = expect(index, [POINT], T, look)
    assert count(index, [POINT], T, look) == len(everything)
    assert count(index, [POINT, POINT], T, replace(look, budget=3)) == 2 * len(everything)


@pytest.mark.parametrize("publication", list(Publication))
def test_the_name_of_a_sealed_order_is_not_asked_for_until_the_order_begins(publication: Publication) -> None:
    order = block("x.example", start=T + 60, until=T + 120, publication=publication)
    assert ("x.example" in asked(order)) == (publication is Publication.PUBLIC)
    begun = asked(order, t=T + 60)["x.example"]
    assert begun.why is Why.SUBJECT
    ((ended,), _) = renew(policy(order), [begun], T + 200)
    assert ended.why is Why.ENDED


def test_a_sealed_order_out_of_force_for_a_while_has_begun() -> None:
    order = block("x.example", publication=Publication.SEALED)
    pause = act(Kind.SUSPEND, "court/o1", "court/s1", start=T - 50, until=when(T + 50))
    assert asked(order, pause)["x.example"].why is Why.ENDED


def test_a_round_of_some_directives_keeps_to_them_and_asks_no_canary() -> None:
    look = Look(only=frozenset({"court/o2/d"}), canaries=(key("canary.example"),))
    found = asked(block("x.example"), block("y.example", ident="court/o2"), look=look)
    assert {one.ref for one in found.values()} == {"court/o2/d"}


def test_nothing_seen_before_the_policy_was_there_is_judged_by_it() -> None:
    assert asked(block("x.example"), look=Look(since=T - 1))["x.example"].since == T - 1


def test_names_too_long_to_have_a_child_are_left_alone() -> None:
    long = ".".join(["a" * 63] * 3 + ["b" * 58])
    assert under(key(long), b"www") is None
    assert under(key("x.example"), b"not" + b"a" * 63) is None
    assert [why for why, _ in controls(key(long), Role.SUBTREE)].count(Why.BELOW) == 0


def test_what_changes_at_a_transition_includes_what_a_cut_cuts() -> None:
    amend = act(Kind.AMEND, "court/o1", "court/a1", start=T + 50, remove=(subject("free.x.example"),))
    index = policy(block("x.example"), amend, block("y.example", ident="court/o2"))
    assert changing(index, T + 50) == {"court/o1/d", "court/a1:remove"}


def test_an_old_expectation_is_renewed_by_what_holds_now() -> None:
    index = policy(block("x.example", start=T - 10, until=T + 10))
    old = next(one for one in expect(index, [POINT], T, Look()) if one.why is Why.SUBJECT)
    ((new,), gone) = renew(index, [old], T + 20)
    assert gone == []
    assert (new.why, new.form, new.ended) == (Why.ENDED, None, T + 10)
    control = next(one for one in expect(index, [POINT], T, Look()) if one.why is Why.LOOKALIKE)
    assert len(renew(index, [control], T + 20)[0]) == 1


def test_an_expectation_of_a_directive_that_is_gone_is_not_renewed() -> None:
    old = next(iter(expect(policy(block("x.example")), [POINT], T, Look())))
    assert renew(policy(), [old], T) == ([], [old])
    elsewhere = policy(block("x.example", regions=("GB",), until=T - 1))
    assert renew(elsewhere, [old], T) == ([], [old])


def test_every_expectation_is_what_decide_says() -> None:
    index = policy(
        block("x.parent.example", excepts=("free.x.parent.example",)),
        block("parent.example", ident="court/o2", match=Match.EXACT, form=Form.REFUSED),
        block("*.y.example", ident="court/o3", form=Form.REDIRECT, addresses=("192.0.2.1",)),
        block("z.example", ident="court/o4", publication=Publication.SEALED, until=None),
    )
    found = expect(index, [POINT], T, Look())
    assert len(found) > 12
    for one in found:
        verdict = decide.decide(index, one.name, "ID", T)
        assert (one.form, one.because) == (verdict.form_for(one.qtype), verdict.because)


def test_a_cut_that_is_not_in_force_asks_nothing() -> None:
    amend = act(Kind.AMEND, "court/o1", "court/a1", start=T + 50, remove=(subject("free.x.example"),))
    assert "court/a1" not in {one.order for one in asked(block("x.example"), amend).values()}


def test_a_directive_that_never_holds_asks_nothing() -> None:
    lifted = act(Kind.LIFT, "court/o1", "court/l1", start=T - 2000)
    assert asked(block("x.example"), lifted) == {}


def test_an_order_for_elsewhere_that_is_not_in_force_asks_nothing() -> None:
    assert asked(block("x.example", regions=("GB",), start=T + 60)) == {}


def test_subjects_below_too_long_a_name_are_left_alone() -> None:
    long = ".".join(["a" * 63] * 3 + ["b" * 58])
    assert [one for one in asked(block(f"*.{long}")).values() if one.why is Why.SUBJECT] == []


def test_a_parent_too_long_for_a_sibling_still_is_a_control() -> None:
    above = ".".join(["a" * 63] * 3 + ["b" * 58])
    whys = [why for why, _ in controls(under(key(above), b"c") or key(above), Role.SUBTREE)]
    assert Why.PARENT in whys
    assert Why.SIBLING not in whys


def test_a_canarys_expectation_is_renewed_too() -> None:
    index = policy(block("canary.example", start=T + 10))
    old = next(iter(expect(index, [POINT], T, Look(canaries=(key("canary.example"),)))))
    ((new,), _) = renew(index, [old], T + 20)
    assert (new.why, new.form) == (Why.CANARY, Form.NXDOMAIN)


def test_how_many_directives_a_round_has_no_room_for_is_told_by_point() -> None:
    orders = [block(f"n{number}.example", ident=f"court/o{number}") for number in range(9)]
    elsewhere = replace(POINT, name="p2", region="GB")
    look = Look(budget=20)
    assert turns(policy(*orders), [POINT, elsewhere], T, look) == {"p1": (9, 4), "p2": (9, 4)}
    asked = {one.ref for one in expect(policy(*orders), [POINT], T, look)}
    assert len(asked) == 9 - 4
    assert turns(policy(*orders[:5]), [POINT], T, look) == {"p1": (5, 0)}
