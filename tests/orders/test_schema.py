from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from blocker.orders.meanings import MEANINGS
from blocker.orders.model import Kind
from blocker.orders.schema import HEADER, order_schema
from blocker.orders.tables import AUTHORITY, COMMON, DIRECTIVE, OWN

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "policies").glob("**/orders/**/*.yaml"))
DELIVERED = ROOT / "policies" / "order.schema.json"
SCHEMA = order_schema()


def read(path: Path) -> Any:
    """The file with every scalar as text, as the schema reads it."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def complaints(value: Any) -> list[str]:
    """Where a value is underlined, by keys."""
    found = jsonschema.Draft7Validator(SCHEMA).iter_errors(value)
    return sorted("/".join(map(str, one.absolute_path)) for one in found)


def good(kind: Kind) -> dict[str, Any]:
    order = read(next(path for path in FILES if read(path)["kind"] == "block"))
    if kind is Kind.BLOCK:
        return dict(order)
    del order["directives"]
    change = {"until": "2099-01-01"} if kind is Kind.AMEND else {}
    return {**order, "kind": str(kind), "of": "court/case", "from": "2026-01-10", **change}


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_the_delivered_schema_is_what_the_verb_prints() -> None:
    assert json.loads(DELIVERED.read_text(encoding="utf-8")) == SCHEMA


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_delivered_order_validates_and_names_the_delivered_schema(path: Path) -> None:
    assert complaints(read(path)) == []
    head = path.read_text(encoding="utf-8").splitlines()[:2]
    (named,) = [line.removeprefix(HEADER) for line in head if line.startswith(HEADER)]
    assert named == os.path.relpath(DELIVERED, path.parent)


def test_it_has_the_keys_of_the_format_each_with_its_meaning() -> None:
    properties = SCHEMA["properties"]
    assert set(properties) == set(COMMON).union(*OWN.values())
    assert set(properties["authority"]["properties"]) == set(AUTHORITY)
    assert set(properties["directives"]["items"]["properties"]) == set(DIRECTIVE)
    parts = (properties, properties["authority"]["properties"], properties["add"]["items"]["properties"])
    assert all(one["description"] in MEANINGS.values() for part in parts for one in part.values())


@pytest.mark.parametrize("kind", Kind)
def test_a_good_order_of_each_kind_is_not_underlined(kind: Kind) -> None:
    assert complaints(good(kind)) == []


@pytest.mark.parametrize("kind", Kind)
def test_what_a_kind_does_not_have_is_underlined_where_it_stands(kind: Kind) -> None:
    foreign = set().union(*OWN.values()) - OWN[kind].keys()
    for key in foreign:
        assert key in complaints({**good(kind), key: "x"}), key


@pytest.mark.parametrize("kind", Kind)
def test_what_a_kind_needs_is_missed(kind: Kind) -> None:
    order = good(kind)
    for key in order.keys() & (COMMON | OWN[kind]).keys():
        if (COMMON | OWN[kind])[key].required:
            assert complaints({k: v for k, v in order.items() if k != key}), key
    if kind is Kind.AMEND:
        assert complaints({k: v for k, v in order.items() if k != "until"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("surprise", "1"),
        ("legal_basis", []),
        ("issued", "2026-01-10T12:00:00"),
        ("issued", "2026-01-10T12:00:00+07:60"),
        ("issued", "2026-01-10T12:00:00+24:00"),
        ("publication", "secret"),
        ("deadline", "soon"),
    ],
)
def test_mistakes_are_underlined(key: str, value: Any) -> None:
    assert complaints({**good(Kind.BLOCK), key: value})


@pytest.mark.parametrize("name", ["https://x.example/a", "a@x.example", "x.example:53", "x example"])
def test_what_is_no_name_is_underlined(name: str) -> None:
    order = good(Kind.BLOCK)
    directive = {**order["directives"][0], "names": [name]}
    assert complaints({**order, "directives": [directive]}) == ["directives/0/names/0"]


def test_a_case_number_may_be_a_number_to_yaml() -> None:
    assert complaints({**good(Kind.BLOCK), "reference": 7}) == []
