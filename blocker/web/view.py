"""What is so now, gathered from the store, the workers' counters and the prober's report.

Shell: it reads three files and the clock, and gives one immutable View. A piece that is missing or broken
shows as absent; nothing here may keep the rest from being seen.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, TypeVar

import lmdb

from blocker import metrics
from blocker.errors import StoreError
from blocker.fleet import report as fleet
from blocker.fleet.report import Purged, Pushed
from blocker.orders.timetable import shown_boundaries
from blocker.policy.reader import Reader
from blocker.prober import report, schedule
from blocker.prober.judge import Kind
from blocker.resolver import counters

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    from blocker.orders.timetable import Scheduled
    from blocker.policy.store import Snapshot
    from blocker.resolver.counters import WorkerCounts
    from blocker.site import Point

_Number = TypeVar("_Number", int, float)

SECRET = "secret"  # noqa: S105  # the name of the file, not what is in it
STALE = 60.0
"""Seconds after which nothing is concluded from a prober's report."""

_MOST_OCTETS = 64 << 20
_MOST_TARGETS = 1000
_REOPEN_EVERY = 0.5
_LEFT = "nobody is at work for it"


class Scene:
    """The state folder of a site as the web process sees it; open it after fork.

    `points` are the site's: with any, a prober's report is expected. `targets` are those that get the policy
    pushed, `caches` the points that are purged: of each a pusher's report is expected. `is_signed`: its
    orders need approvals.
    """

    def __init__(
        self,
        state: Path,
        points: Sequence[Point] = (),
        *,
        targets: Iterable[str] = (),
        caches: Iterable[str] = (),
        is_signed: bool = False,
    ) -> None:
        self._state = state
        self._is_signed = is_signed
        self._points = points
        self._targets, self._caches = tuple(targets), tuple(caches)
        self._reader: Reader | None = None
        self._reopen_at = 0.0
        self._loaded_at = 0.0
        self._secret: bytes | None = None
        self.trouble = "the policy was not read yet"

    def view(self) -> metrics.View:
        """All that can be seen now."""
        now = time.time()
        workers = _workers(self._state)
        pushed, purged = self._fleet(now)
        secret = self._key()
        snapshot = _report(self._state)
        try:
            reader = self._open()
            with reader.snapshot() as policy:
                self.trouble = reader.trouble
                if not self.trouble:
                    self._loaded_at = now
                return replace(self._of(policy, now, workers, snapshot, secret), pushed=pushed, purged=purged)
        except (StoreError, lmdb.Error) as error:
            self.trouble = str(error)
        return metrics.View(
            loaded_at=self._loaded_at,
            is_signed=self._is_signed,
            workers=workers,
            is_probing=bool(self._points),
            # Without the policy nobody knows which orders are sealed: all labels are opaque.
            prober=None if snapshot is None else prober_view(snapshot, (), now, secret, self._points),
            pushed=pushed,
            purged=purged,
        )

    def close(self) -> None:
        """Let go of the store."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def is_live(self) -> bool:
        """Whether the policy can be read and something was applied; else `trouble` says why not."""
        try:
            reader = self._open()
            with reader.snapshot() as policy:
                self.trouble = reader.trouble
                return policy.generation.number > 0 and not self.trouble
        except (StoreError, lmdb.Error) as error:
            self.trouble = str(error)
            return False

    def prober_trouble(self) -> str:
        """Why the prober can't be relied on; empty if it can."""
        snapshot = _report(self._state)
        if snapshot is None:
            return "there is no report of a prober"
        age = time.time() - snapshot.at
        if age > STALE:
            return f"the prober wrote its last report {age:.0f} s ago"
        if snapshot.trouble:
            return snapshot.trouble
        return (
            "evidence or the ledger can't be written; the log says why" if snapshot.evidence.trouble else ""
        )

    def push_trouble(self) -> str:
        """Which targets don't hold the policy of now, and which caches can't be purged; empty if none.

        Why is in the log: what a bug says of itself is not for everybody who connects.
        """
        pushed, purged = self._fleet(time.time())
        targets = [one for one in pushed if one.trouble or not one.sent_at]
        caches = [one for one in purged if one.trouble]
        found = [f"{one.target} does not hold the policy of now" for one in targets if not _is_left(one)]
        found += [f"the cache of {one.point} can't be purged" for one in caches if not _is_left(one)]
        said = ["; ".join(found) + "; the log says why"] if found else []
        left = [one.target for one in targets if _is_left(one)]
        left += [f"the cache of {one.point}" for one in caches if _is_left(one)]
        said += [f"no `blocker push` is at work for {one}" for one in left]
        return "; ".join(said)

    def _fleet(self, now: float) -> tuple[tuple[Pushed, ...], tuple[Purged, ...]]:
        """What the pusher's processes reported; of who was to report and doesn't, that nobody is at work."""
        pushed, purged = _fleet(self._state)
        targets, caches = {one.target for one in pushed}, {one.point for one in purged}
        pushed += tuple(Pushed(target=name) for name in self._targets if name not in targets)
        purged += tuple(Purged(point=name) for name in self._caches if name not in caches)
        return (
            tuple(replace(one, trouble=_LEFT) if now - one.at > fleet.STALE else one for one in pushed),
            tuple(replace(one, trouble=_LEFT) if now - one.at > fleet.STALE else one for one in purged),
        )

    def _of(
        self,
        policy: Snapshot,
        now: float,
        workers: tuple[WorkerCounts, ...],
        snapshot: report.Snapshot | None,
        secret: bytes,
    ) -> metrics.View:
        every = list(policy.directives.values())
        withheld = policy.withheld.keys()
        label = labels(every, now, secret)
        return metrics.View(
            orders=metrics.order_states(
                every, withheld=withheld, quarantined=policy.generation.quarantined, t=now
            ),
            directives_in_force=sum(
                one.in_force(now) and not one.is_cut and not metrics.is_withheld(one, withheld)
                for one in every
            ),
            times={
                label(order): times
                for order, times in metrics.order_times(every, withheld=withheld, t=now).items()
            },
            next_transition=next(iter(shown_boundaries(every, now)), None),
            generation=policy.generation.number,
            applied_at=policy.generation.applied_at,
            digest=policy.generation.digest,
            review=policy.enforcement.review,
            loaded_at=self._loaded_at,
            is_loaded=not self.trouble,
            withheld=len(withheld),
            quarantined=len(policy.generation.quarantined),
            is_signed=self._is_signed,
            approvals_due={label(order): one.due for order, one in policy.owed.items()},
            workers=workers,
            is_probing=bool(self._points),
            prober=None
            if snapshot is None
            else prober_view(snapshot, every, now, secret, self._points, withheld=withheld),
        )

    def _open(self) -> Reader:
        if self._reader is None:
            if time.monotonic() < self._reopen_at:
                raise StoreError(self.trouble)
            self._reopen_at = time.monotonic() + _REOPEN_EVERY
            self._reader = Reader(self._state)
        return self._reader

    def _key(self) -> bytes:
        if self._secret is None:
            self._secret = secret_of(self._state)
        return self._secret


