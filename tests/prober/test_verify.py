"""`blocker verify`: what it says and how it exits."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from blocker.cli.main import main
from blocker.orders.model import Form
from blocker.prober import daemon
from blocker.prober.daemon import Verified
from tests.prober.test_daemon import now_order, served
from tests.prober.world import answer, commit, obedient, policy, real

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.orders.model import Order

SITE = """\
site: {{operator: "Test", contact: "mailto:legal@isp.example", info_url: "https://isp.example/b", node: n1}}
state: .
orders: orders
protected: protected.yaml
regions: {{ID: ["192.0.2.0/24"]}}
prober: {{canaries: [canary.example], reference: ["{reference}"]}}
points:
  - {{name: p1, kind: embedded, address: "{point}", region: ID}}
"""


class Verb:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.folder, self._capsys, self.patch = folder, capsys, patch
        (folder / "orders").mkdir()
        (folder / "protected.yaml").write_text("protected: []\n")

    def run(self, script: Any, *words: str, orders: tuple[Order, ...] = ()) -> tuple[int, str, str]:
        """The exit code, what was printed and what was said aside, the point being the script."""
        commit(self.folder, *orders)
        path = self.folder / "site.yaml"
        with served(script) as (point, reference):
            path.write_text(SITE.format(point=point.endpoint, reference=reference.endpoint))
            self.patch.setattr("sys.argv", ["blocker", "--site", str(path), "verify", *words])
            with pytest.raises(SystemExit) as ended:
                main()
        code = ended.value.code
        assert isinstance(code, int)
        return code, *self._capsys.readouterr()


@pytest.fixture
def verb(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Verb:
    return Verb(tmp_path, capsys, monkeypatch)


def test_a_point_that_obeys_is_fine(verb: Verb) -> None:
    order = now_order()
    code, out, aside = verb.run(obedient(policy(order)), orders=(order,))
    assert (code, aside) == (0, "")
    assert out.endswith(" ok\n")


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_point_that_fails_at_everything_is_not_fine_though_nothing_can_be_told(
    verb: Verb, words: tuple[str, ...]
) -> None:
    code, out, _ = verb.run(lambda query: answer(query, rcode=2), *words, orders=(now_order(),))
    assert code == 1
    if words:
        assert {one["kind"] for one in json.loads(out)} == {"insufficient"}


def test_a_point_that_does_not_block_is_not_fine(verb: Verb) -> None:
    code, out, _ = verb.run(real, orders=(now_order(form=Form.NODATA),))
    assert code == 1
    assert "underblock" in out


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_what_was_not_asked_about_is_said(verb: Verb, words: tuple[str, ...]) -> None:
    order = now_order()
    whole = daemon.verify
    verb.patch.setattr(daemon, "verify", lambda site: whole(site, budget=3))
    code, _, aside = verb.run(obedient(policy(order)), *words, orders=(order,))
    assert code == 0
    assert re.match("[1-9][0-9]* expectations were not asked about", aside)


def test_what_the_policy_changed_under_is_not_fine(verb: Verb) -> None:
    verb.patch.setattr(daemon, "verify", lambda _: Verified(findings=(), unjudged=2, unasked=0))
    code, _, aside = verb.run(real)
    assert code == 1
    assert aside.startswith("2 probes were not judged")


def test_help_says_that_what_cannot_be_told_counts_as_not_fine(verb: Verb) -> None:
    _, out, _ = verb.run(real, "--help")
    assert "what can't be told counts as not fine" in " ".join(out.split())
