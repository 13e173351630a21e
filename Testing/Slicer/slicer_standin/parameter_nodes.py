"""``slicer.parameterNodeWrapper``: typed attributes over a parameter node, bound to widgets.

The table of the widgets that a type can be bound to stands in `parameter_connectors`.
"""

from __future__ import annotations

import typing
import weakref
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import slicer
import vtk

from . import parameter_connectors, parameter_serializers, parameter_types
from .parameter_connectors import GuiConnector, createGuiConnector
from .parameter_serializers import ValidatedSerializer, createSerializer
from .parameter_types import Default, Validator, findFirstAnnotation, splitAnnotations
from .strict import refuseRest

SlicerParameterNamePropertyName = "SlicerParameterName"


@dataclass
class ParameterInfo:
    """One parameter of a wrapper class."""

    basename: str
    serializer: ValidatedSerializer
    default: Default
    unalteredType: Any


class _Parameter:
    """One parameter of one node; its value is read once and again whenever the node changes."""

    def __init__(self, info: ParameterInfo, node: Any, name: str) -> None:
        self.info, self._node, self._name, self._writing = info, node, name, False
        if not info.serializer.isIn(node, name):
            info.serializer.write(node, name, info.default.value)
        self._value = info.serializer.read(node, name)
        me = weakref.ref(self)  # the node must not keep the wrapper alive
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: _onModified(me()))

    def __del__(self) -> None:
        self._node.RemoveObserver(self._tag)

    def read(self) -> Any:
        return self._value if self.info.serializer.cached else self.fresh()

    def fresh(self) -> Any:
        if not self.info.serializer.isIn(self._node, self._name):
            self.info.serializer.write(self._node, self._name, self.info.default.value)
        return self.info.serializer.read(self._node, self._name)

    def write(self, value: Any) -> None:
        self._writing = True
        try:
            with slicer.util.NodeModify(self._node):
                self.info.serializer.write(self._node, self._name, value)
                self._value = self.fresh()
        finally:
            self._writing = False


def _onModified(parameter: _Parameter | None) -> None:
    if parameter is not None and not parameter._writing:
        parameter._value = parameter.fresh()


class _Wrapper:
    """What the decorator adds to a class."""

    allParameters: dict[str, ParameterInfo]
    _is_parameter_node_wrapper = True

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._connected: dict[int, dict[str, GuiConnector]] = {}
        self._observed: dict[int, int] = {}
        self._nextTag, self._showing = 0, False
        self._parameters = {
            name: _Parameter(info, parameterNode, f"{prefix or ''}{name}") for name, info in self.allParameters.items()
        }

    def getValue(self, name: str) -> Any:
        _check(self, name)
        return self._parameters[name].read()

    def setValue(self, name: str, value: Any) -> None:
        _check(self, name)
        self._parameters[name].write(value)

    def default(self, name: str) -> Default:
        _check(self, name)
        return self.allParameters[name].default

    def isCached(self, name: str) -> bool:
        _check(self, name)
        return self.allParameters[name].serializer.cached

    @classmethod
    def dataType(cls, name: str) -> Any:
        _check(cls, name)
        return cls.allParameters[name].unalteredType

    def connectGui(self, gui: Any) -> int:
        """Bind every widget of a tree, or of ``slicer.util.childWidgetVariables``, that names a parameter."""
        import qt

        isWidget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if isWidget else gui.__dict__.values()
        mapping = {}
        for widget in widgets:
            name = widget.property(SlicerParameterNamePropertyName)
            if name:
                mapping[name] = widget
        return self.connectParametersToGui(mapping)

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        for name in mapping:
            _check(self, name)
        connectors = {
            name: widget if isinstance(widget, GuiConnector) else createGuiConnector(widget, self.dataType(name))
            for name, widget in mapping.items()
        }
        tag, self._nextTag = self._nextTag, self._nextTag + 1
        self._connected[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(self._reader(name, connector))
        self._observed[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._show())
        return tag

    def disconnectGui(self, tag: int) -> None:
        for connector in self._connected.pop(tag, {}).values():
            connector.onChanged(None)
        if tag in self._observed:
            self.RemoveObserver(self._observed.pop(tag))

    def _reader(self, name: str, connector: GuiConnector) -> Any:
        def readWidget() -> None:
            with slicer.util.NodeModify(self):
                if not self._showing:
                    self.setValue(name, connector.read())

        return readWidget

    def _show(self) -> None:
        """Write every value into its widgets."""
        if self._showing:
            return
        self._showing = True
        try:
            with slicer.util.NodeModify(self):
                for connectors in self._connected.values():
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._showing = False

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: int) -> Any:
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def _check(wrapper: Any, name: str) -> None:
    if name not in wrapper.allParameters:
        raise ValueError(f"there is no parameter {name!r} among {sorted(wrapper.allParameters)}")


