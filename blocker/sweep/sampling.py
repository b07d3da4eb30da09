"""How many names must be asked about to say something of all of them, and what may then be said.

Pure. The names asked about are drawn at random, each as likely as any other and none twice, so the number of
bad ones among them is hypergeometric. What is said holds with the stated confidence: were more of the list
bad than that, so few bad ones would have been drawn in at most 1 - confidence of all draws. For long lists
and no bad one this is the rule of three: at 95 % at most 3 / (names asked about).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, floor, lgamma, log10

_SLACK = 1e-9  # of logarithms of factorials: what is this near is taken for the worse


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What may be said: with `confidence`, at most the `share` of `count` names is bad, `sampled` seen."""

    sampled: int
    bad: int
    count: int
    confidence: float
    share: float

    def __str__(self) -> str:
        if self.sampled >= self.count:
            if not self.bad:
                return f"all {self.count:,} names are as ordered"
            return f"all {self.count:,} names asked about, {self.bad:,} not as ordered"
        return (
            f"{self.sampled:,} of {self.count:,} names sampled, {self.bad:,} not as ordered: with "
            f"{round(self.confidence * 100, 3):g} % confidence at most {_percent(self.share)} of all are not"
        )


def plan(count: int, confidence: float, share: float) -> int:
    """How many of `count` names to ask about, so that if none is bad, at most `share` of all is.

    A list of which that would be more than half is small, and asked about whole. `confidence` and `share` are
    above 0 and below 1.
    """
    tolerated = floor(share * count)
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if _at_most(0, tolerated + 1, middle, count) <= 1 - confidence:
            high = middle
        else:
            low = middle + 1
    return low if low <= count / 2 else count


def bound(sampled: int, bad: int, count: int, confidence: float) -> Bound:
    """What may be said of `count` names of which `sampled` were asked about and `bad` of those were bad."""
    # Fewer are impossible: those seen. More: all that were not seen to be good.
    low, high = bad, count - (sampled - bad)
    while low < high:
        middle = (low + high + 1) // 2
        if _at_most(bad, middle, sampled, count) > 1 - confidence - _SLACK:
            low = middle
        else:
            high = middle - 1
    return Bound(
        sampled=sampled, bad=bad, count=count, confidence=confidence, share=low / count if count else 0.0
    )


def _at_most(bad: int, among: int, drawn: int, count: int) -> float:
    """How likely `drawn` of `count` names have at most `bad` bad ones, if `among` of them all are bad."""
    whole = _choices(count, drawn)
    return sum(
        exp(_choices(among, some) + _choices(count - among, drawn - some) - whole)
        for some in range(max(0, drawn - (count - among)), min(bad, among, drawn) + 1)
    )


def _choices(of: int, some: int) -> float:
    """The logarithm of in how many ways some can be chosen."""
    return lgamma(of + 1) - lgamma(some + 1) - lgamma(of - some + 1)


def _percent(share: float) -> str:
    """The share with two digits, rounded up: less must not be said."""
    percent = share * 100
    if not percent:
        return "0 %"
    digits = max(0, 1 - floor(log10(percent)))
    return f"{ceil(percent * 10**digits - 1e-9) / 10**digits:.{digits}f} %"
