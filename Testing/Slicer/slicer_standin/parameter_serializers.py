"""How values lie in a ``vtkMRMLScriptedModuleNode``: one text parameter each, node references beside it.

The format is Slicer's: numbers, texts and paths by ``str``; bools as "True"/"False"; a list ``x`` as ``x.len``, ``x.0``
…; a dict as a list of pairs; an enum by its name; a node as an empty parameter and a node reference of the same role;
``Union`` under ``x.<index of the type>``.
"""

from __future__ import annotations

import collections.abc
import enum
import pathlib
import typing
from typing import Any

import slicer

from .parameter_types import IsInstance, NotNone, Validator, splitAnnotations
from .strict import NotProvided

PATHS = (
    pathlib.Path,
    pathlib.PosixPath,
    pathlib.WindowsPath,
    pathlib.PurePath,
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
)


class Serializer:
    """Reads and writes one kind of value. ``isIn`` says whether the node holds one."""

    cached = True

    def __init__(self, kind: Any = None) -> None:
        self.kind = kind

    def default(self) -> Any:
        return self.kind()

    def isIn(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, str(value))

    def read(self, node: Any, name: str) -> Any:
        return self.kind(node.GetParameter(name))

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)


class _Number(Serializer):
    def default(self) -> Any:
        return 0


class _Bool(Serializer):
    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "True" if value else "False")

    def read(self, node: Any, name: str) -> bool:
        return node.GetParameter(name) == "True"


class _Enum(Serializer):
    def default(self) -> Any:
        return next(iter(self.kind))

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, value.name)

    def read(self, node: Any, name: str) -> Any:
        try:
            return self.kind[node.GetParameter(name)]
        except KeyError as error:
            raise ValueError(f"{node.GetParameter(name)!r} is no name in {self.kind!r}") from error


class _Node(Serializer):
    def default(self) -> None:
        return None

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class _None(Serializer):
    def default(self) -> None:
        return None

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "True")

    def read(self, node: Any, name: str) -> None:
        return None


class ObservedList(collections.abc.MutableSequence):  # type: ignore[type-arg]
    """A list that writes itself into the node at every change; ``+`` and ``*`` are refused."""

    def __init__(self, node: Any, serializer: _List, name: str, items: list[Any]) -> None:
        self._node, self._serializer, self._name, self._items = node, serializer, name, items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._items[index] = value
        self._save()

    def __delitem__(self, index: Any) -> None:
        del self._items[index]
        self._save()

    def insert(self, index: int, value: Any) -> None:
        self._items.insert(index, value)
        self._save()

    def sort(self, **how: Any) -> None:
        self._items.sort(**how)
        self._save()

    def __eq__(self, other: object) -> bool:
        return self._items == (other._items if isinstance(other, ObservedList) else other)

    def __repr__(self) -> str:
        return f"ObservedList({self._items})"

    def __add__(self, other: object) -> None:
        raise NotImplementedError("an ObservedList is not added; += is")

    __radd__ = __mul__ = __rmul__ = __add__

    def _save(self) -> None:
        try:
            self._serializer.write(self._node, self._name, self._items)
        finally:
            self._items = self._serializer.read(self._node, self._name)._items


class _List(Serializer):
    def __init__(self, item: ValidatedSerializer) -> None:
        super().__init__(list)
        self._item = item
        self.cached = item.cached

    def isIn(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(f"{name}.len"))

    def write(self, node: Any, name: str, value: Any) -> None:
        for item in value:
            self._item.validate(item)
        with slicer.util.NodeModify(node):
            old = self._length(node, name)
            for index, item in enumerate(value):
                self._item.write(node, f"{name}.{index}", item)
            node.SetParameter(f"{name}.len", str(len(value)))
            for index in range(len(value), old):
                self._item.remove(node, f"{name}.{index}")

    def read(self, node: Any, name: str) -> ObservedList:
        items = [self._item.read(node, f"{name}.{index}") for index in range(self._length(node, name))]
        return ObservedList(node, self, name, items)

    def remove(self, node: Any, name: str) -> None:
        with slicer.util.NodeModify(node):
            for index in range(self._length(node, name)):
                self._item.remove(node, f"{name}.{index}")
            node.UnsetParameter(f"{name}.len")

    def _length(self, node: Any, name: str) -> int:
        return int(node.GetParameter(f"{name}.len")) if self.isIn(node, name) else 0


