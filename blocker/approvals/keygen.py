"""Verification by OpenSSH itself: `ssh-keygen -Y verify`, one process for each signature.

Shell. The library `sshsig` knows neither ECDSA nor security keys, and OpenSSH is what made the signatures.
A process takes some milliseconds, so several run at once; only signatures that could count come here, and
only of orders that aren't applied yet. It reads the file from us, not from the disk: what is verified is
what was parsed. Its answer counts if it ends well and names the key that we expect.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from blocker.errors import BlockerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blocker.approvals.sshsig import Envelope

PROGRAM = "ssh-keygen"
_WAIT = 10.0  # seconds; it takes a hundredth of one
_AT_ONCE = 2 * (os.cpu_count() or 1)
_ENVIRONMENT = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
_WHO = "signer"  # who it is, our own tables say; OpenSSH wants a word that stands for it


class CantVerify(BlockerError):
    """The program that verifies signatures isn't there, or didn't answer."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """That a signature is good over these octets."""

    envelope: Envelope
    octets: bytes


def verify(
    claims: Sequence[Claim], namespace: str, progress: Callable[[str, int, int], None] | None = None
) -> list[str]:
    """For each claim why it is refused, in OpenSSH's words; empty if the signature is good.

    `progress` is told how many are verified, and of how many. Raises CantVerify.
    """
    if not claims:
        return []
    try:
        with tempfile.TemporaryDirectory(prefix="blocker-") as folder:
            work = partial(_verify, Path(folder), namespace)
            with ThreadPoolExecutor(min(_AT_ONCE, len(claims))) as pool:
                found = []
                for reason in pool.map(work, range(len(claims)), claims):
                    found.append(reason)
                    if progress is not None:
                        progress("signatures", len(found), len(claims))
                return found
    except OSError as error:
        raise CantVerify(
            f"signatures can't be verified: {error.filename or PROGRAM}: {error.strerror or error}; install "
            "OpenSSH's client (openssh-client), and leave room in the folder for temporary files."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CantVerify(
            f"signatures can't be verified: {PROGRAM} did not end within {_WAIT:.0f} s; try again."
        ) from error


def _verify(folder: Path, namespace: str, number: int, claim: Claim) -> str:
    key = claim.envelope.key
    allowed, signature = folder / f"{number}.allowed", folder / f"{number}.sig"
    allowed.write_text(f'{_WHO} namespaces="{namespace}" {key}\n', encoding="ascii")
    signature.write_bytes(claim.envelope.armored)
    words = ("-Y", "verify", "-n", namespace, "-I", _WHO, "-f", str(allowed), "-s", str(signature))
    ended = subprocess.run(
        (PROGRAM, *words),
        input=claim.octets,
        capture_output=True,
        timeout=_WAIT,
        check=False,
        env=_ENVIRONMENT,
        start_new_session=True,
    )
    said = ended.stdout.decode("utf-8", "replace").strip()
    if ended.returncode == 0 and said.startswith(f'Good "{namespace}"') and said.endswith(key.fingerprint):
        return ""
    heard = ended.stderr.decode("utf-8", "replace").strip().splitlines()
    return heard[0] if heard else f"it ended with {ended.returncode}"
