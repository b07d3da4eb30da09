"""The Prometheus view of values: one immutable View in, metric families out.

Pure. Metrics are computed at each scrape from what is so now; nothing is counted here, so vanished labels
vanish. Conventions: base units, `_total`, `_info`, `_timestamp_seconds` for instants (ages are the alerts'
business), every label bounded, no domain names. A public order is labelled with its id, a sealed one with
an HMAC under a secret of the site, without any instant that is still to come. At most 5,000 series of any
family with orders; the rest are counted.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from blocker.fleet.report import Purged, Pushed
    from blocker.orders.timetable import Scheduled
    from blocker.prober.report import Confirmed, EvidenceView, PointView
    from blocker.resolver.counters import WorkerCounts
    from blocker.site import Point

MOST_SERIES = 5_000
NO_ORDER = "none"
"""The order label of what concerns no order: the site's canaries."""

KEPT = 30 * 86_400
"""Seconds after its last end for which an order's instants are shown: years of orders are no series."""


class OrderState(StrEnum):
    """What an order is, by its directives."""

    PENDING = "pending"
    IN_FORCE = "in_force"
    SUSPENDED = "suspended"
    LAPSED = "lapsed"
    ENDED = "ended"
    WITHHELD = "withheld"
    QUARANTINED = "quarantined"


