"""A real browser without a window: opens a page, tells what its console said, measures and photographs it.

Chromium's DevTools protocol over a pipe (`--remote-debugging-pipe`): JSON messages with a zero octet after
each. The profile is new and empty, and nothing in it asks anybody for anything.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


class Page:
    """One page. `said` is what the console and the browser complained of."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._rest = b""
        self._number = 0
        self._events: list[dict[str, Any]] = []
        self.said: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, path: Path, width: int) -> None:
        """Load a file as a screen of this width (CSS pixels) shows it."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self._events.clear()
        self._call("Page.navigate", url=path.as_uri())
        while not any(one["method"] == "Page.loadEventFired" for one in self._events):
            self._next()

    def value(self, expression: str) -> Any:
        """What an expression is on the page."""
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get(
            "value"
        )

    def photograph(self, to: Path) -> None:
        """The whole page, as PNG."""
        made = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        to.write_bytes(base64.b64decode(made["data"]))

    def close(self) -> None:
        self._session = ""
        self._call("Browser.close")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if getattr(self, "_session", ""):
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            octets = os.read(self._reading, 1 << 16)
            assert octets, "the browser is gone"
            self._rest += octets
        octets, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(octets)
        if "method" in message:
            self._events.append(message)
            if message["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                self.said.append(json.dumps(message["params"]))
        return message


@contextmanager
def page(folder: Path) -> Iterator[Page]:
    """A page of a browser whose profile lies in the folder."""
    program = lab.program("chromium")
    to_browser, from_us = os.pipe()
    from_browser, to_us = os.pipe()
    # The browser reads from descriptor 3 and writes to 4.
    command = f'exec "$@" 3<&{to_browser} 4>&{to_us}'
    options = [*QUIET, "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}"]
    with (folder / "browser.log").open("wb") as log:
        browser = subprocess.Popen(
            ["bash", "-c", command, "bash", program, *options],
            pass_fds=(to_browser, to_us),
            stdout=log,
            stderr=log,
        )
    os.close(to_browser)
    os.close(to_us)
    try:
        one = Page(from_browser, from_us)
        yield one
        one.close()
        browser.wait(10)
    finally:
        if browser.poll() is None:
            browser.kill()
            browser.wait()
        os.close(from_us)
        os.close(from_browser)
