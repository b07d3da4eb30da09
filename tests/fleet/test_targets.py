from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from blocker.fleet import report
from blocker.fleet.push import Pusher
from blocker.fleet.targets import children, targets
from blocker.policy.reader import Reader
from blocker.site import WAYS, Endpoint, Point, Rpz, Site
from tests.resolver.live import store
from tests.resolver.world import T0, block, enforcement

PRIMARY = Rpz(primary=Endpoint("127.0.0.1", 5354), key=Path("rpz.key"))


def point(kind: str, by: str, region: str = "ID", control: tuple[str, ...] = ()) -> Point:
    at = Endpoint("127.0.0.1", 53)
    return Point(name=f"{kind}-{region}", kind=kind, by=by, address=at, region=region, control=control)


def site(state: Path, *points: Point, rpz: Rpz | None = None) -> Site:
    return Site(
        operator="Lab",
        contact="mailto:legal@isp.example",
        node="lab",
        path=state / "site.yaml",
        state=state,
        orders=state,
        enforcement=enforcement(),
        rpz=rpz,
        points=points,
    )


BIND, KNOT, DNSDIST = point("bind", "rpz"), point("knot", "rpz"), point("dnsdist", "lmdb")
TABLE = [
    ("what reads the store needs nothing", [point("embedded", "self"), point("unbound", "module")], []),
    ("a zone for each region", [BIND, point("bind", "rpz", "GB")], ["rpz id.rpz", "rpz gb.rpz"]),
    ("one zone for all points of a region", [BIND, point("powerdns", "rpz")], ["rpz id.rpz"]),
    ("Knot Resolver reads a file", [KNOT, BIND], ["file id.rpz", "rpz id.rpz"]),
    ("one file for dnsdist, whatever its regions", [DNSDIST, point("dnsdist", "lmdb", "GB")], ["dnsdist"]),
]


@pytest.mark.parametrize(("points", "names"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_points_need_these_targets(tmp_path: Path, points: list[Point], names: list[str]) -> None:
    assert list(targets(site(tmp_path, *points, rpz=PRIMARY))) == names


def test_without_a_primary_there_are_files(tmp_path: Path) -> None:
    assert list(targets(site(tmp_path, BIND, rpz=Rpz(zone="z")))) == ["file id.z"]


def test_each_target_is_made_under_its_name(tmp_path: Path) -> None:
    everything = [point(kind, by) for kind, ways in WAYS.items() for by in ways]
    for name, make in targets(site(tmp_path, *everything, rpz=PRIMARY)).items():
        assert make(lambda: None).name == name


def test_caches_are_purged_where_a_point_can_be_controlled(tmp_path: Path) -> None:
    quiet = site(tmp_path, point("unbound", "module"))
    assert [child.name for child in children(quiet)] == []
    told = replace(quiet, points=(point("unbound", "module", control=("unbound-control",)),))
    assert [child.name for child in children(told)] == ["purge"]


def test_what_is_no_longer_pushed_to_is_no_longer_shown(tmp_path: Path) -> None:
    old = tmp_path / report.FOLDER / "rpz-old.rpz.json"
    old.parent.mkdir()
    old.write_text("{}")
    children(site(tmp_path, point("dnsdist", "lmdb")))
    assert not old.exists()


def test_a_state_that_cannot_be_written_is_reported_and_outlived(tmp_path: Path) -> None:
    everything = [point(kind, by) for kind, ways in WAYS.items() for by in ways]
    store(tmp_path, block("grok.example"))
    (tmp_path / "rpz").write_text("in the way")
    (tmp_path / "dnsdist.lmdb").mkdir()
    for make in targets(site(tmp_path, *everything, rpz=PRIMARY)).values():
        loop = Pusher(make, tmp_path, beat=lambda: None)
        loop.step()
        assert str(tmp_path) in loop.pushed.trouble
        octets = (tmp_path / report.FOLDER / f"{loop.pushed.target.replace(' ', '-')}.json").read_bytes()
        assert report.from_json(octets) == (loop.pushed,)


@pytest.mark.parametrize("way", [KNOT, DNSDIST], ids=["file", "dnsdist"])
def test_a_preparation_that_was_given_up_leaves_nothing_in_the_way_of_the_next(
    tmp_path: Path, way: Point
) -> None:
    store(tmp_path, block("grok.example", start=T0))
    (make,) = targets(site(tmp_path, way, rpz=Rpz(zone="rpz.example"))).values()
    overtaken = [LookupError()]

    def pulse() -> None:
        if overtaken:
            raise overtaken.pop()

    target = make(pulse)
    with Reader(tmp_path).snapshot() as policy:
        with pytest.raises(LookupError):
            target.prepare(policy, int(T0))
        assert target.send(target.prepare(policy, int(T0))) > 0
    assert target.is_whole()
