"""The prober against scripted resolvers on loopback: what it says when they obey, and when they don't."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from blocker.errors import StoreError
from blocker.orders.model import Form, Publication
from blocker.policy import ledger, writer
from blocker.policy.reader import Reader
from blocker.policy.records import Withheld
from blocker.prober import daemon, expect, matrix, report
from blocker.prober.book import Book
from blocker.prober.expect import MORE, Why
from blocker.prober.judge import Kind
from blocker.prober.matrix import Probe
from blocker.prober.observe import OVER_TCP, PLAIN, A
from blocker.prober.reference import Reference
from blocker.prober.rounds import Rounds
from blocker.site import Endpoint, ProberConfig
from tests.prober.world import (
    POINT,
    Server,
    answer,
    apart,
    block,
    commit,
    key,
    obedient,
    policy,
    real,
    serving,
    site,
    subject,
    when,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from blocker.orders.model import Order
    from blocker.policy.chain import Entry
    from blocker.prober.judge import Finding
    from blocker.prober.report import Snapshot

CANARY = ("canary.example",)


@contextmanager
def served(script: Any, reference: Any = real, tcp: Any = None) -> Iterator[tuple[Server, Server]]:
    """A point and a reference in another thread."""
    ready, done = threading.Event(), threading.Event()
    servers: list[Server] = []

    async def serve() -> None:
        async with serving(script, tcp) as point, serving(reference) as unfiltered:
            servers[:] = [point, unfiltered]
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield servers[0], servers[1]
    finally:
        done.set()
        thread.join()


def verify(
    state: Path, script: Any, reference: Any = real, *orders: Order, timeout: float = 2.0
) -> list[Finding]:
    """One round of `blocker verify` against the script. A short `timeout` is for silence that is meant."""
    commit(state, *orders)
    with served(script, reference) as (point, unfiltered):
        here = site(state, point.point(), reference=(unfiltered.endpoint,), canaries=CANARY)
        verified = daemon.verify(here, timeout=timeout, limit=2)
    assert (verified.unjudged, verified.unasked) == (0, 0)
    return list(verified.findings)


def kinds(findings: list[Finding]) -> set[str]:
    return {finding.kind for finding in findings}


def now_order(**more: Any) -> Order:
    now = time.time()
    return block("x.shop.example", **{"start": now - 60, "until": now + 600, **more})


@pytest.mark.parametrize("form", [Form.NXDOMAIN, Form.NODATA, Form.REFUSED, Form.REDIRECT])
@pytest.mark.parametrize("ede", [True, False], ids=["attributed", "plain"])
def test_a_point_that_obeys_is_ok_in_every_form(tmp_path: Path, form: Form, *, ede: bool) -> None:
    addresses = ("192.0.2.1",) if form is Form.REDIRECT else ()
    order = now_order(form=form, addresses=addresses)
    findings = verify(tmp_path, obedient(policy(order), ede=ede), real, order)
    assert kinds(findings) == {Kind.OK}
    assert {finding.variant for finding in findings} == set(matrix.ways(POINT))
    assert {finding.qtype for finding in findings} == {A, *MORE}


def over_wide(query: Any) -> Any:
    name = query.question[0].name.to_text().lower()
    return answer(query, rcode=3, ede=(16,)) if name.endswith("shop.example.") else real(query)


def is_about_it(query: Any) -> bool:
    """Whether the question is about the ordered name or one below it."""
    name: str = query.question[0].name.to_text().lower()
    return name == "x.shop.example." or name.endswith(".x.shop.example.")


def silent_about_it(query: Any) -> Any:
    return None if is_about_it(query) else real(query)


def refuses_it(query: Any) -> Any:
    return answer(query, rcode=5) if is_about_it(query) else real(query)


def fails_it(query: Any) -> Any:
    return answer(query, rcode=2) if is_about_it(query) else real(query)


def wrong_form(query: Any) -> Any:
    return answer(query, ede=(16,)) if is_about_it(query) else real(query)


FAULTS: list[tuple[str, Any, dict[str, Any], dict[tuple[str, str], set[str]]]] = [
    ("unblocked", real, {}, {("underblock", "resolves-though-blocked"): {"subject", "below"}}),
    (
        "over-wide",
        over_wide,
        {},
        {("overblock", "blocked-though-free"): {"parent", "sibling", "lookalike"}},
    ),
    ("wrong form", wrong_form, {}, {("wrong-form", "attributed-wrong-form"): {"subject", "below"}}),
    ("silent", silent_about_it, {"timeout": 1.0}, {("insufficient", "target-silent"): {"subject", "below"}}),
    ("refusing", refuses_it, {}, {("insufficient", "failure-proves-nothing"): {"subject", "below"}}),
    ("failing", fails_it, {}, {("insufficient", "failure-proves-nothing"): {"subject", "below"}}),
    (
        "dead",
        lambda _: None,
        {"timeout": 0.4},
        {
            ("unreachable", "point-silent"): {
                "subject",
                "below",
                "parent",
                "sibling",
                "lookalike",
                "canary",
            }
        },
    ),
]


@pytest.mark.parametrize(
    ("script", "more", "wanted"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_a_fault_is_found_and_nothing_else(
    tmp_path: Path, script: Any, more: dict[str, Any], wanted: dict[tuple[str, str], set[str]]
) -> None:
    findings = verify(tmp_path, script, real, now_order(), **more)
    found: dict[tuple[str, str], set[str]] = {}
    for one in findings:
        if one.kind is not Kind.OK:
            found.setdefault((one.kind, one.rule), set()).add(one.why)
    missing = {pair: whys - found.get(pair, set()) for pair, whys in wanted.items()}
    assert not any(missing.values())
    assert {kind for kind, _ in found} == {kind for kind, _ in wanted}


def test_a_denial_of_names_that_exist_nowhere_is_moot(tmp_path: Path) -> None:
    order = block("x.nowhere.example", start=time.time() - 60, until=time.time() + 600)
    findings = verify(tmp_path, obedient(policy(order), ede=False), real, order)
    assert {one.kind for one in findings if one.why == "subject"} == {Kind.MOOT}


def test_a_denial_without_attribution_or_reference_is_insufficient(tmp_path: Path) -> None:
    order = now_order()
    findings = verify(tmp_path, obedient(policy(order), ede=False), lambda _: None, order)
    assert {one.rule for one in findings if one.why == "subject"} == {"no-reference"}


def test_an_order_that_is_early_and_one_that_lingers_are_told_apart(tmp_path: Path) -> None:
    now = time.time()
    coming = block("a.shop.example", ident="court/o1", start=now + 600, until=now + 900)
    ended = block("b.shop.example", ident="court/o2", start=now - 600, until=now - 300)
    findings = verify(tmp_path, over_wide, real, coming, ended)
    by_order = {one.order: one.kind for one in findings if one.order}
    assert by_order == {"court/o1": Kind.EARLY, "court/o2": Kind.LINGERING}


def test_two_contradicting_answers_are_not_believed(tmp_path: Path) -> None:
    def injected(query: Any) -> Any:
        forged, true = answer(query, rcode=3, ede=()), real(query)
        return [forged.to_wire(), true.to_wire()]

    findings = verify(tmp_path, injected, real, now_order())
    udp = [one for one in findings if str(one.variant) == "udp" and one.why == "parent"]
    assert {one.rule for one in udp} == {"answers-differ"}


def test_canaries_that_fail_do_not_make_an_answering_point_unreachable(tmp_path: Path) -> None:
    order = now_order()
    honest = obedient(policy(order))

    def script(query: Any) -> Any:
        return None if "canary" in query.question[0].name.to_text() else honest(query)

    findings = verify(tmp_path, script, real, order, timeout=1.0)
    assert {one.kind for one in findings if one.why == "subject"} == {Kind.OK}
    assert {one.rule for one in findings if one.why == "canary"} == {"controls-failed"}


def test_an_alias_to_a_blocked_name_is_not_an_overblock(tmp_path: Path) -> None:
    order = now_order()
    honest = obedient(policy(order))

    def script(query: Any) -> Any:
        if query.question[0].name.to_text() == "www.shop.example.":
            return answer(query, rcode=3, ede=(16,), cname="x.shop.example")
        return honest(query)

    findings = verify(tmp_path, script, real, order)
    assert {one.rule for one in findings if one.why == "sibling"} == {"alias-of-blocked"}
    assert kinds(findings) == {Kind.OK}


def test_an_alias_is_denied_whole_where_answers_say_nothing_of_blocks(tmp_path: Path) -> None:
    order = now_order()
    honest = obedient(policy(order), ede=False)

    def aliased(query: Any) -> Any:
        """www leads to the ordered name, at the unfiltered resolver."""
        is_alias = query.question[0].name.to_text().lower() == "www.shop.example."
        return answer(query, addresses=("198.51.100.7",), cname="x.shop.example") if is_alias else real(query)

    def script(query: Any) -> Any:
        is_alias = query.question[0].name.to_text().lower() == "www.shop.example."
        return answer(query, rcode=3) if is_alias else honest(query)

    findings = verify(tmp_path, script, aliased, order)
    assert {one.rule for one in findings if one.why == "sibling"} == {"alias-of-blocked"}

    def leaking(query: Any) -> Any:
        return honest(query) if is_about_it(query) else aliased(query)

    leaks = verify(tmp_path / "again", leaking, aliased, order)
    assert {one.rule for one in leaks if one.why == "sibling"} == {"alias-leaks"}


def test_a_canary_order_with_blocks_in_every_form_does_not_drift(tmp_path: Path) -> None:
    forms = (Form.NXDOMAIN, Form.NODATA, Form.REFUSED, Form.REDIRECT)
    orders = [
        now_order(form=form, addresses=("192.0.2.1",) if form is Form.REDIRECT else (), ident="court/o1")
        for form in forms
    ]
    directives = tuple(
        replace(order.directives[0], id=f"d{at}", subjects=(subject(f"x{at}.shop.example"),))
        for at, order in enumerate(orders)
    )
    order = replace(orders[0], directives=directives)
    commit(tmp_path, order)
    with served(obedient(policy(order))) as (point, unfiltered):
        here = site(tmp_path, point.point(), reference=(unfiltered.endpoint,), canaries=CANARY)
        assert here.prober is not None
        here = replace(here, prober=replace(here.prober, canary_order=order.id))
        for _ in range(2):
            assert kinds(list(daemon.verify(here, timeout=2.0, limit=5).findings)) == {Kind.OK}


def test_a_dead_way_hides_no_leak_in_another(tmp_path: Path) -> None:
    order = now_order()
    honest = obedient(policy(order))
    commit(tmp_path, order)

    def script(query: Any) -> Any:
        return real(query) if query.ednsflags & 0x8000 and is_about_it(query) else honest(query)

    with (
        served(script, real) as (point, unfiltered),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf,
    ):
        deaf.bind(("127.0.0.1", 0))
        two = replace(point.point(), also=(Endpoint(*deaf.getsockname()),))
        here = site(tmp_path, two, reference=(unfiltered.endpoint,), canaries=CANARY)
        findings = daemon.verify(here, timeout=0.3, limit=2).findings
    by_variant = {str(one.variant): one.kind for one in findings if one.why == "subject" and one.qtype == A}
    assert by_variant["udp+do"] == Kind.PARTIAL
    assert by_variant["udp+address-2"] == Kind.UNREACHABLE


def fails(query: Any) -> Any:
    return answer(query, rcode=2)


@pytest.mark.parametrize(("script", "tcp", "are_ok"), [(real, fails, True), (fails, real, False)])
def test_controls_that_fail_in_one_way_alone_say_nothing_of_what_is_asked_plainly(
    tmp_path: Path, script: Any, tcp: Any, *, are_ok: bool
) -> None:
    """Else a certificate that has expired would silence what is said of all other ways."""
    commit(tmp_path, now_order())
    book = Book()

    async def main() -> None:
        async with serving(script, tcp) as point:
            here = site(tmp_path, point.point(), canaries=CANARY)
            reader = Reader(tmp_path)
            with reader.snapshot() as live:
                asked = expect.expect(live, here.points, time.time(), expect.Look())
                stamp = live.stamp
            probes = [Probe(asked[0], variant) for variant in (PLAIN, OVER_TCP)]
            await Rounds(here, reader, book, Reference(())).look(probes, stamp=stamp)
            reader.close()

    asyncio.run(main())
    seen = book.snapshot(time.time(), generation=1, round_at=0.0, trouble="")
    assert seen.points["p1"].controls_ok is are_ok


def test_a_leak_over_tcp_behind_cut_off_datagrams_is_found(tmp_path: Path) -> None:
    def cut(query: Any) -> Any:
        response = real(query)
        response.flags |= 0x0200
        response.answer.clear()
        return response

    order = now_order()
    commit(tmp_path, order)
    with served(cut, real, tcp=real) as (point, unfiltered):
        here = site(tmp_path, point.point(), reference=(unfiltered.endpoint,), canaries=CANARY)
        findings = daemon.verify(here, timeout=2.0, limit=2).findings
    assert {one.kind for one in findings if one.why == "subject" and one.qtype == A} == {Kind.UNDERBLOCK}


def test_a_redirect_that_reaches_free_names_is_found(tmp_path: Path) -> None:
    order = now_order(form=Form.REDIRECT, addresses=("192.0.2.1",))
    findings = verify(tmp_path, lambda query: answer(query, addresses=("192.0.2.1",)), real, order)
    assert {(one.kind, one.rule) for one in findings if one.why == "parent"} == {
        (Kind.OVERBLOCK, "forged-though-free")
    }


def test_a_cut_off_answer_is_asked_for_again_over_tcp(tmp_path: Path) -> None:
    order = now_order()

    def cut(query: Any) -> Any:
        response = answer(query)
        response.flags |= 0x0200
        return response

    findings = verify(tmp_path, cut, real, order)
    assert {one.rule for one in findings if one.why == "subject"} == {"truncated"}
    assert {one.variant.transport for one in findings} == {"tcp"}


def test_a_bulk_directive_is_sampled(tmp_path: Path) -> None:
    now = time.time()
    order = block(*(f"x{at}.shop.example" for at in range(300)), start=now - 60, until=now + 600)
    findings = verify(tmp_path, obedient(policy(order)), real, order)
    assert kinds(findings) == {Kind.OK}
    assert len({one.name for one in findings if one.why == "subject"}) == 2


def test_a_point_that_blocks_all_around_is_found_however_long_the_policy_is(tmp_path: Path) -> None:
    now = time.time()
    orders = [
        block(
            *(f"n{at}.s{number}.example" for at in range(9)),
            ident=f"court/o{number}",
            start=now - 60,
            until=now + 600,
        )
        for number in range(6)
    ]
    commit(tmp_path, *orders)

    def all_of_it(query: Any) -> Any:
        is_canary = query.question[0].name.to_text() == "canary.example."
        return real(query) if is_canary else answer(query, rcode=3, ede=(16,))

    with served(all_of_it) as (point, unfiltered):
        here = site(tmp_path, point.point(), reference=(unfiltered.endpoint,), canaries=CANARY)
        assert here.prober is not None
        here = replace(here, prober=replace(here.prober, rate=1000))
        verified = daemon.verify(here, timeout=2.0, limit=9, budget=24)
    assert verified.unasked > 0
    found = {one.why for one in verified.findings if one.kind is Kind.OVERBLOCK}
    assert found == {Why.PARENT, Why.SIBLING, Why.LOOKALIKE}


def test_the_name_of_a_sealed_order_that_has_not_begun_is_asked_of_nobody(tmp_path: Path) -> None:
    now = time.time()
    options: dict[str, Any] = {"start": now + 600, "until": now + 900}
    orders = (
        block("hush.example", ident="court/o1", publication=Publication.SEALED, **options),
        block("open.example", ident="court/o2", **options),
    )
    commit(tmp_path, *orders)
    with served(lambda query: answer(query, rcode=3)) as (point, unfiltered):
        here = site(tmp_path, point.point(), reference=(unfiltered.endpoint,))
        verified = daemon.verify(here, timeout=2.0)
    assert {name for name, *_ in point.asked} == {"open.example"}
    assert {name for name, *_ in unfiltered.asked} == {"open.example"}
    assert {(one.order, one.kind) for one in verified.findings} == {
        ("court/o2", Kind.EARLY),
    }


def test_verify_without_a_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="blocker apply"):
        daemon.verify(site(tmp_path))


# The daemon itself, in this loop, beside the servers it probes.


@asynccontextmanager
async def watching(
    state: Path,
    script: Any,
    reference: Any = real,
    canaries: tuple[str, ...] = CANARY,
    second: Any = None,
    **config: Any,
) -> AsyncIterator[tuple[Server, Callable[[], int]]]:
    """The daemon, a point p1 and maybe a `second` one."""
    stop = asyncio.Event()
    beats = Counter[str]()
    async with serving(script) as point, serving(second) as other, serving(reference) as unfiltered:
        points = [point.point(), *([other.point("p2")] if second else [])]
        here = site(state, *points, reference=(unfiltered.endpoint,), canaries=canaries)
        assert here.prober is not None
        here = replace(here, prober=replace(here.prober, **config))
        task = asyncio.create_task(daemon.watch(here, lambda: beats.update("b"), stop))
        try:
            yield point, lambda: beats["b"]
        finally:
            stop.set()
            await task


def seen(state: Path) -> Snapshot | None:
    path = state / report.FILE
    return report.from_json(path.read_bytes()) if path.exists() else None


async def until(state: Path, holds: Callable[[Snapshot], object], within: float = 12.0) -> Snapshot:
    """The first report that satisfies `holds`; fails after `within` seconds."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        snapshot = seen(state)
        if snapshot is not None and holds(snapshot):
            return snapshot
        await asyncio.sleep(0.02)
    raise AssertionError(f"not seen within {within} s: {seen(state)}")


