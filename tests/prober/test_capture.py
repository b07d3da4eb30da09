from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, UDP
from scapy.utils import PcapNgReader

from blocker.errors import PointError, StoreError
from blocker.prober import capture, forensics
from blocker.prober.capture import Capture
from blocker.prober.forensics import Verdict
from blocker.prober.observe import OVER_TCP, PLAIN, Observation, Transport, Variant
from blocker.prober.transports import probe
from blocker.site import Endpoint, Point
from tests.prober import forger
from tests.prober.world import A, answer, key, real, serving
from tests.servers import lab

if TYPE_CHECKING:
    from pathlib import Path

    import dns.message

NAME, CANARY = key("www.shop.example"), key("canary.example")


@pytest.fixture(autouse=True)
def capability() -> None:
    forger.may_capture()


async def exchange(point: Point, variant: Variant = PLAIN, *, linger: float = 0.2) -> list[Observation]:
    """Control, probe, control."""
    return [
        await probe(point, (name, A), variant, linger=linger if name == NAME else 0.0)
        for name in (CANARY, NAME, CANARY)
    ]


def captured(
    endpoint: Endpoint, variant: Variant = PLAIN, *, noise: bytes = b""
) -> tuple[Capture, list[Observation]]:
    point = Point(name="p1", kind="embedded", address=endpoint, region="ID")

    async def main() -> tuple[Capture, list[Observation]]:
        async with Capture(endpoint) as kept:
            if noise:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                    other.sendto(noise, endpoint)
            return kept, await exchange(point, variant)

    return asyncio.run(main())


def judged(kept: Capture, seen: list[Observation]) -> forensics.Analysis:
    before, sample, after = seen
    return forensics.analyse(kept.packets(), sample, [before, after], kept.endpoint)


def inject(query: dns.message.Message, point: Endpoint, client: Endpoint) -> None:
    """What a forger on the path does, who is after one name alone."""
    if "shop" in query.question[0].name.to_text():
        forger.forged(answer(query, addresses=("203.0.113.66",)).to_wire(), point, client)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_every_packet_on_loopback_is_counted_once(host: str) -> None:
    with forger.answering(real, host=host) as point:
        kept, seen = captured(point)
    packets = kept.packets()
    assert [packet.payload for packet in packets] == [
        octets for one in seen for octets in (one.query, one.arrivals[0].octets)
    ]
    assert {packet.ip_ttl for packet in packets} == {64}
    assert kept.lost == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_answer_forged_on_the_path_is_told_from_the_points_own(host: str) -> None:
    with forger.answering(real, host=host, before=inject) as point:
        kept, seen = captured(point)
    found = judged(kept, seen)
    assert found.verdict is Verdict.INJECTED
    (sign,) = [one for one in found.signs if one.id == "ip-ttl"]
    assert sign.answer is not None
    assert found.answers[sign.answer].packet.ip_ttl == 44
    assert sign.sentence == "it has an IP TTL of 44; answers to controls came with 64"


def test_a_forged_answer_with_a_wrong_checksum_never_reaches_the_probe_and_is_captured() -> None:
    def damaged(query: dns.message.Message, point: Endpoint, client: Endpoint) -> None:
        octets = answer(query, addresses=("203.0.113.66",)).to_wire()
        forger.forged(octets, point, client, ttl=64, checksum=0xBAD)

    with forger.answering(real, before=damaged) as point:
        kept, seen = captured(point)
    assert len(seen[1].arrivals) == 1
    found = judged(kept, seen)
    assert found.verdict is Verdict.INJECTED
    assert "checksum" in {one.id for one in found.signs}


def test_a_healthy_point_gives_no_sign() -> None:
    with forger.answering(real) as point:
        kept, seen = captured(point)
    found = judged(kept, seen)
    assert (found.verdict, found.signs, len(found.answers)) == (Verdict.SINGLE, (), 1)


