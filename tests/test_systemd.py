"""The units of ops/systemd: systemd takes them, each has the sandbox of its work, the page explains them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from blocker.cli.main import VERBS
from tests.servers import lab

OPS = Path(__file__).parent.parent / "ops"
UNITS = sorted((OPS / "systemd").glob("*.service"))
TIMERS = sorted((OPS / "systemd").glob("*.timer"))
PAGE = (OPS / "docs" / "systemd.md").read_text(encoding="utf-8")
NAMES = [path.name for path in UNITS]


def directives(path: Path) -> dict[str, list[str]]:
    """Every directive and its values, of all sections."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def installed(tmp_path: Path) -> list[str]:
    """The units with programs that exist here."""
    for path in [*UNITS, *TIMERS]:
        text = path.read_text(encoding="utf-8").replace("/opt/blocker/bin/blocker", sys.executable)
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    return [str(tmp_path / path.name) for path in UNITS]


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [lab.program("systemd-analyze"), *words], capture_output=True, text=True, check=False, timeout=60
    )


def test_systemd_finds_nothing_to_complain_about(installed: list[str]) -> None:
    done = analyze("verify", "--man=no", *installed)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_holds_their_exposure_to_be_low(installed: list[str]) -> None:
    done = analyze("security", "--offline=true", "--threshold=25", *installed)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "verb", "capability", "packets"),
    [
        ("blocker.service", "run", "CAP_NET_BIND_SERVICE", False),
        ("blocker-serve.service", "serve", "CAP_NET_BIND_SERVICE", False),
        ("blocker-push.service", "push", "", False),
        ("blocker-prober.service", "watch", "CAP_NET_RAW", True),
        ("blocker-import.service", "import --poll", "", False),
    ],
)
def test_each_has_one_privilege_at_most_and_only_the_prober_raw_packets(
    name: str, verb: str, capability: str, *, packets: bool
) -> None:
    found = directives(OPS / "systemd" / name)
    assert found["ExecStart"] == [f"/opt/blocker/bin/blocker {verb}"]
    assert verb.partition(" ")[0] in VERBS
    assert found["CapabilityBoundingSet"] == [capability]
    assert found.get("AmbientCapabilities", [""]) == [capability]
    assert ("AF_PACKET" in found["RestrictAddressFamilies"][0]) is packets
    assert found["NoNewPrivileges"] == ["yes"]
    alone = ("blocker.service", "blocker-import.service")
    assert (found.get("Conflicts") == ["blocker.service"]) is (name not in alone)


OWN = {
    "Description",
    "Conflicts",
    "ExecStart",
    "CapabilityBoundingSet",
    "AmbientCapabilities",
    "RestrictAddressFamilies",
    "OOMScoreAdjust",
    "LimitNOFILE",
}


# The importer runs to its end and writes orders; a daemon comes back and doesn't.
DAEMON = {
    "Type",
    "ExecReload",
    "KillMode",
    "TimeoutStopSec",
    "Restart",
    "RestartSec",
    "StartLimitIntervalSec",
    "WantedBy",
}
IMPORTER = {"Type", "TimeoutStartSec", "ReadWritePaths"}


def test_the_rest_of_the_sandbox_is_one_and_the_same() -> None:
    shared = [
        {name: values for name, values in directives(path).items() if name not in OWN}
        for path in UNITS
        if path.name != "blocker-import.service"
    ]
    assert all(one == shared[0] for one in shared)
    importer = directives(OPS / "systemd" / "blocker-import.service")
    assert importer.keys() >= IMPORTER
    assert {name: values for name, values in importer.items() if name not in OWN | IMPORTER} == {
        name: values for name, values in shared[0].items() if name not in DAEMON
    }


def test_the_page_explains_every_directive_that_is_used_and_no_other() -> None:
    _, _, table = PAGE.partition("## What each directive is for")
    explained = {
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert explained == {name for path in [*UNITS, *TIMERS] for name in directives(path)}


def test_the_page_has_a_row_for_every_unit() -> None:
    assert re.findall(r"^\| `(blocker[a-z-]*\.service)` \|", PAGE, re.MULTILINE) == [
        "blocker.service",
        "blocker-serve.service",
        "blocker-push.service",
        "blocker-prober.service",
        "blocker-import.service",
    ]
    assert len(NAMES) == 5
