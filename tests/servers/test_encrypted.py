"""DoT and DoH of the servers that ISPs run, with certificates right and wrong, and what the judge says."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from blocker import names
from blocker.orders.model import Form
from blocker.plugins.dnsdist import Dnsdist
from blocker.policy.reader import Reader
from blocker.prober.expect import Expectation, Why
from blocker.prober.judge import Evidence, Finding, Kind, controls_of, judge
from blocker.prober.observe import A, Observation, Transport, Variant
from blocker.prober.transports import probe
from blocker.site import Endpoint, Point, Tls
from tests.prober import certificates
from tests.resolver import live
from tests.resolver.world import block, enforcement
from tests.servers import dnsdist_lab, knot_lab, lab, unbound_lab, zone_lab
from tests.servers.authority import authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from blocker.names import Key
    from tests.prober.certificates import Certificates

    Start = Callable[["Lab"], AbstractContextManager[object]]

BLOCKED, FREE, CANARY = map(names.to_key, ("www.bad.example", "free.example", "canary.example"))
HOSTS = {"127.0.0.1": "127.0.0.1", "::1": "[::1]"}
WAYS = [Variant(transport=Transport.DOT), Variant(transport=Transport.DOH)]


class Lab:
    """What a server is started with: a folder, an authority, a policy store, a certificate and two ports."""

    def __init__(self, folder: Path, upstream: int, pair: tuple[Path, Path]) -> None:
        self.folder, self.upstream = folder, upstream
        self.state = folder / "state"
        self.chain, self.key = pair
        self.dot, self.doh = (lab.free_port() for _ in range(2))

    def block(self) -> None:
        live.store(self.state, block("bad.example", start=1_700_000_000, until=4_000_000_000))

    def filled(self, text: str) -> str:
        """The text once for each address of loopback."""
        values = {"dot": self.dot, "doh": self.doh, "chain": self.chain, "key": self.key}
        return "".join(text.format(host=host, written=HOSTS[host], **values) for host in HOSTS)


@contextmanager
def unbound(given: Lab) -> Iterator[None]:
    given.block()
    once = f"""
  do-ip6: yes
  tls-port: {given.dot}
  https-port: {given.doh}
  tls-service-pem: "{given.chain}"
  tls-service-key: "{given.key}"
"""
    server = once + given.filled("  interface: {host}@{dot}\n  interface: {host}@{doh}\n")
    folder = given.folder / "unbound"
    with unbound_lab.unbound(folder, given.state, given.upstream, region="ID", server=server):
        yield


@contextmanager
def knot(given: Lab) -> Iterator[None]:
    zonefile = given.folder / f"{zone_lab.ZONE}.zone"
    zone_lab.replace(zonefile, 1, "bad.example CNAME .", "*.bad.example CNAME .")
    after = f"net.tls('{given.chain}', '{given.key}')\n" + given.filled(
        "net.listen('{host}', {dot}, {{ kind = 'tls' }})\nnet.listen('{host}', {doh}, {{ kind = 'doh2' }})\n"
    )
    with knot_lab.knot(given.folder / "knot", given.upstream, zonefile, after=after):
        yield


@contextmanager
def dnsdist(given: Lab) -> Iterator[None]:
    given.block()
    after = given.filled(
        'addTLSLocal("{written}:{dot}", "{chain}", "{key}")\n'
        'addDOHLocal("{written}:{doh}", "{chain}", "{key}", "/dns-query")\n'
    )
    folder = given.folder / "dnsdist"
    with (
        # What came over TLS it passes on over TCP, which the authority does not answer.
        lab.unbound_in_front(given.folder / "behind", given.upstream) as behind,
        dnsdist_lab.dnsdist(folder, given.state, enforcement(), behind, after=after),
    ):
        reader, target = Reader(given.state), Dnsdist(given.state)
        with reader.snapshot() as policy:
            target.send(target.prepare(policy, int(time.time())))
        reader.close()
        target.close()
        yield


SERVERS: dict[str, Start] = {"unbound": unbound, "knot": knot, "dnsdist": dnsdist}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates.make(tmp_path_factory.mktemp("certificates"))


@contextmanager
def serving(server: str, folder: Path, made: Certificates, which: str) -> Iterator[Lab]:
    with authority() as upstream:
        given = Lab(folder, upstream.port, made.pair(which))
        with SERVERS[server](given):
            yield given


def verdict(given: Lab, made: Certificates, name: Key, variant: Variant, host: str) -> Finding:
    """Two samples between controls, judged."""
    tls = Tls(
        name=certificates.NAME,
        dot=Endpoint(host, given.dot),
        doh=Endpoint(host, given.doh),
        ca=made.ca,
    )
    point = Point(name="p1", kind="unbound", address=Endpoint(host, 0), region="ID", tls=tls)

    async def main() -> list[Observation]:
        return [await probe(point, (one, A), variant, timeout=5.0) for one in (CANARY, name, name, CANARY)]

    before, *samples, after = asyncio.run(main())
    is_blocked = name is BLOCKED
    expectation = Expectation(
        point="p1",
        region="ID",
        name=name,
        qtype=A,
        why=Why.SUBJECT if is_blocked else Why.CANARY,
        ref="court/o1/d" if is_blocked else "",
        order="court/o1" if is_blocked else "",
        form=Form.NXDOMAIN if is_blocked else None,
        since=0,
        until=None,
    )
    finding = judge(expectation, samples, Evidence(controls=controls_of([before, after])))
    assert finding is not None
    return finding


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_blocked_and_what_passes_is_seen_over_tls_and_https(
    tmp_path: Path, made: Certificates, server: str
) -> None:
    with serving(server, tmp_path, made, "right") as given:
        seen = {
            (variant, host, name is BLOCKED): verdict(given, made, name, variant, host)
            for variant in WAYS
            for host in HOSTS
            for name in (BLOCKED, FREE)
        }
    assert {(*way, finding.kind, finding.rule) for way, finding in seen.items()} == {
        (variant, host, is_blocked, Kind.OK, "blocked-with-attribution" if is_blocked else "passes")
        for variant in WAYS
        for host in HOSTS
        for is_blocked in (True, False)
    }


@pytest.mark.parametrize("which", [which for which, trouble in certificates.TROUBLES.items() if trouble])
@pytest.mark.parametrize("server", SERVERS)
def test_each_wrong_certificate_has_its_own_verdict(
    tmp_path: Path, made: Certificates, server: str, which: str
) -> None:
    with serving(server, tmp_path, made, which) as given:
        seen = [verdict(given, made, BLOCKED, variant, host) for variant in WAYS for host in HOSTS]
    found = [(finding.kind, finding.rule) for finding in seen]
    logs = "".join(path.read_text(errors="replace")[-4000:] for path in tmp_path.glob("*/*log"))
    assert found == [(Kind.UNREACHABLE, certificates.TROUBLES[which])] * 4, f"{found}\n{logs}"
