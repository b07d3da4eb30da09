"""PowerDNS Recursor as ops/powerdns configures it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dns.edns
import dns.message
import dns.rcode
import pytest

from tests.servers import lab, powerdns_lab, zone_lab
from tests.servers.authority import ADDRESS, authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.powerdns_lab import PowerDNS


@pytest.fixture
def upstream() -> Iterator[int]:
    with authority() as found:
        found.alias("alias.example", "www.new.example")
        yield found.port


@pytest.fixture
def zonefile(tmp_path: Path) -> Path:
    path = tmp_path / f"{zone_lab.ZONE}.zone"
    zone_lab.replace(
        path,
        1,
        "bad.example CNAME *.",
        "*.bad.example CNAME .",
        "free.bad.example CNAME rpz-passthru.",
        "to.example A 192.0.2.200",
    )
    return path


@pytest.fixture
def recursor(tmp_path: Path, zonefile: Path, upstream: int) -> Iterator[PowerDNS]:
    with powerdns_lab.powerdns(tmp_path / "powerdns", upstream, zonefile) as running:
        yield running


def ask(running: PowerDNS, name: str, rdtype: str = "A") -> dns.message.Message:
    answer = lab.ask(running.port, name, rdtype)
    assert answer is not None
    return answer


def edes(answer: dns.message.Message) -> list[tuple[int, str]]:
    return [
        (int(option.code), option.text or "")
        for option in answer.options
        if isinstance(option, dns.edns.EDEOption)
    ]


def test_a_blocked_answer_says_so_and_one_that_an_order_excepts_does_not(recursor: PowerDNS) -> None:
    blocked, freed = ask(recursor, "www.bad.example"), ask(recursor, "free.bad.example")
    redirected = ask(recursor, "to.example")
    assert blocked.rcode() == dns.rcode.NXDOMAIN
    assert edes(blocked) == edes(redirected) == [(16, "https://isp.example/blocked")]
    assert [str(record) for rrset in redirected.answer for record in rrset] == ["192.0.2.200"]
    assert [str(record) for rrset in freed.answer for record in rrset] == [ADDRESS]
    assert edes(freed) == []


def test_a_new_zone_is_for_names_and_aliases_that_were_just_answered_too(
    recursor: PowerDNS, zonefile: Path
) -> None:
    names = ("new.example", "www.new.example", "alias.example")
    for _ in range(2):
        assert [ask(recursor, name).rcode() for name in names] == [dns.rcode.NOERROR] * 3
    zone_lab.replace(zonefile, 2, "new.example CNAME .", "*.new.example CNAME .")
    recursor.controlled("reload-lua-config")
    assert [ask(recursor, name).rcode() for name in names] == [dns.rcode.NXDOMAIN] * 3
    assert ask(recursor, "bad.example").rcode() == dns.rcode.NOERROR
