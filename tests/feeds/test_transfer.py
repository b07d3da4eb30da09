"""A feed's zone by its difference (RFC 1995): what it makes, and every way in which it has no effect."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING, TypeAlias

import dns.message
import dns.rcode
import dns.tsigkeyring
import pytest

from blocker.feeds import aside, transfer
from blocker.rpz import exchange
from tests.feeds.primaries import (
    KEY,
    ZONE,
    Primary,
    block,
    framed,
    parsed,
    partly_signed,
    primary,
    refusing,
    signed,
    soa,
)
from tests.feeds.samples import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Ran
    from tests.feeds.conftest import Fed

    Answer: TypeAlias = Callable[[dns.message.Message], bytes]

FIRST, SECOND, *OTHERS = NAMES
NEW = "new.example"
CHANGED = (SECOND, *OTHERS, NEW)
RIGHT = (soa(8), soa(7), block(FIRST), soa(8), block(NEW), soa(8))
OTHER_KEYRING = dns.tsigkeyring.from_text({"blocker": "ODk0NTY3ODlhYmNkZWYwMQ=="})


@pytest.fixture
def told() -> Iterator[Primary]:
    with primary() as found:
        found.names = tuple(NAMES)
        yield found


def begin(fed: Fed, told: Primary) -> None:
    """The first version is imported; the primary has the next one."""
    (fed.folder / "feed.key").write_text(KEY)
    source = f'{{primary: "127.0.0.1:{told.port}", zone: {ZONE}, key: feed.key}}'
    fed.feed("axfr", source=source, more="    max_change: 0.5\n")
    assert fed.run("import", "list").code == 0
    assert told.asked == ["SOA", "AXFR", "SOA"]
    later(fed, told)


def later(fed: Fed, told: Primary, *, day: int = 29) -> None:
    fed.at(f"2026-11-{day}T12:00:00+00:00")
    told.serial, told.names = day - 21, CHANGED
    told.asked.clear()


def held(fed: Fed) -> Path:
    return fed.folder / "state" / "feeds" / "list.zone"


def document(fed: Fed) -> bytes:
    """What is held, without when a whole zone was last transferred."""
    return held(fed).read_bytes().partition(b"\n")[2]


def again_whole(fed: Fed) -> dict[str, bytes]:
    """The orders if the same version is transferred as a whole."""
    for path in (fed.folder / "orders" / "reg").glob("2026-11-29*"):
        path.unlink()
    held(fed).unlink()
    assert fed.run("import", "list").code == 0
    return fed.orders


def saying(*records: str) -> Answer:
    """One message with these records."""
    return lambda query: b"".join(signed(query, [records]))


def parted(*records: str) -> Answer:
    """A message for each record."""
    return lambda query: b"".join(signed(query, [[one] for one in records]))


def cut(octets: int, answer: Answer) -> Answer:
    """The answer without its last octets."""
    return lambda query: answer(query)[:-octets]


def closing(query: dns.message.Message) -> bytes:
    return b""


def seldom_signed(every: int, *records: str) -> Answer:
    """A message for each record, not each of them signed."""
    return lambda query: b"".join(partly_signed(query, [[one] for one in records], every))


LONG = (*RIGHT[:-1], *(block(f"n{number}.example") for number in range(300)), RIGHT[-1])


@pytest.mark.parametrize("every", [2, 96, 100])
def test_a_primary_may_sign_some_messages_of_a_transfer_alone(fed: Fed, told: Primary, every: int) -> None:
    """RFC 8945 §5.3.1: up to 99 in a row may come without a signature."""
    begin(fed, told)
    told.incremental = seldom_signed(every, *LONG)
    assert "feed-changed-too-much" in fed.run("import", "list").err, "it adds 301 names"
    assert told.asked == ["SOA", "IXFR", "SOA"]
    assert document(fed).count(b"\nn") == 301


def rebuilt(fed: Fed, told: Primary, when: str) -> None:
    """The primary has other names under the serial that it had."""
    fed.at(when)
    told.serial, told.names = 7, CHANGED
    told.asked.clear()


def test_a_zone_built_anew_under_the_same_serial_is_found_out_in_a_week_and_told_at_every_poll(
    fed: Fed, told: Primary
) -> None:
    begin(fed, told)
    rebuilt(fed, told, "2026-11-29T12:00:00+00:00")
    assert fed.run("import", "--poll").code == 0
    assert told.asked == ["SOA", "SOA"]
    before = fed.orders
    for day, asked in ((4, ["SOA"]), (5, ["SOA", "AXFR", "SOA"]), (7, ["SOA", "SOA"]), (9, ["SOA", "SOA"])):
        rebuilt(fed, told, f"2026-12-{day:02}T12:00:00+00:00")
        ran = fed.run("import", "--poll")
        assert (ran.code, "feed-same-edition: " in ran.err) == ((2, True) if day > 4 else (0, False)), day
        assert (told.asked, fed.orders) == (asked, before), day
    (digest,) = set(re.findall(r"--accept ([0-9a-f]{64})", ran.err))
    assert fed.run("import", "list", "--accept", digest, "--reason", "they rebuilt it").code == 0
    assert b"new.example" in b"".join(fed.orders.values())
    rebuilt(fed, told, "2026-12-20T12:00:00+00:00")
    assert fed.run("import", "--poll").code == 0
    assert told.asked == ["SOA", "AXFR", "SOA"]


def test_a_zone_is_transferred_as_a_whole_once_a_week_whatever_its_differences_say(
    fed: Fed, told: Primary
) -> None:
    begin(fed, told)
    told.incremental = saying(*RIGHT)
    fed.at("2026-12-04T12:00:00+00:00")
    assert fed.run("import", "list").code == 0
    assert told.asked == ["SOA", "IXFR", "SOA"]
    later(fed, told, day=29)
    told.serial = 9
    fed.at("2026-12-05T12:00:00+00:00")
    assert fed.run("import", "list").code == 0
    assert told.asked == ["SOA", "AXFR", "SOA"]


@pytest.mark.parametrize("answer", [saying(*RIGHT), parted(*RIGHT)])
def test_a_difference_makes_the_orders_that_the_whole_zone_makes(
    fed: Fed, told: Primary, answer: Answer
) -> None:
    begin(fed, told)
    told.incremental = answer
    assert fed.run("import", "list").code == 0
    assert told.asked == ["SOA", "IXFR", "SOA"]
    assert told.held == [7]
    orders = fed.orders
    assert b"\nnew.example\n" in orders["2026-11-29-list-120000-new.added-alone.txt"]
    assert FIRST.encode() in orders["2026-11-29-list-120000.removed.txt"]
    assert again_whole(fed) == orders


def test_several_differences_are_taken_one_after_another(fed: Fed, told: Primary) -> None:
    begin(fed, told)
    later(fed, told, day=30)
    told.incremental = saying(
        *(soa(9), soa(7), block(FIRST), soa(8), block("passing.example"), f"{ZONE}. 30 IN TXT x"),
        *(soa(8), block("passing.example"), soa(9), block(NEW), soa(9)),
    )
    assert fed.run("import", "list").code == 0
    assert told.asked == ["SOA", "IXFR", "SOA"]
    by_difference = document(fed)
    held(fed).unlink()
    fed.run("import", "list")
    assert document(fed) == by_difference


def test_a_primary_may_answer_with_the_whole_zone(fed: Fed, told: Primary) -> None:
    begin(fed, told)
    told.incremental = told.whole
    assert fed.run("import", "list").code == 0
    assert told.asked == ["SOA", "IXFR", "SOA"]
    orders = fed.orders
    assert len(orders) > 3
    assert again_whole(fed) == orders


def test_a_primary_may_close_the_connection_after_a_transfer(fed: Fed, told: Primary) -> None:
    told.closes = True
    begin(fed, told)
    assert fed.run("import", "list").code == 0
    assert told.asked == ["SOA", "IXFR", "AXFR", "SOA"]


def test_a_version_that_is_held_is_not_transferred_again(fed: Fed, told: Primary) -> None:
    begin(fed, told)
    told.incremental = saying(*RIGHT)
    assert fed.run("import", "list", "--dry-run").code == 0
    told.asked.clear()
    assert fed.run("import", "list").code == 0
    assert told.asked == ["SOA", "SOA"]
    assert again_whole(fed) == fed.orders


def test_a_document_that_was_refused_is_a_base_and_no_import(fed: Fed, told: Primary) -> None:
    """What a list may lose at once is counted from the last import, not from the last transfer."""
    begin(fed, told)
    told.names = NAMES[:4]
    gone = [block(name) for name in NAMES[4:]]
    told.incremental = saying(soa(8), soa(7), *gone, soa(8), soa(8))
    before = fed.orders
    ran = fed.run("import", "list")
    assert ran.code == 2
    assert "feed-changed-too-much" in ran.err
    later(fed, told, day=30)
    told.names = NAMES[:3]
    told.incremental = saying(soa(9), soa(8), block(NAMES[3]), soa(9), soa(9))
    ran = fed.run("import", "list")
    assert (ran.code, told.held, fed.orders) == (2, [7, 8], before)
    assert "feed-changed-too-much: 7 names are gone at once" in ran.err
    digest = ran.err.partition("--accept ")[2].split()[0]
    held(fed).unlink()
    assert fed.run("import", "list", "--accept", digest, "--reason", "the same, whole").code == 0


DIFFERENCES: dict[str, Answer] = {
    "it does not know the type": refusing(dns.rcode.NOTIMP),
    "it can't read the question": refusing(dns.rcode.FORMERR),
    "it refuses": refusing(dns.rcode.REFUSED),
    "it has no difference": refusing(dns.rcode.SERVFAIL),
    "it closes": closing,
    "it closes within a length": cut(1, lambda _: b"\0\0"),
    "it closes within a message": cut(1, saying(*RIGHT)),
    "it closes within the last of many": cut(1, parted(*RIGHT)),
    "nothing": saying(),
    "it says no more, and waits": saying(*RIGHT[:-1]),
    "it has another id": lambda query: saying(*RIGHT)(renumbered(query)),
    "nothing newer": saying(soa(7)),
    "an older one": saying(soa(6)),
    "a newer one": saying(soa(9), soa(7), block(FIRST), soa(9), block(NEW), soa(9)),
    "no SOA record": saying(*RIGHT[1:]),
    "it begins elsewhere": saying(soa(8), soa(6), block(FIRST), soa(8), block(NEW), soa(8)),
    "it doesn't lead there": saying(soa(8), soa(7), block(FIRST), soa(9), block(NEW), soa(8)),
    "a gap": saying(soa(8), soa(7), soa(6), soa(5), block(FIRST), soa(8), block(NEW), soa(8)),
    "its end is another's": saying(*RIGHT[:-1], soa(9)),
    "more behind its end": saying(*RIGHT, block("more.example")),
    "it removes what isn't there": saying(
        soa(8), soa(7), block(FIRST), block("absent.example"), soa(8), soa(8)
    ),
    "it removes twice": saying(soa(8), soa(7), block(FIRST), block(FIRST), soa(8), soa(8)),
    "it removes another rule": saying(soa(8), soa(7), f"{FIRST}.{ZONE}. 30 IN A 192.0.2.1", soa(8), soa(8)),
    "it adds what is there": saying(soa(8), soa(7), soa(8), block(SECOND), soa(8)),
    "it adds twice": saying(soa(8), soa(7), soa(8), block(NEW), block(NEW), soa(8)),
    "it adds, once more than it removes": saying(
        *(soa(8), soa(7), soa(5), block(NEW), soa(5), block(NEW), soa(8), block(NEW), block(NEW), soa(8))
    ),
    "it is longer than the zone": saying(soa(8), *([soa(7)] * 200), *RIGHT[1:]),
    "a zone without a record": saying(soa(8), soa(8)),
    "half of the whole zone": cut(1, saying(soa(8), *map(block, CHANGED), soa(8))),
    "a whole zone with another's end": saying(soa(8), *map(block, CHANGED), soa(9)),
    "more behind the whole zone": saying(soa(8), *map(block, CHANGED), soa(8), block("more.example")),
}


def renumbered(query: dns.message.Message) -> dns.message.Message:
    query.id ^= 1
    return query


def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "ANSWER", 0.3)
    monkeypatch.setattr(transfer, "_MORE_OCTETS", 1000)


@pytest.mark.parametrize("answer", DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_a_difference_that_can_t_be_used_is_as_none(
    fed: Fed, told: Primary, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    short(monkeypatch)
    begin(fed, told)
    told.incremental = answer
    ran = fed.run("import", "list")
    assert (ran.code, ran.err) == (0, "not applied: see `blocker plan`, then `blocker apply`\n")
    assert told.asked == ["SOA", "IXFR", "AXFR", "SOA"]
    orders = fed.orders
    assert again_whole(fed) == orders


@pytest.mark.parametrize("answer", DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_a_difference_that_can_t_be_used_changes_nothing_if_the_zone_can_t_be_had(
    fed: Fed, told: Primary, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    short(monkeypatch)
    begin(fed, told)
    told.incremental, told.whole = answer, refusing(dns.rcode.REFUSED)
    nothing_happens(fed, "it refuses")


def nothing_happens(fed: Fed, said: str) -> Ran:
    before = fed.orders, held(fed).read_bytes()
    ran = fed.run("import", "list")
    assert (ran.code, (fed.orders, held(fed).read_bytes())) == (5, before)
    assert said in ran.err
    return ran


def spoilt(number: int) -> Answer:
    """A message for each record; one octet of this one's signature is another."""

    def answer(query: dns.message.Message) -> bytes:
        frames = [bytearray(one) for one in signed(query, [[one] for one in RIGHT])]
        frames[number][-10] ^= 1
        return b"".join(frames)

    return answer


