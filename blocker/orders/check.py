"""What is wrong with orders, as far as they could be read: an ordered list of small named checks.

A check is one callable: it takes a Draft and the site's Facts and yields Problems; it must not look at other
orders (`relations` does), at files or at the clock. Names listed in a names_file are checked by
`check_list`, once they are read. Warnings don't quarantine. REGISTRY names every id that any part of
reading orders can complain with.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker import names
from blocker.errors import Problem
from blocker.orders.model import Match, NameList, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from blocker.names import Key
    from blocker.orders.keys import Keys
    from blocker.orders.model import Directive
    from blocker.orders.parse import Draft
    from blocker.site import Site
    from blocker.yamltext import Mark

REGISTRY: dict[str, str] = {
    "orders-missing": "the orders folder does not exist or can't be read",
    "too-many-files": "there are more order files than one site can have",
    "file-unreadable": "a file or folder can't be read",
    "file-not-regular": "an order file is a pipe, device or socket",
    "file-suffix": "a file is named like an order but does not end in .yaml",
    "symlink-outside": "a symbolic link leads out of the orders folder, or to a folder",
    "file-too-large": "an order file is larger than 1 MiB",
    "file-empty": "a file has no content",
    "not-utf-8": "a file is not UTF-8 text",
    "binary-file": "a file has control characters, or other line ends than LF and CR LF",
    "yaml-syntax": "a file is not YAML",
    "yaml-directive": "a file has a YAML directive",
    "yaml-documents": "a file has more than one YAML document",
    "yaml-alias": "a file has a YAML alias or anchor",
    "yaml-tag": "a file has a YAML tag",
    "yaml-too-deep": "values are nested too deep",
    "yaml-too-many-nodes": "a file has too many values",
    "duplicate-key": "a key stands twice in one mapping",
    "key-not-text": "a key is a list or mapping",
    "not-a-mapping": "something other than keys with values stands where those belong",
    "not-a-list": "something other than a list stands where one belongs",
    "not-text": "a list or mapping stands where one text belongs",
    "value-empty": "a key has no value, or a list none",
    "unknown-key": "a key is not in the format",
    "missing-key": "a required key is missing",
    "more-problems": "a file has more problems than are shown",
    "missing-kind": "an order does not say its kind",
    "kind-unknown": "a kind is none of the five",
    "key-not-for-kind": "a key belongs to another kind of order",
    "order-id-invalid": "an order id is not authority/slug",
    "id-not-path": "an order id is not its file's path below the orders folder",
    "duplicate-order-id": "two files have one order id",
    "missing-authority": "an order does not say who issued it",
    "missing-contact": "an authority has no contact where the order can be contested",
    "contact-invalid": "a contact is not mailto, https or tel",
    "jurisdiction-invalid": "a jurisdiction is not an ISO 3166 code",
    "missing-legal-basis": "an order has no legal basis",
    "missing-publication": "an order does not say who may know of it",
    "publication-unknown": "a publication is none of the three",
    "time-invalid": "a text is not a time",
    "time-without-zone": "a time has no zone",
    "time-with-fraction": "a time has a fraction of a second",
    "duration-invalid": "a text is not a duration",
    "digest-invalid": "a text is not a SHA-256",
    "deadline-without-received": "a deadline has nothing to count from",
    "document-unverified": "warning: a document is not there or has another digest",
    "missing-directives": "a block has no directives",
    "directive-id-invalid": "a directive id has other characters than a-z, 0-9 and -",
    "duplicate-directive-id": "two directives of an order have one id",
    "missing-names": "a directive names nothing",
    "missing-regions": "a directive has no regions",
    "region-invalid": "a text is not a region",
    "unknown-region": "a region has no clients at this site",
    "missing-end": "a directive has neither until nor review_by",
    "empty-window": "a window ends before it begins",
    "match-unknown": "a match is neither exact nor subtree",
    "action-unknown": "an action is none of the four",
    "redirect-without-address": "a redirect has no addresses",
    "redirect-address-invalid": "a redirect's address is none",
    "redirect-too-many-addresses": "a redirect has more than 16 addresses of IPv4, or of IPv6",
    "url-not-a-name": "a URL stands where a name belongs",
    "whitespace-in-name": "a name has a space inside",
    "email-not-a-name": "an e-mail address stands where a name belongs",
    "ip-not-a-name": "an IP address stands where a name belongs",
    "network-not-a-name": "a network stands where a name belongs",
    "path-not-a-name": "a name has a path",
    "port-not-a-name": "a name has a port",
    "wildcard-in-name": "a name has a * that is not a leading *.",
    "name-invalid": "a name is not valid in canonical form",
    "mixed-scripts": "a label has letters of scripts that look alike, such as Latin and Cyrillic",
    "bare-tld": "a name is a whole top-level domain",
    "public-suffix": "a name is a public suffix of the ICANN section",
    "protected-name": "a directive would block a protected name",
    "under-own-except": "a subject is at or below an except of its own directive",
    "except-unused": "warning: an except is not below any subject of its directive",
    "duplicate-name": "warning: a directive lists a name twice",
    "names-file-outside": "a names_file is not inside the orders folder",
    "names-file-unreadable": "a names_file can't be read",
    "names-file-too-large": "a names_file is larger than 512 MiB",
    "names-file-changed": "a names_file's octets have another digest than the order says",
    "names-file-not-a-list": "a names_file is a web page, or something else than lines of text",
    "names-file-empty": "a names_file lists no name",
    "line-too-long": "a line of a names_file is too long for a name",
    "missing-of": "an order does not say which order it is about",
    "of-invalid": "of is neither an order id nor a directive's ref",
    "amend-empty": "an amend changes nothing",
    "remove-unused": "warning: a removed name is beside every name of the directives it is removed from",
    "of-unknown": "of names no order or directive there is",
    "of-kind": "of names an order of a kind that this kind can't be about",
    "of-loop": "orders are about each other in a circle",
    "of-ended": "of names what had already ended",
    "already-lifted": "warning: a lift names what another lift had ended before",
    "continues-invalid": "a directive continues what is no directive's ref",
    "continues-unknown": "a directive continues one that the amended order has not",
    "continues-otherwise": "a directive continues one with other regions, or another action",
    "of-sealed": "warning: an amend says that people may know of it, and what it amends is sealed",
    "nothing-to-reinstate": "a reinstate finds no suspension open",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What orders are checked against: the site's regions, and the keys it refuses to block."""

    regions: frozenset[str] = frozenset()
    protected: frozenset[Key] = frozenset()

    @classmethod
    def of(cls, site: Site) -> Facts:
        """The facts of a site."""
        return cls(regions=frozenset(site.enforcement.regions), protected=frozenset(site.protected))

    def knows(self, region: str) -> bool:
        """Whether the region, or one nested in it, has clients here."""
        return any(own == region or own.startswith(f"{region}-") for own in self.regions)


