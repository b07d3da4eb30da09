"""Questions at a terminal: one at a time, judged at once, asked again with the check's own sentence."""

from __future__ import annotations

import re
import sys
import textwrap
from datetime import datetime
from typing import TYPE_CHECKING

import click

from blocker.orders import questions
from blocker.orders.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from blocker.errors import Problem
    from blocker.orders.compose import Answer
    from blocker.orders.model import Order
    from blocker.orders.questions import Question, Setting

TIMES = ("issued", "received", "from", "until", "review_by")
_WORDS = ("names", "except", "remove", "regions", "redirect")  # Of these no answer has a comma or a space.
_BACK = "<"
_MOST_SHOWN = 12
_MOST_LOOKED_AT = 60
_WIDTH = 78


def timed(key: str, answer: Answer) -> Answer:
    """The answer, with the present instant for `now` where a time is asked for."""
    if key in TIMES and answer == "now":
        return datetime.now().astimezone().replace(microsecond=0).isoformat()
    return answer


def flagged(found: Iterable[Problem]) -> list[tuple[str, Problem]]:
    """Problems that need no place, for what was given is seen on the command line."""
    return [("", problem) for problem in found]


def tell(found: Iterable[tuple[str, Problem]]) -> bool:
    """Say what is wrong; whether something is, and not only worth a warning."""
    is_wrong = False
    for _, problem in found:
        is_error = problem.severity == "error"
        is_wrong = is_wrong or is_error
        sentence = f"{'' if is_error else 'warning: '}{problem.id}: {problem.message}"
        if sys.stderr.isatty():
            lines = textwrap.wrap(sentence, _WIDTH - 2, break_on_hyphens=False, break_long_words=False)
            sentence = "\n".join(f"  {line}" for line in lines)
        click.echo(sentence, err=True)
    return is_wrong


def ask(answers: MutableMapping[str, Answer], setting: Setting) -> None:
    """Ask for all that isn't answered yet."""
    _say(
        "Enter takes what stands in [ ], < goes back to the question before, "
        "Ctrl-C stops with nothing written."
    )
    asked: list[str] = []
    offered: list[str] = []
    while (question := _next(answers)) is not None:
        click.echo(err=True)
        _say(f"{question.key.replace('_', ' ')}: {question.meaning}")
        if question.key == "of":
            offered = _offer(answers, setting)
        standing = questions.default(question.key, answers, setting)
        answer = _several(question, answers, setting, standing) if question.is_list else _line(standing)
        if answer is None:
            if asked:
                del answers[asked.pop()]
            continue
        if question.key == "of" and str(answer).isdecimal() and 0 < int(str(answer)) <= len(offered):
            answer = offered[int(str(answer)) - 1]
        answers[question.key] = timed(question.key, answer)
        is_left_out = not answer and answers["kind"] in question.must
        if is_left_out:
            _say("it can't be left out.")
        if is_left_out or tell(flagged(questions.wrong(answers, setting))):
            del answers[question.key]
            continue
        asked.append(question.key)
    click.echo(err=True)


def _next(answers: MutableMapping[str, Answer]) -> Question | None:
    given = answers.keys() | ({"names"} if "sha256" in answers else set())
    return next((one for one in questions.asked(answers) if one.key not in given), None)


def _say(text: str) -> None:
    click.echo("\n".join(textwrap.wrap(text, _WIDTH, break_on_hyphens=False)), err=True)


def _line(standing: Answer, lead: str = " ") -> str | None:
    """One line as it was typed, or what stands; None to go back."""
    shown = standing if isinstance(standing, str) else ", ".join(standing)
    typed = click.prompt(
        f"{lead} [{shown}]" if shown else lead,
        default="",
        show_default=False,
        prompt_suffix=" > ",
        err=True,
    )
    text = str(typed).strip()
    if text == _BACK:
        return None
    return text or (standing if isinstance(standing, str) else "")


def _several(
    question: Question, answers: MutableMapping[str, Answer], setting: Setting, standing: Answer
) -> Answer | None:
    """Answers one a line until an empty one, each judged at once; None to go back."""
    if not standing:
        _say("(one a line; an empty line ends)")
    found: tuple[str, ...] = ()
    while True:
        line = _line("" if found else ", ".join(standing), lead=f" {len(found) + 1}" if found else " ")
        if line is None:
            return None
        if not line or (not found and standing and line == ", ".join(standing)):
            return found or standing or ()
        more = tuple(re.split(r"[,\s]+", line.strip(", "))) if question.key in _WORDS else (line,)
        tried = {**answers, question.key: (*found, *more)}
        if not tell(flagged(questions.wrong(tried, setting))):
            found = (*found, *more)


def _offer(answers: MutableMapping[str, Answer], setting: Setting) -> list[str]:
    """The latest orders that this one can be about, shown with numbers."""
    latest = sorted((one.order for one in setting.known.values()), key=lambda one: one.issued, reverse=True)
    fit: list[str] = []
    for order in latest[:_MOST_LOOKED_AT]:
        if len(fit) < _MOST_SHOWN and not questions.wrong(_about(answers, order), setting):
            fit.append(order.id)
            click.echo(f"  {len(fit):2}  {order.id} ({_told(order)})"[:_WIDTH], err=True)
    if not fit:
        _say("(no order here is one that this kind can be about now)")
    elif len(setting.known) > len(fit):
        _say("(a number, or the id of another order, or of one directive: id/directive)")
    return fit


def _about(answers: MutableMapping[str, Answer], order: Order) -> dict[str, Answer]:
    """The answers, as if this one were about the order from now on."""
    now = str(timed("from", "now"))
    return {
        **answers,
        "of": order.id,
        "from": now,
        **({"until": ""} if answers["kind"] == Kind.SUSPEND else {}),
    }


def _told(order: Order) -> str:
    if order.of:
        return f"{order.kind} of {order.of}"
    return f"{order.kind} by {order.authority.name}"
