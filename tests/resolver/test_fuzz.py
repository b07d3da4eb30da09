"""The bounded version of tests/fuzz_packets.py."""

from __future__ import annotations

from tests.fuzz_packets import run


def test_no_mutated_packet_crashes_hangs_or_silences_the_resolver() -> None:
    tally = run(60_000, seed=7)
    assert tally.faults == []
    assert tally.answers > 10_000
    assert min(tally.engine, tally.received, tally.udp, tally.tcp) > 1000
