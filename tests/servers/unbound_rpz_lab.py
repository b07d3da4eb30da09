"""Unbound with a zone and without the module, started from ops/unbound/rpz.conf."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.servers import lab
from tests.servers.zone_lab import OPS, ZONE, filled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONF = OPS / "unbound" / "rpz.conf"
ZONEFILE = f"/var/lib/unbound/{ZONE}.zone"
PRIMARY = """\
    primary: 192.0.2.53@5354
    allow-notify: 192.0.2.53
"""

_LAB = """\
server:
  interface: 127.0.0.1
  port: {port}
  do-daemonize: no
  use-syslog: no
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  do-not-query-localhost: no
  do-ip6: no
  {server}
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{upstream}
remote-control:
  control-enable: yes
  control-use-cert: no
  control-interface: "{folder}/control"
"""


@dataclass(frozen=True)
class UnboundRpz:
    """A running Unbound; `control` are the first words of its control command."""

    port: int
    log: Path
    control: tuple[str, ...]

    def controlled(self, *words: str) -> str:
        """What the control command says."""
        ran = subprocess.run([*self.control, *words], capture_output=True, text=True, check=True, timeout=30)
        return ran.stdout


@contextmanager
def unbound_rpz(
    folder: Path, upstream: int, zonefile: Path, *, primary: int = 0, port: int = 0, server: str = ""
) -> Iterator[UnboundRpz]:
    """Unbound before the port `upstream`, with the zone of `zonefile`; from the port `primary` if there is
    one. `server` are further lines of its server section.
    """
    path = lab.program("unbound")
    folder.mkdir(exist_ok=True)
    port = port or lab.free_port()
    source = f"    primary: 127.0.0.1@{primary}\n    allow-notify: 127.0.0.1\n" if primary else ""
    conf = folder / "unbound.conf"
    conf.write_text(
        _LAB.format(port=port, folder=folder, upstream=upstream, server=server)
        + filled(CONF, {PRIMARY: source, ZONEFILE: str(zonefile)})
    )
    log = folder / "log"
    with lab.started([path, "-d", "-p", "-c", str(conf)], log) as process:
        lab.until_answering(port, process, log)
        yield UnboundRpz(port, log, (lab.program("unbound-control"), "-c", str(conf)))
