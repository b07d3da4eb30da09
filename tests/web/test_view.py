from __future__ import annotations

import stat
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest

from blocker import metrics
from blocker.fleet import report as fleet
from blocker.metrics import FindingCount, OrderState, OrderTimes
from blocker.orders.model import Kind, Publication
from blocker.policy import writer
from blocker.policy.records import Withheld
from blocker.prober import report
from blocker.prober.report import Confirmed, NotOk, PointView, Snapshot
from blocker.resolver import counters
from blocker.web.view import Scene, prober_view, secret_of
from tests.prober.world import T, act, block, commit, policy, when
from tests.web import great

if TYPE_CHECKING:
    from pathlib import Path

FAR = 4_000_000_000


def snapshot(order: str = "court/o1") -> Snapshot:
    return Snapshot(
        at=T,
        generation=1,
        round_at=T - 1,
        points={"p1": PointView(sent=4, ok=1)},
        not_ok=(
            NotOk(
                kind="underblock",
                rule="resolves-though-blocked",
                point="p1",
                order=order,
                variant="udp",
                detail="d",
                count=2,
                since=T - 9,
                last=T,
            ),
        ),
        ok={order: 1, "": 3},
        confirmed={order: {"p1": Confirmed(block=T - 5, started=T - 10)}},
        attributed=(("p1", f"{order}/d"),),
    )


def test_nothing_there_is_a_view_of_nothing(tmp_path: Path) -> None:
    view = Scene(tmp_path).view()
    assert (view.generation, view.workers, view.prober, view.is_loaded) == (0, (), None, False)
    assert b"blocker_policy_last_load_success 0.0" in generate_latest(metrics.registry(lambda: view))


def test_the_view_gathers_store_counters_and_report(tmp_path: Path) -> None:
    commit(tmp_path, block("x.example", start=T - 10**9, until=FAR), number=3)
    block_of = counters.Counters(tmp_path / counters.FILE, 2).block(1)
    block_of[counters.Count.QUERIES] = 7
    (tmp_path / report.FILE).write_text(report.to_json(snapshot()))
    view = Scene(tmp_path).view()
    assert (view.generation, view.digest, view.directives_in_force) == (3, "g3", 1)
    assert view.orders[OrderState.IN_FORCE] == 1
    assert view.next_transition == FAR
    assert view.is_loaded
    assert view.loaded_at > 0
    assert [one.queries for one in view.workers] == [0, 7]
    assert view.prober is not None
    assert view.prober.findings == (FindingCount(kind="underblock", order="court/o1", point="p1", count=2),)
    assert view.prober.ok == {"court/o1": 1, "none": 3}
    assert view.prober.block_confirmed == {"court/o1": T - 5}
    assert view.prober.lift_confirmed == {}


def test_the_view_gathers_what_the_pusher_reported_and_passes_over_what_is_broken(tmp_path: Path) -> None:
    folder = tmp_path / fleet.FOLDER
    folder.mkdir()
    (folder / "a.json").write_text(fleet.to_json((fleet.Pushed(target="dnsdist", changes=2),)))
    (folder / "b.json").write_text(fleet.to_json((fleet.Purged(point="p1", names=3),)))
    (folder / "c.json").write_text("{")
    (folder / "d.json").mkdir()
    view = Scene(tmp_path).view()
    assert view.pushed == (fleet.Pushed(target="dnsdist", changes=2),)
    assert view.purged == (fleet.Purged(point="p1", names=3),)


def test_a_withheld_directive_is_not_in_force(tmp_path: Path) -> None:
    commit(tmp_path, block("x.example", start=T - 10**9, until=FAR))
    writer.withhold(tmp_path, Withheld(reason="appeal", at=T, by="me"), "court/o1")
    view = Scene(tmp_path).view()
    assert (view.directives_in_force, view.withheld, view.orders[OrderState.WITHHELD]) == (0, 1, 1)


def test_broken_pieces_are_absent_and_do_not_hide_the_rest(tmp_path: Path) -> None:
    commit(tmp_path, number=2)
    (tmp_path / report.FILE).write_bytes(b"\xff nonsense")
    (tmp_path / counters.FILE).write_bytes(b"nonsense")
    view = Scene(tmp_path).view()
    assert (view.generation, view.prober, view.workers) == (2, None, ())


def test_a_broken_store_is_shown_and_hides_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "policy.lmdb").write_bytes(b"nonsense" * 10_000)
    (tmp_path / report.FILE).write_text(report.to_json(snapshot()))
    scene = Scene(tmp_path)
    view = scene.view()
    assert not view.is_loaded
    assert "store" in scene.trouble
    assert view.prober is not None
    assert "court/o1" not in view.prober.ok


def test_an_enormous_report_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocker.web.view._MOST_OCTETS", 10)
    (tmp_path / report.FILE).write_text(report.to_json(snapshot()))
    assert Scene(tmp_path).view().prober is None


def test_a_sealed_order_leaves_no_trace_of_name_id_or_instant(tmp_path: Path) -> None:
    order = block(
        "hush-hush.example",
        ident="hushed/case-1",
        start=FAR - 1000,
        until=FAR,
        publication=Publication.SEALED_UNTIL_EFFECTIVE,
    )
    commit(tmp_path, order)
    (tmp_path / report.FILE).write_text(report.to_json(snapshot("hushed/case-1")))
    shown = generate_latest(metrics.registry(Scene(tmp_path).view)).decode()
    assert 'kind="underblock"' in shown
    for leak in ("hush", "case-1", str(FAR - 1000), f"{FAR - 1000:e}", str(FAR), "example"):
        assert leak not in shown
    assert "blocker_next_transition" not in shown


