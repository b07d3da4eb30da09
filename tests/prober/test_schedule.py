from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker.prober.schedule import OFFSETS, Bucket, dense, is_ours, portion, room, same_instant, sparse

T = 1_800_000_000


def walk(transitions: list[int], start: float, end: float) -> list[float]:
    found, now = [], start
    while (due := dense(now, transitions)) is not None and due.at <= end:
        found.append(due.at - T)
        now = due.at
    return found


def test_a_transition_is_looked_at_from_a_second_before_to_ten_after() -> None:
    assert walk([T], T - 100, T + 100) == pytest.approx(list(OFFSETS))


def test_the_first_look_after_a_transition_comes_within_a_quarter_second() -> None:
    assert min(offset for offset in OFFSETS if offset >= 0) <= 0.25


def test_looks_at_neighbouring_transitions_are_interleaved_in_order() -> None:
    times = [round(at, 3) for at in walk([T, T + 1], T - 100, T + 100)]
    assert times == sorted({*OFFSETS, *(1 + offset for offset in OFFSETS)})


def test_transitions_that_share_a_look_are_looked_at_together() -> None:
    due = dense(T - 0.5, [T, T + 1])
    assert due is not None
    assert due.at == T
    assert [(one.transition - T, one.number) for one in same_instant(due, [T, T + 1])] == [(0, 1), (1, 0)]


def test_without_transitions_nothing_is_dense() -> None:
    assert dense(T, []) is None
    assert dense(T + 11, [T]) is None


@given(st.integers(0, 2**32), st.integers(1, 3600), st.text(max_size=5))
def test_every_interval_has_exactly_one_sparse_round(now: int, interval: int, seed: str) -> None:
    first = sparse(now, interval, seed)
    second = sparse(first.at, interval, seed)
    assert first.at > now
    assert second.number == first.number + 1
    assert first.number * interval <= first.at < (first.number + 1) * interval


def test_sites_with_different_names_do_not_probe_in_step() -> None:
    assert len({sparse(T, 30, f"r{number}").at for number in range(20)}) == 20


@given(st.lists(st.floats(0, 0.2), max_size=300), st.floats(1, 100))
def test_a_bucket_never_lets_more_through_than_its_burst_and_rate(steps: list[float], rate: float) -> None:
    bucket, now, taken = Bucket.full(rate, 0.0), 0.0, 0
    for step in steps:
        now += step
        bucket, wait = bucket.take(now)
        taken += not wait
    assert taken <= max(1.0, rate) + rate * now + 1e-6


def test_the_wait_a_bucket_names_is_long_enough() -> None:
    bucket = Bucket.full(50, 0.0)
    for _ in range(50):
        bucket, wait = bucket.take(0.0)
        assert wait == 0
    bucket, wait = bucket.take(0.0)
    assert wait == pytest.approx(0.02)
    assert bucket.take(wait)[1] == 0


def test_a_reserve_is_left_for_those_who_cannot_wait() -> None:
    bucket = Bucket.full(50, 0.0)
    taken = 0
    while not (step := bucket.take(0.0, reserve=0.5))[1]:
        bucket, taken = step[0], taken + 1
    assert taken == 25
    assert bucket.take(0.0)[1] == 0


def test_a_clock_that_runs_backwards_gives_no_tokens() -> None:
    bucket, _ = Bucket.full(1, 100.0).take(100.0)
    assert bucket.take(50.0)[1] > 0


def test_there_is_room_for_what_the_rate_allows_until_the_next_look_and_a_burst_at_the_instant() -> None:
    assert [room(number, 50) for number in range(len(OFFSETS))] == [25, 25, 3, 6, 12, 25, 75, 125, 125]
    assert {room(number, 0.1) for number in range(len(OFFSETS) - 3)} == {1}


@pytest.mark.parametrize("count", [1, 12, 200, 260])
def test_each_of_many_has_its_turn_around_an_instant(count: int) -> None:
    every = list(range(count))
    looked: set[int] = set()
    for number in range(1, len(OFFSETS)):
        chosen = portion(every, number, 50, lambda _: False)
        assert len(chosen) == len(set(chosen)) <= room(number, 50)
        looked.update(chosen)
    assert looked == set(every)


def test_those_not_seen_yet_come_before_those_that_were() -> None:
    seen = set(range(180))
    assert portion(range(200), 5, 50, seen.__contains__) == list(range(180, 200))
    assert len(portion(range(200), 5, 50, lambda _: True)) == 25
    assert portion([], 5, 50, lambda _: True) == []


def test_each_directive_is_of_one_shard() -> None:
    for at in range(20):
        assert sum(is_ours(f"court/o{at}/d", (shard, 3)) for shard in range(3)) == 1
