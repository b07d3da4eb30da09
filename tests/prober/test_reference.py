from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from blocker.prober.reference import Reference, _of_the_host, endpoints
from blocker.site import Endpoint, Point, ProberConfig, ResolverConfig
from tests.prober.world import A, answer, key, real, serving, site

if TYPE_CHECKING:
    from pathlib import Path

    import dns.message

    from blocker.prober.observe import Reply

NAME = key("shop.example")
ONE, TWO = Endpoint("192.0.2.1", 53), Endpoint("192.0.2.2", 53)


def ask(*scripts: Any, times: int = 1) -> tuple[Reply | None, int]:
    """The last reply, and how many queries the first server saw."""

    async def main() -> tuple[Reply | None, int]:
        async with serving(scripts[0]) as first, serving(scripts[-1]) as second:
            reference = Reference([first.endpoint, second.endpoint], timeout=0.2)
            for _ in range(times):
                reply = await reference.ask(NAME, A)
            return reply, len(first.asked)

    return asyncio.run(main())


def failing(query: dns.message.Message) -> dns.message.Message:
    return answer(query, rcode=2)


def test_the_reference_is_asked_once_for_the_same_question() -> None:
    reply, asked = ask(real, times=3)
    assert reply is not None
    assert reply.data_of(A)
    assert asked == 1


def censoring(query: dns.message.Message) -> dns.message.Message:
    return answer(query, rcode=3, ede=(16,))


@pytest.mark.parametrize("script", [failing, censoring, lambda _: None], ids=["fails", "blocks", "silent"])
def test_a_reference_that_does_not_know_is_passed_over(script: Any) -> None:
    reply, _ = ask(script, real)
    assert reply is not None
    assert reply.data_of(A)


def test_if_no_reference_knows_its_failure_is_what_there_is() -> None:
    reply, _ = ask(failing)
    assert reply is not None
    assert reply.rcode == 2


def test_without_any_answer_there_is_no_reference() -> None:
    assert ask(lambda _: None)[0] is None


def test_a_cut_off_answer_is_asked_for_over_tcp() -> None:
    def script(query: dns.message.Message) -> bytes:
        wire = bytearray(real(query).to_wire())
        if not script.asked:  # type: ignore[attr-defined]  # a function with a memory
            wire[2] |= 0x02
            script.asked = True  # type: ignore[attr-defined]  # as above
        return bytes(wire)

    script.asked = False  # type: ignore[attr-defined]  # as above
    reply, asked = ask(script)
    assert reply is not None
    assert not reply.is_truncated
    assert asked == 2


def test_the_sites_own_choice_comes_before_upstreams_and_host(tmp_path: Path) -> None:
    here = site(tmp_path, reference=(ONE,))
    assert endpoints(here) == (ONE,)
    here = replace(here, prober=ProberConfig(), resolver=ResolverConfig(upstreams=(TWO,)))
    assert endpoints(here) == (TWO,)


def test_no_point_vouches_for_itself(tmp_path: Path) -> None:
    point = Point(name="p", kind="embedded", address=ONE, region="ID")
    here = site(tmp_path, point, reference=(ONE, TWO))
    assert endpoints(replace(here, resolver=ResolverConfig(listen=(TWO,)))) == ()


def test_the_hosts_resolvers_come_last_and_may_be_missing(tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 192.0.2.1\nnameserver 192.0.2.2\n")
    assert _of_the_host(conf) == (ONE, TWO)
    assert _of_the_host(tmp_path / "missing") == ()


def test_a_site_that_names_nobody_asks_the_hosts_resolvers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blocker.prober.reference._of_the_host", lambda: (ONE, TWO))
    point = Point(name="p", kind="embedded", address=ONE, region="ID")
    assert endpoints(replace(site(tmp_path, point), prober=None)) == (TWO,)


def test_after_total_silence_nobody_is_asked_for_a_while() -> None:
    async def main() -> int:
        async with serving(lambda _: None) as server:
            reference = Reference([server.endpoint], timeout=0.1)
            for at in range(5):
                assert await reference.ask(key(f"x{at}.example"), A) is None
            return len(server.asked)

    assert asyncio.run(main()) == 3


def test_one_name_that_nobody_answers_keeps_no_other_from_being_asked_for() -> None:
    def script(query: Any) -> Any:
        return None if "dead" in query.question[0].name.to_text() else real(query)

    async def main() -> bool:
        async with serving(script) as server:
            reference = Reference([server.endpoint], timeout=0.1)
            for at in range(5):
                assert await reference.ask(key(f"dead{at}.example"), A) is None
                if await reference.ask(key(f"x{at}.example"), A) is None:
                    return False
            return True

    assert asyncio.run(main())


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocker.prober.reference._KEPT", 2)

    async def main() -> int:
        async with serving(real) as server:
            reference = Reference([server.endpoint])
            for name in ("a.example", "b.example", "c.example", "a.example"):
                await reference.ask(key(name), A)
            return len(server.asked)

    assert asyncio.run(main()) == 4
