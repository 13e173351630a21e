"""Questions to the user about where to write; tests answer in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import qt
import slicer

_FOLDER_SETTING = "PRRTPredictor/ExportFolder"


class Asks(Protocol):
    """Asks for a place to write to."""

    def file(self, title: str, name: str, pattern: str) -> Path | None:
        """A file, proposed as ``name``; None when the user changed his mind."""

    def folder(self, title: str) -> Path | None:
        """An existing folder; None when the user changed his mind."""


class AskUser:
    """Asks with the system's dialogs over the main window, beginning where the last answer was."""

    def file(self, title: str, name: str, pattern: str) -> Path | None:
        """Ask for a file to write."""
        path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, str(self._last() / name), pattern)
        return self._remember(Path(path), Path(path).parent) if path else None

    def folder(self, title: str) -> Path | None:
        """Ask for a folder to write into."""
        path = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title, str(self._last()))
        return self._remember(Path(path), Path(path)) if path else None

    def _last(self) -> Path:
        kept = qt.QSettings().value(_FOLDER_SETTING)
        return Path(kept) if kept and Path(kept).is_dir() else Path.home()

    def _remember(self, answer: Path, folder: Path) -> Path:
        qt.QSettings().setValue(_FOLDER_SETTING, str(folder))
        return answer
