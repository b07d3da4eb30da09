from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.orders import check, parse
from blocker.orders.model import Match, Subject
from tests.orders.texts import BLOCK, FACTS, act


def found(text: str, *, id_: str = "a/b", facts: check.Facts = FACTS) -> list[str]:
    filed, problems = parse.read(text.encode(), path="x.yaml", id_=id_)
    assert problems == []
    assert filed is not None
    return [problem.id for problem in check.check(filed, facts)]


def directive(names_: str, *more: str) -> str:
    lines = [f"    names: [{names_}]", *(f"    {line}" for line in more)]
    return BLOCK.replace("    names: [blocked.example]", "\n".join(lines))


def test_a_good_order_has_no_problem() -> None:
    assert found(BLOCK) == []


def test_a_site_that_protects_nothing_has_no_protected_name() -> None:
    assert found(directive("isp.example"), facts=check.Facts(regions=frozenset({"ID"}))) == []


def test_the_directives_of_an_amend_are_checked_alike() -> None:
    add = "  - {id: two, names: [isp.example], regions: [SG], from: 2026-02-01, until: 2026-03-01}"
    filed, _ = parse.read(act("a/c", "amend", "a/b", "add:", add).encode(), path="x.yaml", id_="a/c")
    assert filed is not None
    problems = check.check(filed, FACTS)
    assert [(problem.id, problem.line, problem.column) for problem in problems] == [
        ("unknown-region", 10, 47),
        ("protected-name", 10, 23),
    ]


@pytest.mark.parametrize(
    ("region", "known"),
    [
        ("ID", True),
        ("GB", True),
        ("GB-SCT", True),
        ("GB-ENG", False),
        ("G", False),
        ("ID-JK", False),
        ("id", False),
    ],
)
def test_a_region_is_known_if_it_or_one_nested_in_it_has_clients(region: str, *, known: bool) -> None:
    assert found(BLOCK.replace("[ID]", f"[{region}]")) == ([] if known else ["unknown-region"])


@pytest.mark.parametrize(
    ("names_", "more", "expected"),
    [
        ("isp.example", (), ["protected-name"]),
        ("www.isp.example", (), ["protected-name"]),
        ('"*.isp.example"', (), ["protected-name"]),
        ("isp.example", ("match: exact",), ["protected-name"]),
        ("notisp.example", (), []),
        ("shop.example", (), ["protected-name"]),
        ('"*.shop.example"', (), ["protected-name"]),
        ("shop.example", ("match: exact",), []),
        ("shop.example", ("except: [www.shop.example]",), []),
        ('"*.shop.example"', ("except: [www.shop.example]",), []),
        ("shop.example", ('except: ["*.www.shop.example"]',), ["protected-name"]),
        ("shop.example", ('except: ["*.shop.example"]',), []),
        ("shop.example", ("except: [x.www.shop.example]",), ["protected-name"]),
    ],
)
def test_a_protected_name_is_never_covered(names_: str, more: tuple[str, ...], expected: list[str]) -> None:
    assert found(directive(names_, *more)) == expected


def test_an_except_of_another_directive_does_not_protect() -> None:
    second = BLOCK.partition("directives:\n")[2].replace("one", "two").replace("blocked.", "")
    text = directive("shop.example") + second.replace(
        "names: [example]", "names: [x.shop.example]\n    except: [www.x.shop.example]"
    )
    assert found(text) == ["protected-name"]


@pytest.mark.parametrize(
    ("names_", "except_", "expected"),
    [
        ("x.example", "x.example", ["under-own-except"]),
        ("x.example, a.x.example", "a.x.example", ["under-own-except"]),
        ("x.example, b.a.x.example", "a.x.example", ["under-own-except"]),
        ("x.example", '"*.x.example"', []),
        ('x.example, "*.a.x.example"', '"*.a.x.example"', ["under-own-except"]),
        ("x.example, a.x.example", '"*.a.x.example"', []),
        ("x.example, b.a.x.example", '"*.a.x.example"', ["under-own-except"]),
        ("x.example", "a.x.example", []),
        ("x.example", "y.example", ["except-unused"]),
    ],
)
def test_a_subject_at_or_below_its_own_except_is_a_problem(
    names_: str, except_: str, expected: list[str]
) -> None:
    assert found(directive(names_, f"except: [{except_}]")) == expected


keys = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(
    lambda labels: names.to_key(".".join([*labels, "example"]))
)
subjects_ = st.builds(Subject, key=keys, match=st.sampled_from(list(Match)))
excepts_ = st.builds(Subject, key=keys, match=st.sampled_from([Match.SUBTREE, Match.BELOW]))
UNIVERSE = [
    names.to_key(".".join([*labels, "example"]))
    for count in range(1, 7)
    for labels in product("ab", repeat=count)
]


def covers(subject: Subject, key: names.Key) -> bool:
    if subject.match is Match.EXACT:
        return key == subject.key
    if subject.match is Match.BELOW:
        return names.is_below(key, subject.key)
    return key == subject.key or names.is_below(key, subject.key)


@given(subjects_, st.lists(excepts_, max_size=2), st.lists(keys, min_size=1, max_size=2))
def test_protected_means_that_no_name_at_or_below_it_is_covered(
    subject: Subject, excepts: list[Subject], protected: list[names.Key]
) -> None:
    cut = check.Cover(excepts)
    blocked = check.Protection(protected).blocked_by(subject.key, subject.match, cut)
    is_covered = any(
        covers(subject, key) and not any(covers(one, key) for one in excepts)
        for key in UNIVERSE
        if any(key == one or names.is_below(key, one) for one in protected)
    )
    if is_covered:
        assert blocked is not None
    elif not cut.has(subject) and not excepts:
        assert blocked is None
