from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from blocker.prober.observe import OVER_TCP, PLAIN, Observation, Outcome, Variant
from blocker.prober.transports import probe
from blocker.site import Endpoint, Point
from tests.prober.world import A, answer, key, real, serving

if TYPE_CHECKING:
    import dns.message

NAME = key("www.shop.example")


def at(endpoint: Endpoint) -> Point:
    return Point(name="p1", kind="embedded", address=endpoint, region="ID")


def ask(script: Any, variant: Variant = PLAIN, **more: Any) -> Observation:
    async def main() -> Observation:
        async with serving(script) as server:
            return await probe(at(server.endpoint), (NAME, A), variant, **{"timeout": 2.0, **more})

    return asyncio.run(main())


@pytest.mark.parametrize("variant", [PLAIN, OVER_TCP], ids=str)
def test_an_answer_is_observed_with_its_times(variant: Variant) -> None:
    seen = ask(real, variant)
    assert seen.outcome is Outcome.ANSWERED
    assert seen.reply is not None
    assert seen.reply.data_of(A)
    assert seen.received is not None
    assert seen.latency is not None
    assert 0 <= seen.latency < 2
    assert (seen.point, seen.variant, seen.name, seen.qtype) == ("p1", variant, NAME, A)


@pytest.mark.parametrize("variant", [PLAIN, OVER_TCP], ids=str)
def test_silence_is_observed_as_such(variant: Variant) -> None:
    seen = ask(lambda _: None, variant, timeout=0.1)
    assert (seen.outcome, seen.reply, seen.received) == (Outcome.SILENT, None, None)


@pytest.mark.parametrize("variant", [PLAIN, OVER_TCP], ids=str)
def test_a_closed_port_is_unreachable(variant: Variant) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as holder:
        holder.bind(("127.0.0.1", 0))  # Bound and not listening: nobody else gets the port meanwhile.
        endpoint = Endpoint("127.0.0.1", holder.getsockname()[1])
        seen = asyncio.run(probe(at(endpoint), (NAME, A), variant, timeout=2.0))
    assert seen.outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize("variant", [PLAIN, OVER_TCP], ids=str)
def test_answers_to_something_else_are_counted_and_the_right_one_is_taken(variant: Variant) -> None:
    def script(query: dns.message.Message) -> list[bytes]:
        right = real(query).to_wire()
        wrong_id = bytes([right[0] ^ 1]) + right[1:]
        wrong_name = right.replace(b"\x04shop", b"\x04ship")
        return [wrong_id, wrong_name, b"\0", b"noise", right[:20], right]

    seen = ask(script, variant)
    assert seen.outcome is Outcome.ANSWERED
    assert (seen.mismatched, seen.malformed) == (2, 3)


@pytest.mark.parametrize("variant", [PLAIN, OVER_TCP], ids=str)
def test_a_flood_of_noise_is_bounded(variant: Variant) -> None:
    seen = ask(lambda _: [b"noise"] * 500, variant, timeout=2.0)
    assert seen.reply is None
    assert 0 < seen.malformed <= 500


def test_a_flood_of_answers_is_bounded_while_another_is_waited_for() -> None:
    seen = ask(lambda query: [real(query).to_wire()] * 500, linger=0.5)
    assert len(seen.arrivals) == 64


def test_a_later_contradicting_answer_is_noted() -> None:
    def script(query: dns.message.Message) -> list[bytes]:
        return [answer(query, rcode=3).to_wire(), real(query).to_wire()]

    seen = ask(script, linger=0.1)
    assert seen.reply is not None
    assert seen.reply.rcode == 3
    assert seen.differing == 1


def test_a_duplicate_contradicts_nothing() -> None:
    assert ask(lambda query: [real(query).to_wire()] * 3, linger=0.1).differing == 0


def test_every_probe_has_its_own_source_port_and_id() -> None:
    idents: list[int] = []

    def script(query: dns.message.Message) -> dns.message.Message:
        idents.append(query.id)
        return real(query)

    async def main() -> None:
        async with serving(script) as server:
            question = (NAME, A)
            await asyncio.gather(*(probe(at(server.endpoint), question) for _ in range(30)))

    asyncio.run(main())
    assert len(set(idents)) > 25


def test_a_tcp_answer_cut_off_by_a_close_is_unreachable() -> None:
    async def main() -> Observation:
        async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(b"\x00\x50abc")
            writer.close()

        listening = await asyncio.start_server(cut, "127.0.0.1", 0)
        endpoint = Endpoint(*listening.sockets[0].getsockname())
        async with listening:
            return await probe(at(endpoint), (NAME, A), OVER_TCP, timeout=2.0)

    assert asyncio.run(main()).outcome is Outcome.UNREACHABLE
