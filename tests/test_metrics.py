from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from blocker import metrics
from blocker.fleet.report import Purged, Pushed
from blocker.metrics import KEPT, METRICS, FindingCount, OrderState, OrderTimes, ProberView, View
from blocker.orders.model import Kind, Order, Publication
from blocker.orders.schedule import schedule
from blocker.prober.report import Confirmed, EvidenceView, PointView
from blocker.resolver.counters import COUNTER_NAMES, WorkerCounts
from tests.prober.world import POINT, T, act, block, when


def worker(number: int) -> WorkerCounts:
    return WorkerCounts(worker=number, **{name: at + number for at, name in enumerate(COUNTER_NAMES)})


FULL = View(
    orders=dict.fromkeys(OrderState, 1),
    times={"court/o1": OrderTimes(start=T - 9, end=T + 9, review_by=T + 5, deadline=T + 1)},
    directives_in_force=3,
    next_transition=T,
    generation=4,
    applied_at=T - 5.0,
    digest="ab" * 32,
    review="lapse",
    loaded_at=T - 1.0,
    is_loaded=True,
    withheld=1,
    quarantined=1,
    is_signed=True,
    approvals_due={"court/o1": T + 60.0},
    workers=(worker(0), worker(1)),
    prober=ProberView(
        at=T - 0.5,
        round_at=T - 3.0,
        generation=4,
        evicted=2,
        points={
            "p1": PointView(
                sent=10, lost=1, ok=5, moot=2, answered_at=T - 1.0, instances={"a": T - 4.0}, strangers=3
            ),
            "p2": PointView(controls_ok=False, strangers=1, directives=90, waiting=30),
        },
        instances={"p1": ("a", "b"), "p2": (), "p3": ("c",)},
        evidence=EvidenceView(records=7, octets=9_000, written_at=T - 2.0, failures=1),
        findings=(FindingCount(kind="underblock", order="court/o1", point="p1", count=2),),
        ok={"court/o1": 5},
        block_confirmed={"court/o1": T - 9.0},
        lift_confirmed={"court/o2": T - 8.0},
        unconfirmed={"court/o1": 2},
        lift_unconfirmed={"court/o2": 0},
    ),
    pushed=(
        Pushed(
            target="dnsdist", generation=4, instant=T - 2.0, sent_at=T - 1.0, lateness=1.0, changes=1, at=T
        ),
        Pushed(target="rpz id.rpz", failures=3, trouble="no answer", at=T),
        Pushed(target="rpz gb.rpz", trouble="nobody is at work for it"),
    ),
    purged=(
        Purged(point="p1", names=2, failures=1, trouble="no socket", at=T),
        Purged(point="p2", at=T),
        Purged(point="p3"),
    ),
)


def text(view: View) -> str:
    return generate_latest(metrics.registry(lambda: view)).decode()


def samples(view: View) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(text(view))
        for sample in family.samples
    }


