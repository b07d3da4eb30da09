"""Real servers on loopback: found, or skipped with the way to install them; free ports; stopped by pid."""

from __future__ import annotations

import errno
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rdatatype
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGES = {
    "unbound": "unbound",
    "unbound-control": "unbound",
    "pdns_recursor": "pdns-recursor",
    "rec_control": "pdns-recursor",
    "kresd": "knot-resolver",
    "dnsdist": "dnsdist",
    "unboundmodule": "python3-unbound",
    "apparmor_parser": "apparmor",
    "named": "bind9",
    "tsig-keygen": "bind9",
    "named-checkconf": "bind9-utils",
    "rndc": "bind9-utils",
    "dig": "bind9-dnsutils",
    "dnsperf": "dnsperf",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "systemd-analyze": "systemd",
    "curl": "curl",
    "chromium": "chromium",
    "tcpdump": "tcpdump",
    "ssh-keygen": "openssh-client",
}


FAMILIES = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def program(name: str) -> str:
    """The path of a server or tool; without it the test is skipped with the command that installs it."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed: apt-get install {PACKAGES[name]}")
    return path


def free_port() -> int:
    """A port of 127.0.0.1 and ::1 that is free for UDP and TCP.

    Below those that the system gives to whoever asks for any, so that it stays free until it is taken.
    """
    kinds = [*itertools.product(FAMILIES, (socket.SOCK_DGRAM, socket.SOCK_STREAM))]
    for _ in range(1000):
        port = random.randrange(20_000, 32_000)
        if all(_is_free(port, family, kind) for family, kind in kinds):
            return port
    raise AssertionError("no free port")


def _is_free(port: int, family: socket.AddressFamily, kind: socket.SocketKind) -> bool:
    """Also if this machine has no such family at all."""
    with socket.socket(family, kind) as found:
        try:
            found.bind((FAMILIES[family], port))
        except OSError as error:
            return error.errno == errno.EADDRNOTAVAIL
    return True


@contextmanager
def started(
    arguments: list[str], log: Path, *, cwd: Path | None = None, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, stopped by its pid at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, env=env)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(
    port: int,
    name: str,
    rdtype: str = "A",
    *,
    rdclass: str = "IN",
    flags: dns.flags.Flag = dns.flags.RD,
    timeout: float = 1.0,
    host: str = "127.0.0.1",
) -> dns.message.Message | None:
    """One question with EDNS over UDP; None if no answer came."""
    query = dns.message.make_query(name, rdtype, rdclass, use_edns=0, payload=1232, flags=flags)
    try:
        return dns.query.udp(query, host, port=port, timeout=timeout, ignore_unexpected=True)
    except (dns.exception.Timeout, OSError):
        return None


def until_answering(
    port: int, process: subprocess.Popen[bytes], log: Path, name: str = "ready.example"
) -> None:
    """Wait until the server on this port answers anything at all."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"it ended:\n{log.read_text(errors='replace')}")
        if ask(port, name, timeout=0.3) is not None:
            return
        time.sleep(0.05)
    raise AssertionError(f"it did not answer:\n{log.read_text(errors='replace')}")


def blocker(site: Path, *words: str) -> list[str]:
    """The command line of a verb."""
    return [sys.executable, "-m", "blocker", "--site", str(site), *words]


UNBOUND = """\
server:
  interface: 127.0.0.1
  port: {port}
  do-daemonize: no
  use-syslog: no
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  module-config: "iterator"
  do-not-query-localhost: no
  do-ip6: no
  num-threads: 1
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{upstream}
remote-control:
  control-enable: no
"""


@contextmanager
def unbound_in_front(folder: Path, upstream: int) -> Iterator[int]:
    """Unbound as a plain caching forwarder to a port; yields the port it listens on."""
    path = program("unbound")
    folder.mkdir()
    port = free_port()
    (folder / "unbound.conf").write_text(UNBOUND.format(port=port, folder=folder, upstream=upstream))
    log = folder / "log"
    with started([path, "-d", "-p", "-c", str(folder / "unbound.conf")], log) as process:
        until_answering(port, process, log)
        yield port
