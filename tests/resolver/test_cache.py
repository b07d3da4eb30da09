"""The cache: bounded, punctual, least recently used last out."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from blocker.resolver import chain, wire
from blocker.resolver.cache import Cache, CacheKey, Entry
from tests.resolver.world import ask, upstream

QUERY = ask("a.example")
RECEIVED = chain.receive(upstream(QUERY, "a.example 300 IN A 192.0.2.1"), wire.parse_query(QUERY).question)


def entry(stored: float = 0, lifetime: float = 300) -> Entry[Any]:
    return Entry(received=RECEIVED, stored=stored, expires=stored + lifetime)


def key(number: int) -> CacheKey:
    return (b"%d" % number, 1, 1, False, False)


def test_an_entry_is_good_until_it_expires_and_then_gone() -> None:
    cache: Cache[Any] = Cache()
    cache.put(key(1), entry())
    assert cache.get(key(1), 299.99) is not None
    assert cache.get(key(1), 300) is None
    assert (len(cache), cache.octets) == (0, 0)


def test_do_cd_type_and_class_are_told_apart() -> None:
    cache: Cache[Any] = Cache()
    cache.put((b"a", 1, 1, False, False), entry())
    for other in ((b"a", 28, 1, False, False), (b"a", 1, 3, False, False), (b"a", 1, 1, True, False)):
        assert cache.get(other, 0) is None
    assert cache.get((b"a", 1, 1, False, True), 0) is None


def test_what_may_not_be_kept_is_not() -> None:
    cache: Cache[Any] = Cache()
    cache.put(key(1), entry(lifetime=0))
    small: Cache[Any] = Cache(octets=10)
    small.put(key(1), entry())
    nothing: Cache[Any] = Cache(entries=0)
    nothing.put(key(1), entry())
    assert len(cache) == len(small) == len(nothing) == 0


def test_the_least_recently_used_goes_first() -> None:
    cache: Cache[Any] = Cache(entries=2)
    cache.put(key(1), entry())
    cache.put(key(2), entry())
    cache.get(key(1), 0)
    cache.put(key(3), entry())
    assert [cache.get(key(number), 0) is not None for number in (1, 2, 3)] == [True, False, True]


def test_age_is_whole_seconds_and_never_negative() -> None:
    assert entry(stored=10).age(12.9) == 2
    assert entry(stored=10).age(9) == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.floats(0, 500)), max_size=200))
def test_the_bounds_hold_whatever_is_done(steps: list[tuple[bool, int, float]]) -> None:
    cache: Cache[Any] = Cache(entries=8, octets=5 * entry().weight)
    for is_put, number, now in steps:
        if is_put:
            cache.put(key(number), entry(now))
        else:
            found = cache.get(key(number), now)
            assert found is None or now < found.expires
        assert len(cache) <= 5
        assert cache.octets == len(cache) * entry().weight
