"""Pictures are sound XML, tell the same without colour, and hold whatever text comes from outside as text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker.compliance.life import heat_picture, time_picture
from blocker.compliance.pictures import Bar, Cell, Lane, Mark, heat, moment, swatch, timeline
from blocker.orders.schedule import schedule
from blocker.policy.chain import Event
from tests.prober import lives
from tests.prober.lives import DAY, sealed, whole
from tests.prober.proof import blocked, once
from tests.prober.world import T, block, when

BARS = re.compile(r"<rect x='([\d.]+)%' y='\d+' width='([\d.]+)%'")
SVG = "{http://www.w3.org/2000/svg}"
texts = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), max_size=12)


def said(picture: str) -> list[str]:
    """Every title, in the order of the picture."""
    return [one.text or "" for one in ET.fromstring(picture).iter(f"{SVG}title")]


def written(picture: str) -> list[str]:
    return [one.text or "" for one in ET.fromstring(picture).iter(f"{SVG}text")]


@given(texts, texts, st.sampled_from(["law", "seen", "trouble", "unsure"]), st.floats(-1e6, 1e6))
def test_a_timeline_is_xml_whatever_it_is_about(label: str, says: str, sort: str, offset: float) -> None:
    lane = Lane(
        label=label,
        bars=(Bar(sort=sort, start=T + offset, end=None, says=says),),
        marks=(Mark(sort="due", at=T + offset, says=says),),
    )
    picture = timeline([lane], T, T + 100, title=label, says=says)
    assert said(picture) == [label, says, says]
    assert label in written(picture)


@given(texts, texts, st.integers(0, 10**7), st.integers(0, 3), st.integers(0, 3))
def test_a_heat_map_is_xml_whatever_it_is_about(
    row: str, column: str, fine: int, bad: int, unsure: int
) -> None:
    cells = {(row, column): Cell(fine=fine, bad=bad, unsure=unsure)}
    picture = heat([row], [column], cells, title=row, says=column)
    assert said(picture)[-1].startswith(f"{row}, {column}: {fine} as ordered, {bad} not")


def test_the_same_values_give_the_same_text() -> None:
    assert time_picture(whole()) == time_picture(whole())
    assert heat_picture(whole()) == heat_picture(whole())


def test_a_picture_takes_nothing_from_elsewhere_and_runs_nothing() -> None:
    for picture in (time_picture(whole()), heat_picture(whole())):
        names = {one.tag for one in ET.fromstring(picture).iter()}
        assert names <= {
            SVG + name
            for name in [
                "svg",
                "g",
                "title",
                "desc",
                "defs",
                "pattern",
                "rect",
                "circle",
                "line",
                "path",
                "text",
            ]
        }
        assert "href" not in picture


def test_the_timeline_has_the_law_first_and_then_each_point_with_what_was_seen() -> None:
    picture = time_picture(whole())
    labels = [one for one in written(picture) if ":" in one]
    assert labels == [
        "ordered: d",
        "observed: bandung-dnsdist-edge-04",
        "observed: jakarta-anycast",
        "observed: surabaya",
    ]
    titles = said(picture)
    assert "ordered from 2027-01-15T08:00:00Z until 2027-02-04T08:00:00Z" in titles
    assert "underblock (resolves-though-blocked, udp+do) from 2027-01-21T08:00:00Z" in titles
    assert "block first observed 2027-01-15T08:00:00.040Z, 40 ms after it was to take effect" in titles
    assert "deadline 2027-01-15T09:00:00Z" in titles


def test_what_is_ordered_without_an_end_is_drawn_to_the_edge_and_what_is_to_come_not_at_all() -> None:
    order = replace(lives.root(), received=None, deadline=None)
    (directive,) = order.directives
    endless = replace(order, directives=(replace(directive, until=None, review_by=when(T + DAY)),))
    facts = whole(order=endless, acts=(), directives=tuple(schedule([endless])))
    assert "ordered from 2027-01-15T08:00:00Z until further notice" in said(time_picture(facts))
    assert not any(one.startswith("ordered from") for one in said(time_picture(sealed())))


def test_a_block_whose_end_was_not_seen_is_drawn_to_its_end_in_law() -> None:
    law, _, rest = time_picture(whole()).partition("observed: bandung")
    seen = rest.partition("observed: surabaya")[2].partition("lingering")[0]
    ends = [max(float(left) + float(width) for left, width in BARS.findall(lane)) for lane in (law, seen)]
    assert ends[0] == pytest.approx(ends[1], abs=0.01)


@pytest.mark.parametrize(
    ("withheld", "released", "seen", "shown"),
    [
        (100, None, [9], ["08:00:09"]),
        (100, 200, [9], ["08:00:09"]),
        (100, 200, [9, 260], ["08:00:09", "08:04:20"]),
        (1, 5, [9], ["08:00:09"]),
        (1, 15, [9, 20], ["08:00:20"]),
        (2 * DAY, 3 * DAY, [9], ["08:00:09"]),
    ],
    ids=["for good", "not seen again", "seen again", "before it was seen", "as it was seen", "after its end"],
)
def test_nothing_is_drawn_in_force_while_the_operator_withholds_it_nor_before_it_is_seen_again(
    withheld: int, released: int | None, seen: list[int], shown: list[str]
) -> None:
    order = block("x.shop.example", start=T, until=T + DAY)
    acts = [Event(at=T + withheld, event="withheld", subject=lives.REF)]
    acts += [] if released is None else [Event(at=T + released, event="released", subject=lives.REF)]
    facts = whole(
        order=order,
        acts=(),
        directives=tuple(schedule([order])),
        records=lives.kept([once(lives.subject("surabaya", T), blocked, at=T + at) for at in seen]),
        points=lives.POINTS[2:3],
        events=lives.ledger(lives.applied(T - 9, lives.ORDER), *acts),
    )
    titles = [one for one in said(time_picture(facts)) if one.startswith("in force since")]
    assert [one.partition("T")[2][:8] for one in titles] == shown


def test_long_lists_are_cut_and_the_picture_says_so() -> None:
    points = tuple(replace(lives.POINTS[2], name=f"p{number}") for number in range(70))
    picture = time_picture(whole(points=points))
    assert sum(one.startswith("observed: ") for one in written(picture)) == 60
    assert "Not all of them are drawn." in picture
    assert "Not all of them are drawn." not in time_picture(whole())


def test_a_cell_says_by_number_and_sign_what_its_colour_says() -> None:
    picture = heat_picture(whole())
    leaking = "bandung-dnsdist-edge-04, udp+do: 2 as ordered, 3 not as ordered, 0 that can't be told"
    assert leaking in said(picture)
    assert "surabaya, doh: nothing kept" in said(picture)
    assert {"3!", "1?", "-"} <= set(written(picture))
    assert "bandung-dnsdist-…" in written(picture)


def test_large_numbers_are_short() -> None:
    cells = {("p", "udp"): Cell(fine=54_321), ("p", "tcp"): Cell(bad=2_000)}
    picture = heat(["p"], ["udp", "tcp"], cells, title="", says="")
    assert {"54k", "2k!"} <= set(written(picture))


def test_a_heat_map_of_nothing_is_a_picture_too() -> None:
    assert written(heat([], [], {}, title="", says="")) == []


@pytest.mark.parametrize(
    "sort", ["law", "seen", "trouble", "unsure", "block", "lift", "due", "fine", "bad", "none"]
)
def test_a_legend_has_a_sample_of_everything(sort: str) -> None:
    assert ET.fromstring(swatch(sort)).attrib["aria-hidden"] == "true"


@pytest.mark.parametrize(
    ("span", "shown"), [(30, "08:00:00"), (7200, "01-15 08:00"), (90 * DAY, "2027-01-15")]
)
def test_instants_are_shown_as_finely_as_the_picture_is(span: float, shown: str) -> None:
    assert moment(T, span) == shown
