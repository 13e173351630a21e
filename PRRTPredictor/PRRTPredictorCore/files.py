"""Files and folders that are either whole or absent: written under a temporary name beside the target, then renamed.

Every room that leaves something on disk writes through here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from .disk import PARTIAL as PARTIAL
from .disk import REPLACED, aside, exchange, flush_folder, make_folders, remove, remove_leftovers, set_aside
from .disk import flush_file as _flush_to_disk
from .errors import Code, InputRefused, RunFailed

_APPLICATION = "PRRTPredictor"


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
        ``OUTPUT``: another suffix, a folder of that name, or a place below a file.
    RunFailed
        ``OUTPUT``: a folder that nothing may be written into.
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
        ``OUTPUT``: a file of that name, or a place below one.
    RunFailed
        ``OUTPUT``: a folder that nothing may be written into.
    """
    _require_open_to_us(path, path.absolute())


def _require_open_to_us(path: Path, folder: Path) -> None:
    nearest = next(parent for parent in (folder, *folder.parents) if os.path.lexists(parent))
    if not nearest.is_dir():
        problem = "is a file" if nearest.exists() else "is a link to nowhere"
        raise _no_target(f"{nearest.name} {problem}, not a folder.", path, "Name a new folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        # The same end as a disk that turns out to be full: the command was right, the place cannot take the result.
        raise RunFailed(
            Code.OUTPUT,
            f"Nothing may be written into the folder {nearest.name}.",
            where=path.name,
            remedy="Choose a folder that you may write to.",
        )


def _no_target(message: str, path: Path, remedy: str) -> InputRefused:
    return InputRefused(Code.OUTPUT, message, where=path.name, remedy=remedy)


@contextmanager
def replacing(path: Path, *, flush: bool = True, sweep: bool = True) -> Iterator[Path]:
    """Give a temporary path beside ``path`` and rename it to ``path`` when the block ends well.

    The temporary name keeps the suffix of ``path`` (writers choose the format by it). When the block raises, nothing is
    left behind and an older ``path`` stays as it was.

    Parameters
    ----------
    flush : bool
        Force the file to the disk before the rename. Only what can be made again without loss may do without.
    sweep : bool
        Remove what killed processes left of this file, for which the whole folder is listed. Folders of many files do
        without, and are swept once, by whoever fills them.

    Raises
    ------
    RunFailed
        ``OUTPUT``: the file cannot be written there (read-only folder, full disk).
    """
    temporary = aside(path)
    try:
        make_folders(path.parent)
        if sweep:
            remove_leftovers(path.parent, path.name)
        temporary.touch(exist_ok=False)
        yield temporary
        if flush:
            _flush_to_disk(temporary)
        temporary.replace(path)
        if flush:
            flush_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        remove(temporary)


def write_bytes(path: Path, content: bytes, *, sweep: bool = True) -> None:
    """Write ``content`` to ``path``, whole or not at all; see :func:`replacing`."""
    with replacing(path, sweep=sweep) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all; keys keep their order, floats their full precision.

    Raises
    ------
    RunFailed
        ``OUTPUT`` when the disk is full or the folder read-only.
    """
    write_bytes(path, to_json_bytes(content))


def write_together(folder: Path, files: Mapping[str, bytes], gone: Collection[str] = ()) -> None:
    """Write several files into a folder: the first takes its place only when all of them are on the disk.

    Parameters
    ----------
    folder : Path
    files : mapping of str to bytes
        By path within the folder; they take their places in this order.
    gone : collection of str
        Older files that the new ones leave no room for; they go before the first of these takes its place.

    Raises
    ------
    InputRefused
        ``OUTPUT`` when a folder within is a link.
    RunFailed
        ``OUTPUT`` when the disk is full or the folder read-only; older files stay as they were then.
    """
    folders = {(folder / name).parent for name in (*files, *gone)}
    if links := sorted(one.name for one in folders - {folder} if one.is_symlink()):
        # In a folder from somebody else, files would be written and removed wherever such a link leads.
        raise _no_target(f"{links[0]} is a link to somewhere else.", folder, "Remove the link.")
    waiting_room = aside(folder / "files")
    name = ""
    try:
        for name, content in files.items():
            waiting = waiting_room / name
            waiting.parent.mkdir(parents=True, exist_ok=True)
            waiting.write_bytes(content)
            _flush_to_disk(waiting)
            make_folders((folder / name).parent)
        for name in gone:
            (folder / name).unlink(missing_ok=True)
        for name in files:
            (waiting_room / name).replace(folder / name)
        for changed in folders:
            flush_folder(changed)
    except OSError as error:
        raise cannot_write(folder / name, error) from error
    finally:
        remove(waiting_room)


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
    temporary = aside(target)
    try:
        make_folders(target.parent)
        restore_replaced(target)
        remove_leftovers(target.parent, target.name)
        temporary.mkdir()
        yield temporary
        if flush:
            _flush_tree(temporary)
        _take_place(temporary, target)
        flush_folder(target.parent)
    except OSError as problem:
        raise cannot_write(target, problem) from problem
    finally:
        remove(temporary)  # what was half-written, or the older folder that has changed places with the new one


def _take_place(fresh: Path, target: Path) -> None:
    """Rename a folder to its name; an older one of that name is replaced, and is never lost."""
    try:
        fresh.replace(target)
        return
    except OSError:
        if not target.is_dir():
            raise
    if exchange(fresh, target):
        return
    replaced = aside(target, REPLACED)
    try:
        target.replace(replaced)
        fresh.replace(target)
    finally:  # also when Ctrl-C fell between the two; after a kill, restore_replaced() does the same
        if not os.path.lexists(target):
            replaced.replace(target)
        remove(replaced)


def restore_replaced(target: Path) -> None:
    """Bring an older folder back to its name where a process was killed before the new one had taken it.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    if os.path.lexists(target):
        return
    for entry in set_aside(target.parent, REPLACED, target.name):
        entry.replace(target)
        return


def _flush_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            _flush_to_disk(path)
        elif path.is_dir():
            flush_folder(path)
    flush_folder(folder)


def cannot_write(path: Path, problem: OSError) -> RunFailed:
    """The error for a result that could not be written."""
    return RunFailed(
        Code.OUTPUT,
        f"{path.name} could not be written: {problem.strerror or type(problem).__name__}.",
        where=path.parent.name,
        remedy="Make room on the disk, or choose a folder that you may write to.",
    )
