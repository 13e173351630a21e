"""What the stand-in does not provide says so, and signals of objects that are not Qt's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any


class NotProvided(NotImplementedError, AttributeError):
    """Asked for a part of Slicer that the stand-in host does not imitate (``hasattr`` says no to it)."""


def refuseRest(module: ModuleType) -> ModuleType:
    """The module, which from now on says of every public name that it lacks that the host does not have it."""

    def refuse(name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotProvided(f"The stand-in host has no {module.__name__}.{name}.")

    module.__getattr__ = refuse  # type: ignore[method-assign]
    return module


class Strict:
    """Base of the host's own classes: an unknown public name raises :class:`NotProvided`, never a silent fake."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotProvided(f"The stand-in host has no {type(self).__name__}.{name}.")


class Signal:
    """One signal, connected as in PythonQt: ``object.name.connect(f)`` gives True."""

    def __init__(self) -> None:
        self._receivers: list[Callable[..., Any]] = []

    def connect(self, receiver: Callable[..., Any]) -> bool:
        self._receivers.append(receiver)
        return True

    def disconnect(self, receiver: Callable[..., Any] | None = None) -> bool:
        if receiver is None:
            found = bool(self._receivers)
            self._receivers.clear()
            return found
        if receiver not in self._receivers:
            return False
        self._receivers.remove(receiver)
        return True

    def emit(self, *values: Any) -> None:
        for receiver in tuple(self._receivers):
            receiver(*values)

    __call__ = emit


class Emitter(Strict):
    """An object with signals (named in ``_signals``), connected as ``object.connect("name(type)", f)`` as well."""

    _signals: tuple[str, ...] = ()

    def __init__(self) -> None:
        for name in self._signals:
            setattr(self, name, Signal())

    def connect(self, signature: str, receiver: Callable[..., Any]) -> bool:
        return self._signal(signature).connect(receiver)

    def disconnect(self, signature: str, receiver: Callable[..., Any] | None = None) -> bool:
        return self._signal(signature).disconnect(receiver)

    def _signal(self, signature: str) -> Signal:
        name = re.sub(r"\(.*", "", signature)
        if name not in self._signals:
            raise NotProvided(f"The stand-in's {type(self).__name__} has no signal {signature}.")
        return getattr(self, name)
