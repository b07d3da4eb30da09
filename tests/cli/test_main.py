"""What every verb has in common: exit codes and sentences when the output or the person goes away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from blocker.cli.main import VERBS
from blocker.supervisor import lock

BLOCKER = [sys.executable, "-m", "blocker"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_its_help(verb: str) -> None:
    ran = subprocess.run([*BLOCKER, verb, "--help"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0
    assert ran.stdout.startswith(f"Usage: blocker {verb}")


def test_a_full_output_device_is_a_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*BLOCKER, "schema"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ran.returncode == 4
    assert ran.stderr == "blocker: No space left on device\n"


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    with subprocess.Popen([*BLOCKER, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0


def test_the_exit_code_stands_where_nobody_hears_what_is_wrong(tmp_path: Path) -> None:
    words = [*BLOCKER, "--site", str(tmp_path / "none.yaml"), "serve"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(20) == 2


def test_a_lock_is_held_even_where_its_owner_cannot_be_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with lock(tmp_path / "lock"):
        assert (tmp_path / "lock").exists()
