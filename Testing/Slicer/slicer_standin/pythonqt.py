"""PythonQt's manners over PySide6.

In comes a PySide6 class; out goes a subclass (`dress`) on which a Qt property is an attribute, a signal connects by
its signature or by name, lists are tuples and an unknown attribute cannot be set. What the application's own Python
does not offer fails here too: ``label.text()`` is a TypeError.

Functions that Qt itself calls back (``paintEvent``, ``sizeHint`` …) are never wrapped: a Python attribute of that name
would be taken for an override. The one exception are virtual property readers, which are read through the class that
owns them, past any override.
"""

from __future__ import annotations

import ctypes
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets

if not isinstance(QtCore.QProcess.ProcessState.NotRunning, int):
    raise ImportError("PySide6 was imported before slicer_standin: its enums are not ints as PythonQt's are")

if sys.version_info < (3, 12):
    # PySide6 6.12 takes a reference from None with each call that returns nothing, until None is gone and the
    # interpreter aborts; from Python 3.12 on None is immortal. Give it more than can be taken.
    ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40

#: Exceptions that Python slots let out, newest last. The application only prints them; a test looks here.
slotErrors: list[BaseException] = []

#: Property readers that Qt calls as virtual functions.
_VIRTUAL_READERS = frozenset({"sizeHint", "minimumSizeHint", "spacing"})

#: Methods (none of them virtual) that hand out objects or lists.
_HANDING_OUT = (
    "parent parentWidget window focusWidget childAt actions layout horizontalHeader verticalHeader header viewport "
    "horizontalScrollBar verticalScrollBar cornerWidget model selectionModel lineEdit view completer document "
    "statusBar menuBar centralWidget button buttons checkedButton tabBar widget currentWidget cellWidget indexWidget "
    "itemWidget labelForField buddy selectedItems selectedRanges findItems addAction addMenu addToolBar menu "
    "defaultAction group sender selectedRows sourceModel parentWidget validator calendarWidget addButton takeWidget "
    "toolButton menuAction"
).split()

#: Where one of those names is a virtual function after all.
_VIRTUAL_IN = {QtWidgets.QLayout: frozenset({"layout", "widget"})}

#: Names of PySide6 or of a newer Qt that the application does not have.
_ABSENT = frozenset({"checkStateChanged", "setup_ui"})

_dressed: dict[type, type] = {}
_beingLoaded: list[bool] = []
_allConnections: WeakKeyDictionary[QtCore.QObject, list[tuple[str, Any, Any]]] = WeakKeyDictionary()


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


class _QtProperty:
    """A Qt property as a Python attribute."""

    def __init__(self, base: type, name: str, writable: bool, typeName: str) -> None:
        self._base, self._name, self._writable, self._typeName = base, name, writable, typeName

    def __get__(self, owner: QtCore.QObject | None, ownerClass: type | None = None) -> Any:
        if owner is None:
            return getattr(self._base, self._name, self)  # static functions, such as QTimer.singleShot
        if self._name in _VIRTUAL_READERS:
            return getattr(self._base, self._name)(owner)
        return adopt(QtCore.QObject.property(owner, self._name))

    def __set__(self, owner: QtCore.QObject, value: Any) -> None:
        if not self._writable:
            raise AttributeError(f"Property '{self._name}' of type '{self._typeName}' is not writable")
        if self._name == "toolTip":
            value = _asRichToolTip(value)
        elif self._typeName == "int" and isinstance(value, float):
            value = int(value)  # cut off, not rounded
        elif self._typeName == "QString" and not isinstance(value, str):
            value = str(value)
        QtCore.QObject.setProperty(owner, self._name, value)


