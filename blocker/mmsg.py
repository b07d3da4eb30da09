"""recvmmsg(2) and sendmmsg(2): many datagrams for one system call, through ctypes.

Shell. RECEIVE and SEND are None where the system has no such calls, or where we don't know its structures
(anything but Linux with glibc): whoever uses them has another way. The structures are those of glibc.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable


class Segment(ctypes.Structure):
    """An iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class Head(ctypes.Structure):
    """A msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("segments", ctypes.c_void_p),
        ("segment_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class Message(ctypes.Structure):
    """A mmsghdr; `octets` is what was received or sent."""

    _fields_ = (("head", Head), ("octets", ctypes.c_uint32))


def _found(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where it has none, or where we don't know its structures."""
    if sys.platform != "linux" or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""):
        return None
    try:
        call: Any = getattr(ctypes.CDLL(None, use_errno=True), name)
    except (AttributeError, OSError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
    call.restype = ctypes.c_int
    found: Callable[..., int] = call
    return found


RECEIVE, SEND = _found("recvmmsg"), _found("sendmmsg")


def words(array: ctypes.Array[Any], code: Literal["@I", "@L"], field: Any) -> memoryview:
    """One field of each structure of the array, as one sequence of numbers."""
    octets = memoryview(array).cast("B")
    return octets.cast(code)[field.offset // field.size :: ctypes.sizeof(array) // len(array) // field.size]
