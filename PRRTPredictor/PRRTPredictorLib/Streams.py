"""Reads the pipes of a child process on threads of their own, so that neither side ever waits for the other."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import IO

_CHUNK = 65_536
_LONGEST_LINE = 100_000
_LINE_END = re.compile(rb"[\r\n]+")  # progress bars of libraries end their lines with a carriage return


class _Reader:
    """Reads a pipe to its end; ``finished`` then turns true."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._thread = threading.Thread(target=self._readAll, name=type(self).__name__, daemon=True)
        self._thread.start()

    @property
    def finished(self) -> bool:
        """Whether everything has been read and handed on."""
        return not self._thread.is_alive()

    def _readAll(self) -> None:
        with self._stream:
            while chunk := self._stream.read(_CHUNK):
                self._add(chunk)
        self._close()

    def _add(self, chunk: bytes) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        pass


class LineReader(_Reader):
    """Hands on every line that is not blank, on its own thread; bytes that are no UTF-8 are replaced.

    Parameters
    ----------
    stream : binary file
        Unbuffered: a read returns what is there.
    onLine : callable
        A last line without an end counts too; a line of more than 100,000 bytes comes in pieces.
    """

    def __init__(self, stream: IO[bytes], onLine: Callable[[str], None]) -> None:
        self._onLine = onLine
        self._rest = b""
        super().__init__(stream)

    def _add(self, chunk: bytes) -> None:
        *whole, self._rest = _LINE_END.split(self._rest + chunk)
        for line in whole:
            self._handOn(line)
        if len(self._rest) > _LONGEST_LINE:
            self._close()

    def _close(self) -> None:
        rest, self._rest = self._rest, b""
        self._handOn(rest)

    def _handOn(self, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace").rstrip()
        if text:
            self._onLine(text)


class TailReader(_Reader):
    """Keeps the last megabytes of a stream.

    Parameters
    ----------
    stream : binary file
    limit : int
        At least so many bytes of the end are kept.
    """

    def __init__(self, stream: IO[bytes], limit: int = 16 * 2**20) -> None:
        self._limit = limit
        self._kept = bytearray()
        super().__init__(stream)

    def text(self) -> str:
        """What was kept."""
        return bytes(self._kept).decode("utf-8", errors="replace")

    def _add(self, chunk: bytes) -> None:
        self._kept += chunk
        if len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]
