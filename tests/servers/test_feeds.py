"""A list transferred from a real BIND with TSIG: to an order, to a block; and every way in which it fails."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from random import Random
from typing import TYPE_CHECKING

import pytest

from blocker.feeds.zonecopy import Edits
from blocker.rpz.exchange import Session
from tests.feeds.conftest import Fed, fed
from tests.feeds.samples import NAMES
from tests.servers import bind_lab, lab
from tests.servers.bind_lab import KEY, Bind
from tests.servers.zone_lab import ZONE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["fed"]

MORE = "    max_change: 0.5\n"


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bind]:
    with bind_lab.primary(tmp_path_factory.mktemp("bind") / "primary") as bind:
        for name in NAMES:
            bind_lab.update(bind, f"{name} CNAME .", f"*.{name} CNAME .")
        bind_lab.update(
            bind,
            "away.example CNAME page.authority.example.",
            "here.example A 192.0.2.1",
            "*.text.example TXT x",
            "32.7.2.0.192.rpz-ip CNAME .",
        )
        yield bind


def transferred(fed: Fed, port: int, *, zone: str = ZONE, key: str = KEY) -> None:
    """Let the feed be this zone of the server at this port."""
    (fed.folder / "feed.key").write_text(key)
    fed.feed("axfr", source=f'{{primary: "127.0.0.1:{port}", zone: {zone}, key: feed.key}}', more=MORE)


def test_a_zone_becomes_an_order_and_its_next_serial_an_amend(fed: Fed, primary: Bind) -> None:
    transferred(fed, primary.port)
    ran = fed.run("import", "list")
    assert (ran.code, ran.err) == (0, "not applied: see `blocker plan`, then `blocker apply`\n")
    assert fed.run("check").out == ""
    assert fed.run("apply", "--yes").code == 0
    asked = (*NAMES, "www.casino-0.example", "away.example", "here.example")
    assert all(fed.is_blocked(name, at="2026-12-15") for name in asked)
    assert not any(
        fed.is_blocked(name, at="2026-12-15")
        for name in ("www.away.example", "www.text.example", "text.example")
    )
    fed.at("2026-11-29T12:00:00+00:00")
    bind_lab.update(primary, "new.example CNAME .")
    assert fed.run("import", "list").code == 0
    assert b"\nnew.example\n" in fed.orders["2026-11-29-list-120000.added-alone.txt"]


@contextmanager
def cutting(port: int, octets: int) -> Iterator[int]:
    """A port that leads to another one and is cut after so many octets of answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with listening.accept()[0] as client, socket.create_connection(("127.0.0.1", port)) as server:

                def there() -> None:
                    with suppress(OSError):
                        while piece := client.recv(65536):
                            server.sendall(piece)

                asking = threading.Thread(target=there)
                asking.start()
                left = octets
                while left > 0 and (piece := server.recv(left)):
                    client.sendall(piece)
                    left -= len(piece)
                client.shutdown(socket.SHUT_RDWR)
                asking.join(10)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)


@pytest.mark.parametrize(
    ("zone", "key", "said"),
    [
        (ZONE, KEY.replace("MDEy", "MDEz"), "it does not accept the key blocker (another secret)"),
        (ZONE, KEY.replace('"blocker"', '"other"'), "it does not accept the key other (unknown there)"),
        ("other.example", KEY, "it is not the primary of this zone|it refuses"),
    ],
)
def test_another_key_or_zone_is_told_and_changes_nothing(
    fed: Fed, primary: Bind, zone: str, key: str, said: str
) -> None:
    transferred(fed, primary.port, zone=zone, key=key)
    ran = fed.run("import", "list")
    assert (ran.code, fed.orders) == (5, {})
    assert any(one in ran.err for one in said.split("|")), ran.err


