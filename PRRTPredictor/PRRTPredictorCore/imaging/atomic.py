"""Files that are either whole or absent: written under a temporary name beside the target, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import Code, RunFailed


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` and rename it to ``path`` when the block ends well.

    The temporary name keeps the suffix of ``path`` (writers choose the format by it). When the block raises, nothing is
    left behind and an older ``path`` stays as it was.

    Raises
    ------
    RunFailed
        ``OUTPUT``: the file cannot be written there (read-only folder, full disk).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _not_writable(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        _flush_to_disk(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise _not_writable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all; see :func:`replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _flush_to_disk(path: Path) -> None:
    # Without this a power cut may leave the new name with no content behind it.
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _umask() -> int:
    # mkstemp gives mode 600; the finished file gets what an ordinary open() would have given. The mask can only be
    # read by setting it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _not_writable(path: Path, error: OSError) -> RunFailed:
    return RunFailed(
        Code.OUTPUT,
        f"The file cannot be written ({error.strerror or type(error).__name__}).",
        where=path.name,
        remedy="Choose a folder that you may write to and that has free space.",
    )
