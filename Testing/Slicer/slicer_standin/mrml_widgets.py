"""Slicer's widgets that show the scene: `qMRMLWidget` and `qMRMLNodeComboBox`.

They follow a real ``vtkMRMLScene``: nodes added, removed and renamed appear at once.
"""

from __future__ import annotations

from typing import Any

import shiboken6
import slicer
import vtk

from .pythonqt import QtCore, QtWidgets, dress
from .qt_signals import emitOverload
from .ui_loader import ownWidgets


class SceneWatcher:
    """Observers on one VTK object at a time, taken off again when the object changes."""

    def __init__(self) -> None:
        self._object: Any = None
        self._tags: list[int] = []

    def watch(self, vtkObject: Any, *events: Any, call: Any) -> None:
        self.stop()
        self._object = vtkObject
        if vtkObject is None:
            return

        def tell(caller: Any, event: str) -> None:
            owner = getattr(call, "__self__", None)
            if isinstance(owner, QtCore.QObject) and not shiboken6.isValid(owner):
                self.stop()  # Qt deleted the widget
            else:
                call(caller, event)

        self._tags = [vtkObject.AddObserver(event, tell) for event in events]

    def stop(self) -> None:
        for tag in self._tags:
            self._object.RemoveObserver(tag)
        self._object, self._tags = None, []


class SceneWidget:
    """`setMRMLScene`, `mrmlScene` and the signal that says so."""

    _scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        self._scene = scene
        self._onSceneSet()
        self.mrmlSceneChanged.emit(scene)  # type: ignore[attr-defined]

    def _onSceneSet(self) -> None:
        """Look at the new scene."""


class qMRMLWidget(SceneWidget, dress(QtWidgets.QWidget)):  # type: ignore[misc]
    """The root of a panel: hands its scene on to the widgets that its .ui file connects."""

    mrmlSceneChanged = QtCore.Signal(object)


class _AlwaysText(dress(QtWidgets.QComboBox)):  # type: ignore[misc]
    """The inner box of a node selector."""


#: Entries of a box besides its nodes.
_EXTRAS = ("none", "add", "remove", "edit", "rename")

_SCENE_EVENTS = (
    slicer.vtkMRMLScene.NodeAddedEvent,
    slicer.vtkMRMLScene.NodeRemovedEvent,
    slicer.vtkMRMLScene.EndBatchProcessEvent,
    slicer.vtkMRMLScene.EndCloseEvent,
    slicer.vtkMRMLScene.EndImportEvent,
)


