"""What a point's blocks look like, and when that changes."""

from __future__ import annotations

from dataclasses import replace

from blocker.prober.observe import Extended, Record, Reply
from blocker.prober.profile import ACCEPTED_AFTER, learn, of
from tests.prober.world import T, key


def soa(owner: str, ttl: int = 30) -> Record:
    return Record(owner=key(owner), rtype=6, ttl=ttl, data=b"")


EMBEDDED = Reply(rcode=3, flags=0x8180, soa=soa("x.example"), extended=(Extended(code=16),))
BIND = Reply(rcode=3, flags=0x8180, additional_soa=soa("id.rpz.isp.example", 5))
UNBOUND = Reply(rcode=3, flags=0x8580)


def test_the_form_of_each_engine_is_told() -> None:
    assert (of(EMBEDDED).soa, of(EMBEDDED).zone, of(EMBEDDED).codes, of(EMBEDDED).ttl) == (
        "authority",
        "",
        (16,),
        30,
    )
    assert (of(BIND).soa, of(BIND).zone, of(BIND).ttl) == ("additional", "id.rpz.isp.example", 5)
    assert (of(UNBOUND).soa, of(UNBOUND).is_authoritative, of(UNBOUND).is_recursive) == ("", True, True)


def test_only_what_no_passing_answer_has_is_a_mark() -> None:
    assert of(EMBEDDED).mark is None
    assert of(BIND).mark == ("additional", "id.rpz.isp.example", False)
    assert of(UNBOUND).mark == ("", "", True)
    assert of(replace(EMBEDDED, soa=None, extended=())).mark is None


def test_the_first_form_is_learnt_and_the_same_again_is_no_drift() -> None:
    known = learn(None, of(BIND), T)
    assert (known.profile, known.at, known.drift) == (of(BIND), T, "")
    shorter = replace(BIND, additional_soa=soa("id.rpz.isp.example", 1))
    assert learn(known, of(shorter), T + 10) == known


def test_another_form_is_a_drift_until_it_is_the_old_one_again() -> None:
    known = learn(None, of(BIND), T)
    drifted = learn(known, of(UNBOUND), T + 10)
    assert drifted.profile == of(BIND)
    assert drifted.drift == "soa, zone, authoritative"
    assert learn(drifted, of(UNBOUND), T + 20).drifted_at == T + 10
    assert learn(drifted, of(BIND), T + 30) == known


def test_a_longer_ttl_is_a_drift() -> None:
    longer = replace(BIND, additional_soa=soa("id.rpz.isp.example", 300))
    assert learn(learn(None, of(BIND), T), of(longer), T).drift == "ttl"


def test_a_drift_that_stays_for_a_day_is_the_form() -> None:
    drifted = learn(learn(None, of(BIND), T), of(UNBOUND), T + 10)
    assert learn(drifted, of(UNBOUND), T + 9 + ACCEPTED_AFTER).drift
    assert learn(drifted, of(UNBOUND), T + 10 + ACCEPTED_AFTER).profile == of(UNBOUND)
