"""What a run of the benchmarks is asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`quick`: about a minute each, for figures that only show that it runs.

    `names` are those of the big list, `seconds` the length of one run of load, `rounds` how often each is
    run, `only` the engines to run; None and empty: the benchmark's own.
    """

    quick: bool = False
    names: int | None = None
    seconds: float | None = None
    rounds: int | None = None
    only: tuple[str, ...] = ()

    def takes(self, engine: str) -> bool:
        """Whether this engine is to be run."""
        return not self.only or engine in self.only
