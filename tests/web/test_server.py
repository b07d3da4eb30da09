from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from blocker.errors import PointError
from blocker.fleet import report as fleet
from blocker.fleet.report import Purged, Pushed
from blocker.prober import report
from blocker.prober.report import EvidenceView, Snapshot
from blocker.site import Endpoint
from blocker.web import server
from tests.prober.world import block, commit, site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blocker.site import Point


@contextmanager
def serving(state: Path, *points: Point, port: int = 0) -> Iterator[int]:
    """The web side on a loopback port, in a thread."""
    listening = server.bind(Endpoint("127.0.0.1", port))
    port = listening.getsockname()[1]
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(
            server.serve(site(state, *points), listening, lambda: None, stop)
        )
    )
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        assert not thread.is_alive()
        loop.close()


def say(port: int, octets: bytes) -> bytes:
    """All that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(octets)
        found = b""
        while chunk := connection.recv(65536):
            found += chunk
    return found


def get(port: int, path: str, method: str = "GET", host: str = "x") -> tuple[int, str, str]:
    """Status, head and body."""
    found = say(port, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = found.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


@pytest.fixture
def live(tmp_path: Path) -> Iterator[int]:
    now = time.time()
    commit(tmp_path, block("x.example", start=now - 60, until=now + 600))
    with serving(tmp_path) as port:
        yield port


def test_metrics_are_served_as_prometheus_text(live: int) -> None:
    status, head, body = get(live, "/metrics")
    assert status == 200
    assert "content-type: text/plain; version=" in head
    assert "blocker_directives_in_force 1.0" in body


def test_it_lets_go_of_the_store_when_it_ends(tmp_path: Path) -> None:
    commit(tmp_path)
    for _ in range(2):  # LMDB opens a file once in a process.
        with serving(tmp_path) as port:
            assert "blocker_policy_last_load_success 1.0" in get(port, "/metrics")[2]


def test_a_live_policy_is_ready_and_a_running_process_is_up(live: int) -> None:
    assert get(live, "/healthz")[::2] == (200, "up\n")
    assert get(live, "/readyz")[::2] == (200, "ready\n")


def test_without_a_policy_the_process_is_up_and_not_ready(tmp_path: Path) -> None:
    with serving(tmp_path) as port:
        assert get(port, "/healthz")[0] == 200
        status, _, body = get(port, "/readyz")
        assert status == 503
        assert "blocker apply" in body
        assert "blocker_policy_last_load_success 0.0" in get(port, "/metrics")[2]


def test_readiness_to_answer_says_nothing_of_prober_and_pusher_which_have_their_own(
    live: int, tmp_path: Path
) -> None:
    assert get(live, "/readyz/prober")[::2] == (503, "not ready: there is no report of a prober\n")
    assert get(live, "/readyz/push")[::2] == (200, "ready\n")

    (tmp_path / report.FILE).write_text(report.to_json(Snapshot(at=time.time())))
    (tmp_path / fleet.FOLDER).mkdir()
    pushed = (tmp_path / fleet.FOLDER / "a.json", Pushed(target="dnsdist", sent_at=1.0))
    pushed[0].write_text(fleet.to_json((pushed[1], Purged(point="p1"))))
    assert get(live, "/readyz/prober")[0] == get(live, "/readyz/push")[0] == 200

    (tmp_path / report.FILE).write_text(report.to_json(Snapshot(at=time.time(), trouble="no policy")))
    pushed[0].write_text(fleet.to_json((Pushed(target="dnsdist"), Purged(point="p1", trouble="no socket"))))
    assert get(live, "/readyz/prober")[2] == "not ready: no policy\n"
    assert get(live, "/readyz/push")[2] == (
        "not ready: dnsdist does not hold the policy of now; the cache of p1 can't be purged; "
        "the log says why\n"
    )

    failing = Snapshot(at=time.time(), evidence=EvidenceView(trouble="no space left"))
    (tmp_path / report.FILE).write_text(report.to_json(failing))
    assert get(live, "/readyz/prober")[2] == (
        "not ready: evidence or the ledger can't be written; the log says why\n"
    )

    (tmp_path / report.FILE).write_text(report.to_json(Snapshot(at=time.time() - 100)))
    assert "wrote its last report 100 s ago" in get(live, "/readyz/prober")[2]
    assert get(live, "/readyz")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/../etc/passwd", 404), ("POST", "/metrics", 405), ("HEAD", "/metrics", 200)],
)
def test_anything_else_is_refused_in_plain_text(live: int, method: str, path: str, status: int) -> None:
    got, head, _ = get(live, path, method)
    assert got == status
    assert "content-type: text/plain" in head


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "[::1]"])
def test_the_host_header_does_not_matter(live: int, host: str) -> None:
    assert get(live, "/healthz", host=host)[0] == 200


@pytest.mark.parametrize(
    "octets",
    [b"nonsense\r\n\r\n", b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 100_000, b"\x16\x03\x01" + bytes(100)],
    ids=["nonsense", "endless header", "tls"],
)
def test_what_is_not_http_is_ended(live: int, octets: bytes) -> None:
    try:
        found = say(live, octets)
    except ConnectionError:
        found = b""
    assert b" 200 " not in found
    assert get(live, "/healthz")[0] == 200


def test_slow_clients_are_ended_and_connections_bounded(live: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 4)
    monkeypatch.setattr(server, "LIFETIME", 0.5)
    idle = [socket.create_connection(("127.0.0.1", live), timeout=5) for _ in range(12)]
    try:
        for connection in idle:
            connection.sendall(b"GET /healthz HT")
            try:
                assert connection.recv(10) == b""
            except ConnectionError:
                continue
        assert get(live, "/healthz")[0] == 200
    finally:
        for connection in idle:
            connection.close()


def test_a_taken_port_is_named() -> None:
    with server.bind(Endpoint("127.0.0.1", 0), share=False) as first:
        taken = Endpoint(*first.getsockname())
        with pytest.raises(PointError, match=rf"{taken} \(web\.listen\): it is taken by another process"):
            server.bind(taken)


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(PointError, match=r"192\.0\.2\.1:9353"):
        server.bind(Endpoint("192.0.2.1", 9353))


def test_a_site_without_a_web_address_says_so(tmp_path: Path) -> None:
    with pytest.raises(PointError, match=r"web\.listen"):
        server.child(replace(site(tmp_path), web=None))


def test_run_beats_and_ends_at_sigterm(tmp_path: Path) -> None:
    commit(tmp_path)
    beats = Counter[str]()

    def beat() -> None:
        beats.update("b")
        if beats["b"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    server.child(site(tmp_path)).run(beat)
    signal.signal(signal.SIGTERM, before[0])
    signal.signal(signal.SIGINT, before[1])
    assert beats["b"] >= 3