def check(draft: Draft, facts: Facts) -> list[Problem]:
    """All Problems of one order by itself, its names_files left out."""
    return [problem for one in CHECKS for problem in one(draft, facts)]


def id_is_path(draft: Draft, _facts: Facts) -> Iterator[Problem]:
    """An order is found by its id."""
    if draft.order_id not in ("", draft.id):
        yield problem(
            draft,
            draft.place("order"),
            "id-not-path",
            f"the id is '{draft.order_id}' but the file's path makes it '{draft.id}'; "
            "move the file, or mend the id.",
        )


def regions_are_known(draft: Draft, facts: Facts) -> Iterator[Problem]:
    """A region without clients is a typo, or an order for another ISP."""
    for position, directive in draft.directives:
        for at, region in enumerate(directive.regions):
            if not facts.knows(region):
                known = ", ".join(sorted(facts.regions)) or "none"
                yield problem(
                    draft,
                    draft.place(draft.directives_key, position, "regions", at),
                    "unknown-region",
                    f"'{region}' is not a region of this site (it has {known}); "
                    "mend the order, or add the region's prefixes to site.yaml.",
                )


def subjects_are_free_of_excepts(draft: Draft, _facts: Facts) -> Iterator[Problem]:
    """A directive doesn't contradict itself."""
    for position, directive in draft.directives:
        cut = Cover(directive.excepts)
        for at, subject in enumerate(directive.subjects):
            if cut.has(subject):
                yield problem(
                    draft,
                    draft.place(draft.directives_key, position, "names", at),
                    "under-own-except",
                    _contradicted(subject),
                )


def names_are_not_protected(draft: Draft, facts: Facts) -> Iterator[Problem]:
    """The site refuses to block some names, out loud."""
    if not facts.protected:
        return
    protection = Protection(facts.protected)
    for position, directive in draft.directives:
        cut = Cover(directive.excepts)
        for at, subject in enumerate(directive.subjects):
            blocked = protection.blocked_by(subject.key, subject.match, cut)
            if blocked is not None:
                yield problem(
                    draft,
                    draft.place(draft.directives_key, position, "names", at),
                    "protected-name",
                    _protected(subject, blocked),
                )


def excepts_cut_something(draft: Draft, _facts: Facts) -> Iterator[Problem]:
    """An except beside every subject is most likely misspelt, and then too much is blocked."""
    for position, directive in draft.directives:
        if directive.names_file is not None:
            continue
        reach = Cover(one for one in directive.subjects if one.match is not Match.EXACT)
        for at, subject in enumerate(directive.excepts):
            if not reach.has(Subject(key=subject.key, match=Match.BELOW)):
                yield problem(
                    draft,
                    draft.place(draft.directives_key, position, "except", at),
                    "except-unused",
                    f"'{subject}' is not below any name of its directive; check its spelling, or remove it.",
                    severity="warning",
                )


