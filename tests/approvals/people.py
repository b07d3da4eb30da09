"""People with keys, made by ssh-keygen in a scratch folder, and what they sign."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.servers import lab

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Person:
    """One key pair; `file` is the private half."""

    file: Path

    @property
    def line(self) -> str:
        return self.file.with_name(f"{self.file.name}.pub").read_text().strip()

    @property
    def fingerprint(self) -> str:
        words = [lab.program("ssh-keygen"), "-lf", str(self.file)]
        return subprocess.run(words, capture_output=True, check=True, text=True).stdout.split()[1]

    def sign(self, octets: bytes, namespace: str = "blocker-order") -> bytes:
        """An armored signature, by the real program."""
        words = [lab.program("ssh-keygen"), "-q", "-Y", "sign", "-n", namespace, "-f", str(self.file)]
        return subprocess.run(words, input=octets, capture_output=True, check=True).stdout


def make(folder: Path, name: str, *more: str) -> Person:
    """A new person; `more` are further words for ssh-keygen."""
    file = folder / name
    words = [lab.program("ssh-keygen"), "-q", *(more or ("-t", "ed25519")), "-N", "", "-C", name]
    subprocess.run([*words, "-f", str(file)], check=True)
    return Person(file)


class Town:
    """All people of the tests, made when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._people: dict[str, Person] = {}

    def __getitem__(self, name: str) -> Person:
        if name not in self._people:
            more = {
                "ecdsa": ("-t", "ecdsa"),
                "rsa": ("-t", "rsa", "-b", "2048"),
                "short": ("-t", "rsa", "-b", "1024"),
            }
            self._people[name] = make(self._folder, name, *more.get(name, ()))
        return self._people[name]
