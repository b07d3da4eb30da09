"""The verbs and what they have in common: the site, exit codes, and errors as one clear sentence.

A verb's module is imported when the verb is called, so that `blocker version` doesn't load a resolver.
"""

from __future__ import annotations

import contextlib
import importlib
import keyword
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from blocker.errors import BlockerError, StoreError

VERBS = (
    "new",
    "import",
    "check",
    "plan",
    "timeline",
    "explain",
    "schema",
    "approvals",
    "apply",
    "withhold",
    "release",
    "rollback",
    "serve",
    "watch",
    "push",
    "run",
    "rpz",
    "dnsdist-config",
    "verify",
    "probe",
    "rejudge",
    "report",
    "ledger",
    "review",
    "demo",
    "version",
)

_EXIT_CODES = """\b
Exit codes:
  0  fine
  1  the world is not as ordered (findings)
  2  the input is wrong (problems)
  3  the plan was refused, or a part of it is held
  4  the store or disk failed
  5  a server failed
  130  stopped by Ctrl-C
"""


class Verbs(click.Group):
    """The group of verbs; each lives in blocker.cli.<verb> as `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        if cmd_name not in VERBS:
            return None
        module = f"{cmd_name.replace('-', '_')}{'_' * keyword.iskeyword(cmd_name)}"
        command = importlib.import_module(f"blocker.cli.{module}").command
        return command if isinstance(command, click.Command) else None


@click.command(
    cls=Verbs,
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--site",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("policies/site.yaml"),
    show_default=True,
    envvar="BLOCKER_SITE",
    help="The site's configuration.",
)
@click.pass_context
def cli(context: click.Context, site: Path) -> None:
    """Court-ordered DNS blocking: narrow, dated, attributable, visible and reversible."""
    context.obj = site


def main() -> NoReturn:
    """Run the command line and exit."""
    try:
        # Not cli.main(): it takes a closed pipe for an error, and 1 has another meaning here.
        with cli.make_context("blocker", sys.argv[1:]) as context:
            code = cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as leaving:
        code = leaving.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt, EOFError):
        click.echo("\nstopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BlockerError as error:
        _tell(f"blocker: {error}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has seen enough (`blocker timeline | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _tell(f"blocker: {error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # It may be what failed.
        sys.exit(StoreError.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _tell(sentence: str) -> None:
    """Say it if it can be said; the exit code stands whether anybody hears it or not."""
    with contextlib.suppress(OSError):
        click.echo(sentence, err=True)
