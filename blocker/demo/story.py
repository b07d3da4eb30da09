"""The demo: a scratch site, the real daemon, and what everybody sees before, during and after an order.

Nothing here is special to the demo but the upstream: the order is a file, `blocker apply` applies it and
`blocker run` enforces, probes and measures it, each as a process of its own. The story only watches, and
is content only if everything went as ordered.
"""

from __future__ import annotations

import multiprocessing
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from blocker.demo import upstream
from blocker.demo.client import Client, Seen
from blocker.errors import PointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

START_IN, LASTS = 10, 20  # seconds
BLOCKED, ALLOWED, NEIGHBOUR = "service.example", "status.service.example", "notservice.example"
ORDER = "demo/order"

_SITE = """\
site:
  operator: Demo Net
  contact: "mailto:legal@isp.example"
  info_url: "https://isp.example"
  node: demo.isp.example
state: state
orders: orders
protected: protected.yaml
regions: {{DEMO: ["127.0.0.0/8"]}}
default_region: DEMO
answers: {{ttl: 30s, max_ttl: 1h}}
resolver: {{listen: ["127.0.0.1:{dns}"], workers: 1, upstreams: ["127.0.0.1:{upstream}"], allow: [loopback]}}
web: {{listen: "127.0.0.1:{web}"}}
prober: {{interval: 5s, canaries: [canary.example], reference: upstreams}}
points:
  - {{name: demo, kind: embedded, address: "127.0.0.1:{dns}", region: DEMO}}
"""

_ORDER = """\
# A demonstration: no authority issued this.
order: demo/order
kind: block
authority: {{name: Demo Authority, jurisdiction: ID, contact: "mailto:contest@authority.example"}}
legal_basis: ["Demonstration Act, section 1"]
issued: {issued}
publication: public
directives:
  - id: service
    names: [service.example]
    except: [status.service.example]
    regions: [DEMO]
    from: {start}
    until: {until}
"""


@dataclass(slots=True)
class Result:
    """What was measured; `faults` is empty if all went as ordered. Seconds throughout."""

    block_delay: float | None = None
    lift_delay: float | None = None
    confirmed_block_delay: float | None = None
    confirmed_lift_delay: float | None = None
    faults: list[str] = field(default_factory=list)


