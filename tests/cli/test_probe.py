"""One question to one point, seen in full."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import dns.message
import dns.rrset
import pytest
from scapy.layers.inet import TCP
from scapy.utils import PcapNgReader

from blocker.cli import probed
from blocker.prober import judge
from blocker.site import Endpoint
from tests.prober import forger
from tests.prober.world import answer, real

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Site

CAP_NET_RAW, PR_CAPBSET_DROP = 13, 24  # capabilities(7), prctl(2)


def with_point(site: Site, point: Endpoint, more: str = "") -> None:
    path = site.folder / "site.yaml"
    path.write_text(
        path.read_text() + f'prober: {{canaries: [canary.example], reference: ["{point}"]}}\n'
        f'points:\n  - {{name: p1, kind: embedded, address: "{point}", region: ID{more}}}\n'
    )


def blocking(query: dns.message.Message) -> dns.message.Message:
    """As a point that blocks below shop.example."""
    if "shop.example" not in query.question[0].name.to_text():
        return real(query)
    made = answer(query, rcode=3, ede=(16,))
    made.authority.append(dns.rrset.from_text("shop.example.", 30, "IN", "SOA", "a. b. 1 2 3 4 5"))
    return made


def probed_json(site: Site, *words: str) -> tuple[int, dict[str, Any]]:
    ran = site.run("probe", "www.shop.example", "--point", "p1", "--linger", "0.1", "--json", *words)
    return ran.code, json.loads(ran.out)


def test_a_block_is_shown_with_its_query_its_answer_what_was_expected_and_the_rule(site: Site) -> None:
    with forger.answering(blocking) as point:
        with_point(site, point)
        site.block("shop", "shop.example")
        assert site.apply().code == 0
        ran = site.run("probe", "www.shop.example", "--point", "p1", "--linger", "0.1")
    assert ran.code == 0, ran.out
    said = " ".join(ran.out.split())
    for words in (
        "www.shop.example A at p1",
        "www.shop.example. IN A, flags RD, EDNS of 1232 octets, NSID",
        "0377 7777 0473 686f",
        "NXDOMAIN, flags QR RD RA",
        "IP TTL 64",
        "SOA in AUTHORITY: shop.example 30 SOA a. b. 1 2 3 4 5",
        "EDE 16 Censored: court/o1/d",
        "EDNS of 1232 octets",
        "0 to other questions, 0 malformed, 0 contradicting the first",
        "nxdomain in ID, because of a/shop/one",
        "canary.example NOERROR",
        "ok by rule blocked-with-attribution",
    ):
        assert words in said
    assert max(map(len, ran.out.splitlines())) <= 80


def test_a_leak_is_a_finding_that_a_second_sample_confirms(site: Site) -> None:
    with forger.answering(real) as point:
        with_point(site, point)
        site.block("shop", "shop.example")
        site.apply()
        code, told = probed_json(site)
    (one,) = told["probes"]
    assert code == 1
    assert (one["finding"]["kind"], one["finding"]["rules_version"]) == ("underblock", judge.VERSION)
    assert one["expected"]["because"] == ["a/shop/one"]
    assert len(one["samples"]) == 2
    assert one["samples"][0]["answers"][0]["records"] == [
        {"owner": "www.shop.example", "type": "A", "ttl": 60, "data": "198.51.100.7"}
    ]
    assert {control["name"] for control in one["controls"]} == {"canary.example"}


def test_without_a_policy_it_asks_and_judges_nothing(site: Site) -> None:
    with forger.answering(real) as point:
        with_point(site, point)
        code, told = probed_json(site)
    (one,) = told["probes"]
    assert code == 1
    assert (one["expected"], one["finding"]) == (None, None)
    assert "there is no policy store yet" in one["unjudged"]
    assert len(one["samples"]) == 1
    assert len(one["controls"]) == 2


def test_each_variant_is_a_probe_of_its_own(site: Site) -> None:
    with forger.answering(real) as point:
        with_point(site, point)
        _, told = probed_json(site, "--variant", "udp+do", "--variant", "udp+no-edns+mixed-case")
    assert [one["variant"] for one in told["probes"]] == ["udp+do", "udp+no-edns+mixed-case"]
    assert b"WwW" in bytes.fromhex(told["probes"][1]["samples"][0]["query"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["not a name", "--point", "p1"], "is not a domain name"),
        (["a.example", "--point", "p2"], "'p2' is no point of this site; it has p1"),
        (["a.example", "--point", "p1", "--type", "NOPE"], "'NOPE' is not a query type"),
        (["a.example", "--point", "p1", "--type", "TYPE65536"], "'TYPE65536' is not a query type"),
        (["a.example", "--point", "p1", "--variant", "pigeon"], "'pigeon' is no way to ask"),
        (["a.example", "--point", "p1", "--variant", "udp+loud"], "'udp+loud' is no way to ask"),
        (["a.example", "--point", "p1", "--variant", "dot"], "p1 can't be asked over dot"),
        (["a.example", "--point", "p1", "--variant", "udp+address-2"], "gives it 1 of them"),
        (["a.example", "--point", "p1", "--variant", "udp+outside"], "gives it no outside"),
    ],
)
def test_what_cannot_be_asked_is_said(site: Site, words: list[str], said: str) -> None:
    with_point(site, Endpoint("127.0.0.1", 9))
    ran = site.run("probe", *words)
    assert ran.code == 2
    assert said in " ".join(ran.err.replace("│", " ").split())


def test_what_an_answer_says_never_writes_to_the_terminal() -> None:
    assert probed._shown("a\x1b[2Jb\u202e") == "a\\u001b[2Jb\\u202e"


def test_an_injected_answer_is_captured_told_and_written(site: Site, tmp_path: Path) -> None:
    forger.may_capture()

    def inject(query: dns.message.Message, point: Endpoint, client: Endpoint) -> None:
        if "shop" in query.question[0].name.to_text():
            forger.forged(answer(query, addresses=("203.0.113.66",)).to_wire(), point, client)

    path = tmp_path / "out.pcapng"
    with forger.answering(blocking, before=inject) as point:
        with_point(site, point)
        site.block("shop", "shop.example")
        site.apply()
        ran = site.run("probe", "www.shop.example", "--point", "p1", "--capture", str(path))
        code, told = probed_json(site, "--capture", str(path))
    said = " ".join(ran.out.split())
    assert ran.code == code == 1
    assert "captured injected: 2 answers to this query" in said
    assert "it has an IP TTL of 44; answers to controls came with 64 (ip-ttl)" in said
    assert "injected by rule second-origin" in said
    assert max(map(len, ran.out.replace(str(path), "").splitlines())) <= 80
    (one,) = told["probes"]
    assert {found["verdict"] for found in one["captured"]} == {"injected"}
    with PcapNgReader(str(path)) as reader:
        assert len(list(reader)) == told["capture"]["packets"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_healthy_point_is_fine_under_capture(site: Site, tmp_path: Path) -> None:
    forger.may_capture()
    with forger.answering(blocking) as point:
        with_point(site, point)
        site.block("shop", "shop.example")
        site.apply()
        code, told = probed_json(site, "--capture", str(tmp_path / "out.pcapng"))
    (one,) = told["probes"]
    (found,) = one["captured"]
    assert code == 0
    assert (found["verdict"], found["signs"]) == ("single", [])
    assert told["capture"] == {"file": str(tmp_path / "out.pcapng"), "packets": 6, "lost": 0}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_query_that_gets_less_far_is_sent_with_its_ip_ttl_and_whoever_answers_it_is_told(
    site: Site, tmp_path: Path, host: str
) -> None:
    forger.may_capture()
    words = ("--capture", str(tmp_path / "out.pcapng"), "--timeout", "0.2", "--hops", "1")
    with forger.answering(blocking, host=host) as point:
        with_point(site, point)
        _, told = probed_json(site, *words)
        ran = site.run("probe", "www.shop.example", "--point", "p1", "--linger", "0", *words)
    (one,) = told["probes"]
    assert one["captured"][0]["sent_with_ip_ttl"] == 64
    # Nothing is between us and a point on loopback: it is the point that answers.
    assert (one["nearer"]["sent_with_ip_ttl"], one["nearer"]["verdict"]) == (1, "single")
    assert told["capture"]["packets"] == 8
    assert "nearer sent with an IP TTL of 1: single: 1 answer to this query" in " ".join(ran.out.split())


@pytest.mark.parametrize("words", [[], ["--capture", "out.pcapng", "--variant", "tcp"]])
def test_a_query_that_gets_less_far_is_refused_where_nobody_would_see_an_answer(
    site: Site, words: list[str]
) -> None:
    with_point(site, Endpoint("127.0.0.1", 9))
    ran = site.run("probe", "a.example", "--point", "p1", "--hops", "3", *words)
    assert ran.code == 2
    assert "needs --capture, and goes over UDP" in " ".join(ran.err.replace("│", " ").split())


def test_the_packets_of_an_encrypted_probe_are_kept_and_not_read(site: Site, tmp_path: Path) -> None:
    forger.may_capture()
    path = tmp_path / "out.pcapng"
    with forger.answering(real) as point, socket.create_server(("127.0.0.1", 0)) as mute:
        dot = Endpoint(*mute.getsockname())
        with_point(site, point, f', tls: {{name: dns.isp.example, dot: "{dot}"}}')
        code, told = probed_json(site, "--variant", "dot", "--capture", str(path), "--timeout", "0.3")
    (one,) = told["probes"]
    assert code == 1
    assert (one["variant"], one["captured"]) == ("dot", [])
    with PcapNgReader(str(path)) as reader:
        ports = {frozenset((frame[TCP].sport, frame[TCP].dport)) for frame in reader}
    assert ports
    assert all(dot.port in pair for pair in ports)


def test_a_file_that_cannot_be_written_costs_nothing_of_what_was_seen(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forger.may_capture()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with forger.answering(blocking) as point:
        with_point(site, point)
        site.block("shop", "shop.example")
        site.apply()
        monkeypatch.setattr("blocker.prober.examine.write", full)
        ran = site.run(
            "probe", "www.shop.example", "--point", "p1", "--linger", "0", "--capture", str(tmp_path / "o")
        )
    assert ran.code == 4
    assert "No space left on device" in ran.err
    assert "blocked-with-attribution" in ran.out


@pytest.mark.parametrize("is_secret", [True, False])
def test_nobody_but_the_point_is_asked_for_a_name_that_is_still_a_secret(site: Site, is_secret: bool) -> None:
    asked: list[str] = []

    def note(query: dns.message.Message, _point: Endpoint, _client: Endpoint) -> None:
        asked.append(query.question[0].name.to_text())

    with (
        forger.answering(real, before=note) as reference,
        forger.answering(lambda query: answer(query, rcode=3)) as point,
    ):
        with_point(site, point)
        path = site.folder / "site.yaml"
        path.write_text(path.read_text().replace(f'reference: ["{point}"]', f'reference: ["{reference}"]'))
        publication = "sealed-until-effective" if is_secret else "public"
        site.block("shop", "shop.example", start="2098-01-01", publication=publication)
        site.apply()
        _, told = probed_json(site)
    assert ("www.shop.example." in asked) is not is_secret
    assert told["probes"][0]["expected"]["form"] == "pass"
    assert told["probes"][0]["expected"]["ref"] == (None if is_secret else "a/shop/one")


def without_raw() -> None:
    """Take the capability from the process that is about to start; whoever isn't root never had it."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0)


