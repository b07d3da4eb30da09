"""A UDP socket's datagrams, many at a time, in one block of memory that is made once.

recvmmsg(2) and sendmmsg(2) through ctypes where the system has them (Linux with glibc): one call takes up to
BATCH datagrams and one gives their answers back, and an address is never more than the octets that the kernel
wrote. Elsewhere recvfrom and sendto fill the same block.

A batch is received, answered in place, and sent: the answer to a datagram is written over it, so that it
leaves with the id and to the address that are there already. Nothing here knows what a datagram says.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import socket
import sys
from operator import add
from typing import TYPE_CHECKING, Protocol

from blocker import mmsg

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BATCH = 64
MOST_QUERY = 4096
"""Octets of a query that we read; none that means well comes near."""

Address = tuple[str, int] | tuple[str, int, int, int]

_BEFORE = 32  # octets before each datagram, for its address: a sockaddr_in6 has 28
_SLOT = _BEFORE + MOST_QUERY + 96  # no multiple of a page: the slots' first lines share no set of the cache
_PACKETS = tuple(range(_BEFORE, BATCH * _SLOT, _SLOT))
_HEADS = tuple(slice(start + 2, start + 12) for start in _PACKETS)
_BODIES = tuple(start + 2 for start in _PACKETS)
_IN_SOCKADDR = {socket.AF_INET: slice(4, 8), socket.AF_INET6: slice(8, 24)}


class Slots:
    """Datagrams of one socket, by slot.

    Slot n's datagram begins at `octets[packets[n]]`, and its header without the id is `octets[heads[n]]`: to
    make a slice costs more than to write ten octets. `octets` gives bytes for a slice and takes bytes of a
    slice's length. Of the `answers`, the octets of each, every slot that was received must be set before
    `send`; 0: none.
    """

    answers: memoryview

    def __init__(self, address: slice) -> None:
        """`address` is where in the octets before a datagram its client's is (4 or 16 octets)."""
        self.octets = mmap.mmap(-1, BATCH * _SLOT)
        self._read: Callable[[slice], bytes] = self.octets.__getitem__
        self.packets = _PACKETS
        self.heads = _HEADS
        self.addresses = tuple(
            slice(start + address.start, start + address.stop) for start in range(0, BATCH * _SLOT, _SLOT)
        )

    # As maps, for nothing is done more often: the loop over them runs in C.

    def bodies(self, sizes: Sequence[int]) -> list[bytes]:
        """Every datagram after its first two octets."""
        return list(map(self._read, map(slice, _BODIES, map(add, _PACKETS, sizes))))

    def clients(self, sizes: Sequence[int]) -> list[bytes]:
        """The address of every datagram's client."""
        return list(map(self._read, self.addresses[: len(sizes)]))


class Batch(Protocol):
    """What Many and Singles have in common."""

    octets: mmap.mmap
    packets: tuple[int, ...]
    heads: tuple[slice, ...]
    answers: memoryview

    def bodies(self, sizes: Sequence[int]) -> list[bytes]:
        """As of Slots."""

    def clients(self, sizes: Sequence[int]) -> list[bytes]:
        """As of Slots."""

    def receive(self) -> list[int]:
        """Fill the slots from 0 on, and say how many octets each got; nothing came: an empty list."""

    def address(self, slot: int) -> Address:
        """The client, as `sendto` wants it."""

    def send(self, count: int) -> int:
        """Send what of the first `count` slots has an answer; how many the system did not take."""


def batch_of(sock: socket.socket) -> Batch:
    """A batch for the socket, which does not block, in the best way that this system has."""
    return Many(sock) if mmsg.RECEIVE is not None else Singles(sock)


