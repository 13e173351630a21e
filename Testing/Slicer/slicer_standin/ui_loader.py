"""Reads .ui files with ctk's and qMRML's widgets in them, as the application's own loader does.

Qt builds the widgets; classes, properties and connections that only the stand-in knows are taken out of the file first
and applied afterwards.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from typing import Any

from PySide6 import QtUiTools

from .pythonqt import QtCore, QtGui, QtWidgets, adopt, dress, loadingUi

#: Widgets that the stand-in supplies, by class name; ctk_module and mrml_widgets enter theirs.
ownWidgets: dict[str, type] = {}


@dataclass(frozen=True)
class _Setting:
    """A property of one of our own widgets, to be set when the tree stands."""

    widget: str
    name: str
    value: Any


class UiLoader(QtUiTools.QUiLoader):  # type: ignore[misc]
    """``qt.QUiLoader``."""

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._unknown: list[str] = []
        self._kept: list[QtCore.QObject] = []

    def createWidget(self, className: str, parent: Any = None, name: str = "") -> QtWidgets.QWidget:
        if className in ownWidgets:
            widget = ownWidgets[className](parent)
        elif className == "Line":
            widget = adopt(super().createWidget(className, parent, name))
        elif hasattr(QtWidgets, className):
            widget = dress(getattr(QtWidgets, className))(parent)
        else:
            self._unknown.append(className)
            widget = dress(QtWidgets.QWidget)(parent)
        return self._named(widget, name)

    def createLayout(self, className: str, parent: Any = None, name: str = "") -> QtWidgets.QLayout:
        kind = dress(getattr(QtWidgets, className))
        isFree = isinstance(parent, QtWidgets.QWidget) and QtWidgets.QWidget.layout(parent) is None
        return self._named(kind(parent) if isFree else kind(), name)

    def createAction(self, parent: Any = None, name: str = "") -> QtGui.QAction:
        return self._named(dress(QtGui.QAction)(parent), name)

    def createActionGroup(self, parent: Any = None, name: str = "") -> QtGui.QActionGroup:
        return self._named(dress(QtGui.QActionGroup)(parent), name)

    def load(self, device: QtCore.QIODevice, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        root = ElementTree.fromstring(bytes(device.readAll().data()))
        settings, connections = _takeSettings(root), _takeConnections(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        with loadingUi():
            widget = super().load(buffer, parent)
        if self._unknown:
            raise NotImplementedError(f"the stand-in host has no widget class {', '.join(sorted(set(self._unknown)))}")
        widget = adopt(widget)
        byName = {widget.objectName: widget, **{child.objectName: child for child in _descendants(widget)}}
        for setting in settings:
            setattr(byName[setting.widget], setting.name, setting.value)
        for child in byName.values():
            if getattr(child, "toolTip", ""):
                child.toolTip = child.toolTip
        for sender, signal, receiver, slot in connections:
            byName[sender].connect(signal, getattr(byName[receiver], slot.split("(")[0]))
        self._kept.clear()
        return widget

    def _named(self, made: Any, name: str) -> Any:
        made.setObjectName(name)
        self._kept.append(made)
        return made


def _descendants(widget: Any) -> list[Any]:
    return list(widget.findChildren(QtCore.QObject))


def _takeSettings(root: ElementTree.Element) -> list[_Setting]:
    taken = []
    for element in root.iter("widget"):
        kind = ownWidgets.get(element.get("class", ""))
        if kind is None:
            continue
        for entry in list(element.findall("property")):
            name = entry.get("name", "")
            if name in getattr(kind, "ownProperties", ()):
                taken.append(_Setting(element.get("name", ""), name, _value(entry[0], kind)))
                element.remove(entry)
    return taken


def _takeConnections(root: ElementTree.Element) -> list[tuple[str, str, str, str]]:
    found = root.find("connections")
    if found is None:
        return []
    taken = [
        tuple(connection.findtext(part, "") for part in ("sender", "signal", "receiver", "slot"))
        for connection in found.findall("connection")
    ]
    root.remove(found)
    return taken  # type: ignore[return-value]


def _value(element: ElementTree.Element, kind: type) -> Any:
    text = element.text or ""
    if element.tag == "bool":
        return text == "true"
    if element.tag == "number":
        return int(text)
    if element.tag == "double":
        return float(text)
    if element.tag == "stringlist":
        return tuple(item.text or "" for item in element.findall("string"))
    if element.tag in ("enum", "set"):
        value = 0
        for part in filter(None, text.split("|")):
            value |= int(_enumValue(part.strip(), kind))
        return value
    return text


def _enumValue(name: str, kind: type) -> Any:
    owner, _, member = name.rpartition("::")
    owner = owner.split("::")[0]
    for room in (QtCore, QtWidgets, QtGui):
        if hasattr(room, owner):
            return getattr(getattr(room, owner), member)
    return getattr(ownWidgets.get(owner, kind), member)
