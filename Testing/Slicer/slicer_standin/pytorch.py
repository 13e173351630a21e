"""The PyTorch extension's ``PyTorchUtils.PyTorchUtilsLogic``, without ever installing torch."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from .packaging import pip_check
from .strict import NotProvided, Strict


class PyTorchUtilsLogic(Strict):
    """What the module needs of it: is torch there, and install it after asking."""

    @staticmethod
    def torchInstalled() -> bool:
        return pip_check("torch")

    def installTorch(
        self,
        askConfirmation: bool = False,
        forceComputationBackend: str | None = None,
        torchVersionRequirement: str | None = None,
        torchvisionVersionRequirement: str | None = None,
    ) -> Any:
        """The module torch, or None when the user declines. Installing is what the test's installer pretends."""
        import slicer

        if askConfirmation and not slicer.app.testingEnabled():
            text = (
                "PyTorch will be downloaded and installed using light-the-torch. The process might take some minutes."
            )
            if not slicer.util.confirmOkCancelDisplay(text):
                return None
        slicer.packaging.pip_install([f"torch{torchVersionRequirement or ''}"])
        return importlib.import_module("torch")

    def importTorch(self) -> Any:
        return importlib.import_module("torch") if self.torchInstalled() else self.installTorch()

    @property
    def torch(self) -> Any:
        return self.importTorch()


class _PyTorchUtils(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotProvided(f"The stand-in host has no PyTorchUtils.{name}.")


def install() -> None:
    """Make ``import PyTorchUtils`` work, as where the PyTorch extension is installed."""
    module = _PyTorchUtils("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic  # type: ignore[attr-defined]
    sys.modules["PyTorchUtils"] = module


def uninstall() -> None:
    """As where the PyTorch extension is not installed."""
    sys.modules.pop("PyTorchUtils", None)