class BoundSignal:
    """``object.signal``: `connect`, `disconnect`, `emit`; calling it emits too."""

    def __init__(self, owner: QtCore.QObject, name: str) -> None:
        self._owner, self._name = owner, name

    def connect(self, slot: Callable[..., Any]) -> bool:
        return _connect(self._owner, _longestSignature(self._owner, self._name), slot)

    def disconnect(self, slot: Callable[..., Any] | None = None) -> bool:
        return _disconnect(self._owner, self._name, slot)

    def emit(self, *values: Any) -> None:
        for signature in _signatures(self._owner, self._name):
            if len(_parameters(signature)) == len(values):
                _instance(self._owner, signature).emit(*values)
                return
        raise TypeError(f"{self._name} is not emitted with {len(values)} values")

    __call__ = emit


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
        return _connect(self, _knownSignature(self, signature), slot)  # type: ignore[arg-type]

    def disconnect(self, signature: str, slot: Any = None, slotName: Any = None, *more: Any) -> Any:
        if isinstance(signature, QtCore.QObject):
            return QtCore.QObject.disconnect(signature, slot, slotName, *more)
        if slotName is not None:
            slot = getattr(slot, slotName.split("(")[0])
        return _disconnect(self, _knownSignature(self, signature), slot)  # type: ignore[arg-type]

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
        if not isinstance(attribute, (_QtProperty, property)):
            raise AttributeError(f"'{type(self._object).__name__}' has no property '{name}'")
        attribute.__set__(self._object, value)

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


# --- signals ---------------------------------------------------------------------------------------------------------


def _normalised(signature: str) -> str:
    """A signature as Qt's meta object writes it; pointers to VTK objects travel as Python objects."""
    plain = re.sub(r"vtk\w+\s*\*", "PyObject", signature)
    return bytes(QtCore.QMetaObject.normalizedSignature(plain).data()).decode()


def _parameters(signature: str) -> list[str]:
    inside = signature[signature.index("(") + 1 : -1]
    return inside.split(",") if inside else []


@lru_cache(maxsize=None)
def _signaturesOf(kind: type, name: str) -> tuple[str, ...]:
    """The signatures of a class's signal in the order of their declaration."""
    for parent in kind.__mro__:
        declared = parent.__dict__.get(name)
        if isinstance(declared, QtCore.Signal):
            return tuple(signature.strip() for signature in str(declared).split(";"))
    return ()


def _signatures(owner: QtCore.QObject, name: str) -> tuple[str, ...]:
    return _signaturesOf(type(owner), name)


def _longestSignature(owner: QtCore.QObject, name: str) -> str:
    return max(_signatures(owner, name), key=lambda signature: len(_parameters(signature)))


def _knownSignature(owner: QtCore.QObject, signature: str) -> str:
    wanted = _normalised(signature)
    known = _signatures(owner, wanted.split("(")[0])
    if wanted not in known:
        raise ValueError(f"{type(owner).__name__} has no signal {signature} (it has {known})")
    return wanted


def _instance(owner: QtCore.QObject, signature: str) -> Any:
    """PySide6's own signal object for one signature."""
    name = signature.split("(")[0]
    signal = QtCore.QObject.__getattribute__(owner, name)
    if len(_signatures(owner, name)) == 1:
        return signal
    kinds = tuple(_parameters(signature))
    return signal[kinds[0] if len(kinds) == 1 else kinds]


def _connect(owner: QtCore.QObject, signature: str, slot: Callable[..., Any]) -> bool:
    if not callable(slot):
        raise TypeError(f"a slot is a function or a method, not {type(slot).__name__}")
    accepted = _acceptedCount(slot)

    def deliver(*values: Any) -> None:
        given = [adopt(value) for value in values]
        try:
            slot(*given[:accepted])
        except Exception as error:
            slotErrors.append(error)
            raise

    _instance(owner, signature).connect(deliver)
    _connections(owner).append((signature, slot, deliver))
    return True


def _disconnect(owner: QtCore.QObject, signatureOrName: str, slot: Callable[..., Any] | None) -> bool:
    removed = False
    for entry in list(_connections(owner)):
        signature, known, deliver = entry
        if signatureOrName in (signature, signature.split("(")[0]) and (slot is None or known == slot):
            _instance(owner, signature).disconnect(deliver)
            _connections(owner).remove(entry)
            removed = True
    return removed


def _connections(owner: QtCore.QObject) -> list[tuple[str, Any, Any]]:
    return _allConnections.setdefault(owner, [])


def _acceptedCount(slot: Callable[..., Any]) -> int | None:
    """How many values a slot takes (None: all): as many positional parameters as it declares."""
    try:
        parameters = inspect.signature(slot).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    return sum(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) for parameter in parameters
    )


__all__ = ["BoundSignal", "Manners", "QtCore", "QtGui", "QtWidgets", "adopt", "dress", "slotErrors"]