def exchanged(number: int, record: str) -> Answer:
    """A message for each record; this one is another's, unsigned."""

    def answer(query: dns.message.Message) -> bytes:
        frames = signed(query, [[one] for one in RIGHT])
        plain = dns.message.make_response(dns.message.make_query(ZONE, "IXFR", id=query.id))
        plain.answer = parsed([record])
        frames[number] = framed(plain.to_wire())
        return b"".join(frames)

    return answer


def dropped(number: int) -> Answer:
    """A message for each record, but for this one."""

    def answer(query: dns.message.Message) -> bytes:
        frames = signed(query, [[one] for one in RIGHT])
        return b"".join([*frames[:number], *frames[number + 1 :]])

    return answer


def otherwise_signed(query: dns.message.Message) -> bytes:
    made = dns.message.make_response(query)
    made.answer = parsed(RIGHT)
    made.use_tsig(OTHER_KEYRING)
    return framed(made.to_wire())


def one_slipped_in(query: dns.message.Message) -> bytes:
    """Not each message is signed, and one of those that aren't is another's."""
    frames = partly_signed(query, [[one] for one in RIGHT], 100)
    plain = dns.message.make_response(dns.message.make_query(ZONE, "IXFR", id=query.id))
    plain.answer = parsed([block("slipped.example")])
    return b"".join([*frames[:4], framed(plain.to_wire()), *frames[5:]])