@pytest.mark.parametrize("name", ["x.shop.example", "x.nowhere.example"], ids=["real", "exists nowhere"])
def test_the_start_and_the_end_of_an_order_are_confirmed_soon_after_they_come(
    tmp_path: Path, name: str
) -> None:
    start = int(time.time()) + 2
    order = block(name, start=start, until=start + 2)
    commit(tmp_path, order)

    async def main() -> None:
        async with watching(tmp_path, obedient(policy(order))) as (server, _):
            first = await until(tmp_path, lambda one: one.confirmed.get("court/o1"))
            assert first.not_ok == ()
            last = await until(tmp_path, lambda one: one.first("court/o1").lift)
            confirmed = last.confirmed["court/o1"]["p1"]
            assert confirmed.block is not None
            assert confirmed.lift is not None
            # The looks are 0, 0.1 and 0.25 s after: the first to be judged confirms.
            assert start <= confirmed.block < start + 1
            assert start + 2 <= confirmed.lift < start + 3
            first_after = min(at for _, _, _, at in server.asked if at >= start)
            assert first_after - start <= 0.25

    asyncio.run(main())
    again = seen(tmp_path)
    assert again is not None
    assert again.not_ok == ()
    assert ("p1", "court/o1/d") in again.attributed


def test_a_point_that_ignores_the_start_is_found_and_found_no_more_once_it_obeys(tmp_path: Path) -> None:
    start = int(time.time()) + 1
    order = block("x.shop.example", start=start, until=start + 600)
    commit(tmp_path, order)
    honest = obedient(policy(order))
    faulty = [True]

    async def main() -> None:
        script = lambda query: real(query) if faulty[0] else honest(query)  # noqa: E731  # reads best here
        async with watching(tmp_path, script):
            bad = await until(tmp_path, lambda one: any(found.kind == "underblock" for found in one.not_ok))
            assert {(found.order, found.point) for found in bad.not_ok} == {("court/o1", "p1")}
            assert "court/o1" not in bad.confirmed
            faulty[0] = False
            await until(tmp_path, lambda one: not one.not_ok and one.confirmed.get("court/o1"))

    asyncio.run(main())


