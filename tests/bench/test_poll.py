"""What is concluded from answers, by answers made up."""

from __future__ import annotations

import pytest

from tests.bench.poll import NOERROR, NXDOMAIN, Hunt, Seen, Steady, Watch, judge

T = 1000.0


def watch(*seen: Seen, rcode: int = NXDOMAIN, asked: int = 0) -> Watch:
    found = Watch(server="x", asks="a.example", instant=T, rcode=rcode, since=T - 1, till=T + 1)
    found.seen, found.asked = list(seen), asked or len(seen)
    return found


def test_the_first_answer_that_obeys_counts_from_the_instant() -> None:
    judged = judge(watch(Seen(T - 1, T - 0.9, NOERROR), Seen(T + 0.1, T + 0.2, NXDOMAIN)))
    assert judged.first == pytest.approx(0.2)
    assert not judged.early
    assert (judged.relapsed, judged.wrong, judged.lost) == (0, 0, 0)


def test_a_block_before_the_instant_is_early() -> None:
    assert judge(watch(Seen(T - 0.5, T - 0.4, NXDOMAIN))).early


def test_an_old_answer_after_a_new_one_is_a_relapse_and_the_last_of_them_is_the_stale_one() -> None:
    judged = judge(watch(Seen(T, T + 0.1, NXDOMAIN), Seen(T + 0.5, T + 0.6, NOERROR)))
    assert judged.relapsed == 1
    assert judged.stale == pytest.approx(0.5)


def test_a_query_on_its_way_when_the_answer_changed_is_no_relapse() -> None:
    judged = judge(watch(Seen(T, T + 0.1, NXDOMAIN), Seen(T + 0.05, T + 0.2, NOERROR)))
    assert judged.relapsed == 0


def test_for_a_lift_what_passes_is_new() -> None:
    judged = judge(watch(Seen(T - 1, T - 0.9, NXDOMAIN), Seen(T, T + 0.01, NOERROR), rcode=NOERROR))
    assert judged.first == pytest.approx(0.01)


def test_failures_and_losses_are_counted_and_never_taken_for_an_answer() -> None:
    judged = judge(watch(Seen(T, T + 0.1, 2), asked=3))
    assert judged.first is None
    assert (judged.wrong, judged.lost) == (1, 2)


@pytest.mark.parametrize(
    ("asked", "came", "silence"),
    [
        ([T, T + 0.1], [T + 0.01, T + 0.11], 0.01),
        ([T, T + 0.1, T + 0.2], [T + 0.01, T + 0.5], 0.4),  # the second and the third waited
        ([T, T + 5.0], [T + 0.01, T + 5.01], 0.01),  # a client that doesn't ask hears nothing: no silence
        ([T], [], 10.0),  # for ever is until the end
    ],
)
def test_silence_is_how_long_somebody_who_asked_waited_for_any_answer(
    asked: list[float], came: list[float], silence: float
) -> None:
    steady = Steady(server="x", asks="a.example", every=0.1, since=T, is_over=lambda _: False)
    steady.asked, steady.seen = asked, [Seen(T, at, NOERROR) for at in came]
    assert steady.silence(since=T, till=T + 10) == pytest.approx(silence)


def test_a_hunt_goes_on_until_each_name_was_blocked_once() -> None:
    hunt = Hunt(server="x", every=0.1, since=T, till=T + 10, pending=dict.fromkeys(("a", "b")))
    assert [hunt.name(), hunt.name(), hunt.name()] == ["a", "b", "a"]
    hunt.answered("a", Seen(T, T + 1, NXDOMAIN))
    hunt.answered("b", Seen(T + 2, T + 3, NOERROR))
    assert hunt.following(T + 3) is not None
    hunt.answered("b", Seen(T + 4, T + 5, NXDOMAIN))
    assert hunt.following(T + 5) is None
    assert hunt.passed == T + 2
    assert hunt.blocked == {"a": T + 1, "b": T + 5}
