"""The two commands of the README as a stranger meets them: the trial site, running, asked, and stopped."""

from __future__ import annotations

import http.client
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dns.edns
import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rrset
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
UPSTREAMS_ADDRESS = "198.51.100.7"


def free_port() -> int:
    """A port that is free for UDP and TCP alike."""
    while True:
        with (
            closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as udp,
            closing(socket.socket()) as tcp,
        ):
            udp.bind(("127.0.0.1", 0))
            port: int = udp.getsockname()[1]
            try:
                tcp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextmanager
def upstream() -> Iterator[int]:
    """A resolver that knows one address for every name; yields its port."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                octets, client = server.recvfrom(4096)
                if octets == b"stop":
                    return
                query = dns.message.from_wire(octets)
                answer = dns.message.make_response(query, recursion_available=True)
                if query.question[0].rdtype == dns.rdatatype.A:
                    name = query.question[0].name
                    answer.answer.append(dns.rrset.from_text(name, 300, "IN", "A", UPSTREAMS_ADDRESS))
                server.sendto(answer.to_wire(), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.sendto(b"stop", server.getsockname())
            thread.join()


class Site:
    """The trial site on ports of its own, with our upstream."""

    def __init__(self, folder: Path, upstream_port: int) -> None:
        shutil.copytree(ROOT / "policies", folder / "policies")
        self.folder, self.dns, self.web = folder, free_port(), free_port()
        path = folder / "policies" / "site.yaml"
        text = path.read_text(encoding="utf-8")
        for old, new in (
            (', "[::1]:5300"]', "]"),
            ('"127.0.0.1:5300"', f'"127.0.0.1:{self.dns}"'),
            ('"127.0.0.1:9353"', f'"127.0.0.1:{self.web}"'),
            ("upstreams: system", f'upstreams: ["127.0.0.1:{upstream_port}"]'),
        ):
            assert old in text
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")

    def command(self, *arguments: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "blocker", *arguments)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )

    def ask(self, name: str) -> dns.message.Message:
        query = dns.message.make_query(name, "A", use_edns=0)
        return dns.query.udp(query, "127.0.0.1", port=self.dns, timeout=2)

    def get(self, path: str) -> str:
        with closing(http.client.HTTPConnection("127.0.0.1", self.web, timeout=5)) as connection:
            connection.request("GET", path)
            return connection.getresponse().read().decode("utf-8")

    def wait_until_it_answers(self) -> None:
        for _ in range(100):
            try:
                self.ask("blocked.example")
                self.get("/healthz")
            except (dns.exception.Timeout, OSError):
                time.sleep(0.1)
            else:
                return
        pytest.fail("the daemon did not answer")


@contextmanager
def running(folder: Path) -> Iterator[tuple[Site, subprocess.Popen[str]]]:
    with upstream() as port:
        site = Site(folder, port)
        applied = site.call("apply", "--yes")
        assert applied.returncode == 0, applied.stderr
        with subprocess.Popen(
            site.command("run"), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as daemon:
            try:
                site.wait_until_it_answers()
                yield site, daemon
            finally:
                daemon.kill()


def metric(text: str, name: str) -> float:
    """The sum of a metric over its labels."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))


def test_the_trial_site_blocks_passes_counts_verifies_and_ends_when_asked(tmp_path: Path) -> None:
    with running(tmp_path) as (site, daemon):
        blocked = site.ask("blocked.example")
        passed = site.ask("www.example.com")
        metrics = site.get("/metrics")
        verified = site.call("verify")
        daemon.send_signal(signal.SIGINT)
        code = daemon.wait(timeout=10)
        assert daemon.stdout is not None
        told = daemon.stdout.read()

    assert blocked.rcode() == dns.rcode.NXDOMAIN
    (ede,) = [option for option in blocked.options if isinstance(option, dns.edns.EDEOption)]
    assert ede.code == dns.edns.EDECode.CENSORED
    assert "trial/2026-01-01-reserved-names/subtree" in (ede.text or "")

    assert [str(record) for answer in passed.answer for record in answer] == [UPSTREAMS_ADDRESS]
    assert metric(metrics, "blocker_blocked_total") >= 1
    assert metric(metrics, "blocker_forwarded_total") >= 1

    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert code == 0
    assert "Traceback" not in told
