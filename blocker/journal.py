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
from datetime import UTC, datetime

FORM = "BLOCKER_LOG"
"""The variable that says `json`; anything else means plain sentences."""


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
