"""Prometheus and Alertmanager themselves, with the files of ops/: alerts fire on planted faults, and end."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.servers import lab
from tests.servers.conftest import made
from tests.servers.monitoring_lab import HUSHED, OPS, REAL, SECRETS, Webhook, World, monitored, until
from tests.web.test_server import get

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.conftest import Lab

RULES = OPS / "prometheus" / "rules"
DASHBOARDS = sorted((OPS / "grafana").glob("*.json"))
ALERTS = {
    rule["alert"]
    for group in yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}


@dataclass
class Watched:
    """What was seen in calm, in the storm and after it."""

    calm: list[dict[str, Any]]
    storm: list[dict[str, Any]]
    exposition: str
    everything: str
    answers: dict[str, dict[str, Any]]
    daemons: dict[str, dict[str, Any]]
    after: list[dict[str, Any]]
    told: list[tuple[str, dict[str, Any]]]


def firing(alerts: list[dict[str, Any]]) -> set[str]:
    return {one["labels"]["alertname"] for one in alerts if one["status"]["state"] == "active"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """`blocker run` with an order in force, which its prober has seen."""
    with made(tmp_path_factory.mktemp("daemon")) as site:
        site.order("one", "blocked.example", start="2026-01-01", until="2099-01-01")
        assert site.verb("apply", "--yes").returncode == 0
        log = site.folder / "daemon.log"
        with lab.started(lab.blocker(site.site, "run"), log) as process:
            lab.until_answering(site.dns, process, log)
            until(
                lambda: "blocker_block_confirmed_timestamp_seconds{" in get(site.web, "/metrics")[2],
                log.read_text,
                meanwhile=lambda: lab.ask(site.dns, "free.example"),
            )
            yield site


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, daemon: Lab) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("monitoring")
    world = World(folder)
    world.start()
    ports = [node.port for node in world.nodes.values()]
    try:
        with Webhook() as webhook, monitored(folder, ports, daemon.web, webhook.port) as monitor:

            def calm() -> None:
                world.plant(is_bad=False)
                lab.ask(daemon.dns, "free.example")

            def storm() -> None:
                world.plant(is_bad=True)
                lab.ask(daemon.dns, f"n{world.step}.free.example")  # Not from the cache.

            count = len(ports) + 1
            until(lambda: monitor.scrapes() > 2 * count, lambda: monitor.query("up"), meanwhile=calm)
            # As it starts, one node is scraped before another that has seen what it knows of.
            until(lambda: not monitor.alerts(), monitor.alerts, meanwhile=calm)
            scrapes = monitor.scrapes()
            before: list[dict[str, Any]] = []

            def has_stayed_calm() -> bool:
                before.extend(monitor.alerts())
                return monitor.scrapes() > scrapes + 3 * count

            until(has_stayed_calm, monitor.alerts, meanwhile=calm)

            world.worsen()
            alerts: list[dict[str, Any]] = []

            def everything_fires() -> bool:
                alerts[:] = monitor.alerts()
                return firing(alerts) == ALERTS

            until(everything_fires, lambda: f"missing: {sorted(ALERTS - firing(alerts))}", meanwhile=storm)
            found = Watched(
                calm=before,
                storm=alerts,
                exposition=get(world.nodes["a"].port, "/metrics")[2],
                everything=monitor.everything(),
                answers={expression: monitor.query(expression) for expression in queries(PLANTED)},
                daemons={expression: monitor.query(expression) for expression in queries(OF_DAEMON)},
                after=[],
                told=webhook.told,
            )
            world.mend()
            until(
                lambda: not monitor.alerts(),
                lambda: sorted(one["labels"]["alertname"] for one in monitor.alerts()),
                meanwhile=calm,
            )
            found.after = monitor.alerts()
            until(lambda: resolved(webhook.told) >= ALERTS, lambda: sorted(ALERTS - resolved(webhook.told)))
            found.everything += monitor.everything()
            yield found
    finally:
        world.stop()


def resolved(told: list[tuple[str, dict[str, Any]]]) -> set[str]:
    return {
        alert["labels"]["alertname"]
        for _, message in list(told)
        for alert in message["alerts"]
        if alert["status"] == "resolved"
    }


def test_nothing_fires_while_everything_is_as_ordered(watched: Watched) -> None:
    assert [one["labels"] for one in watched.calm] == []


def test_each_alert_fires_on_its_planted_fault_and_ends_with_it(watched: Watched) -> None:
    assert firing(watched.storm) == ALERTS
    assert watched.after == []
    assert resolved(watched.told) >= ALERTS


def test_what_alerts_say_is_filled_in(watched: Watched) -> None:
    for alert in watched.storm:
        said = alert["annotations"]
        assert set(said) == {"summary", "description", "runbook_url"}
        assert alert["labels"]["severity"] in {"critical", "warning"}
        for text in said.values():
            assert not re.search(r"<error|<no value|\{\{|%!|  |\s(,|\.)", text), text


def inhibited(watched: Watched) -> set[tuple[str, str]]:
    """Alert and point."""
    return {
        (one["labels"]["alertname"], one["labels"].get("point", ""))
        for one in watched.storm
        if one["status"]["inhibitedBy"]
    }


def test_failing_controls_silence_what_probes_say_of_that_point_and_of_no_other(watched: Watched) -> None:
    found = inhibited(watched)
    assert ("BlockNotInPlace", "p2") in found
    assert ("BlockNotInPlace", "p1") not in found
    assert ("EarlyBlock", "p2") not in found, "what is blocked without an order in force is said all the same"
    assert not any(name == "ControlsFailing" for name, _ in found)


def test_a_stale_prober_silences_its_findings_and_a_point_that_is_away_its_instances(
    watched: Watched,
) -> None:
    found = inhibited(watched)
    assert ("BlockNotInPlace", "p9") in found
    assert ("InstanceMissing", "p3") in found
    assert ("InstanceMissing", "p1") not in found


def test_a_missed_deadline_silences_what_led_to_it(watched: Watched) -> None:
    found = {
        (one["labels"]["alertname"], one["labels"]["order"])
        for one in watched.storm
        if one["labels"].get("order") == "court/missed" and one["status"]["inhibitedBy"]
    }
    assert found <= {("BlockUnconfirmed", "court/missed")}
    assert ("DeadlineMissed", "court/missed") not in found


def test_people_are_told_by_severity_and_matter_and_never_of_what_is_inhibited(watched: Watched) -> None:
    by_receiver: dict[str, set[str]] = {}
    for receiver, message in watched.told:
        by_receiver.setdefault(receiver, set()).update(
            alert["labels"]["alertname"] for alert in message["alerts"]
        )
    assert {"BlockNotInPlace", "NodeDown"} <= by_receiver["on-call"]
    assert {"ReviewOverdue", "OverBlocking", "DeadlineApproaching"} <= by_receiver["legal"]
    assert by_receiver["operations"] >= ALERTS
    assert "ReviewOverdue" not in by_receiver["on-call"]


def test_promtool_finds_nothing_to_complain_about_in_what_a_node_exposes(watched: Watched) -> None:
    done = subprocess.run(
        [lab.program("promtool"), "check", "metrics"],
        input=watched.exposition,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_sealed_order_leaves_no_trace_in_metrics_series_rules_alerts_and_notifications(
    watched: Watched,
) -> None:
    shown = "\n".join(
        [watched.exposition, watched.everything, json.dumps(watched.told), json.dumps(watched.answers)]
    )
    opaque = re.findall(r'blocker_findings\{.*order="([0-9a-f]{16})"', watched.exposition)
    assert opaque, "it is there, under an opaque id"
    assert opaque[0] in watched.everything
    assert not [leak for leak in (*SECRETS, HUSHED) if leak in shown.lower()]


PLANTED = {
    "$job": "blocker",
    "$order": "court/one",
    "$instance": ".*",
    "$__rate_interval": "5s",
    "$__range": "10s",
}
OF_DAEMON = {**PLANTED, "$job": REAL, "$order": "lab/one"}


def filled(expression: str, variables: dict[str, str]) -> str:
    for name, value in variables.items():
        expression = expression.replace(name, value)
    return expression


def queries(variables: dict[str, str]) -> dict[str, str]:
    """Every query of the dashboards, filled in, and where it is from; those of variables too."""
    found = {}
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                found[filled(target["expr"], variables)] = f"{path.name}: {panel['title']}"
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                label_values = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
                assert label_values is not None
                selector, label = label_values.groups()
                expression = filled(f"group by ({label}) ({selector})", variables)
                found[expression] = f"{path.name}: ${variable['name']}"
    return found


def without_data(answers: dict[str, dict[str, Any]], variables: dict[str, str]) -> set[str]:
    """The panels with a query that gives nothing, once no query is refused."""
    where = queries(variables)
    wrong = {where[one]: answer for one, answer in answers.items() if answer["status"] != "success"}
    assert not wrong
    return {where[one] for one, answer in answers.items() if not answer["data"]["result"]}


def test_every_query_of_every_dashboard_is_answered_with_data_where_something_is_wrong(
    watched: Watched,
) -> None:
    assert len(DASHBOARDS) == 3
    assert without_data(watched.answers, PLANTED) == {
        "order.json: deadline",  # It has none,
        "order.json: first seen to have ended",  # and has not ended.
        "order.json: late: from the end until it was seen",
        "order.json: points where its end was not seen",
    }


def test_every_query_of_every_dashboard_is_answered_with_data_of_a_real_daemon_that_is_fine(
    watched: Watched,
) -> None:
    empty = without_data(watched.daemons, OF_DAEMON)
    is_quiet = re.compile(
        "alert|probes lost|not as ordered|findings by kind|due:|review|"
        "deadline|pushed|purged|ended|the end|its end"
    )
    assert sorted(one for one in empty if not is_quiet.search(one)) == []


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: Path(path).stem)
def test_a_dashboard_can_be_imported_anywhere(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["schemaVersion"] >= 36
    assert board["uid"] == f"blocker-{path.stem}"
    assert "id" not in board
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert board["templating"]["list"][0]["type"] == "datasource"
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert all(panel["datasource"] == source for panel in panels)
    assert all(target["datasource"] == source for panel in panels for target in panel["targets"])
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in board["panels"])
    declared = {variable["name"] for variable in board["templating"]["list"]} | {"__rate_interval", "__range"}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board["panels"])))
    assert used <= declared
    assert board["refresh"]
    assert board["title"].startswith("Blocking: ")
    assert board["timezone"] == "utc"
