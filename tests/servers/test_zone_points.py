"""What is true of each resolver that is given the policy as a zone, as ops/ configures it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from blocker.site import Enforcement
from tests.servers import bind_lab, knot_lab, lab, powerdns_lab, unbound_rpz_lab, zone_lab
from tests.servers.authority import ADDRESS, authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    Running = bind_lab.Bind | knot_lab.Knot | powerdns_lab.PowerDNS | unbound_rpz_lab.UnboundRpz
    Start = Callable[[Path, int, Path], AbstractContextManager[Running]]

DAY = 86_400


@contextmanager
def bind(folder: Path, upstream: int, zonefile: Path) -> Iterator[bind_lab.Bind]:
    with bind_lab.secondary(folder, upstream, zone_file=zonefile) as running:
        yield running


POINTS: Mapping[str, Start] = {
    "bind": bind,
    "knot": knot_lab.knot,
    "powerdns": powerdns_lab.powerdns,
    "unbound": unbound_rpz_lab.unbound_rpz,
}


@pytest.mark.parametrize("kind", POINTS)
def test_what_passes_is_kept_for_answers_max_ttl_at_most_here_and_below(kind: str, tmp_path: Path) -> None:
    zonefile = tmp_path / f"{zone_lab.ZONE}.zone"
    zone_lab.replace(zonefile, 1, "bad.example CNAME .")
    with authority() as found:
        found.records["long.example", "A"] = (f"long.example {DAY} IN A {ADDRESS}",)
        found.alias("alias.example", "long.example", DAY)
        with POINTS[kind](tmp_path / kind, found.port, zonefile) as running:
            for name in ("long.example", "alias.example") * 2:
                answer = lab.ask(running.port, name)
                assert answer is not None
                assert answer.answer
                assert max(rrset.ttl for rrset in answer.answer) <= Enforcement.max_ttl, name