def unsigned_at_its_end(query: dns.message.Message) -> bytes:
    return b"".join(partly_signed(query, [*([one] for one in RIGHT), [soa(9)]], 100)[:-1])


UNTRUSTED: dict[str, Answer] = {
    "one of many unsigned ones": one_slipped_in,
    "an end without a signature": unsigned_at_its_end,
    "a hundred without a signature": seldom_signed(101, *LONG),
    **{f"a spoilt signature at {number}": spoilt(number) for number in range(len(RIGHT))},
    **{f"no signature at {number}": exchanged(number, RIGHT[number]) for number in range(len(RIGHT))},
    "a record slipped in": exchanged(4, block("slipped.example")),
    "a message left out": dropped(2),
    "another key": otherwise_signed,
    "rubbish": lambda _: framed(b"rubbish"),
    "another zone's": saying(soa(8), "a.gb.rpz. 30 IN CNAME ."),
}


@pytest.mark.parametrize("answer", UNTRUSTED.values(), ids=UNTRUSTED.keys())
def test_a_difference_that_is_not_rightly_signed_throughout_ends_the_import(
    fed: Fed, told: Primary, answer: Answer
) -> None:
    begin(fed, told)
    told.incremental = answer
    ran = nothing_happens(fed, f"{ZONE} at 127.0.0.1:{told.port}: its ")
    assert "trusted or read" in ran.err or "its transfer can't be read" in ran.err
    assert told.asked == ["SOA", "IXFR"]


