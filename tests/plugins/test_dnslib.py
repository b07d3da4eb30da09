"""The dnslib guest, inside real dnslib servers."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dnslib
import pytest
from dnslib.server import BaseResolver, DNSLogger, DNSServer

from blocker.errors import StoreError
from blocker.plugins import dnslib as plugin
from blocker.resolver import wire
from tests.resolver import live
from tests.resolver.world import INFO, T0, block, policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GROK = block("grok.example", ident="court/grok")


class Zone(BaseResolver):  # type: ignore[misc]  # dnslib has no types
    """A fallback that knows four names."""

    def resolve(self, request: dnslib.DNSRecord, handler: Any) -> dnslib.DNSRecord:
        reply = request.reply()
        name = str(request.q.qname)
        if name == "crash.example.":
            raise RuntimeError("a bug in the fallback")
        if name == "alias.example.":
            reply.add_answer(*dnslib.RR.fromZone("alias.example. 300 IN CNAME www.grok.example."))
            reply.add_answer(*dnslib.RR.fromZone("www.grok.example. 300 IN A 192.0.2.66"))
        elif name == "big.example." and handler.protocol == "udp":
            reply.header.tc = 1
        else:
            reply.add_answer(*dnslib.RR.fromZone(f"{name} 7200 IN A 192.0.2.9"))
        return reply


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[int, int]]]:
    """Starts a UDP and a TCP server for a resolver; the ports."""
    begun: list[DNSServer] = []

    def start(resolver: BaseResolver) -> tuple[int, int]:
        ports = []
        for tcp in (False, True):
            server = DNSServer(resolver, address="127.0.0.1", port=0, tcp=tcp, logger=DNSLogger("-"))
            # As start_thread, but quick to stop.
            threading.Thread(target=server.server.serve_forever, args=(0.01,), daemon=True).start()
            begun.append(server)
            ports.append(server.server.server_address[1])
        return ports[0], ports[1]

    yield start
    for server in begun:
        server.server.shutdown()
        server.server.server_close()


def asked(ports: tuple[int, int], qname: str, *, tcp: bool, **options: Any) -> dns.message.Message:
    query = dns.message.make_query(qname, "A", use_edns=0, **options)
    if tcp:
        return dns.query.tcp(query, "127.0.0.1", port=ports[1], timeout=5)
    return dns.query.udp(query, "127.0.0.1", port=ports[0], timeout=5)


@pytest.mark.parametrize("tcp", [False, True])
def test_blocked_names_are_blocked_with_their_reason_and_others_come_from_the_fallback(
    serve: Callable[..., tuple[int, int]], tcp: bool
) -> None:
    ports = serve(plugin.Resolver(policy(GROK), fallback=Zone(), clock=lambda: T0))
    said = asked(ports, "www.GROK.example", tcp=tcp)
    assert said.rcode() == dns.rcode.NXDOMAIN
    (found,) = (option for option in said.options if isinstance(option, dns.edns.EDEOption))
    assert (found.code, found.text) == (16, f"court/grok/d {INFO}")
    said = asked(ports, "free.example", tcp=tcp)
    assert said.answer[0].to_text() == "free.example. 3600 IN A 192.0.2.9"


@pytest.mark.parametrize("tcp", [False, True])
def test_an_alias_of_a_blocked_name_is_blocked(serve: Callable[..., tuple[int, int]], tcp: bool) -> None:
    said = asked(
        serve(plugin.Resolver(policy(GROK), fallback=Zone(), clock=lambda: T0)), "alias.example", tcp=tcp
    )
    assert said.rcode() == dns.rcode.NXDOMAIN
    assert len(said.answer) == 1


def test_a_failing_fallback_or_none_is_servfail(serve: Callable[..., tuple[int, int]]) -> None:
    ports = serve(plugin.Resolver(policy(GROK), fallback=Zone(), clock=lambda: T0))
    assert asked(ports, "crash.example", tcp=False).rcode() == dns.rcode.SERVFAIL
    ports = serve(plugin.Resolver(policy(GROK), clock=lambda: T0))
    assert asked(ports, "free.example", tcp=False).rcode() == dns.rcode.SERVFAIL


def test_a_truncated_answer_of_the_fallback_stays_so_and_the_client_comes_back_over_tcp(
    serve: Callable[..., tuple[int, int]],
) -> None:
    ports = serve(plugin.Resolver(policy(GROK), fallback=Zone(), clock=lambda: T0))
    said = asked(ports, "big.example", tcp=False)
    assert said.flags & dns.flags.TC
    assert said.answer == []
    said = asked(ports, "big.example", tcp=True)
    assert not said.flags & dns.flags.TC
    assert len(said.answer) == 1


def test_a_failing_policy_is_servfail(serve: Callable[..., tuple[int, int]]) -> None:
    index = policy(GROK)
    index._sets.clear()
    assert asked(serve(plugin.Resolver(index, clock=lambda: T0)), "grok.example", tcp=False).rcode() == 2


def test_a_stranger_is_refused(serve: Callable[..., tuple[int, int]]) -> None:
    ports = serve(plugin.Resolver(policy(GROK), fallback=Zone(), allow=(), clock=lambda: T0))
    assert asked(ports, "free.example", tcp=False).rcode() == dns.rcode.REFUSED


def test_nsid_as_the_last_option_is_seen_over_udp(serve: Callable[..., tuple[int, int]]) -> None:
    ports = serve(plugin.Resolver(policy(GROK), node="n7", clock=lambda: T0))
    nsid = dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")
    said = asked(ports, "grok.example", tcp=False, options=[nsid])
    assert b"n7" in [option.to_wire() for option in said.options]


def test_a_response_gets_no_answer() -> None:
    handler = type("Handler", (), {"protocol": "udp", "client_address": ("127.0.0.1", 1)})()
    packet = dns.message.make_response(dns.message.make_query("grok.example", "A")).to_wire()
    handler.request = (packet, None)
    with pytest.raises(dnslib.DNSError, match="no answer"):
        plugin.Resolver(policy(GROK)).resolve(dnslib.DNSRecord.parse(packet), handler)


def test_a_reply_that_dnslib_cannot_read_still_packs_to_its_octets() -> None:
    octets = (
        wire.pack_header(7, wire.QR, (1, 1, 0, 0))
        + b"\x04free\0\0\x01\0\x01"
        + b"\0\0\x01\0\x01\0\0\0\0\0\x09x"
    )
    made = plugin.Reply.of(octets)
    assert made.pack() == octets
    assert made.header.id == 7


def test_an_apply_shows_at_the_next_query(tmp_path: Path, serve: Callable[..., tuple[int, int]]) -> None:
    now = time.time()
    first = block("grok.example", start=now - 10, until=now + 1000)
    live.store(tmp_path, first)
    ports = serve(plugin.Resolver(tmp_path, fallback=Zone()))
    assert asked(ports, "grok.example", tcp=False).rcode() == dns.rcode.NXDOMAIN
    assert asked(ports, "new.example", tcp=True).rcode() == 0
    second = f"block('new.example', ident='court/o2', start={now - 10})"
    first_too = f"block('grok.example', start={now - 10}, until={now + 1000})"
    applying = f"live.store(pathlib.Path({str(tmp_path)!r}), {first_too}, {second}, number=2)"
    modules = "import pathlib; from tests.resolver import live; from tests.resolver.world import block"
    # Another process, as in life: one process can't open a store twice.
    subprocess.run([sys.executable, "-c", f"{modules}; {applying}"], check=True)
    assert asked(ports, "new.example", tcp=True).rcode() == dns.rcode.NXDOMAIN


def test_queries_from_many_threads_do_not_disturb_each_other(serve: Callable[..., tuple[int, int]]) -> None:
    resolver = plugin.Resolver(policy(GROK), fallback=Zone(), clock=lambda: T0)
    wrong: list[str] = []

    def work(number: int) -> None:
        for turn in range(50):
            qname = f"{'www.grok' if turn % 2 else 'free'}.example"
            packet = dns.message.make_query(qname, "A").to_wire()
            handler = type("Handler", (), {"protocol": "udp", "client_address": ("127.0.0.1", 1)})()
            handler.request = (packet, None)
            made = resolver.resolve(dnslib.DNSRecord.parse(packet), handler).pack()
            if made[:2] != packet[:2] or made[3] & 0xF != (3 if turn % 2 else 0):
                wrong.append(f"{number} {qname}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("qname", ["\\200.grok.example", "\\200.free.example"])
def test_a_name_that_dnslib_cannot_read_gets_no_answer_blocked_or_free_as_the_docstring_says(
    serve: Callable[..., tuple[int, int]], qname: str
) -> None:
    ports = serve(plugin.Resolver(policy(GROK), fallback=Zone(), clock=lambda: T0))
    with pytest.raises(EOFError):
        asked(ports, qname, tcp=True)
    assert "octets that are no UTF-8, blocked or free" in (plugin.__doc__ or "")


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=re.escape(str(tmp_path))):
        plugin.Resolver(tmp_path)


def test_the_docstrings_example_runs_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[..., tuple[int, int]]
) -> None:
    now = time.time()
    live.store(tmp_path / "state", block("grok.example", start=now - 10, until=now + 1000))
    upstream = live.Upstream()
    monkeypatch.chdir(tmp_path)
    assert plugin.__doc__ is not None
    example = "\n".join(line[4:] for line in plugin.__doc__.splitlines() if line.startswith("    "))
    example = example.replace('"192.0.2.53", 53', f'"127.0.0.1", {upstream.endpoint.port}').replace(
        "5301", "0"
    )
    begun: list[Any] = []

    class Kept(DNSServer):  # type: ignore[misc]  # dnslib has no types
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named, logger=DNSLogger("-"))
            begun.append(self)

    monkeypatch.setattr("dnslib.server.DNSServer", Kept)
    exec(compile(example, "docstring", "exec"), {})
    try:
        ports = (begun[0].server.server_address[1], begun[1].server.server_address[1])
        assert asked(ports, "grok.example", tcp=False).rcode() == dns.rcode.NXDOMAIN
        assert asked(ports, "free.example", tcp=False).answer[0].to_text().endswith("192.0.2.9")
        assert asked(ports, "grok.example", tcp=True).rcode() == dns.rcode.NXDOMAIN
    finally:
        for server in begun:
            server.stop()
            server.server.server_close()
        upstream.close()
