from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker.orders import check, names_file, parse, questions
from blocker.orders.model import Kind
from blocker.orders.questions import QUESTIONS, Setting
from tests.orders.texts import BLOCK, FACTS, act

if TYPE_CHECKING:
    from blocker.orders.compose import Answer

TODAY = date(2026, 1, 20)


def setting(*texts: str, **more: Any) -> Setting:
    """A site where these orders are."""
    known = {}
    for text in texts:
        id_ = text.splitlines()[0].removeprefix("order: ")
        filed, problems = parse.read(text.encode(), path=f"{id_}.yaml", id_=id_)
        assert filed is not None, problems
        known[id_] = filed
    return Setting(facts=FACTS, known=known, today=TODAY, **more)


SUSPENDED = act("a/s", "suspend", "a/b", start="2026-01-15", issued="2026-01-15")
ENVELOPE: dict[str, Answer] = {
    "authority": "Court of Appeal",
    "jurisdiction": "ID",
    "contact": "mailto:registry@court.example",
    "legal_basis": ("Act 1: section 2",),
    "publication": "public",
}
BY_KIND: dict[Kind, dict[str, Answer]] = {
    Kind.BLOCK: {**ENVELOPE, "kind": "block", "names": ("shop.test",)},
    Kind.SUSPEND: {"kind": "suspend", "of": "a/b", "legal_basis": ("Act 3",)},
    Kind.REINSTATE: {"kind": "reinstate", "of": "a/b", "legal_basis": ("Act 3",)},
    Kind.LIFT: {"kind": "lift", "of": "a/b/one", "legal_basis": ("Act 3",)},
    Kind.AMEND: {"kind": "amend", "of": "a/b", "legal_basis": ("Act 3",), "until": "2027-01-01"},
}


def site_for(kind: Kind) -> Setting:
    return setting(BLOCK, SUSPENDED) if kind is Kind.REINSTATE else setting(BLOCK)


def right(answers: dict[str, Answer], at: Setting) -> parse.Filed:
    """The order that was written, read as `check` reads it."""
    assert questions.judged(answers, at) == []
    id_ = str(questions.filled(answers, at)["id"])
    text = questions.written(answers, at).text
    filed, problems = parse.read(text.encode(), path=f"{id_}.yaml", id_=id_)
    assert problems == []
    assert filed is not None
    assert check.check(filed, FACTS) == []
    return filed


@pytest.mark.parametrize("kind", Kind)
def test_the_least_that_must_be_answered_makes_a_right_order_of_each_kind(kind: Kind) -> None:
    at = site_for(kind)
    assert questions.missing(BY_KIND[kind], at) == []
    order = right(BY_KIND[kind], at).order
    assert order.kind is kind
    assert order.authority.name == ("Court of Appeal" if kind is Kind.BLOCK else "Example Court")


@pytest.mark.parametrize("kind", Kind)
def test_without_any_of_it_something_is_missing(kind: Kind) -> None:
    for key in BY_KIND[kind].keys() - {"until", "jurisdiction", "contact"}:
        left = {name: answer for name, answer in BY_KIND[kind].items() if name != key}
        assert key in [one.key for one in questions.missing(left, site_for(kind))]


texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=30)
labels = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
written_names = st.lists(st.builds("{}.test".format, labels), min_size=1, max_size=4, unique=True)
moments = st.dates(date(2026, 2, 1), date(2026, 3, 31)).map(date.isoformat)
later = st.dates(date(2026, 4, 1), date(2030, 1, 1)).map(date.isoformat)


