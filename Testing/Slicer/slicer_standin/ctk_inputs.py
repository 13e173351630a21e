"""ctk's entry widgets: paths, search box, combo boxes, check boxes."""

from __future__ import annotations

import re
from typing import Any

from .pythonqt import QtCore, QtGui, QtWidgets, dress


class ctkPathLineEdit(dress(QtWidgets.QWidget)):  # type: ignore[misc]
    """A path with history and a button that opens a file dialog."""

    currentPathChanged = QtCore.Signal(str)
    validInputChanged = QtCore.Signal(bool)
    ownProperties = (
        "label",
        "filters",
        "currentPath",
        "settingKey",
        "showBrowseButton",
        "showHistoryButton",
        "nameFilters",
    )

    Dirs, AllDirs, Files, Drives, NoSymLinks = 0x001, 0x400, 0x002, 0x004, 0x008
    Readable, Writable, Executable, Hidden, System = 0x010, 0x020, 0x040, 0x100, 0x200
    NoDot, NoDotDot, NoDotAndDotDot = 0x2000, 0x4000, 0x6000

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._filters = self.AllDirs | self.Dirs | self.Files | self.Drives | self.NoDot | self.NoDotDot
        self._label, self._settingKey, self._nameFilters, self._path = "", "", (), ""
        self._valid = False
        self._combo = dress(QtWidgets.QComboBox)(self)
        self._combo.setEditable(True)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._combo.setMinimumContentsLength(5)
        self._browse = dress(QtWidgets.QToolButton)(self)
        self._browse.setText("...")
        layout = dress(QtWidgets.QHBoxLayout)(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._combo)
        layout.addWidget(self._browse)
        self._combo.editTextChanged.connect(self._onEdited)
        self._browse.clicked.connect(lambda: self.browse())

    label = property(lambda self: self._label, lambda self, value: self.setLabel(value))
    filters = property(lambda self: self._filters, lambda self, value: self.setFilters(value))
    currentPath = property(lambda self: self._path, lambda self, value: self.setCurrentPath(value))
    settingKey = property(lambda self: self._settingKey, lambda self, value: self.setSettingKey(value))
    nameFilters = property(lambda self: self._nameFilters, lambda self, value: self.setNameFilters(value))
    showBrowseButton = property(
        lambda self: not self._browse.isHidden(), lambda self, value: self._browse.setVisible(value)
    )
    showHistoryButton = property(lambda self: True, lambda self, value: None)

    def setLabel(self, label: str) -> None:
        self._label = label

    def setFilters(self, filters: int) -> None:
        self._filters = int(filters)

    def setSettingKey(self, key: str) -> None:
        self._settingKey = key
        self._combo.addItems(list(self._history()))
        self._combo.setEditText(self._path)

    def setNameFilters(self, filters: Any) -> None:
        self._nameFilters = tuple(filters)

    def setCurrentPath(self, path: str) -> None:
        if not isinstance(path, str):
            raise TypeError(f"currentPath is a string, not {type(path).__name__}")
        self._combo.setEditText(path)

    def comboBox(self) -> QtWidgets.QComboBox:
        return self._combo

    def addCurrentPathToHistory(self) -> None:
        """Remember the path under the widget's settings key."""
        if not self._path:
            return
        kept = [path for path in self._history() if path != self._path][:9]
        if self._settingKey:
            QtCore.QSettings().setValue(self._settingKey, [self._path, *kept])
        if self._combo.findText(self._path) < 0:
            path = self._path
            self._combo.insertItem(0, path)
            self._combo.setEditText(path)

    def browse(self) -> None:
        dialog = QtWidgets.QFileDialog
        if self._filters & self.Files:
            chosen, _ = dialog.getOpenFileName(self, self._label or "Open", self._path, ";;".join(self._nameFilters))
        else:
            chosen = dialog.getExistingDirectory(self, self._label or "Open", self._path)
        if chosen:
            self.setCurrentPath(chosen)

    def _history(self) -> list[str]:
        if not self._settingKey:
            return []
        value = QtCore.QSettings().value(self._settingKey)
        return [value] if isinstance(value, str) else list(value or [])

    def _onEdited(self, path: str) -> None:
        if path == self._path:
            return
        self._path = path
        valid = re.fullmatch(_acceptable(self._nameFilters), path) is not None
        if valid:
            self.currentPathChanged.emit(path)
        if valid != self._valid:
            self._valid = valid
            self.validInputChanged.emit(valid)


def _acceptable(nameFilters: tuple[str, ...]) -> str:
    """The pattern of paths of which the widget tells: never the empty one, and only the first ending of a filter that
    does not list its endings in brackets."""
    endings = []
    for nameFilter in nameFilters:
        listed = re.fullmatch(r".*\((.*)\)", nameFilter)
        for wildcard in listed[1].split() if listed else [nameFilter]:
            found = re.search(r"\*\.(\w+)", wildcard)
            endings += [rf".*\.{found[1]}?"] if found else []
    return "|".join(endings) or ".+"


class ctkSearchBox(dress(QtWidgets.QLineEdit)):  # type: ignore[misc]
    """A line to filter by, with a magnifying glass and a clear button."""

    ownProperties = ("showSearchIcon",)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._showSearchIcon = False
        self.setPlaceholderText("Search...")
        self.setClearButtonEnabled(True)

    showSearchIcon = property(lambda self: self._showSearchIcon, lambda self, value: self.setShowSearchIcon(value))

    def setShowSearchIcon(self, show: bool) -> None:
        self._showSearchIcon = bool(show)
        self.setTextMargins(round(1.1 * self.fontMetrics().height()) + 4 if show else 0, 0, 0, 0)
        self.update()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        super().paintEvent(event)
        if self._showSearchIcon:
            painter = QtGui.QPainter(self)
            painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
            size = self.fontMetrics().height() * 0.45
            centre = QtCore.QPointF(4 + size, self.height / 2 - size * 0.15)
            painter.setPen(QtGui.QPen(QtGui.QColor("#808080"), 1.6))
            painter.drawEllipse(centre, size * 0.7, size * 0.7)
            start = centre + QtCore.QPointF(size * 0.5, size * 0.5)
            painter.drawLine(start, start + QtCore.QPointF(size * 0.6, size * 0.6))


class ctkComboBox(dress(QtWidgets.QComboBox)):  # type: ignore[misc]
    """A combo box that shows a default text while nothing is chosen."""

    ownProperties = ("defaultText",)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._defaultText = ""

    defaultText = property(lambda self: self._defaultText, lambda self, value: self.setDefaultText(value))

    def setDefaultText(self, text: str) -> None:
        self._defaultText = text
        self.setPlaceholderText(text)


class ctkCheckBox(dress(QtWidgets.QCheckBox)):  # type: ignore[misc]
    """A check box."""


def inputWidgets() -> dict[str, Any]:
    """The classes of this module by name."""
    return {kind.__name__: kind for kind in (ctkPathLineEdit, ctkSearchBox, ctkComboBox, ctkCheckBox)}
