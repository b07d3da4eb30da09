from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from blocker.errors import PointError
from blocker.fleet import report
from blocker.fleet.push import LAST_RETRY, LOOK_EVERY, Pusher
from blocker.policy import writer
from blocker.policy.records import Withheld
from tests.policy.child import Child
from tests.resolver.live import store
from tests.resolver.world import T0, block

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from blocker.policy.store import Snapshot

START, END = int(T0) + 100, int(T0) + 200


@dataclass
class Made:
    """A change of the target below: the refs that are to hold."""

    refs: frozenset[str]
    is_empty: bool
    lack: str

    @property
    def size(self) -> int:
        return len(self.refs)


@dataclass
class World:
    """A target that keeps refs, and clocks that are moved by hand; preparing and sending take `cost`."""

    name: str = "rpz lab.rpz"
    now: float = T0
    cost: float = 0.0
    holds: frozenset[str] = frozenset()
    whole: bool = True
    broken: bool = False
    lack: str = ""
    log: list[tuple[str, float]] = field(default_factory=list)
    during: Callable[[float], object] = lambda _: None  # what happens while it prepares for this instant

    def made(self, pulse: Callable[[], None]) -> World:
        self.pulse = pulse
        return self

    def prepare(self, policy: Snapshot, t: int) -> Made:
        self.log.append(("prepare", t))
        self.now += self.cost
        self.during(t)
        self.pulse()
        self.log.append(("prepared", t))
        refs = frozenset(
            one.ref
            for one in policy.directives.values()
            if one.in_force(t) and one.ref not in policy.withheld
        )
        return Made(refs, refs == self.holds, self.lack if refs else "")

    def send(self, change: Made) -> int:
        if self.broken:
            raise PointError("the primary 192.0.2.1:53 did not answer; start it")
        if change.is_empty:
            return 0
        self.log.append(("send", self.now))
        self.holds = change.refs
        return len(change.refs)

    def is_whole(self) -> bool:
        self.log.append(("look", self.now))
        return self.whole

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 1e-3)

    def until(self, pusher: Pusher, t: float) -> None:
        while self.now < t:
            self.sleep(pusher.step())

    def sent(self) -> list[float]:
        return [at for what, at in self.log if what == "send"]


@pytest.fixture
def world() -> World:
    return World()


def pusher(world: World, state: Path) -> Pusher:
    return Pusher(
        world.made,
        state,
        beat=lambda: None,
        clock=lambda: world.now,
        monotonic=lambda: world.now,
        sleep=world.sleep,
    )


def orders(state: Path, *names: str, number: int = 1) -> None:
    store(state, *(block(name, start=START, until=END) for name in names), number=number)


def test_a_change_is_prepared_before_its_instant_and_sent_at_it(tmp_path: Path, world: World) -> None:
    orders(tmp_path, "grok.example")
    loop = pusher(world, tmp_path)
    world.until(loop, END + 1)
    assert world.sent() == [START, END]
    assert [t for what, t in world.log if what == "prepare"] == [int(T0), START, END]
    assert world.holds == frozenset()
    assert loop.pushed.lateness == 0
    assert (loop.pushed.instant, loop.pushed.changes, loop.pushed.trouble) == (END, 2, "")


def troubles(world: World, loop: Pusher) -> list[tuple[float, str]]:
    """What the report said each time while something was prepared, and for which instant."""
    found: list[tuple[float, str]] = []

    def during(t: float) -> None:
        for _ in range(4):
            world.now += 20.0
            loop._pulse()
            found.append((t, loop.pushed.trouble))

    world.during = during
    return found


SLOW = "what must hold now is still being prepared"


def test_what_is_prepared_for_long_after_it_must_hold_is_trouble_until_it_is_sent(
    tmp_path: Path, world: World
) -> None:
    orders(tmp_path, "grok.example")
    loop = pusher(world, tmp_path)
    found = troubles(world, loop)
    loop.step()
    assert found == [(int(T0), ""), (int(T0), ""), (int(T0), ""), (int(T0), SLOW)]
    assert loop.pushed.trouble == ""


def test_what_is_prepared_for_long_before_it_must_hold_is_no_trouble(tmp_path: Path, world: World) -> None:
    orders(tmp_path, "grok.example")
    loop = pusher(world, tmp_path)
    loop.step()
    found = troubles(world, loop)
    world.now = START - 5.0
    loop.step()
    assert found == [(START, ""), (START, ""), (START, ""), (START, SLOW)], "60 s after its start"