def test_a_review_that_falls_due_is_told_to_the_ledger_once_however_often_it_starts(tmp_path: Path) -> None:
    now = int(time.time())
    own = block("x.shop.example", start=now - 60, until=now + 600)
    due = replace(own.directives[0], review_by=when(now + 1))
    order = replace(own, directives=(due,))
    commit(tmp_path, order)

    def told() -> list[Entry]:
        return list(ledger.entries(tmp_path, only=("review-overdue",)))

    async def main() -> None:
        for _ in range(2):
            async with watching(tmp_path, obedient(policy(order))):
                await until(tmp_path, lambda one: told() and one.round_at > now + 1)

    asyncio.run(main())
    (entry,) = told()
    assert (entry.subject, entry.facts) == ("court/o1", {"review_by": now + 1})
    assert entry.at >= now + 1


def test_a_new_generation_and_a_withholding_are_picked_up(tmp_path: Path) -> None:
    now = int(time.time())
    order = block("x.shop.example", start=now - 60, until=now + 600)
    commit(tmp_path)

    async def main() -> None:
        async with watching(tmp_path, obedient(policy(order))):
            await until(tmp_path, lambda one: one.generation == 1)
            await asyncio.to_thread(apart, commit, tmp_path, order, number=2, base="g1")
            await until(tmp_path, lambda one: one.generation == 2)
            await until(tmp_path, lambda one: one.ok.get("court/o1"))
            why = Withheld(reason="appeal", at=now, by="me")
            await asyncio.to_thread(apart, writer.withhold, tmp_path, why, "court/o1")
            # The point goes on blocking what the operator withholds.
            await until(tmp_path, lambda one: any(found.kind == "overblock" for found in one.not_ok))

    asyncio.run(main())


