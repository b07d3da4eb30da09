"""Run something in a child process, which may lose its rights, its disk or its life."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

from blocker.errors import BlockerError

if TYPE_CHECKING:
    from collections.abc import Callable

NOBODY = 65534


class Child:
    """A process that waits for its word.

    Fork it before the parent opens a store: LMDB ties an open store to its process, and children must not
    inherit it.
    """

    def __init__(self, work: Callable[[], object], *, drop_rights: bool = False) -> None:
        sys.stdout.flush()
        self._out, into = os.pipe()
        word, self._word = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._out)
                os.close(self._word)
                if os.read(word, 1):
                    os.write(into, _said(work, drop_rights=drop_rights).encode()[-4000:])
            finally:
                os._exit(0)
        os.close(into)
        os.close(word)

    def go(self) -> str:
        """What `work` returned, as text; `StoreError: …` for our own errors; `killed by …` for a signal."""
        os.write(self._word, b".")
        os.close(self._word)
        with os.fdopen(self._out) as pipe:
            said = pipe.read()
        status = os.waitpid(self._pid, 0)[1]
        if os.WIFSIGNALED(status):
            return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
        return said


def in_child(work: Callable[[], object], *, drop_rights: bool = False) -> str:
    return Child(work, drop_rights=drop_rights).go()


def _said(work: Callable[[], object], *, drop_rights: bool) -> str:
    try:
        if drop_rights and os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return str(work())
    except BlockerError as error:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 - the parent is told, whatever it was
        return traceback.format_exc()
