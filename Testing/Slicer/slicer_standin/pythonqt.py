"""PythonQt's manners over PySide6.

In comes a PySide6 class; out goes a subclass (`dress`) on which a Qt property is an attribute, a signal connects by
its signature or by name, lists are tuples and an unknown attribute cannot be set. What the application's own Python
does not offer fails here too: ``label.text()`` is a TypeError.

Functions that Qt itself calls back (``paintEvent``, ``sizeHint`` …) are never wrapped: a Python attribute of that name
would be taken for an override. The one exception are virtual property readers, which are read through the class that
owns them, past any override.
"""

from __future__ import annotations

import inspect
import math
import operator
import re
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets

from .qt_signals import BoundSignal, connect, disconnect, slotErrors

#: Property readers that Qt calls as virtual functions, by the class that declares them.
_VIRTUAL_READERS = {
    QtWidgets.QWidget: frozenset({"sizeHint", "minimumSizeHint"}),
    QtWidgets.QLayout: frozenset({"spacing"}),
    QtWidgets.QProgressBar: frozenset({"text"}),
}

#: Methods (none of them virtual) that hand out objects or lists.
_HANDING_OUT = [
    "parent",
    "parentWidget",
    "window",
    "focusWidget",
    "childAt",
    "actions",
    "layout",
    "horizontalHeader",
    "verticalHeader",
    "header",
    "viewport",
    "horizontalScrollBar",
    "verticalScrollBar",
    "cornerWidget",
    "model",
    "selectionModel",
    "lineEdit",
    "view",
    "completer",
    "document",
    "statusBar",
    "menuBar",
    "centralWidget",
    "button",
    "buttons",
    "checkedButton",
    "tabBar",
    "widget",
    "currentWidget",
    "cellWidget",
    "indexWidget",
    "itemWidget",
    "labelForField",
    "buddy",
    "selectedItems",
    "selectedRanges",
    "findItems",
    "addAction",
    "addMenu",
    "addToolBar",
    "menu",
    "defaultAction",
    "group",
    "sender",
    "selectedRows",
    "sourceModel",
    "parentWidget",
    "validator",
    "calendarWidget",
    "addButton",
    "takeWidget",
    "toolButton",
    "menuAction",
]

#: Where one of those names is a virtual function after all.
_VIRTUAL_IN = {QtWidgets.QLayout: frozenset({"layout", "widget"})}

#: Names of PySide6 or of a newer Qt that the application does not have.
_ABSENT = frozenset({"checkStateChanged", "setup_ui"})

_dressed: dict[type, type] = {}
_beingLoaded: list[bool] = []


@contextmanager
def loadingUi() -> Iterator[None]:
    """While a .ui file is read."""
    _beingLoaded.append(True)
    try:
        yield
    finally:
        _beingLoaded.pop()


