from __future__ import annotations

import asyncio
import pathlib
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from blocker import names
from blocker.errors import PointError
from blocker.fleet import purge, report
from blocker.fleet.purger import FILE, Cache, Purger, control
from blocker.policy import writer
from blocker.policy.reader import Reader
from blocker.policy.records import Withheld
from blocker.site import Endpoint, Point
from tests.fleet.test_purge import point
from tests.policy.child import Child
from tests.resolver.live import store
from tests.resolver.world import block

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.orders.model import Order

NOW = time.time()
GROK = names.to_key("grok.example")


def tool(folder: Path, body: str) -> tuple[str, ...]:
    """A control tool that writes down its words."""
    script = folder / "tool.py"
    script.write_text(
        f"import sys, pathlib, time\nlog = pathlib.Path({str(folder / 'said')!r})\n{body}\n"
        "with log.open('a') as file:\n    file.write(' '.join(sys.argv[1:]) + '\\n')\n"
    )
    return (sys.executable, str(script))


def said(folder: Path) -> list[str]:
    path = folder / "said"
    return path.read_text().splitlines() if path.exists() else []


def settle(caches: list[Cache], *others: Cache) -> None:
    """Let the tasks of all run until nothing is due in `caches`."""

    async def main() -> None:
        running = [asyncio.create_task(cache.run()) for cache in (*caches, *others)]
        async with asyncio.timeout(20):
            while any(cache.due for cache in caches):  # noqa: ASYNC110 - the caches tell nobody
                await asyncio.sleep(0.01)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    asyncio.run(main())


def make(state: Path, *points: Point) -> Purger:
    return Purger(points, state, lambda: None)


def test_a_start_that_comes_with_an_apply_is_purged_from_every_cache(tmp_path: Path) -> None:
    store(tmp_path, block("old.example", start=NOW - 10**6, until=NOW + 10**6))
    old = block("old.example", start=NOW - 10**6, until=NOW + 10**6)
    new = block("grok.example", start=NOW - 5, until=NOW + 10**6, ident="court/o2")
    apply = Child(lambda: store(tmp_path, old, new, number=2))
    words = tool(tmp_path, "")
    purger = make(tmp_path, point("unbound", "module", *words), point("powerdns", "rpz", *words))
    purger.step()
    settle(purger.caches)
    before = len(said(tmp_path))
    assert apply.go() == "None"
    purger.step()
    settle(purger.caches)
    since = said(tmp_path)[before:]
    assert sorted(set(since)) == ["flush_zone grok.example", "wipe-cache grok.example$"]
    # PowerDNS fetches the zone some time later, and nobody tells when.
    assert since.count("wipe-cache grok.example$") == len(purge.WAYS["powerdns", "rpz"].after)
    assert purger.caches[0].purged.trouble == ""


def test_a_start_known_in_advance_is_shaped_by_our_module_and_purged_elsewhere(tmp_path: Path) -> None:
    store(tmp_path, block("grok.example", start=NOW + 100, until=NOW + 10**6))
    purger = make(tmp_path, point("unbound", "module"), point("bind", "rpz"))
    with purger._live.snapshot() as snapshot:
        purger.look(snapshot, NOW + 50)
        for cache in purger.caches:
            cache.due.clear()
        purger.look(snapshot, NOW + 100)
    assert [list(cache.due) for cache in purger.caches] == [[], [GROK]]


def test_what_began_while_nobody_was_here_is_purged_at_the_start(tmp_path: Path) -> None:
    now = time.time()
    store(
        tmp_path,
        block("old.example", start=now - 10**6, until=now + 10**6),
        block("grok.example", start=now + 100, until=now + 10**6, ident="court/o2"),
    )
    purger = make(tmp_path, point("bind", "rpz"))
    with purger._live.snapshot() as snapshot:
        purger.look(snapshot, now + 3650)  # The apply is older than max_ttl, the start is not.
    assert list(purger.caches[0].due) == [GROK]


@pytest.mark.parametrize("released", [True, False], ids=["released", "withheld"])
def test_what_the_operator_changed_while_nobody_was_here_is_purged_at_the_start(
    tmp_path: Path, released: bool
) -> None:
    order = block("grok.example", start=NOW - 10**6, until=NOW + 10**6)
    store(tmp_path, order)
    purger = make(tmp_path, point("powerdns", "rpz"))
    act = Withheld(reason="mistaken", at=NOW + 1000, by="noc")
    writer.withhold(tmp_path, act, order.id)
    if released:
        writer.release(tmp_path, {order.id: (act,)}, at=NOW + 7200)
    with purger._live.snapshot() as snapshot:  # The apply is older than max_ttl.
        purger.look(snapshot, NOW + (7201 if released else 4000))
    assert list(purger.caches[0].due) == [GROK]


