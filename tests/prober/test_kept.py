"""What the prober's rounds leave behind: evidence of both sorts, each in its place, judged alike again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dns.flags

from blocker.names import is_below
from blocker.orders.model import Publication
from blocker.policy import ledger
from blocker.policy.reader import Reader
from blocker.prober import evidence, expect, rounds
from blocker.prober.book import Book
from blocker.prober.expect import Why
from blocker.prober.judge import BAD, Kind, controls_of, judge
from blocker.prober.matrix import Probe
from blocker.prober.observe import PLAIN, A, Variant
from blocker.prober.reference import Reference
from blocker.prober.shelf import Shelf
from tests.prober.proof import blocked, expectation, judged, once, seen, twice
from tests.prober.test_daemon import until, watching
from tests.prober.world import answer, block, commit, key, obedient, policy, real, serving, site

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.orders.model import Order
    from blocker.prober.evidence import Record
    from blocker.prober.judge import Evidence, Finding

SECRET = key("covert.example")


def orders() -> tuple[Order, Order]:
    now = time.time()
    excepts = ("www.alias.example",)
    public = block("x.shop.example", "alias.example", excepts=excepts, start=now - 60, until=now + 600)
    sealed = block("covert.example", ident="court/s1", start=now - 60, until=now + 600)
    return public, replace(sealed, publication=Publication.SEALED)


def watched(state: Path, script: Any, *applied: Order) -> None:
    """Watch until a whole round was made."""
    commit(state, *applied)

    async def main() -> None:
        async with watching(state, script):
            await until(state, lambda one: one.round_at)

    asyncio.run(main())


def streams(state: Path) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for stream in ("open", "sealed"):
        lines = (state / "evidence" / stream / "00000001.jsonl").read_bytes().splitlines()[1:]
        found[stream] = [evidence.unpack(line) for line in lines]
    return found


def test_rounds_leave_evidence_that_is_whole_and_judged_alike_again(tmp_path: Path) -> None:
    applied = orders()
    watched(tmp_path, obedient(policy(*applied)), *applied)
    shelf = Shelf(tmp_path)
    records = [one.record for one in shelf.records()]
    assert shelf.flaws == []
    assert list(evidence.rejudge(records)) == []
    assert {one.finding.why for one in records} >= {Why.SUBJECT, Why.EXCEPT, Why.CANARY}
    assert {one.policy for one in records} == {"g1"}
    confirmed = {one.subject for one in ledger.entries(tmp_path, only=("in-force",))}
    assert confirmed == {"court/o1/d", "court/s1/d"}


def test_what_is_not_as_ordered_is_kept_with_both_samples(tmp_path: Path) -> None:
    public, _ = orders()
    watched(tmp_path, real, public)
    bad = [one.record for one in Shelf(tmp_path).records() if one.record.finding.kind in BAD]
    assert bad
    assert all(len(one.samples) == 2 and all(sample.arrivals for sample in one.samples) for one in bad)
    opened = [one.facts["kind"] for one in ledger.entries(tmp_path, only=("finding-opened",))]
    assert opened == ["underblock"]


def test_the_controls_around_each_probe_are_kept_with_it(tmp_path: Path) -> None:
    applied = orders()
    watched(tmp_path, obedient(policy(*applied)), *applied)
    for one in (kept.record for kept in Shelf(tmp_path).records()):
        before, after = one.evidence.control_samples
        (probe,) = one.samples
        assert before.query
        assert before.sent <= probe.sent <= after.sent
        assert controls_of([before, after]) is one.evidence.controls


def test_whatever_a_sealed_order_has_a_part_in_lies_apart(tmp_path: Path) -> None:
    """Its names, the controls around them, and another order's name whose alias leads to one of them."""
    applied = orders()
    obeying = obedient(policy(*applied))

    def script(query: Any) -> Any:
        if query.question[0].name.to_text() == "www.alias.example.":
            return answer(query, ede=(16,), rcode=3, cname="covert.example")
        return obeying(query)

    watched(tmp_path, script, *applied)
    found = streams(tmp_path)
    for one in found["open"]:
        assert one.expectation.order != "court/s1"
        assert one.expectation.name != SECRET
        assert not is_below(one.expectation.name, SECRET)
        assert SECRET not in one.evidence.blocked_aliases
    assert {one.expectation.order for one in found["sealed"]} == {"court/o1", "court/s1"}
    assert SECRET in {name for one in found["sealed"] for name in one.evidence.blocked_aliases}
    assert b"covert" not in (tmp_path / ledger.FILE).read_bytes()
    assert "covert" not in (tmp_path / "prober.json").read_text()


