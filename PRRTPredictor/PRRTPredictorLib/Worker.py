"""Runs a ``prrt`` command in a child process: progress and a result come out, Cancel ends the whole process tree.

Torch stays out of Slicer's process this way: the panel never freezes, and the memory is free when the child has ended.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PRRTPredictorCore.errors import Cancelled, Code, PRRTError, RunFailed, error_from_json
from PRRTPredictorLib.ProcessTree import ProcessTree, launchOptions
from PRRTPredictorLib.Streams import LineReader, TailReader

MODULE_FOLDER = Path(__file__).parents[1]
"""What the child needs on its PYTHONPATH."""

_EVENTS_KEPT = 10_000
_EVENTS_PER_POLL = 200
_SECONDS_PER_POLL = 0.002
_LAST_LINES = 5
_SECONDS_TO_DIE = 0.08
"""How long Cancel waits for the processes to go; below the tenth of a second within which a panel must answer."""

_STARTS_TRIED = 20
_SECONDS_FOR_LAST_OUTPUT = 1.0
"""How long the output of a dead child may stay open in the hands of a process that it left behind."""


@dataclass(frozen=True)
class Progressed:
    """How far a child is with its present stage; ``etaSeconds`` is None until one step of the stage has been timed."""

    stage: str
    done: int
    total: int
    etaSeconds: float | None
    message: str


OnProgress = Callable[[Progressed], None]
OnLine = Callable[[str], None]
OnFinished = Callable[[dict[str, Any]], None]
OnFailed = Callable[[PRRTError], None]


def pythonCommand() -> tuple[str, ...]:
    """The Python that has Slicer's packages: inside Slicer PythonSlicer, elsewhere the running one.

    Raises
    ------
    RunFailed
        ``WORKER_DIED``: this Slicer has no PythonSlicer.
    """
    try:
        from slicer import app  # noqa: F401  # slicer-core has a slicer without an application
    except ImportError:
        return (sys.executable,)
    # Slicer's launcher puts the folder of PythonSlicer on the PATH; Slicer itself finds it there for pip.
    found = shutil.which("PythonSlicer")
    if found is None:
        raise _notStarted("PythonSlicer was not found")
    return (found,)


class Job:
    """One ``prrt`` command in a child process.

    The callbacks are called by :meth:`poll`, :meth:`wait` and :meth:`cancel`, on the thread that calls these, and in
    order; ``onFinished`` or ``onFailed`` comes last, and exactly one of them. What a callback raises goes to the caller
    of that method; the job's own state stays right.

    Examples
    --------
    >>> job = Job.start(["train", "cohort.csv", "--out", "run"], onProgress=print)
    >>> metrics = job.wait()
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        onProgress: OnProgress | None,
        onLine: OnLine | None,
        onFinished: OnFinished | None,
        onFailed: OnFailed | None,
    ) -> None:
        self._process = process
        self._onProgress, self._onLine = onProgress, onLine
        self._onFinished, self._onFailed = onFinished, onFailed
        self._events: deque[Progressed | str] = deque()
        self._lost = 0
        self._lastLines: deque[str] = deque(maxlen=_LAST_LINES)
        self._news = threading.Event()
        self._cancelled = self._ended = False
        self._diedAt: float | None = None
        self._document: dict[str, Any] = {}
        self._error: PRRTError | None = None
        self._tree = ProcessTree(process)
        self._answer = TailReader(_piped(process.stdout))
        self._log = LineReader(_piped(process.stderr), self._take)

    @classmethod
    def start(
        cls,
        words: Sequence[str],
        *,
        onProgress: OnProgress | None = None,
        onLine: OnLine | None = None,
        onFinished: OnFinished | None = None,
        onFailed: OnFailed | None = None,
        command: Sequence[str] | None = None,
    ) -> Job:
        """Start the child.

        Parameters
        ----------
        words : sequence of str
            A ``prrt`` command that knows ``--json``, without ``--json`` and ``--progress``.
        onProgress, onLine : callable, optional
            Receive the child's progress and every other line that it writes to stderr.
        onFinished : callable, optional
            Receives the command's JSON document.
        onFailed : callable, optional
            Receives the PRRTError: the child's own, ``WORKER_DIED`` or ``CANCELLED``.
        command : sequence of str, optional
            Program and first arguments; by default ``PythonSlicer -m PRRTPredictorCore``.

        Raises
        ------
        RunFailed
            ``WORKER_DIED``: the child cannot be started.
        """
        program = command or (*pythonCommand(), "-m", "PRRTPredictorCore")
        try:
            process = subprocess.Popen(
                [*program, *words, "--json", "--progress", "jsonl"],
                stdin=subprocess.PIPE,  # held open: its end tells the child that Slicer is gone
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=_environment(),
                **launchOptions(),
            )
        except OSError as problem:
            reason = problem.strerror or type(problem).__name__
            raise _notStarted(f"{Path(program[0]).name}: {reason}") from problem
        return cls(process, onProgress, onLine, onFinished, onFailed)

    @property
    def running(self) -> bool:
        """Whether the last callback is still to come."""
        return not self._ended

    @property
    def processId(self) -> int:
        """Process identifier of the child, which may be a launcher."""
        return self._process.pid

    def poll(self) -> None:
        """Deliver what has arrived, a bounded share of it, without ever waiting."""
        until = time.monotonic() + _SECONDS_PER_POLL
        self._tellOfLost()
        for _ in range(_EVENTS_PER_POLL):
            if not self._events:
                break
            self._deliver(self._events.popleft())
            if time.monotonic() > until:
                break
        if not self._ended and not self._events and self._isOver():
            self._end()

    def wait(self) -> dict[str, Any]:
        """Poll until the command has ended; for scripts.

        Returns
        -------
        dict
            The command's JSON document.

        Raises
        ------
        PRRTError
            What ``onFailed`` receives.
        """
        try:
            while self.running:
                self.poll()
                if self.running and not self._events:
                    self._news.wait(0.02)
                    self._news.clear()
        finally:
            # Only after an interrupt, or when a callback raised, is it still running here.
            if self.running:
                self.cancel()
        if self._error is not None:
            raise self._error
        return self._document

    def cancel(self) -> None:
        """End the child and everything that it started, then call ``onFailed(Cancelled)``; harmless when it has ended.

        Returns within a fraction of a second. Where the system takes longer to end the processes, :attr:`running` stays
        true and a later :meth:`poll` calls ``onFailed``.
        """
        if self._ended or self._cancelled:
            return
        self._cancelled = True
        self._events.clear()
        self._tree.end()
        until = time.monotonic() + _SECONDS_TO_DIE
        while not self._isOver() and time.monotonic() < until:
            time.sleep(0.002)
        if self._isOver():
            self._end()

    # --- what arrives, on the reader's thread ---

    def _take(self, line: str) -> None:
        """Keep a line of stderr for the next poll; where nobody polls, the oldest ones make room."""
        event = _progressOf(line) or line
        if event is line:
            self._lastLines.append(line)
        if len(self._events) >= _EVENTS_KEPT:
            self._events.popleft()
            self._lost += 1
        self._events.append(event)
        self._news.set()

    # --- what goes on, on the caller's thread ---

    def _deliver(self, event: Progressed | str) -> None:
        if isinstance(event, Progressed):
            if self._onProgress is not None:
                self._onProgress(event)
        elif self._onLine is not None:
            self._onLine(event)

    def _tellOfLost(self) -> None:
        lost, self._lost = self._lost, 0
        if lost and self._onLine is not None:
            self._onLine(f"({lost} lines came faster than they could be shown)")

    def _isOver(self) -> bool:
        """Whether the child has ended and said everything, or, when it was cancelled, is gone with all it started."""
        if self._process.poll() is None:
            return False
        if self._diedAt is None:
            self._diedAt = time.monotonic()
            if self._process.returncode != 0:
                self._tree.end()  # what a killed child left behind
        if self._cancelled:
            return self._tree.gone
        if self._answer.finished and self._log.finished:
            return not self._events
        return time.monotonic() > self._diedAt + _SECONDS_FOR_LAST_OUTPUT

    def _end(self) -> None:
        self._ended = True
        with suppress(OSError):  # nobody reads at the other end any more
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._error = self._findError()
        if self._error is None:
            if self._onFinished is not None:
                self._onFinished(self._document)
        elif self._onFailed is not None:
            self._onFailed(self._error)

    def _findError(self) -> PRRTError | None:
        """Read the child's answer; the error where it is none."""
        if self._cancelled:
            return Cancelled(
                Code.CANCELLED, "Cancelled; what was finished is kept.", remedy="Start it again to go on from there."
            )
        answer = _documentIn(self._answer.text())
        error = error_from_json(answer) if answer is not None else None
        if error is not None:
            return error
        if self._process.returncode != 0 or answer is None:
            return _died(self._process.returncode, self._lastLines)
        self._document = answer
        return None