@pytest.mark.parametrize("publication", [Publication.SEALED, Publication.SEALED_UNTIL_EFFECTIVE])
def test_the_instants_of_a_sealed_act_on_a_public_order_are_not_shown(
    tmp_path: Path, publication: Publication
) -> None:
    order = block("x.example", start=T - 10**9, until=FAR)
    pause = act(
        Kind.SUSPEND,
        "court/o1",
        "court/s1",
        start=FAR - 2000,
        until=when(FAR - 1000),
        publication=publication,
    )
    commit(tmp_path, order, pause)
    assert Scene(tmp_path).view().next_transition == FAR


def test_an_order_is_opaque_until_it_takes_effect_and_plain_after() -> None:
    order = block("x.example", start=T, until=FAR, publication=Publication.SEALED_UNTIL_EFFECTIVE)
    every = list(policy(order).directives.values())
    before, after = (prober_view(snapshot(), every, now, b"s" * 32) for now in (T - 1, T))
    assert "court/o1" not in before.ok
    assert "court/o1" in after.ok


def test_an_order_the_policy_does_not_know_is_opaque() -> None:
    assert "court/o1" not in prober_view(snapshot(), (), T, b"s" * 32).ok


def test_a_scrape_of_500_orders_at_50_points_is_bounded_even_when_nothing_is_fine(tmp_path: Path) -> None:
    great.plant(tmp_path)
    shown = metrics.families(Scene(tmp_path, great.points()).view())
    series = sum(len(family.samples) for family in shown)
    print(f"{series} series of {len(shown)} families")
    assert 8_000 < series <= 10_000
    (hidden,) = [family for family in shown if family.name == "blocker_hidden_series"]
    assert {one.labels["metric"]: one.value for one in hidden.samples if one.value} == {
        "blocker_findings": report.MOST_NOT_OK - metrics.MOST_SERIES
    }


def test_what_is_blocked_without_an_order_is_shown_before_a_thousand_points_that_are_away() -> None:
    one = snapshot().not_ok[0]
    kinds = ("unreachable", "insufficient", "underblock", "overblock")
    shown = prober_view(
        replace(snapshot(), not_ok=tuple(replace(one, kind=kind) for kind in kinds)), (), T, b"s" * 32
    )
    assert [one.kind for one in shown.findings] == ["overblock", "underblock", "insufficient", "unreachable"]


def test_instances_come_from_the_site_and_never_from_the_wire(tmp_path: Path) -> None:
    commit(tmp_path)
    seen = {"p1": PointView(instances={"a": T, "hush.example": T})}
    (tmp_path / report.FILE).write_text(report.to_json(replace(snapshot(), points=seen)))
    point = replace(great.points()[0], name="p1", instances=("a", "b"))
    shown = generate_latest(metrics.registry(Scene(tmp_path, (point,)).view)).decode()
    assert 'nsid="a",point="p1"' in shown or 'point="p1",nsid="a"' in shown
    assert shown.count("nsid=") == 2
    assert "hush" not in shown


def test_a_public_orders_instants_and_deadline_are_shown_by_its_id(tmp_path: Path) -> None:
    order = block("x.example", start=T - 10**9, until=FAR)
    commit(tmp_path, replace(order, received=when(T - 10**9), deadline=timedelta(seconds=60)))
    times = Scene(tmp_path).view().times
    assert times == {
        "court/o1": OrderTimes(start=T - 10**9, end=FAR, review_by=T - 10**9 + 10**7, deadline=T - 10**9 + 60)
    }


def test_the_secret_is_made_once_and_is_ours_alone(tmp_path: Path) -> None:
    first = secret_of(tmp_path)
    assert len(first) == 32
    assert secret_of(tmp_path) == first
    path = tmp_path / "secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["secret"]


def test_where_no_secret_can_be_kept_a_passing_one_serves(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert len(secret_of(missing)) == 32
    assert secret_of(missing) != secret_of(missing)
    (tmp_path / "secret").write_bytes(b"short")
    assert len(secret_of(tmp_path)) == 32


def test_the_store_may_come_later_and_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocker.web.view._REOPEN_EVERY", 0.0)
    scene = Scene(tmp_path)
    assert not scene.is_live()
    assert "blocker apply" in scene.trouble
    commit(tmp_path)
    assert scene.is_live()


def test_points_where_a_start_was_not_seen_are_counted_for_the_directives_of_the_probers_shard() -> None:
    orders = [block("x.example", ident=f"court/o{at}", start=T - 10) for at in range(9)]
    every = list(policy(*orders).directives.values())
    points = great.points()[:3]
    shown = [prober_view(Snapshot(at=T, shard=(shard, 2)), every, T, b"s" * 32, points) for shard in range(2)]
    assert {order: count for one in shown for order, count in one.unconfirmed.items()} == {
        order.id: 3 for order in orders
    }
    assert all(0 < len(one.unconfirmed) < 9 for one in shown)
    hushed = prober_view(snapshot(), every, T, b"s" * 32, points, withheld=["court/o1"])
    assert "court/o1" not in hushed.unconfirmed
