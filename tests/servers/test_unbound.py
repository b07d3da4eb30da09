"""The module inside a real Unbound."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import lmdb
import pytest

from blocker.orders.model import Form, Match, Publication
from blocker.policy import store
from tests.resolver import live
from tests.resolver.world import block, engine, handled, policy
from tests.servers import lab, unbound_lab
from tests.servers.authority import ADDRESS, TTL, Authority, authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blocker.orders.model import Order

NXDOMAIN, NOERROR = dns.rcode.NXDOMAIN, dns.rcode.NOERROR
LONG_AGO, FAR = 1_700_000_000, 4_000_000_000


@dataclass
class Site:
    """A policy store, an authority, and Unbound between them."""

    folder: Path
    authority: Authority
    number: int = 0

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def apply(self, *orders: Order, **changes: Any) -> None:
        self.number += 1
        live.store(self.state, *orders, number=self.number, **changes)

    @contextmanager
    def unbound(self, **changes: Any) -> Iterator[unbound_lab.Unbound]:
        given = {"region": "ID", **changes}
        with unbound_lab.unbound(
            self.folder / "unbound", self.state, self.authority.port, **given
        ) as running:
            yield running


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with authority() as found:
        yield Site(tmp_path, found)


def ordered(*names: str, ident: str = "court/o1", start: float = LONG_AGO, **changes: Any) -> Order:
    return block(*names, ident=ident, start=start, until=changes.pop("until", FAR), **changes)


def asked(
    port: int, name: str, rdtype: str = "A", *, tcp: bool = False, **options: Any
) -> dns.message.Message:
    query = dns.message.make_query(name, rdtype, **(options or {"use_edns": 0}))
    return (dns.query.tcp if tcp else dns.query.udp)(query, "127.0.0.1", port=port, timeout=5)


def explained(answer: dns.message.Message) -> list[tuple[int, str]]:
    found = [one for one in answer.options if isinstance(one, dns.edns.EDEOption)]
    return [(int(one.code), str(one.text or "")) for one in found]


def is_blocked(port: int, name: str, rdtype: str = "A") -> bool:
    return 16 in [code for code, _ in explained(asked(port, name, rdtype))]


def until(happens: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


FORMS = (
    ordered("nx.example"),
    ordered("*.below.example", ident="court/o2"),
    ordered("exact.example", ident="court/o3", match=Match.EXACT),
    ordered("none.example", ident="court/o4", form=Form.NODATA),
    ordered("refused.example", ident="court/o5", form=Form.REFUSED),
    ordered("to.example", ident="court/o6", form=Form.REDIRECT, addresses=("192.0.2.1", "2001:db8::1")),
    ordered("hole.example", ident="court/o7", excepts=("free.hole.example",)),
    ordered("nx.example", ident="court/o8"),
    ordered("secret.example", ident="court/o9", publication=Publication.SEALED),
    ordered("gb.example", ident="court/o10", regions=("GB",)),
    ordered(".".join(["n" * 63] * 3 + ["n" * 61]), ident="court/o11"),
)

QUESTIONS = [
    *[
        (name, rdtype)
        for name in ("nx.example", "www.NX.example", "to.example")
        for rdtype in ("A", "AAAA", "HTTPS")
    ],
    *[("nx.example", rdtype) for rdtype in ("MX", "TXT", "NS", "SOA", "DS", "DNSKEY", "CNAME", "TYPE65280")],
    ("www.below.example", "A"),
    ("exact.example", "A"),
    ("none.example", "A"),
    ("refused.example", "A"),
    ("to.example", "MX"),
    ("hole.example", "A"),
    ("other.hole.example", "A"),
    ("secret.example", "A"),
    (".".join(["n" * 63] * 3 + ["n" * 61]), "A"),
    ("a\\000b\\.c\\200\\\\.nx.example", "A"),
    ("_dns.r3---x.nx.example", "A"),
]

VARIANTS: tuple[dict[str, Any], ...] = (
    {"use_edns": 0},
    {"want_dnssec": True},
    {"use_edns": 0, "flags": dns.flags.RD | dns.flags.CD},
    {"use_edns": -1},
)

PASSING = [
    ("below.example", "A"),
    ("www.exact.example", "A"),
    ("exact.example", "DS"),
    ("hole.example", "DNSKEY"),
    ("free.hole.example", "A"),
    ("www.free.hole.example", "A"),
    ("notnx.example", "A"),
    ("gb.example", "A"),
    ("example", "A"),
]


def test_blocked_answers_are_those_of_the_embedded_resolver_and_the_rest_passes(site: Site) -> None:
    site.apply(*FORMS)
    mind, index = engine(), policy(*FORMS)
    with site.unbound() as running:
        for name, rdtype in QUESTIONS:
            for options in VARIANTS:
                query = dns.message.make_query(name, rdtype, **options)
                wanted = handled(mind, query.to_wire(), index, time.time())
                for tcp in (False, True):
                    answer = asked(running.port, name, rdtype, tcp=tcp, **options)
                    place = (name, rdtype, options, tcp)
                    assert answer.rcode() == wanted.rcode(), place
                    assert answer.answer == wanted.answer, place
                    assert answer.authority == wanted.authority, place
                    assert explained(answer) == explained(wanted), place
                    assert [rrset.ttl for rrset in answer.authority] == [
                        rrset.ttl for rrset in wanted.authority
                    ]
                    assert answer.flags & (dns.flags.AD | dns.flags.AA | dns.flags.RA) == dns.flags.RA, place
                    assert answer.question == query.question, place
        for name, rdtype in PASSING:
            answer = asked(running.port, name, rdtype)
            assert answer.rcode() == NOERROR, name
            assert explained(answer) == [], name
            assert bool(answer.answer) == (rdtype == "A"), name
        assert "blocker: generation 1 is enforced for ID" in running.log
        assert "could not be decided" not in running.log


def test_an_alias_is_blocked_at_its_first_blocked_owner_and_leaves_nothing_in_the_cache(site: Site) -> None:
    site.authority.alias("a.example", "b.example")
    site.authority.alias("b.example", "www.nx.example")
    site.authority.alias("www.nx.example", "beyond.example")
    site.authority.alias("hasty.example", "cdn.nx.example", ttl=0)
    site.authority.alias("free.hole.example", "other.hole.example")
    site.authority.records["d.example", "CNAME"] = (
        f"example {TTL} IN DNAME nx.example.",
        f"d.example {TTL} IN CNAME d.nx.example.",
    )
    site.apply(*FORMS)
    with site.unbound() as running:
        for _ in range(3):
            answer = asked(running.port, "a.example")
            assert answer.rcode() == NXDOMAIN
            assert [rrset.name.to_text() for rrset in answer.answer] == ["a.example.", "b.example."]
            assert answer.authority[0].name.to_text() == "www.nx.example."
            assert explained(answer) == [(16, "court/o1/d court/o8/d https://isp.example/blocked")]
            assert asked(running.port, "hasty.example").rcode() == NXDOMAIN
            for target in ("www.nx.example", "cdn.nx.example"):
                answer = asked(running.port, target)
                assert answer.rcode() == NXDOMAIN
                assert answer.answer == []
            assert not is_blocked(running.port, "free.hole.example"), "its chain began at the except"
            assert is_blocked(running.port, "other.hole.example")
        assert site.authority.asked["a.example"] == 1, "what it found is at hand for the next"
        assert "not in cache" not in running.log


# Without a validator Unbound answers from what it kept for an alias' sake under the name of its target.
@pytest.mark.parametrize("modules", ["python validator iterator", "python iterator"])
def test_starts_and_lifts_come_at_their_second_whatever_the_caches_hold(site: Site, modules: str) -> None:
    for alias, target in (("alias.example", "direct.example"), ("hidden.example", "sealed.example")):
        site.authority.alias(alias, target)
    for alias, target in (("hasty.example", "late.example"), ("quick.example", "dark.example")):
        site.authority.alias(alias, target, ttl=0)
    site.apply()
    sealed = ["sealed.example", "hidden.example", "dark.example"]
    names = ["direct.example", "alias.example", "late.example", *sealed]
    seen: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in names}
    most: dict[str, float] = dict.fromkeys(names, -FAR)
    with site.unbound(server=f'prefetch: yes\n  module-config: "{modules}"') as running:
        start = int(time.time()) + 4
        end = start + 3
        site.apply(
            ordered("direct.example", "late.example", start=start, until=end),
            ordered(
                *("sealed.example", "dark.example"),
                ident="court/o2",
                start=start,
                until=end,
                publication=Publication.SEALED,
            ),
        )
        for alias in ("hasty.example", "quick.example"):
            asked(running.port, alias)
        while time.time() < end + 1:
            for name in names:
                sent = time.time()
                answer = asked(running.port, name)
                seen[name].append((sent, time.time(), answer.rcode() == NXDOMAIN))
                if answer.rcode() == NOERROR and sent < start:
                    most[name] = max(most[name], *(sent + rrset.ttl for rrset in answer.answer))
            time.sleep(0.03)
        assert "could not be decided" not in running.log
        assert "not in cache" not in running.log
    for name, found in seen.items():
        assert any(not blocked for sent, _, blocked in found if sent < start - 2), "it was cached before"
        wrong = [
            (round(sent - start, 3), blocked)
            for sent, came, blocked in found
            if (blocked and came < start)
            or (not blocked and start <= sent and came < end)
            or (blocked and sent >= end)
        ]
        assert wrong == [], name
        assert any(blocked for _, _, blocked in found), name
        if name in sealed:
            assert most[name] > start + 1000, "the TTL says nothing of the start"
        else:
            assert most[name] <= start, "caches below end before the start"


def test_an_answer_that_comes_after_the_start_is_blocked(site: Site) -> None:
    start = int(time.time()) + 2
    site.authority.delays["slow.example"] = 0.3
    site.apply(ordered("slow.example", start=start))
    with site.unbound() as running:
        time.sleep(max(0, start - 0.15 - time.time()))
        assert asked(running.port, "slow.example").rcode() == NXDOMAIN
        assert time.time() >= start
        assert site.authority.asked["slow.example"] > 0
        assert is_blocked(running.port, "slow.example")


def test_a_blocked_answers_ttl_ends_before_its_lift(site: Site) -> None:
    now = int(time.time())
    site.apply(ordered("short.example", until=now + 12))
    with site.unbound() as running:
        for _ in range(3):
            answer = asked(running.port, "short.example")
            assert answer.authority[0].ttl <= 11
            assert answer.authority[0].ttl + time.time() <= now + 12
            time.sleep(0.7)


def test_passing_answers_have_the_sites_largest_ttl(site: Site) -> None:
    site.apply(ordered("nx.example"), max_ttl=60)
    site.authority.alias("alias.example", "free.example")
    site.authority.alias("blocked.example", "nx.example")
    with site.unbound() as running:
        for name in ("free.example", "alias.example", "free.example"):
            answer = asked(running.port, name)
            assert all(rrset.ttl <= 60 for rrset in answer.answer), name
            assert answer.answer[-1][0].to_text() == ADDRESS
        assert asked(running.port, "free.example", "MX").authority[0].ttl <= 60
        answer = asked(running.port, "blocked.example")
        assert answer.rcode() == NXDOMAIN
        assert answer.answer[0].ttl <= 60, "the alias to what is blocked"


def test_an_apply_shows_at_the_next_query_and_a_flush_makes_it_so_for_cached_names(site: Site) -> None:
    site.authority.alias("alias.example", "cached.example")
    site.apply(ordered("nx.example"))
    with site.unbound() as running:
        for name in ("cached.example", "alias.example"):
            assert not is_blocked(running.port, name)
        site.apply(ordered("nx.example"), ordered("new.example", "cached.example", ident="court/o2"))
        assert is_blocked(running.port, "new.example")
        running.controlled("flush_zone", "cached.example")
        assert is_blocked(running.port, "cached.example")
        assert is_blocked(running.port, "alias.example")
        assert explained(asked(running.port, "nx.example"))[0][1].startswith("court/o1/d https")
        site.apply(ordered("nx.example"), ordered("nx.example", ident="court/o3", form=Form.REFUSED))
        for name in ("new.example", "cached.example", "alias.example"):
            assert not is_blocked(running.port, name)
        answer = asked(running.port, "nx.example")
        assert answer.rcode() == dns.rcode.REFUSED
        assert explained(answer)[0][1].startswith("court/o3/d court/o1/d https")
        assert "blocker: generation 3 is enforced for ID" in running.log


SHOPS = [f"shop{number}.example" for number in range(4)]


def held(site: Site, port: int) -> None:
    """Every shop is in Unbound's cache, as an alias of one target."""
    for name in SHOPS:
        site.authority.alias(name, "target.example")
        assert not is_blocked(port, name)