def test_without_a_store_it_waits_says_so_and_goes_on_when_there_is_one(tmp_path: Path) -> None:
    order = now_order()

    async def main() -> None:
        async with watching(tmp_path, obedient(policy(order))) as (_, beats):
            first = await until(tmp_path, lambda one: one.trouble)
            assert "blocker apply" in first.trouble
            count = beats()
            commit(tmp_path, order)
            done = await until(tmp_path, lambda one: one.ok.get("court/o1"))
            assert done.trouble == ""
            assert beats() > count

    asyncio.run(main())


def test_a_replaced_store_is_read_anew(tmp_path: Path) -> None:
    order = now_order()
    commit(tmp_path, number=7)

    async def main() -> None:
        async with watching(tmp_path, obedient(policy(order))):
            await until(tmp_path, lambda one: one.generation == 7)
            shutil.rmtree(tmp_path)
            commit(tmp_path, order, number=1)
            await until(tmp_path, lambda one: one.generation == 1 and one.ok.get("court/o1"))

    asyncio.run(main())


def test_an_unreachable_point_is_a_finding_and_costs_nothing_else(tmp_path: Path) -> None:
    commit(tmp_path, now_order())

    async def main() -> Snapshot:
        async with watching(tmp_path, lambda _: None, canaries=()) as (_, beats):
            count = beats()
            found = await until(tmp_path, lambda one: any(bad.kind == "unreachable" for bad in one.not_ok))
            assert beats() > count
            return found

    snapshot = asyncio.run(main())
    assert snapshot.points["p1"].lost == snapshot.points["p1"].sent > 0


