"""The module ``qt``: PySide6's classes with PythonQt's manners, under one roof."""

from __future__ import annotations

import types
from typing import Any

from PySide6 import QtUiTools

from .pythonqt import QtCore, QtGui, QtWidgets, dress
from .strict import NotProvided

#: Names of PySide6 that the application's qt does not have.
_NOT_IN_QT = frozenset({"Signal", "Slot", "Property", "ClassInfo", "QEnum", "QFlag", "SIGNAL", "SLOT", "QtMsgType"})

#: Static dialogs that hand back something else here than there, and that the module does not need.
_REFUSED = frozenset({"QInputDialog", "QColorDialog", "QFontDialog"})


class QtModule(types.ModuleType):
    """``import qt``."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in _NOT_IN_QT:
            raise AttributeError(f"module 'qt' has no attribute '{name}'")
        if name in _REFUSED:
            raise NotProvided(f"The stand-in host has no qt.{name}.")
        for room in (QtCore, QtGui, QtWidgets, QtUiTools):
            if hasattr(room, name):
                found = getattr(room, name)
                value = dress(found) if isinstance(found, type) else found
                setattr(self, name, value)
                return value
        raise AttributeError(f"module 'qt' has no attribute '{name}'")


def makeQtModule() -> QtModule:
    """``qt`` as a module object, with the loader that knows ctk's and qMRML's widgets."""
    module = QtModule("qt", "Qt with PythonQt's manners (stand-in host).")
    fileDialog = dress(QtWidgets.QFileDialog)
    for name in ("getOpenFileName", "getSaveFileName", "getOpenFileNames"):
        setattr(fileDialog, name, staticmethod(_withoutFilter(getattr(QtWidgets.QFileDialog, name))))
    for name in ("toPython", "toTuple"):  # PySide6 only
        if hasattr(QtCore.QDate, name):
            delattr(QtCore.QDate, name)
    from .ui_loader import UiLoader

    module.QUiLoader = UiLoader
    return module


def _withoutFilter(function: Any) -> Any:
    def ask(*values: Any) -> Any:
        chosen = function(*values)[0]
        return tuple(chosen) if isinstance(chosen, list) else chosen

    return ask