def test_every_metric_is_shown_in_a_full_view_and_no_other() -> None:
    shown = {family.name for family in metrics.families(FULL)}
    assert shown == {name.removesuffix("_total") for name in METRICS}


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("blocker_orders", (("state", "suspended"),), 1),
        ("blocker_directives_in_force", (), 3),
        ("blocker_next_transition_timestamp_seconds", (), T),
        ("blocker_generation", (), 4),
        ("blocker_policy_info", (("digest", "ab" * 32), ("review", "lapse")), 1),
        ("blocker_policy_last_load_success", (), 1),
        ("blocker_approvals_required", (), 1),
        ("blocker_approvals_owed", (), 1),
        ("blocker_approval_due_timestamp_seconds", (("order", "court/o1"),), T + 60),
        ("blocker_queries_total", (("worker", "1"),), COUNTER_NAMES.index("queries") + 1),
        (
            "blocker_upstream_wait_seconds_total",
            (("worker", "1"),),
            (COUNTER_NAMES.index("upstream_microseconds") + 1) / 1e6,
        ),
        ("blocker_worker_cache_bytes", (("worker", "0"),), COUNTER_NAMES.index("cache_octets")),
        ("blocker_findings", (("kind", "underblock"), ("order", "court/o1"), ("point", "p1")), 2),
        ("blocker_findings_ok_by_order", (("order", "court/o1"),), 5),
        ("blocker_findings_ok_by_point", (("point", "p1"),), 5),
        ("blocker_block_confirmed_timestamp_seconds", (("order", "court/o1"),), T - 9),
        ("blocker_lift_confirmed_timestamp_seconds", (("order", "court/o2"),), T - 8),
        ("blocker_points_unconfirmed", (("order", "court/o1"),), 2),
        ("blocker_points_lift_unconfirmed", (("order", "court/o2"),), 0),
        ("blocker_prober_round_timestamp_seconds", (), T - 3),
        ("blocker_probes_lost_total", (("point", "p1"),), 1),
        ("blocker_hidden_series", (("metric", "blocker_findings"),), 0),
        ("blocker_order_start_timestamp_seconds", (("order", "court/o1"),), T - 9),
        ("blocker_order_end_timestamp_seconds", (("order", "court/o1"),), T + 9),
        ("blocker_order_review_timestamp_seconds", (("order", "court/o1"),), T + 5),
        ("blocker_order_deadline_timestamp_seconds", (("order", "court/o1"),), T + 1),
        ("blocker_point_controls_ok", (("point", "p1"),), 1),
        ("blocker_point_controls_ok", (("point", "p2"),), 0),
        ("blocker_point_instance_answered_timestamp_seconds", (("nsid", "a"), ("point", "p1")), T - 4),
        ("blocker_point_instance_answered_timestamp_seconds", (("nsid", "b"), ("point", "p1")), 0),
        ("blocker_point_instance_answered_timestamp_seconds", (("nsid", "c"), ("point", "p3")), 0),
        ("blocker_point_strangers_total", (("point", "p1"),), 3),
        ("blocker_point_directives", (("point", "p2"),), 90),
        ("blocker_point_directives_waiting", (("point", "p2"),), 30),
        ("blocker_evidence_records_total", (), 7),
        ("blocker_evidence_bytes", (), 9_000),
        ("blocker_evidence_written_timestamp_seconds", (), T - 2),
        ("blocker_evidence_failures_total", (), 1),
        ("blocker_push_up", (("target", "dnsdist"),), 1),
        ("blocker_push_up", (("target", "rpz id.rpz"),), 0),
        ("blocker_push_report_timestamp_seconds", (("target", "dnsdist"),), T),
        ("blocker_push_report_timestamp_seconds", (("target", "rpz gb.rpz"),), 0),
        ("blocker_push_failures_total", (("target", "rpz id.rpz"),), 3),
        ("blocker_push_lateness_seconds", (("target", "dnsdist"),), 1),
        ("blocker_purge_up", (("point", "p1"),), 0),
        ("blocker_purge_up", (("point", "p2"),), 1),
    ],
)
def test_the_view_is_what_is_shown(name: str, labels: tuple[tuple[str, str], ...], value: float) -> None:
    assert samples(FULL)[name, labels] == value


def test_of_what_nobody_pushed_yet_it_is_shown_that_nobody_did_and_no_more() -> None:
    shown = {name for name, labels in samples(FULL) if {"rpz gb.rpz", "p3"} & set(dict(labels).values())}
    assert {name for name in shown if name.startswith(("blocker_push", "blocker_purge"))} == {
        "blocker_push_report_timestamp_seconds",
        "blocker_purge_report_timestamp_seconds",
    }


def test_an_empty_view_shows_zeros_and_nothing_invented() -> None:
    shown = samples(View())
    assert shown["blocker_generation", ()] == 0
    assert shown["blocker_policy_last_load_success", ()] == 0
    assert shown["blocker_prober_up", ()] == 0
    assert {("blocker_orders", (("state", state.value),)) for state in OrderState} <= shown.keys()
    assert not any(name.endswith("_timestamp_seconds") for name, _ in shown)


def test_a_node_without_points_misses_no_prober() -> None:
    assert ("blocker_prober_up", ()) not in samples(View(is_probing=False))


def test_strangers_are_counted_where_somebody_is_expected_and_evidence_where_it_is_kept() -> None:
    assert FULL.prober is not None
    assert ("blocker_point_strangers_total", (("point", "p2"),)) not in samples(FULL)
    shown = samples(replace(FULL, prober=replace(FULL.prober, evidence=None)))
    assert not any("evidence" in name for name, _ in shown)
    shown = samples(replace(FULL, prober=replace(FULL.prober, evidence=EvidenceView())))
    assert shown["blocker_evidence_failures_total", ()] == 0
    assert ("blocker_evidence_written_timestamp_seconds", ()) not in shown


