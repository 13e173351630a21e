"""Study codes: keyed hashes that stand for patients wherever data may leave.

The key is made on first use and stays in the user's configuration folder; without it nobody can get from a code back to
a patient by trying identifiers. It never goes into a run, a model or a report.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import stat
import time
import unicodedata
from contextlib import suppress
from pathlib import Path

from ..disk import aside, flush_folder, make_folders, remove, remove_leftovers
from ..errors import Code, CohortRefused, InputRefused, RunFailed
from ..files import user_folder

_logger = logging.getLogger(__name__)

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
        STUDY_KEY: the key cannot be read, or is damaged.
    RunFailed
        STUDY_KEY: it cannot be made.
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
        remove_leftovers(path.parent, path.name)  # of a creator killed when the key was there already: a copy of it
        _keep_private(path)
        return _read_key(path)
    except OSError as error:
        # A place that takes no file ends a command as a full disk does; one that cannot be read was named wrongly.
        misnamed = os.path.lexists(path) or isinstance(error, NotADirectoryError | FileExistsError)
        kind = InputRefused if misnamed else RunFailed
        raise kind(
            Code.STUDY_KEY,
            f"The key behind the study codes cannot be made or read ({error.strerror or type(error).__name__}).",
            where=KEY_FILE,
            remedy=f"Make the configuration folder readable and writable, or name another in {CONFIG_DIR_VARIABLE}.",
        ) from error


def _create_key(path: Path) -> None:
    """Make a fresh key unless another process was first; at no moment is there a file with less than a whole key."""
    if not path.parent.exists():
        make_folders(path.parent.parent)
        path.parent.mkdir(exist_ok=True, mode=0o700)
        flush_folder(path.parent.parent)
    fresh = aside(path)
    try:
        _write_new(fresh, secrets.token_hex(_KEY_BYTES).encode("ascii"))
        try:
            os.link(fresh, path)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links, such as FAT
            with suppress(FileExistsError):
                _write_new(path, fresh.read_bytes())
        flush_folder(path.parent)
    finally:
        remove(fresh)


def _write_new(path: Path, content: bytes) -> None:
    """Write a private file that must not be there yet, and force it to the disk."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _keep_private(path: Path) -> None:
    """Take the rights of everybody else from the key, and say so.

    A copy or a restored backup easily gives them. The rights of a group stay: sharing one key may be meant.
    """
    if os.name == "nt":  # the user's profile is private there
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IRWXO:
        path.chmod(mode & ~stat.S_IRWXO)
        _logger.warning("Others on this machine could read the key behind the study codes; it is private again.")


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
