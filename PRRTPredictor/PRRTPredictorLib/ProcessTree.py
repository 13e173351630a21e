"""A child process and everything that it starts: launched so that all of it can be ended together, and ended.

The child may be a launcher (PythonSlicer is one) whose own child does the work.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

_ROUNDS = 5
"""A process may start another one while its tree is being ended; then the tree is looked at again."""


def launchOptions() -> dict[str, Any]:
    """Keyword arguments of ``Popen``: no console window, and a process group of its own."""
    if sys.platform == "win32":
        hidden = subprocess.STARTUPINFO()
        hidden.dwFlags |= subprocess.STARTF_USESHOWWINDOW
        hidden.wShowWindow = subprocess.SW_HIDE
        return {
            "startupinfo": hidden,
            "creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP,
        }
    return {"start_new_session": True}


class ProcessTree:
    """The tree under a child that was launched with :func:`launchOptions`.

    Parameters
    ----------
    root : Popen
    """

    def __init__(self, root: subprocess.Popen[bytes]) -> None:
        self._root = root
        self._startedAt = time.time()
        self._ending: list[Any] = []

    def end(self) -> None:
        """Kill every process of the tree, also those that outlived the root; returns without waiting for them."""
        for _ in range(_ROUNDS):
            alive = self._alive()
            for process in alive:
                _kill(process)
            self._ending += alive
            if not alive:
                break
        if sys.platform != "win32":
            # Also reaches those whose parents have ended before them.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._root.pid, signal.SIGKILL)
        elif self._root.poll() is None:
            # Only without psutil is the root still there.
            subprocess.run(
                ["taskkill", "/PID", str(self._root.pid), "/T", "/F"],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **launchOptions(),
            )
        with suppress(OSError):
            self._root.kill()

    @property
    def gone(self) -> bool:
        """Whether all processes that :meth:`end` killed have really ended, and let go of files and locks."""
        return self._root.poll() is not None and not any(_isAlive(process) for process in self._ending)

    def _alive(self) -> list[Any]:
        """The root and its descendants as psutil's records, parents first; nothing where psutil is missing."""
        try:
            import psutil
        except ImportError:
            return []
        try:
            root = psutil.Process(self._root.pid)
            return [one for one in (root, *root.children(recursive=True)) if _isAlive(one)]
        except psutil.NoSuchProcess:
            return self._orphans() if sys.platform == "win32" else []

    def _orphans(self) -> list[Any]:
        """On Windows, where a process keeps the identifier of its dead parent: the descendants of the dead root."""
        import psutil

        found: list[Any] = []
        parents = {self._root.pid}
        everyone = [one for one in psutil.process_iter(["ppid", "create_time"]) if one.info["create_time"]]
        for one in sorted(everyone, key=lambda each: each.info["create_time"]):
            if one.info["ppid"] in parents and one.info["create_time"] >= self._startedAt - 1:
                parents.add(one.pid)
                found.append(one)
        return found


def _kill(process: Any) -> None:
    import psutil

    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process.kill()


def _isAlive(process: Any) -> bool:
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
