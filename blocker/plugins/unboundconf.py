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
_COMMENT = re.compile(r"#.*")
_SETTING = re.compile(
    r"(?<![\w-])(include|include-toplevel|serve-expired|cache-min-ttl):[ \t]*(?:\"([^\"\n]*)\"|([^\s\"]+))"
)


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
        text = _COMMENT.sub("", file.read(_MOST_OCTETS).decode(errors="replace"))
    for match in _SETTING.finditer(text):
        key, value = match[1], match[2] if match[3] is None else match[3]
        if key in ("include", "include-toplevel"):
            pattern = Path(value) if value.startswith("/") else folder / value
            for found in sorted(Path("/").glob(str(pattern.absolute()).lstrip("/"))):
                _read(found, folder, values, seen)
        else:
            values[key] = value


def check(settings: Settings) -> list[str]:
    """What deserves a warning. Raises ConfigRefused for what can't be left so."""
    values = settings.values
    modules = settings.modules.split()
    if values.get("serve-expired") == "yes":
        raise ConfigRefused("serve-expired: yes serves what an order has ended; set it to no")
    if values.get("cache-min-ttl", "0") != "0":
        raise ConfigRefused("cache-min-ttl keeps answers beyond the instant of an order; remove it")
    if "python" not in modules or "iterator" not in modules[modules.index("python") :]:
        raise ConfigRefused(
            'module-config has python before validator and iterator: "python validator iterator"'
        )
    if "validator" in modules[: modules.index("python")]:
        raise ConfigRefused(
            "module-config has validator before python; a blocked answer would fail validation"
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
            f"could not look for serve-expired and cache-min-ttl, which must not be set: {settings.unread}"
        )
    return warnings
