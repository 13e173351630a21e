"""Scripted modules as the application holds them: slicer.modules, slicer.app.moduleManager(), module panels."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtWidgets

from .pythonqt import dress
from .strict import Emitter, NotProvided, Strict

_MODULE_ATTRIBUTES = ("title", "name", "path", "categories", "dependencies", "contributors", "helpText", "icon")
_MODULE_ATTRIBUTES += ("acknowledgementText", "hidden", "index", "widgetRepresentationCreationEnabled")
_MODULE_ATTRIBUTES += ("associatedNodeTypes",)
LOADABLE = ("Colors", "Volumes", "SubjectHierarchy", "Models", "Segmentations", "Transforms", "Tables", "Plots")
LOADABLE += ("VolumeRendering", "Markups", "CropVolume", "Units")


class LoadableModule(Strict):
    """A module of the application itself: its real logic, no panel."""

    def __init__(self, name: str) -> None:
        self.name = self.title = name

    def logic(self) -> Any:
        return slicer.app.logics.module(self.name)


class qSlicerScriptedLoadableModule(Strict):
    """The application's side of one scripted module: ``parent`` of the module's Python class."""

    def __init__(self, path: Path) -> None:
        self.__dict__.update(dict.fromkeys(_MODULE_ATTRIBUTES, ""))
        self.__dict__.update(name=path.stem, path=str(path), hidden=False, index=-1)
        self.__dict__.update(_representation=None, _instance=None)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _MODULE_ATTRIBUTES:
            raise AttributeError(f"qSlicerScriptedLoadableModule has no attribute {name!r}")
        self.__dict__[name] = tuple(value) if isinstance(value, list) else value

    def load(self) -> None:
        """Import the file, make the module's class."""
        _importFile(self.name, self.path)
        self.__dict__["_instance"] = getattr(sys.modules[self.name], self.name)(self)
        setattr(slicer.modules, f"{self.name}Instance", self._instance)

    def widgetRepresentation(self) -> Any:
        """The panel, made at the first call."""
        if self._representation is None:
            self.__dict__["_representation"] = self.createNewWidgetRepresentation()
        return self._representation

    def createNewWidgetRepresentation(self) -> Any:
        representation = qSlicerScriptedLoadableModuleWidget()
        representation._build(self)
        return representation

    def _dropWidget(self) -> None:
        representation, self.__dict__["_representation"] = self._representation, None
        if representation is not None:
            representation._drop()


class qSlicerScriptedLoadableModuleWidget(dress(QtWidgets.QWidget)):  # type: ignore[misc]
    """The widget that holds a module's panel; ``self()`` is the module's Python widget."""

    def _build(self, module: qSlicerScriptedLoadableModule) -> None:
        import qt

        self._module = module
        self._entered = False
        self._widget: Any = None
        self.setObjectName(f"{module.name}ModuleWidget")
        self.setLayout(qt.QVBoxLayout())
        self._make()

    def _make(self) -> None:
        name = self._module.name
        self._widget = getattr(sys.modules[name], f"{name}Widget")(self)
        setattr(slicer.modules, f"{name}Widget", self._widget)
        self._widget.setup()

    def _drop(self) -> None:
        if self._entered:
            self.exit()
        slicer.modules.__dict__.pop(f"{self._module.name}Widget", None)
        self._widget = None
        self.setParent(None)
        self.deleteLater()

    def self(self) -> Any:
        return self._widget

    def reload(self) -> None:
        """What Slicer's "Reload" button ends in: the file was imported anew."""
        self._make()
        if self._entered:
            self._widget.enter()

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._widget, "enter"):
            self._widget.enter()

    def exit(self) -> None:
        self._entered = False
        if hasattr(self._widget, "exit"):
            self._widget.exit()

    @property
    def isEntered(self) -> bool:  # a Qt property in Slicer
        return bool(self._entered)


class Modules:
    """slicer.modules: one attribute a module, in lower case; whatever modules put there besides."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotProvided(f"The stand-in host has no module {name}.")


class ModuleNames:
    """slicer.moduleNames."""


class FactoryManager(Strict):
    """slicer.app.moduleManager().factoryManager()."""

    def __init__(self, manager: ModuleManager) -> None:
        self._manager = manager

    def loadedModuleNames(self) -> tuple[str, ...]:
        return self._manager.modulesNames()


class ModuleManager(Emitter):
    """slicer.app.moduleManager()."""

    _signals = ("moduleAboutToBeUnloaded", "moduleLoaded", "modulesLoaded", "moduleUnloaded")

    def __init__(self, folders: tuple[Path, ...]) -> None:
        super().__init__()
        self._folders = folders
        self._found: dict[str, Any] = {}
        self.modules, self.names = Modules(), ModuleNames()
        self.loadErrors: dict[str, str] = {}
        for name in LOADABLE:
            self._add(LoadableModule(name))

    def module(self, name: str) -> Any:
        return self._found.get(name)

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(self._found)

    def factoryManager(self) -> FactoryManager:
        return FactoryManager(self)

    def loadModules(self) -> None:
        """Load each ``NAME.py`` of the module folders; one that fails is reported and left out, as in Slicer."""
        for folder in self._folders:
            for path in sorted(folder.glob("*.py")):
                module = qSlicerScriptedLoadableModule(path)
                try:
                    self._add(module)
                    module.load()
                except Exception:  # noqa: BLE001 - whatever a module raises, the application starts
                    self._found.pop(path.stem)
                    delattr(self.modules, path.stem.lower())
                    self.loadErrors[path.stem] = traceback.format_exc()
                    print(f"Failed to load module {path.stem}:\n{self.loadErrors[path.stem]}", file=sys.stderr)
                else:
                    self.moduleLoaded.emit(path.stem)
        self.modulesLoaded.emit()

    def dropWidgets(self) -> None:
        """End every module panel as if the modules were unloaded; the next use makes new ones."""
        for module in self._scripted():
            self.moduleAboutToBeUnloaded.emit(module.name)
            module._dropWidget()

    def unloadModules(self) -> None:
        self.dropWidgets()
        for module in self._scripted():
            self.moduleUnloaded.emit(module.name)

    def _scripted(self) -> list[qSlicerScriptedLoadableModule]:
        return [module for module in self._found.values() if isinstance(module, qSlicerScriptedLoadableModule)]

    def _add(self, module: Any) -> None:
        self._found[module.name] = module
        setattr(self.modules, module.name.lower(), module)
        setattr(self.names, module.name, module.name)


def _importFile(name: str, path: str) -> None:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
