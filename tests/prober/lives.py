"""Two orders' lives as facts: one with everything in it, one that is sealed and hardly began."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from blocker.compliance.observed import Facts, in_order
from blocker.orders.model import Document, Kind, Publication
from blocker.orders.schedule import schedule
from blocker.policy import chain
from blocker.policy.chain import Event, Head
from blocker.prober.expect import Why
from blocker.prober.observe import OVER_TCP, PLAIN, Transport, Variant
from blocker.prober.shelf import Kept, Segment
from blocker.site import Endpoint, Point
from tests.prober.proof import blocked, expectation, once, twice
from tests.prober.world import T, act, answer, block, key, real, when

if TYPE_CHECKING:
    from blocker.orders.model import Order
    from blocker.policy.chain import Entry
    from blocker.prober.evidence import Record

DAY = 86400
ORDER = "court/o1"
REF = "court/o1/d"
DO = Variant(do=True)
DOH = Variant(transport=Transport.DOH)

POINTS = tuple(
    Point(
        name=name,
        kind=kind,
        address=Endpoint("127.0.0.1", 53),
        region=region,
        instances=("jkt-1", "jkt-2") if name == "jakarta-anycast" else (),
    )
    for name, kind, region in [
        ("jakarta-anycast", "unbound", "ID"),
        ("bandung-dnsdist-edge-04", "dnsdist", "ID-JB"),
        ("surabaya", "bind", "ID"),
        ("london", "bind", "GB"),
    ]
)


def root(**more: Any) -> Order:
    made = block("x.shop.example", "*.mirror.example", start=T, until=T + 90 * DAY, **more)
    return replace(
        made,
        reference="No. 17/2027 <letter & annex>",
        received=when(T - 3600),
        deadline=timedelta(hours=2),
        document=Document(file="letter.pdf", sha256="d" * 64),
    )


SUSPEND = act(Kind.SUSPEND, ORDER, "court/o1-suspended", start=T + 20 * DAY)
REINSTATE = act(Kind.REINSTATE, ORDER, "court/o1-reinstated", start=T + 30 * DAY)
LIFT = act(Kind.LIFT, ORDER, "court/o1-lifted", start=T + 50 * DAY)


def subject(point: str, since: float, **more: Any) -> Any:
    return expectation(point=point, started=int(since), since=float(since), **more)


def ended(point: str, since: float) -> Any:
    return expectation(
        point=point, why=Why.ENDED, form=None, because=(), ended=int(since), since=float(since)
    )


def records() -> list[Record]:
    """What was kept of the order with everything in it."""
    found = []
    late = {"jakarta-anycast": 0.04, "bandung-dnsdist-edge-04": 0.11, "surabaya": 5400.0}
    for point, delay in late.items():
        for number, variant in enumerate((PLAIN, OVER_TCP, DO, DOH)):
            if point == "surabaya" and variant == DOH:
                continue
            at = T + delay + number * 0.3
            found.append(once(subject(point, T), blocked, at=at, variant=variant, nsid=b"jkt-1"))
        edges = [T + 20 * DAY, *([T + 50 * DAY] if point != "surabaya" else [])]
        found += [once(ended(point, edge), real, at=edge + delay / 10) for edge in edges]
        found.append(once(subject(point, T + 30 * DAY), blocked, at=T + 30 * DAY + delay / 10))
        control = expectation(point=point, why=Why.SIBLING, form=None, name=key("www.shop.example"))
        found += [once(control, real, at=T + number * 4 * DAY + 7) for number in range(1, 12)]
    # One leaks for a while where DNSSEC is asked for; another is silent and comes back.
    leaking = subject("bandung-dnsdist-edge-04", T)
    found += [twice(leaking, real, at=T + day * DAY, variant=DO) for day in (6, 7, 9)]
    found.append(once(leaking, blocked, at=T + 11 * DAY, variant=DO))
    failing = subject("jakarta-anycast", T)
    found.append(twice(failing, lambda asked: answer(asked, rcode=2), at=T + 14 * DAY))
    found.append(once(failing, blocked, at=T + 15 * DAY))
    # And one still answers as if the order held.
    lingering = ended("surabaya", T + 50 * DAY)
    found += [twice(lingering, blocked, at=T + 50 * DAY + hour * 3600) for hour in (1, 9)]
    return found


def kept(several: list[Record]) -> tuple[Kept, ...]:
    return in_order(Kept(record=one, hash=f"{number:064x}") for number, one in enumerate(several))


def ledger(*events: Event) -> tuple[Entry, ...]:
    found: list[Entry] = []
    for event in events:
        found.append(chain.entry(event, found[-1].head if found else Head()))
    return tuple(found)


def applied(at: float, *orders: str, gone: tuple[str, ...] = ()) -> Event:
    return Event(
        at=at,
        event="applied",
        detail={
            "generation": 1,
            "policy": "e" * 64,
            "by": "anna@r1",
            "reason": "",
            "orders": dict.fromkeys(orders, "0" * 64),
            "gone": list(gone),
        },
    )


def whole(**more: Any) -> Facts:
    """The life with everything in it."""
    orders = [root(), SUSPEND, REINSTATE, LIFT]
    values: dict[str, Any] = {
        "operator": "Example Net",
        "contact": "mailto:legal@isp.example",
        "node": "r1.isp.example",
        "order": orders[0],
        "acts": tuple(orders[1:]),
        "directives": tuple(schedule(orders)),
        "counts": {REF: 2},
        "names": {REF: ("*.mirror.example", "x.shop.example")},
        "points": POINTS,
        "events": ledger(
            applied(T - 1800, ORDER),
            Event(
                at=T + 2 * DAY,
                event="withheld",
                subject=REF,
                detail={"by": "anna@r1", "reason": "a question to the court"},
            ),
            Event(at=T + 2 * DAY + 3600, event="released", subject=REF, detail={"by": "anna@r1"}),
            Event(
                at=T + 20 * DAY + 0.002,
                event="lifted",
                subject=REF,
                detail={"point": "jakarta-anycast", "since": T + 20 * DAY, "rule": "passes"},
            ),
            Event(at=T + 60 * DAY, event="reported", subject=ORDER, detail={}),
        ),
        "records": kept(records()),
        "segments": (
            Segment(stream="open", number=1, records=900, octets=1 << 20, head="a" * 64, first=float(T)),
        ),
    }
    return Facts(**{**values, **more})


def sealed() -> Facts:
    """An order that is sealed, applied, and about to start; nothing is known of it but that."""
    order = replace(root(publication=Publication.SEALED), received=None, deadline=None, document=None)
    return whole(
        order=order,
        acts=(),
        directives=tuple(schedule([order])),
        names={},
        events=ledger(applied(T - 1800, ORDER)),
        records=(),
        segments=(),
    )


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><b>"


def hostile() -> Facts:
    """An order whose every text wants to be more than text."""
    order = root()
    point = replace(POINTS[2], name=HOSTILE, instances=(HOSTILE,))
    return whole(
        operator=HOSTILE,
        order=replace(order, reference=HOSTILE, authority=replace(order.authority, name=HOSTILE)),
        names={REF: (HOSTILE,)},
        points=(point,),
        records=kept([once(subject(HOSTILE, T), blocked, at=T + 1.0)]),
        flaws=(HOSTILE,),
    )