def _is_left(one: Pushed | Purged) -> bool:
    return one.trouble == _LEFT


def secret_of(state: Path) -> bytes:
    """The site's secret for opaque labels: 32 octets in `state/secret`, made at first use, for us alone.

    Where it can't be kept a passing one serves: labels then change with every start, and leak nothing.
    """
    path = state / SECRET
    fresh = secrets.token_bytes(32)
    scratch = path.with_name(f"{SECRET}.{os.getpid()}.new")
    try:
        if not path.exists():
            handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(handle, "wb") as file:  # noqa: PTH123  # an open descriptor has no path
                file.write(fresh)
            try:
                path.hardlink_to(scratch)  # Fails if another process was first: then its secret holds.
            except FileExistsError:
                pass
            finally:
                scratch.unlink()
        kept = path.read_bytes()
    except OSError:
        return fresh
    return kept if len(kept) >= 16 else fresh


def labels(directives: Iterable[Scheduled], now: float, secret: bytes) -> Callable[[str], str]:
    """What turns an order's id into its label. Orders the directives don't show as public are opaque."""
    public: dict[str, bool] = {}
    for one in directives:
        public[one.order] = public.get(one.order, True) and not one.is_sealed(now)

    @cache
    def label(order: str) -> str:
        return metrics.order_label(order, is_sealed=not public.get(order, False), secret=secret)

    return label


