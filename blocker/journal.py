"""What daemons tell people: a line on standard error for each thing that happened.

A shell. Sentences for people, or with BLOCKER_LOG=json an object a line for programs. Nobody who asked for
something is ever in it, nor a name or id of a sealed order: whoever speaks sees to that. A log that is full
or closed is no reason to die.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from datetime import UTC, datetime

FORM = "BLOCKER_LOG"
"""The variable that says `json`; anything else means plain sentences."""

_CAUSES = 8  # errors that came of one another, or together


def say(part: str, sentence: str, **facts: str | float) -> None:
    """Tell what happened in this part of the toolkit; `facts` say to what (`point="p1"`).

    Plain: `part p1: sentence`. As JSON: `time`, `pid`, `part`, the facts, and `message`.
    """
    if os.environ.get(FORM) == "json":
        told = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "pid": os.getpid(),
            "part": part,
        }
        line = json.dumps({**told, **facts, "message": sentence}, ensure_ascii=False)
    else:
        line = f"{' '.join([part, *map(str, facts.values())])}: {sentence}"
    if sys.stderr is None:  # Closed before Python began; print would take standard output instead.
        return
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def kind(error: BaseException) -> str:
    """What sort of error a bug or the system made; not its message, which may hold a sealed order's name."""
    name = type(error).__qualname__
    return f"{name}: {error.strerror}" if isinstance(error, OSError) and error.strerror else name


def fault(error: BaseException) -> str:
    """Where a bug showed: the lines of code it passed, its kind and that of what it came of."""
    told: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(told) < _CAUSES:
        inner = "".join(f"\n{fault(one)}" for one in getattr(cause, "exceptions", ())[:_CAUSES])
        told.append("".join(traceback.format_tb(cause.__traceback__)) + kind(cause) + inner)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "Traceback (most recent call last):\n" + "\nfrom which came:\n".join(reversed(told))
