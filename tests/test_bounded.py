from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from blocker import bounded

WORDS = bounded.Words(
    unreadable="unreadable", irregular="irregular", large="large", too_large="the file is too large."
)


def test_a_file_within_its_bound_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x" * 100)
    assert bounded.octets(path, 100, WORDS) == b"x" * 100
    assert bounded.digest(path, 100, WORDS) == hashlib.sha256(b"x" * 100).hexdigest()


def test_a_file_over_its_bound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x" * 101)
    for read in (bounded.octets, bounded.digest):
        with pytest.raises(bounded.Refused, match="too large") as caught:
            read(path, 100, WORDS)
        assert caught.value.id == "large"


def test_a_file_that_says_it_is_empty_and_is_not_is_read_no_further_than_its_bound() -> None:
    # Files of /proc have size 0 and content all the same, as one that grows while it is read.
    with pytest.raises(bounded.Refused, match="too large"):
        bounded.octets(Path("/proc/self/maps").resolve(), 10, WORDS)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "gone", "nul"])
def test_what_is_no_plain_file_is_refused_without_waiting(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "nul":
        path = tmp_path / "x\0y"
    with pytest.raises(bounded.Refused) as caught:
        bounded.octets(path, 100, WORDS)
    assert caught.value.id == ("irregular" if kind in ("pipe", "folder") else "unreadable")


def test_a_disk_that_fails_while_reading_is_told_in_a_sentence() -> None:
    # The first octets of a process's own memory are never there: the kernel says EIO.
    with pytest.raises(bounded.Refused, match="Input/output error; mend the disk"):
        bounded.octets(Path("/proc/self/mem").resolve(), 10, WORDS)


def test_paths_are_printed_with_odd_octets_escaped() -> None:
    path = Path(os.fsdecode(b"a\xff\n\xc3\xbc.yaml"))
    assert bounded.printable(path) == r"a\xff\nü.yaml".replace(r"ü", "ü")