def test_the_report_of_the_prober_says_how_its_evidence_fares(tmp_path: Path) -> None:
    public, _ = orders()
    commit(tmp_path, public)

    async def main() -> None:
        async with watching(tmp_path, obedient(policy(public))):
            seen = await until(tmp_path, lambda one: one.evidence.records)
            assert seen.evidence.octets > 0
            assert seen.evidence.failures == 0
            assert seen.evidence.trouble == ""

    asyncio.run(main())


def looked(state: Path, script: Any, *variants: Variant) -> list[tuple[Evidence, Finding]]:
    """What is kept of one name that is asked for in these ways, one after the other."""
    order = block("x.shop.example", start=time.time() - 60, until=time.time() + 600)
    commit(state, order)
    kept: list[tuple[Evidence, Finding]] = []

    def keep(*value: Any, **more: Any) -> None:
        _, one, known, finding = value
        again = judge(one, value[0], known)
        assert again is not None
        assert (again.kind, again.rule) == (finding.kind, finding.rule), "it is judged alike again"
        kept.append((known, finding))

    async def main() -> None:
        async with serving(script) as point:
            here = site(state, point.point(), canaries=("example.com",))
            reader = Reader(state)
            with reader.snapshot() as live:
                look = expect.Look(only=frozenset({"court/o1/d"}))
                asked = expect.expect(live, here.points, time.time(), look)
                stamp = live.stamp
            one = next(one for one in asked if one.why is Why.SUBJECT and one.qtype == A)
            round_ = rounds.Rounds(here, reader, Book(), Reference(()), keep=keep)
            await round_.look([Probe(one, variant) for variant in variants], stamp=stamp)
            reader.close()

    asyncio.run(main())
    return kept


def test_a_leak_is_kept_as_one_in_part_once_another_way_was_seen_blocked(tmp_path: Path) -> None:
    def script(query: Any) -> Any:
        return answer(query, rcode=3, ede=(16,)) if query.ednsflags & dns.flags.DO else real(query)

    found = looked(tmp_path, script, PLAIN, Variant(do=True))
    assert [(one.kind, known.is_blocked_otherwise) for known, one in found] == [
        (Kind.OK, False),
        (Kind.PARTIAL, True),
    ]


def test_a_leak_in_every_way_is_kept_as_such(tmp_path: Path) -> None:
    found = looked(tmp_path, real, PLAIN, Variant(do=True))
    assert [(one.kind, known.is_blocked_otherwise) for known, one in found] == [(Kind.UNDERBLOCK, False)] * 2


def test_what_was_never_asked_or_is_asked_again_is_no_evidence() -> None:
    """A point that is silent for long is taken to be silent about the rest: a finding, but no probe."""
    one = expectation()
    silent = twice(one, real).samples
    finding = twice(one, real).finding
    assert rounds._is_last(finding, silent)
    assert not rounds._is_last(finding, silent[:1])
    assert not rounds._is_last(finding, [replace(sample, query=b"") for sample in silent])
    assert rounds._is_last(once(one, blocked).finding, silent[:1])
    unlike = [seen(one, real, nsid=b"a"), seen(one, blocked, nsid=b"b")]
    pending = judged(one, unlike).finding
    assert pending.rule == "samples-disagree"
    assert not rounds._is_last(pending, unlike)
    assert rounds._is_last(pending, unlike * 3), "as often as it is asked at most"
