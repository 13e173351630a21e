"""Writing that leaves either the whole file or folder, or nothing: a temporary name, a flush to disk, a rename."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PRRTPredictorCore.errors import Code, ModelRefused, RunFailed
from PRRTPredictorCore.imaging.atomic import write_bytes

PARTIAL = ".partial-"
"""How the names of half-written folders begin; nothing ever reads them."""


def read_json(path: Path) -> Any:
    """Read a JSON file of a run folder.

    Raises
    ------
    ModelRefused
        ``RUN_MISMATCH`` when it is absent or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ModelRefused(
            Code.RUN_MISMATCH,
            f"{path.name} is missing or unreadable, so this is no run folder of PRRTPredictor.",
            where=path.parent.name,
            remedy="Name the folder that `prrt train --out` wrote.",
        ) from problem


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all; keys keep their order, floats their full precision.

    Raises
    ------
    RunFailed
        ``OUTPUT`` when the disk is full or the folder read-only.
    """
    write_bytes(path, to_json_bytes(content))


def to_json_bytes(content: Any) -> bytes:
    """JSON with the same bytes on every system; refuses NaN."""
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


@contextmanager
def published_folder(target: Path) -> Iterator[Path]:
    """Give a temporary folder to write into; when the block ends well, it becomes ``target`` in one step.

    Raises
    ------
    RunFailed
        ``OUTPUT`` when the disk is full or the folder read-only; nothing is left behind.
    """
    temporary = target.with_name(f"{PARTIAL}{target.name}-{uuid.uuid4().hex[:8]}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        for file in temporary.iterdir():
            _flush(file)
        if target.exists():  # a folder without done.json: somebody removed it, so it counts as unfinished
            shutil.rmtree(target)
        temporary.replace(target)
        _flush_folder(target.parent)
    except OSError as problem:
        raise cannot_write(target, problem) from problem
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_partials(run: Path) -> None:
    """Remove what a killed process left half-written in a run folder."""
    for leftover in sorted((run / "folds").glob(f"*/{PARTIAL}*")):
        shutil.rmtree(leftover, ignore_errors=True)
    for leftover in sorted(run.glob(".*-*.json")):  # the temporary names of imaging.atomic
        leftover.unlink(missing_ok=True)


def cannot_write(path: Path, problem: OSError) -> RunFailed:
    """The error for a result that could not be written."""
    return RunFailed(
        Code.OUTPUT,
        f"{path.name} could not be written: {problem.strerror or type(problem).__name__}.",
        where=path.parent.name,
        remedy="Make room on the disk or choose a writable --out folder; the same command then resumes.",
    )


def _flush(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder for flushing, and journals the rename itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