@pytest.mark.parametrize("way", ["incremental", "whole"])
@pytest.mark.parametrize("is_before", [True, False])
def test_a_zone_that_changes_meanwhile_is_fetched_anew_next_time(
    fed: Fed, told: Primary, way: str, is_before: bool
) -> None:
    """What came is of no version that is known: not to be imported, and no base."""
    begin(fed, told)
    told.incremental = saying(*RIGHT) if way == "incremental" else told.incremental
    answer = getattr(told, way)

    def moving(query: dns.message.Message) -> bytes:
        said = b"" if is_before else answer(query)
        told.serial = 9
        return said or answer(query)

    setattr(told, way, moving)
    nothing_happens(fed, "it changed while it was transferred")


def other_place(octets: bytes) -> bytes:
    return octets.replace(b"127.0.0.1", b"192.0.2.53", 1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda octets: b"",
        lambda octets: octets[:-1],
        lambda octets: octets + b"x CNAME .\n",
        lambda octets: octets.replace(FIRST.encode(), b"casino-9.example"),
        lambda octets: octets.replace(b" 7 ", b" 6 "),
        lambda octets: b"rubbish\n" * 3,
        other_place,
    ],
)
def test_a_base_that_is_damaged_or_of_another_place_is_none(
    fed: Fed, told: Primary, damage: Callable[[bytes], bytes]
) -> None:
    begin(fed, told)
    told.incremental = saying(*RIGHT)
    octets = held(fed).read_bytes()
    assert damage(octets) != octets
    held(fed).write_bytes(damage(octets))
    ran = fed.run("import", "list")
    assert (ran.code, ran.err) == (0, "not applied: see `blocker plan`, then `blocker apply`\n")
    assert told.asked == ["SOA", "AXFR", "SOA"]
    orders = fed.orders
    assert again_whole(fed) == orders


