"""ops/bind with real servers: updates at a hidden primary, transfers, a resolver that enforces the zone."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.update
import pytest

from blocker.errors import PointError, StoreError
from blocker.orders.model import Action, Form
from blocker.rpz import zone
from blocker.rpz.primary import Primary
from blocker.site import Endpoint
from tests.policy.strategies import EPOCH
from tests.rpz.world import blocking, silent
from tests.servers import bind_lab, lab
from tests.servers.authority import authority
from tests.servers.bind_lab import EMPTY, KEY, KEYRING, PRIMARY, SECONDARY, Bind
from tests.servers.zone_lab import ZONE, filled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blocker.policy.store import Snapshot


@dataclass
class World:
    """A primary with one resolver, and the target that keeps the primary."""

    folder: Path
    primary: Bind
    resolver: Bind

    def target(self, key: str = KEY, *, port: int = 0, held: str = "state") -> Primary:
        path = self.folder / "rpz.key"
        path.write_text(key)
        endpoint = Endpoint("127.0.0.1", port or self.primary.port)
        return Primary(
            zone=ZONE, region="ID", endpoint=endpoint, key=path, state=self.folder / held, pulse=silent
        )

    def pushed(self, to: Primary, policy: Snapshot, t: int = EPOCH) -> int:
        """Push, and wait until the resolver has it."""
        count = to.send(to.prepare(policy, t))
        serial = self.primary.serial()
        assert serial is not None
        bind_lab.until_serial(self.resolver, serial)
        return count

    def becomes(self, name: str, rcode: dns.rcode.Rcode, rdtype: str = "A") -> dns.message.Message:
        """The first answer with this rcode: a resolver takes a zone up a moment after it has it."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            answer = lab.ask(self.resolver.port, name, rdtype)
            if answer is not None and answer.rcode() == rcode:
                return answer
            time.sleep(0.02)
        raise AssertionError(f"{name} does not become {rcode.name}:\n{self.resolver.log.read_text()[-3000:]}")

    def by_hand(self, *changes: str) -> None:
        """What somebody with nsupdate would do."""
        update = dns.update.UpdateMessage(ZONE)
        update.use_tsig(KEYRING, keyname="blocker", algorithm="hmac-sha256")
        for change in changes:
            owner, kind, data = change.split(" ", 2)
            update.replace(owner, 30, kind, data)
        answer = dns.query.tcp(update, "127.0.0.1", port=self.primary.port, timeout=5)
        assert answer.rcode() == dns.rcode.NOERROR


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("bind")
    port = lab.free_port()
    with ExitStack() as running:
        upstream = running.enter_context(authority())
        upstream.alias("alias.example", "www.asked.example")
        primary = running.enter_context(bind_lab.primary(folder / "primary", [port]))
        resolver = running.enter_context(
            bind_lab.secondary(folder / "resolver", upstream.port, primary=primary.port, port=port)
        )
        yield World(folder, primary, resolver)


@pytest.fixture
def world(servers: World, tmp_path: Path) -> World:
    """The servers as the last test left them; with a state of its own, each test reads the zone first."""
    return World(tmp_path, servers.primary, servers.resolver)


NXDOMAIN, NOERROR = dns.rcode.NXDOMAIN, dns.rcode.NOERROR