@st.composite
def orders(draw: st.DrawFn) -> dict[str, Answer]:
    """Right answers: those that must be given, and any of the others."""
    kind = draw(st.sampled_from(list(Kind)))
    answers = dict(BY_KIND[kind])
    answers["legal_basis"] = tuple(draw(st.lists(texts, min_size=1, max_size=3)))
    optional: dict[str, st.SearchStrategy[Any]] = {
        "authority": texts,
        "reference": texts,
        "issued": st.just("2026-01-19"),
        "received": st.just("2026-01-20T09:00:00+07:00"),
        "publication": st.sampled_from(["public", "sealed-until-effective", "sealed"]),
        "from": moments,
    }
    if kind in (Kind.BLOCK, Kind.AMEND):
        optional |= {
            "names": written_names.map(tuple),
            "regions": st.just(("ID",)),
            "match": st.sampled_from(["exact", "subtree"]),
            "action": st.sampled_from(["nxdomain", "nodata", "refused"]),
            "until": later,
        }
    for key, strategy in optional.items():
        if draw(st.booleans()):
            answers[key] = draw(strategy)
    if "received" in answers and draw(st.booleans()):
        answers["deadline"] = draw(st.sampled_from(["30m", "24h"]))
    if kind is Kind.AMEND and draw(st.booleans()):
        answers["remove"] = ("help.blocked.example",)
    return answers


@given(orders())
def test_right_answers_make_a_right_order(answers: dict[str, Answer]) -> None:
    at = site_for(Kind(str(answers["kind"])))
    filed = right(answers, at)
    assert filed.order.legal_basis == answers["legal_basis"]
    assert questions.wrong(answers, at) == []


@given(orders())
def test_what_was_answered_so_far_is_never_called_wrong_for_what_was_not(answers: dict[str, Answer]) -> None:
    at = site_for(Kind(str(answers["kind"])))
    given_so_far: dict[str, Answer] = {}
    while question := next(
        (one for one in questions.asked(given_so_far) if one.key not in given_so_far), None
    ):
        standing = questions.default(question.key, given_so_far, at)
        given_so_far[question.key] = answers.get(question.key) or standing
        assert questions.wrong(given_so_far, at) == [], question.key


WRONG: list[tuple[dict[str, Answer], str]] = [
    ({"kind": "ban"}, "kind-unknown"),
    ({"kind": "block", "authority": ""}, "value-empty"),
    ({"kind": "block", "authority": "caf\udce9"}, "yaml-syntax"),
    ({"kind": "block", "jurisdiction": "Indonesia"}, "jurisdiction-invalid"),
    ({"kind": "block", "contact": "registry@court.example"}, "contact-invalid"),
    ({"kind": "block", "issued": "10.01.2026"}, "time-invalid"),
    ({"kind": "block", "received": "2026-01-10T12:00"}, "time-without-zone"),
    ({"kind": "block", "received": "2026-01-10", "deadline": "soon"}, "duration-invalid"),
    ({"kind": "block", "publication": "secret"}, "publication-unknown"),
    ({"kind": "block", "names": ("https://x.test/",)}, "url-not-a-name"),
    ({"kind": "block", "names": ("isp.example",)}, "protected-name"),
    ({"kind": "block", "names": ("x.test",), "except": ("x.test",)}, "under-own-except"),
    ({"kind": "block", "names": ("x.test",), "regions": ("NO",)}, "unknown-region"),
    ({"kind": "block", "names": ("x.test",), "match": "below"}, "match-unknown"),
    ({"kind": "block", "names": ("x.test",), "action": "drop"}, "action-unknown"),
    (
        {"kind": "block", "names": ("x.test",), "action": "redirect", "redirect": ("127.0.0.1",)},
        "redirect-address-invalid",
    ),
    ({"kind": "block", "names": ("x.test",), "from": "2026-02-01", "until": "2026-01-01"}, "empty-window"),
    ({"kind": "block", "names": ("x.test",), "until": "", "review_by": ""}, "missing-end"),
    ({"kind": "block", "id": "../x"}, "order-id-invalid"),
    ({"kind": "lift", "of": "b"}, "of-invalid"),
    ({"kind": "lift", "of": "a/none"}, "of-unknown"),
    ({"kind": "lift", "of": "a/b", "from": "2026-05-01"}, "of-ended"),
    ({"kind": "reinstate", "of": "a/b", "from": "2026-02-01"}, "nothing-to-reinstate"),
    ({"kind": "amend", "of": "a/b", "until": "", "review_by": ""}, "amend-empty"),
    ({"kind": "amend", "of": "a/b", "remove": ("com",)}, "bare-tld"),
]


