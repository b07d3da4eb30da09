"""What ops/ ships for monitoring holds together: rules, their tests, the runbook, the routes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from blocker.metrics import METRICS
from tests.servers import lab

OPS = Path(__file__).parent.parent / "ops"
PROMETHEUS = OPS / "prometheus"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))


def rules(name: str) -> list[dict[str, Any]]:
    text = (PROMETHEUS / "rules" / name).read_text(encoding="utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}
RECORDED = {rule["record"]: rule for rule in rules("recording.yml")}
RUNBOOK = (OPS / "docs" / "runbook.md").read_text(encoding="utf-8")


def run(*command: str) -> None:
    done = subprocess.run(
        [lab.program(command[0]), *command[1:]], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("promtool", "check", "config", str(PROMETHEUS / "prometheus.yml")),
        ("promtool", "check", "rules", *map(str, sorted((PROMETHEUS / "rules").iterdir()))),
        ("promtool", "test", "rules", *map(str, TESTS)),
        ("amtool", "check-config", str(OPS / "alertmanager" / "alertmanager.yml")),
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_their_own_tools_find_nothing_to_complain_about(command: tuple[str, ...]) -> None:
    run(*command)


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_what_it_is_and_where_its_section_of_the_runbook_is(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    address, _, fragment = alert["annotations"]["runbook_url"].partition("#")
    assert address.endswith("/runbook.md")
    assert fragment == name.lower()


def test_the_runbook_has_a_section_for_each_alert_in_their_order_with_what_people_need() -> None:
    sections = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:]
    assert [section.splitlines()[0] for section in sections] == list(ALERTS)
    for section in sections:
        assert re.findall(r"^- \*\*(\w+):\*\* ", section, re.MULTILINE) == ["Means", "Look", "Mend", "Tell"]


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_a_unit_test_in_which_it_fires_and_does_not(name: str) -> None:
    cases = [case for path in TESTS for case in yaml.safe_load(path.read_text("utf-8"))["tests"]]
    about = [
        [name in str(at["exp_samples"]) for at in case["promql_expr_test"]]
        for case in cases
        if any(name in str(at["exp_samples"]) for at in case["promql_expr_test"])
    ]
    assert any({True, False} <= set(fires) for fires in about)


def test_rules_speak_of_metrics_that_are_exposed_or_recorded() -> None:
    known = {*METRICS, *RECORDED, "blocker_policy_info"}
    for rule in [*ALERTS.values(), *RECORDED.values()]:
        bare = re.sub(r"\{[^}]*\}", "", rule["expr"])
        for name in re.findall(r"[a-z_]*:?blocker_[a-z_0-9:]+", bare):
            assert name in known, name


def test_what_is_only_as_good_as_the_probes_is_marked_so_that_failing_controls_inhibit_it() -> None:
    marked = {name for name, alert in ALERTS.items() if alert["labels"].get("from") == "probe"}
    assert marked >= {
        name for name, alert in ALERTS.items() if re.search(r"blocker_(findings|point_inst)", alert["expr"])
    }
    assert marked.isdisjoint({"ControlsFailing", "ProberStale", "NodeDown"})
    routes = yaml.safe_load((OPS / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
    inhibited = {
        (rule["source_matchers"][0], rule["target_matchers"][0], *rule["equal"])
        for rule in routes["inhibit_rules"]
    }
    assert ('alertname="ControlsFailing"', 'from="probe"', "job", "instance", "point") in inhibited
    assert ('alertname="ProberStale"', 'from="probe"', "job", "instance") in inhibited


def test_routes_and_inhibitions_name_alerts_that_there_are() -> None:
    text = (OPS / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8")
    for pattern in re.findall(r'alertname[!=][=~]?"([^"]+)"', text):
        for one in pattern.split("|"):
            assert any(re.fullmatch(one, name) for name in ALERTS), one
