"""When each feed is asked again, and what is asked with: the polite side of fetching. A shell.

Nothing here runs by itself: a timer calls `blocker import --poll` every few minutes, and this decides which
feeds are due. What is remembered (`state/feeds/<feed>.json`) may be lost at any time: a document is fetched
once more then. Feeds that fail wait longer each time, and all of them a little longer than they say, so that
not every provider asks at the same second.

What a poll says goes to the journal, which is not for everybody's secrets: of a feed whose documents nobody
outside may know (`is_told`) it says what went wrong by its check, and how often, and no more.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from blocker.errors import BlockerError, OrdersInvalid, PointError, StoreError
from blocker.feeds import aside, importing, transfer
from blocker.feeds import fetch as fetching
from blocker.feeds.contract import Axfr
from blocker.feeds.family import is_own
from blocker.feeds.fetch import Validators
from blocker.orders import files, parse
from blocker.orders.model import Publication
from blocker.policy import store
from blocker.policy.examine import live_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import TextIO

    from blocker.errors import Problem
    from blocker.feeds.contract import Feed
    from blocker.feeds.importing import Imported
    from blocker.feeds.mint import Source
    from blocker.site import Site

LONGEST = 24 * 3600
"""Seconds that a feed which fails waits at most, unless its interval is longer."""

JITTER = 0.1
"""How much later than its interval a feed is asked, at most."""

_BOUND = 4096
_OF_OTHERS = ("feed-removed-by-order", "feed-cuts-others", "feed-order-ended")
_TRIES, _PAUSE = 10, 0.1  # How long an import waits for another one without a word.


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is remembered of a feed: when it is due (epoch seconds), how often it failed since it last went
    well; what the server said of the last good document, the `source` that it came from, and the `orders`
    that were made of the feed's documents so far, as a digest of their names.
    """

    due: float = 0.0
    failures: int = 0
    etag: str = ""
    modified: str = ""
    source: str = ""
    orders: str = ""


def delay(feed: Feed, failures: int, chance: float) -> float:
    """Seconds until the feed is asked again; `chance` is from 0 to 1."""
    wait = min(feed.interval * 2.0 ** min(failures, 30), max(LONGEST, feed.interval))
    return wait * (1 + JITTER * chance)


def _longest(feed: Feed) -> float:
    return max(LONGEST, feed.interval) * (1 + JITTER)


@contextmanager
def alone(site: Site, *, warn: Callable[[str], None]) -> Iterator[None]:
    """One import at a time: the next one waits, and says so. Raises StoreError."""
    folder = site.state / "feeds"
    try:
        store.make(site.state)
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("a+") as lock:
            _lock(lock, warn)
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield
    except OSError as error:
        raise StoreError(f"{folder}: imports can't be kept apart: {error.strerror}") from error


def _lock(lock: TextIO, warn: Callable[[str], None]) -> None:
    for _ in range(_TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_PAUSE)
    lock.seek(0)
    warn(f"another import runs (process {lock.read(20)}); this one waits until it has ended")
    fcntl.flock(lock, fcntl.LOCK_EX)


def fetch(site: Site, feed: Feed, at: int) -> Source:
    """The feed's document, whole. Raises OrdersInvalid, PointError."""
    source, _ = _fetch(site, feed, at, Validators())
    if source is None:
        raise _unasked(feed)
    return source


def _unasked(feed: Feed) -> PointError:
    return PointError(f"{_place(feed)}: the server says that nothing changed, though it was not asked")


def _fetch(site: Site, feed: Feed, at: int, known: Validators) -> tuple[Source | None, Validators]:
    """The document, None if it is the one already known; and what to ask with next."""
    if isinstance(feed.source, Axfr):
        return transfer.from_primary(feed.source, at, known, _path(site, feed).with_suffix(".zone"))
    if isinstance(feed.source, str):
        return fetching.from_url(feed.source, at, known)
    return fetching.from_file(feed.source, at), Validators()


def poll(
    site: Site, feeds: Iterable[Feed], now: float, *, warn: Callable[[str], None]
) -> tuple[list[Imported], int]:
    """Import every feed that is due. What was made, and the exit code of what could not be had."""
    made: list[Imported] = []
    worst = 0
    for feed in feeds:
        memory = recall(site, feed)
        if now < memory.due <= now + _longest(feed):
            continue  # One that is later still was written by a clock that was ahead.
        following = _failed(feed, memory, now)
        try:
            done, validators = _import(site, feed, now, memory)
            if done is not None:
                made.append(_for_a_journal(done))
                # What was refused is judged at each poll, also if nothing changed since.
                following = replace(following, etag="", modified="")
            if done is None or not done.is_refused:
                following = Memory(
                    due=now + delay(feed, 0, _chance()),
                    source=_place(feed),
                    orders=_orders(site, feed),
                    **asdict(validators),
                )
        except BlockerError as error:
            warn(f"{feed.name}: {error if is_told(site, feed) else _outline(feed, error)}")
            worst = max(worst, error.exit_code)
        except Exception as error:  # noqa: BLE001 - a bug with one feed is not the others'
            # What it says of itself may hold what is not for everybody: a key, a sealed name.
            warn(
                f"{feed.name}: {type(error).__name__}: this is a bug, which `blocker import {feed.name}` "
                "shows whole; the other feeds are imported"
            )
            worst = max(worst, BlockerError.exit_code)
        try:
            remember(site, feed, following)
        except StoreError as error:
            warn(f"{feed.name}: {error}")
            worst = max(worst, error.exit_code)
    return made, worst


