"""A small site in a scratch folder, and the command line run on it in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from blocker.cli.main import main
from tests.approvals.people import Town
from tests.cli.signing import Signing

if TYPE_CHECKING:
    from pathlib import Path

SITE = """\
site: {operator: "Test Net", contact: "mailto:legal@isp.example", info_url: "https://isp.example/b", node: n1}
state: state
orders: orders
protected: protected.yaml
regions: {ID: ["192.0.2.0/24"], ID-JK: ["192.0.2.128/25"], GB: ["198.51.100.0/24"]}
default_region: ID
limits: {max_added: 5, max_added_ratio: 0.3, max_removed_ratio: 0.3}
"""

HEAD = """\
order: {id}
kind: {kind}
authority: {{name: "Test Authority", jurisdiction: ID, contact: "mailto:contest@authority.example"}}
legal_basis: ["Test Act, section 1"]
issued: {issued}
publication: {publication}
"""

DIRECTIVE = """\
  - id: {id}
    names: [{names}]
    regions: [ID]
    from: {start}
    until: {until}
"""


@dataclass(frozen=True)
class Ran:
    """What one verb did."""

    code: int
    out: str
    err: str


class Site:
    """The scratch site: write orders, run verbs."""

    def __init__(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.folder = folder
        self._capsys = capsys
        self._patch = monkeypatch
        (folder / "orders" / "a").mkdir(parents=True)
        (folder / "site.yaml").write_text(SITE)
        (folder / "protected.yaml").write_text("protected: [kept.example]\n")

    def path(self, slug: str) -> Path:
        return self.folder / "orders" / "a" / f"{slug}.yaml"

    def write(self, slug: str, text: str) -> None:
        self.path(slug).write_text(text)

    def block(
        self,
        slug: str,
        *names: str,
        start: str = "2026-01-01",
        until: str = "2099-01-01",
        publication: str = "public",
    ) -> None:
        head = HEAD.format(id=f"a/{slug}", kind="block", issued="2025-12-01", publication=publication)
        one = DIRECTIVE.format(id="one", names=", ".join(names), start=start, until=until)
        self.write(slug, f"{head}directives:\n{one}")

    def act(self, slug: str, kind: str, of: str, *lines: str, start: str = "2026-02-01") -> None:
        head = HEAD.format(id=f"a/{slug}", kind=kind, issued=start, publication="public")
        self.write(slug, "\n".join([head.rstrip(), f"of: {of}", f"from: {start}", *lines, ""]))

    def run(self, *words: str) -> Ran:
        self._capsys.readouterr()
        self._patch.setattr("sys.argv", ["blocker", "--site", str(self.folder / "site.yaml"), *words])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        out, err = self._capsys.readouterr()
        return Ran(code if isinstance(code, int) else 1, out, err)

    def apply(self) -> Ran:
        return self.run("apply", "--yes")

    def is_blocked(self, name: str, *, live: bool = True, at: str = "2026-06-01", region: str = "ID") -> bool:
        words = ["explain", name, "--at", at, "--region", region, *(["--live"] if live else [])]
        return " is BLOCKED " in self.run(*words).out


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, capsys, monkeypatch)


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def signing(site: Site, town: Town) -> Signing:
    return Signing(site, town)
