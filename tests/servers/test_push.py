"""`blocker push` with real servers, and what goes wrong at night: soon after its end all is enforced."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dns.rcode
import pytest

from blocker.fleet import report
from blocker.fleet.push import LAST_RETRY, LEAD
from blocker.rpz.exchange import ANSWER
from tests.servers import bind_lab, lab
from tests.servers.authority import authority
from tests.servers.test_daemons import children, until
from tests.servers.zone_lab import ZONE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.bind_lab import Bind

SOON = LAST_RETRY + 2.0
"""Seconds: one retry, and what a transfer takes on a busy machine."""

_SITE = """\
site: {{operator: Lab, contact: "mailto:legal@isp.example", node: lab}}
state: state
orders: orders
regions: {{ID: ["127.0.0.0/8"]}}
default_region: ID
limits: {{max_added: 1000000}}
rpz: {{zone: rpz.isp.example{primary}}}
points:
{points}"""

_ORDER = """\
order: lab/{slug}
kind: block
authority: {{name: Lab Authority, jurisdiction: ID, contact: "mailto:contest@authority.example"}}
legal_basis: ["Lab Act, section 1"]
issued: 2026-01-01
publication: public
directives:
  - {{id: one, {names}, regions: [ID], from: {start}, until: {until}}}
"""


@dataclass
class Site:
    """A site whose points are others' servers."""

    folder: Path
    points: list[str] = field(default_factory=list)
    primary: str = ""

    @property
    def path(self) -> Path:
        return self.folder / "site.yaml"

    @property
    def log(self) -> str:
        path = self.folder / "push.log"
        return path.read_text() if path.exists() else ""

    def point(self, kind: str, port: int, *control: str) -> None:
        said = f", control: {json.dumps(control)}" if control else ""
        at = f'address: "127.0.0.1:{port}", region: ID'
        self.points.append(f"  - {{name: {kind}, kind: {kind}, {at}{said}}}\n")

    def order(self, slug: str, *names: str, start: float, until: float | None = None) -> None:
        text = _ORDER.format(
            slug=slug,
            names=f"names: [{', '.join(names)}]",
            start=moment(start),
            until="2099-01-01" if until is None else moment(until),
        )
        path = self.folder / "orders" / "lab" / f"{slug}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def apply(self) -> None:
        self.path.write_text(_SITE.format(primary=self.primary, points="".join(self.points)))
        ran = subprocess.run(
            lab.blocker(self.path, "apply", "--yes"), capture_output=True, text=True, check=False, timeout=60
        )
        assert ran.returncode == 0, ran.stderr

    @contextmanager
    def pushing(self) -> Iterator[subprocess.Popen[bytes]]:
        with lab.started(lab.blocker(self.path, "push"), self.folder / "push.log") as daemon:
            yield daemon

    def pushed(self, target: str = f"rpz {ZONE}") -> report.Pushed:
        """What the target's process reported last; nothing if it has not yet."""
        found = self._reports(target.replace(" ", "-"))
        return next((one for one in found if isinstance(one, report.Pushed)), report.Pushed(target=target))

    def purged(self) -> report.Purged:
        found = self._reports("purges")
        return next((one for one in found if isinstance(one, report.Purged)), report.Purged(point=""))

    def _reports(self, name: str) -> tuple[report.Report, ...]:
        path = self.folder / "state" / report.FOLDER / f"{name}.json"
        return (report.from_json(path.read_bytes()) or ()) if path.exists() else ()

    def has_pushed(self) -> bool:
        return self.pushed().sent_at > 0


@dataclass
class Fleet:
    """A hidden primary, a resolver that follows it, and the site they are points of."""

    site: Site
    primary: Bind
    secondary: Bind

    def is_blocked(self, name: str) -> bool:
        answer = lab.ask(self.secondary.port, name, timeout=0.5)
        return answer is not None and answer.rcode() == dns.rcode.NXDOMAIN

    def passes(self, name: str) -> bool:
        answer = lab.ask(self.secondary.port, name, timeout=0.5)
        return answer is not None and answer.rcode() == dns.rcode.NOERROR


