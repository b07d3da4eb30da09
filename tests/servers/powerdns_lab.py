"""PowerDNS Recursor, started from the files of ops/powerdns."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.servers import bind_lab, lab
from tests.servers.zone_lab import OPS, ZONE, filled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOME = OPS / "powerdns"
SECRET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
"""The secret that rpz.lua has for an example."""

_SOURCE = f'rpzPrimary("192.0.2.53:5354", "{ZONE}", {{'
_OF_TRANSFERS = ("refresh", "tsigname", "tsigalgo", "tsigsecret", "seedFile", "dumpFile")
KEPT = f"/var/lib/powerdns/{ZONE}.zone"
"""Where rpz.lua keeps the zone."""

_LAB = """\
local-address=127.0.0.1
local-port={port}
socket-dir={folder}
daemon=no
dont-query=
forward-zones-recurse=.=127.0.0.1:{upstream}
dnssec={dnssec}
security-poll-suffix=
threads=1
"""


@dataclass(frozen=True)
class PowerDNS:
    """A running recursor; `control` are the first words of its control command."""

    port: int
    log: Path
    control: tuple[str, ...]

    def controlled(self, *words: str) -> str:
        """What the control command says."""
        ran = subprocess.run([*self.control, *words], capture_output=True, text=True, check=True, timeout=30)
        return ran.stdout


@contextmanager
def powerdns(
    folder: Path,
    upstream: int,
    zonefile: Path,
    *,
    primary: int = 0,
    secret: str = bind_lab.TRANSFER_SECRET,
    dnssec: str = "off",
    after: str = "",
) -> Iterator[PowerDNS]:
    """The recursor before the port `upstream`, with the zone of `zonefile`; from the port `primary` if
    there is one. `after` are further lines of Lua.
    """
    path = lab.program("pdns_recursor")
    folder.mkdir(exist_ok=True)
    port = lab.free_port()
    own = {
        "/etc/powerdns/blocker-rpz.lua": str(folder / "rpz.lua"),
        "/etc/powerdns/blocker-answers.lua": str(HOME / "answers.lua"),
    }
    (folder / "recursor.conf").write_text(
        _LAB.format(port=port, folder=folder, upstream=upstream, dnssec=dnssec)
        + filled(HOME / "recursor.conf", own)
    )
    (folder / "rpz.lua").write_text(f"{_zone(zonefile, primary, secret)}\n{after}\n")
    log = folder / "log"
    with lab.started([path, f"--config-dir={folder}"], log) as process:
        lab.until_answering(port, process, log)
        control = (lab.program("rec_control"), f"--config-dir={folder}", f"--socket-dir={folder}")
        yield PowerDNS(port, log, control)


def _zone(zonefile: Path, primary: int, secret: str) -> str:
    if primary:
        changes = {"192.0.2.53:5354": f"127.0.0.1:{primary}", SECRET: secret, KEPT: str(zonefile)}
        return filled(HOME / "rpz.lua", changes)
    text = filled(HOME / "rpz.lua", {_SOURCE: f'rpzFile("{zonefile}", {{', KEPT: f"{zonefile}.kept"})
    kept = [line for line in text.splitlines() if not line.strip().startswith(_OF_TRANSFERS)]
    return "\n".join(kept)
