"""ops/docs/approvals.md runs: its commands are called in their order, on a copy of the shipped site."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from blocker.policy import ledger
from tests.servers import lab

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ops" / "docs" / "approvals.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_page_sets_up_approves_hurries_and_revokes_as_it_says(tmp_path: Path) -> None:
    lab.program("ssh-keygen")
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    trial = tmp_path / "policies" / "orders" / "trial"
    order = (trial / "2026-01-01-reserved-names.yaml").read_text(encoding="utf-8")
    said = []
    for number, block in enumerate(BLOCKS):
        if "urgent" in block and not (trial / "urgent.yaml").exists():
            urgent = order.replace("trial/2026-01-01-reserved-names", "trial/urgent")
            (trial / "urgent.yaml").write_text(urgent, encoding="utf-8")
        # Nobody is there to be asked for a passphrase; and the first look is to find something missing.
        text = block.replace("ssh-keygen -t ed25519", "ssh-keygen -q -N '' -t ed25519")
        text = text.replace("blocker approvals\n", "blocker approvals || test $? = 2\n", 1)
        ran = subprocess.run(
            ["sh", "-euc", text],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ran.returncode == 0, (number, ran.stdout, ran.stderr)
        said.append(ran.stdout + ran.stderr)
    told = ledger.entries(tmp_path / "state", only=("approved", "emergency", "applied"))
    events = [(one.event, one.subject) for one in told]
    assert events == [
        ("approved", "trial/2026-01-01-reserved-names"),
        ("applied", ""),
        ("emergency", "trial/urgent"),
        ("applied", ""),
        ("approved", "trial/urgent"),
    ]
    shown = "".join(said)
    assert "missing: noc" in shown
    assert "the approvals owed are there now: trial/urgent" in shown
