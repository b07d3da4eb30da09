"""The fleet's purge beside an engine: the purger's own process, with the engine's real control tool."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker.fleet import purge, purger, report
from blocker.fleet.purger import Purger
from blocker.fleet.report import Purged
from blocker.site import Endpoint, Point
from tests.conformance.world import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conformance.engines import Engine
    from tests.conformance.world import World

_PATIENCE = 30.0  # seconds
_TICK = 0.02


@dataclass(kw_only=True)
class Purging:
    """A purger that looks at a store of its own; with `is_needless` there is nothing that it would purge."""

    store: Store
    is_needless: bool

    def apply(self, world: World) -> None:
        """Apply the world, and come back when all that the purge does about it is done."""
        before = self._told()
        self.store.hold(world)
        if not self.is_needless:
            self._until(lambda told: told.names > before.names and not told.pending)

    def begin(self) -> None:
        """Come back when the purger knows what is in force, and has forgotten what was before it."""
        if not self.is_needless:
            self._until(lambda told: bool(told.point) and not told.pending)

    @property
    def path(self) -> Path:
        return self.store.state / report.FOLDER / purger.FILE

    def _told(self) -> Purged:
        found = (report.from_json(self.path.read_bytes()) or ()) if self.path.exists() else ()
        return next((one for one in found if isinstance(one, Purged)), Purged(point=""))

    def _until(self, happens: Callable[[Purged], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not happens(told := self._told()):
            assert time.monotonic() < deadline, f"it is still not purged: {told}"
            time.sleep(_TICK)
        assert not told.trouble, told.trouble


@contextmanager
def purging(
    folder: Path, engine: Engine, control: tuple[str, ...], region: str, world: World
) -> Iterator[Purging]:
    """A purger of this engine's cache, that begins with the world; the folder is its own."""
    found = Purging(
        store=Store(state=folder), is_needless=not control or (engine.kind, engine.by) not in purge.WAYS
    )
    found.store.hold(world)
    if found.is_needless:
        yield found
        return
    point = Point(
        name="lab",
        kind=engine.kind,
        by=engine.by,
        address=Endpoint("127.0.0.1", 53),
        region=region,
        control=control,
    )
    process = multiprocessing.get_context("fork").Process(target=_run, args=(point, folder))
    process.start()
    try:
        found.begin()
        yield found
    finally:
        process.terminate()
        process.join()


def _run(point: Point, state: Path) -> None:
    asyncio.run(Purger((point,), state, lambda: None).run())
