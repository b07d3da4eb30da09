"""One town for a whole run: keys take a while to make."""

from __future__ import annotations

import pytest

from tests.approvals.people import Town


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("keys"))
