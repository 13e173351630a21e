"""How the front door speaks: a progress bar for people, JSON lines for programs, one clear line for a refusal."""

from __future__ import annotations

import io
import json
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from .errors import PRRTError
from .freetext import printable
from .progress import Progress, silent
from .records import Notice

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


def to_jsonable(value: Any) -> Any:
    """Turn records, paths, dates and numpy scalars into what :mod:`json` can write; NaN and infinity become null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (Path, date)):
        return str(value)
    if hasattr(value, "tolist"):
        return to_jsonable(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def say(text: str = "") -> None:
    """Print one line for people on stdout, or several; words from headers and tables cannot command the terminal."""
    sys.stdout.write("\n".join(map(printable, text.split("\n"))) + "\n")
    sys.stdout.flush()  # so that it stands before what a library writes to stderr meanwhile


def say_notices(notices: Sequence[Notice]) -> None:
    """Print each notice on a line of its own."""
    for notice in notices:
        say(f"  ! {notice}")


def notice_texts(notices: Sequence[Notice]) -> list[str]:
    """Notices as the JSON documents carry them."""
    return [str(notice) for notice in notices]


def print_json(value: Any) -> None:
    """Write one JSON document to stdout, in ASCII, so that it is valid whatever the stream's encoding."""
    sys.stdout.write(json.dumps(to_jsonable(value), indent=2, allow_nan=False) + "\n")


def print_refusal(error: PRRTError, as_json: bool) -> None:
    """Tell of a typed error: the JSON object on stdout, or, also where that cannot be written, one line on stderr."""
    if as_json:
        try:
            print_json(error.to_json())
            sys.stdout.flush()
            return
        except OSError:
            abandon_stdout()
    sys.stderr.write(f"prrt: {printable(' '.join(str(error).splitlines()))}\n")


def steady_streams() -> None:
    """Make stdout and stderr take any text: a Windows code page lacks characters, a closed stream is None."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def abandon_stdout() -> None:
    """Point stdout nowhere, so that what is still buffered does not fail again when the interpreter exits."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


END_WITH_PARENT = "PRRT_END_WITH_PARENT"
"""Environment variable: set to 1, the process ends when its standard input does."""

_ENDED_BY_PARENT = 130


def end_with_parent() -> None:
    """Where the environment asks for it, end this process and all that it started as soon as standard input closes.

    Whoever starts the work as a child process holds the other end of a pipe; the system closes that end when the
    parent is gone, however it died.
    """
    if os.environ.pop(END_WITH_PARENT, "") != "1":  # taken out, so that it does not reach the children
        return
    # The pipe gets another number that children do not inherit: on Windows a child hangs at its start when its standard
    # input is being read by somebody else.
    pipe = os.dup(0)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    threading.Thread(target=_end_after, args=(pipe,), daemon=True, name="end with parent").start()


def _end_after(pipe: int) -> None:
    with suppress(OSError):
        while os.read(pipe, 1024):
            pass
    _end_children()
    os._exit(_ENDED_BY_PARENT)


def _end_children() -> None:
    try:
        import psutil
    except ImportError:  # nothing that starts children runs without it
        return
    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()


class Eta:
    """Seconds left of the current stage: as the work itself expects, else from the pace so far."""

    def __init__(self) -> None:
        self._stage = ""
        self._started = 0.0
        self._first_done = 0
        self._expected: tuple[float | None] | None = None

    def expect(self, seconds: float | None) -> None:
        """Let the work's own estimate stand in the next answer."""
        self._expected = (seconds,)

    def __call__(self, stage: str, done: int, total: int) -> float | None:
        """Return the remaining seconds; None until one step of the stage has been timed."""
        expected, self._expected = self._expected, None
        if expected is not None:
            return None if expected[0] is None else round(expected[0], 1)
        if stage != self._stage:
            self._stage, self._started, self._first_done = stage, time.monotonic(), done
        steps = done - self._first_done
        if steps <= 0:
            return None
        return round((time.monotonic() - self._started) / steps * max(total - done, 0), 1)


class JsonLines:
    """A progress that writes one JSON object a line: stage, done, total, eta_s, message.

    The work goes on when nobody reads any more.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._eta = Eta()

    def expect(self, seconds: float | None) -> None:
        """See :class:`~.progress.EstimateListener`."""
        self._eta.expect(seconds)

    def __call__(self, stage: str, done: int, total: int, message: str = "") -> None:
        """See :class:`~.progress.Progress`."""
        left = self._eta(stage, done, total)
        line = {"stage": stage, "done": done, "total": total, "eta_s": left, "message": message}
        with suppress(OSError):
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()


@contextmanager
def listening(kind: str) -> Iterator[Progress]:
    """Give the progress listener that the user asked for.

    Parameters
    ----------
    kind : {"auto", "jsonl", "none"}
        "auto" draws a bar when stderr is a terminal and stays silent otherwise.
    """
    if kind == "jsonl":
        yield JsonLines(sys.stderr)
    elif kind == "none" or not sys.stderr.isatty():
        yield silent
    else:
        with _bar() as progress:
            yield progress


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[cyan]{task.fields[left]}"),
        TextColumn("[dim]{task.fields[message]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bars:
        yield _Bars(bars)


class _Bars:
    """A progress that draws one bar a stage."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._stage = ""
        self._task: Any = None
        self._eta = Eta()

    def expect(self, seconds: float | None) -> None:
        self._eta.expect(seconds)

    def __call__(self, stage: str, done: int, total: int, message: str = "") -> None:
        left = self._eta(stage, done, total)
        if stage != self._stage:
            self._stage = stage
            self._task = self._bars.add_task(stage, total=total, message="", left="")
        words = "" if left is None or done >= total else f"{int(left) // 60}:{int(left) % 60:02d} left"
        self._bars.update(self._task, completed=done, total=total, message=message, left=words)
