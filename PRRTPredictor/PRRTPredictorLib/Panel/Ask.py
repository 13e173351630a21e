"""Questions to the user about where to write; tests answer in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import qt

_FOLDER_SETTING = "PRRTPredictor/ExportFolder"


class Asks(Protocol):
    """Asks for a place to write to."""

    def file(self, title: str, name: str, pattern: str) -> Path | None:
        """A file, proposed as ``name``; None when the user changed his mind."""

    def folder(self, title: str) -> Path | None:
        """An existing folder; None when the user changed his mind."""


class AskUser:
    """Asks with the system's dialogs, beginning where the last answer was."""

    def __init__(self, parent: Any | None = None) -> None:
        self._parent = parent

    def file(self, title: str, name: str, pattern: str) -> Path | None:
        """Ask for a file to write."""
        path = qt.QFileDialog.getSaveFileName(self._parent, title, str(self._last() / name), pattern)
        return self._remember(Path(path), Path(path).parent) if path else None

    def folder(self, title: str) -> Path | None:
        """Ask for a folder to write into."""
        path = qt.QFileDialog.getExistingDirectory(self._parent, title, str(self._last()))
        return self._remember(Path(path), Path(path)) if path else None

    def _last(self) -> Path:
        kept = qt.QSettings().value(_FOLDER_SETTING)
        return Path(kept) if kept and Path(kept).is_dir() else Path.home()

    def _remember(self, answer: Path, folder: Path) -> Path:
        qt.QSettings().setValue(_FOLDER_SETTING, str(folder))
        return answer
