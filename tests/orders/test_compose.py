from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import yamltext
from blocker.orders.compose import Answer, compose, quoted


def read_back(written: str) -> tuple[str | None, list[str]]:
    """The one text of a YAML file, and what is wrong with it."""
    root, problems = yamltext.read(f"a: {written}\n".encode(), "x.yaml")
    value = root.get("a") if isinstance(root, yamltext.Mapping) else None
    return (value.text if isinstance(value, yamltext.Scalar) else None), [one.id for one in problems]


@given(st.text(max_size=40))
def test_whatever_text_is_answered_yaml_reads_it_back_or_it_has_no_place_in_a_file(text: str) -> None:
    found, problems = read_back(quoted(text))
    assert (found, problems) == (text, []) or problems == ["binary-file"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("blocked.example", "blocked.example"),
        ("2026-01-10T12:00:00+07:00", "2026-01-10T12:00:00+07:00"),
        ("*.blocked.example", '"*.blocked.example"'),
        ("null", '"null"'),
        ("a: b", '"a: b"'),
        ('say "no"\\', '"say \\"no\\"\\\\"'),
        ("a\nb", '"a\\x0ab"'),
        ("\u2028", '"\\u2028"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("::1", '"::1"'),
        ("", '""'),
    ],
)
def test_a_text_is_quoted_where_yaml_or_a_person_could_read_something_else(text: str, written: str) -> None:
    assert quoted(text) == written


def test_surrogates_of_a_terminal_that_speaks_another_encoding_are_told_and_do_no_harm() -> None:
    assert read_back(quoted("caf\udce9")) == (None, ["yaml-syntax"])


def test_every_line_knows_its_answer_and_comments_never_run_over_the_screen() -> None:
    composed = compose(
        {
            "kind": "amend",
            "id": "court/order",
            "of": "court/" + "x" * 90,
            "authority": "Court",
            "from": "2026-01-10",
            "names": ("one.example", "two.example"),
            "directive": "new",
            "action": "redirect",
            "redirect": ("192.0.2.1", "2001:db8::1"),
            "regions": ("ID",),
            "add_until": "2027-01-01",
        },
        schema="../../order.schema.json",
    )
    lines = composed.text.splitlines()
    keys = {line.strip(): composed.key_at(number) for number, line in enumerate(lines, 1)}
    assert len(lines) == len(composed.keys)
    assert composed.key_at(0) == composed.key_at(len(lines) + 1) == ""
    assert keys["- two.example"] == "names"
    assert [key for line, key in keys.items() if line.startswith("action: {redirect: [192.0.2.1, ")] == [
        "redirect"
    ]
    assert [key for line, key in keys.items() if line.startswith("until: 2027-01-01")] == ["until"]
    assert all(len(line) <= 110 for line in lines)


def test_what_was_not_answered_is_not_written() -> None:
    answers: dict[str, Answer] = {
        "kind": "block",
        "id": "court/order",
        "names": ("one.example",),
        "directive": "one",
    }
    text = compose(answers).text
    assert not any(f"{key}:" in text for key in ("regions", "action", "match", "until", "reference", "of"))