def test_no_more_queries_are_sent_than_the_rate_allows(tmp_path: Path) -> None:
    now = time.time()
    order = block(*(f"x{at}.shop.example" for at in range(60)), start=now - 60, until=now + 600)
    commit(tmp_path, order)

    async def main() -> None:
        async with watching(tmp_path, obedient(policy(order)), rate=10) as (server, _):
            await asyncio.sleep(2.0)
            times = sorted(at for *_, at in server.asked)
            assert len(times) > 5
            assert len(times) <= 10 + 10 * (times[-1] - times[0]) + 1

    asyncio.run(main())


def test_a_full_disk_does_not_stop_it_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(tmp_path, now_order())
    opened = os.open

    def full(path: Any, *more: Any, **options: Any) -> int:
        if report.FILE in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, *more, **options)

    monkeypatch.setattr(os, "open", full)

    async def main() -> None:
        async with watching(tmp_path, real) as (server, _):
            server.enough = 20
            await asyncio.wait_for(server.busy.wait(), 10)

    asyncio.run(main())
    assert capsys.readouterr().err.count("No space left") == 1


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_stepped_clock_is_outlived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    """Steps the daemon's clock alone; transitions on either side are looked at by the new time."""
    now = time.time()
    order = block("x.shop.example", start=now - 10_000, until=now + 10_000)
    commit(tmp_path, order)
    honest = obedient(policy(order))

    class Clock:
        offset = 0.0

        def __getattr__(self, name: str) -> Any:
            return getattr(time, name)

        def time(self) -> float:
            return time.time() + self.offset

    clock = Clock()
    monkeypatch.setattr(daemon, "time", clock)
    monkeypatch.setattr("blocker.prober.transports.time", clock)
    monkeypatch.setattr("blocker.prober.rounds.time", clock)

    obeys = True

    def script(query: Any) -> Any:
        return honest(query) if obeys else real(query)

    async def main() -> None:
        nonlocal obeys
        async with watching(tmp_path, script):
            await until(tmp_path, lambda one: one.round_at)
            clock.offset = step
            stepped = await until(tmp_path, lambda one: abs(one.round_at - clock.time()) < 60)
            assert stepped.not_ok == ()
            obeys = False
            await until(tmp_path, lambda one: "underblock" in {found.kind for found in one.not_ok})

    asyncio.run(main())


