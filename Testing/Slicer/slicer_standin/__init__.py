"""A stand-in for the 3D Slicer application, for tests of the module without it.

`start` makes `qt`, `ctk`, Slicer's widgets and the application importable on top of slicer-core's real scene, logics
and ``slicer.util``. What it does not imitate raises NotImplementedError. The product never imports this package.

Which widgets a parameter can be bound to stands in `slicer_standin.parameter_connectors`.
"""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ.setdefault("PYSIDE6_OPTION_PYTHON_ENUM", "0x03")  # read when PySide6 is first imported: int enums

_started: Any = None


def startQt(fontScale: float = 1.0) -> None:
    """The Qt side alone: `qt`, `ctk`, ``slicer.qMRML…``, parameter nodes, base classes of scripted modules."""
    from . import pythonqt  # noqa: F401 - before anything else imports PySide6: its enum options
    from .qt_application import ensureApplication

    ensureApplication(fontScale)
    import slicer

    from .ctk_module import makeCtkModule
    from .qt_module import makeQtModule

    sys.modules["qt"], sys.modules["ctk"] = makeQtModule(), makeCtkModule()
    from . import mrml_colours, mrml_views, mrml_widgets
    from .parameter_nodes import makeParameterNodeModule
    from .scripted_base import makeI18nModule, makeScriptedModule

    for kind in (
        mrml_widgets.qMRMLWidget,
        mrml_widgets.qMRMLNodeComboBox,
        mrml_colours.qMRMLColorTableComboBox,
        mrml_views.qMRMLTableView,
    ):
        setattr(slicer, kind.__name__, kind)
    slicer.__getattr__ = _refuseWidgets
    for module in (makeI18nModule(), makeParameterNodeModule(), makeScriptedModule()):
        sys.modules[module.__name__] = module
        setattr(slicer, module.__name__.removeprefix("slicer."), module)


def _refuseWidgets(name: str) -> Any:
    """What ``slicer`` answers for names that it does not have."""
    from .strict import NotProvided

    if name.startswith(("qMRML", "qSlicer")):
        raise NotProvided(f"The stand-in host has no slicer.{name}.")
    raise AttributeError(f"module 'slicer' has no attribute '{name}'")


def start(**options: Any) -> Any:
    """Start the host once (later calls give the same application); keywords are those of `options.Options`."""
    global _started
    if _started is None:
        from .options import Options

        chosen = Options(**options)
        startQt(chosen.fontScale)
        from .application import install

        _started = install(chosen)
    return _started