class Many(Slots):
    """A Batch by recvmmsg and sendmmsg."""

    def __init__(self, sock: socket.socket) -> None:
        assert mmsg.RECEIVE is not None  # noqa: S101 - for the types: batch_of has looked
        assert mmsg.SEND is not None  # noqa: S101 - as above
        self._receive, self._send = mmsg.RECEIVE, mmsg.SEND
        self._sock, self._handle = sock, sock.fileno()
        super().__init__(_IN_SOCKADDR[sock.family])
        memory = ctypes.addressof(ctypes.c_char.from_buffer(self.octets))
        self._segments_in, self._segments_out = (mmsg.Segment * BATCH)(), (mmsg.Segment * BATCH)()
        self._in = self._messages(memory, self._segments_in)
        self._out = self._messages(memory, self._segments_out)
        self._in_at, self._out_at = ctypes.addressof(self._in), ctypes.addressof(self._out)
        self.answers = mmsg.words(self._segments_out, "@L", mmsg.Segment.size)
        self._sizes = mmsg.words(self._in, "@I", mmsg.Message.octets)

    def _messages(self, memory: int, segments: ctypes.Array[mmsg.Segment]) -> ctypes.Array[mmsg.Message]:
        messages = (mmsg.Message * BATCH)()
        for slot, (message, segment) in enumerate(zip(messages, segments, strict=True)):
            segment.base, segment.size = memory + _PACKETS[slot], MOST_QUERY
            head = message.head
            head.name = memory + slot * _SLOT
            # The kernel writes back what it used, which is the same for every address of the family.
            head.namelen = 16 if self._sock.family == socket.AF_INET else 28
            head.segments, head.segment_count = ctypes.addressof(segment), 1
        return messages

    def receive(self) -> list[int]:
        count = self._receive(self._handle, self._in_at, BATCH, socket.MSG_DONTWAIT, None)
        # Below 0: nothing is there, or an ICMP error of a former answer.
        return self._sizes[:count].tolist() if count > 0 else []

    def address(self, slot: int) -> Address:
        host = socket.inet_ntop(self._sock.family, self.octets[self.addresses[slot]])
        start = slot * _SLOT
        port = int.from_bytes(self.octets[start + 2 : start + 4], "big")
        if self._sock.family == socket.AF_INET:
            return host, port
        flow = int.from_bytes(self.octets[start + 4 : start + 8], "big")
        return host, port, flow, int.from_bytes(self.octets[start + 24 : start + 28], sys.byteorder)

    def send(self, count: int) -> int:
        unsent, at = 0, 0
        sizes = self.answers[:count].tolist()
        gaps = () if all(sizes) else (slot for slot, size in enumerate(sizes) if not size)
        for end in (*gaps, count):
            while at < end:
                sent = self._send(
                    self._handle,
                    self._out_at + at * ctypes.sizeof(mmsg.Message),
                    end - at,
                    socket.MSG_DONTWAIT,
                    None,
                )
                if sent < 0:  # The first of them was not taken: the others may be.
                    if ctypes.get_errno() == errno.EINTR:
                        continue
                    unsent, sent = unsent + 1, 1
                at += sent
            at = end + 1
        return unsent


class Singles(Slots):
    """A Batch by recvfrom and sendto, for systems without those calls."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        address = _IN_SOCKADDR[sock.family]
        super().__init__(slice(0, address.stop - address.start))
        self.answers = memoryview(bytearray(BATCH * 8)).cast("@L")
        self._clients: list[Address] = []

    def receive(self) -> list[int]:
        self._clients.clear()
        sizes = []
        for at, where in zip(self.packets, self.addresses, strict=True):
            try:
                packet, client = self._sock.recvfrom(MOST_QUERY)
            except OSError:  # As above.
                break
            self.octets[at : at + len(packet)] = packet
            self.octets[where] = socket.inet_pton(self._sock.family, client[0])
            self._clients.append(client)
            sizes.append(len(packet))
        return sizes

    def address(self, slot: int) -> Address:
        return self._clients[slot]

    def send(self, count: int) -> int:
        unsent = 0
        for slot, size in enumerate(self.answers[:count]):
            if size:
                at = self.packets[slot]
                try:
                    self._sock.sendto(self.octets[at : at + size], self._clients[slot])
                except OSError:
                    unsent += 1
        return unsent
