from __future__ import annotations

import itertools
import json
from ipaddress import ip_network
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocker.names import Key
from blocker.orders.model import Kind, Publication
from blocker.orders.schedule import schedule
from blocker.policy import records
from blocker.policy.directives import Role
from blocker.site import Enforcement
from tests.policy.strategies import EPOCH, directive, key, order, orders

if TYPE_CHECKING:
    from blocker.orders.model import Order

NUMBERS = st.integers(0, 2**32 - 1)
TEXT = st.text(max_size=20)
PAIRS = st.lists(st.tuples(NUMBERS, st.sampled_from(Role)))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(found=orders(publications=tuple(Publication)))
def test_every_directive_and_cut_is_read_back_as_it_was_written(found: list[Order]) -> None:
    for lapses_from in (None, 0, EPOCH + 2):
        for one in schedule(found, lapses_from=lapses_from):
            assert records.unpack_directive(records.pack_directive(one)) == one


def test_a_directive_written_before_deadlines_were_kept_has_none() -> None:
    (one,) = schedule([order("x/b", directives=(directive("d", "a.example"),))])
    record = json.loads(records.pack_directive(one))
    del record["deadline"]
    assert records.unpack_directive(json.dumps(record).encode()) == one


def test_a_directive_written_before_amends_were_as_secret_as_what_they_amend_is_so_until_it_starts() -> None:
    for start, ends in ((2, None), (2, 1)):
        own = directive("d", "a.example", start=start)
        acts = [] if ends is None else [order("x/l", Kind.LIFT, of="x/b", start=ends)]
        (one,) = schedule(
            [order("x/b", directives=(own,), publication=Publication.SEALED_UNTIL_EFFECTIVE), *acts]
        )
        record = json.loads(records.pack_directive(one))
        del record["public_from"]
        assert records.unpack_directive(json.dumps(record).encode()) == one


@given(number=NUMBERS, other=NUMBERS)
def test_numbers_sort_as_their_octets_do(number: int, other: int) -> None:
    assert records.unpack_number(records.pack_number(number)) == number
    assert (records.pack_number(number) < records.pack_number(other)) == (number < other)


@given(count=st.integers(0, 2**64 - 1), pairs=PAIRS)
def test_sets_are_read_back_as_they_were_written(count: int, pairs: list[tuple[int, Role]]) -> None:
    assert records.unpack_set(records.pack_set(count, pairs)) == (count, tuple(pairs))


def test_samples_are_read_back_as_they_were_written() -> None:
    longest = Key((b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"b" * 61)
    sample = [(key("a.example"), Role.EXACT), (longest, Role.EXCEPT), (key("b.example"), Role.BELOW)]
    assert records.unpack_sample(records.pack_sample(sample)) == sample
    assert records.unpack_sample(b"") == []


@given(number=NUMBERS, at=st.integers(0, 2**40), words=st.lists(TEXT, min_size=3, max_size=6))
def test_generations_and_withholdings_are_read_back_as_they_were_written(
    number: int, at: int, words: list[str]
) -> None:
    generation = records.Generation(
        number=number,
        digest=words[0],
        applied_at=at + 0.5,
        by=words[1],
        reason=words[2],
        quarantined=tuple(words[3:]),
    )
    assert records.unpack_generation(records.pack_generation(generation)) == generation
    act = records.Withheld(reason=words[0], at=at, by=words[1])
    held = {word: (act,) * count for count, word in enumerate(sorted(set(words)), 1)}
    assert records.unpack_withheld(records.pack_withheld(held)) == held
    assert records.unpack_instant(records.pack_instant(at + 0.25)) == at + 0.25
    orders = dict(itertools.pairwise(words))
    assert records.unpack_orders(records.pack_orders(orders)) == orders


def test_site_values_are_read_back_as_they_were_written() -> None:
    regions = {"ID": (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")), "GB": ()}
    for site in (
        Enforcement(),
        Enforcement(regions=regions, default_region="ID", ttl=1, max_ttl=2, info_url="https://isp.example/é"),
        Enforcement(review="lapse"),
        Enforcement(review="lapse", lapse_from=1_800_000_000),
    ):
        assert records.unpack_enforcement(records.pack_enforcement(site)) == site
