"""A great site as the web process finds it: many orders, many points, and a report of nothing but faults."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from blocker.orders.model import Publication
from blocker.prober import report
from blocker.prober.judge import Kind
from blocker.prober.report import MOST_NOT_OK, Confirmed, EvidenceView, NotOk, PointView, Snapshot
from blocker.resolver import counters
from blocker.site import Endpoint, Point
from tests.prober.world import block, commit, when

if TYPE_CHECKING:
    from pathlib import Path

ORDERS, POINTS, INSTANCES, WORKERS = 500, 50, 4, 16


def points() -> tuple[Point, ...]:
    return tuple(
        Point(
            name=f"p{at}",
            kind="unbound",
            address=Endpoint("127.0.0.1", 53),
            region="ID",
            instances=tuple(f"p{at}-{number}" for number in range(INSTANCES)),
        )
        for at in range(POINTS)
    )


def plant(state: Path, *, now: float | None = None) -> None:
    """Fill the state folder: every fifth order is sealed, and every order is missed at every point."""
    now = time.time() if now is None else now
    orders = [
        replace(
            block(
                f"x{at}.example",
                ident=f"court/o{at}",
                start=now - 9_000,
                until=now + 9_000,
                publication=Publication.PUBLIC if at % 5 else Publication.SEALED,
            ),
            received=when(now - 9_000),
            deadline=timedelta(hours=24),
        )
        for at in range(ORDERS)
    ]
    commit(state, *orders)
    counters.Counters(state / counters.FILE, WORKERS)
    missed = [
        NotOk(
            kind=kind,
            rule="resolves-though-blocked",
            point=point.name,
            order=order.id,
            variant="udp",
            detail="198.51.100.7",
            count=1,
            since=now,
            last=now,
        )
        for kind in (Kind.UNDERBLOCK, Kind.UNREACHABLE)
        for order in orders
        for point in points()
    ]
    snapshot = Snapshot(
        at=now,
        generation=1,
        round_at=now,
        points={
            point.name: PointView(
                sent=9, ok=9, answered_at=now, instances=dict.fromkeys(point.instances, now)
            )
            for point in points()
        },
        not_ok=tuple(missed[:MOST_NOT_OK]),
        ok={order.id: 9 for order in orders},
        confirmed={
            order.id: {point.name: Confirmed(block=now, started=1, lift=now, ended=1) for point in points()}
            for order in orders
        },
        evidence=EvidenceView(records=9, octets=9, written_at=now),
    )
    (state / report.FILE).write_text(report.to_json(snapshot))