def command(site: Site, *words: str) -> list[str]:
    start = [sys.executable, "-m", "blocker", "--site", str(site.folder / "site.yaml"), "probe"]
    return [*start, "www.shop.example", "--point", "p1", *words]


def test_without_the_capability_a_capture_is_refused_plainly_and_nothing_is_sent(
    site: Site, tmp_path: Path
) -> None:
    asked: list[Any] = []
    with forger.answering(real, before=lambda *args: asked.append(args)) as point:
        with_point(site, point)
        words = command(site, "--capture", str(tmp_path / "out.pcapng"))
        ran = subprocess.run(words, capture_output=True, text=True, check=False, preexec_fn=without_raw)
    assert ran.returncode == 5
    assert "needs the capability CAP_NET_RAW" in ran.stderr
    assert "setcap cap_net_raw+ep" in ran.stderr
    assert "AmbientCapabilities=CAP_NET_RAW" in ran.stderr
    assert ran.stdout == ""
    assert asked == []
    assert not (tmp_path / "out.pcapng").exists()


def test_without_the_capability_everything_else_works(site: Site) -> None:
    with forger.answering(blocking) as point:
        with_point(site, point)
        site.block("shop", "shop.example")
        site.apply()
        words = command(site, "--linger", "0")
        ran = subprocess.run(words, capture_output=True, text=True, check=False, preexec_fn=without_raw)
    assert ran.returncode == 0, ran.stderr
    assert "blocked-with-attribution" in ran.stdout


@pytest.fixture
def _heeded() -> Iterator[None]:
    """Ctrl-C, which a shell's background jobs ignore, and so does what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_heeded")
def test_ctrl_c_ends_a_capture_with_what_was_seen(site: Site, tmp_path: Path) -> None:
    forger.may_capture()
    path, asked = tmp_path / "out.pcapng", []
    with forger.answering(blocking, before=lambda *args: asked.append(args)) as point:
        with_point(site, point)
        words = command(site, "--capture", str(path), "--linger", "30")
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            deadline = time.monotonic() + 60
            while len(asked) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped" in err
    assert "judgement  none" in out
    with PcapNgReader(str(path)) as reader:
        assert len(list(reader)) >= 2