def test_every_cached_alias_of_a_name_is_blocked_after_the_flush_of_a_start_at_once(site: Site) -> None:
    site.apply()
    with site.unbound() as running:
        held(site, running.port)
        site.apply(ordered("target.example"))
        assert is_blocked(running.port, "new.target.example"), "the policy was read"
        running.controlled("flush_zone", "target.example")
        for _ in range(2):
            assert [name for name in SHOPS if not is_blocked(running.port, name)] == []
        assert "not in cache" not in running.log


@pytest.mark.parametrize("publication", [Publication.PUBLIC, Publication.SEALED])
@pytest.mark.parametrize("asked_before", [0, 1, 4])
def test_every_alias_cached_before_the_apply_is_blocked_from_an_announced_start(
    site: Site, asked_before: int, publication: Publication
) -> None:
    site.apply()
    with site.unbound() as running:
        held(site, running.port)
        start = int(time.time()) + 3
        site.apply(ordered("target.example", start=start, publication=publication))
        asked(running.port, "new.target.example")
        running.controlled("flush_zone", "target.example")
        for name in SHOPS[:asked_before]:
            assert not is_blocked(running.port, name)
        assert time.time() < start
        time.sleep(max(0, start + 0.05 - time.time()))
        for _ in range(2):
            assert [name for name in SHOPS if not is_blocked(running.port, name)] == []
        assert "not in cache" not in running.log


