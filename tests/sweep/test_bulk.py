"""Bulk probing against scripted points on loopback: every name is accounted for, whatever comes back."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dns.flags
import dns.message
import dns.name
import pytest

from blocker import names
from blocker.orders.model import Form, Match
from blocker.policy.reader import Reader
from blocker.prober.expect import Why
from blocker.sweep import bulk, flights
from blocker.sweep.bulk import Lane
from blocker.sweep.datagrams import BATCH
from blocker.sweep.pages import Sample, Sweep
from blocker.sweep.swept import Limits, Swept
from tests.prober.test_daemon import served
from tests.prober.world import answer, apart, block, commit, key, obedient, policy, real

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from blocker.orders.model import Order

CANARY = key("canary.example")
QUICK = Limits(timeout=0.3)


def order(count: int = 100, *, ident: str = "court/o1", **more: Any) -> Order:
    now = time.time()
    subjects = [f"n{number}.{ident[-2:]}.example" for number in range(count)]
    return block(
        *subjects, ident=ident, **{"match": Match.SUBTREE, "start": now - 60, "until": now + 600, **more}
    )


@contextmanager
def reading(state: Path) -> Iterator[Reader]:
    reader = Reader(state)
    try:
        yield reader
    finally:
        reader.close()


def sweep(
    state: Path,
    script: Any,
    *orders: Order,
    canaries: tuple[names.Key, ...] = (CANARY,),
    limits: Limits = QUICK,
    **more: Any,
) -> Swept:
    """A sweep of one point, which is the script."""
    commit(state, *orders)
    with served(script) as (point, _), reading(state) as reader:
        lane = Lane(Sweep(point.point()), reader, canaries=canaries, limits=limits)
        [swept] = bulk.run([lane], **more)
    assert swept.unaccounted == 0
    return swept


def test_a_point_that_obeys_is_fine_name_by_name(tmp_path: Path) -> None:
    orders = order(300), order(50, ident="court/o2", form=Form.NODATA)
    # Nothing is lost here, so that a query asked again is one that a slow machine had no time for.
    swept = sweep(tmp_path, obedient(policy(*orders)), *orders, limits=Limits(timeout=30.0))
    assert swept.is_fine
    assert (swept.asked, swept.ok, swept.doubts) == (350, 350, [])
    assert swept.ok_of == {"court/o1": 300, "court/o2": 50}
    assert swept.controls == 2
    assert swept.sent == 352
    assert swept.read == 350


@pytest.mark.parametrize("form", list(Form))
def test_every_form_is_known(tmp_path: Path, form: Form) -> None:
    addresses = ("192.0.2.1",) if form is Form.REDIRECT else ()
    given = order(70, form=form, addresses=addresses)
    assert sweep(tmp_path, obedient(policy(given)), given).ok == 70


def test_excepts_must_pass(tmp_path: Path) -> None:
    given = order(3, excepts=("ok.n1.o1.example", "no.n2.o1.example"))

    def script(query: dns.message.Message) -> dns.message.Message:
        if query.question[0].name.to_text().startswith("no."):
            return answer(query, rcode=3, ede=(16,))
        made: dns.message.Message = obedient(policy(given))(query)
        return made

    swept = sweep(tmp_path, script, given)
    assert (swept.ok, swept.odd) == (4, 1)
    [doubt] = swept.doubts
    assert (names.to_text(doubt.name), doubt.why, doubt.form, doubt.ref) == (
        "no.n2.o1.example",
        Why.EXCEPT,
        None,
        "court/o1/d",
    )


def test_names_that_resolve_are_odd_and_handed_back(tmp_path: Path) -> None:
    given = order()
    index = policy(given)

    def script(query: dns.message.Message) -> Any:
        return (real if query.question[0].name.to_text().startswith("n7.") else obedient(index))(query)

    swept = sweep(tmp_path, script, given)
    assert (swept.ok, swept.odd) == (99, 1)
    assert [names.to_text(one.name) for one in swept.doubts] == ["n7.o1.example"]
    assert not swept.is_fine


def test_a_block_without_attribution_is_formed_not_ok(tmp_path: Path) -> None:
    given = order()
    swept = sweep(tmp_path, obedient(policy(given), ede=False), given)
    assert (swept.ok, swept.formed, swept.odd) == (0, 100, 0)
    assert swept.formed_of == {"court/o1": 100}
    assert not swept.is_fine


def test_what_is_handed_back_is_bounded_and_drawn_evenly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST_FORMED", 10)
    monkeypatch.setattr("secrets.randbelow", lambda among: among - 1 if among > 65 else 3)
    given = order()
    swept = sweep(tmp_path, obedient(policy(given), ede=False), given, canaries=())
    assert swept.formed == 100
    assert len(swept.samples) == 10
    assert len({one.name for one in swept.samples}) == 10


class Lossy:
    """Answers a question only from the `nth` time on that it is asked."""

    def __init__(self, script: Callable[[dns.message.Message], Any], nth: int) -> None:
        self.script, self.nth = script, nth
        self.idents: dict[dns.name.Name, list[int]] = {}

    def __call__(self, query: dns.message.Message) -> Any:
        seen = self.idents.setdefault(query.question[0].name, [])
        seen.append(query.id)
        return self.script(query) if len(seen) >= self.nth else None


def test_what_is_lost_is_asked_again_twice_with_fresh_ids(tmp_path: Path) -> None:
    given = order(20)
    lossy = Lossy(obedient(policy(given)), 3)
    swept = sweep(tmp_path, lossy, given, canaries=())
    assert (swept.ok, swept.lost, swept.retried, swept.sent) == (20, 0, 40, 60)
    assert all(len(set(idents)) == 3 for idents in lossy.idents.values())


def test_what_is_never_answered_is_lost_and_the_rest_is_seen(tmp_path: Path) -> None:
    given = order(20)
    index = policy(given)

    def script(query: dns.message.Message) -> Any:
        return None if query.question[0].name.to_text().startswith("n7.") else obedient(index)(query)

    swept = sweep(tmp_path, script, given)
    assert (swept.ok, swept.lost, swept.retried) == (19, 1, 2)
    assert [names.to_text(one.name) for one in swept.doubts] == ["n7.o1.example"]


def test_a_canary_that_was_lost_once_is_asked_again(tmp_path: Path) -> None:
    given = order(20)
    lossy = Lossy(real, 2)

    def script(query: dns.message.Message) -> Any:
        is_canary = query.question[0].name.to_text() == "canary.example."
        return (lossy if is_canary else obedient(policy(given)))(query)

    assert sweep(tmp_path, script, given).ok == 20


def test_a_silent_point_is_left(tmp_path: Path) -> None:
    swept = sweep(tmp_path, lambda _: None, order(), limits=Limits(timeout=0.1, window=8))
    assert swept.trouble == "the point is silent"
    assert swept.asked < 100
    assert swept.ok == 0


def test_a_port_where_nobody_listens_is_told_apart(tmp_path: Path) -> None:
    commit(tmp_path, order())
    with served(real) as (server, _):
        point = server.point()
    with reading(tmp_path) as reader:
        [swept] = bulk.run([Lane(Sweep(point), reader)])
    assert swept.trouble == "nothing listens there"


def test_an_address_that_cannot_be_asked_is_trouble(tmp_path: Path) -> None:
    commit(tmp_path, order(1))
    with served(real) as (server, _), reading(tmp_path) as reader:
        point = replace(server.point(), source="192.0.2.1")
        [swept] = bulk.run([Lane(Sweep(point), reader)])
    assert "assign" in swept.trouble
    assert swept.asked == 0


def test_other_answers_are_counted_and_the_right_one_still_counts(tmp_path: Path) -> None:
    given = order(10)
    index = policy(given)

    def script(query: dns.message.Message) -> Any:
        right = obedient(index)(query).to_wire()
        other = dns.message.make_query("elsewhere.example", "A", id=query.id)
        other.flags |= dns.flags.QR
        return [other.to_wire(), right[:-3], right[:2], right, right]

    swept = sweep(tmp_path, script, given, canaries=())
    assert (swept.ok, swept.mismatched, swept.malformed) == (10, 10, 20)
    assert swept.stray in (9, 10)  # Nobody waits for a second answer to the last.


def test_letters_in_another_case_are_read_all_the_same(tmp_path: Path) -> None:
    given = order(5)
    index = policy(given)

    def script(query: dns.message.Message) -> Any:
        return obedient(index)(query).to_wire().replace(b"example", b"eXample")

    assert sweep(tmp_path, script, given, canaries=()).ok == 5


def test_instances_are_told_by_their_nsid(tmp_path: Path) -> None:
    given = order(20)
    index = policy(given)

    def script(query: dns.message.Message) -> Any:
        made = obedient(index)(query)
        nsid = dns.edns.NSIDOption(b"r1" if query.id % 2 else b"r2")
        made.use_edns(0, options=[*made.options, nsid])
        made.set_rcode(3)
        return made

    assert sweep(tmp_path, script, given, canaries=()).instances == {b"r1", b"r2"}


@pytest.mark.parametrize(
    "canary", [lambda query: answer(query, rcode=2), lambda query: answer(query, rcode=3, ede=(16,))]
)
def test_names_between_failing_controls_are_not_fine(tmp_path: Path, canary: Any) -> None:
    given = order(20)
    index = policy(given)

    def script(query: dns.message.Message) -> Any:
        return (canary if query.question[0].name.to_text() == "canary.example." else obedient(index))(query)

    swept = sweep(tmp_path, script, given)
    assert (swept.ok, swept.unproven, swept.asked) == (0, 20, 20)
    assert not swept.is_fine


def test_a_point_whose_controls_fail_again_and_again_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "PAGE", 10)
    given = order(100)
    index = policy(given)

    def script(query: dns.message.Message) -> Any:
        is_canary = query.question[0].name.to_text() == "canary.example."
        return answer(query, rcode=2) if is_canary else obedient(index)(query)

    swept = sweep(tmp_path, script, given, limits=replace(QUICK, window=4))
    assert swept.trouble == "its controls fail"
    assert swept.ok == 0
    assert swept.asked < 100


def test_one_failing_control_costs_the_two_pages_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "PAGE", 10)
    given = order(50)
    index = policy(given)
    canaries: list[int] = []

    def script(query: dns.message.Message) -> Any:
        if query.question[0].name.to_text() != "canary.example.":
            return obedient(index)(query)
        canaries.append(query.id)
        return answer(query, rcode=2) if len(canaries) == 3 else real(query)

    swept = sweep(tmp_path, script, given, limits=replace(QUICK, window=4))
    assert (swept.ok, swept.unproven, swept.controls) == (30, 20, 6)


def test_what_the_policy_changed_under_is_void(tmp_path: Path) -> None:
    given = order(20)
    index = policy(given)
    changed: list[int] = []

    def script(query: dns.message.Message) -> Any:
        if not changed:
            changed.append(1)
            apart(commit, tmp_path, given, order(1, ident="court/o2"), number=2, base="g1")
        return obedient(index)(query)

    swept = sweep(tmp_path, script, given, limits=Limits(timeout=20))
    assert (swept.void, swept.ok, swept.asked) == (20, 0, 20)


def test_a_transition_under_way_makes_void(tmp_path: Path) -> None:
    now = time.time()
    given = block("shop.example", start=now - 60, until=int(now) + 2)
    index = policy(given)

    def script(query: dns.message.Message) -> Any:
        time.sleep(max(0.0, int(now) + 2.05 - time.time()))
        return obedient(index, skew=9)(query)

    swept = sweep(tmp_path, script, given, canaries=(), limits=Limits(timeout=10))
    assert (swept.void, swept.ok, swept.odd) == (1, 0, 0)


def test_stopped_it_says_at_once_what_was_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "PAGE", 10)
    given = order(100)
    index = policy(given)
    told: list[int] = []

    def script(query: dns.message.Message) -> Any:
        return obedient(index)(query) if query.question[0].name.to_text() < "n5" else None

    def listen(all_: Any) -> None:
        told.append(all_[0].ok)

    began = time.monotonic()
    swept = sweep(
        tmp_path,
        script,
        given,
        canaries=(),
        limits=Limits(timeout=60, window=8),
        stop=lambda: time.monotonic() - began > 0.5,
        told=listen,
    )
    assert swept.trouble == "stopped"
    assert swept.ok > 0
    assert swept.unanswered > 0
    assert swept.asked == swept.ok + swept.unanswered
    assert told[-1] == swept.ok


def test_the_budget_bounds_every_query(tmp_path: Path) -> None:
    given = order(100)
    asked = Lossy(obedient(policy(given)), 1)
    swept = sweep(tmp_path, asked, given, canaries=(), limits=replace(QUICK, most=30))
    assert swept.trouble == "the budget is spent"
    assert swept.sent == 30
    assert sum(map(len, asked.idents.values())) <= 30


def test_the_rate_bounds_how_fast_a_point_is_asked(tmp_path: Path) -> None:
    given = order(100)
    swept = sweep(tmp_path, obedient(policy(given)), given, canaries=(), limits=Limits(rate=100))
    assert swept.ok == 100
    assert swept.seconds >= (100 - BATCH) / 100  # A batch may leave at once.


def test_points_are_swept_side_by_side(tmp_path: Path) -> None:
    given = order(50)
    commit(tmp_path, given)
    with served(obedient(policy(given)), real) as (good, bad), reading(tmp_path) as reader:
        lanes = [
            Lane(Sweep(one.point(name)), reader, limits=QUICK) for one, name in ((good, "a"), (bad, "b"))
        ]
        swept = bulk.run(lanes)
    assert [(one.point, one.ok, one.odd) for one in swept] == [("a", 50, 0), ("b", 0, 50)]


def test_a_sample_is_asked_alone(tmp_path: Path) -> None:
    given = order(50)
    commit(tmp_path, given)
    with served(obedient(policy(given))) as (point, _), reading(tmp_path) as reader:
        [swept] = bulk.run([Lane(Sample(Sweep(point.point()), {"court/o1": [3, 30]}), reader, limits=QUICK)])
    assert (swept.asked, swept.ok) == (2, 2)


def test_where_nothing_is_in_force_nothing_is_asked(tmp_path: Path) -> None:
    swept = sweep(tmp_path, real, order(3, start=time.time() + 100))
    assert (swept.asked, swept.sent, swept.is_fine) == (0, 0, True)


def test_a_crowd_of_ids_under_way_is_gone_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [number.to_bytes(2, "big") for number in range(70)]
    monkeypatch.setattr(flights, "ring", lambda: few * 1000)
    given = order(100)
    swept = sweep(tmp_path, obedient(policy(given)), given, canaries=())
    assert swept.ok == 100


def test_every_id_is_used() -> None:
    assert len(set(flights.ring())) == 65536
