from __future__ import annotations

import os
import resource
import signal
import struct
from typing import TYPE_CHECKING

import pytest

from blocker.errors import PointError, StoreError
from blocker.names import ROOT
from blocker.rpz.delta import Edit
from blocker.rpz.held import Held
from blocker.rpz.zone import Entry
from tests.policy.child import in_child
from tests.policy.strategies import key
from tests.rpz.world import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    found = Held(tmp_path / "zone.held", pulse=silent)
    yield found
    found.close()


def test_nothing_is_known_at_first(held: Held) -> None:
    assert held.state() is None
    assert list(held.entries()) == []


def test_edits_are_kept_with_the_serial_they_led_to(held: Held, tmp_path: Path) -> None:
    a, b = key("a.example"), key("b.example")
    held.change([Edit(b, None, "."), Edit(a, None, "*."), Edit(ROOT, "?", None)], serial=7, ttl=30)
    held.change([Edit(b, ".", None)], serial=8, ttl=60)
    held.close()
    again = Held(tmp_path / "zone.held", pulse=silent)
    assert (again.state(), list(again.entries())) == ((8, 60), [Entry(a, "*.")])
    again.close()


def test_what_a_transfer_brings_replaces_all_and_an_owners_records_come_together(held: Held) -> None:
    held.change([Edit(key("old.example"), None, ".")], serial=7, ttl=30)
    told = [("b.example", "2001:db8::1"), ("a.example", "."), ("b.example", "192.0.2.10"), ("b.example", "?")]
    told += [("b.example", "192.0.2.9")]
    held.replace(((key(name), rule) for name, rule in told), serial=9, ttl=30)
    assert held.state() == (9, 30)
    assert list(held.entries()) == [
        Entry(key("a.example"), "."),
        Entry(key("b.example"), "192.0.2.9 192.0.2.10 2001:db8::1 ?"),
    ]


def test_a_transfer_that_ends_midway_leaves_nothing_that_is_believed(held: Held) -> None:
    held.change([Edit(key("old.example"), None, ".")], serial=7, ttl=30)

    def told() -> Iterator[tuple[bytes, str]]:
        yield key("a.example"), "."
        raise PointError("closed")

    with pytest.raises(PointError):
        held.replace(told(), serial=9, ttl=30)
    assert held.state() is None


@pytest.mark.parametrize("octets", [b"", b"rubbish" * 1000])
def test_a_file_that_cannot_be_read_is_made_anew(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / "zone.held").write_bytes(octets)
    found = Held(tmp_path / "zone.held", pulse=silent)
    assert found.state() is None
    found.close()


def written(path: Path) -> bytearray:
    """The octets of a file with many entries."""
    found = Held(path, pulse=silent)
    found.change([Edit(key(f"n{number}.example"), None, ".") for number in range(3000)], serial=7, ttl=30)
    found.close()
    return bytearray(path.read_bytes())


PAGE, HEADER, BRANCH = 4096, 16, 1  # of LMDB: octets, and the flag of a page that leads to others
GARBLED = [
    ("truncated", lambda octets, _: octets[: len(octets) // 2]),
    ("one page of nothing", lambda octets, at: octets[:at] + bytes(PAGE) + octets[at + PAGE :]),
    ("one page of noise", lambda octets, at: octets[:at] + b"\xa7" * PAGE + octets[at + PAGE :]),
    ("a rule that is no text", lambda octets, _: octets.replace(b"\x05n2999.", b"\x05n2999\xff")),
]


@pytest.mark.parametrize("garble", [row[1] for row in GARBLED], ids=[row[0] for row in GARBLED])
def test_a_file_that_its_reader_would_die_of_is_made_anew(
    tmp_path: Path, garble: Callable[[bytearray, int], bytearray]
) -> None:
    octets, found = written(tmp_path / "zone.held"), set()
    for at in range(2 * PAGE, len(octets), 5 * PAGE):
        path = tmp_path / f"{at}.held"
        path.write_bytes(garble(octets, at))

        def use(path: Path = path) -> tuple[tuple[int, int] | None, int]:
            held = Held(path, pulse=silent)
            return held.state(), len(list(held.entries()))

        found.add(in_child(use))
    # A page that is free holds nothing that could be lost.
    assert {"(None, 0)"} <= found <= {"(None, 0)", "((7, 30), 3000)"}


def test_a_file_garbled_in_use_is_made_anew_for_the_next_try(tmp_path: Path) -> None:
    path = tmp_path / "zone.held"
    octets = written(path)
    held = Held(path, pulse=silent)
    assert held.state() == (7, 30)
    with path.open("r+b") as file:  # Of the same inode, so that the open map sees it.
        file.seek(2 * PAGE)
        file.write(b"\xa7" * (len(octets) - 2 * PAGE))
    with pytest.raises(StoreError, match="made anew from what the primary holds"):
        list(held.entries())
    assert held.state() is None
    held.replace([(key("a.example"), ".")], serial=9, ttl=30)
    assert (held.state(), list(held.entries())) == ((9, 30), [Entry(key("a.example"), ".")])
    held.close()


def test_a_file_from_before_is_read_through_with_beats(tmp_path: Path) -> None:
    written(tmp_path / "zone.held")
    beats: list[None] = []
    held = Held(tmp_path / "zone.held", pulse=lambda: beats.append(None))
    assert beats == [], "it is not opened before it is needed"
    assert held.state() == (7, 30)
    assert beats
    held.close()


def test_a_look_at_a_file_from_before_that_is_overtaken_leaves_no_process(tmp_path: Path) -> None:
    written(tmp_path / "zone.held")

    def overtaken() -> None:
        raise LookupError

    def use() -> str:
        with pytest.raises(LookupError):
            Held(tmp_path / "zone.held", pulse=overtaken).state()
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        return "none is left"

    assert in_child(use) == "none is left"


def test_a_file_that_leads_its_reader_in_a_circle_is_made_anew(tmp_path: Path) -> None:
    octets = written(tmp_path / "zone.held")
    for page in range(0, len(octets), PAGE):
        flags, lower = struct.unpack_from("=HH", octets, page + 10)
        if flags == BRANCH:
            nodes = struct.unpack_from(f"={(lower - HEADER) // 2}H", octets, page + HEADER)
            first = octets[page + nodes[0] : page + nodes[0] + 6]
            for node in nodes:
                octets[page + node : page + node + 6] = first
    (tmp_path / "zone.held").write_bytes(octets)
    assert in_child(lambda: Held(tmp_path / "zone.held", pulse=silent).state()) == "None"


def test_a_folder_that_is_missing_is_a_store_error_until_it_is_there(tmp_path: Path) -> None:
    held = Held(tmp_path / "rpz" / "zone.held", pulse=silent)
    with pytest.raises(StoreError, match="mend the disk"):
        held.state()
    (tmp_path / "rpz").mkdir()
    assert held.state() is None
    held.close()


def test_a_full_disk_is_a_store_error_and_nothing_is_half_kept(tmp_path: Path) -> None:
    path = tmp_path / "zone.held"

    def on_a_full_disk() -> None:
        found = Held(path, pulse=silent)
        found.change([Edit(key("a.example"), None, ".")], serial=7, ttl=30)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        edits = [Edit(key(f"n{number}.example"), None, ".") for number in range(20_000)]
        found.change(edits, serial=8, ttl=30)

    said = in_child(on_a_full_disk)
    assert said.startswith(f"StoreError: {path}: "), said
    again = Held(path, pulse=silent)
    assert (again.state(), len(list(again.entries()))) == ((7, 30), 1)
    again.close()