def test_a_point_that_contradicts_itself_is_no_injection() -> None:
    def twice(query: dns.message.Message) -> list[bytes]:
        return [real(query).to_wire(), answer(query, rcode=3).to_wire()]

    with forger.answering(twice) as point:
        kept, seen = captured(point)
    assert judged(kept, seen).verdict is Verdict.CONTRADICTION


def test_an_exchange_over_tcp_is_captured_from_its_opening_to_its_end() -> None:
    async def main() -> tuple[Capture, list[Observation]]:
        async with serving(real) as server, Capture(server.endpoint) as kept:
            return kept, await exchange(server.point(), OVER_TCP)

    kept, seen = asyncio.run(main())
    packets = kept.packets()
    assert {packet.transport for packet in packets} == {Transport.TCP}
    assert sum(packet.opens for packet in packets) == len(seen)
    found = judged(kept, seen)
    assert (found.verdict, found.signs) == (Verdict.SINGLE, ())


def test_the_file_opens_with_scapy_holds_our_packets_alone_and_is_ours_to_read(tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    with forger.answering(real) as point:
        kept, seen = captured(point)
        strange = captured(point)[1]
    capture.write(path, kept.frames(forensics.ours(kept.packets(), seen, kept.endpoint)))
    assert path.stat().st_mode & 0o777 == 0o600
    with PcapNgReader(str(path)) as reader:
        read = list(reader)
    assert [bytes(frame[UDP].payload) for frame in read] == [packet.payload for packet in kept.packets()]
    assert [float(frame.time) for frame in read] == pytest.approx([one.at for one in kept.packets()])
    assert {frame[IP].ttl for frame in read} == {64}
    assert kept.frames(forensics.ours(kept.packets(), strange, kept.endpoint)) == []
    assert [one.name for one in tmp_path.iterdir()] == ["out.pcapng"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_file_opens_with_tcpdump(tmp_path: Path, host: str) -> None:
    tcpdump, path = lab.program("tcpdump"), tmp_path / "out.pcapng"
    with forger.answering(real, host=host) as point:
        kept, seen = captured(point)
    capture.write(path, kept.frames(forensics.ours(kept.packets(), seen, kept.endpoint)))
    words = [tcpdump, "-n", "-tt", "-r", str(path)]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = ran.stdout.splitlines()
    assert len(lines) == 2 * len(seen)
    assert all(f".{point.port}" in line for line in lines)
    shown = [float(line.split()[0]) for line in lines]
    assert shown == pytest.approx([one.at for one in kept.packets()], rel=0, abs=2e-6)


def test_what_others_here_ask_the_same_point_is_not_written() -> None:
    noise = bytes.fromhex("123401000001000000000000056f746865720000010001")
    with forger.answering(real) as point:
        kept, seen = captured(point, noise=noise)
    assert noise in [packet.payload for packet in kept.packets()]
    frames = kept.frames(forensics.ours(kept.packets(), seen, kept.endpoint))
    assert noise not in [bytes(frame[UDP].payload) for frame in frames]
    assert len(frames) == 2 * len(seen)


def test_a_capture_is_bounded_and_says_what_it_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "MOST_PACKETS", 4)
    with forger.answering(real) as point:
        kept, _ = captured(point)
    assert (len(kept.packets()), kept.lost) == (4, 2)


def test_a_file_that_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        capture.write(tmp_path / "out.pcapng", [])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no file can be written"):
        capture.require_room(tmp_path / "missing" / "out.pcapng")


def test_an_address_without_a_route_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    conf = capture._conf()
    monkeypatch.setattr(conf.route, "route", lambda _: (conf.loopback_name, "", ""))

    async def main() -> None:
        async with Capture(Endpoint("192.0.2.1", 53)):
            pass

    with pytest.raises(PointError, match=r"no route to 192\.0\.2\.1"):
        asyncio.run(main())


def test_nothing_of_scapy_is_loaded_before_a_capture() -> None:
    code = "import sys, blocker.prober.capture, blocker.cli.probe; print('scapy' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