def test_the_files_of_ops_are_what_bind_takes(tmp_path: Path) -> None:
    check = lab.program("named-checkconf")
    for path in (PRIMARY, SECONDARY):
        # Only the keys are elsewhere: nobody but the tests has one in /etc/bind that they may read.
        (tmp_path / path.name).write_text(filled(path, bind_lab.keyed(tmp_path, path)))
        ran = subprocess.run([check, tmp_path / path.name], capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_a_new_zone_begins_with_the_head_that_updates_give_it() -> None:
    head = zone.header(ZONE, serial=1, ttl=30, comment="").splitlines()
    assert EMPTY.read_text().splitlines()[1:] == head[2:]


def test_tsig_keygen_makes_a_key_that_is_understood(world: World) -> None:
    made = subprocess.run([lab.program("tsig-keygen"), "blocker"], capture_output=True, text=True, check=True)
    # Another secret than the primary's: it is read, and then refused by the primary.
    with pytest.raises(PointError, match="does not accept the key blocker"):
        world.target(made.stdout).prepare(blocking("a.example"), EPOCH)


def test_what_is_pushed_is_enforced_by_the_resolver_and_what_is_lifted_no_more(world: World) -> None:
    to = world.target()
    assert world.pushed(to, blocking("a.example", excepts=["free.a.example"])) > 0
    world.becomes("deep.a.example", NXDOMAIN)
    assert lab.ask(world.resolver.port, "free.a.example").rcode() == NOERROR  # type: ignore[union-attr]  # it answered just now
    assert to.prepare(blocking("a.example", excepts=["free.a.example"]), EPOCH).is_empty
    assert to.is_whole()
    world.pushed(to, blocking("b.example"))
    world.becomes("b.example", NXDOMAIN)
    assert world.becomes("deep.a.example", NOERROR).answer
    to.close()


def test_the_zone_follows_the_timetable_from_instant_to_instant(world: World) -> None:
    to, policy = world.target(), blocking("timed.example", start=10, until=20)
    world.pushed(to, policy, EPOCH + 9)
    assert world.becomes("timed.example", NOERROR).answer
    world.pushed(to, policy, EPOCH + 10)
    world.becomes("timed.example", NXDOMAIN)
    world.pushed(to, policy, EPOCH + 20)
    assert world.becomes("timed.example", NOERROR).answer
    to.close()


def test_what_is_cached_is_blocked_also_for_those_who_do_not_ask_for_recursion(world: World) -> None:
    to, names = world.target(), ("asked.example", "www.asked.example", "alias.example")
    world.pushed(to, blocking("before.example"))
    for name in names:
        assert world.becomes(name, NOERROR).answer
    world.pushed(to, blocking("asked.example"))
    world.becomes("asked.example", NXDOMAIN)
    answers = [lab.ask(world.resolver.port, name, flags=dns.flags.Flag(0)) for name in names]
    assert [answer and answer.rcode() for answer in answers] == [NXDOMAIN] * 3
    to.close()


def test_a_redirect_is_answered_with_its_addresses_and_nothing_else(world: World) -> None:
    to = world.target()
    action = Action(form=Form.REDIRECT, addresses=(ip_address("192.0.2.80"),))
    world.pushed(to, blocking("block_page.example", action=action))
    while not (answer := world.becomes("block_page.example", NOERROR)).answer or (
        answer.answer[0][0].to_text() != "192.0.2.80"
    ):
        time.sleep(0.02)
    for rdtype in ("AAAA", "HTTPS", "TXT"):
        assert world.becomes("block_page.example", NOERROR, rdtype).answer == []
    to.close()


def test_a_change_that_is_prepared_before_its_instant_is_sent_at_it(world: World) -> None:
    to, policy = world.target(), blocking("later.example", start=10, until=20)
    world.pushed(to, policy, EPOCH)
    change = to.prepare(policy, EPOCH + 10)
    assert change.size == 2
    assert world.becomes("later.example", NOERROR).answer
    assert to.send(change) == 2
    world.becomes("later.example", NXDOMAIN)
    assert to.send(change) == 0, "it was sent already"
    late, early = to.prepare(policy, EPOCH + 20), to.prepare(policy, EPOCH)
    assert early.size == 2
    with pytest.raises(PointError, match="it changed since"):
        to.send(late)
    to.close()


def test_a_zone_changed_by_hand_is_noticed_and_healed(world: World) -> None:
    to = world.target()
    world.pushed(to, blocking("a.example"))
    change = to.prepare(blocking("a.example", "b.example"), EPOCH)
    # Nobody ordered these: one of them blocks everything.
    world.by_hand("theirs.example CNAME .", "* CNAME .", "a.example TXT x", "c.example A 192.0.2.9")
    world.becomes("theirs.example", NXDOMAIN)
    assert not to.is_whole()
    with pytest.raises(PointError, match="somebody else changed the zone meanwhile"):
        to.send(change)
    world.pushed(to, blocking("a.example", "b.example"))
    world.becomes("b.example", NXDOMAIN)
    assert world.becomes("theirs.example", NOERROR).answer
    assert to.is_whole()
    fresh = world.target(held="another")
    assert fresh.prepare(blocking("a.example", "b.example"), EPOCH).is_empty
    to.close()
    fresh.close()


def test_an_edit_is_noticed_although_the_next_change_is_prepared_already(world: World) -> None:
    to, policy = world.target(), blocking("a.example", start=10, until=20)
    world.pushed(to, policy, EPOCH)
    assert to.is_whole()
    world.by_hand("theirs.example CNAME .")
    to.prepare(policy, EPOCH + 10)
    assert not to.is_whole()
    world.pushed(to, policy, EPOCH)
    assert to.is_whole()
    world.becomes("theirs.example", NOERROR)
    to.close()


def test_a_zone_that_was_right_at_the_start_is_whole_until_it_is_changed(world: World) -> None:
    first = world.target()
    world.pushed(first, blocking("a.example"))
    first.close()
    to = world.target()
    assert world.pushed(to, blocking("a.example")) == 0
    assert to.is_whole()
    world.by_hand("theirs.example CNAME .")
    assert not to.is_whole()
    to.close()


def test_what_is_held_and_garbled_is_read_anew_from_the_primary(world: World) -> None:
    to = world.target()
    world.pushed(to, blocking("a.example", "b.example"))
    with (world.folder / "state" / "rpz" / f"{ZONE}.held").open("r+b") as file:
        octets = file.seek(0, 2)
        file.seek(2 * 4096)
        file.write(b"\xa7" * (octets - 2 * 4096))
    with pytest.raises(StoreError, match="made anew from what the primary holds"):
        to.prepare(blocking("a.example"), EPOCH)
    assert to.prepare(blocking("a.example", "b.example"), EPOCH).is_empty
    to.close()


def test_what_arrived_and_could_not_be_noted_is_found_out_by_the_next_try(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = world.target()
    world.pushed(to, blocking("a.example"))
    change = to.prepare(blocking("b.example"), EPOCH)

    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(to._held, "change", full)
        with pytest.raises(StoreError, match="the disk is full"):
            to.send(change)
    assert change.spool is not None
    assert change.spool.closed, "what was prepared must not fill the disk any longer"
    assert not to.is_whole()
    assert world.pushed(to, blocking("b.example")) == 0
    assert to.is_whole()
    to.close()


def test_names_that_the_zone_has_no_room_for_are_told_and_keep_nothing_else_back(world: World) -> None:
    to = world.target()
    change = to.prepare(blocking("room.example", "a.rpz-ip"), EPOCH)
    assert "can't speak of 1 name" in change.lack
    to.send(change)
    again = to.prepare(blocking("room.example", "a.rpz-ip"), EPOCH)
    assert again.is_empty
    assert again.lack == change.lack
    assert to.prepare(blocking("room.example"), EPOCH).lack == ""
    to.close()


def test_another_ttl_is_given_to_all_records(world: World) -> None:
    to = world.target()
    world.pushed(to, blocking("a.example"))
    world.pushed(to, blocking("a.example", "b.example", ttl=7))
    assert to.prepare(blocking("a.example", "b.example", ttl=7), EPOCH).is_empty
    transfer = dns.message.make_query(ZONE, dns.rdatatype.AXFR)
    transfer.use_tsig(KEYRING, keyname="blocker", algorithm="hmac-sha256")
    answer = dns.query.tcp(transfer, "127.0.0.1", port=world.primary.port, timeout=5)
    ttls = {one.ttl for one in answer.answer if one.rdtype != dns.rdatatype.NS}
    assert ttls == {7}
    to.close()


def test_names_are_secret_from_those_without_the_key(world: World) -> None:
    for rdtype in ("SOA", "AXFR"):
        query = dns.message.make_query(ZONE, rdtype)
        answer = dns.query.tcp(query, "127.0.0.1", port=world.primary.port, timeout=5)
        assert answer.rcode() == dns.rcode.REFUSED
        assert answer.answer == []


def test_what_may_fetch_the_zone_can_not_change_it(world: World) -> None:
    before = world.primary.serial()
    update = dns.update.UpdateMessage(ZONE)
    update.use_tsig(KEYRING, keyname="blocker-transfer", algorithm="hmac-sha256")
    update.add("free.example", 30, "CNAME", ".")
    answer = dns.query.tcp(update, "127.0.0.1", port=world.primary.port, timeout=5)
    assert answer.rcode() == dns.rcode.REFUSED
    assert world.primary.serial() == before is not None
    assert 'key "blocker"' not in SECONDARY.read_text(), "a resolver has no key that updates"


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (KEY.replace("MDEy", "MDEz"), "does not accept the key blocker .another secret"),
        (KEY.replace("blocker", "other"), "does not accept the key other .unknown there"),
        (KEY.replace("hmac-sha256", "hmac-sha1"), "does not accept the key"),
        ("no key", "can't be used"),
    ],
)
def test_a_wrong_key_is_said_to_be_the_cause(world: World, key: str, why: str) -> None:
    to = world.target(key)
    with pytest.raises(PointError, match=why) as failed:
        to.prepare(blocking("a.example"), EPOCH)
    assert str(failed.value).startswith(f"{ZONE} at 127.0.0.1:{world.primary.port}: ")
    with pytest.raises(PointError, match=why):
        to.is_whole()
    to.close()