class qMRMLNodeComboBox(SceneWidget, dress(QtWidgets.QWidget)):  # type: ignore[misc]
    """A box to choose a node of the scene by its class."""

    mrmlSceneChanged = QtCore.Signal(object)
    currentNodeChanged = QtCore.Signal((object,), (bool,))
    currentNodeIDChanged = QtCore.Signal(str)
    nodeActivated = QtCore.Signal(object)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    nodeAboutToBeRemoved = QtCore.Signal(object)
    ownProperties = (
        "nodeTypes",
        "showHidden",
        "showChildNodeTypes",
        "hideChildNodeTypes",
        "baseName",
        "noneEnabled",
        "addEnabled",
        "removeEnabled",
        "editEnabled",
        "renameEnabled",
        "selectNodeUponCreation",
        "noneDisplay",
        "interactionNodeSingletonTag",
        "sizeAdjustPolicy",
        "currentNodeID",
    )
    _ADD, _REMOVE, _RENAME = "add", "remove", "rename"

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._nodeTypes: tuple[str, ...] = ()
        self._flags = {"noneEnabled": False, "addEnabled": True, "removeEnabled": True, "editEnabled": False}
        self._flags |= {"renameEnabled": False, "showHidden": False, "showChildNodeTypes": True}
        self._flags |= {"selectNodeUponCreation": True}
        self._texts = {"baseName": "", "noneDisplay": "None", "interactionNodeSingletonTag": ""}
        self._hideChildNodeTypes: tuple[str, ...] = ()
        self._attributes: dict[str, list[tuple[str, Any]]] = {}
        self._nodes: list[Any] = []
        self._current: Any = None
        self._watcher, self._nodeWatchers = SceneWatcher(), []
        self._box = _AlwaysText(self)
        self._box.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._box.setMinimumContentsLength(5)
        self._box.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        layout = dress(QtWidgets.QHBoxLayout)(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._box.connect("activated(int)", self._onActivated)
        self._box.connect("currentIndexChanged(int)", self._onIndexChanged)
        self._refresh()

    nodeTypes = property(lambda self: self._nodeTypes, lambda self, types: self.setNodeTypes(types))
    hideChildNodeTypes = property(lambda self: self._hideChildNodeTypes, lambda self, t: self.setHideChildNodeTypes(t))
    currentNodeID = property(lambda self: _idOf(self._current), lambda self, nodeID: self.setCurrentNodeID(nodeID))
    sizeAdjustPolicy = property(
        lambda self: self._box.sizeAdjustPolicy, lambda self, policy: setattr(self._box, "sizeAdjustPolicy", policy)
    )

    # --- what is offered ---------------------------------------------------------------------------------------------

    def setNodeTypes(self, types: Any) -> None:
        self._nodeTypes = tuple(types)
        self._refresh()

    def setHideChildNodeTypes(self, types: Any) -> None:
        self._hideChildNodeTypes = tuple(types)
        self._refresh()

    def addAttribute(self, nodeType: str, name: str, value: Any = None) -> None:
        """Offer nodes of a class only when they have an attribute (of that value, where one is given)."""
        self._attributes.setdefault(nodeType, []).append((name, value))
        self._refresh()

    def removeAttribute(self, nodeType: str, name: str) -> None:
        kept = [entry for entry in self._attributes.get(nodeType, []) if entry[0] != name]
        self._attributes[nodeType] = kept
        self._refresh()

    def nodeCount(self) -> int:
        return len(self._nodes)

    def nodes(self) -> tuple[Any, ...]:
        return tuple(self._nodes)

    def nodeFromIndex(self, index: int) -> Any:
        return self._nodes[index] if 0 <= index < len(self._nodes) else None

    def _accepts(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self._flags["showHidden"]:
            return False
        matching = [kind for kind in self._nodeTypes if node.IsA(kind)]
        if not self._flags["showChildNodeTypes"]:
            matching = [kind for kind in matching if node.GetClassName() == kind]
        if not matching or any(node.IsA(kind) for kind in self._hideChildNodeTypes):
            return False
        return any(all(_hasAttribute(node, *entry) for entry in self._attributes.get(kind, ())) for kind in matching)

    # --- what is chosen ----------------------------------------------------------------------------------------------

    def currentNode(self) -> Any:
        return self._current

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node) if self._scene is not None else None
        self._choose(node if node in self._nodes else None)

    def setCurrentNodeID(self, nodeID: str | None) -> None:
        self.setCurrentNode(nodeID or None)

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self.nodeFromIndex(index))

    def addNode(self, nodeType: str | None = None) -> Any:
        """Make a node of the (first) class, as "Create new …" does."""
        kind = nodeType or self._nodeTypes[0]
        node = self._scene.AddNewNodeByClass(
            kind, self._scene.GenerateUniqueName(self._texts["baseName"] or _label(self._scene, kind))
        )
        if self._flags["selectNodeUponCreation"]:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        if self._current is not None:
            self._scene.RemoveNode(self._current)

    def renameCurrentNode(self) -> None:
        raise NotImplementedError("the stand-in host has no dialog to rename a node")

    def editCurrentNode(self) -> None:
        raise NotImplementedError("the stand-in host edits no nodes")

    def _choose(self, node: Any) -> None:
        changed, self._current = node is not self._current, node
        self._showCurrent()
        if changed:
            self._announce()

    def _announce(self) -> None:
        emitOverload(self, "currentNodeChanged(vtkMRMLNode*)", self._current)
        emitOverload(self, "currentNodeChanged(bool)", self._current is not None)
        self.currentNodeIDChanged.emit(_idOf(self._current))

    # --- the scene and the box ---------------------------------------------------------------------------------------

    def _onSceneSet(self) -> None:
        self._watcher.watch(self._scene, *_SCENE_EVENTS, call=self._onSceneEvent)
        self._refresh()

    def _onSceneEvent(self, scene: Any, event: str) -> None:
        if scene.IsBatchProcessing() and event in ("NodeAddedEvent", "NodeRemovedEvent"):
            return
        before = list(self._nodes)
        self._refresh()
        added = [node for node in self._nodes if node not in before]
        for node in added:
            self.nodeAdded.emit(node)
        if added and not before and not any(self._flags[f"{extra}Enabled"] for extra in _EXTRAS):
            self._choose(self._nodes[0])  # Qt chooses the first entry of a box that was empty

    def _refresh(self) -> None:
        scene = self._scene
        found = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())] if scene is not None else []
        place = self._box.currentIndex
        self._nodes = [node for node in found if self._accepts(node)]
        for watcher in self._nodeWatchers:
            watcher.stop()
        self._nodeWatchers = [SceneWatcher() for _ in self._nodes]
        for watcher, node in zip(self._nodeWatchers, self._nodes, strict=True):
            watcher.watch(node, vtk.vtkCommand.ModifiedEvent, call=self._onNodeModified)
        self._fillBox()
        if self._current is not None and self._current not in self._nodes:
            self._choose(self._neighbour(place, bool(scene is not None and scene.IsClosing())))

    def _neighbour(self, place: int, closing: bool) -> Any:
        """The node that moves up when the chosen one goes, as Qt chooses it."""
        entries = ([None] if self._flags["noneEnabled"] else []) + self._nodes
        return entries[min(place, len(entries) - 1)] if entries and not closing else None

    def _onNodeModified(self, node: Any, event: str) -> None:
        index = self._box.findData(node.GetID())
        if index >= 0 and self._box.itemText(index) != node.GetName():
            self._box.setItemText(index, node.GetName())

    def _fillBox(self) -> None:
        self._box.blockSignals(True)
        self._box.clear()
        if self._flags["noneEnabled"]:
            self._box.addItem(self._texts["noneDisplay"], None)
        for node in self._nodes:
            self._box.addItem(*self._entry(node))
        extra = self._extraEntries()
        if extra and self._box.count:
            self._box.insertSeparator(self._box.count)
        for text, action in extra:
            self._box.addItem(text, (action,))
        self._box.blockSignals(False)
        self._box.setEnabled(bool(self._box.count) and self._scene is not None)
        self._showCurrent()

    def _entry(self, node: Any) -> tuple[Any, ...]:
        return (node.GetName() or "", node.GetID())

    def _extraEntries(self) -> list[tuple[str, str]]:
        entries = []
        if self._flags["renameEnabled"] and self._current is not None:
            entries.append((f"Rename current {_label(self._scene, self._current.GetClassName())}...", self._RENAME))
        if self._flags["addEnabled"] and self._scene is not None:
            entries += [(f"Create new {_label(self._scene, kind)}", f"{self._ADD}:{kind}") for kind in self._nodeTypes]
        if self._flags["removeEnabled"] and self._current is not None:
            entries.append((f"Delete current {_label(self._scene, self._current.GetClassName())}", self._REMOVE))
        return entries

    def _showCurrent(self) -> None:
        self._box.blockSignals(True)
        if self._current is not None:
            self._box.setCurrentIndex(self._box.findData(self._current.GetID()))
        else:
            self._box.setPlaceholderText(
                f"Select a {_label(self._scene, self._nodeTypes[0])}" if self._nodeTypes else ""
            )
            self._box.setCurrentIndex(0 if self._flags["noneEnabled"] else -1)
        self._box.blockSignals(False)

    def _onIndexChanged(self, index: int) -> None:
        data = self._box.itemData(index)
        if not isinstance(data, tuple):
            node = self._scene.GetNodeByID(data) if self._scene is not None and data else None
            self._choose(node)

    def _onActivated(self, index: int) -> None:
        data = self._box.itemData(index)
        if isinstance(data, tuple):
            self._showCurrent()
            action, _, kind = data[0].partition(":")
            {self._ADD: lambda: self.addNode(kind), self._REMOVE: self.removeCurrentNode}.get(
                action, self.renameCurrentNode
            )()
        else:
            self.nodeActivated.emit(self._current)


