"""Sweeps of real servers: whatever engine a point is, what it blocks as ordered is seen to be, in bulk."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from blocker import names
from blocker.policy.reader import Reader
from blocker.site import Endpoint, Point
from blocker.sweep import bulk
from blocker.sweep.bulk import Lane
from blocker.sweep.pages import Sweep
from blocker.sweep.swept import Limits
from tests.conformance import session, table
from tests.conformance.cases import REGIONS
from tests.conformance.engines import ENGINES
from tests.conformance.world import Store, World

if TYPE_CHECKING:
    from pathlib import Path

CANARY = names.to_key("canary.free.example")
ENGINES_OVER_UDP = [name for name in ENGINES if name != "embedded-tcp"]


@pytest.mark.parametrize("engine", ENGINES_OVER_UDP)
def test_nothing_is_odd_at_a_point_that_obeys(engine: str, tmp_path: Path) -> None:
    source = REGIONS[session.HOME]
    now = int(time.time())
    world = World(cases=tuple(table.standing(now, session.OWNER_LIMIT)))
    can = ENGINES[engine].can
    world = world.where(lambda case: not session.refused_in(case, can))
    store = Store(state=tmp_path / "state")
    store.hold(world)
    (tmp_path / engine).mkdir()
    with (
        session.world_outside(world.aliases) as upstream,
        ENGINES[engine].start(tmp_path / engine, upstream) as runner,
    ):
        runner.hold(world, session.HOME, now)
        address = Endpoint("127.0.0.1", runner.port)
        point = Point(
            name="p",
            kind=ENGINES[engine].kind,
            by=ENGINES[engine].by,
            address=address,
            region=session.HOME,
            source=source,
        )
        reader = Reader(store.state)
        lane = Lane(Sweep(point), reader, canaries=[CANARY], limits=Limits(rate=2000))
        [swept] = bulk.run([lane])
        reader.close()
    has_attribution = "ede" not in can.reach
    assert swept.asked > 60
    assert (swept.odd, swept.lost, swept.void, swept.unproven, swept.trouble) == (0, 0, 0, 0, "")
    # Without attribution what must pass is still seen to.
    assert swept.ok == swept.asked if has_attribution else 0 < swept.ok < swept.asked
    assert swept.formed == swept.asked - swept.ok
    assert swept.unaccounted == 0
