"""On CI a skipped test is a failure: with BLOCKER_ENGINES=required nothing may be left out unseen.

Properties are tried on the same examples each time, so that a gate never fails by chance;
`pytest --hypothesis-profile=fresh` looks for new ones. How long an example takes is no matter of either.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

hypothesis.settings.register_profile("fresh", deadline=None)
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.load_profile("steady")

REQUIRED = os.environ.get("BLOCKER_ENGINES") == "required"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that skips itself, or is skipped by a mark, fails and tells the reason."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """So does a module that skips itself."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if REQUIRED and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longreprtext or report.longrepr
        report.longrepr = f"skipped although BLOCKER_ENGINES=required: {reason}"
