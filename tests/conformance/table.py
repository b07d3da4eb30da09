"""The conformance table: what every enforcer must answer, row by row.

Two sets of cases: `standing` ones, in which nothing changes while they are asked, and `turning` ones, whose
orders begin or end at one instant and which are asked before it, with answers going into every cache, and
after.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from blocker.orders.model import Form, Kind, Match, Publication
from tests.conformance.cases import WEEK, Case, Phase, act, block, blocked, case, passes

V4, V6 = "192.0.2.200", "2001:db8::200"
OTHER = "192.0.2.201"
_LABEL = "x" * 63


def standing(now: int, owner_limit: int) -> list[Case]:
    """The cases in which nothing changes within a day of `now`.

    `owner_limit` is the most octets, in wire form, of a name whose subtree fits into the region's zone.
    """
    since, till = now - WEEK, now + WEEK
    of = partial(block, start=since, until=till)
    nodata, redirect, refused = Form.NODATA, Form.REDIRECT, Form.REFUSED
    return [
        case(
            "plain",
            "a name and all below it are blocked for every type, case and transport, and nothing beside it",
            [of("@")],
            [
                *(
                    blocked("@", qtype)
                    for qtype in ("A", "AAAA", "TXT", "MX", "HTTPS", "NS", "DS", "DNSKEY", "SRV", "ANY")
                ),
                blocked("a.@"),
                blocked("a.b.c.d.e.@", "TXT"),
                blocked("_443._tcp.@", "HTTPS"),
                blocked("A.PlAiN.ExAmPlE"),
                blocked("PLAIN.EXAMPLE", "AAAA"),
                blocked("@", do=True),
                blocked("a.@", "HTTPS", do=True),
                blocked("@", tcp=True),
                blocked("a.@", "AAAA", tcp=True, do=True),
                blocked("@", is_plain=True),
                blocked("a\\000b.@"),
                blocked("\\032.@"),
                blocked("*.@"),
                passes("not@"),
                passes("x.not@"),
                passes("example", "TXT"),
                passes("free-plain.example"),
                passes("free-plain.example", "HTTPS", do=True),
                passes("free-plain.example", tcp=True),
                blocked("@", is_iterative=True),
                blocked("a.@", "HTTPS", do=True, is_iterative=True),
                blocked("a.b.@", tcp=True, is_iterative=True),
                passes("not@", is_iterative=True),
            ],
        ),
        case(
            "nodata",
            "a name answered without data exists",
            [of("@", form=nodata)],
            [
                blocked("@", form=nodata),
                blocked("a.@", "TXT", form=nodata),
                blocked("@", "AAAA", form=nodata, do=True),
                blocked("@", "DS", form=nodata),
                blocked("@", "ANY", form=nodata),
            ],
        ),
        case(
            "refused",
            "a refused name is refused",
            [of("@", form=refused)],
            [
                blocked("@", form=refused),
                blocked("a.@", "HTTPS", form=refused),
                blocked("@", form=refused, tcp=True),
                passes("not@"),
            ],
        ),
        case(
            "refusedtie",
            "refusing is stricter than denying",
            [of("@"), of("@", form=refused)],
            [blocked("@", form=refused, because=("2", "1"))],
        ),
        case(
            "redirect",
            "a redirect answers addresses with its own and every other type with nothing",
            [of("@", to=(V4, V6))],
            [
                blocked("@", "A", redirect, to=(V4, V6)),
                blocked("@", "AAAA", redirect, to=(V4, V6)),
                blocked("a.b.@", "A", redirect, to=(V4, V6)),
                blocked("a.@", "AAAA", redirect, to=(V4, V6), do=True),
                *(
                    blocked("@", qtype, redirect, to=(V4, V6))
                    for qtype in ("HTTPS", "TXT", "MX", "NS", "DS", "DNSKEY", "SRV", "ANY")
                ),
                blocked("a.@", "HTTPS", redirect, to=(V4, V6), do=True),
                blocked("@", "A", redirect, to=(V4, V6), tcp=True),
                blocked("a.@", "A", redirect, to=(V4, V6), is_iterative=True),
                blocked("@", "HTTPS", redirect, to=(V4, V6), is_iterative=True),
            ],
        ),
        case(
            "redirect4",
            "a redirect to IPv4 alone has no IPv6, and several addresses all come",
            [of("@", to=(V4, OTHER))],
            [
                blocked("@", "A", redirect, to=(V4, OTHER)),
                blocked("@", "AAAA", redirect, to=(V4, OTHER)),
                blocked("a.@", "HTTPS", redirect, to=(V4, OTHER)),
            ],
        ),
        case(
            "exact",
            "an exact name alone is blocked, and NXDOMAIN would deny what is free below it",
            [of("@", match=Match.EXACT)],
            [
                blocked("@", form=nodata),
                blocked("@", "TXT", form=nodata),
                blocked("@", "HTTPS", form=nodata, do=True),
                passes("@", "DS"),
                passes("@", "DNSKEY"),
                passes("a.@"),
                passes("a.b.@", "TXT"),
                passes("a.@", do=True),
            ],
        ),
        case(
            "exactto",
            "an exact redirect leaves what is below it alone",
            [of("@", match=Match.EXACT, to=(V4,))],
            [
                blocked("@", "A", redirect, to=(V4,)),
                blocked("@", "HTTPS", redirect, to=(V4,)),
                passes("@", "DS"),
                passes("a.@"),
            ],
        ),
        case(
            "below",
            "`*.name` is all below the name and not the name",
            [of("*.@")],
            [
                passes("@"),
                passes("@", "HTTPS"),
                blocked("a.@"),
                blocked("a.b.@", "AAAA"),
                blocked("a.@", "DS"),
            ],
        ),
        case(
            "except",
            "an except frees its name and all below it, and nothing else",
            [of("@", excepts=("free.@", "a.b.@"))],
            [
                blocked("@", form=nodata),
                passes("@", "DS"),
                passes("@", "DNSKEY"),
                passes("free.@"),
                passes("FREE.@", "HTTPS"),
                passes("x.y.free.@", "TXT"),
                passes("free.@", do=True),
                blocked("notfree.@"),
                blocked("b.@", form=nodata),
                passes("b.@", "DS"),
                passes("a.b.@"),
                passes("x.a.b.@"),
                blocked("c.b.@"),
                blocked("x.c.b.@"),
                blocked("c.@", "DS"),
            ],
        ),
        case(
            "deep",
            "below the ancestors of a deep except everything else is blocked, though no rule names it",
            [of("@", excepts=("w.x.y.z.@",))],
            [
                blocked("z.@", form=nodata),
                blocked("y.z.@", form=nodata),
                blocked("x.y.z.@", form=nodata),
                passes("w.x.y.z.@"),
                blocked("v.x.y.z.@"),
                blocked("v.y.z.@"),
                blocked("v.z.@"),
                blocked("q.v.z.@", "TXT"),
            ],
        ),
        case(
            "exceptbelow",
            "an except of all below a name leaves the name itself blocked",
            [of("@", excepts=("*.free.@",))],
            [
                blocked("@", form=nodata),
                blocked("free.@", form=nodata),
                passes("free.@", "DS"),
                passes("a.free.@"),
                passes("b.a.free.@"),
                blocked("other.@"),
            ],
        ),
        case(
            "inner",
            "the most specific subject gives the form, and every covering directive the reason",
            [of("@"), of("in.@", form=nodata), of("a.b.c.@", to=(V4,))],
            [
                blocked("@"),
                blocked("o.@"),
                blocked("in.@", form=nodata, because=("2", "1")),
                blocked("x.in.@", form=nodata, because=("2", "1")),
                blocked("c.@"),
                blocked("b.c.@"),
                blocked("z.b.c.@"),
                blocked("z.c.@", "TXT"),
                blocked("a.b.c.@", form=redirect, to=(V4,), because=("3", "1")),
                blocked("z.a.b.c.@", form=redirect, to=(V4,), because=("3", "1")),
                blocked("a.b.c.@", "TXT", form=redirect, to=(V4,), because=("3", "1")),
            ],
        ),
        case(
            "innerexact",
            "an exact rule inside a subtree is for its name alone, and hides nothing of the subtree",
            [of("@"), of("in.@", match=Match.EXACT, to=(V4,)), of("nx.@", match=Match.EXACT)],
            [
                blocked("in.@", form=redirect, to=(V4,), because=("2", "1")),
                blocked("in.@", "HTTPS", form=redirect, to=(V4,), because=("2", "1")),
                blocked("x.in.@"),
                blocked("y.x.in.@"),
                blocked("nx.@", because=("3", "1")),
                blocked("nx.@", "DS", because=("3", "1")),
                blocked("x.nx.@"),
            ],
        ),
        case(
            "innerbelow",
            "`*.name` inside a subtree leaves the name to the subtree",
            [of("@"), of("*.in.@", form=nodata)],
            [
                blocked("in.@"),
                blocked("x.in.@", form=nodata, because=("2", "1")),
                blocked("y.x.in.@", form=nodata, because=("2", "1")),
            ],
        ),
        case(
            "island",
            "a name blocked again inside an except is blocked, by that order alone",
            [of("@", excepts=("free.@",)), of("again.free.@")],
            [
                passes("free.@"),
                blocked("again.free.@", because=("2",)),
                blocked("x.again.free.@", because=("2",)),
                passes("other.free.@"),
                blocked("@", form=nodata),
            ],
        ),
        case(
            "tie",
            "between subjects alike the strictest form wins, then exact before subtree before below",
            [
                of("a.@", form=nodata),
                of("a.@"),
                of("b.@", to=(V4,)),
                of("b.@", form=nodata),
                of("c.@", match=Match.EXACT, form=nodata),
                of("c.@"),
                of("*.d.@", form=nodata),
                of("x.d.@"),
                of("d.@"),
            ],
            [
                blocked("a.@", because=("2", "1")),
                blocked("b.@", form=nodata, because=("4", "3")),
                blocked("c.@", form=nodata, because=("5", "6")),
                blocked("x.c.@", because=("6",)),
                blocked("d.@", because=("9",)),
                blocked("y.d.@", because=("9", "7")),
                blocked("x.d.@", because=("8", "9", "7")),
            ],
        ),
        case(
            "issued",
            "between directives alike the earliest issued gives the addresses",
            [of("@", to=(V4,)), of("@", to=(OTHER,), issued=2 * 86400)],
            [blocked("@", form=redirect, to=(OTHER,), because=("2", "1"))],
        ),
        case(
            "two",
            "an except of one order frees nothing of another, and lifting one unblocks nothing of the other",
            [
                of("@", excepts=("free.@",)),
                of("@", form=nodata),
                of("lifted.@"),
                act(Kind.LIFT, "3", since + 10),
            ],
            [
                blocked("free.@", form=nodata, because=("2",)),
                blocked("x.free.@", form=nodata, because=("2",)),
                blocked("@", because=("1", "2")),
                blocked("o.@", because=("1", "2")),
                blocked("lifted.@", because=("1", "2")),
            ],
        ),
        *_names(since, till, owner_limit),
        *_aliases(since, till),
        *_regions(since, till),
        *_lives(now),
        case(
            "classes",
            "no class leads to a blocked name's data, and what servers say of themselves is nobody's name",
            [of("@"), of("to.classes2.example", to=(V4,)), of("id.server"), of("version.bind", to=(V4,))],
            [
                *(passes("@", qtype, qclass="ANY") for qtype in ("A", "HTTPS", "ANY")),
                passes("a.@", "AAAA", qclass="ANY", do=True, tcp=True),
                passes("to.classes2.example", qclass="ANY"),
                *(passes("a.@", qtype, qclass=qclass) for qtype in ("A", "TXT") for qclass in ("HS", "CH")),
                passes("id.server", "TXT", qclass="CH"),
                passes("version.bind", "TXT", qclass="CH"),
                blocked("id.server", "TXT", because=("3",)),
                blocked("version.bind", form=redirect, to=(V4,), because=("4",)),
            ],
        ),
    ]


def _names(since: int, till: int, owner_limit: int) -> list[Case]:
    of = partial(block, start=since, until=till)
    longest = ".".join([_LABEL, _LABEL, _LABEL, "x" * (253 - 3 * 64 - len("longest.example") - 1), "@"])
    rest = owner_limit - 3 * 64 - len("atlimit.example") - 3
    at_limit = ".".join([_LABEL, _LABEL, _LABEL, "x" * rest, "@"])
    return [
        case(
            "odd",
            "names as they are found on the Internet are names",
            [of("bücher.@", "_dmarc.@", "r3---sn-x.@", "xn--ls8h.@", f"{_LABEL}.@", "1.2.3.@")],
            [
                blocked("xn--bcher-kva.@"),
                blocked("www.XN--Bcher-KVA.@"),
                blocked("_dmarc.@", "TXT"),
                blocked("r3---sn-x.@"),
                blocked("xn--ls8h.@"),
                blocked(f"{_LABEL}.@"),
                blocked(f"{_LABEL.upper()}.{_LABEL}.@"),
                blocked("1.2.3.@"),
                passes("2.3.@"),
                passes("bcher.@"),
            ],
        ),
        case(
            "longest",
            "a name of 253 octets is blocked",
            [of(longest)],
            [blocked(longest), blocked(longest.upper().replace("@", "LONGEST.EXAMPLE"), "HTTPS")],
        ),
        case(
            "atlimit",
            "the longest name whose subtree fits into a zone is blocked with all below it",
            [of(at_limit)],
            [blocked(at_limit), blocked(f"a.{at_limit}"), passes(at_limit.removeprefix(f"{_LABEL}."))],
        ),
    ]


def _aliases(since: int, till: int) -> list[Case]:
    of = partial(block, start=since, until=till)
    return [
        case(
            "alias",
            "an alias of a blocked name is answered up to the blocked name, and no further",
            [of("bad.@"), of("to.@", to=(V4,)), of("no.@", form=Form.NODATA)],
            [
                blocked("a.@", at=1),
                blocked("a.@", "AAAA", at=1, do=True),
                blocked("a.@", "HTTPS", at=1, tcp=True),
                blocked("aa.@", at=2),
                blocked("mid.@", at=1),
                blocked("t.@", form=Form.REDIRECT, to=(V4,), because=("2",), at=1),
                blocked("t.@", "TXT", form=Form.REDIRECT, to=(V4,), because=("2",), at=1),
                blocked("xt.@", form=Form.REDIRECT, to=(V4,), because=("2",), at=1),
                blocked("n.@", form=Form.NODATA, because=("3",), at=1),
                passes("ok.@"),
                passes("ok.@", do=True),
                blocked("own.bad.@"),
                blocked("a.@", at=1, is_iterative=True),
                blocked("t.@", form=Form.REDIRECT, to=(V4,), because=("2",), at=1, is_iterative=True),
            ],
            aliases={
                "a.@": "www.bad.@",
                "aa.@": "a.@",
                "mid.@": "x.bad.@",
                "x.bad.@": "ok.@",
                "t.@": "to.@",
                "xt.@": "x.to.@",
                "n.@": "no.@",
                "ok.@": "fine.@",
                "own.bad.@": "fine.@",
            },
        ),
        case(
            "dname",
            "what is below a DNAME is answered up to the blocked name, and the DNAME's owner is not below it",
            [
                of("bad.@"),
                of("to.@", to=(V4,)),
                of("no.@", form=Form.NODATA),
                of("e.@", excepts=("free.e.@",)),
            ],
            [
                blocked("a.d.@", at=1),
                blocked("a.d.@", at=1, is_iterative=True),
                blocked("b.a.d.@", "AAAA", at=1, do=True),
                blocked("c.d.@", "HTTPS", at=1, tcp=True),
                passes("d.@"),
                blocked("via.@", at=2),
                blocked("x.t.@", form=Form.REDIRECT, to=(V4,), because=("2",), at=1),
                blocked("x.t.@", "TXT", form=Form.REDIRECT, to=(V4,), because=("2",), at=1),
                blocked("x.n.@", form=Form.NODATA, because=("3",), at=1),
                passes("x.ok.@"),
                passes("y.x.ok.@", "AAAA", do=True),
                blocked("x.own.bad.@"),
                passes("shop.free.e.@"),
            ],
            aliases={
                "*.d.@": "bad.@",
                "via.@": "x.d.@",
                "*.t.@": "to.@",
                "*.n.@": "no.@",
                "*.ok.@": "fine.@",
                "*.own.bad.@": "fine.@",
                "*.free.e.@": "e.@",
            },
        ),
        case(
            "exempt",
            "a chain that starts at an order's except is not blocked by that order, and by others it is",
            [of("@", excepts=("free.@",)), of("bad.elsewhere.@")],
            [
                passes("free.@"),
                passes("two.free.@"),
                blocked("bad.free.@", because=("2",), at=1),
                passes("out.free.@"),
                blocked("shop.@"),
            ],
            aliases={
                "free.@": "shop.@",
                "two.free.@": "free.@",
                "bad.free.@": "bad.elsewhere.@",
                "out.free.@": "fine-exempt.example",
            },
        ),
    ]


def _regions(since: int, till: int) -> list[Case]:
    of = partial(block, start=since, until=till)
    return [
        case(
            "region",
            "an order is for its regions and those inside them, and for no other client",
            [
                of("id.@"),
                of("jk.@", regions=("ID-JK",)),
                of("gb.@", regions=("GB",)),
                of("both.@", regions=("ID", "GB"), form=Form.NODATA),
                of("deep.id.@", regions=("ID-JK",), form=Form.NODATA),
            ],
            [
                blocked("id.@"),
                blocked("id.@", region="ID-JK"),
                passes("id.@", region="GB"),
                passes("id.@", region=None),
                passes("jk.@"),
                blocked("jk.@", region="ID-JK", because=("2",)),
                passes("jk.@", region="GB"),
                passes("gb.@"),
                passes("gb.@", region="ID-JK"),
                blocked("gb.@", region="GB", because=("3",)),
                blocked("both.@", form=Form.NODATA, because=("4",)),
                blocked("both.@", form=Form.NODATA, because=("4",), region="GB"),
                passes("both.@", region=None),
                blocked("deep.id.@"),
                blocked("deep.id.@", form=Form.NODATA, because=("5", "1"), region="ID-JK"),
                passes("deep.id.@", region="GB"),
            ],
        ),
    ]


def _lives(now: int) -> list[Case]:
    since, till = now - WEEK, now + WEEK
    of = partial(block, start=since, until=till)
    return [
        case(
            "window",
            "an order blocks inside its window only",
            [
                block("past.@", start=since - WEEK, until=since),
                block("future.@", start=till, until=till + WEEK),
                block("open.@", start=since, until=None),
            ],
            [passes("past.@"), passes("future.@"), blocked("open.@", because=("3",))],
        ),
        case(
            "acts",
            "suspended, lifted, removed and withheld names pass; reinstated, added and renewed ones don't",
            [
                of("suspended.@"),
                act(Kind.SUSPEND, "1", since + 10),
                of("back.@"),
                act(Kind.SUSPEND, "3", since + 10),
                act(Kind.REINSTATE, "3", since + 20),
                of("lifted.@"),
                act(Kind.LIFT, "6", since + 10),
                of("cut.@"),
                act(Kind.AMEND, "8", since + 10, remove=("free.cut.@",)),
                block("renewed.@", start=since, until=since + 100),
                act(Kind.AMEND, "10", since + 10, until=till),
                act(Kind.AMEND, "8", since + 20, subjects=("added.@",)),
            ],
            [
                passes("suspended.@"),
                blocked("back.@", because=("3",)),
                passes("lifted.@"),
                blocked("cut.@", form=Form.NODATA, because=("8",)),
                passes("free.cut.@"),
                passes("x.free.cut.@"),
                blocked("o.cut.@", because=("8",)),
                blocked("renewed.@", because=("10",)),
                blocked("added.@", because=("12",)),
            ],
        ),
        case(
            "withheld",
            "what the operator withholds is not enforced, and another order on the same name is",
            [of("one.@"), of("two.@"), of("two.@", form=Form.NODATA), of("three.@")],
            [
                passes("one.@"),
                blocked("two.@", form=Form.NODATA, because=("3",)),
                blocked("three.@", because=("4",)),
            ],
            withheld=("1/d", "2"),
        ),
        case(
            "sealed",
            "a sealed order blocks and is not named",
            [
                of("one.@", publication=Publication.SEALED),
                of("both.@", publication=Publication.SEALED),
                of("both.@", form=Form.NODATA),
                of("shown.@", publication=Publication.SEALED_UNTIL_EFFECTIVE),
            ],
            [
                blocked("one.@", sealed=("1",)),
                blocked("both.@", because=("2", "3"), sealed=("2",)),
                blocked("shown.@", because=("4",)),
            ],
        ),
    ]


def turning(at: int) -> list[Case]:
    """The cases whose orders begin or end at `at`."""
    before, after = Phase.BEFORE, Phase.AFTER
    start, end = partial(block, start=at, until=at + WEEK), partial(block, start=at - WEEK, until=at)
    lasting = partial(block, start=at - WEEK, until=at + WEEK)
    redirected: dict[str, Any] = {"form": Form.REDIRECT, "to": (V4,), "because": ("2",)}
    return [
        case(
            "start",
            "a name in every cache passes until the instant and is blocked from it on",
            [
                start("@", excepts=("free.@",)),
                start("to.start2.example", to=(V4,)),
                start("plain.start2.example"),
            ],
            [
                *(passes(name, phase=before) for name in ("@", "a.@", "a.b.@", "free.@")),
                passes("a.@", "HTTPS", phase=before, do=True),
                passes("a.@", "SRV", phase=before),
                *(passes(f"{name}.start2.example", phase=before) for name in ("to", "x.to", "plain")),
                passes("to.start2.example", "HTTPS", phase=before),
                blocked("@", form=Form.NODATA, phase=after),
                blocked("a.@", phase=after),
                blocked("a.b.@", phase=after),
                blocked("a.@", "HTTPS", phase=after, do=True),
                blocked("a.@", "SRV", phase=after),
                passes("free.@", phase=after),
                *(
                    blocked(f"{name}.start2.example", qtype, **redirected, phase=after)
                    for name, qtype in (("to", "A"), ("x.to", "A"), ("to", "HTTPS"))
                ),
                blocked("plain.start2.example", because=("3",), phase=after),
                blocked("a.@", phase=after, is_iterative=True),
                blocked("a.b.@", phase=after, is_iterative=True, tcp=True),
                blocked("x.to.start2.example", **redirected, phase=after, is_iterative=True),
            ],
        ),
        case(
            "startexact",
            "an exact name starts alone",
            [start("@", match=Match.EXACT)],
            [
                passes("@", phase=before),
                passes("a.@", phase=before),
                blocked("@", form=Form.NODATA, phase=after),
                passes("@", "DS", phase=after),
                passes("a.@", phase=after),
            ],
        ),
        case(
            "startalias",
            "an alias in every cache is blocked when what it leads to is",
            [start("bad.@")],
            [
                passes("a.@", phase=before),
                passes("aa.@", "AAAA", phase=before),
                blocked("a.@", at=1, phase=after),
                blocked("aa.@", "AAAA", at=2, phase=after),
                blocked("a.@", at=1, phase=after, is_iterative=True),
                blocked("aa.@", "AAAA", at=2, phase=after, is_iterative=True),
            ],
            aliases={"a.@": "www.bad.@", "aa.@": "a.@"},
        ),
        case(
            "startdname",
            "a DNAME in every cache leads nowhere when what is below its target is blocked",
            [start("bad.@")],
            [
                passes("a.d.@", phase=before),
                passes("a.d.@", "AAAA", phase=before, do=True),
                blocked("a.d.@", at=1, phase=after),
                blocked("a.d.@", "AAAA", at=1, phase=after, do=True),
                blocked("never-asked.d.@", at=1, phase=after),
                blocked("a.d.@", at=1, phase=after, is_iterative=True),
            ],
            aliases={"*.d.@": "bad.@"},
        ),
        case(
            "startinner",
            "an order that begins inside another one changes the form there",
            [lasting("@"), start("in.@", form=Form.NODATA)],
            [
                blocked("in.@", phase=before),
                blocked("x.in.@", phase=before),
                blocked("in.@", form=Form.NODATA, because=("2", "1"), phase=after),
                blocked("x.in.@", form=Form.NODATA, because=("2", "1"), phase=after),
                blocked("o.@", phase=after),
            ],
        ),
        case(
            "end",
            "a name is blocked until the instant and passes from it on, though its denial was cached",
            [end("@"), end("to.end2.example", to=(V4,)), end("no.end2.example", form=Form.NODATA)],
            [
                *(blocked(name, phase=before) for name in ("@", "a.@")),
                blocked("a.@", "HTTPS", phase=before, do=True),
                blocked("to.end2.example", form=Form.REDIRECT, to=(V4,), because=("2",), phase=before),
                blocked("no.end2.example", form=Form.NODATA, because=("3",), phase=before),
                *(passes(name, phase=after) for name in ("@", "a.@", "to.end2.example", "no.end2.example")),
                passes("a.@", "HTTPS", phase=after, do=True),
            ],
        ),
        case(
            "endalias",
            "an alias passes when what it leads to does",
            [end("bad.@")],
            [blocked("a.@", at=1, phase=before), passes("a.@", phase=after)],
            aliases={"a.@": "www.bad.@"},
        ),
        case(
            "endone",
            "when one of two orders ends the other one goes on, in its own form",
            [end("@"), lasting("@", form=Form.NODATA)],
            [
                blocked("@", because=("1", "2"), phase=before),
                blocked("a.@", because=("1", "2"), phase=before),
                blocked("@", form=Form.NODATA, because=("2",), phase=after),
                blocked("a.@", form=Form.NODATA, because=("2",), phase=after),
            ],
        ),
        case(
            "acts2",
            "suspending, reinstating, lifting, removing, adding and renewing take effect at their instant",
            [
                lasting("suspended.@"),
                act(Kind.SUSPEND, "1", at),
                lasting("back.@"),
                act(Kind.SUSPEND, "3", at - 100),
                act(Kind.REINSTATE, "3", at),
                lasting("lifted.@"),
                act(Kind.LIFT, "6", at),
                lasting("cut.@"),
                act(Kind.AMEND, "8", at, remove=("free.cut.@",)),
                end("renewed.@"),
                act(Kind.AMEND, "10", at - 100, until=at + WEEK),
                act(Kind.AMEND, "8", at, subjects=("added.@",)),
            ],
            [
                blocked("suspended.@", phase=before),
                passes("back.@", phase=before),
                blocked("lifted.@", because=("6",), phase=before),
                blocked("free.cut.@", because=("8",), phase=before),
                blocked("cut.@", because=("8",), phase=before),
                blocked("renewed.@", because=("10",), phase=before),
                passes("added.@", phase=before),
                passes("suspended.@", phase=after),
                blocked("back.@", because=("3",), phase=after),
                passes("lifted.@", phase=after),
                passes("free.cut.@", phase=after),
                passes("x.free.cut.@", phase=after),
                blocked("cut.@", form=Form.NODATA, because=("8",), phase=after),
                blocked("o.cut.@", because=("8",), phase=after),
                blocked("renewed.@", because=("10",), phase=after),
                blocked("added.@", because=("12",), phase=after),
            ],
        ),
        case(
            "sealedstart",
            "the start of a sealed order shows in no TTL before it",
            [start("@", publication=Publication.SEALED)],
            [passes("@", phase=before), blocked("@", sealed=("1",), phase=after)],
        ),
    ]


def applied(at: int) -> list[Case]:
    """The cases of an apply, with which the orders come that begin at `at`, some of which end others.

    They are about fewer names than a point is asked to forget one by one.
    """
    new, lasting = partial(block, start=at, until=at + WEEK), partial(block, start=at - WEEK, until=at + WEEK)
    nodata, redirect, to = Form.NODATA, Form.REDIRECT, (V4, V6)
    return [
        case(
            "apply",
            "a name in every cache is blocked from the apply on that brings its order",
            [
                new("@", excepts=("free.@",)),
                new("apply2.example", to=to),
                new("apply3.example", form=nodata),
                new("exact.apply4.example", match=Match.EXACT),
                new("*.below.apply4.example"),
            ],
            [
                blocked("@", form=nodata),
                blocked("a.@"),
                blocked("a.b.@", "AAAA"),
                blocked("a.@", "HTTPS", do=True),
                blocked("A.@", "TXT", tcp=True),
                blocked("a.@", is_iterative=True),
                passes("free.@"),
                passes("x.free.@", do=True),
                passes("not@"),
                blocked("apply2.example", "A", redirect, ("2",), to=to),
                blocked("x.apply2.example", "AAAA", redirect, ("2",), to=to, do=True),
                blocked("apply2.example", "HTTPS", redirect, ("2",), to=to),
                blocked("apply3.example", "MX", nodata, ("3",)),
                blocked("exact.apply4.example", "A", nodata, ("4",)),
                passes("exact.apply4.example", "DS"),
                passes("a.exact.apply4.example"),
                passes("below.apply4.example"),
                blocked("a.below.apply4.example", because=("5",)),
            ],
        ),
        case(
            "applyalias",
            "an alias in every cache is blocked when an apply blocks what it leads to, or itself",
            [new("bad.@"), new("own.@"), new("to.@", to=to)],
            [
                blocked("a.@", at=1),
                blocked("a.@", "AAAA", at=1, do=True),
                blocked("aa.@", at=2),
                blocked("a2.@", "HTTPS", at=1),
                blocked("a.@", at=1, is_iterative=True),
                blocked("x.d.@", at=1),
                blocked("own.@", because=("2",)),
                blocked("t.@", "A", redirect, ("3",), to=to, at=1),
                passes("ok.@"),
            ],
            aliases={
                "a.@": "www.bad.@",
                "aa.@": "a.@",
                "a2.@": "www.bad.@",
                "*.d.@": "bad.@",
                "own.@": "fine.@",
                "t.@": "to.@",
                "ok.@": "fine.@",
            },
        ),
        case(
            "applyinner",
            "an order that comes inside another one changes the form there, if it is sealed the reason",
            [lasting("@"), new("in.@", form=nodata), new("seal.@", publication=Publication.SEALED)],
            [
                blocked("o.@"),
                blocked("in.@", form=nodata, because=("2", "1")),
                blocked("x.in.@", form=nodata, because=("2", "1")),
                blocked("x.seal.@", because=("3", "1"), sealed=("3",)),
            ],
        ),
        case(
            "applylift",
            "what an apply lifts, suspends or cuts out passes from then on, unless another order blocks it",
            [
                lasting("one.@"),
                act(Kind.LIFT, "1", at),
                lasting("two.@"),
                lasting("two.@", form=nodata),
                act(Kind.LIFT, "3", at),
                lasting("suspended.@", to=to),
                act(Kind.SUSPEND, "6", at),
                lasting("cut.@"),
                act(Kind.AMEND, "8", at, remove=("free.cut.@",), subjects=("added.@",)),
            ],
            [
                passes("one.@"),
                passes("a.one.@", "HTTPS", do=True),
                passes("alias.@"),
                blocked("two.@", form=nodata, because=("4",)),
                passes("suspended.@"),
                passes("x.suspended.@", "AAAA"),
                blocked("cut.@", form=nodata, because=("8",)),
                passes("x.free.cut.@"),
                blocked("o.cut.@", because=("8",)),
                blocked("x.added.@", because=("9",)),
            ],
            aliases={"alias.@": "x.one.@"},
        ),
    ]
