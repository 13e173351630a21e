"""What a test holds in its hands: the running stand-in, made fresh for each test."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import slicer

from . import bare, pythonqt, pytorch
from .application import Application
from .dialogs import Dialogs


class Host:
    """The running application; ``host.module("PRRTPredictor")`` gives the module's Python widget.

    Attributes
    ----------
    app, scene, dialogs
        slicer.app, slicer.mrmlScene, and what dialogs would have been shown.
    folder
        Private folder of this test; ``settings`` and ``database`` lie in it.
    """

    def __init__(self, app: Application, folder: Path) -> None:
        self.app, self.folder = app, folder
        self.settings, self.database = folder / "settings", folder / "database"
        app.useSettings(self.settings)
        app.useDatabase(self.database)

    @property
    def scene(self) -> Any:
        return self.app.mrmlScene()

    @property
    def dialogs(self) -> Dialogs:
        return self.app.dialogs

    @property
    def slotErrors(self) -> list[BaseException]:
        """What Python slots raised: Slicer only prints it, a test must look."""
        return pythonqt.slotErrors

    def module(self, name: str) -> Any:
        """Show a module in the panel (where there is a main window); its Python widget."""
        error = self.app.moduleManager().loadErrors.get(name)
        assert error is None, error
        if self.app.mainWindow() is not None:
            slicer.util.selectModule(name)
        widget = slicer.util.getModuleWidget(name)
        self.processEvents()
        return widget

    def processEvents(self) -> None:
        self.app.processEvents()

    def screenshot(self, path: Path) -> Path:
        """Save a picture of the main window as the user sees it."""
        self.app.grabMainWindow(path)
        return path

    def setInstaller(self, installer: Any) -> None:
        """What an installation would do: ``installer(requirements)``; None: it may not happen."""
        slicer.packaging.standInInstaller = installer

    def end(self) -> None:
        """End what the test began: panels, nodes, dialogs, database."""
        window = self.app.mainWindow()
        if window is not None:
            window.moduleSelector().leave()
        self.app.moduleManager().dropWidgets()
        self.app.processEvents()
        self.app.logics.clear()
        self.app.processEvents()
        slicer.dicomDatabase.closeDatabase()
        slicer.packaging.standInInstaller = None
        pytorch.install()
        bare.unblock()
        self.dialogs.clear()
        self.app.exitCode = None
        self.app.commandOptions().testingEnabled = self.app.options.testing
        self.slotErrors.clear()
        gc.collect()
