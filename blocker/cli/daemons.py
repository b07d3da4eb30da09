"""Where the daemons are put together: values to shells, and no logic of its own.

`run` is serve, watch and push in one supervised tree. None of them applies anything; each holds its lock in
state/, so that nobody starts a second one by mistake.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from blocker import sitefile
from blocker.errors import OrdersInvalid, Problem, StoreError
from blocker.fleet import targets
from blocker.journal import say
from blocker.policy.reader import Reader
from blocker.prober import daemon
from blocker.resolver.workers import serve_children
from blocker.supervisor import Child, lock, supervise
from blocker.web import server

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.site import Site

HEARTBEAT = 5.0  # seconds; the prober may be slower than a worker, for no answer waits for it


def start(path: Path, *, serve: bool = False, watch: bool = False, push: bool = False) -> int:
    """Run the daemons of the site until SIGTERM or Ctrl-C; the exit code."""
    site = sitefile.load(path)
    Reader(site.state).close()  # Without a policy there is nothing to enforce: say so now.
    with ExitStack() as held:
        for wanted, name in ((serve, "serve"), (watch, "watch"), (push, "push")):
            if wanted:
                held.enter_context(lock(site.state / f"{name}.lock"))

        def reload() -> list[Child]:
            nonlocal site
            new = sitefile.load(path)
            children = _children(new, path, serve=serve, watch=watch, push=push, old=site)
            site = new
            return children

        try:
            return supervise(_children(site, path, serve=serve, watch=watch, push=push), on_hangup=reload)
        except BrokenPipeError as error:
            # Of a verb that prints it means that its reader has seen enough, and all is well; here it is not.
            raise StoreError("a pipe or socket was closed by its other end") from error


def _children(
    site: Site, path: Path, *, serve: bool, watch: bool, push: bool, old: Site | None = None
) -> list[Child]:
    """The children for the site; `old` is what they take over from."""
    found: list[Child] = []
    if serve:
        if site.resolver is None or not site.resolver.listen:
            raise _lacks(path, "resolver.listen", "there is no address to answer queries on")
        held = old.resolver.listen if old is not None and old.resolver is not None else ()
        found += serve_children(site.resolver, state=site.state, node=site.node, held=held)
        _say(f"answering on {', '.join(map(str, site.resolver.listen))}, {len(found)} workers")
    if watch:
        if site.points:
            found.append(Child(name="prober", run=partial(daemon.run, site), heartbeat=HEARTBEAT))
            _say(f"probing {', '.join(point.name for point in site.points)}")
        if site.web is not None:
            found.append(server.child(site, held=old is not None and old.web == site.web))
            _say(f"metrics on http://{site.web}/metrics")
    if push:
        pushing = targets.children(site)
        found += pushing
        if pushing:
            _say(f"pushing to {', '.join(child.name.removeprefix('push ') for child in pushing)}")
    if not found and watch:
        raise _lacks(path, "points or web", "there is nothing to watch and nowhere to show it")
    if not found:
        raise _lacks(path, "points by rpz or of dnsdist", "there is nothing to push to")
    return found


def _lacks(path: Path, what: str, why: str) -> OrdersInvalid:
    problem = Problem(id="site-incomplete", path=str(path), message=f"{why}; add {what}")
    return OrdersInvalid([problem])


def _say(sentence: str) -> None:
    say("blocker", sentence)
