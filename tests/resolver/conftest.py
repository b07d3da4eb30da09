"""An upstream for the tests of real workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.resolver.live import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def up() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()
