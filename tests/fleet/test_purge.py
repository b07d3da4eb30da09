from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import pytest

from blocker import names
from blocker.errors import PointError
from blocker.fleet import purge, report
from blocker.fleet.purger import FILE, Cache, Purger, control
from blocker.site import Endpoint, Point
from tests.policy.child import Child
from tests.resolver.live import store
from tests.resolver.world import T0, block, policy

if TYPE_CHECKING:
    from pathlib import Path

NOW = time.time()


def point(kind: str = "unbound", by: str = "module", *control: str, region: str = "ID") -> Point:
    return Point(
        name="p1",
        kind=kind,
        by=by,
        address=Endpoint("127.0.0.1", 53),
        region=region,
        control=control or ("ctl",),
    )


TABLE = [
    (
        "unbound",
        "module",
        ["a.example", "b.example"],
        [("flush_zone", "a.example"), ("flush_zone", "b.example")],
    ),
    ("unbound", "rpz", ["a.example"], [("flush_zone", "a.example")]),
    ("bind", "rpz", ["a.example"], [("flushtree", "a.example")]),
    ("powerdns", "rpz", ["a.example", "b.example"], [("wipe-cache", "a.example$", "b.example$")]),
]


@pytest.mark.parametrize(("kind", "by", "found", "said"), TABLE, ids=[f"{row[0]}-{row[1]}" for row in TABLE])
def test_each_engine_forgets_by_its_own_command(
    kind: str, by: str, found: list[str], said: list[tuple[str, ...]]
) -> None:
    assert purge.commands(point(kind, by), found) == (said, 0)


def test_many_names_are_flushed_by_themselves_where_a_tree_is_as_dear_as_the_whole_cache() -> None:
    found = [f"n{number}.example" for number in range(purge.ZONES + 1)]
    made, skipped = purge.commands(point(), found)
    assert {words[0] for words in made} == {"flush"}
    assert (len(made), skipped) == (purge.ZONES + 1, 0)


def test_more_names_than_can_be_purged_are_counted() -> None:
    found = [f"n{number}.example" for number in range(purge.NAMES + 7)]
    for kind, by in purge.WAYS:
        made, skipped = purge.commands(point(kind, by), found)
        assert skipped == 7
        assert sum(len(words) - 1 for words in made) == purge.NAMES


def test_names_below_others_need_no_command_of_their_own() -> None:
    keys = [
        names.to_key(name) for name in ("www.a.example", "a.example", "b.example", "a.example", "xa.example")
    ]
    assert purge.as_text(keys) == ["a.example", "b.example", "xa.example"]


def test_what_is_active_depends_on_time_region_and_the_operator() -> None:
    index = policy(
        block("a.example", start=T0, until=T0 + 10, ident="court/a"),
        block("b.example", start=T0, until=T0 + 10, ident="court/b", regions=("GB",)),
        block("c.example", start=T0, until=T0 + 10, ident="court/c"),
    )
    index.withheld = {"court/c": object()}
    assert purge.active(index, "ID", T0 - 1) == frozenset()
    assert purge.active(index, "ID", T0) == {"court/a/d"}
    assert purge.active(index, "GB", T0 + 9) == {"court/b/d"}
    assert purge.fresh(index, T0 + 5, since=T0 + 1) == frozenset()
    assert len(purge.fresh(index, T0 + 5, since=T0 - 1)) == 3


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
        assert [list(cache.due) for cache in purger.caches] == [[], []]
        purger.look(snapshot, NOW + 100)
    assert [list(cache.due) for cache in purger.caches] == [[], ["grok.example"]]


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
    assert list(purger.caches[0].due) == ["grok.example"]


def test_a_control_command_that_fails_is_tried_again_and_the_report_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tool(
        tmp_path,
        f"flag = pathlib.Path({str(tmp_path / 'flag')!r})\n"
        "if not flag.exists():\n    flag.touch()\n    sys.exit(f'no socket for {sys.argv[-1]}')",
    )
    cache = Cache(point("bind", "rpz", *words))
    cache.want(["secret.example"], 0, time.monotonic() - 5)
    settle([cache])
    assert said(tmp_path) == ["flushtree secret.example"]
    assert (cache.purged.failures, cache.purged.names, cache.purged.pending) == (1, 1, 0)
    told = capsys.readouterr().err
    assert "failed with exit code 1: no socket for …" in told
    assert "it takes commands again" in told
    assert "secret" not in told


def test_one_point_that_hangs_keeps_no_other_waiting(tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    slow = Cache(point("bind", "rpz", *tool(tmp_path / "slow", "time.sleep(60)")))
    quick = Cache(point("bind", "rpz", *tool(tmp_path, "")))
    for cache in (slow, quick):
        cache.want(["grok.example"], 0, time.monotonic() - 5)

    settle([quick], slow)
    assert list(slow.due) == ["grok.example"]
    assert said(tmp_path) == ["flushtree grok.example"]


def test_a_tool_that_is_missing_or_hangs_is_a_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PointError, match=r"`/nowhere/rndc` can't be started: No such file"):
        asyncio.run(control(("/nowhere/rndc", "flushtree")))
    monkeypatch.setattr("blocker.fleet.purger.TIMEOUT", 0.2)
    with pytest.raises(PointError, match="did not end within"):
        asyncio.run(control(tool(tmp_path, "time.sleep(60)")))


def test_too_many_names_are_said_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = Cache(point("bind", "rpz"))
    cache.want([f"n{number}.example" for number in range(purge.NAMES + 3)], 2, 0.0)
    assert len(cache.due) == purge.NAMES
    assert cache.purged.skipped == 5
    assert "5 names are too many" in capsys.readouterr().err


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
    assert found[0] == purger.caches[0].purged
    assert found[0].names == 1 if isinstance(found[0], report.Purged) else False
    assert b"grok" not in octets