def test_run_beats_and_ends_at_sigterm(tmp_path: Path) -> None:
    commit(tmp_path, now_order())
    here = replace(
        site(tmp_path),
        prober=ProberConfig(interval=1, reference=(Endpoint("127.0.0.1", 1),)),
    )
    beats = Counter[str]()

    def beat() -> None:
        beats.update("b")
        if beats["b"] == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    daemon.run(here, beat)
    signal.signal(signal.SIGTERM, before[0])
    signal.signal(signal.SIGINT, before[1])
    assert beats["b"] >= 5
    assert seen(tmp_path) is not None


def test_sealed_names_do_not_reach_the_report(tmp_path: Path) -> None:
    order = block(
        "hush-hush.example",
        start=time.time() - 60,
        until=time.time() + 60,
        publication=Publication.SEALED,
    )
    commit(tmp_path, order)

    async def main() -> None:
        async with watching(tmp_path, real):
            await until(tmp_path, lambda one: one.not_ok)

    asyncio.run(main())
    assert b"hush" not in (tmp_path / report.FILE).read_bytes()


def test_a_confirmation_by_a_forger_is_taken_back_when_the_point_answers_too(tmp_path: Path) -> None:
    start = int(time.time()) + 2
    commit(tmp_path, block("x.shop.example", start=start, until=start + 600))

    def forged(query: Any) -> Any:
        if not is_about_it(query) or time.time() < start:
            return real(query)
        return [answer(query, rcode=3).to_wire(), real(query).to_wire()]

    async def main() -> None:
        async with watching(tmp_path, forged):
            early = await until(tmp_path, lambda one: one.confirmed)
            assert start <= (early.first("court/o1").block or 0) < start + 1
            await until(tmp_path, lambda one: {bad.kind for bad in one.not_ok} & {"conflict", "injected"})
            round_at = (await until(tmp_path, lambda one: not one.confirmed)).round_at
            later = await until(tmp_path, lambda one: one.round_at > round_at)
            assert later.confirmed == {}

    asyncio.run(main())
    told = [one.event for one in ledger.entries(tmp_path, only=("in-force", "taken-back"))]
    assert (told[0], told[-1]) == ("in-force", "taken-back"), "no report swears by it"