def test_a_slow_preparation_begins_earlier_the_next_time(tmp_path: Path, world: World) -> None:
    orders(tmp_path, "grok.example")
    world.cost = 20.0
    loop = pusher(world, tmp_path)
    world.until(loop, END + 1)
    assert world.sent() == [START, END]


def test_a_preparation_that_is_overtaken_by_its_instant_is_sent_at_once(tmp_path: Path, world: World) -> None:
    orders(tmp_path, "grok.example")
    world.now = START - 3
    world.cost = 10.0
    loop = pusher(world, tmp_path)
    world.until(loop, START + 40)
    assert world.holds == {"court/o1/d"}
    assert world.sent()[0] < START + 30
    assert loop.pushed.lateness > 0


def test_a_new_generation_voids_what_was_prepared(tmp_path: Path, world: World) -> None:
    orders(tmp_path, "grok.example")
    other = block("other.example", start=T0 - 5, until=END, ident="court/o2")
    apply = Child(lambda: store(tmp_path, block("grok.example", start=START, until=END), other, number=2))
    loop = pusher(world, tmp_path)
    world.until(loop, START - 2)
    assert apply.go() == "None"
    world.until(loop, START - 1)
    assert len(world.holds) == 1
    world.until(loop, START + 1)
    assert len(world.holds) == 2
    assert world.sent()[-1] == START
    assert loop.pushed.generation == 2