def test_the_store_may_be_replaced_and_vanish(site: Site) -> None:
    site.apply(ordered("first.example"))
    with site.unbound() as running:
        assert is_blocked(running.port, "first.example")
        shutil.rmtree(site.state)
        time.sleep(0.15)
        assert is_blocked(running.port, "first.example"), "the last policy read stays in force"
        assert not is_blocked(running.port, "second.example")
        site.number = 0
        site.apply(ordered("third.example"))
        # Each time another name below it: what passed stands in Unbound's cache.
        tries = itertools.count()
        until(lambda: is_blocked(running.port, f"n{next(tries)}.third.example"))
        assert not is_blocked(running.port, "first.example")
        (site.state / store.FILE).unlink()
        (site.state / store.FILE).write_bytes(b"\0" * 65536)
        time.sleep(0.15)
        assert is_blocked(running.port, "third.example")
        # The first complaint was of the missing file; the next may come a minute later.
        assert "No such file or directory; the last policy read goes on being enforced" in running.log
        assert asked(running.port, "free.example").rcode() == NOERROR


def test_before_the_first_apply_everything_passes_and_then_it_is_enforced(site: Site) -> None:
    with site.unbound() as running:
        assert asked(running.port, "one.example").rcode() == NOERROR
        assert "`blocker apply` makes it" in running.log
        site.apply(ordered("nx.example"))
        time.sleep(0.6)
        assert is_blocked(running.port, "nx.example")


