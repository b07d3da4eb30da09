"""dnsdist with the policy, started from ops/dnsdist/dnsdist.conf as it stands but for ports and paths."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blocker.plugins import dnsdist_config
from blocker.plugins.dnsdist import FILE, Dnsdist
from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocker.site import Enforcement

CONF = Path(__file__).resolve().parents[2] / "ops" / "dnsdist" / "dnsdist.conf"
LISTEN, BACKEND, RULES = "127.0.0.1:53", "127.0.0.1:5353", "/etc/dnsdist/blocker.lua"


@dataclass(frozen=True)
class Running:
    """A dnsdist that answers."""

    port: int
    pid: int
    log: Path


def write(folder: Path, state: Path, enforcement: Enforcement, upstream: int) -> tuple[Path, int]:
    """The configuration with the site's rules, and the store they name; its path and port."""
    folder.mkdir(parents=True, exist_ok=True)
    store = Dnsdist(state)
    store.make(enforcement)
    store.close()
    rules = folder / "blocker.lua"
    rules.write_text(dnsdist_config.render(enforcement, str(state / FILE)))
    port = lab.free_port()
    text = CONF.read_text()
    for old, new in ((LISTEN, f"127.0.0.1:{port}"), (BACKEND, f"127.0.0.1:{upstream}"), (RULES, str(rules))):
        quoted = f'"{old}"'
        assert text.count(quoted) == 1, f"{CONF}: there is no {quoted} to replace"
        text = text.replace(quoted, f'"{new}"')
    conf = folder / "dnsdist.conf"
    # Its makers are asked for news about the version: not from a test.
    conf.write_text(f'setSecurityPollSuffix("")\n{text}')
    return conf, port


@contextmanager
def dnsdist(
    folder: Path, state: Path, enforcement: Enforcement, upstream: int, *, after: str = ""
) -> Iterator[Running]:
    """dnsdist in front of a resolver on this port, reading the store in `state`.

    `after` is further configuration.
    """
    path = lab.program("dnsdist")
    conf, port = write(folder, state, enforcement, upstream)
    with conf.open("a") as more:
        more.write(after)
    log = folder / "dnsdist.log"
    with lab.started([path, "-C", str(conf), "--supervised", "--disable-syslog"], log) as process:
        lab.until_answering(port, process, log)
        yield Running(port=port, pid=process.pid, log=log)