def _piped(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("a job reads its child's output: start the process with pipes")
    return stream


def _environment() -> dict[str, str]:
    """Slicer's own environment, which PythonSlicer needs, and what lets it find and obey us."""
    known = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(MODULE_FOLDER), *([known] if known else [])]),
        "PYTHONIOENCODING": "utf-8",
        "PRRT_END_WITH_PARENT": "1",
    }


def _progressOf(line: str) -> Progressed | None:
    """A line of ``--progress jsonl`` as a record; None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        said = json.loads(line)
        eta = said["eta_s"]
        return Progressed(
            str(said["stage"]),
            int(said["done"]),
            int(said["total"]),
            None if eta is None else float(eta),
            str(said["message"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _documentIn(text: str) -> dict[str, Any] | None:
    """The JSON document that ends ``text``; libraries may have printed something before it."""
    decoder = json.JSONDecoder()
    lines = text.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if line.startswith("{")]
    for start in starts[-_STARTS_TRIED:]:
        candidate = "".join(lines[start:])
        try:
            found, end = decoder.raw_decode(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and not candidate[end:].strip():
            return found
    return None


def _died(returnCode: int, lastLines: Iterable[str]) -> RunFailed:
    how = f"ended by signal {-returnCode}" if returnCode < 0 else f"ended with code {returnCode}"
    said = "\n".join(lastLines)
    return RunFailed(
        Code.WORKER_DIED,
        f"The worker process {how} and gave no answer." + (f" Its last lines:\n{said}" if said else ""),
        remedy="Start it again; what was finished is kept. If memory ran short, close other programs, choose CPU as "
        "the device, or use fewer jobs.",
    )


def _notStarted(reason: str) -> RunFailed:
    return RunFailed(
        Code.WORKER_DIED,
        f"The worker process could not be started: {reason}.",
        remedy="Restart Slicer; if that does not help, install Slicer again.",
    )
