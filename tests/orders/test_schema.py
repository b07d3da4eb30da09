from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from blocker.orders.model import Kind
from blocker.orders.schema import order_schema
from blocker.orders.tables import COMMON, OWN

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "policies").glob("**/orders/**/*.yaml"))
SCHEMA = order_schema()


def read(path: Path) -> Any:
    """The file with every scalar as text, as the schema reads it."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_delivered_order_validates(path: Path) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(read(path))


def test_it_has_the_keys_of_the_format() -> None:
    assert set(SCHEMA["properties"]) == set(COMMON)
    for kind, own in zip(Kind, SCHEMA["oneOf"], strict=True):
        assert set(own["properties"]) - {"kind"} == set(OWN[kind]), kind


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "lift"},
        {"surprise": "1"},
        {"legal_basis": []},
        {"issued": "2026-01-10T12:00:00"},
        {"issued": "2026-01-10T12:00:00+07:60"},
        {"issued": "2026-01-10T12:00:00+24:00"},
        {"publication": "secret"},
        {"deadline": "soon"},
    ],
)
def test_mistakes_are_underlined(change: dict[str, Any]) -> None:
    good = read(next(path for path in FILES if read(path)["kind"] == "block"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate({**good, **change})


@pytest.mark.parametrize("name", ["https://x.example/a", "a@x.example", "x.example:53", "x example"])
def test_what_is_no_name_is_underlined(name: str) -> None:
    good = read(next(path for path in FILES if read(path)["kind"] == "block"))
    directive = {**good["directives"][0], "names": [name]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate({**good, "directives": [directive]})
