"""Signals as PythonQt connects them: by signature or by name, with as many values as the slot takes."""

from __future__ import annotations

import ctypes
import inspect
import re
import sys
import types
from collections.abc import Callable
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from PySide6 import QtCore

if int not in type(QtCore.QProcess.ProcessState.NotRunning).__mro__:
    raise ImportError("PySide6 was imported before slicer_standin: its enums are not ints as PythonQt's are")

if sys.version_info < (3, 12):
    # PySide6 6.12 takes a reference from None, True or False with each call that returns one, until it is gone and the
    # interpreter aborts; from Python 3.12 on they are immortal. Give them more than can be taken.
    for constant in (None, True, False):
        ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 40

#: Exceptions that Python slots let out, newest last. The application only prints them; a test looks here.
slotErrors: list[BaseException] = []

_allConnections: WeakKeyDictionary[QtCore.QObject, list[tuple[str, Any, Any]]] = WeakKeyDictionary()


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


def _normalised(signature: str) -> str:
    """A signature as Qt's meta object writes it; pointers to VTK objects travel as Python objects."""
    plain = re.sub(r"vtk\w+\s*\*", "PyObject", signature)
    return bytes(QtCore.QMetaObject.normalizedSignature(plain).data()).decode()


def _parameters(signature: str) -> list[str]:
    inside = signature[signature.index("(") + 1 : -1]
    return inside.split(",") if inside else []


@cache
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


def emitOverload(owner: QtCore.QObject, signature: str, *values: Any) -> None:
    """Emit one of the signals that share a name."""
    _instance(owner, _normalised(signature)).emit(*values)


def connect(owner: QtCore.QObject, signature: str, slot: Callable[..., Any]) -> bool:
    """``owner.connect(signature, slot)``; a signal that is not there is a ValueError."""
    return _connect(owner, _knownSignature(owner, signature), slot)


def disconnect(owner: QtCore.QObject, signature: str, slot: Callable[..., Any] | None) -> bool:
    """``owner.disconnect(signature[, slot])``: whether there was anything to take off."""
    return _disconnect(owner, _knownSignature(owner, signature), slot)


def _connect(owner: QtCore.QObject, signature: str, slot: Callable[..., Any]) -> bool:
    from .pythonqt import adopt

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
    """How many values a slot gets at most (None: all): functions and methods as many as they declare.

    A partial, a builtin or an object that can be called gets everything that the signal carries.
    """
    function = slot.__func__ if isinstance(slot, types.MethodType) else slot
    if not isinstance(function, types.FunctionType) or function.__code__.co_flags & inspect.CO_VARARGS:
        return None
    return function.__code__.co_argcount - isinstance(slot, types.MethodType)
