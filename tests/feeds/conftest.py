"""A site with feeds in a scratch folder, and imports run on it in this process."""

from __future__ import annotations

import json
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import Ran, Site

if TYPE_CHECKING:
    from pathlib import Path

FEED = """\
  - name: {name}
    format: {format}
    source: {source}
    folder: reg
    authority: {{name: "Test Register", jurisdiction: ID, contact: "mailto:register@register.example"}}
    legal_basis: ["Gaming Act, section 5"]
    reference: "Register of domains"
    publication: public
    regions: [ID]
    review_after: 180d
    minimum: {minimum}
{more}"""


class Fed(Site):
    """The scratch site with feeds.yaml; its clock stands where the test puts it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, capsys, patch)
        site = folder / "site.yaml"
        site.write_text(site.read_text().replace("max_added: 5", "max_added: 1000") + "feeds: feeds.yaml\n")
        self.at("2026-11-28T12:00:00+00:00")

    def at(self, when: str) -> None:
        moment = datetime.fromisoformat(when).timestamp()
        self._patch.setattr("blocker.cli.import_.time", SimpleNamespace(time=lambda: moment))

    def feed(self, form: str, *, minimum: int = 1, source: str = "list", more: str = "") -> None:
        text = FEED.format(name="list", format=form, source=source, minimum=minimum, more=more)
        (self.folder / "feeds.yaml").write_text(f"feeds:\n{text}")

    def take(self, octets: bytes | str, *words: str) -> Ran:
        """Import this document."""
        content = octets.encode() if isinstance(octets, str) else octets
        (self.folder / "list").write_bytes(content)
        return self.run("import", "list", *words)

    def taken(self, octets: bytes | str, *words: str) -> dict[str, Any]:
        """Import this document; what is said of it to machines."""
        found = json.loads(self.take(octets, "--json", *words).out)
        assert isinstance(found, list)
        one: dict[str, Any] = found[0]
        return one

    @property
    def orders(self) -> dict[str, bytes]:
        """Every file of the feed's folder."""
        return {path.name: path.read_bytes() for path in sorted((self.folder / "orders" / "reg").glob("*"))}


@pytest.fixture
def fed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Fed:
    return Fed(tmp_path, capsys, monkeypatch)
