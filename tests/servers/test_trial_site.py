from __future__ import annotations

import re
import shutil
import signal
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import dns.edns
import dns.rcode

from blocker.demo import upstream
from tests.servers import lab

if TYPE_CHECKING:
    from tests.servers.conftest import Lab

ROOT = Path(__file__).parents[2]


def metric(text: str, name: str) -> float:
    """The sum of a metric over its labels."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE))


def test_the_trial_site_blocks_passes_counts_verifies_and_ends_when_asked(site: Lab) -> None:
    """policies/ as it is delivered, but for ports and upstream."""
    folder = site.folder / "policies"
    shutil.copytree(ROOT / "policies", folder)
    text = (folder / "site.yaml").read_text()
    for old, new in (
        ("127.0.0.1:5300", f"127.0.0.1:{site.dns}"),
        ("127.0.0.1:9353", f"127.0.0.1:{site.web}"),
        ("upstreams: system", f'upstreams: ["127.0.0.1:{site.upstream}"]'),
        ("canaries: [example.com]", "canaries: [canary.example]"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "site.yaml").write_text(text)
    trial = replace(site, folder=folder)
    assert trial.verb("apply", "--yes").returncode == 0
    log = site.folder / "log"
    with lab.started(lab.blocker(trial.site, "run"), log) as daemon:
        lab.until_answering(site.dns, daemon, log)
        blocked = lab.ask(site.dns, "blocked.example")
        passed = lab.ask(site.dns, "free.example")
        verified = trial.verb("verify")
        with urllib.request.urlopen(f"http://127.0.0.1:{site.web}/metrics", timeout=5) as response:
            metrics = response.read().decode()
        daemon.send_signal(signal.SIGINT)
        assert daemon.wait(10) == 0

    assert blocked is not None
    assert blocked.rcode() == dns.rcode.NXDOMAIN
    (ede,) = [option for option in blocked.options if isinstance(option, dns.edns.EDEOption)]
    assert ede.code == dns.edns.EDECode.CENSORED
    assert "trial/2026-01-01-reserved-names/subtree" in (ede.text or "")
    assert passed is not None
    assert [str(record) for answer in passed.answer for record in answer] == [upstream.ADDRESS]
    assert metric(metrics, "blocker_blocked_total") >= 1
    assert metric(metrics, "blocker_forwarded_total") >= 1
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "Traceback" not in log.read_text()
