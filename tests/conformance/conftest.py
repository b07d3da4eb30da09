"""What a run saw is told at its end, whether anything failed or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance import matrix

if TYPE_CHECKING:
    from tests.conformance.session import Results

SEEN: pytest.StashKey[Results] = pytest.StashKey()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    results = config.stash.get(SEEN, None)
    if results is not None:
        terminalreporter.section("conformance")
        terminalreporter.write_line(matrix.limits())
        terminalreporter.write_line(matrix.tally(results))
