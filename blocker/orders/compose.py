"""Answers to the text of an order file, with comments: what `blocker new` writes.

Nothing is judged here: whatever was answered is written down in such a way that YAML reads the same text
back, and `parse` and `check` say what is wrong with it. Which answer stands on a line is told with the text,
so that a Problem finds its question again. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker.orders.meanings import MEANINGS
from blocker.orders.model import Form, Kind
from blocker.orders.schema import HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Answer = str | tuple[str, ...]

_COMMENT_AT = 44
_WIDTH = 110
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*(?::[A-Za-z0-9_./+-]+)*\Z")
_PLAIN_IN_FLOW = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]*\Z")
_NOTHING = ("null", "Null", "NULL")  # YAML's own words for nothing
_KEYS = ("legal_basis", "reference", "issued", "received", "deadline", "publication")


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """The text of an order file, and for each of its lines the key of the answer there, or `""`."""

    text: str
    keys: tuple[str, ...]

    def key_at(self, line: int) -> str:
        """The key of the answer on a line; `""` if there is none."""
        return self.keys[line - 1] if 0 < line <= len(self.keys) else ""


def compose(answers: Mapping[str, Answer], *, schema: str = "") -> Composed:
    """The order file that says what was answered.

    Keys are those of the file, of the authority and of the one directive; `id` is the order's id,
    `directive` the directive's, `redirect` holds addresses, `names_file` is a file's name and `sha256` its
    digest. `schema` is the path of the schema as editors find it from the file.
    """
    sheet = _Sheet()
    if schema:
        sheet.line("", HEADER + schema)
    sheet.line("", "# Never change this file once it is applied: what changes later is an order of its own.")
    kind = answers["kind"]
    sheet.value("order", answers["id"], key="id")
    sheet.value("kind", kind)
    _envelope(sheet, answers)
    if kind != Kind.BLOCK:
        for name in ("from", "until", "review_by"):
            if name in answers:
                sheet.value(name, answers[name])
    if "names" in answers or "names_file" in answers:
        _directive(sheet, answers, "directives" if kind == Kind.BLOCK else "add")
    if "remove" in answers:
        sheet.value("remove", answers["remove"])
    return Composed(text="".join(f"{line}\n" for line in sheet.lines), keys=tuple(sheet.keys))


def _envelope(sheet: _Sheet, answers: Mapping[str, Answer]) -> None:
    if answers["kind"] != Kind.BLOCK:
        sheet.value("of", answers.get("of", ""))
    sheet.head("authority")
    for name, key in (("name", "authority"), ("jurisdiction", "jurisdiction"), ("contact", "contact")):
        sheet.value(name, answers.get(key, ""), key=key, indent=2, meaning=MEANINGS[f"authority.{name}"])
    for name in _KEYS:
        if name in answers:
            sheet.value(name, answers[name])


def _directive(sheet: _Sheet, answers: Mapping[str, Answer], key: str) -> None:
    sheet.head(key)
    sheet.value("- id", answers["directive"], key="directive", indent=2, meaning=MEANINGS["directive.id"])

    def value(name: str, answer: Answer) -> None:
        meaning = MEANINGS.get(f"directive.{name}") or MEANINGS[name]
        sheet.value(name, answer, indent=4, meaning=meaning)

    if "names_file" in answers:
        sheet.head("names_file", indent=4, meaning=MEANINGS["directive.names_file"])
        sheet.value("file", answers["names_file"], key="names_file", indent=6)
        sheet.value("sha256", answers["sha256"], indent=6)
    else:
        value("names", answers["names"])
    for name in ("match", "except"):
        if name in answers:
            value(name, answers[name])
    if "regions" in answers:
        sheet.flow("regions", answers["regions"], indent=4, meaning=MEANINGS["directive.regions"])
    if answers.get("action") == Form.REDIRECT:
        sheet.redirect(answers.get("redirect", ()))
    elif "action" in answers:
        value("action", answers["action"])
    # An added directive has a window of its own.
    own = {"from": "from", "until": "add_until", "review_by": "add_review_by"}
    for name in ("from", "until", "review_by"):
        answer = answers.get(own[name] if key == "add" else name)
        if answer is not None:
            value(name, answer)


@dataclass(slots=True)
class _Sheet:
    """The file while it is written."""

    lines: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def line(self, key: str, text: str, comment: str = "") -> None:
        noted = f"{text.ljust(_COMMENT_AT)}  # {comment}"
        if comment and len(noted) > _WIDTH:
            indent = text[: len(text) - len(text.lstrip(" -"))].replace("-", " ")
            self.line("", f"{indent}# {comment}")
        self.lines.append(noted if comment and len(noted) <= _WIDTH else text)
        self.keys.append(key)

    def head(self, name: str, *, indent: int = 0, meaning: str = "") -> None:
        self.line(name, f"{' ' * indent}{name}:", meaning or MEANINGS[name])

    def value(self, name: str, answer: Answer, *, key: str = "", indent: int = 0, meaning: str = "") -> None:
        key = key or name
        comment = meaning or MEANINGS.get(name, "")
        if isinstance(answer, str):
            self.line(key, f"{' ' * indent}{name}: {quoted(answer)}", comment)
            return
        self.line(key, f"{' ' * indent}{name}:", comment)
        for item in answer:
            self.line(key, f"{' ' * indent}  - {quoted(item)}")

    def flow(self, name: str, answer: Answer, *, indent: int, meaning: str) -> None:
        self.line(name, f"{' ' * indent}{name}: {_listed(answer)}", meaning)

    def redirect(self, addresses: Answer) -> None:
        text = f"    action: {{redirect: {_listed(addresses)}}}"
        self.line("redirect", text, MEANINGS["directive.action"])


def _listed(answer: Answer) -> str:
    items: Sequence[str] = (answer,) if isinstance(answer, str) else answer
    return (
        f"[{', '.join(item if _PLAIN_IN_FLOW.match(item) else quoted(item, force=True) for item in items)}]"
    )


def quoted(text: str, *, force: bool = False) -> str:
    """The text as a YAML scalar: as it is where nothing else could be read in it, else in double quotes."""
    if not force and _PLAIN.match(text) and text not in _NOTHING:
        return text
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    number = ord(char)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