def test_what_the_operator_changed_long_ago_is_forgotten_already(tmp_path: Path) -> None:
    order = block("grok.example", start=NOW - 10**6, until=NOW + 10**6)
    store(tmp_path, order)
    purger = make(tmp_path, point("powerdns", "rpz"))
    writer.withhold(tmp_path, Withheld(reason="mistaken", at=NOW + 1000, by="noc"), order.id)
    with purger._live.snapshot() as snapshot:
        purger.look(snapshot, NOW + 7200)
    assert purger.caches[0].due == {}


def test_a_control_command_that_fails_is_tried_again_and_the_report_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tool(
        tmp_path,
        f"flag = pathlib.Path({str(tmp_path / 'flag')!r})\n"
        "if not flag.exists():\n    flag.touch()\n    sys.exit(f'error: {sys.argv[-1]}: Connection refused')",
    )
    cache = Cache(point("bind", "rpz", *words))
    cache.want([names.to_key("secret.example")], 0, time.monotonic() - 5)
    settle([cache])
    assert said(tmp_path) == ["flushtree secret.example"]
    assert (cache.purged.failures, cache.purged.names, cache.purged.pending) == (1, 1, 0)
    told = capsys.readouterr().err
    assert "failed with exit code 1 (connection refused); it is tried again" in told
    assert "it takes commands again" in told
    assert "secret" not in told


def test_one_point_that_hangs_keeps_no_other_waiting(tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    slow = Cache(point("bind", "rpz", *tool(tmp_path / "slow", "time.sleep(60)")))
    quick = Cache(point("bind", "rpz", *tool(tmp_path, "")))
    for cache in (slow, quick):
        cache.want([GROK], 0, time.monotonic() - 5)

    settle([quick], slow)
    assert list(slow.due) == [GROK]
    assert said(tmp_path) == ["flushtree grok.example"]


def test_a_tool_that_is_missing_or_hangs_is_a_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PointError, match=r"`/nowhere/rndc` can't be started: No such file"):
        asyncio.run(control(("/nowhere/rndc",), ("flushtree",)))
    monkeypatch.setattr("blocker.fleet.purger.TIMEOUT", 0.2)
    with pytest.raises(PointError, match="did not end within"):
        asyncio.run(control(tool(tmp_path, "time.sleep(60)"), ("flushtree",)))


def many(number: int) -> list[names.Key]:
    return [names.to_key(f"n{one}.example") for one in range(number)]


def test_too_many_names_are_said_and_counted_where_nothing_leaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = Cache(point("bind", "rpz"))
    cache.want(many(purge.NAMES + 3), 2, 0.0)
    assert len(cache.due) == purge.NAMES
    assert cache.purged.skipped == 5
    assert "5 names are too many" in capsys.readouterr().err


LEAKY = [way for way, how in purge.WAYS.items() if how.is_leaky]


@pytest.mark.parametrize(("kind", "by"), LEAKY)
@pytest.mark.parametrize(("number", "skipped"), [(3, 1), (purge.NAMES, 0)])
def test_too_many_names_make_a_leaky_cache_forget_everything(
    kind: str, by: str, number: int, skipped: int
) -> None:
    cache = Cache(point(kind, by))
    cache.want([GROK], 0, 100.0)
    cache.want(many(number), skipped, 200.0)
    after = purge.WAYS[kind, by].after
    # And so it does at the time that GROK was to be forgotten.
    assert cache.due == {names.ROOT: tuple(sorted({100.0 + after[0], *(200.0 + one for one in after)}))}
    assert (cache.purged.skipped, cache.purged.pending) == (0, 1)


