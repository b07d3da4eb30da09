"""The purger's commands, given to the real control tools."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.query
import dns.rcode

from blocker import names
from blocker.fleet import purge
from blocker.fleet.purger import Purger, control
from blocker.site import Endpoint, Point
from tests.fleet.test_purger import settle
from tests.policy.child import Child
from tests.resolver import live
from tests.resolver.world import block
from tests.servers import bind_lab, powerdns_lab, unbound_lab, zone_lab
from tests.servers.authority import TTL, authority

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Names that a control tool could take for something else, and the root with all below it.
ODD = [names.to_key(name) for name in ("-x.example", "_a.example", "n" * 63 + ".example")] + [names.ROOT]


def point(kind: str, by: str, tool: Sequence[str]) -> Point:
    return Point(
        name="p1", kind=kind, by=by, address=Endpoint("127.0.0.1", 53), region="ID", control=tuple(tool)
    )


def takes(kind: str, by: str, tool: Sequence[str]) -> list[str]:
    """How the tool refused each name."""
    made = [purge.WAYS[kind, by].tree([purge.word(key)]) for key in ODD]

    async def main() -> list[str]:
        return [await control(tool, words) for words in made]

    return [why for why in asyncio.run(main()) if why]


def test_unbound_takes_every_name(tmp_path: Path) -> None:
    live.store(tmp_path / "state", block("a.example"))
    with (
        authority() as found,
        unbound_lab.unbound(tmp_path / "unbound", tmp_path / "state", found.port, region="ID") as running,
    ):
        assert takes("unbound", "module", running.control) == []


def test_bind_takes_every_name(tmp_path: Path) -> None:
    with bind_lab.primary(tmp_path / "primary") as running:
        assert takes("bind", "rpz", running.control) == []


def test_powerdns_takes_every_name(tmp_path: Path) -> None:
    zonefile = tmp_path / f"{zone_lab.ZONE}.zone"
    zone_lab.replace(zonefile, 1, "bad.example CNAME .")
    with authority() as found, powerdns_lab.powerdns(tmp_path / "p", found.port, zonefile) as running:
        assert takes("powerdns", "rpz", running.control) == []


def test_a_start_learnt_of_shortly_before_it_shortens_what_unbound_has_cached(tmp_path: Path) -> None:
    state = tmp_path / "state"
    soon = int(time.time()) + 600
    live.store(state, block("other.example"))
    late = block("-cached.example", ident="court/o2", start=soon, until=soon + 10**6)
    apply = Child(lambda: live.store(state, block("other.example"), late, number=2))
    with (
        authority() as found,
        unbound_lab.unbound(tmp_path / "unbound", state, found.port, region="ID") as running,
    ):
        purger = Purger([point("unbound", "module", running.control)], state, lambda: None)
        purger.step()
        settle(purger.caches)

        def ttl() -> int:
            query = dns.message.make_query("-cached.example", "A")
            return dns.query.udp(query, "127.0.0.1", port=running.port, timeout=5).answer[0].ttl

        assert ttl() > TTL - 60
        assert apply.go() == "None"
        assert ttl() > 600, "the cache answers, whatever the policy"
        purger.step()
        settle(purger.caches)
        assert ttl() < 600


def test_many_names_at_once_take_all_below_them_and_of_every_type_out_of_unbound(tmp_path: Path) -> None:
    state = tmp_path / "state"
    since, until = int(time.time()) - 5, int(time.time()) + 10**6
    many = [f"n{number}.example" for number in range(purge.ZONES + 1)]
    other = block("other.example", start=since - 7200, until=until)
    apply = Child(
        lambda: live.store(state, other, block(*many, ident="court/o2", start=since, until=until), number=2)
    )
    live.store(state, other)
    with (
        authority() as found,
        unbound_lab.unbound(tmp_path / "unbound", state, found.port, region="ID") as running,
    ):
        purger = Purger([point("unbound", "module", running.control)], state, lambda: None)
        purger.step()
        settle(purger.caches)

        def blocked() -> set[bool]:
            questions = [
                dns.message.make_query(f"{below}{name}", rdtype)
                for name in many
                for below in ("", "www.", "deep.api.")
                for rdtype in ("A", "HTTPS", "CAA")
            ]
            answers = [dns.query.udp(one, "127.0.0.1", port=running.port, timeout=5) for one in questions]
            return {one.rcode() == dns.rcode.NXDOMAIN for one in answers}

        assert blocked() == {False}
        assert apply.go() == "None"
        purger.step()
        settle(purger.caches)
        assert blocked() == {True}