def test_every_scrape_shows_the_view_of_its_time() -> None:
    views = [FULL, View()]
    registry = metrics.registry(lambda: views.pop(0))
    assert "court/o1" in generate_latest(registry).decode()
    assert "court/o1" not in generate_latest(registry).decode()


def test_registration_describes_and_does_not_collect() -> None:
    def never() -> View:
        raise AssertionError("collected at registration")

    registry = metrics.registry(never)
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(metrics.Collector(never))


def test_no_created_series_are_shown() -> None:
    assert "_created" not in text(FULL)


def test_the_openmetrics_form_is_well_formed_too() -> None:
    from prometheus_client.openmetrics.exposition import generate_latest as generate  # noqa: PLC0415  # one use

    made = generate(metrics.registry(lambda: FULL)).decode()  # type: ignore[no-untyped-call]  # the library
    parsed = parse_openmetrics(made)  # type: ignore[no-untyped-call]  # as above
    assert {family.name for family in parsed} >= {"blocker_queries", "blocker_findings"}


def test_names_and_helps_follow_the_conventions() -> None:
    for name, help_ in METRICS.items():
        assert re.fullmatch(r"blocker_[a-z_]+", name)
        assert help_.endswith(".")
        assert not re.search(r"_(ms|milliseconds|minutes|kb|octets)(_|$)", name)


PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(
    PROMTOOL is None and os.environ.get("BLOCKER_ENGINES") != "required",
    reason="promtool is not installed (Debian package prometheus)",
)
@pytest.mark.parametrize("view", [FULL, View()], ids=["full", "empty"])
def test_promtool_finds_nothing_to_complain_about(view: View) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],  # The one operators run.
        input=text(view),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_series_are_bounded_and_the_hidden_ones_counted() -> None:
    assert FULL.prober is not None
    findings = tuple(
        FindingCount(kind="underblock", order=f"court/o{at}", point="p1", count=1) for at in range(6_000)
    )
    ok = {f"court/o{at}": 1 for at in range(5_001)}
    shown = samples(replace(FULL, prober=replace(FULL.prober, findings=findings, ok=ok)))
    names = [name for name, _ in shown]
    assert names.count("blocker_findings") == 5_000
    assert names.count("blocker_findings_ok_by_order") == 5_000
    assert shown["blocker_hidden_series", (("metric", "blocker_findings"),)] == 1_000
    assert shown["blocker_hidden_series", (("metric", "blocker_findings_ok_by_order"),)] == 1


def test_a_label_with_odd_characters_breaks_nothing() -> None:
    assert FULL.prober is not None
    odd = 'p"1\\\n'
    shown = samples(replace(FULL, prober=replace(FULL.prober, points={odd: PointView(sent=3)})))
    assert shown["blocker_probes_total", (("point", odd),)] == 3


def test_a_sealed_order_has_an_opaque_label_that_its_secret_decides() -> None:
    one = metrics.order_label("court/o1", is_sealed=True, secret=b"a" * 32)
    assert re.fullmatch("[0-9a-f]{16}", one)
    assert one == metrics.order_label("court/o1", is_sealed=True, secret=b"a" * 32)
    assert one != metrics.order_label("court/o1", is_sealed=True, secret=b"b" * 32)
    assert one != metrics.order_label("court/o2", is_sealed=True, secret=b"a" * 32)
    assert metrics.order_label("court/o1", is_sealed=False, secret=b"a" * 32) == "court/o1"
    assert metrics.order_label("", is_sealed=True, secret=b"a" * 32) == "none"


def states(*orders: Any, withheld: tuple[str, ...] = (), quarantined: tuple[str, ...] = ()) -> dict[str, int]:
    found = metrics.order_states(schedule(orders), withheld=withheld, quarantined=quarantined, t=T)
    assert list(found) == list(OrderState)
    return {state: count for state, count in found.items() if count}


ORDER = block("x.example")


