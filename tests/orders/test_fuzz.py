from __future__ import annotations

from tests import fuzz_orders


def test_mutated_order_files_end_in_problems_and_some_are_orders_still() -> None:
    assert 0 < fuzz_orders.fuzz(1_500, seed=20260110) < 1_500
