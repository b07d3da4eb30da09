"""One import: a document becomes an order file, or nothing does.

A shell around formats, contract, difference and mint. It writes into the orders folder and never applies:
plan and apply follow, with all that they hold back. A document that breaks a promise of its feed makes no
order.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from blocker import bounded, names
from blocker.errors import OrdersInvalid, Problem, StoreError
from blocker.feeds import contract, feedsfile, formats, mint
from blocker.feeds.difference import Difference, difference
from blocker.feeds.extract import BELOW, ONLY, Damaged
from blocker.feeds.family import continued, family, is_own
from blocker.orders import check, files, filing, parse
from blocker.orders.model import Kind, Match, instant
from blocker.orders.schedule import Book
from blocker.policy.examine import live_policy
from blocker.yamltext import MAX_PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from blocker.feeds.contract import Feed
    from blocker.feeds.extract import Extract
    from blocker.feeds.family import Continued, Family
    from blocker.feeds.mint import Source
    from blocker.orders.model import Directive, Order
    from blocker.site import Site

_DOCUMENT = bounded.Words(
    unreadable="document-unverified",
    irregular="document-unverified",
    large="document-unverified",
    too_large="the file is larger than 512 MiB.",
)
_MODE = 0o640  # Not everything that authorities send may be read by everybody.

NO_CHANGE = Difference()


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import found: the `ids` of the orders and their `files` by name, none if nothing changed or the
    document is wrong; what it was made of, and every Problem. `accepted` are the checks that a person waived,
    `left_out` those of the Problems that are about rows of a document that is taken without them.
    """

    feed: Feed
    source: Source
    extract: Extract | None = None
    change: Difference = NO_CHANGE
    ids: tuple[str, ...] = ()
    files: Mapping[str, bytes]
    problems: tuple[Problem, ...] = ()
    accepted: tuple[str, ...] = ()
    left_out: tuple[Problem, ...] = ()

    @property
    def is_refused(self) -> bool:
        """Whether the document was not taken."""
        return any(one.severity == "error" and one not in self.left_out for one in self.problems)

    @property
    def is_waiting(self) -> bool:
        """Whether what was left out may come in though the document stays, so that it must be read again:
        what it says of a time to come, and names that this site protects now.
        """
        return any(one.id in ("feed-later", "protected-name") for one in self.left_out)


def make(
    site: Site, feed: Feed, source: Source, *, accept: str = "", reason: str = "", words: str = ""
) -> Imported:
    """The order that the document makes of this feed, not written yet. Raises OrdersInvalid, StoreError.

    `accept` is the digest of a document that a person looked at: it lets that one past what is WAIVABLE.
    `words` are what was given beside the feed's name, for a command that can be copied.
    """
    nothing = Imported(feed=feed, source=source, files={})
    try:
        _check_accepted(source, accept)
        extract = formats.read(feed.format, source.octets, feed.match, at=source.at)
    except Damaged as damaged:
        return replace(nothing, problems=(_damage(feed, source, damaged),))
    if feed.until is not None and feed.until.timestamp() <= source.at:
        return replace(nothing, problems=(_ended(feed),), extract=extract)
    applied = live_policy(site.state).orders
    loaded = files.load(site.orders, check.Facts.of(site), known=applied.items())
    if (broken := _broken(feed, loaded, applied)) is not None:
        return replace(nothing, problems=(broken,), extract=extract)
    known = family(
        (one.order for one in loaded.filed.values()), feed.folder, feed.name, loaded.read, now=source.at
    )
    if known is not None and known.is_over:
        return replace(nothing, problems=(_over(feed, known),), extract=extract)
    if known is not None and known.ahead:
        return replace(nothing, problems=(_ahead(feed, known.ahead[0], site, applied),), extract=extract)
    before = known.listed if known is not None else frozenset()
    whole = extract
    extract, protected = _without_protected(extract, before, feed, site)
    change = difference(
        before,
        extract,
        known.withdrawn if known is not None else frozenset(),
        others=known.others if known is not None else frozenset(),
        keeps_absent=feed.keeps_absent,
    )
    last = _last(feed, site, known)
    found = contract.judge(
        feed,
        whole,
        change,
        last,
        len(before),
        at=source.at,
        has_end=formats.FORMATS[feed.format].has_end,
    )
    found = [replace(one, path=source.place) for one in found]
    waived = [one for one in found if accept and one.id in contract.WAIVABLE]
    is_waivable = all(one.id in contract.WAIVABLE for one in found)
    wrong = [
        _with_way_out(one, feed, source, words if is_waivable else None) for one in found if one not in waived
    ]
    left_out = (*([] if wrong else contract.left_out(whole, source.place)), *protected)
    result = replace(
        nothing,
        extract=extract,
        change=change,
        accepted=tuple(one.id for one in waived),
        left_out=left_out,
        problems=(
            *wrong,
            *left_out,
            *contract.warnings(feed, change),
            *(_envelope(feed, known) if known is not None else _left_behind(site, feed, loaded)),
        ),
    )
    if wrong or not change:
        return result
    again = continued(known, change.again, loaded.read) if known is not None else []
    return _checked(_minted(result, known, again, reason), site)