def moment(t: float) -> str:
    return datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sleep_until(t: float) -> None:
    time.sleep(max(0.0, t - time.time()))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    port = lab.free_port()
    with (
        authority() as upstream,
        bind_lab.primary(tmp_path / "primary", [port]) as primary,
        bind_lab.secondary(
            tmp_path / "secondary", upstream.port, primary=primary.port, port=port
        ) as secondary,
    ):
        site = Site(tmp_path, primary=f', primary: "127.0.0.1:{primary.port}", key: rpz.key')
        (tmp_path / "rpz.key").write_text(bind_lab.KEY)
        site.point("bind", secondary.port, *secondary.control)
        yield Fleet(site, primary, secondary)


def test_an_order_starts_and_ends_on_a_resolver_that_only_knows_zones(fleet: Fleet) -> None:
    start = int(time.time()) + 7
    fleet.site.order("grok", "grok.example", start=start, until=start + 4)
    fleet.site.apply()
    with fleet.site.pushing():
        assert until(fleet.site.has_pushed, 5)
        assert fleet.passes("www.grok.example")  # now cached positive
        sleep_until(start - 0.2)
        assert fleet.passes("www.grok.example")
        sleep_until(start)
        assert until(lambda: fleet.is_blocked("www.grok.example"), SOON)
        assert until(lambda: fleet.passes("www.grok.example"), 4 + SOON)
        assert time.time() >= start + 4
    assert fleet.site.pushed().trouble == ""
    assert fleet.site.purged().trouble == ""
    assert fleet.site.purged().names > 0


def test_a_wrong_key_is_named_and_enforced_after_it_is_mended(fleet: Fleet) -> None:
    fleet.site.order("grok", "grok.example", start=time.time() - 5)
    fleet.site.apply()
    key = fleet.site.folder / "rpz.key"
    key.write_text(bind_lab.KEY.replace("MDEy", "MDEz"))
    with fleet.site.pushing():
        assert until(lambda: fleet.site.pushed().failures > 0)
        assert "does not accept the key blocker" in fleet.site.pushed().trouble
        assert "does not accept the key blocker" in fleet.site.log
        key.write_text(bind_lab.KEY)
        assert until(lambda: fleet.is_blocked("grok.example"), SOON)
    assert fleet.site.pushed().trouble == ""
    assert "it holds the policy again" in fleet.site.log


def test_a_primary_that_is_down_at_the_instant_is_told_when_it_is_back(fleet: Fleet) -> None:
    start = int(time.time()) + 6
    fleet.site.order("grok", "grok.example", start=start)
    fleet.site.apply()
    with fleet.site.pushing():
        assert until(fleet.site.has_pushed)
        fleet.primary.stop()
        sleep_until(start + 2)
        assert "nothing listens there" in fleet.site.pushed().trouble
        fleet.primary.start()
        assert until(lambda: fleet.is_blocked("grok.example"), SOON)


def test_a_primary_that_hangs_while_a_start_is_prepared_holds_it_soon_after_it_goes_on(fleet: Fleet) -> None:
    start = int(time.time()) + LEAD + 4
    fleet.site.order("grok", "grok.example", start=start)
    fleet.site.apply()
    process = fleet.primary.process
    assert process is not None
    with fleet.site.pushing():
        assert until(fleet.site.has_pushed)
        assert time.time() < start - LEAD  # It has not prepared the start yet.
        process.send_signal(signal.SIGSTOP)
        try:
            assert until(lambda: fleet.site.pushed().failures > 0, LEAD + 4 + ANSWER + SOON)
            assert time.time() > start
            assert str(fleet.primary.port) in fleet.site.pushed().trouble
            assert fleet.site.pushed().trouble in fleet.site.log
            assert fleet.passes("grok.example")
        finally:
            process.send_signal(signal.SIGCONT)
        assert until(lambda: fleet.is_blocked("grok.example"), SOON)
        assert until(lambda: fleet.site.pushed().trouble == "")


def test_a_primary_killed_in_the_middle_of_an_update_ends_with_all_of_it(fleet: Fleet) -> None:
    start = int(time.time()) + 20
    names = [f"n{number}.example" for number in range(15_000)]
    fleet.site.order("grok", *names, start=start)
    fleet.site.apply()
    with fleet.site.pushing():
        assert until(fleet.site.has_pushed)
        before = fleet.primary.serial()
        sleep_until(start)
        assert until(lambda: fleet.primary.serial() not in (before, None))
        fleet.primary.stop(signal.SIGKILL)
        assert until(lambda: fleet.site.pushed().trouble != "" or fleet.site.pushed().instant >= start)
        fleet.primary.start()
        assert until(lambda: fleet.site.pushed().instant >= start, 3 * SOON)
        assert until(lambda: all(fleet.is_blocked(name) for name in (*names[::500], names[-1])), SOON)


