"""`blocker verify`: what it says and how it exits."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from blocker.cli import show
from blocker.cli.approvals import UNSIGNED
from blocker.cli.main import main
from blocker.orders.model import Form, Publication
from blocker.prober import daemon
from blocker.prober.daemon import Verified
from blocker.sweep import bulk
from tests.prober.test_daemon import now_order, served
from tests.prober.world import answer, block, commit, obedient, policy, real

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from blocker.orders.model import Order

SITE = """\
site: {{operator: "Test", contact: "mailto:legal@isp.example", info_url: "https://isp.example/b", node: n1}}
state: .
orders: orders
protected: protected.yaml
regions: {{ID: ["192.0.2.0/24"]}}
prober: {{canaries: [canary.example], reference: ["{reference}"]}}
points:
  - {{name: p1, kind: embedded, address: "{point}", region: ID}}
"""


class Verb:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.folder, self._capsys, self.patch = folder, capsys, patch
        self.site = SITE
        self.over_tcp: Any = None
        (folder / "orders").mkdir()
        (folder / "protected.yaml").write_text("protected: []\n")
        self.asked_outside: list[Any] = []

    def run(self, script: Any, *words: str, orders: tuple[Order, ...] = ()) -> tuple[int, str, str]:
        """The exit code, what was printed and what was said aside, the point being the script."""
        commit(self.folder, *orders)
        path = self.folder / "site.yaml"
        with served(script, tcp=self.over_tcp) as (point, reference):
            path.write_text(self.site.format(point=point.endpoint, reference=reference.endpoint))
            self.patch.setattr("sys.argv", ["blocker", "--site", str(path), "verify", *words])
            with pytest.raises(SystemExit) as ended:
                main()
            self.asked_outside = list(reference.asked)
        code = ended.value.code
        assert isinstance(code, int)
        out, aside = self._capsys.readouterr()
        return code, out, aside.replace(f"{UNSIGNED}\n", "")


@pytest.fixture
def verb(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Verb:
    return Verb(tmp_path, capsys, monkeypatch)


def test_a_point_that_obeys_is_fine(verb: Verb) -> None:
    order = now_order()
    code, out, aside = verb.run(obedient(policy(order)), orders=(order,))
    assert (code, aside) == (0, "")
    rounds, verdict = out.splitlines()
    assert re.fullmatch(r"round, up to 20 names of each directive in every type and way: \d+ ok", rounds)
    assert verdict == "all that was asked is as ordered"


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_point_that_fails_at_everything_is_not_fine_though_nothing_can_be_told(
    verb: Verb, words: tuple[str, ...]
) -> None:
    code, out, _ = verb.run(lambda query: answer(query, rcode=2), *words, orders=(now_order(),))
    assert code == 1
    if words:
        assert {one["kind"] for one in json.loads(out)} == {"insufficient"}


def test_a_point_that_does_not_block_is_not_fine(verb: Verb) -> None:
    code, out, _ = verb.run(real, orders=(now_order(form=Form.NODATA),))
    assert code == 1
    assert "underblock" in out


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_what_was_not_asked_about_is_said(verb: Verb, words: tuple[str, ...]) -> None:
    order = now_order()
    whole = daemon.verify
    verb.patch.setattr(daemon, "verify", lambda site, **more: whole(site, budget=3, **more))
    code, _, aside = verb.run(obedient(policy(order)), *words, orders=(order,))
    assert code == 0
    assert re.match("[1-9][0-9]* expectations were not asked about", aside)


def test_what_the_policy_changed_under_is_not_fine(verb: Verb) -> None:
    verb.patch.setattr(daemon, "verify", lambda _, **__: Verified(findings=(), unjudged=2, unasked=0))
    code, _, aside = verb.run(real)
    assert code == 1
    assert aside.startswith("2 probes were not judged")


def test_what_no_block_can_be_seen_of_is_not_said_to_be_as_ordered(verb: Verb) -> None:
    now = time.time()
    order = block("x.nowhere.example", start=now - 60, until=now + 600)
    code, out, _ = verb.run(obedient(policy(order), ede=False), orders=(order,))
    assert code == 0
    assert "moot" in out.splitlines()[0]
    assert out.splitlines()[-1] == "all that was asked is as ordered, or moot"


def test_it_is_told_how_far_the_round_is(verb: Verb) -> None:
    told: list[tuple[str, int, int]] = []

    @contextmanager
    def progress() -> Iterator[Any]:
        yield lambda *said: told.append(said)

    order = now_order()
    verb.patch.setattr(show, "progress", progress)
    code, _, aside = verb.run(obedient(policy(order)), orders=(order,))
    assert (code, aside) == (0, "")
    assert [what for what, _, _ in told] == ["probing"] * len(told)
    done, total = [done for _, done, _ in told], told[-1][2]
    assert (done[0], done[-1]) == (0, total), "it begins with nothing and ends with all"
    assert done == sorted(done)


def test_ctrl_c_ends_the_round(verb: Verb) -> None:
    pressed: list[bool] = []

    def stop(query: Any) -> Any:
        if not pressed:  # Once: the next one would be for who runs the tests.
            pressed.append(True)
            os.kill(os.getpid(), signal.SIGINT)
        return real(query)

    code, out, aside = verb.run(stop, orders=(now_order(),))
    assert (code, out, aside) == (130, "", "\nstopped\n")


def test_help_says_that_what_cannot_be_told_counts_as_not_fine(verb: Verb) -> None:
    _, out, _ = verb.run(real, "--help")
    assert "what can't be told counts as not fine" in " ".join(out.split())


class Lists:
    """`verify` of lists alone: the round, which has its own tests, finds nothing to ask."""

    def __init__(self, verb: Verb) -> None:
        verb.patch.setattr(daemon, "verify", lambda _, **__: Verified(findings=(), unjudged=0, unasked=0))
        self._verb = verb

    def run(self, script: Any, *words: str, orders: tuple[Order, ...]) -> tuple[int, list[str]]:
        """The exit code and the lines printed, without those about the round and about the time it took."""
        code, out, _ = self._verb.run(script, "--rate", "2000", *words, orders=orders)
        return code, [line for line in out.splitlines() if not re.search(" a second|^round,", line)]


@pytest.fixture
def lists(verb: Verb) -> Lists:
    return Lists(verb)


def long_order(count: int, **more: Any) -> Order:
    now = time.time()
    subjects = [f"n{number}.shop.example" for number in range(count)]
    return block(*subjects, **{"start": now - 60, "until": now + 600, **more})


def named_order(ident: str, *subjects: str) -> Order:
    now = time.time()
    return block(*subjects, ident=ident, start=now - 60, until=now + 600)


def leaking(*orders: Order, leaks: Sequence[str]) -> Any:
    """A point that obeys, but for these names."""
    obeys = obedient(policy(*orders))

    def script(query: Any) -> Any:
        return (real if query.question[0].name.to_text()[:-1] in leaks else obeys)(query)

    return script


def test_all_asks_about_every_name(lists: Lists) -> None:
    order = long_order(100)
    code, lines = lists.run(obedient(policy(order)), "--all", orders=(order,))
    assert code == 0
    assert lines == [
        "p1, A over UDP: 100 names asked, 100 as ordered at first sight",
        "p1, A over UDP: all 100 names are as ordered",
        "p1, AAAA over UDP: all 100 names are as ordered",
        "p1, HTTPS over UDP: all 100 names are as ordered",
        "p1, A over TCP: all 100 names are as ordered",
        "all that was asked is as ordered",
    ]


def test_all_finds_the_one_name_that_leaks(lists: Lists) -> None:
    order = long_order(100)
    code, lines = lists.run(leaking(order, leaks=["n77.shop.example"]), "--all", orders=(order,))
    assert code == 1
    assert lines[0].startswith("underblock")
    assert lines[-7:] == [
        "p1, A over UDP: 100 names asked, 99 as ordered at first sight, 1 in doubt",
        "p1, A over UDP: 1 looked at again: 0 fine, 1 not",
        "p1, A over UDP: all 100 names asked about, 1 not as ordered",
        "p1, AAAA over UDP: all 100 names asked about, 1 not as ordered",
        "p1, HTTPS over UDP: all 100 names asked about, 1 not as ordered",
        "p1, A over TCP: all 100 names asked about, 1 not as ordered",
        "not all is as ordered",
    ]


def test_without_attribution_the_reference_speaks_for_a_few(lists: Lists) -> None:
    order = long_order(30)
    code, lines = lists.run(obedient(policy(order), ede=False), "--all", orders=(order,))
    assert code == 0
    first = "p1, A over UDP: 30 names asked, 0 as ordered at first sight"
    assert lines[:3] == [
        f"{first}, 30 in the ordered form without attribution",
        "p1, A over UDP: 30 looked at again: 30 fine, 0 not",
        "p1, A over UDP: all 30 names are as ordered",
    ]


def test_what_was_not_looked_at_again_is_not_fine(lists: Lists, verb: Verb) -> None:
    verb.patch.setattr(bulk, "_MOST_ODD", 1)
    order = long_order(30)
    leaks = [f"n{number}.shop.example" for number in range(5)]
    code, lines = lists.run(leaking(order, leaks=leaks), "--all", orders=(order,))
    assert code == 1
    told = [line for line in lines if line.startswith("p1, A over UDP")]
    assert told == [
        "p1, A over UDP: 30 names asked, 25 as ordered at first sight, 5 in doubt",
        "p1, A over UDP: 1 looked at again: 0 fine, 1 not, 4 were not looked at again",
        "p1, A over UDP: all 30 names asked about, 5 not as ordered",
    ]


def test_a_long_list_is_sampled_and_it_is_said_how_far_that_speaks_for_all(lists: Lists) -> None:
    order = long_order(3000)
    code, lines = lists.run(obedient(policy(order)), "--rate", "100000", orders=(order,))
    assert code == 0
    sampled = "p1, A over UDP: court/o1: 776 of 3,000 names sampled, 0 not as ordered: with"
    assert lines == [
        "p1, A over UDP: 776 names asked, 776 as ordered at first sight",
        f"{sampled} 95 % confidence at most 0.30 % of all are not",
        f"{sampled} 99 % confidence at most 0.50 % of all are not",
        "all that was asked is as ordered",
    ]


def test_every_name_of_a_short_list_is_asked_however_long_the_list_beside_it(lists: Lists) -> None:
    long, short = long_order(3000), named_order("court/o2", "only.cafe.example", "cafe2.example")
    code, lines = lists.run(
        leaking(long, short, leaks=["only.cafe.example"]), "--rate", "100000", orders=(long, short)
    )
    assert code == 1
    assert lines[1] == "p1, A over UDP: 778 names asked, 777 as ordered at first sight, 1 in doubt"
    assert lines[3] == "p1, A over UDP: short lists: all 2 names asked about, 1 not as ordered"
    assert lines[4].startswith("p1, A over UDP: court/o1: 776 of 3,000 names sampled, 0 not as ordered")


def test_each_long_list_has_a_sample_of_its_own(lists: Lists) -> None:
    orders = long_order(3000), named_order("court/o2", *(f"m{number}.cafe.example" for number in range(1400)))
    code, lines = lists.run(obedient(policy(*orders)), "--rate", "100000", orders=orders)
    assert code == 0
    assert [line.split(":")[1:3] for line in lines if "95 %" in line] == [
        [" court/o1", " 776 of 3,000 names sampled, 0 not as ordered"],
        [" court/o2", " 631 of 1,400 names sampled, 0 not as ordered"],
    ]


def test_all_asks_at_every_address_of_a_point(lists: Lists, verb: Verb) -> None:
    order = long_order(30)
    with served(leaking(order, leaks=["n3.shop.example"])) as (other, _):
        verb.site = SITE.replace("region: ID}}", f'region: ID, also: ["{other.endpoint}"]}}}}')
        code, lines = lists.run(obedient(policy(order)), "--all", orders=(order,))
    assert code == 1
    assert [line.split(": ")[1] for line in lines if " at 127." in line and ": all 30" in line] == [
        "all 30 names are as ordered",
        "all 30 names asked about, 1 not as ordered",
    ]
    assert lines[0].startswith("underblock")
    assert "udp+address-2" in lines[0]


@pytest.mark.parametrize(("qtype", "way"), [(28, "AAAA over UDP"), (65, "HTTPS over UDP")])
def test_all_asks_about_a_sample_in_other_types(lists: Lists, qtype: int, way: str) -> None:
    order = long_order(30)
    obeys = obedient(policy(order))

    def script(query: Any) -> Any:
        return (real if query.question[0].rdtype == qtype else obeys)(query)

    code, lines = lists.run(script, "--all", orders=(order,))
    assert code == 1
    assert [line for line in lines if line.endswith(" not as ordered")] == [
        f"p1, {way}: all 30 names asked about, 30 not as ordered"
    ]


def test_all_asks_about_a_sample_over_tcp(lists: Lists, verb: Verb) -> None:
    order = long_order(30)
    verb.over_tcp = leaking(order, leaks=["n3.shop.example"])
    code, lines = lists.run(obedient(policy(order)), "--all", orders=(order,))
    assert code == 1
    assert [line for line in lines if line.endswith(" not as ordered")] == [
        "p1, A over TCP: all 30 names asked about, 1 not as ordered"
    ]


def test_names_that_the_round_has_no_room_for_are_asked_all_the_same(lists: Lists, verb: Verb) -> None:
    verb.patch.setattr(daemon, "verify", lambda _, **__: Verified(findings=(), unjudged=0, unasked=5))
    order = long_order(10)
    code, lines = lists.run(obedient(policy(order)), orders=(order,))
    assert code == 0
    assert "p1, A over UDP: all 10 names are as ordered" in lines


def test_short_lists_have_the_round_alone(lists: Lists) -> None:
    order = long_order(20)
    assert lists.run(real, orders=(order,)) == (0, ["all that was asked is as ordered"])


def test_lists_that_are_not_in_force_are_not_sampled(lists: Lists) -> None:
    order = long_order(30, start=time.time() + 500)
    assert lists.run(real, orders=(order,)) == (0, ["all that was asked is as ordered"])


def test_a_silent_point_is_not_fine(lists: Lists) -> None:
    order = long_order(30)
    code, lines = lists.run(lambda _: None, "--all", orders=(order,))
    assert code == 1
    sentence = "p1, A over UDP: 30 names asked, 0 as ordered at first sight, 30 while the controls failed"
    assert sentence in lines
    assert "p1, A over TCP: not all names were asked: over UDP nothing could be told" in lines


def test_ctrl_c_ends_it_at_once_with_what_was_seen(lists: Lists) -> None:
    order = long_order(200)
    obeys, seen = obedient(policy(order)), []

    def script(query: Any) -> Any:
        seen.append(query.id)
        if len(seen) == 60:
            os.kill(os.getpid(), signal.SIGINT)
        return obeys(query) if len(seen) < 60 else None

    before = signal.getsignal(signal.SIGINT)
    code, lines = lists.run(script, "--all", "--rate", "100", orders=(order,))
    assert code == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert "still under way" in lines[0]
    assert lines[1] == "p1, A over UDP: not all names were asked: stopped"
    assert lines[-1] == "stopped"


def test_for_machines_the_lists_are_told_aside(lists: Lists, verb: Verb) -> None:
    order = long_order(30)
    code, out, aside = verb.run(
        leaking(order, leaks=["n3.shop.example"]), "--all", "--json", "--rate", "2000", orders=(order,)
    )
    assert code == 1
    assert {one["kind"] for one in json.loads(out)} == {"underblock", "ok"}
    assert "p1, A over UDP: 30 names asked, 29 as ordered at first sight, 1 in doubt" in aside


def test_of_a_sealed_order_no_name_is_told(lists: Lists, verb: Verb) -> None:
    order = long_order(30, publication=Publication.SEALED)
    code, out, aside = verb.run(
        leaking(order, leaks=["n3.shop.example"]), "--all", "--rate", "2000", orders=(order,)
    )
    assert code == 1
    assert "shop" not in out + aside
    assert not [name for name, *_ in verb.asked_outside if "shop" in name]


def test_findings_that_are_fine_are_shown_if_asked_for(verb: Verb) -> None:
    order = now_order()
    _, out, _ = verb.run(obedient(policy(order)), "--findings", orders=(order,))
    assert "blocked-with-attribution" in out


def test_options_of_the_right_kind_are_asked_for(verb: Verb) -> None:
    code, _, aside = verb.run(real, "--rate", "0")
    assert code == 2
    assert "0 is not in the range x>=1" in aside
