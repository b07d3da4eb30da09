"""A connected UDP socket for many messages at once, as the bulk prober needs it.

Shell. One system call sends up to BATCH messages and one receives as many, where the system has recvmmsg and
sendmmsg; elsewhere it takes one call for each. A connected socket takes messages from its peer alone. Nothing
here knows what a message says.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
from array import array
from functools import partial
from itertools import accumulate
from operator import add
from typing import TYPE_CHECKING

from blocker import mmsg

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blocker.site import Endpoint

BATCH = 64
MOST_ANSWER = 4096
"""Octets of an answer that are read: we ask for 1232 at most, so what is cut off here is no answer to us."""

_MOST_QUERY = 512
_SLOT = MOST_ANSWER + 96  # no multiple of a page, as in the resolver's batches
_STARTS = tuple(range(0, BATCH * _SLOT, _SLOT))
_IDENTS = tuple(slice(start, start + 2) for start in _STARTS)
_BODIES = tuple(start + 2 for start in _STARTS)

_BUFFER = 1 << 20  # octets asked for; the system may give less (net.core.rmem_max)
_SO_MEMINFO = 55  # socket(7) has no word of it: sock_diag(7) describes the numbers
_DROPS = struct.Struct("@9I")
_FULL = frozenset({errno.EAGAIN, errno.ENOBUFS})


def connected(address: Endpoint, source: str) -> socket.socket:
    """A socket for one point, from `source` if it has one of that family, and a port of its own.

    Raises OSError.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        if (own := address.asked_from(source)) is not None:
            sock.bind(own)
        sock.connect((address.host, address.port))
    except OSError:
        sock.close()
        raise
    return sock


def dropped(sock: socket.socket) -> int:
    """Datagrams that came for the socket and found no room: our own losses. 0 where the system can't tell.

    It is the number that SO_RXQ_OVFL tells with the next datagram received: asked for, it needs no next one.
    """
    try:
        octets = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _DROPS.size)
        return int(_DROPS.unpack(octets)[8])
    except (OSError, struct.error):
        return 0


class Channel:
    """Messages to and from the socket's peer, with one system call for each.

    `refused` counts the peer's messages that nobody listens there (ICMP); `trouble` says why nothing can
    be sent, as a word of the system's.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.refused = 0
        self.trouble = ""

    def send(self, messages: Sequence[bytes]) -> int:
        """Send them in order; how many the system took. Fewer: it is full for now, or there is trouble."""
        for at, message in enumerate(messages):
            if not self._try(partial(self.sock.send, message)):
                return at
        return len(messages)

    def receive(self) -> tuple[Sequence[bytes], Sequence[bytes]]:
        """What came, up to BATCH messages: the first two octets of each, and the rest of each.

        A message that has no two octets has no rest, and its first octets mean nothing.
        """
        found: list[bytes] = []
        while len(found) < BATCH:
            try:
                found.append(self.sock.recv(MOST_ANSWER))
            except OSError as error:
                self._heed(error.errno)
                break
        return [one[:2] for one in found], [one[2:] for one in found]

    def _try(self, send: Callable[[], int]) -> int:
        """Send, and once more if all that failed was an earlier message."""
        for _ in range(2):
            try:
                return send()
            except OSError as error:
                if not self._heed(error.errno):
                    break
        return 0

    def _heed(self, number: int | None) -> bool:
        """Take in an error; whether it was that of an earlier message."""
        if number == errno.ECONNREFUSED:
            self.refused += 1
            return True
        if number not in _FULL:
            self.trouble = os.strerror(number or 0)
        return number == errno.EINTR


class Many(Channel):
    """A Channel by recvmmsg and sendmmsg."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        assert mmsg.RECEIVE is not None  # noqa: S101 - for the types: channel_of has looked
        assert mmsg.SEND is not None  # noqa: S101 - as above
        self._receive, self._send, self._handle = mmsg.RECEIVE, mmsg.SEND, sock.fileno()
        self._inbox, self._outbox = mmap.mmap(-1, BATCH * _SLOT), mmap.mmap(-1, BATCH * _MOST_QUERY)
        self._read: Callable[[slice], bytes] = self._inbox.__getitem__
        self._segments_in, self._segments_out = (mmsg.Segment * BATCH)(), (mmsg.Segment * BATCH)()
        self._in, self._out = _messages(self._segments_in), _messages(self._segments_out)
        self._in_at, self._out_at = ctypes.addressof(self._in), ctypes.addressof(self._out)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._inbox))
        for segment, at in zip(self._segments_in, _STARTS, strict=True):
            segment.base, segment.size = start + at, MOST_ANSWER
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self._outbox))
        self._sizes_in = mmsg.words(self._in, "@I", mmsg.Message.octets)
        self._bases_out = mmsg.words(self._segments_out, "@L", mmsg.Segment.base)
        self._sizes_out = mmsg.words(self._segments_out, "@L", mmsg.Segment.size)

    # As maps, here and below, for nothing is done more often: the loops over messages run in C.

    def send(self, messages: Sequence[bytes]) -> int:
        count = len(messages)
        octets = b"".join(messages)
        self._outbox[: len(octets)] = octets
        sizes = array("L", map(len, messages))
        self._sizes_out[:count] = memoryview(sizes)
        self._bases_out[:count] = memoryview(array("L", accumulate(sizes[:-1], initial=self._start)))
        return self._try(lambda: self._call(self._send, self._out_at, count))

    def receive(self) -> tuple[Sequence[bytes], Sequence[bytes]]:
        try:
            count = self._call(self._receive, self._in_at, BATCH)
        except OSError as error:
            self._heed(error.errno)
            return (), ()
        bodies = map(slice, _BODIES, map(add, _STARTS, self._sizes_in[:count].tolist()))
        return list(map(self._read, _IDENTS[:count])), list(map(self._read, bodies))

    def _call(self, call: Callable[..., int], at: int, count: int) -> int:
        done = call(self._handle, at, count, socket.MSG_DONTWAIT, None)
        if done < 0:
            raise OSError(ctypes.get_errno(), "")
        return done


def _messages(segments: ctypes.Array[mmsg.Segment]) -> ctypes.Array[mmsg.Message]:
    messages = (mmsg.Message * BATCH)()
    for message, segment in zip(messages, segments, strict=True):
        message.head.segments, message.head.segment_count = ctypes.addressof(segment), 1
    return messages


def channel_of(sock: socket.socket) -> Channel:
    """A channel for the socket, in the best way that this system has."""
    return Channel(sock) if mmsg.RECEIVE is None or mmsg.SEND is None else Many(sock)
