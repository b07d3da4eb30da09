"""The policy in a real dnsdist, configured as in ops/, before a resolver that knows every name."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from blocker.orders.model import Action, Form, Kind, Match
from blocker.plugins.dnsdist import FILE, Dnsdist
from blocker.plugins.dnsdist_config import MOST_REGIONS
from blocker.policy.reader import Reader
from blocker.site import Enforcement
from tests.policy.strategies import EPOCH, directive, order
from tests.policy.test_writer import commit
from tests.servers import dnsdist_lab, lab
from tests.servers.authority import ADDRESS, authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blocker.orders.model import Order
    from blocker.site import Network
    from tests.servers.authority import Authority
    from tests.servers.conftest import Lab
    from tests.servers.dnsdist_lab import Running

INFO = "https://isp.example/blocked"
SITE = Enforcement(
    regions={
        "ID": (ip_network("127.0.1.0/24"),),
        "ID-JK": (ip_network("127.0.1.128/25"),),
        "XB": (ip_network("127.0.2.0/24"),),
    },
    default_region="GB",
    ttl=20,
    max_ttl=600,
    info_url=INFO,
)
ID, JAKARTA, XB, ELSEWHERE = "127.0.1.1", "127.0.1.200", "127.0.2.1", "127.0.0.1"


@dataclass
class World:
    """dnsdist in front of an authority, and what it takes to give it a policy."""

    state: Path
    dnsdist: Running
    authority: Authority
    digest: str = ""
    target: Dnsdist = field(init=False)

    def __post_init__(self) -> None:
        self.target = Dnsdist(self.state)

    def apply(self, *orders: Order, at: int = EPOCH) -> int:
        """Apply the orders and push what holds at an instant; the rows that changed."""
        self.digest = commit(self.state, orders, base=self.digest)
        return self.push(at)

    def push(self, at: int) -> int:
        reader = Reader(self.state)
        try:
            with reader.snapshot() as policy:
                return self.target.send(self.target.prepare(policy, at))
        finally:
            reader.close()

    def ask(
        self,
        name: str,
        rdtype: str = "A",
        *,
        source: str = ID,
        edns: int = 0,
        payload: int = 1232,
        dnssec: bool = False,
        tcp: bool = False,
    ) -> dns.message.Message:
        """One question; an `edns` of -1 asks without."""
        query = dns.message.make_query(name, rdtype, use_edns=edns, payload=payload, want_dnssec=dnssec)
        if tcp:
            answer = dns.query.tcp(query, "127.0.0.1", 3, self.dnsdist.port, source=source)
        else:
            answer = dns.query.udp(query, "127.0.0.1", 3, self.dnsdist.port, source=source)
        assert answer.question == query.question
        return answer


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("dnsdist")
    with pytest.MonkeyPatch.context() as patched, authority() as behind:
        patched.setattr("tests.policy.test_writer.SITE", SITE)
        with dnsdist_lab.dnsdist(folder / "lab", folder / "state", SITE, behind.port) as running:
            made = World(folder / "state", running, behind)
            yield made
            made.target.close()


def explained(answer: dns.message.Message) -> dict[int, str]:
    return {int(one.code): one.text or "" for one in answer.options if isinstance(one, dns.edns.EDEOption)}


def said(answer: dns.message.Message) -> str:
    """The rcode, and the addresses or NODATA."""
    code = dns.rcode.to_text(answer.rcode())
    if code != "NOERROR":
        return code
    addresses = sorted(record.to_text() for rrset in answer.answer for record in rrset)
    return " ".join(addresses) or "NODATA"


def shows(world: World, name: str, expected: str) -> bool:
    return said(world.ask(name)) == expected


TO = Action(
    form=Form.REDIRECT, addresses=tuple(map(ip_address, ("198.51.100.7", "198.51.100.8", "2001:db8::7")))
)
TO4 = Action(form=Form.REDIRECT, addresses=(ip_address("198.51.100.9"),))
TABLE = [
    order("t/nx", directives=(directive("d", "nx.example"),)),
    order("t/nodata", directives=(directive("d", "nodata.example", action=Action(form=Form.NODATA)),)),
    order("t/refused", directives=(directive("d", "refused.example", action=Action(form=Form.REFUSED)),)),
    order("t/to", directives=(directive("d", "to.example", action=TO),)),
    order("t/to4", directives=(directive("d", "to4.example", action=TO4),)),
    order("t/exact", directives=(directive("d", "exact.example", match=Match.EXACT),)),
    order("t/below", directives=(directive("d", "*.below.example"),)),
    order("t/holes", directives=(directive("d", "holes.example", excepts=["b.a.holes.example"]),)),
    order("t/inner", directives=(directive("d", "in.nx.example", action=Action(form=Form.REFUSED)),)),
    order("t/jk", directives=(directive("d", "jk.example", regions=("ID-JK",)),)),
    order("t/xb", directives=(directive("d", "nx.example", regions=("XB",), action=TO4),)),
    order("t/gb", directives=(directive("d", "gb.example", regions=("GB",)),)),
]


@pytest.fixture(scope="module")
def table(world: World) -> World:
    world.apply(*TABLE)
    return world


@pytest.mark.parametrize(
    ("name", "rdtype", "expected"),
    [
        ("nx.example", "A", "NXDOMAIN"),
        ("www.nx.example", "TXT", "NXDOMAIN"),
        ("a.b.c.d.nx.example", "AAAA", "NXDOMAIN"),
        ("nx.example", "DS", "NXDOMAIN"),
        ("notnx.example", "A", ADDRESS),
        ("example", "A", ADDRESS),
        (".", "A", ADDRESS),
        ("in.nx.example", "A", "REFUSED"),
        ("x.in.nx.example", "A", "REFUSED"),
        ("nodata.example", "HTTPS", "NODATA"),
        ("www.nodata.example", "A", "NODATA"),
        ("refused.example", "A", "REFUSED"),
        ("refused.example", "ANY", "REFUSED"),
        ("to.example", "A", "198.51.100.7 198.51.100.8"),
        ("to.example", "AAAA", "2001:db8::7"),
        ("x.to.example", "HTTPS", "NODATA"),
        ("to.example", "TXT", "NODATA"),
        ("to.example", "ANY", "NODATA"),
        ("to4.example", "A", "198.51.100.9"),
        ("to4.example", "AAAA", "NODATA"),
        ("exact.example", "A", "NODATA"),
        ("www.exact.example", "A", ADDRESS),
        ("below.example", "A", ADDRESS),
        ("www.below.example", "A", "NXDOMAIN"),
        ("holes.example", "A", "NODATA"),
        ("a.holes.example", "A", "NODATA"),
        ("b.a.holes.example", "A", ADDRESS),
        ("x.b.a.holes.example", "A", ADDRESS),
        ("c.holes.example", "A", "NXDOMAIN"),
        ("jk.example", "A", ADDRESS),
        ("gb.example", "A", ADDRESS),
    ],
)
def test_every_name_and_type_is_answered_as_ordered(
    table: World, name: str, rdtype: str, expected: str
) -> None:
    for tcp in (False, True):
        if not (tcp and expected == ADDRESS):  # The authority speaks UDP alone.
            assert said(table.ask(name, rdtype, tcp=tcp)) == expected


@pytest.mark.parametrize("rdtype", ["DS", "DNSKEY"])
@pytest.mark.parametrize("name", ["exact.example", "a.holes.example"])
def test_where_names_below_are_free_ds_and_dnskey_pass(table: World, name: str, rdtype: str) -> None:
    before = table.authority.asked[name]
    assert not explained(table.ask(name, rdtype))
    assert table.authority.asked[name] > before


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        (ID, "nx.example", "NXDOMAIN"),
        (JAKARTA, "nx.example", "NXDOMAIN"),
        (JAKARTA, "jk.example", "NXDOMAIN"),
        (XB, "nx.example", "198.51.100.9"),
        (XB, "jk.example", ADDRESS),
        (ELSEWHERE, "nx.example", ADDRESS),
        (ELSEWHERE, "gb.example", "NXDOMAIN"),
    ],
)
def test_a_client_is_in_the_region_of_its_longest_prefix(
    table: World, source: str, name: str, expected: str
) -> None:
    assert said(table.ask(name, source=source)) == expected


def proxied(port: int, name: str, client: str) -> str:
    """What dnsdist says to a proxy that asks for an IPv6 client (PROXY protocol, version 2)."""
    query = dns.message.make_query(name, "A")
    addresses = ip_address(client).packed + ip_address("::1").packed
    head = b"\r\n\r\n\0\r\nQUIT\n\x21\x22" + struct.pack("!H", 36) + addresses + struct.pack("!HH", 40000, 53)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        sock.bind(("127.0.0.2", 0))
        sock.sendto(head + query.to_wire(), ("127.0.0.1", port))
        return said(dns.message.from_wire(sock.recv(4096)))


PROXY = 'setProxyProtocolACL({"127.0.0.2/32"})\nsetACL({"0.0.0.0/0", "::/0"})\n'
WIDE = {"XB": (ip_network("::/0"), ip_network("198.51.100.0/24")), "GB": (ip_network("192.0.2.0/24"),)}


@pytest.mark.parametrize("regions", [WIDE, {**WIDE, "ID": (ip_network("0.0.0.0/0"),)}])
@pytest.mark.parametrize("default", [None, "GB", "XB"])
def test_a_client_that_carries_an_ipv4_address_is_in_the_region_of_that_one(
    tmp_path: Path, regions: dict[str, tuple[Network, ...]], default: str | None
) -> None:
    site = Enforcement(regions=regions, default_region=default)
    to = {region: f"203.0.113.{number}" for number, region in enumerate(("ID", "GB", "XB"), 1)}
    orders = [
        order(
            f"t/{region.lower()}",
            directives=(
                directive(
                    "d",
                    "nx.example",
                    regions=(region,),
                    action=Action(form=Form.REDIRECT, addresses=(ip_address(address),)),
                ),
            ),
        )
        for region, address in to.items()
    ]
    clients = ("2001:db8::1", *(f"::ffff:{one}" for one in ("203.0.113.1", "192.0.2.1", "198.51.100.1")))
    with pytest.MonkeyPatch.context() as patched, authority() as behind:
        patched.setattr("tests.policy.test_writer.SITE", site)
        lab_, state = tmp_path / "lab", tmp_path / "state"
        with dnsdist_lab.dnsdist(lab_, state, site, behind.port, after=PROXY) as running:
            made = World(state, running, behind)
            made.apply(*orders)
            found = {client: proxied(running.port, "nx.example", client) for client in clients}
            made.target.close()
    expected = {client: site.region_of(client) for client in clients}
    assert found == {client: to[one] if one else ADDRESS for client, one in expected.items()}


@pytest.mark.parametrize(
    ("name", "rdtype", "edes"),
    [
        ("www.nx.example", "A", {16: f"t/nx/d {INFO}"}),
        ("nodata.example", "A", {16: f"t/nodata/d {INFO}"}),
        ("in.nx.example", "A", {16: f"t/inner/d t/nx/d {INFO}"}),
        ("to.example", "A", {16: f"t/to/d {INFO}", 4: ""}),
        ("to.example", "TXT", {16: f"t/to/d {INFO}"}),
        ("free.example", "A", {}),
    ],
)
def test_a_blocked_answer_says_which_order_is_the_reason(
    table: World, name: str, rdtype: str, edes: dict[int, str]
) -> None:
    for tcp in (False, True):
        if not tcp or edes:
            found = explained(table.ask(name, rdtype, tcp=tcp))
            # From 1.9 on dnsdist says one of them by itself, and no more.
            assert found == edes or (4 in edes and found == {16: edes[16]})


@pytest.mark.parametrize("name", ["nx.example", "nodata.example", "exact.example"])
def test_a_denial_carries_an_soa_that_bounds_how_long_it_is_kept(table: World, name: str) -> None:
    for edns, dnssec in ((0, False), (-1, False), (0, True)):
        answer = table.ask(name, edns=edns, dnssec=dnssec)
        [soa] = answer.authority
        assert (soa.rdtype, soa.ttl, soa[0].minimum) == (dns.rdatatype.SOA, SITE.ttl, SITE.ttl)
        assert not answer.additional
        assert answer.flags & dns.flags.RA
        assert not answer.flags & (dns.flags.AA | dns.flags.AD | dns.flags.TC)


def test_a_made_up_address_has_the_ttl_of_blocked_answers(table: World) -> None:
    assert [rrset.ttl for rrset in table.ask("to.example").answer] == [SITE.ttl]


def test_nobody_gets_an_option_who_did_not_ask_with_edns(table: World) -> None:
    answer = table.ask("nx.example", edns=-1)
    assert answer.edns == -1
    assert said(answer) == "NXDOMAIN"


@pytest.mark.parametrize("name", ["Nx.eXample", "WWW.NX.EXAMPLE"])
def test_case_does_not_matter_and_is_kept(table: World, name: str) -> None:
    answer = table.ask(name)
    assert said(answer) == "NXDOMAIN"
    assert answer.question[0].name.to_text() == f"{name}."


def test_a_client_that_wants_dnssec_is_answered_alike(table: World) -> None:
    answer = table.ask("nx.example", dnssec=True)
    assert said(answer) == "NXDOMAIN"
    assert explained(answer)


def test_the_longest_name_is_blocked_and_its_text_gives_way(world: World) -> None:
    long = ".".join(["x" * 49] * 4 + ["y" * 33, "long.example"])
    assert len(long) > 240
    ref = "t/" + "z" * 200
    world.apply(order(ref, directives=(directive("d", "long.example", "short.example"),)))
    answer = world.ask(long, payload=512)
    assert said(answer) == "NXDOMAIN"
    assert explained(answer) == {16: ""}
    assert len(answer.to_wire()) <= 512
    assert explained(world.ask("short.example")) == {16: f"{ref}/d {INFO}"}


def test_a_start_shows_at_the_next_query_although_the_answer_was_kept(world: World) -> None:
    starts = order("t/start", directives=(directive("d", "start.example", start=5),))
    world.apply(starts, at=EPOCH + 4)
    for _ in range(2):
        assert shows(world, "www.start.example", ADDRESS)
    asked = world.authority.asked["www.start.example"]
    assert asked == 1, "the packet cache answers"
    assert world.push(EPOCH + 5) == 2  # ID and ID-JK.
    assert shows(world, "www.start.example", "NXDOMAIN")
    assert world.push(EPOCH + 8) == 2
    assert shows(world, "www.start.example", ADDRESS)


def test_a_start_of_many_names_is_one_row_for_each_region(world: World) -> None:
    many = order(
        "t/many", directives=(directive("d", *(f"n{one}.example" for one in range(20_000)), start=5),)
    )
    world.apply(many, at=EPOCH + 4)
    assert shows(world, "n19999.example", ADDRESS)
    assert world.push(EPOCH + 5) == 2  # ID and ID-JK.
    assert shows(world, "n19999.example", "NXDOMAIN")
    assert shows(world, "www.n0.example", "NXDOMAIN")


def test_a_new_generation_shows_at_the_next_query(world: World) -> None:
    one = order("t/one", directives=(directive("d", "one.example"),))
    two = order("t/two", directives=(directive("d", "one.example", "two.example"),))
    world.apply(one)
    assert shows(world, "two.example", ADDRESS)
    world.apply(one, two)
    assert shows(world, "two.example", "NXDOMAIN")
    assert explained(world.ask("one.example"))[16].startswith("t/one/d t/two/d")
    world.apply(one, two, order("t/lift", Kind.LIFT, of="t/one", start=0))
    assert shows(world, "one.example", "NXDOMAIN")
    assert explained(world.ask("one.example"))[16].startswith("t/two/d")
    world.apply(one)
    assert shows(world, "two.example", ADDRESS)


def test_no_ttl_outlives_a_coming_start_or_lift(world: World) -> None:
    now = int(time.time())
    second = now - EPOCH
    coming = order("t/coming", directives=(directive("d", "coming.example", start=second + 100, until=None),))
    ending = order(
        "t/ending", directives=(directive("d", "ending.example", start=second - 9, until=second + 15),)
    )
    action = Action(form=Form.REDIRECT, addresses=(ip_address("198.51.100.7"),))
    ending_to = order(
        "t/to", directives=(directive("d", "to.example", start=second - 9, until=second + 15, action=action),)
    )
    assert shows(world, "kept.coming.example", ADDRESS)  # Before anything is known of the order.
    world.apply(coming, ending, ending_to, at=now)
    for name in ("coming.example", "kept.coming.example", "kept.coming.example"):
        [rrset] = world.ask(name).answer
        assert 60 <= rrset.ttl <= now + 100 - int(time.time()) - 1
    [soa] = world.ask("ending.example").authority
    assert soa.ttl <= now + 15 - int(time.time()) - 1
    [forged] = world.ask("to.example").answer
    assert forged.ttl <= now + 15 - int(time.time()) - 1


def test_every_passing_ttl_is_capped(world: World) -> None:
    [rrset] = world.ask("plain.example").answer
    assert rrset.ttl == SITE.max_ttl


def test_a_new_pusher_finds_the_store_right(world: World) -> None:
    world.apply(TABLE[0])
    assert world.target.is_whole()
    world.target.close()
    world.target = Dnsdist(world.state)  # A new pusher.
    assert world.push(EPOCH) == 0
    assert shows(world, "nx.example", "NXDOMAIN")


def checked(conf: Path) -> subprocess.CompletedProcess[str]:
    command = [lab.program("dnsdist"), "--check-config", "-C", str(conf)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)


def test_without_its_store_dnsdist_refuses_to_start_and_says_so(tmp_path: Path) -> None:
    conf, _ = dnsdist_lab.write(tmp_path / "lab", tmp_path / "state", SITE, 53)
    assert checked(conf).returncode == 0
    (tmp_path / "state" / FILE).unlink()
    ran = checked(conf)
    assert ran.returncode != 0
    assert FILE in ran.stdout + ran.stderr


def test_dnsdist_opens_as_many_regions_as_the_rules_allow(tmp_path: Path) -> None:
    site = Enforcement(
        regions={f"ID-{one}": (ip_network(f"10.0.{one}.0/24"),) for one in range(MOST_REGIONS)}
    )
    conf, _ = dnsdist_lab.write(tmp_path / "lab", tmp_path / "state", site, 53)
    assert checked(conf).returncode == 0


def test_an_empty_store_blocks_nothing(tmp_path: Path) -> None:
    with (
        authority() as behind,
        dnsdist_lab.dnsdist(tmp_path / "lab", tmp_path / "state", SITE, behind.port) as running,
    ):
        answer = lab.ask(running.port, "nx.example")
        assert answer is not None
        assert said(answer) == ADDRESS


def test_the_verb_prints_what_dnsdist_reads(site: Lab) -> None:
    ran = site.verb("dnsdist-config")
    assert ran.returncode == 0, ran.stderr
    conf = site.folder / "blocker.lua"
    conf.write_text(ran.stdout)
    checks = checked(conf)
    assert checks.returncode == 0, checks.stdout + checks.stderr