@pytest.mark.parametrize(("answers", "id_"), WRONG, ids=[id_ for _, id_ in WRONG])
def test_a_wrong_answer_is_told_with_the_checks_own_sentence(answers: dict[str, Answer], id_: str) -> None:
    assert id_ in [problem.id for problem in questions.wrong(answers, setting(BLOCK))]


def test_beside_a_kind_that_there_is_not_nothing_else_is_told() -> None:
    answers = {**BY_KIND[Kind.BLOCK], "kind": "ban", "from": "soon"}
    assert [one.id for one in questions.wrong(answers, setting(BLOCK))] == ["kind-unknown"]


def test_answers_that_nothing_asks_for_are_named_with_what_they_belong_to() -> None:
    lift: dict[str, Answer] = {**BY_KIND[Kind.LIFT], "sha256": "0", "until": "2098-01-01", "from": ""}
    assert questions.unfit(lift) == [
        ("names", "is not for lift (it is for block, amend)"),
        ("until", "is not for lift (it is for block, suspend, amend)"),
    ]
    block: dict[str, Answer] = {**BY_KIND[Kind.BLOCK], "deadline": "1d", "redirect": ("192.0.2.80",)}
    assert questions.unfit(block) == [
        ("deadline", "goes with --received"),
        ("redirect", "goes with --action redirect"),
    ]
    assert questions.unfit(block, so_far=True) == []
    assert questions.unfit({"kind": "ban", "until": "2098-01-01"}) == []
    assert questions.unfit({"until": "2098-01-01"}) == []


def test_a_redirect_has_to_be_told_where_to() -> None:
    answers: dict[str, Answer] = {**BY_KIND[Kind.BLOCK], "action": "redirect"}
    assert [one.key for one in questions.missing(answers, setting())] == ["redirect"]


def test_an_order_that_ended_is_no_wrong_answer_before_it_is_known_from_when() -> None:
    at = setting(BLOCK.replace("until: 2026-04-10", "until: 2026-01-15"))
    lift: dict[str, Answer] = {"kind": "lift", "of": "a/b"}
    assert questions.wrong(lift, at) == []
    assert [one.id for one in questions.wrong({**lift, "from": "2026-01-20"}, at)] == ["of-ended"]


def test_the_regions_are_those_of_the_jurisdiction_or_all_of_the_site() -> None:
    nested = Setting(facts=check.Facts(regions=frozenset({"ID", "ID-JK", "GB-SCT"})), today=TODAY)
    asked: dict[str, Answer] = {"kind": "block"}
    assert questions.default("regions", {**asked, "jurisdiction": "ID"}, nested) == ("ID",)
    assert questions.default("regions", {**asked, "jurisdiction": "GB"}, nested) == ("GB",)
    assert questions.default("regions", {**asked, "jurisdiction": "FR"}, nested) == ("GB-SCT", "ID")


def test_an_open_block_is_reviewed_a_year_after_it_starts_or_after_today() -> None:
    def review(start: str) -> Answer:
        return questions.default("review_by", {"kind": "block", "from": start}, setting())

    assert review("2026-06-01T00:00:00+07:00") == "2027-06-01"
    assert review("2020-01-01") == review("soon") == "2027-01-20"


@pytest.mark.parametrize(
    ("answers", "id_"),
    [
        ({**BY_KIND[Kind.BLOCK], "names": ("www.grok.com",)}, "court-of-appeal/2026-01-20-grok"),
        ({**BY_KIND[Kind.BLOCK], "issued": "2026-01-19"}, "court-of-appeal/2026-01-19-shop"),
        ({**BY_KIND[Kind.BLOCK], "issued": "soon"}, "court-of-appeal/2026-01-20-shop"),
        ({**BY_KIND[Kind.BLOCK], "authority": "Роскомнадзор"}, "authority/2026-01-20-shop"),
        ({**BY_KIND[Kind.BLOCK], "authority": "Example Court"}, "a/2026-01-20-shop"),
        ({**BY_KIND[Kind.BLOCK], "names": ("магазин.test",)}, "court-of-appeal/2026-01-20-names"),
        (BY_KIND[Kind.LIFT], "a/2026-01-20-b-lifted"),
        (BY_KIND[Kind.SUSPEND], "a/2026-01-20-b-suspended"),
        ({"kind": "lift", "of": "", "authority": "X"}, "x/2026-01-20-lifted"),
    ],
)
def test_the_id_is_the_authority_the_date_and_what_it_is_about(answers: dict[str, Answer], id_: str) -> None:
    assert questions.filled(answers, setting(BLOCK))["id"] == id_