def names_stand_once(draft: Draft, _facts: Facts) -> Iterator[Problem]:
    """Harmless, but the list may not be the one that was meant."""
    for position, directive in draft.directives:
        times = Counter(directive.subjects)
        twice = [subject for subject, count in times.items() if count > 1]
        if twice:
            last = max(at for at, subject in enumerate(directive.subjects) if subject == twice[0])
            others = f" and {len(twice) - 1} more" if len(twice) > 1 else ""
            yield problem(
                draft,
                draft.place(draft.directives_key, position, "names", last),
                "duplicate-name",
                f"'{twice[0]}'{others} stands more than once in its directive; once is enough.",
                severity="warning",
            )


CHECKS: tuple[Callable[[Draft, Facts], Iterator[Problem]], ...] = (
    id_is_path,
    regions_are_known,
    subjects_are_free_of_excepts,
    names_are_not_protected,
    excepts_cut_something,
    names_stand_once,
)


class Cover:
    """The names that some subjects cover."""

    def __init__(self, subjects: Iterable[Subject]) -> None:
        self._subtrees: set[Key] = set()
        self._below: set[Key] = set()
        for subject in subjects:
            (self._below if subject.match is Match.BELOW else self._subtrees).add(subject.key)

    def __bool__(self) -> bool:
        return bool(self._subtrees or self._below)

    def has(self, subject: Subject) -> bool:
        """Whether all that the subject names lies inside one of the covers."""
        above = list(names.ancestry(subject.key))
        if not self._subtrees.isdisjoint(above):
            return True
        return not self._below.isdisjoint(above if subject.match is Match.BELOW else above[:-1])

    def has_subtree(self, key: Key) -> bool:
        """Whether the name and all below it lie inside one of the covers."""
        return bool(self) and self.has(Subject(key=key))


class Protection:
    """The protected keys, ready to be asked about millions of names.

    Keys of one name are prefixes of those below it, so one look-up for each length that a protected key
    has finds what lies at or above a name.
    """

    def __init__(self, protected: Collection[Key]) -> None:
        self._protected = frozenset(protected)
        self._lengths = tuple(sorted({len(key) for key in protected}))
        self._under: dict[Key, list[Key]] = {}
        for key in sorted(protected):
            for above in list(names.ancestry(key))[:-1]:
                self._under.setdefault(above, []).append(key)

    def blocked_by(self, key: Key, match: Match, cut: Cover) -> Key | None:
        """The protected key that a subject would block in spite of its directive's excepts, if any."""
        for length in self._lengths:
            if key[:length] in self._protected and length <= len(key):
                return names.Key(key[:length])
        if match is not Match.EXACT and key in self._under:
            return next((below for below in self._under[key] if not cut.has_subtree(below)), None)
        return None


def check_list(listed: NameList, directive: Directive, facts: Facts) -> Iterator[tuple[int, str, str]]:
    """What is wrong with the names of a directive's names_file: (position, check id, message).

    Positions count through `listed.keys`, then `listed.below`.
    """
    cut = Cover(directive.excepts)
    protection = Protection(facts.protected)
    traps = facts.protected | {subject.key for subject in directive.excepts}
    before = 0
    for keys, match in ((listed.keys, directive.match), (listed.below, Match.BELOW)):
        for position in _near(keys, traps):
            key = keys.at(position)
            blocked = protection.blocked_by(key, match, cut)
            if blocked is not None:
                message = _protected(Subject(key=key, match=match), blocked)
                yield before + position, "protected-name", message
            elif cut.has(Subject(key=key, match=match)):
                yield before + position, "under-own-except", _contradicted(Subject(key=key, match=match))
        before += len(keys)


def _near(keys: Keys, traps: Collection[Key]) -> Iterator[int]:
    """The positions of the keys at, above or below one of the traps, ascending: of a list of millions hardly
    any, and nobody needs to go through the others.
    """
    spans = {(span.start, span.stop) for span in map(keys.span, traps)}
    above = {names.Key(key) for trap in traps for key in list(names.ancestry(trap))[:-1]}
    spans |= {(at, at + 1) for at in map(keys.position, above) if at < len(keys) and keys.at(at) in above}
    done = 0
    for start, stop in sorted(spans):
        yield from range(max(start, done), stop)
        done = max(done, stop)


def _contradicted(subject: Subject) -> str:
    return f"'{subject}' is at or below an except of its own directive; remove one of the two."


def _protected(subject: Subject, blocked: Key) -> str:
    name = names.to_text(blocked)
    way = (
        f"add '{name}' to the directive's except"
        if names.is_below(blocked, subject.key)
        else "remove it from the order"
    )
    return (
        f"'{subject}' would block '{name}', which this site protects; {way}, "
        "or take it off the protected list if a person so decides."
    )


def problem(draft: Draft, at: Mark, id_: str, message: str, *, severity: str = "error") -> Problem:
    """A Problem of an order at a place in its file; it quarantines the order unless it is a warning."""
    return Problem(
        id=id_,
        path=draft.path,
        line=at.line,
        column=at.column,
        message=message,
        order=draft.id,
        severity=severity,
    )
