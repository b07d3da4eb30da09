"""One bad file for every check id, and the exact sentence it gets."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blocker import names, yamltext
from blocker.errors import OrdersInvalid
from blocker.orders import check, files

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = """\
order: a/b
kind: block
authority: {name: "Example Court", jurisdiction: ID, contact: "mailto:court@court.example"}
legal_basis: ["Act 1, section 2"]
reference: "7/2026"
issued: 2026-01-10
received: 2026-01-10T09:12:00+07:00
deadline: 24h
publication: public
directives:
  - id: one
    names: [blocked.example]
    regions: [ID]
    from: 2026-01-10T12:00:00+07:00
    until: 2026-04-10
"""

MANY = [f"192.0.2.{number}" for number in range(1, 18)]

FACTS = check.Facts(
    regions=frozenset({"ID", "GB-SCT"}),
    protected=frozenset({names.to_key("isp.example"), names.to_key("www.shop.example")}),
)


def act(
    id_: str, kind: str, of: str, *more: str, start: str = "2026-02-01", issued: str = "2026-01-20"
) -> str:
    """The text of an order about another; `more` are lines of its own."""
    lines = [
        f"order: {id_}",
        f"kind: {kind}",
        'authority: {name: "Example Court", jurisdiction: ID, contact: "mailto:court@court.example"}',
        'legal_basis: ["Act 1, section 2"]',
        f"issued: {issued}",
        "publication: public",
        f"of: {of}",
        f"from: {start}",
        *more,
    ]
    return "\n".join(lines) + "\n"


def edited(*edits: tuple[str, str]) -> bytes:
    text = BLOCK
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return text.encode()


def listed(content: bytes, *, sha256: str = "", file: str = "list.txt", extra: str = "") -> dict[str, bytes]:
    """A block with a names_file of this content."""
    digest = sha256 or hashlib.sha256(content).hexdigest()
    written = f"    names_file: {{file: {file}, sha256: {digest}}}{extra}"
    return {"a/b.yaml": edited(("    names: [blocked.example]", written)), "a/list.txt": content}


def named(name: str) -> dict[str, bytes]:
    return {"a/b.yaml": edited(("[blocked.example]", f"[{name}]"))}


def block(*edits: tuple[str, str]) -> dict[str, bytes]:
    return {"a/b.yaml": edited(*edits)}


def with_act(text: str, *edits: tuple[str, str]) -> dict[str, bytes]:
    return block(*edits) | {"a/c.yaml": text.encode()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """Files below orders/, something done to the folder, and what must be said."""

    id: str
    files: dict[str, bytes]
    said: str
    setup: Callable[[Path], object] = lambda _folder: None


def without_folder(folder: Path) -> None:
    folder.rmdir()


def link_out(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder.parent / "secret.yaml").write_text(BLOCK)
    (folder / "a" / "b.yaml").symlink_to("../../secret.yaml")


def dangling(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "b.yaml").symlink_to("gone.yaml")


def pipe(folder: Path) -> None:
    (folder / "a").mkdir()
    os.mkfifo(folder / "a" / "b.yaml")


def sparse_list(folder: Path) -> None:
    with (folder / "a" / "list.txt").open("wb") as file:
        file.truncate(files.MAX_LIST_OCTETS + 1)


TABLE: list[Bad] = [
    Bad(
        id="orders-missing",
        files={},
        said=(
            "orders orders-missing: the orders folder can't be read: No such file or directory; "
            "create it, or mend 'orders' in site.yaml."
        ),
        setup=without_folder,
    ),
    Bad(
        id="too-many-files",
        files={f"a/{number}.yaml": edited(("a/b", f"a/{number}")) for number in range(6)},
        said=("orders too-many-files: there are more than 5 order files; move orders that have ended out."),
    ),
    Bad(
        id="file-unreadable",
        files={},
        said=(
            "orders/a/b.yaml file-unreadable: it can't be read: No such file or directory; mend the "
            "path, or its permissions."
        ),
        setup=dangling,
    ),
    Bad(
        id="file-not-regular",
        files={},
        said="orders/a/b.yaml file-not-regular: it is not a regular file; put a plain file there.",
        setup=pipe,
    ),
    Bad(
        id="file-suffix",
        files={"a/b.yml": BLOCK.encode()},
        said="orders/a/b.yml file-suffix: orders are files that end in .yaml; rename the file.",
    ),
    Bad(
        id="symlink-outside",
        files={},
        said=(
            "orders/a/b.yaml symlink-outside: the link leads out of the orders folder; put the file "
            "itself here."
        ),
        setup=link_out,
    ),
    Bad(
        id="file-too-large",
        files={"a/b.yaml": b"#" * (yamltext.MAX_OCTETS + 1)},
        said=(
            "orders/a/b.yaml file-too-large: the file is larger than 1 MiB; put long lists of names "
            "into a names_file."
        ),
    ),
    Bad(
        id="file-empty",
        files={"a/b.yaml": b"# nothing yet\n"},
        said="orders/a/b.yaml file-empty: the file has no content; write it, or remove the file.",
    ),
    Bad(
        id="not-utf-8",
        files={"a/b.yaml": BLOCK.encode().replace(b"Court", b"Caf\xe9", 1)},
        said=("orders/a/b.yaml:3:31 not-utf-8: the octet 0xe9 is not UTF-8; save the file as UTF-8 text."),
    ),
    Bad(
        id="binary-file",
        files={"a/b.yaml": BLOCK.encode().replace(b"Court", b"\0", 1)},
        said=(
            "orders/a/b.yaml:3:28 binary-file: the character U+0000 has no place in a text file; "
            "remove it, or write the file anew in a text editor."
        ),
    ),
    Bad(
        id="yaml-syntax",
        files=block(("    until: 2026-04-10", "    action: {redirect: [2001:db8::]}")),
        said=(
            "orders/a/b.yaml:15:34 yaml-syntax: not YAML: found unexpected ':' while scanning a "
            'plain scalar; quote text with \'::\' in it, such as "2001:db8::1" or "[::1]:53".'
        ),
    ),
    Bad(
        id="yaml-directive",
        files={"a/b.yaml": b"%YAML 1.2\n---\n" + BLOCK.encode()},
        said=(
            "orders/a/b.yaml:1:1 yaml-directive: YAML directives (%…) are not allowed; remove the "
            "line, or quote the text."
        ),
    ),
    Bad(
        id="yaml-documents",
        files={"a/b.yaml": BLOCK.encode() + b"---\n" + BLOCK.encode()},
        said="orders/a/b.yaml:16:1 yaml-documents: a second document starts; keep one in a file.",
    ),
    Bad(
        id="yaml-alias",
        files=block(("regions: [ID]", "regions: *everywhere")),
        said="orders/a/b.yaml:13:14 yaml-alias: '*everywhere' is an alias; write the text out.",
    ),
    Bad(
        id="yaml-tag",
        files=block(("2026-01-10\n", "!!str 2026-01-10\n")),
        said=(
            "orders/a/b.yaml:6:9 yaml-tag: 'tag:yaml.org,2002:str' is a tag; remove it, types are "
            "known without."
        ),
    ),
    Bad(
        id="yaml-too-deep",
        files={"a/b.yaml": b"[" * 1000},
        said=(
            "orders/a/b.yaml:1:21 yaml-too-deep: lists and mappings are nested deeper than 20 "
            "levels; flatten them."
        ),
    ),
    Bad(
        id="yaml-too-many-nodes",
        files={"a/b.yaml": b"[" + b"a," * 60_000 + b"]"},
        said=(
            "orders/a/b.yaml:1:100000 yaml-too-many-nodes: the file has more than 50,000 values; put "
            "long lists of names into a names_file."
        ),
    ),
    Bad(
        id="duplicate-key",
        files=block(('reference: "7/2026"', "issued: 2026-01-11")),
        said=(
            "orders/a/b.yaml:6:1 duplicate-key: 'issued' is here a second time, first on line 5; "
            "keep one of them."
        ),
    ),
    Bad(
        id="key-not-text",
        files=block(('reference: "7/2026"', "? [a]\n: b")),
        said="orders/a/b.yaml:5:3 key-not-text: a key is a list or mapping; keys are text.",
    ),
    Bad(
        id="not-a-mapping",
        files={"a/b.yaml": b"[blocked.example]\n"},
        said=("orders/a/b.yaml:1:1 not-a-mapping: an order is written as keys with values, 'key: value'."),
    ),
    Bad(
        id="not-a-list",
        files=block(("[blocked.example]", "blocked.example")),
        said=(
            "orders/a/b.yaml:12:12 not-a-list: a list belongs here; write it in brackets, even for one: […]."
        ),
    ),
    Bad(
        id="not-text",
        files=block(("kind: block", "kind: [block]")),
        said="orders/a/b.yaml:2:7 not-text: a list stands where one text belongs; write one value.",
    ),
    Bad(
        id="value-empty",
        files=block(('reference: "7/2026"', "reference:")),
        said="orders/a/b.yaml:5:11 value-empty: there is no value; write one, or remove the key.",
    ),
    Bad(
        id="unknown-key",
        files=block(("regions:", "region:")),
        said=(
            "orders/a/b.yaml:13:5 unknown-key: 'region' is not a key of a directive; it has id, "
            "names, names_file, match, except, regions, action, from, until, review_by."
        ),
    ),
    Bad(
        id="missing-key",
        files=block(("issued: 2026-01-10\n", "")),
        said=(
            "orders/a/b.yaml:1:1 missing-key: a block order has no 'issued'; write the date of the "
            "instrument."
        ),
    ),
    Bad(
        id="more-problems",
        files=named(", ".join(["com"] * 142)),
        said="orders/a/b.yaml more-problems: and 42 more problems; mend the ones above first.",
    ),
    Bad(
        id="missing-kind",
        files=block(("kind: block\n", "")),
        said=(
            "orders/a/b.yaml:1:1 missing-kind: an order has no 'kind'; write one of block, suspend, "
            "reinstate, lift, amend."
        ),
    ),
    Bad(
        id="kind-unknown",
        files=block(("kind: block", "kind: ban")),
        said=(
            "orders/a/b.yaml:2:7 kind-unknown: 'ban' is unknown; write one of block, suspend, "
            "reinstate, lift, amend."
        ),
    ),
    Bad(
        id="key-not-for-kind",
        files=block(("reference:", "of: a/a\nreference:")),
        said=(
            "orders/a/b.yaml:5:1 key-not-for-kind: a block order has no 'of', which belongs to "
            "suspend or reinstate or lift or amend; remove it, or mend 'kind'."
        ),
    ),
    Bad(
        id="order-id-invalid",
        files=block(("order: a/b", "order: A/b")),
        said=(
            "orders/a/b.yaml:1:8 order-id-invalid: 'A/b' is not an order id; write authority/slug in "
            "a-z, 0-9, '.', '_' and '-'."
        ),
    ),
    Bad(
        id="id-not-path",
        files=block(("order: a/b", "order: a/other")),
        said=(
            "orders/a/b.yaml:1:8 id-not-path: the id is 'a/other' but the file's path makes it "
            "'a/b'; move the file, or mend the id."
        ),
    ),
    Bad(
        id="duplicate-order-id",
        files={"a/b.yaml": BLOCK.encode(), "a/copy.yaml": BLOCK.encode()},
        said=(
            "orders/a/copy.yaml:1:8 duplicate-order-id: 'a/b' is the id of orders/a/b.yaml too; give "
            "this order its own."
        ),
    ),
    Bad(
        id="missing-authority",
        files=block((BLOCK.splitlines()[2] + "\n", "")),
        said=(
            "orders/a/b.yaml:1:1 missing-authority: a block order has no 'authority'; write who issued it."
        ),
    ),
    Bad(
        id="missing-contact",
        files=block((', contact: "mailto:court@court.example"', "")),
        said=(
            "orders/a/b.yaml:3:12 missing-contact: an authority has no 'contact'; write where the "
            "order can be contested."
        ),
    ),
    Bad(
        id="contact-invalid",
        files=block(("mailto:court@", "court@")),
        said=(
            "orders/a/b.yaml:3:63 contact-invalid: 'court@court.example' is no way to reach someone; "
            "write mailto:…, https://… or tel:…"
        ),
    ),
    Bad(
        id="jurisdiction-invalid",
        files=block(("jurisdiction: ID", "jurisdiction: Indonesia")),
        said=(
            "orders/a/b.yaml:3:50 jurisdiction-invalid: 'Indonesia' is not a jurisdiction; write an "
            "ISO 3166 code such as ID or DE-BY."
        ),
    ),
    Bad(
        id="missing-legal-basis",
        files=block((BLOCK.splitlines()[3] + "\n", "")),
        said=(
            "orders/a/b.yaml:1:1 missing-legal-basis: a block order has no 'legal_basis'; write the "
            "law it rests on."
        ),
    ),
    Bad(
        id="missing-publication",
        files=block(("publication: public\n", "")),
        said=(
            "orders/a/b.yaml:1:1 missing-publication: a block order has no 'publication'; write one "
            "of public, sealed-until-effective, sealed."
        ),
    ),
    Bad(
        id="publication-unknown",
        files=block(("publication: public", "publication: secret")),
        said=(
            "orders/a/b.yaml:9:14 publication-unknown: 'secret' is unknown; write one of public, "
            "sealed-until-effective, sealed."
        ),
    ),
    Bad(
        id="time-invalid",
        files=block(("until: 2026-04-10", "until: 2026-02-30")),
        said=(
            "orders/a/b.yaml:15:12 time-invalid: '2026-02-30' is not a time: day is out of range for "
            "month; mend it."
        ),
    ),
    Bad(
        id="time-without-zone",
        files=block(("12:00:00+07:00", "12:00:00")),
        said=(
            "orders/a/b.yaml:14:11 time-without-zone: '2026-01-10T12:00:00' has no zone; add the "
            "authority's, such as +07:00, or Z for UTC."
        ),
    ),
    Bad(
        id="time-with-fraction",
        files=block(("12:00:00+07:00", "12:00:00.5+07:00")),
        said=(
            "orders/a/b.yaml:14:11 time-with-fraction: '2026-01-10T12:00:00.5+07:00' has a fraction "
            "of a second; caches count whole seconds, write those."
        ),
    ),
    Bad(
        id="duration-invalid",
        files=block(("24h", "1 day")),
        said=("orders/a/b.yaml:8:11 duration-invalid: '1 day' is not a duration; write 30s, 30m, 24h or 2d."),
    ),
    Bad(
        id="digest-invalid",
        files=listed(b"x.example\n", sha256="abc"),
        said=(
            "orders/a/b.yaml:12:42 digest-invalid: 'abc' is not a SHA-256; it has 64 hex digits, as "
            "sha256sum prints."
        ),
    ),
    Bad(
        id="deadline-without-received",
        files=block(("received: 2026-01-10T09:12:00+07:00\n", "")),
        said=(
            "orders/a/b.yaml:7:11 deadline-without-received: a deadline counts from receipt; add "
            "'received', or remove 'deadline'."
        ),
    ),
    Bad(
        id="document-unverified",
        files=block(("directives:", f"document: {{file: b.pdf, sha256: {'0' * 64}}}\ndirectives:")),
        said=(
            "orders/a/b.yaml:10:18 document-unverified: 'b.pdf': it can't be read: No such file or "
            "directory; mend the path, or its permissions."
        ),
    ),
    Bad(
        id="missing-directives",
        files={"a/b.yaml": BLOCK.partition("directives")[0].encode()},
        said=(
            "orders/a/b.yaml:1:1 missing-directives: a block order has no 'directives'; write what "
            "is blocked."
        ),
    ),
    Bad(
        id="directive-id-invalid",
        files=block(("id: one", "id: One")),
        said=(
            "orders/a/b.yaml:11:9 directive-id-invalid: 'One' is not a directive id; write a-z, 0-9 "
            "and '-' only."
        ),
    ),
    Bad(
        id="duplicate-directive-id",
        files={"a/b.yaml": (BLOCK + BLOCK.partition("directives:\n")[2]).encode()},
        said=(
            "orders/a/b.yaml:11:9 duplicate-directive-id: 'one' is the id of 2 directives; lifts "
            "need one id for each."
        ),
    ),
    Bad(
        id="missing-names",
        files=block(("    names: [blocked.example]\n", "")),
        said=(
            "orders/a/b.yaml:11:5 missing-names: the directive names nothing; list its names in "
            "'names' or a 'names_file'."
        ),
    ),
    Bad(
        id="missing-regions",
        files=block(("    regions: [ID]\n", "")),
        said=(
            "orders/a/b.yaml:11:5 missing-regions: a directive has no 'regions'; write where the "
            "order applies."
        ),
    ),
    Bad(
        id="region-invalid",
        files=block(("[ID]", '["I D"]')),
        said=(
            "orders/a/b.yaml:13:15 region-invalid: 'I D' is not a region; write a code such as ID or ID-JK."
        ),
    ),
    Bad(
        id="unknown-region",
        files=block(("[ID]", "[GB, ID, NO]")),
        said=(
            "orders/a/b.yaml:13:23 unknown-region: 'NO' is not a region of this site (it has GB-SCT, "
            "ID); mend the order, or add the region's prefixes to site.yaml."
        ),
    ),
    Bad(
        id="missing-end",
        files=block(("    until: 2026-04-10\n", "")),
        said=(
            "orders/a/b.yaml:11:5 missing-end: the directive has neither 'until' nor 'review_by'; "
            "write when it ends, or when it is reviewed."
        ),
    ),
    Bad(
        id="empty-window",
        files=block(("until: 2026-04-10", "until: 2026-01-10T05:00:00Z")),
        said=(
            "orders/a/b.yaml:15:12 empty-window: 'until' (2026-01-10T05:00:00+00:00) is not after "
            "'from' (2026-01-10T12:00:00+07:00); the window is [from, until)."
        ),
    ),
    Bad(
        id="match-unknown",
        files=block(("    regions:", "    match: below\n    regions:")),
        said="orders/a/b.yaml:13:12 match-unknown: 'below' is unknown; write one of exact, subtree.",
    ),
    Bad(
        id="action-unknown",
        files=block(("    regions:", "    action: drop\n    regions:")),
        said=(
            "orders/a/b.yaml:13:13 action-unknown: 'drop' is unknown; write one of refused, "
            "nxdomain, nodata, redirect."
        ),
    ),
    Bad(
        id="redirect-without-address",
        files=block(("    regions:", "    action: redirect\n    regions:")),
        said=(
            "orders/a/b.yaml:13:13 redirect-without-address: redirect needs addresses; write "
            "{redirect: [192.0.2.1]}."
        ),
    ),
    Bad(
        id="redirect-address-invalid",
        files=block(("    regions:", "    action: {redirect: [sink.example]}\n    regions:")),
        said=(
            "orders/a/b.yaml:13:25 redirect-address-invalid: 'sink.example' is not an IP address; "
            "redirect takes addresses only."
        ),
    ),
    Bad(
        id="redirect-too-many-addresses",
        files=block(("    regions:", f"    action: {{redirect: {MANY}}}\n    regions:")),
        said=(
            "orders/a/b.yaml:13:24 redirect-too-many-addresses: redirect has 17 addresses of IPv4; write "
            "16 at most, so that every answer has room for them."
        ),
    ),
    Bad(
        id="url-not-a-name",
        files=named("https://x.com/i/grok"),
        said=(
            "orders/a/b.yaml:12:13 url-not-a-name: 'https://x.com/i/grok' is a URL; DNS can't block "
            "a path. List the host only if the order names it."
        ),
    ),
    Bad(
        id="whitespace-in-name",
        files=named("one.example two.example"),
        said=(
            "orders/a/b.yaml:12:13 whitespace-in-name: 'one.example two.example' has a space inside; "
            "write one name for each."
        ),
    ),
    Bad(
        id="email-not-a-name",
        files=named("someone@blocked.example"),
        said=(
            "orders/a/b.yaml:12:13 email-not-a-name: 'someone@blocked.example' is an e-mail address; "
            "list its domain only if the order names it."
        ),
    ),
    Bad(
        id="ip-not-a-name",
        files=named("192.0.2.1"),
        said=(
            "orders/a/b.yaml:12:13 ip-not-a-name: '192.0.2.1' is an IP address; blocking is by name "
            "only, list the names the order means."
        ),
    ),
    Bad(
        id="network-not-a-name",
        files=named("192.0.2.0/24"),
        said=(
            "orders/a/b.yaml:12:13 network-not-a-name: '192.0.2.0/24' is a network; blocking is by "
            "name only, list the names the order means."
        ),
    ),
    Bad(
        id="path-not-a-name",
        files=named("blocked.example/page"),
        said=(
            "orders/a/b.yaml:12:13 path-not-a-name: 'blocked.example/page' has a path; DNS can't "
            "block a path. List the host only if the order names it."
        ),
    ),
    Bad(
        id="port-not-a-name",
        files=named("blocked.example:8080"),
        said=(
            "orders/a/b.yaml:12:13 port-not-a-name: 'blocked.example:8080' has a port; DNS can't "
            "block a port. List the host only if the order names it."
        ),
    ),
    Bad(
        id="wildcard-in-name",
        files=named("www.*.example"),
        said=(
            "orders/a/b.yaml:12:13 wildcard-in-name: 'www.*.example' has a '*' inside; only '*.name' "
            "can be said, for all below a name."
        ),
    ),
    Bad(
        id="name-invalid",
        files=named("blocked..example"),
        said=(
            "orders/a/b.yaml:12:13 name-invalid: 'blocked..example' is not a domain name: it has an "
            "empty label; write the name as the order has it."
        ),
    ),
    Bad(
        id="bare-tld",
        files=named("example"),
        said=(
            "orders/a/b.yaml:12:13 bare-tld: 'example' is a whole top-level domain; list the names "
            "below it that the order means."
        ),
    ),
    Bad(
        id="public-suffix",
        files=named("co.uk"),
        said=(
            "orders/a/b.yaml:12:13 public-suffix: 'co.uk' is a public suffix, where anyone registers "
            "names; list the names below it that the order means."
        ),
    ),
    Bad(
        id="protected-name",
        files=named("shop.example"),
        said=(
            "orders/a/b.yaml:12:13 protected-name: 'shop.example' would block 'www.shop.example', "
            "which this site protects; add 'www.shop.example' to the directive's except, or take it "
            "off the protected list if a person so decides."
        ),
    ),
    Bad(
        id="under-own-except",
        files=block(("    regions:", "    except: [blocked.example]\n    regions:")),
        said=(
            "orders/a/b.yaml:12:13 under-own-except: 'blocked.example' is at or below an except of "
            "its own directive; remove one of the two."
        ),
    ),
    Bad(
        id="except-unused",
        files=block(("    regions:", "    except: [status.bloked.example]\n    regions:")),
        said=(
            "orders/a/b.yaml:13:14 except-unused: 'status.bloked.example' is not below any name of "
            "its directive; check its spelling, or remove it."
        ),
    ),
    Bad(
        id="duplicate-name",
        files=named("blocked.example, BLOCKED.example."),
        said=(
            "orders/a/b.yaml:12:30 duplicate-name: 'blocked.example' stands more than once in its "
            "directive; once is enough."
        ),
    ),
    Bad(
        id="names-file-outside",
        files=listed(b"x.example\n", file="../../etc/passwd"),
        said=(
            "orders/a/b.yaml:12:24 names-file-outside: '../../etc/passwd': the file is not inside "
            "the orders folder; put it beside the order."
        ),
    ),
    Bad(
        id="names-file-unreadable",
        files=listed(b"x.example\n", file="gone.txt"),
        said=(
            "orders/a/b.yaml:12:24 names-file-unreadable: 'gone.txt': it can't be read: No such file "
            "or directory; mend the path, or its permissions."
        ),
    ),
    Bad(
        id="names-file-too-large",
        files=listed(b"x.example\n"),
        said=(
            "orders/a/b.yaml:12:24 names-file-too-large: 'list.txt': the file is larger than 512 "
            "MiB; split the list over several directives."
        ),
        setup=sparse_list,
    ),
    Bad(
        id="names-file-changed",
        files=listed(b"x.example\n", sha256="0" * 64),
        said=(
            "orders/a/b.yaml:12:24 names-file-changed: 'list.txt': its SHA-256 is "
            "40cf80ad8f0c094095c39e433327611351c99471d24d81968c89491558617b49, the order says "
            "0000000000000000000000000000000000000000000000000000000000000000; restore the file the "
            "order was issued with, or write a new order."
        ),
    ),
    Bad(
        id="names-file-empty",
        files=listed(b"# nothing yet\n\n"),
        said=(
            "orders/a/list.txt names-file-empty: the file lists no name; add the names, or remove names_file."
        ),
    ),
    Bad(
        id="line-too-long",
        files=listed(b"a" * 10_000_000),
        said=(
            "orders/a/list.txt:1:1 line-too-long: the line has more than 1024 octets; a line holds one name."
        ),
    ),
    Bad(
        id="missing-of",
        files=with_act(act("a/c", "lift", "a/b").replace("of: a/b\n", "")),
        said=(
            "orders/a/c.yaml:1:1 missing-of: a lift order has no 'of'; name the order or directive "
            "it is about."
        ),
    ),
    Bad(
        id="of-invalid",
        files=with_act(act("a/c", "lift", "b")),
        said=(
            "orders/a/c.yaml:7:5 of-invalid: 'b' names no order; write authority/slug, or "
            "authority/slug/directive-id."
        ),
    ),
    Bad(
        id="amend-empty",
        files=with_act(act("a/c", "amend", "a/b")),
        said=(
            "orders/a/c.yaml:1:1 amend-empty: the amend changes nothing; write one of add, remove, "
            "remove_file, until, review_by."
        ),
    ),
    Bad(
        id="remove-unused",
        files=with_act(act("a/c", "amend", "a/b", "remove: [free.blocked.example, free.bloked.example]")),
        said=(
            "orders/a/c.yaml:9:32 remove-unused: 'free.bloked.example' removes nothing: 'a/b' has no name "
            "at, above or below it; check its spelling, or remove it."
        ),
    ),
    Bad(
        id="of-unknown",
        files=with_act(act("a/c", "lift", "a/b/two")),
        said="orders/a/c.yaml:7:5 of-unknown: 'a/b' has no directive 'two' (it has one); check 'of'.",
    ),
    Bad(
        id="of-kind",
        files=with_act(act("a/c", "suspend", "a/d")) | {"a/d.yaml": act("a/d", "lift", "a/b").encode()},
        said=(
            "orders/a/c.yaml:7:5 of-kind: 'a/d' is a lift order, but a suspend is of a block or "
            "amend order, or a directive of one."
        ),
    ),
    Bad(
        id="of-loop",
        files=with_act(act("a/c", "lift", "a/c")),
        said=(
            "orders/a/c.yaml:7:5 of-loop: 'a/c' leads back to this order; an order is about one that "
            "was there before it."
        ),
    ),
    Bad(
        id="of-ended",
        files=with_act(act("a/c", "suspend", "a/b", start="2026-04-10")),
        said=(
            "orders/a/c.yaml:7:5 of-ended: 'a/b' had already ended at 2026-04-10T00:00:00+00:00; "
            "check 'of' and 'from', or write a new block if it is to hold again."
        ),
    ),
    Bad(
        id="already-lifted",
        files=with_act(act("a/c", "lift", "a/b", issued="2026-01-25", start="2026-03-01"))
        | {"a/late.yaml": act("a/late", "lift", "a/b").encode()},
        said=(
            "orders/a/c.yaml:7:5 already-lifted: another lift had ended 'a/b' before; this one stands "
            "and changes nothing."
        ),
    ),
    Bad(
        id="nothing-to-reinstate",
        files=with_act(act("a/c", "reinstate", "a/b")),
        said=(
            "orders/a/c.yaml:7:5 nothing-to-reinstate: 'a/b' is not suspended at "
            "2026-02-01T00:00:00+00:00; check 'of' and 'from', or remove the file."
        ),
    ),
]


def load(folder: Path) -> files.Loaded:
    return files.load(folder, FACTS)


def lay(folder: Path, content: dict[str, bytes]) -> None:
    for name, octets in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "MAX_FILES", 5)
    Path("orders").mkdir()
    return Path("orders")


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.id)
def test_a_bad_file_gets_exactly_this_sentence(folder: Path, bad: Bad) -> None:
    lay(folder, bad.files)
    bad.setup(folder)
    try:
        problems = load(folder).problems
    except OrdersInvalid as invalid:
        problems = invalid.problems
    said = [str(problem) for problem in problems if problem.id == bad.id]
    assert said[:1] == [bad.said]


def test_every_check_id_has_a_bad_file_in_the_table() -> None:
    assert {bad.id for bad in TABLE} == set(check.REGISTRY)


def test_no_id_is_complained_with_that_the_registry_does_not_list(tmp_path: Path) -> None:
    for number, bad in enumerate(TABLE):
        below = tmp_path / str(number) / "orders"
        below.mkdir(parents=True)
        lay(below, bad.files)
        bad.setup(below)
        try:
            problems = load(below).problems
        except OrdersInvalid as invalid:
            problems = invalid.problems
        assert {problem.id for problem in problems} <= set(check.REGISTRY)


def test_a_warning_quarantines_nothing(tmp_path: Path) -> None:
    for number, bad in enumerate(TABLE):
        if not check.REGISTRY[bad.id].startswith("warning: "):
            continue
        below = tmp_path / str(number)
        lay(below, bad.files)
        loaded = load(below)
        assert {problem.severity for problem in loaded.problems} == {"warning"}
        orders = sorted(name.removesuffix(".yaml") for name in bad.files if name.endswith(".yaml"))
        assert [order.id for order in loaded.orders] == orders


def test_every_error_quarantines_its_order(tmp_path: Path) -> None:
    of_no_order = {"orders-missing", "too-many-files", "file-suffix"}
    for number, bad in enumerate(TABLE):
        if bad.id in of_no_order or check.REGISTRY[bad.id].startswith("warning: "):
            continue
        below = tmp_path / str(number) / "orders"
        below.mkdir(parents=True)
        lay(below, bad.files)
        bad.setup(below)
        loaded = load(below)
        (problem, *_) = [one for one in loaded.problems if one.id == bad.id]
        assert problem.order in loaded.quarantined
        assert problem.order not in {order.id for order in loaded.orders}
