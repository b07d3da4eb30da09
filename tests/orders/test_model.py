"""An invalid order can't exist, whatever parse and check let through."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest

from blocker import names
from blocker.orders.model import (
    Action,
    Authority,
    Directive,
    Form,
    Kind,
    Match,
    Order,
    Publication,
    Subject,
    instant,
)

START = datetime(2026, 1, 10, tzinfo=UTC)
SUBJECT = Subject(key=names.to_key("x.example"))
DIRECTIVE = Directive(id="one", subjects=(SUBJECT,), regions=("ID",), start=START, review_by=START)
BLOCK = Order(
    id="a/one",
    kind=Kind.BLOCK,
    authority=Authority(name="A", jurisdiction="ID", contact="mailto:a@a.example"),
    legal_basis=("Act",),
    issued=START,
    publication=Publication.PUBLIC,
    directives=(DIRECTIVE,),
    digest="0" * 64,
)
LIFT = replace(BLOCK, id="a/lift", kind=Kind.LIFT, directives=(), of="a/one", start=START)


@pytest.mark.parametrize(
    ("value", "changes", "says"),
    [
        (DIRECTIVE, {"subjects": ()}, "names something"),
        (DIRECTIVE, {"regions": ()}, "has a region"),
        (DIRECTIVE, {"review_by": None}, "has a review date"),
        (DIRECTIVE, {"until": START}, "is not empty"),
        (DIRECTIVE, {"excepts": (replace(SUBJECT, match=Match.EXACT),)}, "an except takes"),
        (BLOCK, {"legal_basis": ()}, "has a legal basis"),
        (BLOCK, {"deadline": timedelta(hours=1)}, "counts from receipt"),
        (BLOCK, {"directives": ()}, "directives of its own"),
        (BLOCK, {"of": "a/two"}, "is of nothing"),
        (LIFT, {"of": ""}, "of what and from when"),
        (LIFT, {"start": None}, "of what and from when"),
        (LIFT, {"directives": (DIRECTIVE,)}, "a lift has no directives"),
        (LIFT, {"until": START}, "a lift has no until"),
        (Action(), {"form": Form.REDIRECT}, "only redirect"),
        (Action(), {"addresses": (ip_address("192.0.2.1"),)}, "only redirect"),
    ],
)
def test_an_invalid_value_cannot_exist(value: Any, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(value, **changes)


def test_an_instant_is_whole_seconds_and_a_date_is_its_midnight_in_utc() -> None:
    assert instant(START) == instant(START.date()) == 1768003200


def test_a_naive_time_is_no_instant() -> None:
    with pytest.raises(ValueError, match="has a zone"):
        instant(START.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("action", "shown"),
    [
        (Action(), "nxdomain"),
        (Action(form=Form.REDIRECT, addresses=(ip_address("192.0.2.1"),)), "redirect to 192.0.2.1"),
    ],
)
def test_an_action_prints_as_it_is_written(action: Action, shown: str) -> None:
    assert str(action) == shown


def test_a_subject_prints_as_it_is_written() -> None:
    assert str(SUBJECT) == "x.example"
    assert str(replace(SUBJECT, match=Match.BELOW)) == "*.x.example"