METRICS: dict[str, str] = {
    "blocker_orders": "Applied orders with directives, by state; quarantined ones by that alone.",
    "blocker_directives_in_force": "Directives in force, not counting withheld ones.",
    "blocker_next_transition_timestamp_seconds": "Next start or end of a directive that is not sealed.",
    "blocker_order_start_timestamp_seconds": "Latest start of the order that has passed, else its next.",
    "blocker_order_end_timestamp_seconds": "Next end of the order while it is in force, else its latest.",
    "blocker_order_review_timestamp_seconds": "When the order, not ended yet, must be reviewed.",
    "blocker_order_deadline_timestamp_seconds": "When the order, not ended yet, must have been carried out.",
    "blocker_generation": "Number of the live generation; 0 if there is none.",
    "blocker_generation_applied_timestamp_seconds": "When the live generation was applied.",
    "blocker_policy": "Digest of the live policy, equal where the orders are; whether reviews lapse.",
    "blocker_policy_last_load_timestamp_seconds": "When the policy store was last read without fault.",
    "blocker_policy_last_load_success": "Whether the last reading of the policy store went without fault.",
    "blocker_withheld": "Directives and orders that the operator does not enforce.",
    "blocker_quarantined_orders": "Orders that the last apply left out or kept in their last form.",
    "blocker_approvals_required": "Whether orders need signed approvals here; 0 on an unsigned site.",
    "blocker_approvals_owed": "Orders that an emergency let in and whose approvals are owed.",
    "blocker_approval_due_timestamp_seconds": "When the order's approvals are due that an emergency owes.",
    "blocker_worker_generation": "Number of the generation that the worker decides by.",
    "blocker_worker_starts_total": "Times the worker was started.",
    "blocker_worker_cache_entries": "Answers in the worker's cache.",
    "blocker_worker_cache_bytes": "Octets in the worker's cache.",
    "blocker_queries_total": "Queries received.",
    "blocker_blocked_total": "Queries answered with a block.",
    "blocker_forwarded_total": "Queries answered with what an upstream said.",
    "blocker_cache_hits_total": "Queries answered from the cache.",
    "blocker_refused_total": "Queries refused: client not allowed, zone transfer, class other than IN.",
    "blocker_malformed_total": "Queries answered FORMERR, NOTIMP or BADVERS.",
    "blocker_dropped_total": "Messages not answered.",
    "blocker_failed_total": "Queries answered SERVFAIL because no upstream gave a usable answer.",
    "blocker_errors_total": "Queries answered SERVFAIL because of a bug or an unreadable store.",
    "blocker_store_errors_total": "Failed readings of the policy store by workers.",
    "blocker_upstream_queries_total": "Queries sent to upstreams.",
    "blocker_upstream_timeouts_total": "Queries that an upstream did not answer in time.",
    "blocker_upstream_mismatched_total": "Messages from upstreams that answer no query of ours.",
    "blocker_upstream_failures_total": "Queries that an upstream failed or refused.",
    "blocker_upstream_questions_total": "Questions to upstreams that ended, with an answer or without.",
    "blocker_upstream_wait_seconds_total": "Seconds that those questions took, in all.",
    "blocker_tcp_connections_total": "TCP connections accepted.",
    "blocker_tcp_rejected_total": "TCP connections closed at once because of a limit.",
    "blocker_findings": "Expectations that are not met or can't be told, by kind, order and point.",
    "blocker_findings_ok_by_order": "Expectations that are met, by the order they come from.",
    "blocker_findings_ok_by_point": "Expectations that are met, by point.",
    "blocker_findings_moot_by_point": "Expectations about names that don't exist at the reference, by point.",
    "blocker_block_confirmed_timestamp_seconds": "First probe that saw the order's latest start in effect.",
    "blocker_lift_confirmed_timestamp_seconds": "First probe that saw the order's latest end in effect.",
    "blocker_points_unconfirmed": "Points of the order's regions that were not seen in its latest start.",
    "blocker_points_lift_unconfirmed": "Points once seen to block the order and not seen to have ended.",
    "blocker_hidden_series": "Series left out because there would be more than 5,000, by metric.",
    "blocker_prober_up": "Whether the prober's report can be read.",
    "blocker_prober_report_timestamp_seconds": "When the prober last wrote its report.",
    "blocker_prober_round_timestamp_seconds": "When the last round over all expectations ended.",
    "blocker_prober_generation": "Number of the generation that the prober expects.",
    "blocker_prober_evicted_findings_total": "Findings not ok that were pushed out of the prober's memory.",
    "blocker_probes_total": "Queries sent to the point.",
    "blocker_probes_lost_total": "Queries to the point that were never answered.",
    "blocker_probes_mismatched_total": "Messages from the point that answer no query of ours.",
    "blocker_probes_malformed_total": "Messages from the point that are not DNS.",
    "blocker_probes_differing_total": "Later answers of the point that contradict the first.",
    "blocker_point_answered_timestamp_seconds": "When the point last answered a probe.",
    "blocker_point_controls_ok": "Whether names that must resolve did at the point, last asked plainly.",
    "blocker_point_directives": "Directives that rounds of everything ask the point about, in turn.",
    "blocker_point_directives_waiting": "Those of them that the latest round had no room for.",
    "blocker_point_instance_answered_timestamp_seconds": "When the instance (NSID) last answered; 0 never.",
    "blocker_point_strangers_total": "Answers from instances that site.yaml does not name.",
    "blocker_evidence_records_total": "Records of evidence written.",
    "blocker_evidence_bytes": "Octets of evidence kept.",
    "blocker_evidence_written_timestamp_seconds": "When the last record of evidence was written.",
    "blocker_evidence_failures_total": "Records of evidence that could not be written.",
    "blocker_push_up": "Whether the target holds the policy of now, as its pusher says; 0 if it is dead.",
    "blocker_push_report_timestamp_seconds": "When the target's pusher last wrote its report; 0 never.",
    "blocker_push_generation": "Number of the generation that was last pushed to the target.",
    "blocker_push_instant_timestamp_seconds": "The instant whose policy the target was last made to hold.",
    "blocker_push_sent_timestamp_seconds": "When that was done.",
    "blocker_push_lateness_seconds": "Seconds since that instant, a later apply, or when it last was right.",
    "blocker_push_change_records": "Records of the last change that was pushed to the target.",
    "blocker_push_changes_total": "Changes pushed to the target.",
    "blocker_push_failures_total": "Attempts to push to the target that failed.",
    "blocker_purge_report_timestamp_seconds": "When the point's purger last wrote its report; 0 never.",
    "blocker_purge_up": "Whether the point's control command did what it was last asked to.",
    "blocker_purge_names_total": "Names purged from the point's cache.",
    "blocker_purge_pending_names": "Names that are still to be purged from the point's cache.",
    "blocker_purge_skipped_names_total": "Names left to expire by answers.max_ttl, for they were too many.",
    "blocker_purge_failures_total": "Control commands of the point that failed.",
}
"""Every metric and its help, in the order of exposition; info metrics without their `_info`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingCount:
    """How many expectations have this kind of finding for the order's label at the point."""

    kind: str
    order: str
    point: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTimes:
    """The instants of one order that may be shown, in epoch seconds; None: there is none to show."""

    start: int | None = None
    end: int | None = None
    review_by: int | None = None
    deadline: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """At how many points of an order's regions its latest start, or end, was not seen yet.

    `starts` None: it is in force at none of them; `ends` None: it is, or never was, or it is long ago.
    """

    starts: int | None = None
    ends: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProberView:
    """What the prober reported; orders are labels already. Times are epoch seconds, 0 never.

    `instances` are those that site.yaml expects at each point.
    """

    at: float = 0.0
    round_at: float = 0.0
    generation: int = 0
    evicted: int = 0
    points: Mapping[str, PointView] = field(default_factory=dict)
    findings: tuple[FindingCount, ...] = ()
    ok: Mapping[str, int] = field(default_factory=dict)
    block_confirmed: Mapping[str, float] = field(default_factory=dict)
    lift_confirmed: Mapping[str, float] = field(default_factory=dict)
    unconfirmed: Mapping[str, int] = field(default_factory=dict)
    lift_unconfirmed: Mapping[str, int] = field(default_factory=dict)
    instances: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    evidence: EvidenceView | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that is shown. `prober` None: there is no report; `workers` empty: no resolver counts.

    `times` are by the order's label, so are `approvals_due`, of what an emergency let in. `is_signed`: orders
    need approvals. `is_probing`: there are points, so a report is missed.
    """

    orders: Mapping[OrderState, int] = field(default_factory=dict)
    times: Mapping[str, OrderTimes] = field(default_factory=dict)
    directives_in_force: int = 0
    next_transition: int | None = None
    generation: int = 0
    applied_at: float = 0.0
    digest: str = ""
    review: str = ""
    loaded_at: float = 0.0
    is_loaded: bool = False
    withheld: int = 0
    quarantined: int = 0
    is_signed: bool = False
    approvals_due: Mapping[str, float] = field(default_factory=dict)
    workers: tuple[WorkerCounts, ...] = ()
    is_probing: bool = True
    prober: ProberView | None = None
    pushed: tuple[Pushed, ...] = ()
    purged: tuple[Purged, ...] = ()


def order_label(order: str, *, is_sealed: bool, secret: bytes) -> str:
    """The label of an order: its id, for a sealed one the first 16 hex digits of an HMAC-SHA256."""
    if not order:
        return NO_ORDER
    if is_sealed:
        return hmac.new(secret, order.encode(), hashlib.sha256).hexdigest()[:16]
    return order


def order_states(
    directives: Iterable[Scheduled], *, withheld: Collection[str], quarantined: Collection[str], t: float
) -> dict[OrderState, int]:
    """How many orders are in each state at `t` (epoch seconds); every state is there.

    Quarantined wins, then withheld (all its directives are), then the liveliest directive: in force,
    suspended, lapsed, pending, ended.
    """
    by_order: dict[str, list[Scheduled]] = {}
    for one in directives:
        by_order.setdefault(one.order, []).append(one)
    found = dict.fromkeys(OrderState, 0)
    for order in {*by_order, *quarantined}:
        if order in quarantined:
            state = OrderState.QUARANTINED
        elif all(is_withheld(one, withheld) for one in by_order[order]):
            state = OrderState.WITHHELD
        else:
            states = {_state(one, t) for one in by_order[order] if not is_withheld(one, withheld)}
            state = next(one for one in _LIVELIEST if one in states)
        found[state] += 1
    return found


_LIVELIEST = (
    OrderState.IN_FORCE,
    OrderState.SUSPENDED,
    OrderState.LAPSED,
    OrderState.PENDING,
    OrderState.ENDED,
)


def _state(one: Scheduled, t: float) -> OrderState:
    if one.in_force(t):
        return OrderState.IN_FORCE
    if one.is_lapsed(t):
        return OrderState.LAPSED
    if not one.windows or one.is_ended(t):
        return OrderState.ENDED
    return OrderState.SUSPENDED if one.windows[0][0] <= t else OrderState.PENDING


def is_withheld(one: Scheduled, withheld: Collection[str]) -> bool:
    """Whether the operator withholds the directive, its order, or what it amends."""
    return any(name in withheld for name in (one.ref, one.order, *one.lineage))


def order_times(
    directives: Iterable[Scheduled], *, withheld: Collection[str], t: float
) -> dict[str, OrderTimes]:
    """The instants of each order at `t` (epoch seconds), by its id; those to come first.

    Nobody outside learns of an instant that is to come of a sealed order, or by a sealed act. Left out are
    cuts, withheld directives, and orders whose last end is older than KEPT.
    """
    by_order: dict[str, list[Scheduled]] = {}
    for one in directives:
        by_order.setdefault(one.order, []).append(one)
    found = {}
    for order, every in by_order.items():
        own = [one for one in every if one.windows and not one.is_cut and not is_withheld(one, withheld)]
        lasting = [one for one in own if not one.is_ended(t)]
        if not lasting and all((one.ends or 0) < t - KEPT for one in own):
            continue
        secret = (
            None if any(one.is_sealed(t) for one in every) else {at for one in every for at in one.hidden}
        )
        started, starting = _shown((start for one in own for start, _ in one.windows), secret, t)
        ended, ending = _shown((end for one in own for _, end in one.windows), secret, t)
        is_in_force = any(one.in_force(t) for one in own)
        found[order] = OrderTimes(
            start=started[-1] if started else next(iter(starting), None),
            # While anything of it is in force, what has ended of it is not its end.
            end=ended[-1] if ended and not is_in_force else next(iter(ending), None),
            review_by=next(chain(*_shown((one.review_by for one in lasting), secret, t)), None),
            deadline=next(chain(*_shown((one.deadline for one in lasting), secret, t)), None),
        )
    return dict(sorted(found.items(), key=lambda item: -(item[1].start or 0)))


def unseen(
    directives: Iterable[Scheduled],
    points: Sequence[Point],
    confirmed: Mapping[str, Mapping[str, Confirmed]],
    *,
    withheld: Collection[str],
    t: float,
) -> dict[str, Unseen]:
    """What of each order no probe has seen at `t`, by its id; `confirmed` is by order and point.

    An end counts at the points that were seen to block, and not where other orders still block the names.
    """
    by_order: dict[str, list[Scheduled]] = {}
    for one in directives:
        if one.windows and not one.is_cut and not is_withheld(one, withheld) and one.windows[0][0] <= t:
            by_order.setdefault(one.order, []).append(one)
    regions = {point.region for point in points}
    found = {}
    for order, every in by_order.items():
        edges = {region: _latest([one for one in every if one.applies_to(region)], t) for region in regions}
        seen = confirmed.get(order, {})
        starts: list[bool] = []
        ends: list[bool] = []
        for point in points:
            started, ended = edges[point.region]
            here = seen.get(point.name)
            if started is not None:
                starts.append(here is None or (here.started or 0) < started)
            elif ended is not None and ended >= t - KEPT and here is not None and here.block is not None:
                ends.append(max(here.ended or 0, here.covered or 0) < ended)
        found[order] = Unseen(
            starts=sum(starts) if starts else None, ends=sum(ends) if ends and not starts else None
        )
    return found


def _latest(every: Iterable[Scheduled], t: float) -> tuple[int | None, int | None]:
    """The latest start of those in force; if there are none, the latest end."""
    windows = [window for one in every for window in one.windows if window[0] <= t]
    starts = [start for start, end in windows if end is None or t < end]
    ends = [end for _, end in windows if end is not None and end <= t]
    return (max(starts), None) if starts else (None, max(ends, default=None))


def _shown(
    edges: Iterable[int | None], secret: Collection[int] | None, t: float
) -> tuple[list[int], list[int]]:
    """Those that have passed, and those to come that may be known; ascending. `secret` None: none may."""
    known = sorted({edge for edge in edges if edge is not None})
    coming = [] if secret is None else [edge for edge in known if edge > t and edge not in secret]
    return [edge for edge in known if edge <= t], coming


_TIMES = {
    "blocker_order_start_timestamp_seconds": "start",
    "blocker_order_end_timestamp_seconds": "end",
    "blocker_order_review_timestamp_seconds": "review_by",
    "blocker_order_deadline_timestamp_seconds": "deadline",
}
_WORKER_GAUGES = {
    "blocker_worker_generation": "generation",
    "blocker_worker_cache_entries": "cache_entries",
    "blocker_worker_cache_bytes": "cache_octets",
}
_WORKER_COUNTERS = {
    "blocker_worker_starts_total": "starts",
    "blocker_queries_total": "queries",
    "blocker_blocked_total": "blocked",
    "blocker_forwarded_total": "forwarded",
    "blocker_cache_hits_total": "cache_hits",
    "blocker_refused_total": "refused",
    "blocker_malformed_total": "malformed",
    "blocker_dropped_total": "dropped",
    "blocker_failed_total": "failed",
    "blocker_errors_total": "errors",
    "blocker_store_errors_total": "store_errors",
    "blocker_upstream_queries_total": "upstream_queries",
    "blocker_upstream_timeouts_total": "upstream_timeouts",
    "blocker_upstream_mismatched_total": "upstream_mismatched",
    "blocker_upstream_failures_total": "upstream_failures",
    "blocker_upstream_questions_total": "upstream_questions",
    "blocker_tcp_connections_total": "tcp_connections",
    "blocker_tcp_rejected_total": "tcp_rejected",
}
_POINT_COUNTERS = {
    "blocker_probes_total": "sent",
    "blocker_probes_lost_total": "lost",
    "blocker_probes_mismatched_total": "mismatched",
    "blocker_probes_malformed_total": "malformed",
    "blocker_probes_differing_total": "differing",
}


_PUSHED = {
    "blocker_push_generation": "generation",
    "blocker_push_instant_timestamp_seconds": "instant",
    "blocker_push_sent_timestamp_seconds": "sent_at",
    "blocker_push_lateness_seconds": "lateness",
    "blocker_push_change_records": "size",
}
_PUSHED_COUNTERS = {"blocker_push_changes_total": "changes", "blocker_push_failures_total": "failures"}
_PURGED = {
    "blocker_purge_names_total": "names",
    "blocker_purge_pending_names": "pending",
    "blocker_purge_skipped_names_total": "skipped",
    "blocker_purge_failures_total": "failures",
}


def families(view: View) -> list[Metric]:
    """The metric families of the view, in the order of METRICS; a family without samples is left out."""
    every = (*_of_policy(view), *_of_workers(view), *_of_prober(view), *_of_fleet(view))
    found = {family.name: family for family in every}
    hidden = GaugeMetricFamily("blocker_hidden_series", METRICS["blocker_hidden_series"], labels=["metric"])
    for name in sorted(_WITH_ORDERS):
        family = found.get(name)
        if family is not None:
            hidden.add_metric([name], max(0, len(family.samples) - MOST_SERIES))
            del family.samples[MOST_SERIES:]
    found[hidden.name] = hidden
    ordered = (found.get(name.removesuffix("_total")) for name in METRICS)
    return [family for family in ordered if family is not None and family.samples]


_WITH_ORDERS = frozenset(
    {
        *_TIMES,
        "blocker_findings",
        "blocker_findings_ok_by_order",
        "blocker_block_confirmed_timestamp_seconds",
        "blocker_lift_confirmed_timestamp_seconds",
        "blocker_points_unconfirmed",
        "blocker_points_lift_unconfirmed",
    }
)


def _gauge(name: str, value: float | None) -> GaugeMetricFamily:
    """A gauge without labels; without samples for None."""
    family = GaugeMetricFamily(name, METRICS[name])
    if value is not None:
        family.add_metric([], value)
    return family


def _by(name: str, labels: list[str], values: Iterable[tuple[list[str], float]]) -> Metric:
    """A gauge, or for `…_total` a counter, with labels."""
    family: GaugeMetricFamily | CounterMetricFamily
    if name.endswith("_total"):
        family = CounterMetricFamily(name, METRICS[name], labels=labels)
    else:
        family = GaugeMetricFamily(name, METRICS[name], labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def _of_policy(view: View) -> Iterator[Metric]:
    yield _by("blocker_orders", ["state"], (([state], view.orders.get(state, 0)) for state in OrderState))
    yield _gauge("blocker_directives_in_force", view.directives_in_force)
    yield _gauge("blocker_next_transition_timestamp_seconds", view.next_transition)
    for name, attribute in _TIMES.items():
        instant = attrgetter(attribute)
        given = ((order, instant(times)) for order, times in view.times.items())
        yield _by(name, ["order"], (([order], at) for order, at in given if at is not None))
    yield _gauge("blocker_generation", view.generation)
    yield _gauge("blocker_generation_applied_timestamp_seconds", view.applied_at or None)
    info = InfoMetricFamily("blocker_policy", METRICS["blocker_policy"])
    if view.digest:
        info.add_metric([], {"digest": view.digest, "review": view.review})
    yield info
    yield _gauge("blocker_policy_last_load_timestamp_seconds", view.loaded_at or None)
    yield _gauge("blocker_policy_last_load_success", int(view.is_loaded))
    yield _gauge("blocker_withheld", view.withheld)
    yield _gauge("blocker_quarantined_orders", view.quarantined)
    yield _gauge("blocker_approvals_required", int(view.is_signed))
    yield _gauge("blocker_approvals_owed", len(view.approvals_due))
    due = (([order], at) for order, at in view.approvals_due.items())
    yield _by("blocker_approval_due_timestamp_seconds", ["order"], due)


def _of_workers(view: View) -> Iterator[Metric]:
    for name, attribute in (_WORKER_GAUGES | _WORKER_COUNTERS).items():
        yield _by(name, ["worker"], (([str(one.worker)], getattr(one, attribute)) for one in view.workers))
    waited = (([str(one.worker)], one.upstream_microseconds / 1e6) for one in view.workers)
    yield _by("blocker_upstream_wait_seconds_total", ["worker"], waited)


def _of_prober(view: View) -> Iterator[Metric]:
    prober = view.prober
    if view.is_probing or prober is not None:
        yield _gauge("blocker_prober_up", int(prober is not None))
    if prober is None:
        return
    yield _gauge("blocker_prober_report_timestamp_seconds", prober.at)
    yield _gauge("blocker_prober_round_timestamp_seconds", prober.round_at or None)
    yield _gauge("blocker_prober_generation", prober.generation)
    yield _by("blocker_prober_evicted_findings_total", [], [([], prober.evicted)])
    yield _by(
        "blocker_findings",
        ["kind", "order", "point"],
        (([one.kind, one.order, one.point], one.count) for one in prober.findings),
    )
    by_order = {
        "blocker_findings_ok_by_order": prober.ok,
        "blocker_block_confirmed_timestamp_seconds": prober.block_confirmed,
        "blocker_lift_confirmed_timestamp_seconds": prober.lift_confirmed,
        "blocker_points_unconfirmed": prober.unconfirmed,
        "blocker_points_lift_unconfirmed": prober.lift_unconfirmed,
    }
    for name, values in by_order.items():
        yield _by(name, ["order"], (([order], value) for order, value in values.items()))
    points = prober.points.items()
    yield _by("blocker_findings_ok_by_point", ["point"], (([name], one.ok) for name, one in points))
    yield _by("blocker_findings_moot_by_point", ["point"], (([name], one.moot) for name, one in points))
    for name, attribute in _POINT_COUNTERS.items():
        yield _by(name, ["point"], (([point], getattr(one, attribute)) for point, one in points))
    yield _by(
        "blocker_point_answered_timestamp_seconds",
        ["point"],
        (([name], one.answered_at) for name, one in points if one.answered_at),
    )
    yield _by("blocker_point_controls_ok", ["point"], (([name], one.controls_ok) for name, one in points))
    yield _by("blocker_point_directives", ["point"], (([name], one.directives) for name, one in points))
    yield _by("blocker_point_directives_waiting", ["point"], (([name], one.waiting) for name, one in points))
    yield from _of_instances(prober)
    yield from _of_evidence(prober.evidence)


def _of_instances(prober: ProberView) -> Iterator[Metric]:
    """By `nsid`, for Prometheus calls what it scrapes `instance`."""
    yield _by(
        "blocker_point_instance_answered_timestamp_seconds",
        ["point", "nsid"],
        (
            ([point, nsid], prober.points[point].instances.get(nsid, 0.0) if point in prober.points else 0.0)
            for point, expected in prober.instances.items()
            for nsid in expected
        ),
    )
    yield _by(
        "blocker_point_strangers_total",
        ["point"],
        (([name], one.strangers) for name, one in prober.points.items() if prober.instances.get(name)),
    )


def _of_evidence(evidence: EvidenceView | None) -> Iterator[Metric]:
    if evidence is None:
        return
    yield _by("blocker_evidence_records_total", [], [([], evidence.records)])
    yield _gauge("blocker_evidence_bytes", evidence.octets)
    yield _gauge("blocker_evidence_written_timestamp_seconds", evidence.written_at or None)
    yield _by("blocker_evidence_failures_total", [], [([], evidence.failures)])


def _of_fleet(view: View) -> Iterator[Metric]:
    pushed, purged = view.pushed, view.purged
    # Of what nobody here ever pushed nothing is shown but that: it may be another node's work.
    begun = [one for one in pushed if one.at]
    yield _by(
        "blocker_push_up", ["target"], (([one.target], one.sent_at > 0 and not one.trouble) for one in begun)
    )
    yield _by("blocker_push_report_timestamp_seconds", ["target"], (([one.target], one.at) for one in pushed))
    for name, attribute in _PUSHED.items():
        done = ((one.target, getattr(one, attribute)) for one in pushed if one.sent_at)
        yield _by(name, ["target"], (([target], value) for target, value in done))
    for name, attribute in _PUSHED_COUNTERS.items():
        yield _by(name, ["target"], (([one.target], getattr(one, attribute)) for one in begun))
    yield _by("blocker_purge_report_timestamp_seconds", ["point"], (([one.point], one.at) for one in purged))
    purged = tuple(one for one in purged if one.at)
    yield _by("blocker_purge_up", ["point"], (([one.point], not one.trouble) for one in purged))
    for name, attribute in _PURGED.items():
        yield _by(name, ["point"], (([one.point], getattr(one, attribute)) for one in purged))


class Collector:
    """Asks for a fresh View at each scrape; at registration it only describes itself."""

    def __init__(self, view: Callable[[], View]) -> None:
        self._view = view

    def describe(self) -> list[Metric]:
        return [_by(name, [], ()) for name in METRICS]

    def collect(self) -> list[Metric]:
        return families(self._view())


def registry(view: Callable[[], View]) -> CollectorRegistry:
    """A registry of its own with the one collector; `_created` series, which Prometheus ignores, are off."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library forgot the annotation
    found = CollectorRegistry(auto_describe=False)
    found.register(Collector(view))
    return found
