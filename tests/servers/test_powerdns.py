"""PowerDNS Recursor as ops/powerdns configures it."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.servers import bind_lab, lab, powerdns_lab, zone_lab
from tests.servers.authority import ADDRESS, authority

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def test_who_asks_without_recursion_gets_nothing_past_the_zone(recursor: PowerDNS, zonefile: Path) -> None:
    assert ask(recursor, "alias.example").answer
    zone_lab.replace(zonefile, 2, "new.example CNAME .", "*.new.example CNAME .")
    recursor.controlled("reload-lua-config")
    zone_lab.until_blocked(recursor.port, "new.example", recursor.log)
    for name in ("new.example", "www.new.example", "alias.example", "other.example"):
        answer = lab.ask(recursor.port, name, flags=dns.flags.Flag(0))
        assert answer is not None
        assert (answer.rcode(), answer.answer) == (dns.rcode.REFUSED, [])


def test_debians_trust_anchors_are_kept(tmp_path: Path, zonefile: Path, upstream: int) -> None:
    given = Path("/usr/share/dns/root.ds").read_text(encoding="ascii")
    with powerdns_lab.powerdns(tmp_path / "powerdns", upstream, zonefile, dnssec="process") as running:
        held = running.controlled("get-tas")
    assert [tag for tag in re.findall(r"DS\s+(\d+)", given) if tag not in held] == []


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


def until_kept(path: Path, name: str) -> None:
    """Wait until the file of the zone speaks of the name: it is written after it is enforced."""
    deadline = time.monotonic() + 10
    while not path.exists() or name not in path.read_text():
        assert time.monotonic() < deadline, f"{name} is not kept"
        time.sleep(0.02)


@contextmanager
def transferring(folder: Path, upstream: int, primary: int, secret: str) -> Iterator[PowerDNS]:
    kept = folder / "kept.zone"
    with powerdns_lab.powerdns(
        folder / "powerdns", upstream, kept, primary=primary, secret=secret
    ) as running:
        yield running


def test_it_takes_the_zone_from_the_primary_and_keeps_it_over_a_restart(
    tmp_path: Path, upstream: int
) -> None:
    with bind_lab.primary(tmp_path / "primary") as primary:
        bind_lab.update(primary, "bad.example CNAME .", "*.bad.example CNAME .")
        with transferring(tmp_path, upstream, primary.port, bind_lab.TRANSFER_SECRET) as running:
            zone_lab.until_blocked(running.port, "www.bad.example", running.log)
            assert ask(running, "new.example").rcode() == dns.rcode.NOERROR
            bind_lab.update(primary, "new.example CNAME .")
            zone_lab.until_blocked(running.port, "new.example", running.log, seconds=5)
            until_kept(tmp_path / "kept.zone", "new.example")
    with transferring(tmp_path, upstream, primary.port, bind_lab.TRANSFER_SECRET) as running:
        assert ask(running, "new.example").rcode() == dns.rcode.NXDOMAIN, "the primary is gone"
        assert ask(running, "free.example").rcode() == dns.rcode.NOERROR


def test_the_zone_is_kept_where_the_page_lets_it_and_debians_unit_does_not_forbid_it() -> None:
    page = (zone_lab.OPS / "docs" / "powerdns.md").read_text(encoding="utf-8")
    assert f"install -d -o pdns -g pdns -m 0750 {Path(powerdns_lab.KEPT).parent} " in page
    lab.program("pdns_recursor")
    unit = Path("/lib/systemd/system/pdns-recursor.service").read_text(encoding="utf-8")
    assert "\nUser=pdns\n" in unit
    assert not re.search(
        r"^(ProtectSystem=strict|(ReadOnly|Inaccessible)Paths=|DynamicUser=yes)", unit, re.MULTILINE
    )


def test_who_can_not_keep_the_zone_says_so_and_enforces_it_all_the_same(
    tmp_path: Path, upstream: int
) -> None:
    kept = tmp_path / "missing" / "kept.zone"
    with bind_lab.primary(tmp_path / "primary") as primary:
        bind_lab.update(primary, "bad.example CNAME .")
        with powerdns_lab.powerdns(tmp_path / "powerdns", upstream, kept, primary=primary.port) as running:
            zone_lab.until_blocked(running.port, "bad.example", running.log)
            log = running.log.read_text(errors="replace")
            [line] = [one for one in log.splitlines() if "Unable to create temporary file" in one]
            assert zone_lab.ZONE in line


def test_what_another_zone_blocks_is_not_said_to_be_ordered(
    tmp_path: Path, zonefile: Path, upstream: int
) -> None:
    own = tmp_path / "own.zone"
    text = zonefile.read_text().replace("bad.example", "own.example").replace("to.example", "to2.example")
    own.write_text(f"{text}free.bad.example CNAME .\n")
    own_zone = f'rpzFile("{own}", {{policyName = "own"}})'
    for after in ("", own_zone):
        folder = tmp_path / f"powerdns-{bool(after)}"
        with powerdns_lab.powerdns(folder, upstream, zonefile, after=after) as running:
            blocked, redirected = ask(running, "www.own.example"), ask(running, "to2.example")
            assert (blocked.rcode() == dns.rcode.NXDOMAIN) is bool(after)
            assert edes(blocked) == edes(redirected) == []
            assert ask(running, "free.bad.example").answer, "what an order excepts passes all zones"
            assert edes(ask(running, "www.bad.example")) == [(16, "https://isp.example/blocked")]


def test_with_another_key_it_gets_no_zone_says_so_and_goes_on_resolving(
    tmp_path: Path, upstream: int
) -> None:
    with bind_lab.primary(tmp_path / "primary") as primary:
        bind_lab.update(primary, "bad.example CNAME .")
        with transferring(tmp_path, upstream, primary.port, "b3RoZXI=" * 5) as running:
            deadline = time.monotonic() + 10
            while "Unable to load RPZ zone" not in running.log.read_text(errors="replace"):
                assert time.monotonic() < deadline, running.log.read_text(errors="replace")
                time.sleep(0.1)
            assert ask(running, "bad.example").rcode() == dns.rcode.NOERROR