@pytest.mark.parametrize("octets", [1, 200, 500, 900])
def test_a_transfer_cut_off_anywhere_changes_nothing(fed: Fed, primary: Bind, octets: int) -> None:
    with cutting(primary.port, octets) as port:
        transferred(fed, port)
        ran = fed.run("import", "list")
    assert (ran.code, fed.orders) == (5, {})
    assert "it closed the connection midway" in ran.err


def test_nobody_there_and_no_key_are_told(fed: Fed) -> None:
    transferred(fed, lab.free_port())
    ran = fed.run("import", "list")
    assert ran.code == 5
    assert "nothing listens there (TCP)" in ran.err
    (fed.folder / "feed.key").write_text("secret")
    ran = fed.run("import", "list")
    assert ran.code == 2
    assert "feed.key rpz-key-missing: it is not one clause like: key" in ran.err
    (fed.folder / "feed.key").unlink()
    assert "feed.key rpz-key-missing: it can't be read: No such file" in fed.run("import", "list").err


def test_a_zone_with_the_serial_of_the_last_time_is_not_transferred_again(fed: Fed, primary: Bind) -> None:
    transferred(fed, primary.port)
    assert fed.run("import", "--poll").code == 0
    before = fed.orders
    assert before
    fed.at("2026-11-29T12:00:00+00:00")
    ran = fed.run("import", "--poll", "--json")
    assert (ran.code, ran.out, fed.orders) == (0, "[]\n", before)


def zone(fed: Fed) -> bytes:
    """The document of the last transfer."""
    fed.run("import", "list", "--dry-run")
    return (fed.folder / "state" / "feeds" / "list.zone").read_bytes().partition(b"\n")[2]


KINDS = ("CNAME .", "CNAME *.", "CNAME A.B.", "A 192.0.2.1", "A 192.0.2.2", "TXT x", "TXT y", "MX 1 a.b.")
OWNERS = [f"{wild}{name}.example" for name in "abcde" for wild in ("", "*.", "Deep.")]


def test_differences_of_a_real_primary_make_the_documents_that_its_whole_zone_makes(
    fed: Fed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over versions with records that come, go, come again and change, also such as list nothing."""
    chance, lines = Random(1995), Edits.lines
    used: list[Edits] = []

    def counted(edits: Edits) -> list[bytes]:
        used.append(edits)
        return lines(edits)

    monkeypatch.setattr(Edits, "lines", counted)
    with bind_lab.primary(
        tmp_path / "bind", records="".join(f"n{at} CNAME .\n" for at in range(100))
    ) as bind:
        transferred(fed, bind.port)
        zone(fed)
        for version in range(12):
            bind_lab.update(bind, f"version-{version}.example CNAME .")
            for _ in range(chance.randrange(4)):
                change = bind_lab.changing()
                for owner in chance.sample(OWNERS, 4):
                    if chance.random() < 0.4:
                        change.delete(owner)
                    else:
                        change.add(owner, chance.choice((30, 60)), *chance.choice(KINDS).split(" ", 1))
                bind_lab.send(bind, change)
            by_difference = zone(fed)
            assert len(used) == version + 1
            (fed.folder / "state" / "feeds" / "list.zone").unlink()
            assert zone(fed) == by_difference
            assert len(used) == version + 1
    assert by_difference.count(b" TXT ?\n") > 1


def test_a_real_primary_that_has_no_difference_gives_the_whole_zone_instead(
    fed: Fed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bind_lab.primary(tmp_path / "bind") as bind:
        for name in NAMES:
            bind_lab.update(bind, f"{name} CNAME .")
        transferred(fed, bind.port)
        assert fed.run("import", "list").code == 0
        monkeypatch.delattr(Edits, "lines")
        monkeypatch.delattr(Session, "transfer")
        bind_lab.update(bind, "new.example CNAME .")
        bind.controlled("sync", "-clean", ZONE)  # It writes the zone's file and forgets what changed.
        fed.at("2026-11-29T12:00:00+00:00")
        assert fed.run("import", "list").code == 0
        assert b"\nnew.example\n" in fed.orders["2026-11-29-list-120000.added-alone.txt"]
