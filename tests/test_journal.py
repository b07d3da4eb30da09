from __future__ import annotations

import errno
import io
import json
import os
import sys
from datetime import datetime

import pytest

from blocker.journal import fault, say


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


SECRET = "covert.example"


def look_up() -> None:
    raise KeyError(SECRET)


def several() -> None:
    """A bug that came of another, each with a message that names what nobody may read."""
    try:
        look_up()
    except KeyError as error:
        raise ExceptionGroup(SECRET, [ValueError(SECRET), OSError(5, "it broke", SECRET)]) from error


def alone() -> None:
    try:
        look_up()
    except KeyError:
        raise ValueError(SECRET) from None


def test_a_bug_is_told_by_its_place_and_kind_and_without_its_message() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        several()
    told = fault(raised.value)
    assert SECRET not in told
    assert told.startswith("Traceback (most recent call last):\n")
    assert "in look_up" in told
    assert all(kind in told for kind in ("KeyError", "ExceptionGroup", "ValueError", "OSError: it broke"))
    assert told.index("KeyError\nfrom which came:\n") < told.index("ExceptionGroup\n")


def test_a_bug_that_is_said_to_have_no_cause_is_told_alone() -> None:
    with pytest.raises(ValueError, match=SECRET) as raised:
        alone()
    assert "from which" not in fault(raised.value)


def test_bugs_without_end_are_told_to_an_end() -> None:
    error = ValueError()
    error.__cause__ = error
    assert fault(error).count("ValueError") == 8