def damage(state: Path, database: bytes) -> None:
    """As a disk or a bug would: every value of one database is gone or nonsense."""
    with lmdb.open(str(state / store.FILE), subdir=False, map_size=store.MAP_SIZE, max_dbs=8) as opened:
        found = opened.open_db(database)
        with opened.begin(write=True) as txn:
            for key, _ in list(txn.cursor(db=found)):
                if database == b"sets":
                    txn.delete(key, db=found)
                else:
                    txn.put(key, b"{nonsense", db=found)


@pytest.mark.parametrize("database", [b"sets", b"directives"])
def test_a_fault_while_deciding_passes_the_query_and_is_logged_once_a_minute(
    site: Site, database: bytes
) -> None:
    site.apply(ordered("nx.example"))
    with site.unbound() as running:
        assert is_blocked(running.port, "nx.example")
        damage(site.state, database)
        time.sleep(0.15)
        for number in range(50):
            answer = asked(running.port, f"n{number}.nx.example")
            assert answer.rcode() == NOERROR
            assert answer.answer[0][0].to_text() == ADDRESS
        assert running.log.count("could not be decided") == 1
        assert "Traceback" not in running.log


def test_what_passed_undecided_is_forgotten_a_moment_after_the_store_is_whole_again(site: Site) -> None:
    site.authority.alias("alias.example", "www.nx.example")
    site.apply(ordered("nx.example"))
    away = site.state.rename(site.folder / "away")
    names = ["nx.example", "alias.example", "www.nx.example"]
    with site.unbound() as running:
        for name in names:
            answer = asked(running.port, name)
            assert answer.answer[-1][0].to_text() == ADDRESS
            assert all(rrset.ttl <= 1 for rrset in answer.answer), "caches below forget it, too"
        away.rename(site.state)
        tries = itertools.count()
        until(lambda: is_blocked(running.port, f"n{next(tries)}.nx.example"))
        until(lambda: all(is_blocked(running.port, name) for name in names))
        assert "not in cache" not in running.log


