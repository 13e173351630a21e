"""Files and folders that are either whole or absent: written under a temporary name beside the target, then renamed.

Every room that leaves something on disk writes through here.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from .errors import Code, InputRefused, RunFailed

_APPLICATION = "PRRTPredictor"

PARTIAL = ".partial-"
"""How the names of half-written folders begin; nothing ever reads them."""


Kind = Literal["config", "cache"]


def user_folder(kind: Kind) -> Path:
    """Where this operating system wants a user's settings, or what can be made again, to lie; not made here.

    Plain Python, so that a cohort can be checked before anything is installed.
    """
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / _APPLICATION
        return local / "Cache" if kind == "cache" else local
    if sys.platform == "darwin":
        library = Path.home() / "Library"
        return library / ("Caches" if kind == "cache" else "Application Support") / _APPLICATION
    # XDG Base Directory Specification
    named = os.environ.get(f"XDG_{kind.upper()}_HOME", "").strip()
    return Path(named or Path.home() / f".{kind}") / _APPLICATION


def cache_folder() -> Path:
    """Where this machine keeps what can be made again; the environment variable PRRT_CACHE_DIR overrides it."""
    override = os.environ.get("PRRT_CACHE_DIR")
    return Path(override) if override else user_folder("cache")


def require_file_target(path: Path, suffix: str) -> None:
    """Refuse, before any work is done for it, a file that could not be written in the end.

    Raises
    ------
    InputRefused
        ``OUTPUT``: another suffix, a folder of that name, or a place where nothing can be written.
    """
    if path.suffix.lower() != suffix:
        raise _no_target(
            f"{path.name} is to be written as a {suffix} file.", path, f"Give a name that ends in {suffix}."
        )
    if path.is_dir():
        raise _no_target(f"{path.name} is a folder.", path, f"Name a file in it, for example {path.name}/out{suffix}.")
    _require_open_to_us(path, path.absolute().parent)


def require_folder_target(path: Path) -> None:
    """The same for a folder, which may be there already.

    Raises
    ------
    InputRefused
        ``OUTPUT``: a file of that name, or a place where nothing can be written.
    """
    _require_open_to_us(path, path.absolute())


def _require_open_to_us(path: Path, folder: Path) -> None:
    nearest = next(parent for parent in (folder, *folder.parents) if os.path.lexists(parent))
    if not nearest.is_dir():
        problem = "is a file" if nearest.exists() else "is a link to nowhere"
        raise _no_target(f"{nearest.name} {problem}, not a folder.", path, "Name a new folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _no_target(
            f"Nothing may be written into the folder {nearest.name}.", path, "Choose a folder that you may write to."
        )


def _no_target(message: str, path: Path, remedy: str) -> InputRefused:
    return InputRefused(Code.OUTPUT, message, where=path.name, remedy=remedy)


@contextmanager
def replacing(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Give a temporary path beside ``path`` and rename it to ``path`` when the block ends well.

    The temporary name keeps the suffix of ``path`` (writers choose the format by it). When the block raises, nothing is
    left behind and an older ``path`` stays as it was.

    Parameters
    ----------
    flush : bool
        Force the file to the disk before the rename. Only what can be made again without loss may do without.

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
        raise cannot_write(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        if flush:
            _flush_to_disk(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all; see :func:`replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all; keys keep their order, floats their full precision.

    Raises
    ------
    RunFailed
        ``OUTPUT`` when the disk is full or the folder read-only.
    """
    write_bytes(path, to_json_bytes(content))


def write_together(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write several files into a folder: the first takes its place only when all of them are on the disk.

    Parameters
    ----------
    folder : Path
    files : mapping of str to bytes
        By path within the folder; they take their places in this order.

    Raises
    ------
    RunFailed
        ``OUTPUT`` when the disk is full or the folder read-only; older files stay as they were then.
    """
    aside = folder / f"{PARTIAL}{uuid.uuid4().hex[:8]}"
    try:
        for name, content in files.items():
            waiting = aside / name
            waiting.parent.mkdir(parents=True, exist_ok=True)
            waiting.write_bytes(content)
            _flush_to_disk(waiting)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        for name in files:
            (aside / name).replace(folder / name)
    except OSError as error:
        raise cannot_write(folder / name, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def to_json_bytes(content: Any) -> bytes:
    """JSON with the same bytes on every system; refuses NaN."""
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


@contextmanager
def published_folder(target: Path, *, flush: bool = True) -> Iterator[Path]:
    """Give a temporary folder to write into; when the block ends well, it becomes ``target`` in one step.

    An older ``target`` is replaced, and comes back when the new one cannot take its place.

    Parameters
    ----------
    flush : bool
        Force every file to the disk before the rename. Only what can be made again without loss may do without.

    Raises
    ------
    RunFailed
        ``OUTPUT`` when the disk is full or the folder read-only; nothing is left behind.
    """
    target = target.absolute()
    temporary = target.with_name(f"{PARTIAL}{target.name}-{uuid.uuid4().hex[:8]}")
    replaced = temporary.with_name(f"{temporary.name}-old")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if flush:
            for file in (path for path in temporary.rglob("*") if path.is_file()):
                _flush_to_disk(file)
        if target.exists():
            target.replace(replaced)
        try:
            temporary.replace(target)
        except OSError:
            if replaced.exists():
                replaced.replace(target)
            raise
        _flush_folder(target.parent)
    except OSError as problem:
        raise cannot_write(target, problem) from problem
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


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


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder for flushing, and journals the rename itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cannot_write(path: Path, problem: OSError) -> RunFailed:
    """The error for a result that could not be written."""
    return RunFailed(
        Code.OUTPUT,
        f"{path.name} could not be written: {problem.strerror or type(problem).__name__}.",
        where=path.parent.name,
        remedy="Make room on the disk, or choose a folder that you may write to.",
    )
