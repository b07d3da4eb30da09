"""A small site that asks for approvals, and people who give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.approvals.people import Town
    from tests.cli.conftest import Ran, Site

RULES = """\
approvals:
  signers: signers.yaml
  roots: ["{root}"]
  rules:
    block: [legal, noc]
    lift: [legal or noc]
  emergency: {{approvals: [duty], within: 4h}}
"""

PEOPLE = (("Alice", "legal"), ("Bob", "noc"), ("Dora", "duty"), ("Carol", "legal, noc"))


class Signing:
    """A scratch site with `approvals`; each person signs with the key of that name."""

    def __init__(self, site: Site, town: Town, rules: str = RULES) -> None:
        self.site = site
        self.town = town
        config = site.folder / "site.yaml"
        config.write_text(config.read_text() + rules.format(root=town["root"].line))
        self.people("".join(self.entry(who, roles) for who, roles in PEOPLE))

    def entry(self, who: str, roles: str, key: str = "", more: str = "") -> str:
        line = self.town[key or who.lower()].line
        return f'  - {{who: {who}, key: "{line}", roles: [{roles}]{more}}}\n'

    def people(
        self, signers: str, revoked: str = "", *, root: str = "root", issued: str = "2026-01-01"
    ) -> None:
        """Write signers.yaml, and have it signed."""
        path = self.site.folder / "signers.yaml"
        path.write_text(f"issued: {issued}\nsigners:\n{signers}{revoked}")
        signature = self.town[root].sign(path.read_bytes(), "blocker-signers")
        path.with_name("signers.yaml.root.sig").write_bytes(signature)

    def sign(self, slug: str, *names: str, namespace: str = "blocker-order") -> None:
        path = self.site.path(slug)
        for name in names:
            signature = self.town[name].sign(path.read_bytes(), namespace)
            path.with_name(f"{path.name}.{name}.sig").write_bytes(signature)

    def block(self, slug: str, name: str, *people: str) -> None:
        """One order, signed by these."""
        self.site.block(slug, name)
        self.sign(slug, *people)

    def apply(self, *words: str) -> Ran:
        return self.site.run("apply", "--yes", *words)
