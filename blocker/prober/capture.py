"""Every packet between this host and one address and port of a point, as the network interface saw it.

Shell, and the only module that knows scapy, which is GPL-2.0-only: it is imported when a capture is asked
for, never otherwise. What it must mind:

- Capturing needs CAP_NET_RAW. Without it nothing is sent and a sentence says what to do.
- On loopback an interface shows every packet twice, as it leaves and as it arrives: only arrivals count.
- The kernel filters by address and port before scapy sees anything, for scapy loses packets on a busy
  interface. What was lost all the same is counted.
- Packets, octets and seconds are bounded.
- Only packets of our own queries are written, for others here may ask the same point. The file may hold
  the names of sealed orders: mode 0600, and whole or not at all.

Fragments after the first have no ports and are left out: our queries ask for answers that need none.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import struct
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from blocker.errors import PointError, StoreError
from blocker.prober.forensics import Checksum, Packet
from blocker.prober.observe import Transport
from blocker.site import Endpoint

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path
    from types import TracebackType

MOST_PACKETS = 4096
MOST_OCTETS = 16 << 20
MOST_SECONDS = 120.0

NEEDS_RAW = (
    "capturing packets needs the capability CAP_NET_RAW, which this process does not have. Run `blocker "
    "probe --capture` as root, or as `systemd-run --pty --uid=blocker -p AmbientCapabilities=CAP_NET_RAW "
    "blocker probe …`, or give it to a copy of the Python that runs blocker, for you alone to start, with "
    "`setcap cap_net_raw+ep`. Without --capture a probe needs no privileges"
)

_BUFFER = 4 << 20  # octets that wait in the kernel, of which it may grant less
_FRAME = 65535 + 64
_SO_ATTACH_FILTER = 26  # socket(7)
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # packet(7)


class Frame(NamedTuple):
    """One packet with its link header, and when the kernel took it (epoch seconds)."""

    at: float
    octets: bytes


class Capture:
    """The packets to and from one address and port, from when it is entered until it is left.

    `lost` counts what was dropped by the kernel, and what was beyond the bounds.
    """

    def __init__(self, asked: Endpoint) -> None:
        self.asked = asked
        # As packets have it, however it was written.
        self.endpoint = Endpoint(str(ip_address(asked.host.partition("%")[0])), asked.port)
        self.interface = ""
        self.lost = 0
        self._frames: list[Frame] = []
        self._octets = 0
        self._until = 0.0
        self._link: Any = None
        self._listener: Any = None

    async def __aenter__(self) -> Self:
        """Raises PointError without the capability, or without a way to the address."""
        _require_raw()
        self.interface = _interface(self.asked.host)
        is_loopback = self.interface == _conf().loopback_name
        try:
            self._listener = _conf().L2listen(iface=self.interface, promisc=False)
            sock: socket.socket = self._listener.ins
            _attach(sock, _filter(self.endpoint, is_loopback=is_loopback))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            sock.setblocking(False)
            _forget(sock)
        except OSError as error:
            why = error.strerror or error
            raise PointError(f"interface {self.interface} can't be captured from: {why}") from error
        self._link = self._listener.LL
        self._until = time.monotonic() + MOST_SECONDS
        asyncio.get_running_loop().add_reader(sock.fileno(), self._take)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sock: socket.socket = self._listener.ins
        asyncio.get_running_loop().remove_reader(sock.fileno())
        self._take()
        with contextlib.suppress(OSError):
            self.lost += struct.unpack("@II", sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
        self._listener.close()

    def _take(self) -> None:
        """Keep what waits in the kernel."""
        for _ in range(MOST_PACKETS):
            try:
                _, octets, at = self._listener.recv_raw(_FRAME)
            except OSError:  # Nothing more, or the interface went away.
                return
            if not octets or _packet(self._link, octets, at, self.endpoint) is None:
                continue
            is_over = len(self._frames) >= MOST_PACKETS or self._octets + len(octets) > MOST_OCTETS
            if is_over or time.monotonic() > self._until:
                self.lost += 1
                continue
            self._frames.append(Frame(at=at, octets=octets))
            self._octets += len(octets)

    def packets(self) -> list[Packet]:
        """What was captured, in the order of its arrival."""
        return [packet for packet, _ in self._read()]

    def frames(self, clients: Collection[Endpoint]) -> list[Any]:
        """The frames to and from these addresses and ports of ours, as scapy has them."""
        found = []
        for packet, (at, octets) in self._read():
            if packet.source in clients or packet.target in clients:
                frame = self._link(octets)
                frame.time, frame.sniffed_on = at, self.interface
                found.append(frame)
        return found

    def _read(self) -> list[tuple[Packet, Frame]]:
        read = ((_packet(self._link, one.octets, one.at, self.endpoint), one) for one in self._frames)
        return [(packet, frame) for packet, frame in read if packet is not None]


def write(path: Path, frames: Sequence[Any]) -> None:
    """Write them as pcapng, readable by us alone; whole, or not at all. Raises OSError."""
    _conf()  # It tells scapy of the link types.
    from scapy.utils import PcapNgWriter  # noqa: PLC0415  # as the module says

    scratch = path.with_name(f".{path.name}.{os.getpid()}.new")
    os.close(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with PcapNgWriter(str(scratch)) as writer:
            writer.write_header(frames[0] if frames else b"")
            for frame in frames:
                writer.write_packet(frame)
            writer.flush()
            os.fsync(writer.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def require_room(path: Path) -> None:
    """Raise StoreError if no file can be made there: before anything is sent, not after."""
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StoreError(f"{path}: no file can be written in {path.parent}")


def _require_raw() -> None:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except PermissionError as error:
        raise PointError(NEEDS_RAW) from error
    except (OSError, AttributeError) as error:
        raise PointError(f"this system has no packet sockets: {error}") from error


def _conf() -> Any:
    import scapy.arch  # noqa: PLC0415  # as the module says
    import scapy.layers.inet6  # noqa: PLC0415 - as the module says
    import scapy.layers.l2  # noqa: F401, PLC0415 - to tell scapy of it
    from scapy.config import conf  # noqa: PLC0415 - as the module says

    return conf


def _interface(host: str) -> str:
    """The interface that packets to the address leave by."""
    conf = _conf()
    is_v6 = ":" in host
    try:
        with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((host, 0))
            return str(conf.loopback_name)  # An address of our own: packets to it stay on the loopback.
    except OSError:
        pass
    route = conf.route6 if is_v6 else conf.route
    found = route.route(host)
    if str(found[0]) == conf.loopback_name and not ip_address(host).is_loopback:
        raise PointError(f"there is no route to {host}")
    return str(found[0])


def _packet(link: Any, octets: bytes, at: float, point: Endpoint) -> Packet | None:
    """The packet, if it is to or from the point over UDP or TCP."""
    from scapy.layers.inet import IP, TCP, UDP  # noqa: PLC0415  # as the module says
    from scapy.layers.inet6 import IPv6  # noqa: PLC0415 - as the module says

    frame = link(octets)
    ip = frame.getlayer(IP) or frame.getlayer(IPv6)
    inner = ip and (ip.getlayer(UDP) or ip.getlayer(TCP))
    if not inner:
        return None
    source, target = Endpoint(ip.src, inner.sport), Endpoint(ip.dst, inner.dport)
    if point not in (source, target):
        return None
    is_v4, is_udp = isinstance(ip, IP), isinstance(inner, UDP)  # Not by what the packet says it is.
    # What the link padded is no part of it. The length is 0 in a packet that the card is to cut up (TSO).
    whole = (ip.len - 4 * ip.ihl) if is_v4 else (ip.plen - (len(ip.original) - 40 - len(inner.original)))
    body = inner.original[:whole] if whole > 0 else inner.original
    return Packet(
        at=at,
        source=source,
        target=target,
        transport=Transport.UDP if is_udp else Transport.TCP,
        ip_ttl=ip.ttl if is_v4 else ip.hlim,
        ip_id=ip.id if is_v4 else None,
        checksum=_checksum(ip, body, is_v4=is_v4, is_udp=is_udp),
        payload=body[8:] if is_udp else body[4 * (inner.dataofs or 5) :],
        sequence=0 if is_udp else inner.seq,
        flags=0 if is_udp else int(inner.flags),
    )


def _checksum(ip: Any, body: bytes, *, is_v4: bool, is_udp: bool) -> Checksum:
    """What the checksum is worth (RFC 768, RFC 9293 §3.1, RFC 8200 §8.1)."""
    from scapy.layers.inet import in4_pseudoheader  # noqa: PLC0415  # as the module says
    from scapy.layers.inet6 import in6_pseudoheader  # noqa: PLC0415 - as the module says
    from scapy.utils import checksum  # noqa: PLC0415 - as the module says

    protocol = socket.IPPROTO_UDP if is_udp else socket.IPPROTO_TCP
    place = 6 if is_udp else 16
    written = int.from_bytes(body[place : place + 2], "big")
    if is_udp and not written:
        return Checksum.NONE
    pseudo = (
        in4_pseudoheader(protocol, ip, len(body))
        if is_v4
        else bytes(in6_pseudoheader(protocol, ip, len(body)))
    )
    if is_v4 and ip.flags.MF:
        return Checksum.PENDING  # The rest of it is in other fragments.
    if checksum(pseudo + body) == 0:
        return Checksum.RIGHT
    # The kernel leaves the sum of the pseudo-header there, for the card to add the rest.
    return Checksum.PENDING if written == ~checksum(pseudo) & 0xFFFF else Checksum.WRONG


# A classic BPF program (bpf(4), the kernel's networking/filter): loads are relative to the network header,
# whatever link header comes before it.
_NET, _AD_PROTOCOL, _AD_TYPE = 0xFFF00000, 0xFFFFF000, 0xFFFFF004
_LD_W, _LD_H, _LD_B, _LD_H_X, _LDX_MSH = 0x20, 0x28, 0x30, 0x48, 0xB1
_JEQ, _JSET, _RET = 0x15, 0x45, 0x06


def _filter(point: Endpoint, *, is_loopback: bool) -> list[tuple[int, int, int, int]]:
    """UDP and TCP to or from the point; on loopback only as it arrives."""
    packed = ip_address(point.host).packed
    is_v4 = len(packed) == 4
    # (code, value, where to go on if equal, else): a name of a place, or "" for the next instruction.
    steps: list[tuple[str, int, int, str, str]] = []

    def step(code: int, value: int = 0, then: str = "", other: str = "", *, at: str = "") -> None:
        steps.append((at, code, value & 0xFFFFFFFF, then, other))

    if is_loopback:
        step(_LD_B, _AD_TYPE)
        step(_JEQ, socket.PACKET_OUTGOING, "drop")
    step(_LD_H, _AD_PROTOCOL)
    step(_JEQ, 0x0800 if is_v4 else 0x86DD, "", "drop")
    step(_LD_B, _NET + (9 if is_v4 else 6))
    step(_JEQ, socket.IPPROTO_UDP, "ports")
    step(_JEQ, socket.IPPROTO_TCP, "", "drop")
    if is_v4:
        step(_LD_H, _NET + 6, at="ports")
        step(_JSET, 0x1FFF, "drop")
        step(_LDX_MSH, _NET)
    else:
        step(0x01, 40, at="ports")  # The length of the header into X.
    for place, port, miss in ((0, 0, "target"), (1, 2, "drop")):
        for at in range(0, len(packed), 4):
            where = _NET + (12 if is_v4 else 8) + place * len(packed) + at
            step(_LD_W, where, at="target" if place and not at else "")
            step(_JEQ, int.from_bytes(packed[at : at + 4], "big"), "", miss)
        step(_LD_H_X, _NET + port)
        step(_JEQ, point.port, "keep", miss)
    step(_RET, 0, at="drop")
    step(_RET, 0x40000, at="keep")
    places = {at: number for number, (at, *_) in enumerate(steps) if at}

    def distance(number: int, name: str) -> int:
        return places[name] - number - 1 if name else 0

    return [
        (code, distance(number, then), distance(number, other), value)
        for number, (_, code, value, then, other) in enumerate(steps)
    ]


def _forget(sock: socket.socket) -> None:
    """Drop what came before there was a filter, and the count of what was lost of it."""
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.recv(1)
    with contextlib.suppress(OSError):
        sock.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)


def _attach(sock: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    octets = b"".join(struct.pack("@HBBI", *one) for one in program)
    buffer = ctypes.create_string_buffer(octets)
    pointed = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointed)