def test_a_zone_that_the_primary_does_not_have_is_said_to_be_missing(world: World) -> None:
    world.target().close()
    endpoint = Endpoint("127.0.0.1", world.primary.port)
    to = Primary(
        zone="gb.rpz.isp.example",
        region="GB",
        endpoint=endpoint,
        key=world.folder / "rpz.key",
        state=world.folder / "state",
        pulse=silent,
    )
    with pytest.raises(PointError, match=r"^gb\.rpz\.isp\.example at .*(add the zone there|let the key)"):
        to.prepare(blocking("a.example"), EPOCH)
    to.close()


def test_a_primary_killed_midway_holds_a_whole_step_and_heals(tmp_path: Path) -> None:
    names = [f"n{number}.example" for number in range(6000)]
    with bind_lab.primary(tmp_path / "primary") as primary:
        world = World(tmp_path, primary, primary)
        to = world.target()
        to.send(to.prepare(blocking("a.example"), EPOCH))
        change = to.prepare(blocking(*names), EPOCH)
        beats = 0

        def kill_at_the_second_beat() -> None:
            nonlocal beats
            beats += 1
            if beats == 2:
                primary.stop(signal.SIGKILL)

        to._pulse = kill_at_the_second_beat
        with pytest.raises(
            PointError, match=r"closed the connection midway|nothing listens|can't be reached"
        ):
            to.send(change)
        with pytest.raises(PointError, match="nothing listens there"):
            to.prepare(blocking(*names), EPOCH)
        to._pulse = silent
        primary.start()
        rest = to.prepare(blocking(*names), EPOCH)
        assert 0 < rest.size < change.size
        to.send(rest)
        assert to.prepare(blocking(*names), EPOCH).is_empty
        # What is believed of the primary is what it holds.
        fresh = world.target(held="another")
        assert fresh.prepare(blocking(*names), EPOCH).is_empty
        to.close()
        fresh.close()