def test_a_resolver_that_was_down_over_the_instant_enforces_when_it_is_back(fleet: Fleet) -> None:
    start = int(time.time()) + 6
    fleet.site.order("grok", "grok.example", start=start)
    fleet.site.apply()
    with fleet.site.pushing():
        assert until(fleet.site.has_pushed)
        fleet.secondary.stop()
        sleep_until(start + 1.5)
        assert fleet.site.purged().trouble != ""  # Its control command fails, and nobody waits for it.
        assert fleet.site.pushed().trouble == ""
        fleet.secondary.start()
        assert until(lambda: fleet.is_blocked("grok.example"), SOON)
        assert until(lambda: fleet.site.purged().trouble == "", 35)
    assert "purge bind: `" in fleet.site.log


def test_a_pusher_killed_between_preparing_and_sending_sends_after_its_restart(fleet: Fleet) -> None:
    start = int(time.time()) + 7
    fleet.site.order("grok", "grok.example", start=start)
    fleet.site.apply()
    with fleet.site.pushing() as daemon:
        assert until(fleet.site.has_pushed)
        sleep_until(start - 1)
        for pid in children(daemon.pid):
            os.kill(pid, signal.SIGKILL)
        sleep_until(start)
        # The supervisor starts what died young again after a second.
        assert until(lambda: fleet.is_blocked("grok.example"), SOON)


def test_a_daemon_killed_whole_is_made_up_for_when_it_is_started_again(fleet: Fleet) -> None:
    start = int(time.time()) + 7
    fleet.site.order("grok", "grok.example", start=start)
    fleet.site.apply()
    with fleet.site.pushing() as daemon:
        assert until(fleet.site.has_pushed)
        sleep_until(start - 1)
        found = children(daemon.pid)
        daemon.kill()
        for pid in found:
            os.kill(pid, signal.SIGKILL)
    sleep_until(start + 1)
    assert fleet.passes("grok.example")
    with fleet.site.pushing():
        assert until(lambda: fleet.is_blocked("grok.example"), SOON)


def test_a_full_disk_at_the_zone_file_leaves_the_old_zone_and_is_made_up_for(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.point("knot", lab.free_port())
    start = int(time.time()) + LEAD + 25
    site.order("old", "old.example", start=time.time() - 5)
    site.order("grok", *(f"n{number}.example" for number in range(500)), start=start)
    site.apply()
    zone, target = tmp_path / "state" / "rpz" / f"{ZONE}.zone", f"file {ZONE}"
    with site.pushing() as daemon:
        assert until(lambda: site.pushed(target).sent_at > 0)
        (pid,) = children(daemon.pid)
        assert time.time() < start - LEAD  # It has not prepared the start yet.
        # No file of the process may be larger: its writes fail as on a full disk.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
        sleep_until(start + 1)
        assert "the old zone stays" in site.pushed(target).trouble
        text = zone.read_text()
        assert "old.example CNAME ." in text
        assert "n1.example" not in text
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert until(lambda: "n499.example CNAME ." in zone.read_text(), SOON)
        assert until(lambda: site.pushed(target).trouble == "")
    assert "the old zone stays" in site.log


def test_a_zone_that_is_given_a_name_without_room_for_an_order_s_is_told_though_nothing_is_applied(
    tmp_path: Path,
) -> None:
    site, roomless = Site(tmp_path), f"rpz.{'z' * 60}.example"
    site.point("knot", lab.free_port())
    site.order("grok", ".".join([*("a" * 60,) * 3, "example"]), "grok.example", start=time.time() - 5)
    site.apply()
    with site.pushing() as daemon:
        assert until(lambda: site.pushed(f"file {ZONE}").sent_at > 0)
        assert site.pushed(f"file {ZONE}").trouble == ""
        site.path.write_text(site.path.read_text().replace("zone: rpz.isp.example", f"zone: {roomless}"))
        daemon.send_signal(signal.SIGHUP)
        assert until(lambda: site.pushed(f"file id.{roomless}").sent_at > 0)
        assert "can't speak of 1 name" in site.pushed(f"file id.{roomless}").trouble
    assert "\ngrok.example CNAME .\n" in (tmp_path / "state" / "rpz" / f"id.{roomless}.zone").read_text()
    assert "can't speak of 1 name" in site.log