def _minted(result: Imported, known: Family | None, again: Sequence[Continued], reason: str) -> Imported:
    feed, source, extract = result.feed, result.source, result.extract
    if extract is None:  # There is one where there is nothing wrong.
        raise ValueError("nothing to mint")
    counted = ", ".join(f"{count:,} {kind}" for kind, count in extract.counts.items())
    remarks = [f"Not names, and not blocked: {counted}."] if counted else []
    if result.accepted:
        remarks.append(f"Accepted though {', '.join(result.accepted)}: {reason}")
    if known is None:
        made = {mint.block_id(feed, source.at): mint.block(feed, source, extract, remarks)}
    else:
        made = mint.amends(feed, source, extract, result.change, known.block.id, remarks, again=again)
    every = {name: octets for files_ in made.values() for name, octets in files_.items()}
    return replace(result, ids=tuple(made), files=every)


def _checked(made: Imported, site: Site) -> Imported:
    """The import, and no order of it if one of them is not what `check` takes."""
    wrong = []
    for id_ in made.ids:
        found, problems = parse.draft(made.files[_file(id_)], path=f"{id_}.yaml", id_=id_)
        if found is not None and not problems:
            problems = check.check(found, check.Facts.of(site))
        wrong += [one for one in problems if one.severity == "error"]
    if not wrong:
        return made
    told = Problem(
        id="feed-order-wrong",
        path=made.feed.name,
        message=f"the order that it makes would be refused: {wrong[0].id}: {wrong[0].message} Mend the feed "
        "in feeds.yaml.",
    )
    return replace(made, ids=(), files={}, problems=(told, *made.problems))


def _file(id_: str) -> str:
    """The name of an order's file."""
    return f"{id_.rpartition('/')[2]}.yaml"


def write(site: Site, made: Imported) -> None:
    """Put the files of an import into the orders folder, one order after the other: if it ends between two of
    them, the next import makes the other. Raises OrdersInvalid, StoreError.
    """
    folder = site.orders / made.feed.folder
    for path in (folder / _file(id_) for id_ in made.ids):
        if path.exists():
            raise OrdersInvalid(
                [
                    Problem(
                        id="feed-order-exists",
                        path=bounded.printable(path),
                        message="the order is there already; import again a second later.",
                    )
                ]
            )
    beside: dict[str, bytes] = {}
    orders = {_file(id_): id_ for id_ in made.ids}
    try:
        for name, octets in made.files.items():
            if name not in orders:
                beside[name] = octets
                continue
            _clear(folder / name, beside)
            filing.place(site.orders, orders[name], octets, beside, mode=_MODE)
            beside = {}
    except OSError as error:
        raise StoreError(f"{folder}: the order can't be written: {error.strerror}") from error


