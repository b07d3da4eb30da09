"""What the prober itself finds reaches people: nothing is planted but a resolver that leaks a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dns.name

from tests.prober.test_daemon import served
from tests.prober.world import answer, real
from tests.servers import lab
from tests.servers.monitoring_lab import REAL, Webhook, monitored, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.conftest import Lab

ORDERED = dns.name.from_text("blocked.example")


def test_a_name_that_leaks_raises_the_alert_and_its_mending_ends_it(site: Lab, tmp_path: Path) -> None:
    is_leaking = [True]

    def leaky(query: Any) -> Any:
        if query.question[0].name.is_subdomain(ORDERED) and not is_leaking[0]:
            return answer(query, rcode=3, ede=(16,))
        return real(query)

    site.order("one", "blocked.example", start="2026-01-01", until="2099-01-01")
    folder, log = tmp_path / "monitor", tmp_path / "daemon.log"
    folder.mkdir()
    with served(leaky) as (point, _), Webhook() as webhook:
        with site.site.open("a", encoding="utf-8") as file:
            file.write(f'  - {{name: leaky, kind: embedded, address: "{point.endpoint}", region: LAB}}\n')
        assert site.verb("apply", "--yes").returncode == 0
        with (
            lab.started(lab.blocker(site.site, "run"), log),
            monitored(folder, [], site.web, webhook.port) as monitor,
        ):

            def firing() -> set[tuple[str, str]]:
                return {
                    (one["labels"]["order"], one["labels"]["point"])
                    for one in monitor.alerts()
                    if one["labels"]["alertname"] == "BlockNotInPlace"
                }

            def told() -> set[str]:
                return {
                    alert["status"]
                    for _, message in list(webhook.told)
                    for alert in message["alerts"]
                    if alert["labels"]["alertname"] == "BlockNotInPlace"
                }

            until(lambda: firing() == {("lab/one", "leaky")}, lambda: (monitor.alerts(), log.read_text()))
            unconfirmed = monitor.query(f'blocker_points_unconfirmed{{job="{REAL}"}}')["data"]["result"]
            assert [(one["metric"]["order"], one["value"][1]) for one in unconfirmed] == [("lab/one", "1")]
            is_leaking[0] = False
            until(lambda: not firing() and told() == {"firing", "resolved"}, lambda: webhook.told)