class _Dressing(type(QtCore.QObject)):  # type: ignore[misc]
    """Metaclass: an object counts as an instance of the dressed class when Qt says so."""

    def __instancecheck__(cls, instance: object) -> bool:
        base = cls.__dict__.get("_dresses")
        if isinstance(instance, Adopted):
            instance = instance._object
        return isinstance(instance, base) if base is not None else super().__instancecheck__(instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        base = cls.__dict__.get("_dresses")
        return issubclass(subclass, base) if base is not None else super().__subclasscheck__(subclass)


def _toInt(value: Any) -> int:
    return math.floor(value) if isinstance(value, float) else operator.index(value)


def _toFloat(value: Any) -> float:
    if isinstance(value, str):
        raise TypeError("a text is no number")
    return float(value)


#: How PythonQt turns what is assigned to a property into the property's type.
_CONVERSIONS = {"bool": bool, "int": _toInt, "uint": _toInt, "double": _toFloat, "QString": str}


class _QtProperty:
    """A Qt property as a Python attribute."""

    def __init__(self, base: type, name: str, writable: bool, typeName: str) -> None:
        self._base, self._name, self._writable, self._typeName = base, name, writable, typeName
        self._isVirtual = any(name in names for kind, names in _VIRTUAL_READERS.items() if issubclass(base, kind))

    def __get__(self, owner: QtCore.QObject | None, ownerClass: type | None = None) -> Any:
        if owner is None:
            return getattr(self._base, self._name, self)  # static functions, such as QTimer.singleShot
        if self._isVirtual:
            return getattr(self._base, self._name)(owner)
        return adopt(QtCore.QObject.property(owner, self._name))

    def __set__(self, owner: QtCore.QObject, value: Any) -> None:
        if not self._writable:
            raise AttributeError(f"Property '{self._name}' of type '{self._typeName}' is not writable")
        try:
            converted = _CONVERSIONS.get(self._typeName, self._asItIs)(value)
        except (TypeError, ValueError):
            converted = None
        if self._name == "toolTip":
            converted = _asRichToolTip(converted)
        if converted is None or not QtCore.QObject.setProperty(owner, self._name, converted):
            raise AttributeError(
                f"Property '{self._name}' of type '{self._typeName}' does not accept an object of type "
                f"{type(value).__name__} ({value!r})"
            )

    def _asItIs(self, value: Any) -> Any:
        """Qt's own types are taken as they are; texts are not read as dates, colours or sizes."""
        if isinstance(value, str) and re.fullmatch(r"Q(?!Variant|ByteArray|StringList|KeySequence)\w+", self._typeName):
            raise TypeError(f"a text is no {self._typeName}")
        return value._object if isinstance(value, Adopted) else value


class Manners:
    """What every dressed QObject can do besides its own class."""

    @property
    def name(self) -> str:
        """The object's name, the short way."""
        return QtCore.QObject.objectName(self)  # type: ignore[arg-type]

    @name.setter
    def name(self, value: str) -> None:
        QtCore.QObject.setObjectName(self, value)  # type: ignore[arg-type]

    def __setattr__(self, name: str, value: Any) -> None:
        isOwn = type(self).__module__.startswith(_PACKAGE)
        if isOwn and not name.startswith("_") and not _isWritable(type(self), name):
            if _beingLoaded:  # PySide6's loader hangs every named child on the root; PythonQt's does not
                return
            raise AttributeError(
                f"Attribute '{name}' does not exist and creating new attributes is not allowed on instances of "
                f"'{type(self).__name__}'"
            )
        super().__setattr__(name, value)

    def __getattribute__(self, name: str) -> Any:
        if name in _ABSENT:
            raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'")
        if name in ("connect", "disconnect"):  # PySide6 would hand out QObject's own, past this class
            return types.MethodType(Manners.__dict__[name], self)
        value = super().__getattribute__(name)
        return BoundSignal(self, name) if isinstance(value, QtCore.SignalInstance) else value  # type: ignore[arg-type]

    def className(self) -> str:
        return type(self).__name__

    def connect(self, signature: str, slot: Any, slotName: Any = None, *more: Any) -> Any:
        """``connect("clicked(bool)", function)`` or ``connect("clicked()", object, "close()")``."""
        if isinstance(signature, QtCore.QObject):  # PySide6 itself, on its way from signal to slot
            return QtCore.QObject.connect(signature, slot, slotName, *more)
        if slotName is not None:
            slot = getattr(slot, slotName.split("(")[0])
        return connect(self, signature, slot)  # type: ignore[arg-type]

    def disconnect(self, signature: str, slot: Any = None, slotName: Any = None, *more: Any) -> Any:
        if isinstance(signature, QtCore.QObject):
            return QtCore.QObject.disconnect(signature, slot, slotName, *more)
        if slotName is not None:
            slot = getattr(slot, slotName.split("(")[0])
        return disconnect(self, signature, slot)  # type: ignore[arg-type]

    def children(self) -> tuple[QtCore.QObject, ...]:
        return adopt(QtCore.QObject.children(self))  # type: ignore[arg-type]

    def findChildren(self, kind: type | str, name: str = "") -> tuple[QtCore.QObject, ...]:
        """Every descendant of a class (given itself or by its name), in depth-first order."""
        found: list[QtCore.QObject] = []
        for child in Manners.children(self):
            if _isKind(child, kind) and name in ("", child.objectName):
                found.append(child)
            found.extend(child.findChildren(kind, name))  # type: ignore[arg-type]
        return tuple(found)

    def findChild(self, kind: type | str, name: str = "") -> QtCore.QObject | None:
        return next(iter(Manners.findChildren(self, kind, name)), None)

    def setToolTip(self, text: str) -> None:
        QtCore.QObject.setProperty(self, "toolTip", _asRichToolTip(text))  # type: ignore[arg-type]

    def delete(self) -> None:
        """End the object now."""
        shiboken6.delete(self)

    def dynamicPropertyNames(self) -> tuple[str, ...]:
        return tuple(bytes(name.data()).decode() for name in QtCore.QObject.dynamicPropertyNames(self))  # type: ignore


_PACKAGE = __name__.rpartition(".")[0] or __name__


def dress(base: type) -> type:
    """The class with PythonQt's manners for a QObject class of PySide6 (one and the same at every call)."""
    if base in _dressed or not issubclass(base, QtCore.QObject):
        return _dressed.get(base, base)
    namespace: dict[str, Any] = {"_dresses": base, "__module__": __name__, "__doc__": base.__doc__}
    meta = base.staticMetaObject
    virtual = frozenset().union(*(names for kind, names in _VIRTUAL_IN.items() if issubclass(base, kind)))
    for name in _HANDING_OUT:
        if hasattr(base, name) and name not in virtual:
            namespace[name] = _handingOut(getattr(base, name))
    if hasattr(base, "exec"):
        namespace["exec_"] = lambda self, *values: base.exec(self, *values)
    for index in range(meta.propertyCount()):
        qtProperty = meta.property(index)
        namespace[qtProperty.name()] = _QtProperty(
            base, qtProperty.name(), qtProperty.isWritable(), qtProperty.typeName()
        )
    _dressed[base] = _Dressing(base.__name__, (Manners, base), namespace)
    return _dressed[base]


class Adopted:
    """The manners for an object that Qt itself made (a header, a scroll bar, a button of a dialog).

    Its Python class is PySide6's own and cannot be changed, so this stands before it.
    """

    __slots__ = ("_object",)

    def __init__(self, made: QtCore.QObject) -> None:
        object.__setattr__(self, "_object", made)

    def __getattr__(self, name: str) -> Any:
        made = self._object
        if name in _ABSENT:
            raise AttributeError(f"{type(made).__name__} has no attribute named '{name}'")
        attribute = inspect.getattr_static(dress(type(made)), name, None)
        if isinstance(attribute, (_QtProperty, property)):
            return attribute.__get__(made, type(made))
        if isinstance(attribute, types.FunctionType):
            return types.MethodType(attribute, made)
        value = getattr(made, name)
        if isinstance(value, QtCore.SignalInstance):
            return BoundSignal(made, name)
        return _handingOut(value) if callable(value) else value

    def __setattr__(self, name: str, value: Any) -> None:
        attribute = inspect.getattr_static(dress(type(self._object)), name, None)
        if isinstance(attribute, (_QtProperty, property)):
            attribute.__set__(self._object, value)
        else:
            raise AttributeError(f"'{type(self._object).__name__}' has no property '{name}'")  # noqa: TRY004

    def __eq__(self, other: object) -> bool:
        return self._object is getattr(other, "_object", other)

    def __hash__(self) -> int:
        return hash(self._object)


def adopt(value: Any) -> Any:
    """What Qt hands out, with manners: objects made by Qt in an `Adopted`, lists as tuples."""
    if isinstance(value, list):
        return tuple(adopt(item) for item in value)
    if isinstance(value, QtCore.QObject) and not isinstance(value, Manners):
        return Adopted(value)
    return value


def _handingOut(method: Callable[..., Any]) -> Callable[..., Any]:
    def handOut(*values: Any) -> Any:
        return adopt(method(*values))

    handOut.__name__ = method.__name__
    return handOut


def _isWritable(kind: type, name: str) -> bool:
    for parent in kind.__mro__:
        if name in parent.__dict__:
            return hasattr(type(parent.__dict__[name]), "__set__")
    return False


def _isKind(child: QtCore.QObject, kind: type | str) -> bool:
    if isinstance(kind, str):
        return child.inherits(kind) or child.className() == kind
    return isinstance(child, kind)


def _asRichToolTip(text: str) -> str:
    """Slicer wraps plain tool tips in a paragraph so that long ones break into lines."""
    return text if not text or re.search(r"<[a-zA-Z!/]", text) else f"<p>{text}</p>"


__all__ = ["BoundSignal", "Manners", "QtCore", "QtGui", "QtWidgets", "adopt", "dress", "slotErrors"]