def _clear(order: Path, beside: Mapping[str, bytes]) -> None:
    """Remove what an import that was killed left beside no order: files of these names that no order names.
    Raises OSError.
    """
    left = [path for name in beside if (path := order.with_name(name)).is_file() and not path.is_symlink()]
    if not left or order.parent.is_symlink():
        return
    written = b"\n".join(one.read_bytes() for one in order.parent.glob("*.yaml") if one.is_file())
    for path in left:
        if path.name.encode() not in written:
            path.unlink()


def _check_accepted(source: Source, accept: str) -> None:
    if accept and accept != source.digest:
        raise Damaged(
            "feed-accept-other",
            f"the document is {source.digest} and {accept[:16]}… was accepted; look at it again.",
        )


def _damage(feed: Feed, source: Source, damaged: Damaged) -> Problem:
    return Problem(
        id=damaged.id,
        path=source.place,
        line=damaged.line,
        column=min(damaged.line, 1),
        message=f"{damaged} The last good document of '{feed.name}' stands.",
    )


def _with_way_out(problem: Problem, feed: Feed, source: Source, words: str | None) -> Problem:
    way = (
        f" If a person found it right: `blocker import {feed.name}{words} --accept {source.digest} "
        "--reason TEXT`."
        if words is not None
        else f" The last good document of '{feed.name}' stands."
    )
    return replace(problem, message=problem.message + way)


def _broken(feed: Feed, loaded: files.Loaded, applied: Mapping[str, str]) -> Problem | None:
    """What is wrong with the feed's own orders: problems, or files that are not what was applied."""
    wrong = {id_ for id_ in loaded.quarantined | loaded.broken if is_own(id_, feed.folder, feed.name)}
    wrong |= {
        id_
        for id_, digest in applied.items()
        if is_own(id_, feed.folder, feed.name)
        and (id_ not in loaded.filed or loaded.filed[id_].order.digest != digest)
    }
    if not wrong:
        return None
    return Problem(
        id="feed-orders-broken",
        path=feed.name,
        message=f"'{min(wrong)}', which an import of this feed made, has problems, is gone or was changed, "
        "so "
        "what it lists is unknown; mend it as `blocker check` says, or restore it.",
    )


def _ended(feed: Feed) -> Problem:
    return Problem(
        id="feed-order-ended",
        path=feed.name,
        message=f"its 'until' is over ({feed.until}), so an order of it would never hold; mend it in "
        "feeds.yaml.",
    )


def _over(feed: Feed, known: Family) -> Problem:
    return Problem(
        id="feed-order-ended",
        path=feed.name,
        message=f"'{known.block.id}' has ended, so nothing can be added to it. If the list is to hold again, "
        "a person must decide so: give the feed another name in feeds.yaml, and it starts a new order.",
    )


def _ahead(feed: Feed, order: Order, site: Site, applied: Mapping[str, str]) -> Problem:
    way = (
        f"`blocker new --kind lift --of {order.id}` with a 'from' that is not later than its own, then apply"
        if order.id in applied
        else "remove that file, which is not applied"
    )
    return Problem(
        id="feed-order-ahead",
        path=bounded.printable(site.orders / f"{order.id}.yaml"),
        message=f"this order of '{feed.name}' is yet to begin ({order.issued:%Y-%m-%dT%H:%M:%SZ}): the clock "
        "was ahead when it was made, or is behind now. Nothing is imported meanwhile; set the clock right, "
        f"{way} and import again.",
    )


