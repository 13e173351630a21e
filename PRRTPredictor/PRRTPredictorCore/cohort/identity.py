"""Study codes: keyed hashes that stand for patients wherever data may leave.

The key is made on first use and stays in the user's configuration folder; without it nobody can get from a code back to
a patient by trying identifiers. It never goes into a run, a model or a report.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
import unicodedata
from pathlib import Path

from ..errors import Code, CohortRefused, InputRefused
from ..files import user_folder

CONFIG_DIR_VARIABLE = "PRRT_CONFIG_DIR"
"""Environment variable that moves the configuration folder."""

KEY_FILE = "study-code.key"
_KEY_BYTES = 32
_CODE_DIGITS = 10
_PATIENCE_SECONDS = 2.0


def study_code(patient_id: str) -> str:
    """The code that replaces a patient's identifier, e.g. "P-7f3a9c2e10".

    The first 40 bits of HMAC-SHA256 under this user's key. Blanks and NUL padding around the identifier and the case of
    its letters make no difference, so that one patient does not become two.

    Raises
    ------
    CohortRefused
        COHORT_VALUE: an empty identifier.
    InputRefused
        STUDY_KEY: the key cannot be made or read.
    """
    identifier = unicodedata.normalize("NFKC", patient_id).strip(" \t\r\n\0").casefold()
    if not identifier:
        raise CohortRefused(
            Code.COHORT_VALUE, "The patient identifier is empty.", remedy="Give every patient an identifier."
        )
    digest = hmac.new(_study_key(), identifier.encode("utf-8", errors="surrogatepass"), hashlib.sha256).hexdigest()
    return f"P-{digest[:_CODE_DIGITS]}"


def config_dir() -> Path:
    """The user's configuration folder: ``PRRT_CONFIG_DIR``, else where the operating system wants it."""
    override = os.environ.get(CONFIG_DIR_VARIABLE)
    return Path(override) if override else user_folder("config")


def _study_key() -> bytes:
    path = config_dir() / KEY_FILE
    try:
        if not path.exists():
            _create_key(path)
        return _read_key(path)
    except OSError as error:
        raise InputRefused(
            Code.STUDY_KEY,
            f"The key behind the study codes cannot be made or read ({error.strerror or type(error).__name__}).",
            where=KEY_FILE,
            remedy=f"Make the configuration folder readable and writable, or name another in {CONFIG_DIR_VARIABLE}.",
        ) from error


def _create_key(path: Path) -> None:
    """Write a fresh key unless another process was first: exactly one creator can open the file exclusively."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_hex(_KEY_BYTES).encode("ascii"))


def _read_key(path: Path) -> bytes:
    """Read the key; waits a moment for a creator that has opened the file and not yet written it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while len(text := path.read_bytes().strip()) < 2 * _KEY_BYTES and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise InputRefused(
            Code.STUDY_KEY,
            "The file with the key behind the study codes is damaged.",
            where=KEY_FILE,
            remedy=f"Restore {KEY_FILE} in the configuration folder from a backup, or delete it: a new key is made, "
            "and all patients get new codes.",
        )
    return key
