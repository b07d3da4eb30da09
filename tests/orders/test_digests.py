from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from typing import TYPE_CHECKING

import pytest

from blocker import bounded
from blocker.bounded import Refused, Words
from blocker.orders import digests
from blocker.orders.digests import FILE, LEAST, Digests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WORDS = Words(unreadable="u", irregular="i", large="l", too_large="too large")
BOUND = 1 << 20
LATER = 4_000_000_000.0  # than the files were written
CONTENT = b"x" * LEAST
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "list.txt"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is hashed, and not remembered."""
    found = []

    def digest(path: Path, bound: int, words: Words, whole: Callable[..., str] = bounded.digest) -> str:
        found.append(path)
        return whole(path, bound, words)

    monkeypatch.setattr(bounded, "digest", digest)
    return found


def of(state: Path | None, path: Path, now: float = LATER) -> str:
    run = Digests(state, now=now)
    found = run.of(path, BOUND, WORDS)
    run.keep()
    return found


def test_a_file_left_alone_is_hashed_once(state: Path, file: Path, hashed: list[Path]) -> None:
    assert [of(state, file) for _ in range(3)] == [SHA256] * 3
    assert hashed == [file]
    assert stat.S_IMODE((state / FILE).stat().st_mode) == 0o640
    assert list(state.iterdir()) == [state / FILE]


def test_who_read_a_file_remembers_it_too(state: Path, file: Path, hashed: list[Path]) -> None:
    run = Digests(state, now=LATER)
    assert run.read(file, BOUND, WORDS) == (CONTENT, SHA256)
    run.keep()
    assert of(state, file) == SHA256
    assert hashed == []


def test_a_file_that_changed_a_moment_ago_is_hashed_again(
    state: Path, file: Path, hashed: list[Path]
) -> None:
    now = file.stat().st_ctime + 1.9
    assert [of(state, file, now) for _ in range(2)] == [SHA256] * 2
    assert hashed == [file] * 2
    assert not (state / FILE).exists()


def test_a_small_file_is_not_worth_it(state: Path, file: Path, hashed: list[Path]) -> None:
    file.write_bytes(CONTENT[1:])
    assert of(state, file) == of(state, file)
    assert hashed == [file] * 2


def test_whatever_happens_to_a_file_shows(state: Path, file: Path) -> None:
    of(state, file)
    times = file.stat()
    other = b"y" * LEAST
    file.write_bytes(other)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # only the time of change tells
    assert of(state, file) == hashlib.sha256(other).hexdigest()
    aside = file.with_name("aside")
    aside.write_bytes(CONTENT)
    aside.rename(file)
    assert of(state, file) == SHA256
    file.unlink()
    with pytest.raises(Refused, match="it can't be read"):
        of(state, file)


def test_a_file_that_changes_under_the_reader_is_not_remembered(
    state: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest(path: Path, bound: int, words: Words) -> str:
        path.write_bytes(b"z" * LEAST)
        return SHA256

    monkeypatch.setattr(bounded, "digest", digest)
    of(state, file)
    assert not (state / FILE).exists()


def test_what_is_gone_is_forgotten(state: Path, file: Path) -> None:
    other = file.with_name("other.txt")
    other.write_bytes(CONTENT)
    run = Digests(state, now=LATER)
    for path in (file, other):
        run.of(path, BOUND, WORDS)
    run.keep()
    of(state, other)
    assert len(json.loads((state / FILE).read_text())["files"]) == 1


def test_no_state_no_memory(tmp_path: Path, file: Path, hashed: list[Path]) -> None:
    assert [of(None, file), of(tmp_path / "missing", file), of(tmp_path / "missing", file)] == [SHA256] * 3
    assert hashed == [file] * 3
    assert not (tmp_path / "missing").exists()


def test_a_state_that_cannot_be_written_to_changes_nothing(
    state: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> tuple[int, str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", refused)
    assert of(state, file) == SHA256
    assert list(state.iterdir()) == []


def test_a_full_disk_leaves_no_half_of_it(state: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    assert of(state, file) == SHA256
    assert list(state.iterdir()) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda _: "\xff",
        lambda _: "[" * 100_000,
        lambda _: "[]",
        lambda _: "1" * 5000,
        lambda _: '{"format": 1}',
        lambda text: text.replace('"format": 1', '"format": 2'),
        lambda text: text.replace(SHA256, "0" * 63),
        lambda text: text.replace(f'"{SHA256}"', "1"),
        lambda text: text.replace(f', "{SHA256}"', ""),
        lambda text: text.replace("[[", "[1, ["),
        lambda text: text.replace("[[", '[["1", '),
        lambda text: text.replace("[[", "[[1.0, 1, 1, 1, 1, " + f'"{SHA256}"], ['),
        lambda text: text.replace("[[", "[" + f'[1, 1, 1, 1, 1, "{SHA256}"], ' * digests.MOST + "["),
        lambda text: text + " " * (4 << 20),
    ],
)
def test_a_memory_that_does_not_read_as_it_was_written_is_none(
    state: Path, file: Path, hashed: list[Path], spoil: Callable[[str], str]
) -> None:
    of(state, file)
    text = (state / FILE).read_text()
    (state / FILE).write_text(spoil(text), encoding="latin-1")
    assert of(state, file) == SHA256
    assert hashed == [file] * 2
    assert (state / FILE).read_text() == text


def test_a_pipe_in_its_place_is_no_memory(state: Path, file: Path, hashed: list[Path]) -> None:
    os.mkfifo(state / FILE)
    assert of(state, file) == SHA256