def _envelope(feed: Feed, known: Family) -> list[Problem]:
    """What feeds.yaml says otherwise than the feed's block, which stands as it was written."""
    block = known.block
    said = {
        "authority": block.authority != feed.authority,
        "legal_basis": block.legal_basis != feed.legal_basis,
        "reference": not block.reference.startswith(f"{feed.reference or feed.name}, "),
        "deadline": block.deadline != (timedelta(seconds=feed.deadline) if feed.deadline else None),
        "publication": block.publication != feed.publication,
        "regions": any(set(one.regions) != set(feed.regions) for one in block.directives),
        "action": any(one.action != feed.action for one in block.directives),
        "until": any(one.until != feed.until for one in block.directives),
        "review_after": any(_review(one) != feed.review_after for one in block.directives),
    }
    other = [key for key, is_other in said.items() if is_other]
    if not other:
        return []
    return [
        Problem(
            id="feed-envelope-changed",
            path=feed.name,
            message=f"feeds.yaml has another {', '.join(other)} than '{block.id}', which keeps its own, as "
            "its amends so far do; only later ones have the new. If it is to hold for all names, give the "
            "feed another name, import it, and lift the old block: "
            f"`blocker new --kind lift --of {block.id}`.",
            severity="warning",
        )
    ]


def _review(directive: Directive) -> int:
    end = directive.review_by
    return 0 if end is None else instant(end) - instant(directive.start)


def _left_behind(site: Site, feed: Feed, loaded: files.Loaded) -> list[Problem]:
    """The blocks in the feed's folder by a feed that feeds.yaml has no more, as when this one was renamed."""
    known = {one.name for one in feedsfile.load(site.feeds)} if site.feeds is not None else {feed.name}
    book = Book(one.order for one in loaded.filed.values())
    found = []
    for id_, filed in loaded.filed.items():
        order = filed.order
        if order.kind is not Kind.BLOCK or order.document is None or not id_.startswith(f"{feed.folder}/"):
            continue
        if any(is_own(id_, feed.folder, name) for name in known) or book.lifted_from([id_]) is not None:
            continue
        if not files.source(site.orders, id_).startswith(mint.MADE_BY):
            continue
        found.append(
            Problem(
                id="feed-left-behind",
                path=feed.name,
                message=f"'{id_}' is of no feed in feeds.yaml and stands beside the block that begins now: "
                "what this feed's list drops stays blocked by it. If the feed was renamed, lift it: `blocker "
                f"new --kind lift --of {id_}`.",
                severity="warning",
            )
        )
    return found


def _last(feed: Feed, site: Site, known: Family | None) -> Extract | None:
    """The last good document that an order was made of, read again; None if it is gone or another one."""
    document = known.latest.document if known is not None else None
    if document is None or known is None:
        return None
    path = (site.orders / known.latest.id).parent / document.file
    try:
        octets = bounded.octets(path, files.MAX_LIST_OCTETS, _DOCUMENT)
        if sha256(octets).hexdigest() != document.sha256:
            return None
        if document.file.endswith(".gz"):
            octets = gzip.decompress(octets)
        return formats.read(feed.format, octets, feed.match)
    except (bounded.Refused, Damaged, OSError, EOFError):
        return None


def _without_protected(
    extract: Extract, before: AbstractSet[bytes], feed: Feed, site: Site
) -> tuple[Extract, list[Problem]]:
    """The extract less new names that would block what this site protects, each of them told."""
    protected = frozenset(site.protected)
    guard, nothing = check.Protection(protected), check.Cover(())
    found = {}
    for name in extract.names.keys() - before if protected else ():
        key = names.to_key(name.removeprefix(BELOW).removeprefix(ONLY).decode())
        blocked = guard.blocked_by(key, _match(name), nothing)
        if blocked is not None:
            found[name] = names.to_text(blocked)
    if not found:
        return extract, []
    problems = [
        Problem(
            id="protected-name",
            path=feed.name,
            message=f"'{name.decode()}' would block '{found[name]}', which this site protects; it is left "
            "out. Take it off the protected list if a person so decides.",
        )
        for name in sorted(found)[:MAX_PROBLEMS]
    ]
    kept = {name: date for name, date in extract.names.items() if name not in found}
    return replace(extract, names=kept, counts={**extract.counts, "protected": len(found)}), problems


def _match(name: bytes) -> Match:
    if name.startswith(BELOW):
        return Match.BELOW
    return Match.EXACT if name.startswith(ONLY) else Match.SUBTREE
