"""The README runs: its files are written and its commands called, in the order in which people meet them."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from blocker.cli.main import VERBS, cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

BLOCKS = [
    (kind, text.replace("\\\n ", ""))
    for kind, text in re.findall(r"^```(sh|yaml)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
]
COMMANDS = [
    line.partition("  #")[0].strip() for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()
]
# What a README command says on a site where all before it was done; a reader would look for these words.
SAID = {
    "blocker check": "2 orders good, 0 problems",
    "blocker plan": "district-court/2026-01-15-shop/shop",
    "blocker apply": "applied: generation 2",
    "blocker explain help.shop.example": "not blocked",
    "blocker apply --yes": "applied: generation 3",
}
# These need servers, a network, or a machine of their own.
ELSEWHERE = {"make", "dig", "curl", "docker", "blocker verify"}


def is_run_here(command: str) -> bool:
    return not any(command == other or command.startswith(f"{other} ") for other in ELSEWHERE)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str) -> object:
    """The content of a file, comments and forms aside."""
    return yaml.load(text, Loader=yaml.BaseLoader)


def call(command: str) -> str:
    _, *arguments = shlex.split(command)
    result = CliRunner().invoke(cli, arguments, input="y\n")
    assert result.exit_code == 0, f"{command}: {result.output}{result.exception!r}"
    return result.output


def test_the_first_order_is_written_checked_applied_explained_and_lifted_as_the_readme_says(
    checkout: Path,
) -> None:
    call("blocker apply --yes")  # `make run`, which the README leaves running, has done this.
    said: list[tuple[str, str]] = []
    for kind, text in BLOCKS:
        if kind == "yaml" and text.startswith("# policies/"):
            written = (checkout / text.splitlines()[0].removeprefix("# ")).read_text(encoding="utf-8")
            assert read(written) == read(text)
            assert text.splitlines()[1] == written.splitlines()[0]
        elif kind == "sh":
            commands = [line.partition("  #")[0].strip() for line in text.splitlines()]
            said += [(command, call(command)) for command in commands if is_run_here(command)]

    for command, words in SAID.items():
        (output,) = [output for one, output in said if one == command]
        assert words in output
    before, after = (output for command, output in said if command == "blocker explain www.shop.example")
    assert "www.shop.example is BLOCKED in ZZ" in before
    assert "www.shop.example is not blocked in ZZ" in after
    assert "district-court/2026-02-20-shop-lifted" in after


def test_every_command_of_the_readme_is_run_here_or_known_to_need_a_server() -> None:
    assert COMMANDS
    for command in COMMANDS:
        assert command.startswith("blocker ") or not is_run_here(command), command


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_every_make_target_that_is_spoken_of_exists(text: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    spoken = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    assert spoken
    assert spoken <= targets


def test_the_table_of_verbs_has_every_verb_once_in_the_command_lines_order() -> None:
    assert re.findall(r"^\| `([a-z-]+)[^`]*` \|", README, re.MULTILINE) == list(VERBS)


def test_the_table_of_exit_codes_is_that_of_the_command_line() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", README, re.MULTILINE)
    assert [f"  {code}  {meaning}" for code, meaning in rows] == [
        line for line in (cli.epilog or "").splitlines() if line.startswith("  ")
    ]


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_every_file_that_is_linked_or_named_exists(text: str) -> None:
    named = set(re.findall(r"\]\(([^)#]+)\)", text))
    named |= set(re.findall(r"`((?:ops|policies|tests|\.ci)/[a-z./-]+)`", text))
    for path in named:
        assert (ROOT / path).exists() or path.startswith("policies/orders/"), path


def test_every_room_and_module_that_contributing_draws_is_there() -> None:
    drawn = CONTRIBUTING.partition("blocker/\n")[2].partition("policies/ ")[0]
    room, checked = Path(), 0
    for line in drawn.splitlines():
        branch = re.match(r"[├└]── ((?:[a-z_]+(?:/|\.py) ?)+)", line)
        for name in branch[1].split() if branch else ():
            room = ROOT / "blocker" / name
            assert room.exists(), name
        if room.is_dir() and "·" in line:
            for module in re.findall(r"(?<=[·│] )[a-z_]+|[a-z_]+(?= ·)", line):
                assert (room / f"{module}.py").exists(), f"{room.name}/{module}"
                checked += 1
    assert checked > 30


def test_the_readme_says_plainly_that_the_group_can_read_sealed_names() -> None:
    section = README.partition("## Who can read what")[2].partition("\n## ")[0]
    assert "group `blocker`" in section
    assert "sealed" in section
