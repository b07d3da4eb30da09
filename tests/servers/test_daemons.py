"""What people would be called about at night: the daemon `blocker run`, with faults planted."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dns.edns
import dns.message
import dns.rcode
import pytest

from tests.servers import lab

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.servers.conftest import Lab

BLOCKED, FREE = "blocked.example", "free.example"


@pytest.fixture
def applied(site: Lab) -> Lab:
    site.order("one", BLOCKED, start="2026-01-01", until="2099-01-01")
    ran = site.verb("apply", "--yes")
    assert ran.returncode == 0, ran.stderr
    return site


@contextmanager
def running(site: Lab, verb: str = "run") -> Iterator[subprocess.Popen[bytes]]:
    log = site.folder / "daemon.log"
    with lab.started(lab.blocker(site.site, verb), log) as daemon:
        lab.until_answering(site.dns, daemon, log)
        yield daemon


def is_blocked(site: Lab, name: str = BLOCKED) -> bool:
    answer = lab.ask(site.dns, name)
    assert answer is not None
    return any(isinstance(one, dns.edns.EDEOption) and one.code == 16 for one in answer.options)


def until(happens: object, seconds: float = 20.0) -> bool:
    """Whether it happens within some seconds."""
    assert callable(happens)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.05)
    return False


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def metrics(site: Lab) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{site.web}/metrics", timeout=3) as response:
        return str(response.read().decode())


def ede_text(answer: dns.message.Message) -> list[str]:
    return [str(one.text) for one in answer.options if isinstance(one, dns.edns.EDEOption)]


def test_run_blocks_with_the_order_passes_the_rest_and_shows_both(applied: Lab) -> None:
    with running(applied):
        answer = lab.ask(applied.dns, f"www.{BLOCKED}")
        assert answer is not None
        assert answer.rcode() == dns.rcode.NXDOMAIN
        assert ede_text(answer) == ["lab/one/one https://isp.example/b"]
        assert not is_blocked(applied, FREE)
        assert until(lambda: "blocker_directives_in_force 1.0" in metrics(applied))
        assert until(lambda: 'blocker_blocked_total{worker="0"}' in metrics(applied))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_told_and_says_nothing_alarming(applied: Lab, number: int) -> None:
    with running(applied) as daemon:
        daemon.send_signal(number)
        assert daemon.wait(20) == 0
    log = (applied.folder / "daemon.log").read_text()
    assert "Traceback" not in log
    assert "ended after" not in log


def test_a_second_daemon_is_refused_by_the_first_ones_pid(applied: Lab) -> None:
    with running(applied, "serve") as daemon:
        second = applied.verb("serve")
        assert second.returncode == 4
        assert f"held by process {daemon.pid}" in second.stderr


@pytest.mark.parametrize("which", ["dns", "web"])
def test_a_taken_port_is_named_and_nothing_runs(applied: Lab, which: str) -> None:
    port = applied.dns if which == "dns" else applied.web
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        ran = applied.verb("run")
    assert ran.returncode == 5
    assert f"127.0.0.1:{port}" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_without_a_policy_it_says_what_to_do(site: Lab) -> None:
    ran = site.verb("run")
    assert ran.returncode == 4
    assert "`blocker apply` makes it" in ran.stderr


def test_a_killed_worker_comes_back(applied: Lab) -> None:
    with running(applied, "serve") as daemon:
        before = children(daemon.pid)
        os.kill(before[0], signal.SIGKILL)
        assert until(lambda: len(set(children(daemon.pid)) - set(before)) == 1)
        assert until(lambda: all(lab.ask(applied.dns, BLOCKED, timeout=0.5) is not None for _ in range(8)))


def test_orders_folder_and_store_may_vanish_while_it_runs(applied: Lab) -> None:
    with running(applied):
        shutil.rmtree(applied.folder / "orders")
        (applied.folder / "state" / "policy.lmdb").unlink()
        time.sleep(0.3)
        assert is_blocked(applied)
        assert not is_blocked(applied, FREE)
        assert "blocker_policy_last_load_success 0.0" in metrics(applied) or until(
            lambda: "blocker_policy_last_load_success 0.0" in metrics(applied)
        )
    ran = applied.verb("apply", "--yes")
    assert ran.returncode == 2
    assert "orders-missing" in ran.stderr


def test_a_new_generation_is_enforced_at_once(applied: Lab) -> None:
    with running(applied, "serve"):
        assert not is_blocked(applied, FREE)
        applied.order("two", FREE, start="2026-01-01", until="2099-01-01")
        assert applied.verb("apply", "--yes").returncode == 0
        assert until(lambda: is_blocked(applied, FREE), 0.5)


def test_withhold_frees_at_once(applied: Lab) -> None:
    with running(applied, "serve"):
        assert is_blocked(applied)
        assert applied.verb("withhold", "lab/one", "--reason", "mistake").returncode == 0
        assert until(lambda: not is_blocked(applied), 0.5)


def test_a_store_made_anew_is_picked_up(applied: Lab) -> None:
    with running(applied, "serve"):
        shutil.rmtree(applied.folder / "state" / "archive")
        (applied.folder / "state" / "policy.lmdb").unlink()
        (applied.folder / "state" / "policy.lmdb-lock").unlink()
        applied.order("two", FREE, start="2026-01-01", until="2099-01-01")
        assert applied.verb("apply", "--yes").returncode == 0
        assert until(lambda: is_blocked(applied, FREE), 2)
        assert is_blocked(applied)


def test_a_truncated_store_is_a_sentence_not_a_crash(applied: Lab) -> None:
    store = applied.folder / "state" / "policy.lmdb"
    os.truncate(store, store.stat().st_size // 2)
    for words in (("run",), ("apply", "--yes"), ("explain", FREE, "--live")):
        ran = applied.verb(*words)
        assert ran.returncode == 4, words
        assert "truncated" in ran.stderr
        assert "move it away" in ran.stderr


def test_hangup_re_reads_the_site_and_answers_meanwhile(applied: Lab) -> None:
    with running(applied) as daemon:
        text = applied.site.read_text()
        applied.site.write_text(text.replace("node: lab", "node: renamed"))
        daemon.send_signal(signal.SIGHUP)
        gaps = []

        def is_renamed() -> bool:
            answer = lab.ask(applied.dns, BLOCKED, timeout=0.5)
            gaps.append(answer is None)
            return name_of(applied) == "renamed"

        assert until(is_renamed)
        assert not any(gaps)


def test_hangup_with_a_broken_site_keeps_the_old_one(applied: Lab) -> None:
    with running(applied) as daemon:
        applied.site.write_text("site: {")
        daemon.send_signal(signal.SIGHUP)
        assert until(lambda: "not reloaded" in (applied.folder / "daemon.log").read_text())
        assert is_blocked(applied)
        assert name_of(applied) == "lab"


def test_a_sealed_order_leaves_no_trace_in_what_daemons_log_and_show(
    site: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLOCKER_LOG", "json")
    site.order("hushed-case", "hush-hush.example", start="2026-01-01", until="2099-01-01")
    path = site.folder / "orders" / "lab" / "hushed-case.yaml"
    path.write_text(path.read_text().replace("publication: public", "publication: sealed"))
    assert site.verb("apply", "--yes").returncode == 0
    log = site.folder / "daemon.log"
    with running(site) as daemon:
        assert is_blocked(site, "www.hush-hush.example")
        assert until(lambda: "blocker_findings_ok_by_order{" in metrics(site), 10)
        shown = metrics(site)
        for page in ("readyz", "readyz/prober", "readyz/push"):
            with urllib.request.urlopen(f"http://127.0.0.1:{site.web}/{page}", timeout=3) as response:
                shown += response.read().decode()
        os.kill(children(daemon.pid)[0], signal.SIGKILL)
        site.site.write_text("site: {")
        daemon.send_signal(signal.SIGHUP)
        assert until(lambda: "not reloaded" in log.read_text())
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"blocker", "supervisor"} <= {line["part"] for line in lines}
    assert not re.search(r"hush|2099|4070908800|4\.0709", shown + log.read_text())


def name_of(site: Lab) -> str:
    """What the resolver calls itself: id.server in class CHAOS."""
    query = dns.message.make_query("id.server", "TXT", "CH")
    answer = dns.query.udp(query, "127.0.0.1", port=site.dns, timeout=1)
    return str(answer.answer[0][0]).strip('"')


@pytest.mark.parametrize("step", ["+3600s", "-3600s"])
def test_the_clock_may_step_by_an_hour(site: Lab, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts follow the wall clock, and nothing hangs or dies."""
    library = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    if library is None:
        pytest.skip("libfaketime is not installed: apt-get install faketime")
    now = int(time.time())
    span = (now + 1800, now + 5400) if step[0] == "+" else (now - 5400, now - 1800)
    iso = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in span]
    site.order("one", BLOCKED, start=iso[0], until=iso[1])
    assert site.verb("apply", "--yes").returncode == 0
    clock = site.folder / "clock"
    clock.write_text("+0\n")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    with running(site):
        assert not is_blocked(site)
        clock.write_text(f"{step}\n")
        assert until(lambda: is_blocked(site), 3)
        clock.write_text("+0\n")
        assert until(lambda: not is_blocked(site), 3)
        assert "blocker_directives_in_force 0.0" in metrics(site)