def test_a_resolver_that_was_down_over_a_change_enforces_it_when_it_is_back(tmp_path: Path) -> None:
    port = lab.free_port()
    with ExitStack() as running:
        upstream = running.enter_context(authority())
        primary = running.enter_context(bind_lab.primary(tmp_path / "primary", [port]))
        resolver = running.enter_context(
            bind_lab.secondary(tmp_path / "resolver", upstream.port, primary=primary.port, port=port)
        )
        world = World(tmp_path, primary, resolver)
        to = world.target()
        world.pushed(to, blocking("a.example"))
        world.becomes("a.example", NXDOMAIN)
        resolver.stop()
        to.send(to.prepare(blocking("b.example"), EPOCH))
        resolver.start()
        world.becomes("b.example", NXDOMAIN)
        assert world.becomes("a.example", NOERROR).answer
        # And with the primary gone it enforces what it knows, from the first query.
        primary.stop()
        resolver.stop()
        resolver.start()
        world.becomes("b.example", NXDOMAIN)
        to.close()


def test_a_resolver_answers_while_a_large_change_arrives(world: World) -> None:
    to = world.target()
    world.pushed(to, blocking("a.example"))
    change = to.prepare(blocking(*(f"n{number}.many.example" for number in range(5000))), EPOCH)
    to.send(change)
    lost = 0
    while (answer := lab.ask(world.resolver.port, "n4999.many.example")) is None or answer.rcode() == NOERROR:
        lost += answer is None
    assert answer.rcode() == NXDOMAIN
    assert lost == 0
    to.close()
