"""JSON values back into frozen records, checked field by field: what a model folder says is never taken on trust."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Record = TypeVar("Record")


def decode(kind: type[Record], value: Any) -> Record:
    """Rebuild a frozen dataclass from what ``json.loads(json.dumps(asdict(record)))`` gives.

    Raises
    ------
    ValueError
        A field is absent, unknown or of another type; the text names it.
    """
    result: Record = _decode(kind, value, kind.__name__)
    return result


def _decode(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type):
        return _record(kind, value, where)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _optional(arguments, value, where)
    if origin is Literal:
        return _checked(value in arguments, value, where)
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        _checked(isinstance(value, dict), value, where)
        return {str(name): _decode(arguments[1], item, f"{where}.{name}") for name, item in value.items()}
    if kind is float:
        return _finite(value, where)
    if kind is int:
        return _checked(isinstance(value, int) and not isinstance(value, bool), value, where)
    return _checked(isinstance(value, kind), value, where)


def _finite(value: Any, where: str) -> float:
    _checked(isinstance(value, (int, float)) and not isinstance(value, bool), value, where)
    try:
        number = float(value)
    except OverflowError as error:  # a whole number of hundreds of digits
        raise ValueError(f"{where}: a number that is too large") from error
    _checked(isfinite(number), value, where)
    return number


def _record(kind: type, value: Any, where: str) -> Any:
    _checked(isinstance(value, dict), value, where)
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    if set(names) != set(value):
        differing = ", ".join(sorted(set(names) ^ set(value))[:3])
        raise ValueError(f"{where}: fields absent or unknown: {differing}")
    return kind(**{name: _decode(hints[name], value[name], f"{where}.{name}") for name in names})


def _optional(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    (inner,) = (argument for argument in arguments if argument is not type(None))
    return _decode(inner, value, where)


def _tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    _checked(isinstance(value, (list, tuple)), value, where)
    kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
    _checked(len(kinds) == len(value), value, where)
    return tuple(_decode(kind, item, f"{where}[{n}]") for n, (kind, item) in enumerate(zip(kinds, value, strict=True)))


def _checked(holds: bool, value: Any, where: str) -> Any:
    if not holds:
        raise ValueError(f"{where}: unexpected value of type {type(value).__name__}")
    return value
