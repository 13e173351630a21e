"""Content keys: what a prepared study is found again by, whatever its files are called and wherever they lie."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from ..dicom import READING_VERSION
from ..errors import Code, DicomRefused
from ..files import write_bytes
from .preprocess import PreprocessConfig

_CHUNK_BYTES = 1 << 18


def content_key(pet: str, ct: str, config: PreprocessConfig) -> str:
    """SHA-256 over the hashes of both series, the configuration, and the versions of preprocessing and reading."""
    return hashlib.sha256(f"{pet}|{ct}|{config.digest()}|{READING_VERSION}".encode()).hexdigest()


def is_key(text: str) -> bool:
    """Whether this can be a content key, and so the name of a file."""
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def series_hash(files: Sequence[Path], folder: Path) -> str:
    """SHA-256 over the contents of a series, whatever its files are called and wherever they lie.

    Remembered in ``folder`` by the files' paths, sizes and times of change (of the content, and of anything), so that
    an untouched series is not read again; the paths themselves are not stored.

    Raises
    ------
    DicomRefused
        ``PATH_MISSING``: a file is gone or may not be read.
    """
    try:
        memo = _memo(files, folder)
        known = _remembered(memo)
        if known:
            return known
        total = hashlib.sha256("".join(sorted(file_hash(path) for path in files)).encode()).hexdigest()
    except OSError as error:
        raise DicomRefused(
            Code.PATH_MISSING,
            f"A file of the series cannot be read ({error.strerror or type(error).__name__}).",
            remedy="Check that the folder is still there and that you may read it.",
        ) from error
    write_bytes(memo, total.encode("ascii"), sweep=False)
    return total


def remembered_hash(files: Sequence[Path], folder: Path) -> str:
    """As :func:`series_hash` as far as it is remembered; empty where the files would have to be read.

    Raises
    ------
    OSError
        A file is gone or may not be asked for its times.
    """
    return _remembered(_memo(files, folder))


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    digest = hashlib.sha256()
    chunk = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(chunk):
            digest.update(chunk[:count])
    return digest.hexdigest()


def _memo(files: Sequence[Path], folder: Path) -> Path:
    """Where the hash of these files is remembered as long as none of them changes."""
    stats = [(str(path), path.stat()) for path in sorted(files, key=str)]
    listing = json.dumps([(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in stats])
    return folder / "series" / hashlib.sha256(listing.encode()).hexdigest()


def _remembered(memo: Path) -> str:
    """The hash that a memo holds; empty when there is none or it is damaged."""
    content = memo.read_bytes() if memo.is_file() else b""
    text = content.decode("ascii", "replace")
    return text if is_key(text) else ""