class Story:
    """One run of the demo in a scratch folder; `say` gets each line as (who, what)."""

    def __init__(self, folder: Path, say: Callable[[float, str, str], None]) -> None:
        self._folder = folder
        self._tell = say
        self._result = Result()
        self._start = self._end = 0

    def run(self) -> Result:
        """Tell it. Raises PointError if the daemon can't be started."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
            listening.bind(("127.0.0.1", 0))
            source = multiprocessing.get_context("fork").Process(target=upstream.serve, args=(listening,))
            source.start()
            try:
                self._site(listening.getsockname()[1])
                self._with_daemon()
            finally:
                source.terminate()
                source.join()
        return self._result

    def _site(self, source: int) -> None:
        self._dns, self._web = _free_port(socket.SOCK_DGRAM), _free_port(socket.SOCK_STREAM)
        orders = self._folder / "orders" / "demo"
        orders.mkdir(parents=True)
        site = _SITE.format(dns=self._dns, web=self._web, upstream=source)
        (self._folder / "site.yaml").write_text(site)
        (self._folder / "protected.yaml").write_text("protected: [isp.example]\n")
        now = int(time.time())
        self._start, self._end = now + START_IN, now + START_IN + LASTS
        start, until = (datetime.fromtimestamp(at, UTC).isoformat() for at in (self._start, self._end))
        issued = datetime.fromtimestamp(now, UTC).date().isoformat()
        text = _ORDER.format(issued=issued, start=start, until=until)
        (orders / "order.yaml").write_text(text)
        self._say("order", f"{ORDER} blocks {BLOCKED} (not {ALLOWED})")
        self._say("order", f"from {start} until {until}")
        self._say("order", f"NODATA, not NXDOMAIN, for that would deny {ALLOWED} too")

    def _with_daemon(self) -> None:
        applied = subprocess.run(self._verb("apply", "--yes"), capture_output=True, text=True, check=False)
        if applied.returncode:
            raise PointError(f"the demo's order was not applied:\n{applied.stdout}{applied.stderr}")
        self._say("apply", "the whole timetable is in the store; nothing reloads at the instants")
        log = self._folder / "daemon.log"
        with log.open("wb") as output:
            daemon = subprocess.Popen(self._verb("run"), stdout=output, stderr=subprocess.STDOUT)
        client = Client(self._dns)
        try:
            self._until_ready(daemon, log)
            self._say("daemon", f"answers on 127.0.0.1:{self._dns}, metrics on 127.0.0.1:{self._web}")
            self._watch(client)
        finally:
            client.close()
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(5)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
                self._fault("the daemon did not end within 5 s of SIGTERM")
        self._say("daemon", "ended")

    def _verb(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "blocker", "--site", str(self._folder / "site.yaml"), *words]

    def _until_ready(self, daemon: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            if daemon.poll() is not None:
                raise PointError(f"the daemon ended before it was ready:\n{log.read_text()}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._web}/readyz", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise PointError(f"the daemon was not ready within 8 s:\n{log.read_text()}")

    def _watch(self, client: Client) -> None:
        self._look(client, ordered=False)
        self._wait(client, self._start, ordered=False)
        self._result.block_delay = self._edge(client, self._start, blocked=True)
        self._look(client, ordered=True)
        self._confirmation("block", self._start)
        self._wait(client, self._end, ordered=True)
        self._result.lift_delay = self._edge(client, self._end, blocked=False)
        self._look(client, ordered=False)
        self._confirmation("lift", self._end)
        for labels, value in self._metric("blocker_findings"):
            if value:
                self._fault(f"the prober says {labels} {value:g}")

    def _wait(self, client: Client, instant: int, *, ordered: bool) -> None:
        """Look every four seconds until shortly before the instant."""
        while (left := instant - 0.3 - time.time()) > 0:
            time.sleep(min(left, 4))
            if instant - time.time() > 2:
                self._look(client, ordered=ordered)

    def _look(self, client: Client, *, ordered: bool) -> None:
        for name, blocked in ((BLOCKED, ordered), (ALLOWED, False), (NEIGHBOUR, False)):
            seen = client.ask(name)
            self._say("client", f"{name}: {seen or 'no answer'}")
            if seen is None or seen.is_blocked != blocked or (not blocked and not seen.addresses):
                self._fault(f"{name} must {'be blocked' if blocked else 'resolve'}")
        shown = [
            f"{what} {sum(value for _, value in self._metric(name)):g}"
            for what, name in (
                ("directives in force", "blocker_directives_in_force"),
                ("queries blocked", "blocker_blocked_total"),
                ("forwarded", "blocker_forwarded_total"),
                ("probes as ordered", "blocker_findings_ok_by_point"),
                ("not", "blocker_findings"),
            )
        ]
        self._say("metrics", ", ".join(shown))

    def _edge(self, client: Client, instant: int, *, blocked: bool) -> float | None:
        """Ask without a pause until the answer changes; how long after the instant it did."""
        before: Seen | None = None
        while time.time() < instant + 2:
            seen = client.ask(BLOCKED)
            if seen is not None and seen.is_blocked == blocked:
                delay = seen.at - instant
                verb = "blocked" if blocked else "lifted"
                self._say("client", f"{BLOCKED}: {seen}")
                self._say("client", f"first {verb} answer {delay * 1000:.1f} ms after the instant")
                if delay < 0:
                    self._fault(f"{verb} {-delay * 1000:.1f} ms too early")
                # With TTL 0 nothing is kept, even if the answer was under way at the instant.
                if before is not None and before.ttl and before.at + before.ttl > instant:
                    self._fault(f"the last answer before it (TTL {before.ttl}) outlives the instant")
                return delay
            before = seen or before
        self._fault(f"no {'blocked' if blocked else 'lifted'} answer within 2 s of the instant")
        return None

    def _confirmation(self, what: str, instant: int) -> None:
        """Wait for the prober's own proof, as Prometheus sees it."""
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            for labels, value in self._metric(f"blocker_{what}_confirmed_timestamp_seconds"):
                if labels.get("order") == ORDER and value >= instant:
                    delay = value - instant
                    setattr(self._result, f"confirmed_{what}_delay", delay)
                    self._say("prober", f"{what} confirmed by probe {delay * 1000:.0f} ms after the instant")
                    return
            time.sleep(0.2)
        self._fault(f"the prober did not confirm the {what} within 6 s")

    def _metric(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._web}/metrics", timeout=2) as response:
                text = response.read().decode()
        except (OSError, urllib.error.HTTPError) as error:
            self._fault(f"/metrics did not answer: {error}")
            return
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name:
                    yield dict(sample.labels), sample.value

    def _fault(self, what: str) -> None:
        self._result.faults.append(what)
        self._say("FAULT", what)

    def _say(self, who: str, what: str) -> None:
        self._tell(time.time() - self._start, who, what)


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