def test_while_nothing_can_be_decided_what_everybody_asks_for_still_comes_from_the_cache(site: Site) -> None:
    with site.unbound() as running:
        for _ in range(50):
            assert asked(running.port, "popular.example").rcode() == NOERROR
        assert site.authority.asked["popular.example"] < 10


def test_what_was_decided_is_blocked_even_if_its_answer_cannot_be_made(site: Site) -> None:
    long = ".".join(["n" * 63] * 3 + ["to.example"])  # Unbound builds a message without compression.
    site.authority.alias("alias.example", long)
    addresses = tuple(f"10.0.{number // 250}.{number % 250 + 1}" for number in range(600))
    site.apply(ordered("to.example", form=Form.REDIRECT, addresses=addresses))
    with site.unbound() as running:
        for name in (long, "alias.example"):
            assert asked(running.port, name).rcode() == dns.rcode.SERVFAIL
        assert is_blocked(running.port, "to.example", "TXT"), "what has no addresses is said as ever"
        assert "without its reason" in running.log


def test_class_any_is_no_way_around(site: Site) -> None:
    site.apply(ordered("nx.example"))
    with site.unbound() as running:
        for name in ("nx.example", "free.example"):
            for _ in range(2):
                answer = asked(running.port, name, rdclass="ANY")
                assert (answer.rcode(), answer.answer) == (dns.rcode.REFUSED, [])
        assert site.authority.asked["nx.example"] == 0


def test_unbounds_own_queries_are_not_blocked_and_leave_nothing_for_clients(site: Site) -> None:
    site.authority.records["ns.nx.example", "A"] = (f"ns.nx.example {TTL} IN A 127.0.0.1",)
    site.apply(ordered("nx.example"))
    stub = f'stub-zone:\n  name: "free.test"\n  stub-host: "ns.nx.example@{site.authority.port}"\n'
    with site.unbound(after=stub) as running:
        assert asked(running.port, "www.free.test").answer[0][0].to_text() == ADDRESS
        assert site.authority.asked["ns.nx.example"] > 0
        assert is_blocked(running.port, "ns.nx.example")
        assert is_blocked(running.port, "ns.nx.example", "AAAA")
        assert asked(running.port, "more.free.test").answer[0][0].to_text() == ADDRESS