def test_what_fails_is_tried_again_soon_and_from_the_start(
    tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    orders(tmp_path, "grok.example")
    loop = pusher(world, tmp_path)
    world.until(loop, START - 1)
    world.broken = True
    world.until(loop, START + 50)
    assert loop.pushed.trouble.startswith("the primary 192.0.2.1:53 did not answer")
    assert loop.pushed.failures > 10
    assert capsys.readouterr().err.count("did not answer") == 1
    world.broken = False
    mended = world.now
    world.until(loop, mended + LAST_RETRY + 0.1)
    assert len(world.holds) == 1
    assert (loop.pushed.trouble, loop.pushed.lateness > 50) == ("", True)
    assert "again" in capsys.readouterr().err


def test_the_report_tells_of_a_trouble_before_the_log_does(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders(tmp_path, "grok.example")
    loop = pusher(world, tmp_path)
    told: list[str] = []

    def say(*_: str, **__: str) -> None:
        (one,) = json.loads((tmp_path / report.FOLDER / "rpz-lab.rpz.json").read_text())["reports"]
        told.append(one["trouble"])

    monkeypatch.setattr("blocker.fleet.push.say", say)
    world.now, world.broken = START + 1, True
    loop.step()
    assert told == ["the primary 192.0.2.1:53 did not answer; start it"]


def test_what_a_target_cannot_hold_is_its_trouble_as_long_as_it_should(
    tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    orders(tmp_path, "grok.example")
    world.lack = "id.rpz can't speak of 1 name"
    loop = pusher(world, tmp_path)
    world.until(loop, START - 1)
    assert loop.pushed.trouble == ""
    world.until(loop, START + 1)
    assert world.holds == {"court/o1/d"}, "what can be said is in force"
    assert loop.pushed.trouble == world.lack
    assert world.lack in capsys.readouterr().err
    world.until(loop, END + 1)
    assert (loop.pushed.trouble, loop.pushed.failures) == ("", 0)
    assert "it holds the policy again" in capsys.readouterr().err


def test_a_target_that_lost_what_it_held_is_sent_it_again(tmp_path: Path, world: World) -> None:
    orders(tmp_path, "grok.example")
    world.now = START + 1
    loop = pusher(world, tmp_path)
    world.until(loop, START + 2)
    world.holds, world.whole = frozenset(), False
    world.until(loop, START + 3 + LOOK_EVERY)
    assert len(world.holds) == 1


def test_what_is_withheld_long_after_the_apply_is_not_late_since_then(tmp_path: Path, world: World) -> None:
    orders(tmp_path, "grok.example")
    word = Child(lambda: writer.withhold(tmp_path, Withheld(reason="x", at=0.0, by="test"), "court/o1/d"))
    world.now = START + 1
    loop = pusher(world, tmp_path)
    world.until(loop, END - 50)
    assert word.go() == "None"
    world.until(loop, END - 49)
    assert (loop.pushed.changes, world.holds) == (2, frozenset())
    assert loop.pushed.lateness < 1


def test_a_clock_that_steps_back_over_a_start_lifts_it_again(tmp_path: Path, world: World) -> None:
    orders(tmp_path, "grok.example")
    world.now = START + 1
    loop = pusher(world, tmp_path)
    world.until(loop, START + 2)
    assert len(world.holds) == 1
    world.now = START - 50
    world.until(loop, START - 49)
    assert world.holds == frozenset()


def test_no_policy_yet_is_a_trouble_that_passes(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blocker.resolver.live.REOPEN", 0.0)
    loop = pusher(world, tmp_path)
    world.until(loop, T0 + 2)
    assert "no policy store yet" in loop.pushed.trouble
    orders(tmp_path, "grok.example")
    world.until(loop, T0 + 20)
    assert loop.pushed.trouble == ""


def test_a_bug_in_a_target_is_shown_and_outlived(
    tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    orders(tmp_path, "grok.example")

    def bug(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world, "prepare", bug)
    loop = pusher(world, tmp_path)
    world.until(loop, T0 + 5)
    assert "ZeroDivisionError" in loop.pushed.trouble
    assert "Traceback" in capsys.readouterr().err


def test_the_report_can_be_read_by_others(tmp_path: Path, world: World) -> None:
    orders(tmp_path, "grok.example")
    loop = pusher(world, tmp_path)
    world.until(loop, START + 1)
    octets = (tmp_path / report.FOLDER / "rpz-lab.rpz.json").read_bytes()
    assert report.from_json(octets) == (loop.pushed,)
    assert "grok" not in octets.decode()


def test_the_report_is_written_again_and_again_as_long_as_the_pusher_lives(
    tmp_path: Path, world: World
) -> None:
    orders(tmp_path, "grok.example")
    loop = pusher(world, tmp_path)
    world.until(loop, T0 + 60)
    (one,) = report.from_json((tmp_path / report.FOLDER / "rpz-lab.rpz.json").read_bytes()) or ()
    assert world.now - one.at <= report.WRITE_EVERY + 1


def test_where_there_is_no_room_for_another_report_the_last_one_is_written_over(
    tmp_path: Path, world: World
) -> None:
    orders(tmp_path, "grok.example")
    loop = pusher(world, tmp_path)
    world.until(loop, START - 1)
    path = tmp_path / report.FOLDER / "rpz-lab.rpz.json"
    path.with_suffix(f".{os.getpid()}.new").mkdir()
    world.broken = True
    world.until(loop, START + 1)
    assert "did not answer" in loop.pushed.trouble
    assert report.from_json(path.read_bytes()) == (loop.pushed,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 99, "reports": []}',
        '{"format": 1, "reports": [{"kind": "X"}]}',
        "[" * 9999,
    ],
)
def test_a_report_that_is_none_reads_as_none(text: str) -> None:
    assert report.from_json(text) is None


def test_reports_come_back_as_they_were() -> None:
    found = (report.Pushed(target="t", trouble="x"), report.Purged(point="p", names=3))
    assert report.from_json(report.to_json(found)) == found
    assert json.loads(report.to_json(found))["format"] == report.FORMAT


def test_an_apply_does_not_wait_for_what_is_prepared_for_later(tmp_path: Path, world: World) -> None:
    later = block("grok.example", start=START, until=END)
    urgent = block("urgent.example", ident="court/o2", start=int(T0), until=END)
    store(tmp_path, later)
    coming = [Child(lambda: store(tmp_path, later, urgent, number=2))]

    def during(t: float) -> None:
        if t == START and coming:
            assert coming.pop().go() == "None"

    world.during = during
    loop = pusher(world, tmp_path)
    world.until(loop, START + 1)
    prepared = [(what, t) for what, t in world.log if what.startswith("prepare")]
    began = prepared[3][1]
    assert T0 < began < START
    assert prepared[2:] == [
        ("prepare", START),
        ("prepare", began),
        ("prepared", began),
        ("prepare", START),
        ("prepared", START),
    ]
    assert loop.pushed.failures == 0
    assert world.holds == {"court/o1/d", "court/o2/d"}