def test_what_lapsed_is_a_state_of_its_own_and_its_review_is_still_shown_as_overdue() -> None:
    own = replace(ORDER, directives=(replace(ORDER.directives[0], review_by=when(T - 1)),))
    found = schedule([own], lapses_from=0)
    assert metrics.order_states(found, withheld=(), quarantined=(), t=T)[OrderState.LAPSED] == 1
    assert metrics.order_times(found, withheld=(), t=T)["court/o1"].review_by == T - 1


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (states(), {}),
        (states(ORDER), {"in_force": 1}),
        (states(block("x.example", start=T + 1)), {"pending": 1}),
        (states(block("x.example", until=T)), {"ended": 1}),
        (states(ORDER, act(Kind.SUSPEND, "court/o1", "court/s", start=T - 1)), {"suspended": 1}),
        (
            states(ORDER, act(Kind.SUSPEND, "court/o1", "court/s", start=T - 1, until=None)),
            {"suspended": 1},
        ),
        (states(ORDER, act(Kind.LIFT, "court/o1", "court/l", start=T - 1)), {"ended": 1}),
        (states(ORDER, withheld=("court/o1",)), {"withheld": 1}),
        (states(ORDER, withheld=("court/o1/d",)), {"withheld": 1}),
        (states(ORDER, quarantined=("court/o1", "court/o9")), {"quarantined": 2}),
        (states(ORDER, block("y.example", ident="court/o2", until=T)), {"in_force": 1, "ended": 1}),
    ],
)
def test_an_orders_state_is_that_of_its_directives(found: dict[str, int], wanted: dict[str, int]) -> None:
    assert found == wanted


def times(*orders: Any, withheld: tuple[str, ...] = ()) -> dict[str, tuple[int | None, ...]]:
    """Start, end, review and deadline by order, in seconds from T."""
    found = metrics.order_times(schedule(orders), withheld=withheld, t=T)
    return {
        order: tuple(
            None if at is None else at - T for at in (one.start, one.end, one.review_by, one.deadline)
        )
        for order, one in found.items()
    }


def hurried(order: Order, *, deadline: int) -> Order:
    return replace(order, received=when(T - 60), deadline=timedelta(seconds=deadline + 60))


def partly(*ends: float) -> Order:
    """An order whose directives end one after the other."""
    order = block("x.example")
    (one,) = order.directives
    return replace(
        order,
        directives=tuple(replace(one, id=f"d{at}", until=when(end)) for at, end in enumerate(ends)),
    )


NEXT = block("x.example", start=T + 5, until=T + 9)
REVIEW = 10**7


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (times(), {}),
        (times(block("x.example", start=T - 5, until=T + 9)), (-5, 9, REVIEW - 5, None)),
        (times(NEXT), (5, 9, REVIEW + 5, None)),
        (times(hurried(NEXT, deadline=7)), (5, 9, REVIEW + 5, 7)),
        (times(block("x.example", start=T - 5, until=T - 2)), (-5, -2, None, None)),
        (times(hurried(block("x.example", start=T - 5, until=T - 2), deadline=7)), (-5, -2, None, None)),
        (times(block("x.example", start=T - KEPT - 9, until=T - KEPT - 1)), {}),
        (times(ORDER, withheld=("court/o1",)), {}),
        (
            times(ORDER, act(Kind.SUSPEND, "court/o1", "court/s", start=T - 5, until=when(T - 2))),
            (-2, 10**6, REVIEW - 1000, None),
        ),
        (
            times(ORDER, act(Kind.SUSPEND, "court/o1", "court/s", start=T - 5, until=when(T + 2))),
            (-1000, -5, REVIEW - 1000, None),
        ),
        (times(partly(T - 5, T + 9)), (-1000, 9, REVIEW - 1000, None)),
        (times(ORDER, act(Kind.LIFT, "court/o1", "court/l", start=T + 3)), (-1000, 3, REVIEW - 1000, None)),
    ],
)
def test_an_orders_instants_are_its_latest_start_and_its_next_end_or_the_latest_if_it_is_out_of_force(
    found: Any, wanted: Any
) -> None:
    assert found == (wanted if isinstance(wanted, dict) else {"court/o1": wanted})


SEALED, UNTIL_EFFECTIVE = Publication.SEALED, Publication.SEALED_UNTIL_EFFECTIVE


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (times(replace(NEXT, publication=SEALED)), (None, None, None, None)),
        (times(hurried(replace(NEXT, publication=UNTIL_EFFECTIVE), deadline=7)), (None, None, None, None)),
        (times(block("x.example", start=T - 5, until=T + 9, publication=SEALED)), (-5, None, None, None)),
        (
            times(block("x.example", start=T - 5, until=T + 9, publication=UNTIL_EFFECTIVE)),
            (-5, 9, REVIEW - 5, None),
        ),
        (
            times(hurried(block("x.example", start=T - 5, publication=SEALED), deadline=-1)),
            (-5, None, None, -1),
        ),
        (
            times(
                block("x.example", start=T - 5, until=T + 90),
                act(Kind.LIFT, "court/o1", "court/l", start=T + 3, publication=SEALED),
            ),
            (-5, None, REVIEW - 5, None),
        ),
        (
            times(
                block("x.example", start=T - 5, until=T + 90),
                act(
                    Kind.AMEND,
                    "court/o1",
                    "court/a",
                    start=T - 3,
                    review_by=when(T + 70),
                    publication=SEALED,
                ),
            ),
            (-5, 90, None, None),
        ),
    ],
)
def test_of_what_is_sealed_only_instants_that_passed_are_shown(found: Any, wanted: Any) -> None:
    assert found == {"court/o1": wanted}


