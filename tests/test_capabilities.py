from __future__ import annotations

import pytest

from blocker import capabilities
from blocker.orders.model import Form
from blocker.site import WAYS, Endpoint, Point

ALL = sorted(capabilities.CAPABILITIES)


def test_every_kind_of_point_declares_for_every_way_and_nothing_else_does() -> None:
    assert sorted((kind, by) for kind, ways in WAYS.items() for by in ways) == ALL


@pytest.mark.parametrize(("kind", "by"), ALL)
def test_every_limit_of_reach_is_explained_and_declared_once(kind: str, by: str) -> None:
    can = capabilities.of(kind, by)
    reach = can.reach + can.uncontrolled
    assert set(reach) <= set(capabilities.REACH)
    assert len(set(reach)) == len(reach)


def test_no_limit_is_explained_that_nobody_has() -> None:
    declared = {limit for can in capabilities.CAPABILITIES.values() for limit in can.reach + can.uncontrolled}
    assert declared == set(capabilities.REACH)


def test_a_zone_says_every_form_but_refused() -> None:
    for kind, by in ALL:
        can = capabilities.of(kind, by)
        assert can.is_zone == (by == "rpz")
        said = {form for form in Form if can.missing(form) is None}
        assert said == (set(Form) - {Form.REFUSED} if can.is_zone else set(Form))


def test_a_form_that_is_missing_says_which_ones_are_not() -> None:
    why = capabilities.of("bind", "rpz").missing(Form.REFUSED)
    assert why == "refused can't be said there; what can: nxdomain, nodata, redirect"


@pytest.mark.parametrize(("control", "reach"), [((), ("cached-names",)), (("unbound-control",), ())])
def test_without_a_control_command_unbound_keeps_what_it_has_cached(
    control: tuple[str, ...], reach: tuple[str, ...]
) -> None:
    address = Endpoint("192.0.2.1", 53)
    point = Point(name="r1", kind="unbound", by="module", address=address, region="ID", control=control)
    assert capabilities.reach_of(point) == reach


def test_what_never_leaks_is_no_other_without_a_control_command() -> None:
    point = Point(name="r1", kind="bind", by="rpz", address=Endpoint("192.0.2.1", 53), region="ID")
    assert capabilities.reach_of(point) == capabilities.of("bind", "rpz").reach