def test_each_of_many_orders_that_start_at_once_is_seen_at_each_point_without_a_round(tmp_path: Path) -> None:
    start = int(time.time()) + 2
    orders = [
        block(f"x{at}.shop.example", ident=f"court/o{at}", start=start, until=start + 600) for at in range(60)
    ]
    commit(tmp_path, *orders)
    obeys = obedient(policy(*orders))

    def slow(query: Any) -> Any:
        return real(query) if time.time() < start + 0.7 else obeys(query)

    async def main() -> None:
        async with watching(tmp_path, obeys, second=slow, rate=100, interval=3600):
            last = await until(
                tmp_path,
                lambda one: (
                    len(one.confirmed) == 60 and all(len(points) == 2 for points in one.confirmed.values())
                ),
            )
            assert all(points["p2"].block >= start + 0.7 for points in last.confirmed.values())  # type: ignore[operator]  # above

    asyncio.run(main())


def test_a_restart_forgets_neither_what_is_wrong_nor_what_resolved(tmp_path: Path) -> None:
    commit(tmp_path, now_order())

    async def main() -> tuple[Snapshot, Snapshot]:
        async with watching(tmp_path, real):
            await until(tmp_path, lambda one: one.round_at and one.not_ok)
        before = seen(tmp_path)
        restarted = time.time()
        async with watching(tmp_path, lambda _: None, lambda _: None):
            after = await until(tmp_path, lambda one: one.at > restarted)
        assert before is not None
        return before, after

    before, after = asyncio.run(main())
    assert {(one.kind, one.order, one.since) for one in after.not_ok} >= {
        (one.kind, one.order, one.since) for one in before.not_ok
    }
    assert after.round_at == before.round_at
    kept = tmp_path / report.BASELINES
    assert kept.stat().st_mode & 0o777 == 0o600
    resolved = report.baselines_from_json(kept.read_bytes())
    assert ("p1", key("canary.example"), A) in resolved
