"""Unbound with the policy as a zone alone, as ops/unbound/rpz.conf configures it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dns.rcode
import pytest

from tests.servers import bind_lab, lab, unbound_rpz_lab, zone_lab
from tests.servers.authority import authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def upstream() -> Iterator[int]:
    with authority() as found:
        found.alias("alias.example", "www.bad.example")
        yield found.port


@pytest.fixture
def zonefile(tmp_path: Path) -> Path:
    path = tmp_path / f"{zone_lab.ZONE}.zone"
    zone_lab.replace(path, 1, "bad.example CNAME .", "*.bad.example CNAME .")
    return path


def rcode(port: int, name: str, rdtype: str = "A") -> str:
    answer = lab.ask(port, name, rdtype)
    return "silence" if answer is None else dns.rcode.to_text(answer.rcode())


def test_it_blocks_what_the_zone_says_and_resolves_the_rest(
    tmp_path: Path, upstream: int, zonefile: Path
) -> None:
    with unbound_rpz_lab.unbound_rpz(tmp_path / "unbound", upstream, zonefile) as running:
        assert rcode(running.port, "www.bad.example", "HTTPS") == "NXDOMAIN"
        assert rcode(running.port, "free.example") == "NOERROR"
        soa = lab.ask(running.port, zone_lab.ZONE, "SOA")
        assert soa is not None
        assert soa.answer[0][0].serial == 1, "a monitor can read the serial"


def test_a_new_zone_is_for_names_in_the_cache_too(tmp_path: Path, upstream: int, zonefile: Path) -> None:
    with unbound_rpz_lab.unbound_rpz(tmp_path / "unbound", upstream, zonefile) as running:
        assert rcode(running.port, "new.example") == "NOERROR"
        zone_lab.replace(zonefile, 2, "new.example CNAME .")
        running.controlled("auth_zone_reload", zone_lab.ZONE)
        assert rcode(running.port, "new.example") == "NXDOMAIN"
        assert rcode(running.port, "bad.example") == "NOERROR"


def test_an_alias_in_the_cache_leaks_until_it_is_flushed_which_is_declared(
    tmp_path: Path, upstream: int, zonefile: Path
) -> None:
    with unbound_rpz_lab.unbound_rpz(tmp_path / "unbound", upstream, zonefile) as running:
        assert rcode(running.port, "alias.example") == "NXDOMAIN"
        assert rcode(running.port, "alias.example") == "NOERROR"
        running.controlled("flush", "alias.example")
        assert rcode(running.port, "alias.example") == "NXDOMAIN"


def test_it_takes_the_zone_from_the_primary_at_its_word_and_keeps_it_over_a_restart(
    tmp_path: Path, upstream: int
) -> None:
    kept, port = tmp_path / "kept.zone", lab.free_port()
    folder = tmp_path / "unbound"
    with bind_lab.primary(tmp_path / "primary", unsigned=[port]) as primary:
        bind_lab.update(primary, "bad.example CNAME .", "*.bad.example CNAME .")
        with unbound_rpz_lab.unbound_rpz(folder, upstream, kept, primary=primary.port, port=port) as running:
            zone_lab.until_blocked(port, "www.bad.example", running.log)
            assert rcode(port, "new.example") == "NOERROR"
            bind_lab.update(primary, "new.example CNAME .")
            zone_lab.until_blocked(port, "new.example", running.log, seconds=5)
    with unbound_rpz_lab.unbound_rpz(folder, upstream, kept, primary=primary.port, port=port):
        assert rcode(port, "new.example") == "NXDOMAIN", "the primary is gone"
        assert rcode(port, "free.example") == "NOERROR"
