"""Annotations and validators of a parameter node: `Default`, `Choice`, `WithinRange` … with Slicer's exceptions."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import slicer


class Default:
    """The value of a parameter that was never set; `generator` makes a new one each time."""

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator else self._value


@dataclass
class Decimals:
    """How many decimals a spin box or slider shows."""

    value: int


@dataclass
class SingleStep:
    """How far one step of a spin box or slider goes."""

    value: float


class Validator:
    """Refuses values of a parameter."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError("a validator says what it refuses")


class NotNone(Validator):
    """Refuses None."""

    def validate(self, value: Any) -> None:
        if value is None:
            raise ValueError("Value must not be None")


class IsInstance(Validator):
    """Refuses (with a TypeError) what is neither None nor of the type."""

    def __init__(self, classtype: Any) -> None:
        self.classtype = classtype

    def validate(self, value: Any) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"'{value}' is of type '{type(value)}', not '{self.classtype}'")


class WithinRange(Validator):
    """Refuses what lies outside [minimum, maximum]."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: float) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is outside [{self.minimum}, {self.maximum}]")


class Minimum(Validator):
    """Refuses what lies below."""

    def __init__(self, minimum: float) -> None:
        self.minimum = minimum

    def validate(self, value: float) -> None:
        if value < self.minimum:
            raise ValueError(f"{value} is below {self.minimum}")


class Maximum(Validator):
    """Refuses what lies above."""

    def __init__(self, maximum: float) -> None:
        self.maximum = maximum

    def validate(self, value: float) -> None:
        if value > self.maximum:
            raise ValueError(f"{value} is above {self.maximum}")


class Choice(Validator):
    """Refuses what is not among the choices."""

    def __init__(self, choices: Iterable[Any]) -> None:
        self.choices = choices

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"{value} is none of {self.choices}")


class Exclude(Validator):
    """Refuses the values named."""

    def __init__(self, excludedValues: Iterable[Any]) -> None:
        self.excludedValues = excludedValues

    def validate(self, value: Any) -> None:
        if value in self.excludedValues:
            raise ValueError(f"{value} is excluded")


def splitAnnotations(annotated: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type and what `Annotated` says of it; ``A | B`` becomes ``Union[A, B]``."""
    plain, annotations = annotated, ()
    if typing.get_origin(annotated) is Annotated:
        plain, *rest = typing.get_args(annotated)
        annotations = tuple(rest)
    if isinstance(plain, types.UnionType):
        plain = typing.Union[typing.get_args(plain)]  # noqa: UP007
    return plain, annotations


def unannotatedType(annotated: Any) -> Any:
    return splitAnnotations(annotated)[0]


def findFirstAnnotation(annotations: Iterable[Any], kind: type) -> Any:
    return next((annotation for annotation in annotations if isinstance(annotation, kind)), None)


def isNodeOrUnionOfNodes(datatype: Any) -> bool:
    """A node class, or a union of node classes and None."""
    plain = unannotatedType(datatype)
    if typing.get_origin(plain) is typing.Union:
        return all(part is type(None) or _isNode(unannotatedType(part)) for part in typing.get_args(plain))
    return _isNode(plain)


def getNodeTypes(datatype: Any) -> tuple[str, ...]:
    """The class names that a node selector offers for the type."""
    plain = unannotatedType(datatype)
    parts = typing.get_args(plain) if typing.get_origin(plain) is typing.Union else (plain,)
    nodes = [unannotatedType(part) for part in parts if _isNode(unannotatedType(part))]
    if not nodes:
        raise TypeError(f"{datatype} is no node type")
    return tuple(node().GetClassName() for node in nodes)


def _isNode(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)
