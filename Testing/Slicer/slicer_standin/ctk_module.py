"""The module ``ctk``: the widgets that the module uses; every other name raises NotImplementedError."""

from __future__ import annotations

import types
from typing import Any

from .ctk_collapsible import ctkCollapsibleButton
from .ctk_inputs import inputWidgets
from .ctk_numbers import numberWidgets
from .strict import NotProvided
from .ui_loader import ownWidgets


class CtkModule(types.ModuleType):
    """``import ctk``."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("ctk"):
            raise NotProvided(f"The stand-in host has no ctk.{name}.")
        raise AttributeError(f"module 'ctk' has no attribute '{name}'")


def makeCtkModule() -> CtkModule:
    """``ctk`` as a module object; its widgets are known to the .ui loader from here on."""
    module = CtkModule("ctk", "CTK's widgets (stand-in host).")
    widgets = {"ctkCollapsibleButton": ctkCollapsibleButton, **numberWidgets(), **inputWidgets()}
    for name, kind in widgets.items():
        setattr(module, name, kind)
    ownWidgets.update(widgets)
    return module
