"""The reference pages of ops/docs, made from the code's own registries.

`python -m tests.reference` (`make docs`) writes them; a test holds the files to what this makes, so no verb,
option, check, metric or rule can be missing from them or linger there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blocker import sitefile
from blocker.approvals import judge
from blocker.cli.main import VERBS, cli
from blocker.feeds.contract import FEED_CHECKS
from blocker.metrics import METRICS
from blocker.orders import check
from blocker.prober import forensics
from blocker.prober import judge as findings
from tests.conformance import matrix

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DOCS = Path(__file__).parent.parent / "ops" / "docs"

_CLI = """# Command line

`blocker [--site FILE] VERB [OPTIONS]`. `--site` (or `BLOCKER_SITE`) names the site, `policies/site.yaml` if
not given; paths inside it are relative to it. Tables are for people: on a terminal they are drawn, in a
pipe they are one row a line with tabs. Programs use `--json`, which every verb that prints facts has. Times
always carry a zone.
"""

_EXIT = """## Exit codes

| code | meaning |
|---|---|
| 0 | fine |
| 1 | the world is not as ordered (findings) |
| 2 | the input is wrong (problems), or the command line is |
| 3 | the plan was refused |
| 4 | the store or disk failed |
| 5 | a server failed |
"""

_CHECKS = """# Checks

Every complaint about input is one line, `file:line:column id: what is wrong and the way out`, and all
complaints about all files come at once. A Problem quarantines its order and every order whose `of` names
it: the other orders are applied, quarantined ones stay as they were last applied, and the exit code is 2.
Ids don't change once released.
"""

_METRICS = """# Metrics

Served as `/metrics` at `web.listen`. Every family is computed from the present state at each scrape. Labels
are bounded and hold no domain names; `order` is the order's id, for a sealed order an HMAC under a secret
of the site. Instants are absolute (`_timestamp_seconds`); an age is the alert's to compute, `time() -
metric`. `blocker_policy` is exposed as `blocker_policy_info`.
"""

_FINDINGS = """# Findings

The prober compares what each point must answer with what it answered. A finding says *observed by probe*,
never *complied*. `blocker verify` prints each finding's kind and rule.

| kind | meaning |
|---|---|
| ok | as ordered, and proven |
| underblock | a name that must be blocked is not |
| overblock | a name that must pass is blocked |
| early | a name is blocked before its order starts |
| lingering | a name is still blocked after its order ended |
| wrong-form | a name is blocked, but not in the ordered form |
| partial | a name is blocked when it is asked for in one way, and resolves in another |
| injected | two contradicting answers came to one query, and one of them is not the point's |
| conflict | two contradicting answers came to one query, from nobody knows whom |
| moot | the name does not exist at the unfiltered reference, so nothing can be seen |
| unreachable | the point does not answer us, or by a way that no client should trust |
| insufficient | what was seen proves neither; never counted as fine |

## Rules

"""

_SIGNS = """## Signs of an answer that the point did not send

`blocker probe --capture` compares the packets that came for a query with those that came for the controls
around it. [forensics.md](forensics.md) says how to read them.
"""

_LISTS = """
## Long lists

A round looks at up to 20 names of each directive, in every type and way. If that leaves names out, for a
list is longer or there is no room for all, `blocker verify` goes on and asks for addresses (A) over UDP.
Each order is looked at by itself: of a list of which more than half would be needed every name is asked (up
to some 1,300), of a longer one a sample drawn at random, large enough that with 95 % confidence at most 0.3
% of its names are not as ordered if all of the sample are (up to 1,000). It says what each sample shows at
95 % and at 99 %.

`blocker verify --all` asks for A over UDP about every name at every address of the point, and for AAAA and
HTTPS and over TCP about a sample of all. It does so at the site's `rate` or at `--rate` (at 50 a second a
million names take five and a half hours). What no line names was not asked, but for what the round did. For
each point and way it prints:

| word | meaning |
|---|---|
| as ordered at first sight | blocked, and the answer shows it; an except that passes |
| in the ordered form without attribution | blocked, or no such name; the reference is asked about a hundred |
| in doubt | anything else; up to 400 are probed again in full, and those findings are shown |
| without an answer | asked three times; treated as in doubt |
| looked at again | probed in full: with controls, the reference and a second sample; fine or not |
| while the controls failed, while the policy changed | not judged |
| still under way | the sweep was stopped before the answer came |

A canary is asked before, between and after; names between two that did not both pass don't count. What
is looked at again is drawn at random.
"""


def pages() -> dict[str, str]:
    """Every reference page by its file name."""
    return {
        "cli.md": "\n".join([_CLI, *_verbs(), _EXIT]),
        "checks.md": "\n".join(
            [
                _CHECKS,
                "## Of orders and names files\n",
                _table("id", check.REGISTRY),
                "## Of site.yaml and protected.yaml alone\n",
                _table("id", sitefile.SITE_CHECKS),
                "## Of feeds.yaml and of the lists it describes\n",
                _table("id", FEED_CHECKS),
                "## Of signatures and signers.yaml\n",
                _table("id", judge.CHECKS),
            ]
        ),
        "metrics.md": "\n".join([_METRICS, _table("metric", METRICS)]),
        "findings.md": "\n".join(
            [_FINDINGS, _table("rule", findings.RULES), _SIGNS, _table("sign", forensics.SIGNS), _LISTS]
        ),
        "conformance.md": matrix.page(),
    }


def _table(heading: str, registry: Mapping[str, str]) -> str:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in registry.items()]
    return "\n".join([f"| {heading} | meaning |", "|---|---|", *rows, ""])


def _verbs() -> Iterable[str]:
    context = click.Context(cli)
    for verb in VERBS:
        command = cli.get_command(context, verb)
        if command is None:
            raise LookupError(f"{verb} is listed and has no command")
        yield from _verb(verb, command)
        if isinstance(command, click.Group):
            for name, own in command.commands.items():
                yield from _verb(f"{verb} {name}", own)


def _verb(verb: str, command: click.Command) -> Iterable[str]:
    arguments = [one.human_readable_name for one in command.params if isinstance(one, click.Argument)]
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    help_text = re.sub(r"\s+", " ", (command.help or "").replace("\b", "")).strip()
    yield f"## blocker {' '.join([verb, *arguments])}\n\n{help_text}\n"
    if options:
        rows = [f"| `{_spelling(one)}` | {one.help or ''} |" for one in options]
        yield "\n".join(["| option | meaning |", "|---|---|", *rows, ""])


def _spelling(option: click.Option) -> str:
    names = "`, `".join(option.opts)
    if option.is_flag or option.count:
        return names
    return f"{names} {option.metavar or option.type.name.upper()}"


if __name__ == "__main__":
    for name, page in pages().items():
        (DOCS / name).write_text(page, encoding="utf-8")