def test_an_id_that_is_taken_gets_a_number() -> None:
    taken = frozenset({"court-of-appeal/2026-01-20-shop", "court-of-appeal/2026-01-20-shop-2"})
    at = setting(BLOCK, taken=taken)
    assert questions.default("id", BY_KIND[Kind.BLOCK], at) == "court-of-appeal/2026-01-20-shop-3"


REDIRECT = BLOCK.replace("    regions:", '    action: {redirect: [192.0.2.1, "2001:db8::1"]}\n    regions:')
TWO = BLOCK + BLOCK.partition("directives:\n")[2].replace("id: one", "id: two").replace(
    "until: 2026-04-10", "review_by: 2027-04-10"
)


def test_an_added_directive_takes_after_the_one_it_joins() -> None:
    adds: dict[str, Answer] = {"kind": "amend", "of": "a/b", "legal_basis": ("x",), "names": ("new.test",)}
    (added,) = right(adds, setting(REDIRECT)).order.directives
    assert [str(one) for one in added.action.addresses] == ["192.0.2.1", "2001:db8::1"]
    assert added.until is not None
    assert added.until.isoformat() == "2026-04-10T00:00:00+00:00"
    (open_,) = right({**adds, "of": "a/b/two"}, setting(TWO)).order.directives
    assert open_.until is None
    (renewed,) = right({**adds, "until": "2028-01-01"}, setting(BLOCK)).order.directives
    assert renewed.until is not None
    assert renewed.until.year == 2028
    (reviewed,) = right({**adds, "of": "a/b/two", "review_by": "2029-01-01"}, setting(TWO)).order.directives
    assert reviewed.review_by is not None
    assert reviewed.review_by.year == 2029


def test_a_names_file_is_named_after_its_order_unless_it_has_a_place_of_its_own() -> None:
    sha256 = "0" * 64
    listed: dict[str, Answer] = {**BY_KIND[Kind.BLOCK], "sha256": sha256}
    del listed["names"]
    assert questions.missing(listed, setting()) == []
    assert questions.filled(listed, setting())["names_file"] == "2026-01-20-names.txt"
    assert questions.filled({**listed, "names_file": "../x.txt"}, setting())["names_file"] == "../x.txt"
    assert questions.wrong(listed, setting()) == []
    (directive,) = right(listed, setting()).order.directives
    assert directive.names_file is not None


def test_the_names_of_a_list_are_held_against_the_protected_ones() -> None:
    listed: dict[str, Answer] = {**BY_KIND[Kind.BLOCK], "sha256": "0" * 64}
    del listed["names"]
    listing, _ = names_file.parse(b"x.test\nisp.example\n", "list.txt")
    found = questions.judged(listed, setting(), listing.names)
    assert [(key, problem.id) for key, problem in found] == [("names_file", "protected-name")]


def test_a_directives_id_is_what_is_left_of_the_orders() -> None:
    named: dict[str, Answer] = {**BY_KIND[Kind.BLOCK], "id": "court/2026-01-20-Shop_2"}
    assert questions.filled(named, setting())["directive"] == "shop-2"
    assert questions.filled({**named, "id": "court/2026-01-20-..."}, setting())["directive"] == "one"


def test_every_question_is_asked_of_some_kind_and_has_a_meaning() -> None:
    assert all(one.kinds and one.meaning for one in QUESTIONS)
    assert [one.key for one in questions.asked({})] == ["kind"]


def test_a_site_without_regions_has_to_be_told_where_the_order_applies() -> None:
    nowhere = Setting(facts=check.Facts(), today=TODAY)
    assert "missing-regions" in [one.id for _, one in questions.judged(BY_KIND[Kind.BLOCK], nowhere)]
