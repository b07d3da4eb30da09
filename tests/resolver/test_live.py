"""A worker's policy: stores that are missing, cut off, slow, and mended again."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import dns.edns
import dns.exception
import pytest

from blocker.errors import StoreError
from blocker.policy import records
from blocker.policy import store as policy_store
from blocker.policy.store import FILE
from blocker.resolver import live, workers
from blocker.resolver.engine import Answer
from blocker.resolver.live import LivePolicy
from tests.resolver.live import (
    GROK,
    LOOPBACK,
    NXDOMAIN,
    SERVFAIL,
    Resolver,
    Upstream,
    rcode,
    resolver,
    store,
    wait,
)
from tests.resolver.world import ask, block, engine

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.orders.timetable import Scheduled
    from blocker.policy.reader import Reader

NOW = time.time()


def assert_failing_then_mended(one: Resolver, state: Path) -> None:
    """Nothing passes, the worker lives, and the store's return is seen."""
    for name in ("grok.example", "free.example"):
        said = one.ask(name, use_edns=0)
        assert said.rcode() == SERVFAIL
        assert [option.code for option in said.options if isinstance(option, dns.edns.EDEOption)] == [0]
    assert one.counts().store_errors >= 1
    starts = one.counts().starts
    (state / FILE).unlink(missing_ok=True)
    store(state, GROK)
    wait(lambda: rcode(one.udp(ask("grok.example"))) == NXDOMAIN, live.REOPEN + 4)
    assert one.ask("free.example").rcode() == 0
    assert one.counts().starts == starts


def test_a_worker_without_a_store_answers_servfail_until_there_is_one(tmp_path: Path, up: Upstream) -> None:
    with resolver(tmp_path, up.endpoint) as one:
        assert_failing_then_mended(one, tmp_path)
        assert one.counts().starts == 1


@pytest.mark.parametrize("size", [0, 100, 4096, 8192, -4096])
def test_a_worker_whose_store_is_cut_off_answers_servfail_until_it_is_mended(
    tmp_path: Path, up: Upstream, size: int
) -> None:
    store(tmp_path, GROK)
    octets = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(octets[:size])
    with resolver(tmp_path, up.endpoint) as one:
        assert_failing_then_mended(one, tmp_path)
        assert one.counts().starts == 1


def test_a_store_that_is_cut_off_under_a_running_worker_is_servfail_within_seconds_and_mended(
    tmp_path: Path, up: Upstream
) -> None:
    store(tmp_path, GROK)
    with resolver(tmp_path, up.endpoint) as one:
        assert one.ask("grok.example").rcode() == NXDOMAIN
        with (tmp_path / FILE).open("r+b") as file:
            file.truncate(8192)
        # A look beyond the file's end is SIGBUS; the worker comes back without a policy.
        one.udp(ask("www.grok.example"), timeout=0.05)
        wait(lambda: one.counts().starts == 2)
        assert_failing_then_mended(one, tmp_path)
        assert one.counts().starts == 2


def test_a_policy_that_takes_long_to_read_costs_no_workers_life(
    tmp_path: Path, up: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice as long as the heartbeat allows, but record by record."""
    honest = records.unpack_directive

    def slow(octets: bytes) -> Scheduled:
        time.sleep(workers.HEARTBEAT / 4)
        return honest(octets)

    monkeypatch.setattr(workers, "HEARTBEAT", 3.0)
    monkeypatch.setattr(policy_store, "_PULSE_EVERY", 1)
    monkeypatch.setattr(records, "unpack_directive", slow)
    many = [
        block(f"n{number}.example", ident=f"x/{number}", start=NOW - 100, until=NOW + 10**7)
        for number in range(8)
    ]
    store(tmp_path, *many)

    def is_read() -> bool:
        with suppress(dns.exception.Timeout):
            return one.ask("n3.example").rcode() == NXDOMAIN
        return False

    with resolver(tmp_path, up.endpoint) as one:
        wait(is_read, 60)
        assert one.counts().starts == 1


def test_between_attempts_to_open_the_store_the_last_reason_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []

    def gone(state: Path, *, pulse: object) -> Reader:
        tried.append(state)
        raise OSError("the disk is gone")

    monkeypatch.setattr(live, "Reader", gone)
    policy = LivePolicy(tmp_path, lambda: None)
    with pytest.raises(OSError, match="disk"), policy.snapshot():
        pass
    for _ in range(3):
        with pytest.raises(StoreError, match="the disk is gone"), policy.snapshot():
            pass
    assert tried == [tmp_path]
    policy.close()


def test_a_store_made_anew_after_a_failure_is_another_policy_to_who_kept_conclusions(tmp_path: Path) -> None:
    policy, mind = LivePolicy(tmp_path, lambda: None), engine()
    stamps, codes = [], []
    for blocked in ("grok.example", "other.example"):
        store(tmp_path, block(blocked, start=NOW - 100, until=NOW + 10**7))
        policy._due = 0.0
        with policy.snapshot() as snapshot:
            stamps.append(snapshot.stamp)
            made = mind.handle(ask("grok.example"), LOOPBACK, snapshot, NOW, NOW)
            codes.append(rcode(made.octets) if isinstance(made, Answer) else None)
        policy._due = 0.0
        policy.failed()
        (tmp_path / FILE).unlink()
    assert stamps[0] != stamps[1]
    assert codes == [NXDOMAIN, None]