def test_the_latest_starts_come_first_so_that_old_orders_are_hidden_before_new_ones() -> None:
    every = [block("x.example", ident=f"court/o{at}", start=T - at) for at in (3, 1, 2)]
    assert list(times(*every)) == ["court/o1", "court/o2", "court/o3"]


def test_sealed_orders_count_among_the_states() -> None:
    assert states(block("x.example", publication=Publication.SEALED)) == {"in_force": 1}


def test_a_registry_of_ours_is_not_the_global_one() -> None:
    assert isinstance(metrics.registry(lambda: FULL), CollectorRegistry)
    assert b"python_gc" not in generate_latest(metrics.registry(lambda: FULL))


def unseen(*orders: Order, withheld: tuple[str, ...] = (), **seen: Confirmed) -> dict[str, metrics.Unseen]:
    """At p1 and p2 in ID, p3 in GB and p4 nowhere else; `seen` is of court/o1 by point."""
    points = [
        replace(POINT, name=name, region=region)
        for name, region in (("p1", "ID"), ("p2", "ID-JK"), ("p3", "GB"), ("p4", "SG"))
    ]
    return metrics.unseen(schedule(orders), points, {"court/o1": seen}, withheld=withheld, t=T)


def seen(started: int, ended: int | None = None, covered: int | None = None) -> Confirmed:
    lift = None if ended is None else T - 0.5
    return Confirmed(
        block=T - 1.0, started=T + started, lift=lift, ended=ended and T + ended, covered=covered
    )


STARTED, ENDED = block("x.example", start=T - 5), block("x.example", start=T - 9, until=T - 5)


@pytest.mark.parametrize(
    ("found", "starts", "ends"),
    [
        (unseen(STARTED), 2, None),
        (unseen(STARTED, p1=seen(-5)), 1, None),
        (unseen(STARTED, p1=seen(-5), p2=seen(-6)), 1, None),
        (unseen(STARTED, p1=seen(-5), p2=seen(-5)), 0, None),
        (unseen(STARTED, p1=seen(-5), p2=Confirmed(covered=T - 5)), 1, None),
        (unseen(block("x.example", start=T - 5, regions=("US",))), None, None),
        (unseen(ENDED), None, None),
        (unseen(ENDED, p1=Confirmed(lift=T - 1.0, ended=T - 5)), None, None),
        (unseen(ENDED, p1=seen(-9), p3=seen(-9)), None, 1),
        (unseen(ENDED, p1=seen(-9), p2=seen(-9, -6)), None, 2),
        (unseen(ENDED, p1=seen(-9), p2=seen(-9, -5)), None, 1),
        (unseen(ENDED, p1=seen(-9, None, T - 5), p2=seen(-9, -5)), None, 0),
        (unseen(block("x.example", start=T - 2 * KEPT, until=T - KEPT - 1), p1=seen(-9)), None, None),
        (unseen(ORDER, act(Kind.SUSPEND, "court/o1", "court/s", start=T - 5), p1=seen(-1000)), None, 1),
    ],
)
def test_points_are_counted_where_the_latest_start_or_end_was_not_seen(
    found: dict[str, metrics.Unseen], starts: int | None, ends: int | None
) -> None:
    assert found["court/o1"] == metrics.Unseen(starts=starts, ends=ends)


def test_an_order_that_ended_in_one_region_and_not_in_another_has_not_ended() -> None:
    (one,) = block("x.example", start=T - 9).directives
    order = replace(
        block("x.example"),
        directives=(replace(one, until=when(T - 5)), replace(one, id="gb", regions=("GB",))),
    )
    assert unseen(order, p1=seen(-9))["court/o1"] == metrics.Unseen(starts=1)


def test_what_is_to_come_or_withheld_is_not_missed() -> None:
    assert unseen(NEXT, replace(ORDER, id="court/o2"), withheld=("court/o2",)) == {}
