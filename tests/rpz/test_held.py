from __future__ import annotations

import resource
import signal
from typing import TYPE_CHECKING

import pytest

from blocker.errors import PointError
from blocker.names import ROOT
from blocker.rpz.delta import Edit
from blocker.rpz.held import Held
from blocker.rpz.zone import Entry
from tests.policy.child import in_child
from tests.policy.strategies import key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    found = Held(tmp_path / "zone.held")
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
    again = Held(tmp_path / "zone.held")
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
    found = Held(tmp_path / "zone.held")
    assert found.state() is None
    found.close()


def test_a_full_disk_is_a_store_error_and_nothing_is_half_kept(tmp_path: Path) -> None:
    path = tmp_path / "zone.held"

    def on_a_full_disk() -> None:
        found = Held(path)
        found.change([Edit(key("a.example"), None, ".")], serial=7, ttl=30)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        edits = [Edit(key(f"n{number}.example"), None, ".") for number in range(20_000)]
        found.change(edits, serial=8, ttl=30)

    said = in_child(on_a_full_disk)
    assert said.startswith(f"StoreError: {path}: "), said
    again = Held(path)
    assert (again.state(), len(list(again.entries()))) == ((7, 30), 1)
    again.close()