def test_answers_of_a_zone_beside_it_get_their_reason(site: Site) -> None:
    zone = site.folder / "rpz.zone"
    text = "$TTL 30\n@ SOA ns.invalid. h.invalid. 1 60 60 60 30\n@ NS ns.invalid.\n"
    text += "nx.example CNAME .\n*.nx.example CNAME .\nmine.example CNAME .\nhole.example CNAME *.\n"
    zone.write_text(text)
    site.authority.alias("alias.example", "nx.example")
    hole = ordered("hole.example", ident="court/o3", excepts=("free.hole.example",))
    site.apply(ordered("nx.example"), ordered("late.example", ident="court/o2"), hole)
    own = site.folder / "own.zone"
    own.write_text(text.replace("mine.example", "own.example").replace("nx.example", "other.example"))
    rpz = "".join(
        f'rpz:\n  name: "{name}"\n  zonefile: "{path}"\n'
        for name, path in (("id.rpz.isp.example", zone), ("own.rpz.isp.example", own))
    )
    server = 'module-config: "python respip validator iterator"'
    with site.unbound(server=server, after=rpz) as running:
        for name in ("nx.example", "www.nx.example", "alias.example"):
            answer = asked(running.port, name)
            assert answer.rcode() == NXDOMAIN, name
            assert explained(answer) == [(16, "court/o1/d https://isp.example/blocked")], name
        for rdtype in ("A", "DS", "DNSKEY"):  # The last two would pass, but a zone can't let them.
            answer = asked(running.port, "hole.example", rdtype)
            assert explained(answer) == [(16, "court/o3/d https://isp.example/blocked")], rdtype
        for name in ("mine.example", "own.example"):
            answer = asked(running.port, name)
            assert (answer.rcode(), explained(answer)) == (NXDOMAIN, []), "not an order's"
        assert is_blocked(running.port, "late.example"), "the zone doesn't have it yet"
        assert not is_blocked(running.port, "free.example")


def test_the_operators_own_data_is_not_put_down_to_an_order(site: Site) -> None:
    site.apply(*FORMS)
    server = (
        'local-zone: "nx.example." transparent\n  local-data: "portal.nx.example. A 10.0.0.7"\n'
        '  local-zone: "off.nx.example." always_nxdomain\n  local-zone: "to.example." transparent\n'
        '  local-data: "to.example. A 192.0.2.1"\n  local-data: "mine.to.example. A 10.0.0.7"'
    )
    said = "court/o1/d court/o8/d https://isp.example/blocked"
    redirected = "court/o6/d https://isp.example/blocked"
    with site.unbound(server=server) as running:
        for name in ("portal.nx.example", "mine.to.example"):
            answer = asked(running.port, name)
            assert answer.answer[0][0].to_text() == "10.0.0.7"
            assert explained(answer) == [], name
        assert explained(asked(running.port, "portal.nx.example", "AAAA")) == [(16, said)], "a denial"
        assert explained(asked(running.port, "off.nx.example")) == [(16, said)], "a denial"
        assert explained(asked(running.port, "to.example")) == [(16, redirected), (4, "")]
        assert "could not be decided" not in running.log