def parameterNodeWrapper(classtype: type | None = None) -> Any:
    """Class decorator; with or without brackets."""
    return _wrap if classtype is None else _wrap(classtype)


def _wrap(classtype: type) -> type:
    infos: dict[str, ParameterInfo] = {}
    for name, annotated in typing.get_type_hints(classtype, include_extras=True).items():
        try:
            serializer = createSerializer(annotated)
        except NotImplementedError as error:
            raise Exception(f"Unable to create serializer for {classtype} member {name}") from error
        infos[name] = ParameterInfo(name, serializer, _defaultOf(classtype, name, annotated, serializer), annotated)
    for name, member in vars(_Wrapper).items():
        if name.startswith("__") and name != "__init__":
            continue
        if name != "__init__" and hasattr(classtype, name):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        setattr(classtype, name, member)
    classtype.allParameters = infos  # type: ignore[attr-defined]
    for name in infos:
        setattr(classtype, name, _attribute(name))
    return classtype


def _attribute(name: str) -> property:
    return property(lambda self: self._parameters[name].read(), lambda self, value: self._parameters[name].write(value))


def _defaultOf(classtype: type, name: str, annotated: Any, serializer: ValidatedSerializer) -> Default:
    if hasattr(classtype, name):
        return Default(getattr(classtype, name))
    _, annotations = splitAnnotations(annotated)
    unused = [a for a in annotations if not isinstance(a, (Validator, Default, *_FOR_WIDGETS))]
    if unused:
        raise NotImplementedError(f"the stand-in host does not know the annotations {unused}")
    return findFirstAnnotation(annotations, Default) or Default(serializer.default())


_FOR_WIDGETS = (parameter_types.Decimals, parameter_types.SingleStep)


def isParameterNodeWrapper(classOrObject: Any) -> bool:
    return getattr(classOrObject, "_is_parameter_node_wrapper", False)


def findChildWidgetForParameter(widget: Any, parameter: str) -> Any:
    """The widget in a tree that is bound to a parameter."""
    import qt

    for child in widget.findChildren(qt.QWidget):
        if child.property(SlicerParameterNamePropertyName) == parameter:
            return child
    return None


def makeParameterNodeModule() -> ModuleType:
    """``slicer.parameterNodeWrapper`` as a module object."""
    module = ModuleType("slicer.parameterNodeWrapper", __doc__)
    rooms = (parameter_types, parameter_serializers, parameter_connectors)
    for name in [
        "Default",
        "Decimals",
        "SingleStep",
        "Validator",
        "NotNone",
        "IsInstance",
        "WithinRange",
        "Minimum",
        "Maximum",
        "Choice",
        "Exclude",
        "splitAnnotations",
        "unannotatedType",
        "findFirstAnnotation",
        "isNodeOrUnionOfNodes",
        "getNodeTypes",
        "Serializer",
        "ValidatedSerializer",
        "GuiConnector",
        "createGuiConnector",
    ]:
        setattr(module, name, next(getattr(room, name) for room in rooms if hasattr(room, name)))
    for function in (parameterNodeWrapper, isParameterNodeWrapper, findChildWidgetForParameter):
        setattr(module, function.__name__, function)
    module.SlicerParameterNamePropertyName = SlicerParameterNamePropertyName  # type: ignore[attr-defined]
    return refuseRest(module)