def prober_view(
    snapshot: report.Snapshot,
    directives: Iterable[Scheduled],
    now: float,
    secret: bytes,
    points: Sequence[Point] = (),
    *,
    withheld: Collection[str] = (),
) -> metrics.ProberView:
    """The report with order ids turned into labels. Instances are those of `points`: what else it names may
    have come from the wire.
    """
    every = list(directives)
    label = labels(every, now, secret)

    def labelled(values: Iterable[tuple[str, _Number | None]]) -> dict[str, _Number]:
        return {label(order): value for order, value in values if value is not None}

    first = {order: snapshot.first(order) for order in snapshot.confirmed}
    unseen = metrics.unseen(
        (one for one in every if schedule.is_ours(one.ref, snapshot.shard)),
        points,
        snapshot.confirmed,
        withheld=withheld,
        t=now,
    )
    found: Counter[tuple[str, str, str]] = Counter()
    for finding in snapshot.not_ok:
        found[finding.kind, label(finding.order), finding.point] += finding.count
    return metrics.ProberView(
        at=snapshot.at,
        round_at=snapshot.round_at,
        generation=snapshot.generation,
        evicted=snapshot.hidden,
        points=snapshot.points,
        findings=tuple(
            metrics.FindingCount(kind=kind, order=order, point=point, count=count)
            for (kind, order, point), count in sorted(found.items(), key=_worst_first)
        ),
        ok=labelled(snapshot.ok.items()),
        block_confirmed=labelled((order, one.block) for order, one in first.items()),
        lift_confirmed=labelled((order, one.lift) for order, one in first.items()),
        unconfirmed=labelled((order, one.starts) for order, one in unseen.items()),
        lift_unconfirmed=labelled((order, one.ends) for order, one in unseen.items()),
        instances={point.name: point.instances for point in points},
        evidence=snapshot.evidence,
    )


_WORST_FIRST = (
    Kind.OVERBLOCK,
    Kind.EARLY,
    Kind.LINGERING,
    Kind.UNDERBLOCK,
    Kind.PARTIAL,
    Kind.WRONG_FORM,
    Kind.INJECTED,
    Kind.CONFLICT,
)
_RANKS: dict[str, int] = {kind: rank for rank, kind in enumerate(_WORST_FIRST)}


def _worst_first(item: tuple[tuple[str, str, str], int]) -> tuple[int, tuple[str, str, str]]:
    """So that a thousand points away hide no name that is blocked without an order."""
    return _RANKS.get(item[0][0], len(_RANKS)), item[0]


def _workers(state: Path) -> tuple[WorkerCounts, ...]:
    try:
        return counters.read(state / counters.FILE)
    except StoreError:
        return ()


def _fleet(state: Path) -> tuple[tuple[Pushed, ...], tuple[Purged, ...]]:
    """What the pusher's processes reported, target by target and point by point."""
    pushed: list[Pushed] = []
    purged: list[Purged] = []
    try:
        paths = sorted((state / fleet.FOLDER).glob("*.json"))[:_MOST_TARGETS]
    except OSError:
        return (), ()
    for path in paths:
        try:
            if path.stat().st_size > _MOST_OCTETS:
                continue
            found = fleet.from_json(path.read_bytes()) or ()
        except OSError:
            continue
        pushed += [one for one in found if isinstance(one, Pushed)]
        purged += [one for one in found if isinstance(one, Purged)]
    return tuple(pushed), tuple(purged)


def _report(state: Path) -> report.Snapshot | None:
    path = state / report.FILE
    try:
        if path.stat().st_size > _MOST_OCTETS:
            return None
        return report.from_json(path.read_bytes())
    except OSError:
        return None