class _Tuple(Serializer):
    def __init__(self, items: list[ValidatedSerializer]) -> None:
        super().__init__(tuple)
        self._items = items
        self.cached = all(item.cached for item in items)

    def default(self) -> Any:
        return tuple(item.default() for item in self._items)

    def isIn(self, node: Any, name: str) -> bool:
        return self._items[0].isIn(node, f"{name}.0")

    def write(self, node: Any, name: str, value: Any) -> None:
        if len(value) != len(self._items):
            raise ValueError(f"{len(self._items)} values belong here, not {len(value)}")
        with slicer.util.NodeModify(node):
            for index, (item, serializer) in enumerate(zip(value, self._items, strict=True)):
                serializer.write(node, f"{name}.{index}", item)

    def read(self, node: Any, name: str) -> Any:
        return tuple(serializer.read(node, f"{name}.{index}") for index, serializer in enumerate(self._items))

    def remove(self, node: Any, name: str) -> None:
        for index, serializer in enumerate(self._items):
            serializer.remove(node, f"{name}.{index}")


class _Union(Serializer):
    def __init__(self, parts: list[ValidatedSerializer]) -> None:
        super().__init__()
        self._parts = parts
        self.cached = all(part.cached for part in parts)

    def default(self) -> Any:
        isOptional = len(self._parts) == 2 and isinstance(self._parts[1].inner, _None)
        return None if isOptional else self._parts[0].default()

    def isIn(self, node: Any, name: str) -> bool:
        return any(part.isIn(node, f"{name}.{index}") for index, part in enumerate(self._parts))

    def write(self, node: Any, name: str, value: Any) -> None:
        for index, part in enumerate(self._parts):
            if (value is None) == isinstance(part.inner, _None) and part.fits(value):
                with slicer.util.NodeModify(node):
                    self.remove(node, name)
                    part.write(node, f"{name}.{index}", value)
                return
        raise TypeError(f"'{value}' of type '{type(value)}' is none of the types")

    def read(self, node: Any, name: str) -> Any:
        for index, part in enumerate(self._parts):
            if part.isIn(node, f"{name}.{index}"):
                return part.read(node, f"{name}.{index}")
        raise KeyError(name)

    def remove(self, node: Any, name: str) -> None:
        for index, part in enumerate(self._parts):
            part.remove(node, f"{name}.{index}")


class ValidatedSerializer(Serializer):
    """A serializer behind its validators."""

    def __init__(self, inner: Serializer, validators: list[Validator]) -> None:
        super().__init__(inner.kind)
        if isinstance(inner, ValidatedSerializer):
            inner, validators = inner.inner, [*inner.validators, *validators]
        self.inner, self.validators, self.cached = inner, validators, inner.cached
        self.default, self.isIn = inner.default, inner.isIn  # type: ignore[method-assign]
        self.read, self.remove = inner.read, inner.remove  # type: ignore[method-assign]

    def validate(self, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)

    def fits(self, value: Any) -> bool:
        try:
            self.validate(value)
        except (TypeError, ValueError):
            return False
        return True

    def write(self, node: Any, name: str, value: Any) -> None:
        self.validate(value)
        self.inner.write(node, name, value)


def createSerializer(annotated: Any) -> ValidatedSerializer:
    """The serializer of an (annotated) type, with the validators that belong to the type and those annotated."""
    kind, annotations = splitAnnotations(annotated)
    inner, own = _plainSerializer(kind)
    return ValidatedSerializer(inner, [*own, *(a for a in annotations if isinstance(a, Validator))])


def _plainSerializer(kind: Any) -> tuple[Serializer, list[Validator]]:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind in (int, float):
        return _Number(kind), [NotNone(), IsInstance((int, float) if kind is float else int)]
    if kind is bool:
        return _Bool(kind), [NotNone(), IsInstance(kind)]
    if kind is str or kind in PATHS:
        return Serializer(kind), [NotNone(), IsInstance(kind)]
    if kind is type(None):
        return _None(kind), []
    if origin is list and len(parts) == 1:
        return _List(createSerializer(parts[0])), []
    if origin is tuple and parts:
        return _Tuple([createSerializer(part) for part in parts]), []
    if origin is typing.Union:
        return _Union([createSerializer(part) for part in parts]), []
    if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode):
        return _Node(kind), [IsInstance(kind)]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _Enum(kind), [IsInstance(kind)]
    raise NotProvided(f"The stand-in host has no serializer for {kind}.")