REFUSED = {
    "serve-expired": ({"server": "serve-expired: yes"}, "serve-expired: yes"),
    "serve-expired-quoted": ({"server": "serve-expired:\n    'yes'"}, "serve-expired: yes"),
    "serve-original-ttl": ({"server": "serve-original-ttl: yes"}, "serve-original-ttl: yes"),
    "cache-min-ttl": ({"server": "cache-min-ttl: 60"}, "cache-min-ttl"),
    "order": ({"server": 'module-config: "validator python iterator"'}, "validator before python"),
    "cache": (
        {"server": 'module-config: "dns64 python validator iterator"'},
        "dns64 before python",
    ),
    "subnets": (
        {"server": 'module-config: "python subnetcache validator iterator"'},
        "subnetcache beside python",
    ),
    "region": ({"region": "XX"}, "not among the site's regions (GB, ID)"),
    "nothing": ({"region": ""}, "BLOCKER_STATE and BLOCKER_REGION"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_cannot_hold_the_policy_does_not_start_and_says_why(site: Site, which: str) -> None:
    given, words = REFUSED[which]
    site.apply(ordered("nx.example"))
    with pytest.raises(AssertionError, match="it ended") as raised, site.unbound(**given):
        pass
    assert words in str(raised.value)


def test_more_threads_are_warned_of_and_answer_all_the_same(site: Site) -> None:
    site.apply(ordered("nx.example"))
    with site.unbound(server="num-threads: 2") as running:
        assert "num-threads: 2" in running.log
        for number in range(40):
            assert is_blocked(running.port, f"n{number}.nx.example")
            assert not is_blocked(running.port, f"n{number}.example")


@pytest.mark.parametrize("conf", ["module.conf", "module-and-rpz.conf"])
def test_the_configurations_of_ops_pass_unbounds_own_check_and_enforce_as_they_stand(
    site: Site, conf: str
) -> None:
    site.apply(ordered("nx.example"))
    with site.unbound(conf=conf) as running:
        assert is_blocked(running.port, "nx.example")
        assert asked(running.port, "free.example").answer[0][0].to_text() == ADDRESS
        ran = subprocess.run(
            [lab.program("unbound-checkconf"), str(running.conf)],
            capture_output=True,
            text=True,
            check=False,
            cwd=running.folder,
            env=unbound_lab.environment(site.state, "ID"),
        )
    assert ran.returncode == 0, ran.stderr
    assert "no errors" in ran.stdout


def test_an_installed_copy_finds_the_environment_that_it_is_in(site: Site) -> None:
    packages = site.folder / "env" / "site-packages"
    packages.mkdir(parents=True)
    for path in Path(lmdb.__file__).parents[1].iterdir():
        if "blocker" not in path.name:
            (packages / path.name).symlink_to(path)
    shutil.copytree(unbound_lab.ROOT / "blocker", packages / "blocker")
    script = packages / "blocker" / "plugins" / "unbound.py"
    script.write_text(script.read_text().replace("is enforced for", "of the copy is enforced for"))
    site.apply(ordered("nx.example"))
    with site.unbound(script=script) as running:
        assert is_blocked(running.port, "nx.example")
        assert "blocker: generation 1 of the copy is enforced for ID" in running.log
        # The system may have a library of the same name, which is not the one that was installed.
        mapped = Path(f"/proc/{running.pid}/maps").read_text()
        assert str(Path(lmdb.__file__).parent.resolve()) in mapped


def test_without_an_environment_of_unbounds_python_it_says_how_to_make_one(site: Site) -> None:
    shutil.copytree(unbound_lab.ROOT / "blocker", site.folder / "bare" / "blocker")
    script = site.folder / "bare" / "blocker" / "plugins" / "unbound.py"
    site.apply(ordered("nx.example"))
    with pytest.raises(AssertionError, match="it ended") as raised, site.unbound(script=script):
        pass
    assert "ops/install" in str(raised.value)


def test_apparmor_takes_what_is_added_to_debians_profile(tmp_path: Path) -> None:
    unbound_lab.module()
    parser = lab.program("apparmor_parser")
    (tmp_path / "local").mkdir()
    for name in ("abi", "abstractions", "tunables"):
        (tmp_path / name).symlink_to(f"/etc/apparmor.d/{name}")
    shutil.copy(unbound_lab.OPS / "apparmor", tmp_path / "local" / "usr.sbin.unbound")
    profile = shutil.copy("/etc/apparmor.d/usr.sbin.unbound", tmp_path)
    options = ("--skip-kernel-load", "--skip-cache", "--debug", "--base", str(tmp_path))
    ran = subprocess.run([parser, *options, profile], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for path in ("/opt/blocker/**", "/var/lib/blocker/state/policy.lmdb-lock"):
        assert f"({path})" in ran.stdout