def _flag(name: str) -> property:
    def setFlag(self: qMRMLNodeComboBox, value: bool) -> None:
        self._flags[name] = bool(value)
        self._refresh()

    setattr(qMRMLNodeComboBox, f"set{name[0].upper()}{name[1:]}", setFlag)
    return property(lambda self: self._flags[name], setFlag)


def _text(name: str) -> property:
    def setText(self: qMRMLNodeComboBox, value: str) -> None:
        self._texts[name] = value
        self._refresh()

    setattr(qMRMLNodeComboBox, f"set{name[0].upper()}{name[1:]}", setText)
    return property(lambda self: self._texts[name], setText)


for _name in [
    "noneEnabled",
    "addEnabled",
    "removeEnabled",
    "editEnabled",
    "renameEnabled",
    "showHidden",
    "showChildNodeTypes",
    "selectNodeUponCreation",
]:
    setattr(qMRMLNodeComboBox, _name, _flag(_name))
for _name in ("baseName", "noneDisplay", "interactionNodeSingletonTag"):
    setattr(qMRMLNodeComboBox, _name, _text(_name))


def _hasAttribute(node: Any, name: str, value: Any) -> bool:
    found = node.GetAttribute(name)
    return found is not None and (value is None or found == str(value))


def _idOf(node: Any) -> str:
    return node.GetID() if node is not None else ""


def _label(scene: Any, nodeType: str) -> str:
    """What a node class is called in the box."""
    return (scene.GetTypeDisplayNameByClassName(nodeType) if scene is not None else "") or "node"


ownWidgets.update({kind.__name__: kind for kind in (qMRMLWidget, qMRMLNodeComboBox)})
