"""Unbound with our module, started from ops/unbound/*.conf as they stand.

What a lab must have otherwise (ports, folder, upstream) stands in a file that includes them.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
OPS = ROOT / "ops" / "unbound"
SCRIPT = ROOT / "blocker" / "plugins" / "unbound.py"

_CONF = """\
include: "{ops}"
server:
  interface: 127.0.0.1
  port: {port}
  do-daemonize: no
  use-syslog: no
  log-time-ascii: yes
  username: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  do-not-query-localhost: no
  do-ip6: no
  local-zone: "test." nodefault
  {server}
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{upstream}
remote-control:
  control-enable: yes
  control-use-cert: no
  control-interface: "{folder}/control"
{after}
"""


@dataclass(frozen=True)
class Unbound:
    """A running Unbound; `control` are the first words of its control command."""

    folder: Path
    port: int
    pid: int

    @property
    def conf(self) -> Path:
        return self.folder / "unbound.conf"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    @property
    def control(self) -> tuple[str, ...]:
        return (lab.program("unbound-control"), "-c", str(self.conf))

    def controlled(self, *words: str) -> str:
        """What the control command says."""
        ran = subprocess.run([*self.control, *words], capture_output=True, text=True, check=True, timeout=30)
        return ran.stdout


def named(nsid: str) -> str:
    """The line of its server section with which it says this NSID."""
    return f'nsid: "ascii_{nsid}"'


def module() -> Path:
    """Where Unbound's Python module is; without it the test is skipped with the command that installs it."""
    lab.program("unbound")
    found = Path(_environment()["PYTHONPATH"]) / "unboundmodule.py"
    if not found.exists():
        pytest.skip(f"unboundmodule is not installed: apt-get install {lab.PACKAGES['unboundmodule']}")
    return found


def _environment() -> dict[str, str]:
    """What ops/unbound/environment sets."""
    lines = (OPS / "environment").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def environment(state: Path, region: str) -> dict[str, str]:
    """The environment of ops, but for the state and region of the lab."""
    given = _environment()
    values = {"BLOCKER_STATE": str(state), "BLOCKER_REGION": region}
    assert values.keys() <= given.keys()
    return {**os.environ, **given, **values}


def write(
    folder: Path,
    upstream: int,
    *,
    conf: str = "module.conf",
    server: str = "",
    after: str = "",
    script: Path = SCRIPT,
) -> tuple[Path, int]:
    """A configuration that includes the one of ops; its path and port."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "blocker-unbound.py"
    link.unlink(missing_ok=True)
    link.symlink_to(script)
    port = lab.free_port()
    path = folder / "unbound.conf"
    values = {"ops": OPS / conf, "port": port, "folder": folder, "upstream": upstream}
    path.write_text(_CONF.format(**values, server=server, after=after))
    return path, port


@contextmanager
def unbound(
    folder: Path,
    state: Path,
    upstream: int,
    *,
    region: str = "LAB",
    conf: str = "module.conf",
    server: str = "",
    after: str = "",
    script: Path = SCRIPT,
) -> Iterator[Unbound]:
    """Unbound on a free port, forwarding to `upstream`, enforcing the store in `state` for the region.

    `server` are further lines of its server section, `after` is further configuration; `script` is the module
    where it is installed.
    """
    module()
    path, port = write(folder, upstream, conf=conf, server=server, after=after, script=script)
    log = folder / "log"
    command = [lab.program("unbound"), "-d", "-p", "-c", str(path)]
    with lab.started(command, log, cwd=folder, env=environment(state, region)) as process:
        lab.until_answering(port, process, log)
        yield Unbound(folder, port, process.pid)