def test_the_base_is_a_file_that_others_can_t_read_and_can_be_lost(
    fed: Fed, told: Primary, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(fed, told)
    assert stat.S_IMODE(held(fed).stat().st_mode) == 0o640
    told.incremental = saying(*RIGHT)
    before, write = held(fed).read_bytes(), aside.write

    def full(path: Path, octets: bytes) -> None:
        if path == held(fed):
            raise OSError(28, "No space left on device")
        write(path, octets)

    monkeypatch.setattr(aside, "write", full)
    assert fed.run("import", "list").code == 0
    assert held(fed).read_bytes() == before


def test_a_zone_larger_than_any_order_may_be_is_none(
    fed: Fed, told: Primary, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(fed, told)
    monkeypatch.setattr(transfer, "MAX_LIST_OCTETS", 100)
    for answer in (saying(*RIGHT), told.whole):
        told.incremental = answer
        nothing_happens(fed, "the zone is larger than 512 MiB as text")


def test_another_primary_with_the_same_serial_is_transferred_and_what_differs_is_told(
    fed: Fed, told: Primary
) -> None:
    begin(fed, told)
    assert fed.run("import", "--poll").code == 0
    with primary() as other:
        other.serial, other.names = told.serial, (*CHANGED, "other.example")
        source = f'{{primary: "127.0.0.1:{other.port}", zone: {ZONE}, key: feed.key}}'
        fed.feed("axfr", source=source, more="    max_change: 0.5\n")
        fed.at("2026-12-01T12:00:00+00:00")
        ran = fed.run("import", "--poll")
        assert (ran.code, "feed-same-edition: " in ran.err) == (2, True)
        assert other.asked == ["SOA", "AXFR", "SOA"]
