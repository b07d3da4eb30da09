"""Knot Resolver as ops/knot configures it, with zone files as `blocker push` writes them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from tests.servers import knot_lab, lab, zone_lab
from tests.servers.authority import ADDRESS, authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.knot_lab import Knot


@pytest.fixture
def zonefile(tmp_path: Path) -> Path:
    path = tmp_path / f"{zone_lab.ZONE}.zone"
    zone_lab.replace(path, 1, "bad.example CNAME .", "*.bad.example CNAME .", "to.example A 192.0.2.200")
    return path


@pytest.fixture
def upstream() -> Iterator[int]:
    with authority() as found:
        yield found.port


@pytest.fixture
def knot(tmp_path: Path, zonefile: Path, upstream: int) -> Iterator[Knot]:
    with knot_lab.knot(tmp_path / "knot", upstream, zonefile) as running:
        yield running


def ask(running: Knot, name: str, rdtype: str = "A") -> dns.message.Message:
    answer = lab.ask(running.port, name, rdtype)
    assert answer is not None
    return answer


def rcode(running: Knot, name: str) -> str:
    return dns.rcode.to_text(ask(running, name).rcode())


@pytest.mark.parametrize("unload", ["", "modules.unload('refuse_nord')"])
def test_who_asks_without_recursion_is_refused_and_told_nothing(
    tmp_path: Path, zonefile: Path, upstream: int, unload: str
) -> None:
    with knot_lab.knot(tmp_path / "knot", upstream, zonefile, after=unload) as running:
        for name in ("www.bad.example", "to.example"):
            answer = lab.ask(running.port, name, flags=dns.flags.Flag(0))
            assert answer is not None
            said = [one.code for one in answer.options if isinstance(one, dns.edns.EDEOption)]
            assert (answer.rcode(), answer.answer, answer.authority) == (dns.rcode.REFUSED, [], [])
            assert dns.edns.EDECode.CENSORED not in said


def test_it_blocks_with_the_reason_and_for_as_long_as_it_may_and_forwards_the_rest(knot: Knot) -> None:
    blocked = ask(knot, "www.bad.example")
    (ede,) = [option for option in blocked.options if isinstance(option, dns.edns.EDEOption)]
    (soa,) = blocked.authority
    redirected, passed = ask(knot, "to.example"), ask(knot, "free.example")
    assert blocked.rcode() == dns.rcode.NXDOMAIN
    assert (ede.code, ede.text) == (dns.edns.EDECode.CENSORED, "https://isp.example/blocked")
    assert (soa.ttl, soa[0].minimum) == (30, 30)
    assert [str(record) for rrset in redirected.answer for record in rrset] == ["192.0.2.200"]
    assert [str(record) for rrset in passed.answer for record in rrset] == [ADDRESS]


def test_a_file_that_is_replaced_is_enforced_within_a_second_though_names_are_cached(
    knot: Knot, zonefile: Path
) -> None:
    assert ask(knot, "www.new.example").rcode() == dns.rcode.NOERROR
    replaced = time.monotonic()
    zone_lab.replace(zonefile, 2, "new.example CNAME .", "*.new.example CNAME .")
    zone_lab.until_blocked(knot.port, "www.new.example", knot.log, seconds=5)
    print(f"enforced after {time.monotonic() - replaced:.3f} s")
    assert ask(knot, "www.bad.example").rcode() == dns.rcode.NOERROR


def test_a_file_that_is_broken_or_gone_leaves_the_last_one_in_force(knot: Knot, zonefile: Path) -> None:
    zone_lab.replace(zonefile, 2, "new.example CNAME .", "this is no record")
    _until_logged(knot, "is not enforced")
    assert ask(knot, "new.example").rcode() == dns.rcode.NOERROR
    assert ask(knot, "bad.example").rcode() == dns.rcode.NXDOMAIN
    zonefile.unlink()
    time.sleep(0.5)
    assert ask(knot, "bad.example").rcode() == dns.rcode.NXDOMAIN
    zone_lab.replace(zonefile, 3, "new.example CNAME .")
    zone_lab.until_blocked(knot.port, "new.example", knot.log, seconds=5)


def test_a_long_list_is_read_while_queries_are_answered(knot: Knot, zonefile: Path) -> None:
    zone_lab.replace(zonefile, 2, *(f"n{number}.example CNAME ." for number in range(50_000)))
    gap = 0.0
    while rcode(knot, "n49999.example") != "NXDOMAIN":
        begun = time.monotonic()
        assert rcode(knot, "free.example") == "NOERROR"
        gap = max(gap, time.monotonic() - begun)
        assert rcode(knot, "bad.example") in ("NXDOMAIN", "NOERROR")
    print(f"the slowest answer meanwhile took {gap:.3f} s")
    assert rcode(knot, "bad.example") == "NOERROR"


def test_a_list_without_its_head_is_not_enforced(knot: Knot, zonefile: Path) -> None:
    zonefile.with_suffix(".new").write_text("; SOA\nnew.example. 30 IN CNAME .\n")
    zonefile.with_suffix(".new").rename(zonefile)
    _until_logged(knot, "the first record is no SOA")
    assert ask(knot, "bad.example").rcode() == dns.rcode.NXDOMAIN


def _until_logged(knot: Knot, words: str) -> None:
    deadline = time.monotonic() + 20
    while words not in knot.log.read_text(errors="replace"):
        assert time.monotonic() < deadline, knot.log.read_text(errors="replace")
        time.sleep(0.05)


def test_without_a_file_it_resolves_and_says_so_until_there_is_one(tmp_path: Path, upstream: int) -> None:
    missing = tmp_path / "none.zone"
    with knot_lab.knot(tmp_path / "knot", upstream, missing) as running:
        assert ask(running, "bad.example").rcode() == dns.rcode.NOERROR
        assert f"{missing} is not there yet: nothing is enforced" in running.log.read_text()
        zone_lab.replace(missing, 1, "bad.example CNAME .")
        zone_lab.until_blocked(running.port, "bad.example", running.log)
