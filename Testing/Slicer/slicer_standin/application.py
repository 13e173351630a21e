"""slicer.app and what hangs on it: the scene, the logics, settings, command options, the end.

:func:`install` is called once by ``slicer_standin.start()``, when ``qt`` and ``ctk`` are importable. Afterwards the
package ``slicer`` has ``mrmlScene``, ``app``, ``modules``, ``dicomDatabase`` and the rest of the application side.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from . import bare, dicom_lib, packaging, pytorch
from .colours import writeColourFiles
from .dialogs import Dialogs
from .dicom_database import FILE_NAME, ctkDICOMDatabase
from .io_manager import CoreIOManager
from .options import Options
from .python_slicer import PythonSlicer
from .scene import SceneLogics
from .scripted_module import ModuleManager, qSlicerScriptedLoadableModule, qSlicerScriptedLoadableModuleWidget
from .strict import Emitter, Strict

VERSION = "5.13.0-standin"


class CommandOptions(Strict):
    """slicer.app.commandOptions()."""

    def __init__(self, options: Options) -> None:
        self.noMainWindow = options.noMainWindow
        self.testingEnabled = options.testing
        self.pythonScript = str(options.pythonScript or "")
        self.additionalModulePaths = tuple(map(str, options.modulePaths))
        self.runPythonAndExit = options.testing


class StartupEnvironment(Strict):
    """The environment that the host was started with, as QProcessEnvironment shows it."""

    def __init__(self) -> None:
        self._variables = dict(os.environ)

    def keys(self) -> tuple[str, ...]:
        return tuple(self._variables)

    def value(self, name: str, default: str = "") -> str:
        return self._variables.get(name, default)


class Application(Emitter):
    """slicer.app."""

    _signals = ("aboutToQuit", "startupCompleted", "lastWindowClosed", "mrmlSceneChanged")

    applicationName = "Slicer"
    applicationVersion = VERSION
    majorVersion = 5
    minorVersion = 13
    revision = "standin"

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.exitCode: int | None = None
        self._startupEnvironment = StartupEnvironment()
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-standin-")
        self.slicerHome = self._folder.name
        self.temporaryPath = self._makeFolder("tmp")
        self.pythonSlicer = PythonSlicer(Path(self._makeFolder("bin")))
        writeColourFiles(Path(self.slicerHome))
        self.logics = SceneLogics(self.slicerHome)
        self._commandOptions = CommandOptions(options)
        self._moduleManager = ModuleManager(options.modulePaths)
        self._ioManager = CoreIOManager(self)
        self.dialogs = Dialogs()
        self._layoutManager: Any = None
        self._mainWindow: Any = None
        self.useSettings(options.settings or Path(self._makeFolder("settings")))

    # --- what modules ask for -----------------------------------------------------------------------------------------

    def mrmlScene(self) -> Any:
        return self.logics.scene

    def applicationLogic(self) -> Any:
        return self.logics.application

    def layoutManager(self) -> Any:
        """None without a main window, as in Slicer."""
        return self._layoutManager

    def mainWindow(self) -> Any:
        return self._mainWindow

    def commandOptions(self) -> CommandOptions:
        return self._commandOptions

    def testingEnabled(self) -> bool:
        return self._commandOptions.testingEnabled

    def settings(self) -> Any:
        return self._settings

    def userSettings(self) -> Any:
        return self._settings

    revisionUserSettings = userSettings

    def coreIOManager(self) -> CoreIOManager:
        return self._ioManager

    ioManager = coreIOManager

    def moduleManager(self) -> ModuleManager:
        return self._moduleManager

    def startupEnvironment(self) -> StartupEnvironment:
        return self._startupEnvironment

    def processEvents(self) -> None:
        QtWidgets.QApplication.processEvents()
        # Widgets that asked to be deleted are deleted by the event loop, which tests never enter.
        QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)

    def topLevelWidgets(self) -> tuple[Any, ...]:
        from .pythonqt import adopt

        return tuple(adopt(widget) for widget in QtWidgets.QApplication.topLevelWidgets())

    def palette(self) -> Any:
        return QtWidgets.QApplication.palette()

    def font(self) -> Any:
        return QtWidgets.QApplication.font()

    def setOverrideCursor(self, cursor: Any) -> None:
        QtWidgets.QApplication.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        QtWidgets.QApplication.restoreOverrideCursor()

    def pauseRender(self) -> None:
        self.logics.application.PauseRender()

    def resumeRender(self) -> None:
        self.logics.application.ResumeRender()

    def tr(self, text: str) -> str:
        return text

    # --- the end ------------------------------------------------------------------------------------------------------

    def exit(self, status: int = 0) -> None:
        """Ask for the end: what runs goes on, and the application ends with ``status`` when it returns."""
        self.exitCode = status

    def quit(self) -> None:
        self.exit(0)

    def shutDown(self) -> None:
        """What Slicer does on its way out: tell everybody, unload the modules, let go of the database."""
        self.aboutToQuit.emit()
        self._moduleManager.unloadModules()
        if self._mainWindow is not None:
            self._mainWindow.close()
        slicer.dicomDatabase.closeDatabase()
        self.pythonSlicer.remove()
        self._folder.cleanup()

    # --- for the host itself ------------------------------------------------------------------------------------------

    def useSettings(self, folder: Path) -> None:
        """Keep the settings in ``folder`` from now on."""
        import qt

        folder.mkdir(parents=True, exist_ok=True)
        self._settings = qt.QSettings(str(folder / "Slicer.ini"), qt.QSettings.IniFormat)
        for scope in (QtCore.QSettings.Scope.UserScope, QtCore.QSettings.Scope.SystemScope):
            QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, scope, str(folder))
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
        QtCore.QCoreApplication.setOrganizationName("slicer_standin")
        QtCore.QCoreApplication.setApplicationName("Slicer")

    def useDatabase(self, folder: Path) -> None:
        """Open the DICOM database in ``folder``, making both where they are not there."""
        folder.mkdir(parents=True, exist_ok=True)
        slicer.dicomDatabase.openDatabase(str(folder / FILE_NAME))

    def showMainWindow(self) -> None:
        from .layout import LayoutManager
        from .main_window import makeMainWindow
        from .views import findGraphics

        findGraphics()
        self._layoutManager = LayoutManager(self.logics)
        self._mainWindow = makeMainWindow(self)
        self._mainWindow.show()
        self.processEvents()

    def grabMainWindow(self, path: Path) -> None:
        """Save a picture of the main window as PNG."""
        from .main_window import grab

        path.parent.mkdir(parents=True, exist_ok=True)
        if not grab(self, self._mainWindow).save(str(path), "PNG"):
            raise OSError(f"The picture cannot be written: {path}")

    def _makeFolder(self, name: str) -> str:
        folder = Path(self._folder.name, name)
        folder.mkdir()
        return str(folder)


def install(options: Options) -> Application:
    """Give the package ``slicer`` its application side; the application, for the host's own use."""
    application = Application(options)
    slicer.app = application
    slicer.mrmlScene = application.logics.scene
    slicer.modules = application.moduleManager().modules
    slicer.moduleNames = application.moduleManager().names
    slicer.qSlicerScriptedLoadableModule = qSlicerScriptedLoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = qSlicerScriptedLoadableModuleWidget
    slicer.dicomDatabase = ctkDICOMDatabase()
    dicom_lib.install()
    packaging.install()
    pytorch.install()
    application.dialogs.install()
    if options.database is not None:
        application.useDatabase(options.database)
    if not options.noMainWindow:
        application.showMainWindow()
    for folder in options.modulePaths:
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    if options.bare:
        bare.block()
    application.moduleManager().loadModules()
    application.startupCompleted.emit()
    return application
