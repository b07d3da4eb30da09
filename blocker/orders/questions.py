"""What is asked of whoever writes an order: which questions, in which order, and what stands unanswered.

No rule of the format stands here. After each answer the whole order is composed, with what is still to come
filled in, and parsed and checked as any file is; what those complain of, at an answer already given, is what
was wrong with it. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from blocker.errors import Problem
from blocker.fields import Rejected, moment
from blocker.orders import check, parse, relations
from blocker.orders.compose import Answer, Composed, compose
from blocker.orders.meanings import MEANINGS
from blocker.orders.model import Form, Kind, Match, Publication
from blocker.yamltext import MAX_PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from blocker.orders.model import Directive, NameList, Order
    from blocker.orders.parse import Filed

_REVIEW_AFTER = timedelta(days=365)
_OTHERS = tuple(kind for kind in Kind if kind is not Kind.BLOCK)
_DONE = {
    Kind.SUSPEND: "suspended",
    Kind.REINSTATE: "reinstated",
    Kind.LIFT: "lifted",
    Kind.AMEND: "amended",
}
# Complaints that stand at one key, or at none, and are about the answer to another.
_ABOUT = {
    "of-ended": "from",
    "nothing-to-reinstate": "from",
    "amend-empty": "review_by",
    "missing-end": "review_by",
    "missing-names": "names",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where an order is written: the site's facts, the orders that are there, today, the orders folder."""

    facts: check.Facts
    known: Mapping[str, Filed] = field(default_factory=dict)
    today: date
    folder: str = "orders"
    schema: str = ""
    taken: Collection[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question. `kinds` are those it is asked for; `must` says that a pipe has to bring its answer.

    `asked` says whether it makes sense beside the answers given, `beside` which flag it needs for that;
    `is_list` that it takes several.
    """

    key: str
    meaning: str
    kinds: tuple[Kind, ...] = tuple(Kind)
    must: tuple[Kind, ...] = ()
    is_list: bool = False
    asked: Callable[[Mapping[str, Answer]], bool] = lambda _answers: True
    beside: str = ""


def _adds(answers: Mapping[str, Answer]) -> bool:
    return answers["kind"] == Kind.BLOCK or bool(answers.get("names") or answers.get("sha256"))


_WITH_NAMES = (Kind.BLOCK, Kind.AMEND)

QUESTIONS: tuple[Question, ...] = (
    Question(key="kind", meaning=MEANINGS["kind"], must=tuple(Kind)),
    Question(key="of", meaning=MEANINGS["of"], kinds=_OTHERS, must=_OTHERS),
    Question(key="authority", meaning=MEANINGS["authority.name"], must=tuple(Kind)),
    Question(key="jurisdiction", meaning=MEANINGS["authority.jurisdiction"], must=tuple(Kind)),
    Question(key="contact", meaning=MEANINGS["authority.contact"], must=tuple(Kind)),
    Question(key="legal_basis", meaning=MEANINGS["legal_basis"], must=tuple(Kind), is_list=True),
    Question(key="reference", meaning=MEANINGS["reference"]),
    Question(key="issued", meaning=MEANINGS["issued"]),
    Question(key="received", meaning=MEANINGS["received"]),
    Question(
        key="deadline",
        meaning=MEANINGS["deadline"],
        asked=lambda answers: bool(answers.get("received")),
        beside="--received",
    ),
    Question(key="publication", meaning=MEANINGS["publication"], must=tuple(Kind)),
    Question(
        key="names",
        meaning=MEANINGS["directive.names"],
        kinds=(Kind.BLOCK,),
        must=(Kind.BLOCK,),
        is_list=True,
    ),
    Question(
        key="names",
        meaning="names that join the amended order, with all below them; *.name is only what is below",
        kinds=(Kind.AMEND,),
        is_list=True,
    ),
    Question(
        key="except",
        meaning=MEANINGS["directive.except"],
        kinds=_WITH_NAMES,
        is_list=True,
        asked=_adds,
        beside="NAME",
    ),
    Question(
        key="regions",
        meaning=MEANINGS["directive.regions"],
        kinds=_WITH_NAMES,
        is_list=True,
        asked=_adds,
        beside="NAME",
    ),
    Question(key="match", meaning=MEANINGS["directive.match"], kinds=_WITH_NAMES, asked=_adds, beside="NAME"),
    Question(
        key="action",
        meaning="nxdomain, nodata, refused or redirect",
        kinds=_WITH_NAMES,
        asked=_adds,
        beside="NAME",
    ),
    Question(
        key="redirect",
        meaning="the addresses to redirect to",
        kinds=_WITH_NAMES,
        must=_WITH_NAMES,
        is_list=True,
        asked=lambda answers: _adds(answers) and answers.get("action") == Form.REDIRECT,
        beside="--action redirect",
    ),
    Question(key="remove", meaning=MEANINGS["remove"], kinds=(Kind.AMEND,), is_list=True),
    Question(key="from", meaning=MEANINGS["from"]),
    Question(key="until", meaning=MEANINGS["until"], kinds=(Kind.BLOCK, Kind.SUSPEND, Kind.AMEND)),
    Question(
        key="review_by",
        meaning=MEANINGS["review_by"],
        kinds=(Kind.BLOCK, Kind.AMEND),
        asked=lambda answers: not answers.get("until"),
    ),
    Question(key="id", meaning=MEANINGS["order"]),
)


def asked(answers: Mapping[str, Answer]) -> Iterator[Question]:
    """The questions that make sense beside the answers given, in their order."""
    kind = answers.get("kind", "")
    for question in QUESTIONS:
        if question.key == "kind" or (kind in question.kinds and question.asked(answers)):
            yield question


def missing(answers: Mapping[str, Answer], setting: Setting) -> list[Question]:
    """What must be answered, and is not, and has no answer in the order that this one is about."""
    inherited = _inherited(answers, setting)
    return [
        one
        for one in asked({"kind": Kind.BLOCK, **answers})
        if answers.get("kind", Kind.BLOCK) in one.must
        and one.key not in answers
        and one.key not in inherited
        and not (one.key == "names" and "sha256" in answers)
    ]


def unfit(answers: Mapping[str, Answer], *, so_far: bool = False) -> list[tuple[str, str]]:
    """The answers that would change nothing, for no question asks for them, and why; those of a kind that
    there is. `so_far` leaves out what a later answer can make fit.
    """
    kind = answers.get("kind")
    if kind not in tuple(Kind):
        return []
    given = {"names" if key == "sha256" else key for key, answer in answers.items() if answer}
    found: list[tuple[str, str]] = []
    for key in dict.fromkeys(one.key for one in QUESTIONS if one.key in given - _taken(answers)):
        forms = [one for one in QUESTIONS if one.key == key]
        kinds = [each for each in Kind if any(each in one.kinds for one in forms)]
        if kind not in kinds:
            found.append((key, f"is not for {kind} (it is for {', '.join(kinds)})"))
        elif not so_far:
            found.append((key, f"goes with {forms[0].beside}"))
    return found


def _taken(answers: Mapping[str, Answer]) -> set[str]:
    """The keys of answers that have a place in the order."""
    keys = {one.key for one in asked(answers)}
    # Where an end is given a review isn't asked for, and may be there all the same.
    return keys | {"review_by"} if answers.get("kind") in _WITH_NAMES else keys


def default(key: str, answers: Mapping[str, Answer], setting: Setting) -> Answer:
    """What stands if the question is not answered; empty where nothing does."""
    if key in (inherited := _inherited(answers, setting)):
        return inherited[key]
    match key:
        case "kind":
            return str(Kind.BLOCK)
        case "issued" | "from":
            return setting.today.isoformat()
        case "publication":
            return str(Publication.PUBLIC)
        case "regions":
            return _regions(answers, setting)
        case "match":
            return str(Match.SUBTREE)
        case "action":
            return str(Form.REDIRECT if answers.get("redirect") else Form.NXDOMAIN)
        case "review_by" if answers.get("kind") == Kind.BLOCK:
            return _a_year_after(answers, setting)
        case "id":
            return _order_id(answers, setting)
    return ""


def filled(answers: Mapping[str, Answer], setting: Setting) -> dict[str, Answer]:
    """The answers with what stands where none was given; only keys that have something to say."""
    found = {key: answer for key, answer in answers.items() if answer}
    for question in asked(found):
        if question.key not in answers and (answer := default(question.key, found, setting)):
            found[question.key] = answer
    keys = _taken(found) | {"names_file", "sha256"}
    found = {key: answer for key, answer in found.items() if key in keys}
    found.setdefault("id", _order_id(found, setting))
    if "sha256" in found:  # A list is named after its order, unless it is there under a name of its own.
        found.setdefault("names_file", f"{str(found['id']).rpartition('/')[2]}.txt")
    found["directive"] = _directive_id(str(found["id"]))
    if found["kind"] == Kind.AMEND and _adds(found):
        found |= _end_of_added(found, setting)
    return found


def written(answers: Mapping[str, Answer], setting: Setting) -> Composed:
    """The order file."""
    return compose(filled(answers, setting), schema=setting.schema)


def judged(
    answers: Mapping[str, Answer], setting: Setting, listing: NameList | None = None
) -> list[tuple[str, Problem]]:
    """All that `check` has against the order as it would be written, each with the key of its answer.

    `listing` are the names of its names_file.
    """
    return _judged(filled(answers, setting), setting, listing)


def wrong(answers: Mapping[str, Answer], setting: Setting) -> list[Problem]:
    """What `check` has against the answers given so far, whatever the others will be."""
    full = filled({**_STAND_INS, **answers}, setting)
    if full["kind"] == Kind.BLOCK and "names" not in full and "sha256" not in full:
        full["names"] = ("stand-in.example",)
    found = _judged(full, setting)
    # Of a kind that there is not, nobody can say what else is wrong.
    said = answers.keys() if full["kind"] in tuple(Kind) else {"kind"}
    return [problem for key, problem in found if key in said and problem.severity == "error"]


# Something right, where nothing was answered yet.
_STAND_INS: dict[str, Answer] = {
    "kind": "block",
    "authority": "…",
    "jurisdiction": "ZZ",
    "contact": "mailto:…@example",
    "legal_basis": ("…",),
}


def _judged(
    full: Mapping[str, Answer], setting: Setting, listing: NameList | None = None
) -> list[tuple[str, Problem]]:
    composed = compose(full, schema=setting.schema)
    id_ = str(full["id"])
    draft, problems = parse.draft(composed.text.encode(), path=f"{setting.folder}/{id_}.yaml", id_=id_)
    if draft is not None:
        problems += check.check(draft, setting.facts)
    if isinstance(draft, parse.Filed):
        others = [one for one in setting.known.values() if one.id != id_]
        problems += [one for one in relations.judge([*others, draft]) if one.order == id_]
        if listing is not None:
            line = composed.keys.index("names_file") + 1
            found = check.check_list(listing, draft.order.directives[0], setting.facts)
            problems += [
                Problem(id=complaint, path=draft.path, line=line, column=1, message=message)
                for _, complaint, message in islice(found, MAX_PROBLEMS)
            ]
    return [(_ABOUT.get(one.id) or composed.key_at(one.line), one) for one in problems]


def _inherited(answers: Mapping[str, Answer], setting: Setting) -> dict[str, Answer]:
    """What an order about another takes from it, or one of a known authority from its last."""
    target = _target(answers, setting)
    if target is None:
        last = _last_of(str(answers.get("authority", "")), setting)
        if last is None:
            return {}
        return {"jurisdiction": last.authority.jurisdiction, "contact": last.authority.contact}
    found: dict[str, Answer] = {
        "authority": target.authority.name,
        "jurisdiction": target.authority.jurisdiction,
        "contact": target.authority.contact,
        "publication": str(target.publication),
    }
    directive = _amended(answers, setting)
    if directive is not None:
        found["regions"] = directive.regions
        found["match"] = str(directive.match)
        found["action"] = str(directive.action.form)
        if directive.action.addresses:
            found["redirect"] = tuple(map(str, directive.action.addresses))
    return found


def _target(answers: Mapping[str, Answer], setting: Setting) -> Order | None:
    of = str(answers.get("of", ""))
    filed = setting.known.get(relations.order_of(of))
    return filed.order if filed is not None else None


def _amended(answers: Mapping[str, Answer], setting: Setting) -> Directive | None:
    """The directive that an added one takes after: the one that is named, or the order's first."""
    target = _target(answers, setting)
    if target is None or answers.get("kind") != Kind.AMEND:
        return None
    named = [one for one in target.directives if answers.get("of") == f"{target.id}/{one.id}"]
    return next(iter([*named, *target.directives]), None)


def _last_of(name: str, setting: Setting) -> Order | None:
    own = [one.order for one in setting.known.values() if one.order.authority.name == name]
    return max(own, key=relations.came, default=None)


def _regions(answers: Mapping[str, Answer], setting: Setting) -> tuple[str, ...]:
    """The jurisdiction's where it has customers here, else all there are, without those inside others."""
    jurisdiction = str(answers.get("jurisdiction", ""))
    if setting.facts.knows(jurisdiction):
        return (jurisdiction,)
    known = setting.facts.regions
    return tuple(sorted(one for one in known if not any(one.startswith(f"{other}-") for other in known)))


def _instant(answer: Answer | None) -> datetime | None:
    try:
        return moment(str(answer))
    except Rejected:
        return None


def _a_year_after(answers: Mapping[str, Answer], setting: Setting) -> str:
    today = datetime(setting.today.year, setting.today.month, setting.today.day, tzinfo=UTC)
    start = _instant(answers.get("from")) or today
    return (max(start, today) + _REVIEW_AFTER).date().isoformat()


def _end_of_added(answers: Mapping[str, Answer], setting: Setting) -> dict[str, Answer]:
    """The end of an added directive: that of the amend, or of the directive it takes after, or a review."""
    if "until" in answers:
        return {"add_until": answers["until"]}
    like = _amended(answers, setting)
    start = _instant(answers["from"])
    if like is not None and like.until is not None and (start is None or like.until > start):
        return {"add_until": like.until.isoformat()}
    if "review_by" in answers:
        return {"add_review_by": answers["review_by"]}
    return {"add_review_by": _a_year_after(answers, setting)}


def _order_id(answers: Mapping[str, Answer], setting: Setting) -> str:
    """authority/date-slug, and a number where that is taken."""
    last = _last_of(str(answers.get("authority", "")), setting)
    authority = last.id.partition("/")[0] if last else slug(str(answers.get("authority", ""))) or "authority"
    issued = _instant(answers.get("issued"))
    day = issued.date().isoformat() if issued else setting.today.isoformat()
    id_ = f"{authority}/{day}-{_subject(answers)}"
    number = 2
    while id_ in setting.known or id_ in setting.taken:
        id_ = f"{authority}/{day}-{_subject(answers)}-{number}"
        number += 1
    return id_


def _subject(answers: Mapping[str, Answer]) -> str:
    kind = answers.get("kind")
    if kind in _DONE:
        about = relations.order_of(str(answers.get("of", ""))).partition("/")[2]
        about = re.sub(r"^\d{4}-\d{2}-\d{2}-", "", about)
        return "-".join(part for part in (slug(about), _DONE[Kind(str(kind))]) if part)
    names = answers.get("names") or ()
    first = names if isinstance(names, str) else next(iter(names), "")
    labels = first.lower().removeprefix("*.").removeprefix("www.").split(".")
    return slug(labels[0]) or "names"


def slug(text: str) -> str:
    """The text as a part of an id: what is left of it in a-z, 0-9 and hyphens."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower())[:48].strip("-")


def _directive_id(order_id: str) -> str:
    return slug(re.sub(r"^\d{4}-\d{2}-\d{2}-", "", order_id.rpartition("/")[2])) or "one"
