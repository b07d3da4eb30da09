"""What was done and the ledger doesn't say yet: each act leaves its events in the store, and they are told.

Shell. An act and its events are one transaction of the store (`writer`), so a crash between the two files, or
a ledger that can't be written, loses nothing: the next act, or the next apply with nothing to do, tells it,
each event once and with its own time. An event is known by its salt, which it has from the start.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import lmdb

from blocker.errors import NothingApplied, StoreError
from blocker.policy import ledger, records, store, writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from blocker.policy.chain import Event
    from blocker.policy.records import Generation

_SHOWN = 5  # runs of generations in one sentence


def tell(state: Path, warn: Callable[[str], None] | None = None) -> None:
    """Tell the ledger what waits for it. `warn` is told if that can't be done: it goes on waiting."""
    try:
        _, waiting = _read(state)
        if waiting:
            ledger.append(state, [one for events in waiting.values() for one in events])
            writer.tidy(state, waiting)
    except NothingApplied:
        return
    except StoreError as error:
        if warn is not None:
            warn(f"{error}; what was done is kept, and told by the next `blocker apply`")


def compare(state: Path) -> tuple[int, list[str]]:
    """How many events the ledger doesn't have yet, and what it lacks for good, a sentence each."""
    try:
        generation, waiting = _read(state)
        events = ledger.news(state, [one for events in waiting.values() for one in events])
        told = [(one.at, one.facts.get("generation")) for one in ledger.entries(state, only=("applied",))]
    except NothingApplied:
        return 0, []
    except StoreError as error:
        return 0, [f"the ledger can't be compared with what is applied: {error}"]
    told += [(one.at, one.detail.get("generation")) for one in events if one.event == "applied"]
    return len(events), _lacks(generation, told)


def _lacks(live: Generation, told: Iterable[tuple[float, object]]) -> list[str]:
    known = {(at, number) for at, number in told if isinstance(number, int)}
    if missing := list(_gaps({number for _, number in known}, live.number)):
        said = [f"{first}" if first == last else f"{first} to {last}" for first, last in missing[:_SHOWN]]
        which = ", ".join([*said, *(["…"] if len(missing) > _SHOWN else [])])
        return [f"the ledger does not say who applied generation {which}: it was lost or cut off"]
    if (live.applied_at, live.number) not in known:
        return [f"what the ledger says of generation {live.number} is not of the one that is live"]
    return []


def _gaps(numbers: Iterable[int], last: int) -> Iterator[tuple[int, int]]:
    """The first and last of each run of numbers that is missing from 1 to the last."""
    following = 1
    for number in sorted(one for one in numbers if 1 <= one <= last):
        if number > following:
            yield following, number - 1
        following = number + 1
    if following <= last:
        yield following, last


def _read(state: Path) -> tuple[Generation, dict[bytes, list[Event]]]:
    """The live generation, and what waits for the ledger, in order. Raises NothingApplied and StoreError."""
    path = state / store.FILE
    try:
        with closing(store.environment(state, write=False)) as opened:
            meta = opened.open_db(b"meta", create=False)
            with opened.begin() as txn:
                octets = txn.get(b"generation", db=meta)
                if octets is None:
                    raise NothingApplied(f"{path}: no policy has been applied yet; run `blocker apply`")
                waiting = {key: records.unpack_events(value) for key, value in store.outbox(txn, meta)}
                return records.unpack_generation(octets), waiting
    except lmdb.NotFoundError as error:
        raise NothingApplied(f"{path}: no policy has been applied yet; run `blocker apply`") from error
    except lmdb.Error as error:
        raise StoreError(store.sentence(path, error)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: what waits for the ledger can't be read ({error!r})") from error
