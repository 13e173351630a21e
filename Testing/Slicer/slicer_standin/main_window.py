"""The main window as users know it: menus, module selector, the module's panel at the left, the views at the right."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtGui, QtWidgets

from .pythonqt import dress
from .strict import NotProvided

_MainWindowBase: Any = dress(QtWidgets.QMainWindow)
_TITLE_STYLE = "color: #b9bed3; font-weight: bold; font-size: {size}px;"


class MainWindow(_MainWindowBase):
    """qSlicerMainWindow, the parts that modules and tests touch."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotProvided(f"The stand-in host has no qSlicerMainWindow.{name}.")

    def moduleSelector(self) -> ModuleSelector:
        return self._selector

    def closeEvent(self, event: Any) -> None:
        self._selector.leave()
        super().closeEvent(event)


class ModuleSelector(dress(QtWidgets.QComboBox)):  # type: ignore[misc]
    """qSlicerModuleSelectorToolBar's box: choosing a module shows its panel."""

    def build(self, panel: ModulePanel) -> None:
        self._panel = panel
        self._selected = ""

    @property
    def selectedModule(self) -> str:
        return self._selected

    def selectModule(self, name: str) -> None:
        """Leave the module that is shown and enter ``name``."""
        module = slicer.app.moduleManager().module(name)
        if module is None:
            raise RuntimeError(f"There is no module {name}.")
        if self._selected == name and self._panel.shows(module.widgetRepresentation()):
            return
        self.leave()
        self._selected = name
        if self.findText(module.title) < 0:
            self.addItem(module.title)
        self.setCurrentIndex(self.findText(module.title))
        self._panel.show_(module.widgetRepresentation())

    def leave(self) -> None:
        self._panel.leave()
        self._selected = ""


class ModulePanel(dress(QtWidgets.QWidget)):  # type: ignore[misc]
    """The column at the left: logo, help section, and the module's widget in a scroll area."""

    def build(self, width: int) -> None:
        self._representation: Any = None
        self.setObjectName("ModulePanel")
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(2, 2, 2, 2)
        title = dress(QtWidgets.QLabel)("3D Slicer (stand-in)")
        title.setObjectName("LogoLabel")
        title.setStyleSheet(_TITLE_STYLE.format(size=QtWidgets.QApplication.font().pixelSize() * 3 // 2))
        column.addWidget(title)
        self._scroll = dress(QtWidgets.QScrollArea)()
        self._scroll.setObjectName("ModuleScrollArea")
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        column.addWidget(self._scroll, 1)
        self.setFixedWidth(width)

    def shows(self, representation: Any) -> bool:
        return self._representation is representation

    def show_(self, representation: Any) -> None:
        self._representation = representation
        self._scroll.setWidget(representation)
        representation.show()
        representation.enter()

    def leave(self) -> None:
        if self._representation is not None:
            representation, self._representation = self._representation, None
            if representation.isEntered():
                representation.exit()
            self._scroll.takeWidget()
            representation.setParent(None)

    def scrollArea(self) -> Any:
        return self._scroll


def makeMainWindow(application: Any) -> MainWindow:
    """The window with its panel and the layout manager's views, not yet shown."""
    window = MainWindow()
    window.setObjectName("qSlicerMainWindow")
    window.setWindowTitle("3D Slicer (stand-in host)")
    for name in ("&File", "&Edit", "&View", "&Help"):
        window.menuBar().addMenu(name)
    panel = ModulePanel()
    panel.build(application.options.panelWidth)
    window._panel, window._selector = panel, ModuleSelector()
    window._selector.build(panel)
    window._selector.setMinimumWidth(200)
    tools = window.addToolBar("Modules")
    tools.setMovable(False)
    tools.addWidget(dress(QtWidgets.QLabel)(" Modules: "))
    tools.addWidget(window._selector)
    window.setCentralWidget(_columns(panel, application.layoutManager().viewport()))
    window.statusBar().show()
    window.resize(*application.options.windowSize)
    return window


def grab(application: Any, window: MainWindow) -> QtGui.QImage:
    """What the user sees now, rendered views included."""
    application.processEvents()
    application.layoutManager().refresh()
    application.processEvents()
    picture: QtGui.QPixmap = QtWidgets.QWidget.grab(window)
    return picture.toImage().convertToFormat(QtGui.QImage.Format.Format_RGB32)


def _columns(panel: QtWidgets.QWidget, views: QtWidgets.QWidget) -> QtWidgets.QWidget:
    holder = dress(QtWidgets.QWidget)()
    row = QtWidgets.QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(2)
    row.addWidget(panel)
    row.addWidget(views, 1)
    views.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Expanding)
    return holder
