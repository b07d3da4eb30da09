from __future__ import annotations

import errno
import io
import json
import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING

from blocker.journal import say

if TYPE_CHECKING:
    import pytest


def test_people_read_sentences(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BLOCKER_LOG", raising=False)
    say("supervisor", "web ended")
    say("push", "no answer", target="rpz id.rpz")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "supervisor: web ended\npush rpz id.rpz: no answer\n")


def test_programs_read_an_object_a_line_whatever_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLOCKER_LOG", "json")
    say("prober", 'a round failed\nTraceback "é"')
    say("purge", "it takes commands again", point="p1")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert first["message"] == 'a round failed\nTraceback "é"'
    assert {name: second[name] for name in ("pid", "part", "point", "message")} == {
        "pid": os.getpid(),
        "part": "purge",
        "point": "p1",
        "message": "it takes commands again",
    }
    assert datetime.fromisoformat(second["time"]).tzinfo is not None


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_that_is_full_or_closed_is_no_reason_to_die(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for log in (Full(), closed):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", log)
            say("prober", "nobody hears this")


def test_without_a_log_nothing_is_said_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    say("prober", "nobody hears this")
    assert capsys.readouterr().out == ""
