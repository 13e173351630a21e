"""The main window as users know it: menus, module selector, the module's panel at the left, the views at the right."""

from __future__ import annotations

import sys
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .pythonqt import dress
from .strict import NotProvided

_MainWindowBase: Any = dress(QtWidgets.QMainWindow)
_TITLE_STYLE = "color: #b9bed3; font-weight: bold; font-size: {size}px;"


class qSlicerMainWindow(_MainWindowBase):
    """qSlicerMainWindow, the parts that modules and tests touch."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotProvided(f"The stand-in host has no qSlicerMainWindow.{name}.")

    def modulePanel(self) -> ModulePanel:
        return self._panel

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
        self._panel.show_(module)
        self._panel.fit()

    def leave(self) -> None:
        self._panel.leave()
        self._selected = ""


class ModulePanel(dress(QtWidgets.QWidget)):  # type: ignore[misc]
    """The column at the left: title, then help section and module widget in a scroll area.

    As in Slicer, it scrolls upright only and grows wider where a module needs more than the user gave it; that is said.
    """

    def build(self, width: int) -> None:
        import ctk

        self._representation: Any = None
        self._asked = width
        self.setObjectName("ModulePanel")
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        title = dress(QtWidgets.QLabel)(" 3D Slicer (stand-in)")
        title.setObjectName("LogoLabel")
        title.setStyleSheet(_TITLE_STYLE.format(size=QtWidgets.QApplication.font().pixelSize() * 3 // 2))
        column.addWidget(title)
        self._scroll = dress(QtWidgets.QScrollArea)()
        self._scroll.setObjectName("ModuleScrollArea")
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        column.addWidget(self._scroll, 1)
        contents = dress(QtWidgets.QWidget)()
        self._contents = QtWidgets.QVBoxLayout(contents)
        self._contents.setContentsMargins(0, 0, 0, 0)
        self._help = ctk.ctkCollapsibleButton()
        self._help.text = "Help && Acknowledgement"
        self._help.collapsed = True
        self._text = dress(QtWidgets.QTextBrowser)()
        QtWidgets.QVBoxLayout(self._help).addWidget(self._text)
        self._contents.addWidget(self._help)
        self._scroll.setWidget(contents)
        self._help.hide()
        self.setFixedWidth(width)

    def shows(self, representation: Any) -> bool:
        return self._representation is representation

    def show_(self, module: Any) -> None:
        """Put a module's widget into the panel and enter it."""
        self._representation = representation = module.widgetRepresentation()
        representation.layout().setContentsMargins(0, 0, 0, 0)
        self._text.setHtml(f"{module.helpText}{module.acknowledgementText}")
        self._help.setVisible(bool(module.helpText))
        self._contents.addWidget(representation, 1)
        representation.show()
        representation.enter()

    def leave(self) -> None:
        if self._representation is not None:
            representation, self._representation = self._representation, None
            if representation.isEntered:
                representation.exit()
            self._contents.removeWidget(representation)
            representation.setParent(None)

    def neededWidth(self) -> int:
        """Pixels below which something would be cut off."""
        contents = QtWidgets.QScrollArea.widget(self._scroll)
        bar = self._scroll.verticalScrollBar().sizeHint.width()
        return int(QtWidgets.QWidget.minimumSizeHint(contents).width()) + bar

    def fit(self) -> None:
        """Take the width that the user gave, or what the module needs."""
        needed = self.neededWidth()
        if needed > self._asked:
            print(f"The module panel needs {needed} pixels, {self._asked} were given.", file=sys.stderr)
        self.setFixedWidth(max(needed, self._asked))

    def scrollArea(self) -> Any:
        return self._scroll


def makeMainWindow(application: Any) -> qSlicerMainWindow:
    """The window with its panel and the layout manager's views, not yet shown."""
    window = qSlicerMainWindow()
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


def grab(application: Any, window: qSlicerMainWindow) -> QtGui.QImage:
    """What the user sees now, rendered views included."""
    application.processEvents()
    application.layoutManager().refresh()
    window._panel.fit()
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