@pytest.mark.parametrize("body", ["", "sys.exit('syntax error')"], ids=["takes", "refuses"])
def test_what_is_forgotten_while_everything_comes_due_is_no_trouble(tmp_path: Path, body: str) -> None:
    cache = Cache(point("unbound", "rpz", *tool(tmp_path, f"time.sleep(0.3)\n{body}")))
    cache.want([GROK], 0, time.monotonic() - 5)

    async def main() -> None:
        running = asyncio.create_task(cache.run())
        await asyncio.sleep(0.1)
        cache.want([], 1, time.monotonic() + 100)
        cache.due[names.ROOT] = cache.due[names.ROOT][1:]
        async with asyncio.timeout(20):
            while not (cache.purged.names or cache.purged.failures):  # noqa: ASYNC110 - the cache tells nobody
                await asyncio.sleep(0.01)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())
    assert list(cache.due) == [names.ROOT]


def test_a_command_for_many_names_that_is_refused_is_no_command_for_each_of_them(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    words = tool(
        tmp_path,
        f"flag = pathlib.Path({str(flag)!r})\n"
        "if not flag.exists():\n    flag.touch()\n    sys.exit('connection refused')",
    )
    cache = Cache(point("unbound", "rpz", *words))
    cache.want(many(purge.ZONES + 1), 0, time.monotonic() - 5)
    settle([cache])
    assert said(tmp_path) == ["flush_zone ."]


def test_points_that_keep_nothing_or_have_no_control_are_left_alone(tmp_path: Path) -> None:
    silent = Point(name="p", kind="bind", by="rpz", address=Endpoint("127.0.0.1", 53), region="ID")
    assert make(tmp_path, silent, point("knot", "rpz")).caches == []


def test_a_store_that_cannot_be_read_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    purger = make(tmp_path, point("bind", "rpz"))
    purger.step()
    purger.step()
    assert capsys.readouterr().err.count("no policy store yet") == 1


def test_the_report_says_what_was_purged_and_names_nothing(tmp_path: Path) -> None:
    store(tmp_path, block("grok.example", start=NOW - 5, until=NOW + 10**6))
    purger = make(tmp_path, point("bind", "rpz", *tool(tmp_path, "")))
    purger.step()
    settle(purger.caches)
    purger._written = (float("-inf"), ())
    purger.step()
    octets = (tmp_path / report.FOLDER / FILE).read_bytes()
    found = report.from_json(octets)
    assert found is not None
    assert replace(found[0], at=0.0) == purger.caches[0].purged
    assert abs(found[0].at - time.time()) < 60
    assert found[0].names == 1 if isinstance(found[0], report.Purged) else False
    assert b"grok" not in octets


def test_the_report_is_written_again_though_nothing_was_purged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "WRITE_EVERY", 0.0)
    store(tmp_path, block("grok.example"))
    purger = make(tmp_path, point("bind", "rpz", *tool(tmp_path, "")))
    purger.step()
    (tmp_path / report.FOLDER / FILE).unlink()
    purger.step()
    assert (tmp_path / report.FOLDER / FILE).exists()


def looks(tmp_path: Path, kind: str, by: str, *applies: tuple[float, tuple[Order, ...]]) -> list[set[str]]:
    """What is due after each look: of a purger that sees each of the applies, at these instants."""
    purger = make(tmp_path, point(kind, by))
    found = []
    for number, (at, orders) in enumerate(applies, 1):
        state = tmp_path / f"{number}"
        store(state, *orders, number=1)
        with Reader(state).snapshot() as policy:
            policy.stamp = number
            policy.generation = replace(policy.generation, applied_at=at)
            purger.look(policy, at)
        found.append({names.to_text(key) for key in purger.caches[0].due})
        purger.caches[0].due.clear()
    return found


def test_a_start_learnt_of_shortly_before_it_is_purged_when_the_module_has_the_policy(tmp_path: Path) -> None:
    old = block("old.example", start=NOW - 10**6, until=NOW + 10**6)
    new = block("grok.example", start=NOW + 60, until=NOW + 10**6, ident="court/o2")
    far = block("far.example", start=NOW + 10**5, until=NOW + 10**6, ident="court/o3")
    found = looks(tmp_path, "unbound", "module", (NOW, (old,)), (NOW + 1, (old, new, far)))
    assert found == [{"old.example"}, {"grok.example"}]


def test_a_start_learnt_of_shortly_before_the_purger_began_is_purged_too(tmp_path: Path) -> None:
    new = block("grok.example", start=NOW + 60, until=NOW + 10**6, ident="court/o2")
    assert looks(tmp_path, "unbound", "module", (NOW, (new,))) == [{"grok.example"}]