def _for_a_journal(made: Imported) -> Imported:
    """The import without the words of those problems that are about orders of others, which may be sealed."""
    words = f"it is about orders that others wrote; {_way(made.feed)} says more"
    return replace(
        made,
        problems=tuple(
            replace(one, path=made.feed.name, message=words) if one.id in _OF_OTHERS else one
            for one in made.problems
        ),
    )


def is_told(site: Site, feed: Feed) -> bool:
    """Whether everybody may know what the feed's documents say: it is public, and so are its orders so far,
    for what an amend brings is as sealed as the block. Of an order that can't be read that is not known.
    """
    if feed.publication is not Publication.PUBLIC:
        return False
    try:
        applied = live_policy(site.state).orders
    except StoreError:
        return False
    own = _own(site, feed).union(id_ for id_ in applied if is_own(id_, feed.folder, feed.name))
    read = (parse.read(files.source(site.orders, id_), path=id_, id_=id_)[0] for id_ in own)
    return all(one is not None and one.order.publication is Publication.PUBLIC for one in read)


def _outline(feed: Feed, error: BlockerError) -> str:
    """What may be said of an error where its own words may not."""
    if isinstance(error, OrdersInvalid):
        return outline(feed, error.problems)
    what = "its document can't be had" if isinstance(error, PointError) else "the import failed"
    return f"{what}; {_way(feed)} says more"


def outline(feed: Feed, problems: Iterable[Problem]) -> str:
    """How many problems of which check there are, where their own words may not be said."""
    counts = Counter(one.id for one in problems)
    return f"{', '.join(f'{count:,} {id_}' for id_, count in counts.items())}; {_way(feed)} says more"


def _way(feed: Feed) -> str:
    return f"`blocker import {feed.name} --dry-run`"


def _import(site: Site, feed: Feed, now: float, memory: Memory) -> tuple[Imported | None, Validators]:
    # What the server said is about the document that the last order was made of, and of no use without it.
    is_same = memory.source == _place(feed) and memory.orders == _orders(site, feed) != ""
    known = Validators(etag=memory.etag, modified=memory.modified) if is_same else Validators()
    source, validators = _fetch(site, feed, int(now), known)
    if source is None:
        if known == Validators():
            raise _unasked(feed)
        return None, validators
    made = importing.make(site, feed, source)
    if made.files:
        importing.write(site, made)
    return made, Validators() if made.is_waiting else validators


def _failed(feed: Feed, memory: Memory, now: float) -> Memory:
    failures = memory.failures + 1
    return replace(memory, failures=failures, due=now + delay(feed, failures, _chance()))


def _chance() -> float:
    return random.random()  # noqa: S311 - it keeps pollers apart and no secret


def _orders(site: Site, feed: Feed) -> str:
    """A digest of the names of the orders that the feed's imports made, empty if there is none."""
    own = sorted(id_.rpartition("/")[2] for id_ in _own(site, feed))
    return sha256("\n".join(own).encode()).hexdigest() if own else ""


def _own(site: Site, feed: Feed) -> set[str]:
    """The ids of the orders in the folder that the feed's imports made."""
    found = (f"{feed.folder}/{path.stem}" for path in (site.orders / feed.folder).glob("*.yaml"))
    return {id_ for id_ in found if is_own(id_, feed.folder, feed.name)}


def _place(feed: Feed) -> str:
    """Where the feed's documents come from."""
    if isinstance(feed.source, Axfr):
        return f"{feed.source.zone} at {feed.source.primary}"
    return str(feed.source)


def recall(site: Site, feed: Feed) -> Memory:
    """What is remembered of the feed; what can't be read is forgotten."""
    try:
        with _path(site, feed).open("rb") as file:
            found = json.loads(file.read(_BOUND))
        return Memory(
            due=float(found["due"]),
            failures=int(found["failures"]),
            etag=str(found["etag"]),
            modified=str(found["modified"]),
            source=str(found["source"]),
            orders=str(found["orders"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Memory()


def remember(site: Site, feed: Feed, memory: Memory) -> None:
    """Keep it for the next time. Raises StoreError."""
    path = _path(site, feed)
    try:
        aside.write(path, json.dumps(asdict(memory)).encode())
    except OSError as error:
        raise StoreError(f"{path}: it can't be written: {error.strerror}") from error


def _path(site: Site, feed: Feed) -> Path:
    return site.state / "feeds" / f"{feed.name}.json"
