"""Whether an Unbound can hold the policy, by its configuration. Next to `unbound`, and of no use elsewhere.

Python sees only a part of Unbound's settings, so the file is read as well, for the few that matter. What
the file says is trusted no further than that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blocker.errors import PointError

DEFAULT = "/etc/unbound/unbound.conf"

_MOST_FILES = 256
_MOST_OCTETS = 1 << 20
_TOKEN = re.compile(r"""\"[^"\n]*"|'[^'\n]*'|#.*|[\w-]+:|[^\s"']+""")
_INCLUDES = ("include:", "include-toplevel:")
_FORBIDDEN = {
    "serve-expired": ("no", "serves what an order has ended; set it to no"),
    "serve-original-ttl": (
        "no",
        "lets caches below keep answers beyond the instant of an order; set it to no",
    ),
    "cache-min-ttl": ("0", "keeps answers beyond the instant of an order; remove it"),
    "cache-min-negative-ttl": ("0", "keeps answers beyond the instant of an order; remove it"),
}
"""The settings under which the policy can't hold: what each may be, and why nothing else."""

_KEYS = {*_INCLUDES, *(f"{key}:" for key in _FORBIDDEN)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What counts. `unread` is why the file could not be read, empty if it was."""

    modules: str
    threads: int
    values: dict[str, str]
    unread: str = ""


class ConfigRefused(PointError):
    """Under this configuration the policy can't hold; the message says what to change."""


def read(cmdline: bytes, cfg: Any) -> Settings:
    """The settings of the process with this command line; `cfg` is Unbound's `config_file`."""
    path = file_of([word.decode(errors="replace") for word in cmdline.split(b"\0") if word])
    values: dict[str, str] = {}
    unread = ""
    try:
        _read(Path(path), Path(cfg.directory or "."), values, set())
    except (OSError, ValueError) as error:
        unread = f"{path}: {error}"
    return Settings(modules=cfg.module_conf or "", threads=cfg.num_threads, values=values, unread=unread)


def file_of(words: list[str]) -> str:
    """The configuration file that a command line of unbound or unbound-checkconf names."""
    for number, word in enumerate(words[1:], 1):
        if word == "-c" and number + 1 < len(words):
            return words[number + 1]
        if len(word) > 2 and word.startswith("-c"):
            return word[2:]
    if words and words[0].endswith("checkconf") and not words[-1].startswith("-") and len(words) > 1:
        return words[-1]
    return DEFAULT


def _read(path: Path, folder: Path, values: dict[str, str], seen: set[Path]) -> None:
    """Take in a file and those it includes; what comes later counts."""
    if path in seen:
        return
    seen.add(path)
    if len(seen) > _MOST_FILES:
        raise ValueError(f"more than {_MOST_FILES} files")
    with path.open("rb") as file:
        text = file.read(_MOST_OCTETS).decode(errors="replace")
    key = ""
    for token in _TOKEN.findall(text):
        if token.startswith("#"):
            continue
        if not key:
            key = token if token in _KEYS else ""
            continue
        value = token.strip("\"'")
        if key in _INCLUDES:
            pattern = Path(value) if value.startswith("/") else folder / value
            for found in sorted(Path("/").glob(str(pattern.absolute()).lstrip("/"))):
                _read(found, folder, values, seen)
        else:
            values[key.removesuffix(":")] = value
        key = ""


def check(settings: Settings) -> list[str]:
    """What deserves a warning. Raises ConfigRefused for what can't be left so."""
    values = settings.values
    modules = settings.modules.split()
    for key, (harmless, why) in _FORBIDDEN.items():
        value = values.get(key, harmless)
        if value != harmless:
            raise ConfigRefused(f"{key}: {value} {why}")
    if "python" not in modules or "iterator" not in modules[modules.index("python") :]:
        raise ConfigRefused(
            'module-config has python before validator and iterator: "python validator iterator"'
        )
    if "validator" in modules[: modules.index("python")]:
        raise ConfigRefused(
            "module-config has validator before python; a blocked answer would fail validation"
        )
    if "subnetcache" in modules:
        raise ConfigRefused(
            "module-config has subnetcache beside python; what is kept for an order's instant is kept for "
            "all clients, and would give one subnet's answer to the others: remove it"
        )
    if modules[0] != "python":
        raise ConfigRefused(
            f"module-config has {modules[0]} before python; what it keeps or changes, an order's instant "
            "does not reach: put python first"
        )
    warnings = []
    if settings.threads > 1:
        warnings.append(
            f"num-threads: {settings.threads}: threads wait for one another in Python; "
            "set 1, and start more processes with so-reuseport if one is not enough"
        )
    if settings.unread:
        warnings.append(
            f"could not look for {', '.join(_FORBIDDEN)}, which must not be set: {settings.unread}"
        )
    return warnings