def test_an_order_replaced_under_its_id_is_another_order(tmp_path: Path) -> None:
    old = block("old.example", start=NOW - 10**6, until=NOW + 10**6)
    new = replace(block("new.example", start=NOW - 10**6, until=NOW + 10**6), digest="1" * 64)
    _, found = looks(tmp_path, "bind", "rpz", (NOW, (old,)), (NOW + 1, (new,)))
    assert "." in found  # The old one's names are nowhere any more.


def test_what_an_apply_dropped_in_force_takes_the_whole_cache_with_it(tmp_path: Path) -> None:
    since, until = NOW - 10**6, NOW + 10**6
    orders = tuple(block(f"{id_}.example", start=since, until=until, ident=f"court/{id_}") for id_ in "ab")
    _, found = looks(tmp_path, "powerdns", "rpz", (NOW, orders), (NOW + 1, orders[:1]))
    assert found == {"."}


def test_an_order_that_ended_may_leave_the_store_without_a_purge(tmp_path: Path) -> None:
    orders = (block("a.example"), block("b.example", ident="court/o2", until=NOW - 10**5, start=NOW - 10**6))
    _, found = looks(tmp_path, "powerdns", "rpz", (NOW, orders), (NOW + 1, orders[:1]))
    assert found == set()


def test_a_look_that_failed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path, block("grok.example", start=NOW + 100, until=NOW + 10**6))
    purger = make(tmp_path, point("bind", "rpz"))
    with purger._live.snapshot() as policy:
        purger.look(policy, NOW)
        with monkeypatch.context() as patch:
            patch.setattr("blocker.fleet.purge.of_directives", lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                purger.look(policy, NOW + 100)
        purger.look(policy, NOW + 100.1)
    assert list(purger.caches[0].due) == [GROK]


def test_a_child_that_keeps_the_output_open_does_not_keep_us_waiting(tmp_path: Path) -> None:
    words = tool(tmp_path, "import subprocess\nsubprocess.Popen(['sleep', '3'])")
    assert asyncio.run(control(words, ("flushtree", "a.example"))) == ""


def ends(pid: int) -> bool:
    """Whether a process that is not our child comes to its end; it may wait for its burial."""
    for _ in range(1000):
        try:
            if "State:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_a_tool_that_hangs_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blocker.fleet.purger.TIMEOUT", 1.0)
    child = tmp_path / "child"
    words = tool(
        tmp_path,
        "import subprocess\nchild = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(child)!r}).write_text(str(child.pid))\nchild.wait()",
    )
    with pytest.raises(PointError, match="did not end"):
        asyncio.run(control(words, ("flushtree",)))
    assert ends(int(child.read_text()))


def test_a_tool_that_says_a_lot_is_heard_to_its_end(tmp_path: Path) -> None:
    words = tool(tmp_path, "sys.stdout.write('x' * 10**6)\nsys.stdout.flush()\nsys.exit(3)")
    assert asyncio.run(control(words, ("flushtree",))).endswith("failed with exit code 3")


def test_of_what_a_tool_says_nothing_but_known_phrases_is_told(tmp_path: Path) -> None:
    words = tool(tmp_path, "sys.exit(f'rndc: {sys.argv[-1][:7]} and {sys.argv[-1]}$: Permission denied')")
    said = asyncio.run(control(words, ("flushtree", "secret.example")))
    assert said.endswith("flushtree` failed with exit code 1 (permission denied)")
    assert "secret" not in said


REFUSES = "if any('bad' in word for word in sys.argv[1:]):\n    sys.exit('syntax error')"


@pytest.mark.parametrize("kind", ["bind", "powerdns"])
def test_a_name_that_a_tool_refuses_keeps_no_other_waiting(tmp_path: Path, kind: str) -> None:
    cache = Cache(point(kind, "rpz", *tool(tmp_path, REFUSES)))
    bad = [names.to_key(f"bad{number}.example") for number in range(10)]
    good = [names.to_key(f"xgood{number}.example") for number in range(3)]
    cache.want([*bad, *good], 0, time.monotonic() - 5)

    async def main() -> None:
        running = asyncio.create_task(cache.run())
        async with asyncio.timeout(20):
            while not cache.due.keys().isdisjoint(good):  # noqa: ASYNC110 - the cache tells nobody
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())
    assert set(cache.due) == set(bad)
    assert cache.purged.names == len(good)
    assert "syntax error" in cache.purged.trouble
