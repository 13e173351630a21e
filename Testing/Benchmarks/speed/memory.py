"""Peak memory of one contender, measured in a process of its own: what it needs above what was there before."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

SAMPLE_SECONDS = 0.02
WALL_LIMIT_SECONDS = 900


def peak_of(run: Callable[[], Any]) -> int:
    """Bytes at the peak of ``run`` above those before it, child processes with their own share of memory included."""
    before = _resident()
    _forget_peak()
    with _children_watched() as children:
        run()
    return max(_own_peak() - before, 0) + children[0]


def peak_in_child(entry: Path, stage: str, contender: str, folder: Path) -> int:
    """The same for a contender of a stage, in a fresh process; Linux alone tells it.

    Raises
    ------
    RuntimeError
        The process failed, with the end of what it said.
    """
    words = [sys.executable, str(entry), "--once", stage, contender, "--folder", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=WALL_LIMIT_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{stage}, {contender}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])["peak_bytes"]


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


def _resident() -> int:
    return _status("VmRSS:")


def _own_peak() -> int:
    return _status("VmHWM:")


def _forget_peak() -> None:
    # Linux: "5" sets the process's peak back to what it holds now.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


@contextmanager
def _children_watched() -> Iterator[list[int]]:
    """The largest sum of the child processes' proportional memory, sampled; in the list's only place at the end."""
    largest, ended = [0], threading.Event()

    def watch() -> None:
        own = psutil.Process()
        while not ended.is_set():
            total = 0
            for child in own.children(recursive=True):
                with suppress(psutil.Error):
                    total += child.memory_full_info().pss
            largest[0] = max(largest[0], total)
            time.sleep(SAMPLE_SECONDS)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield largest
    finally:
        ended.set()
        watcher.join()
