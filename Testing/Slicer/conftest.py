"""The running stand-in host for tests of the Slicer module."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from slicer_standin.host import Host

os.environ.setdefault("PYSIDE6_OPTION_PYTHON_ENUM", "0x03")  # read when PySide6 is first imported: int enums


@pytest.fixture(scope="session")
def standInApplication(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """slicer.app with a main window, started once."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    pytest.importorskip("PySide6", reason="PySide6 is not installed")
    import slicer_standin

    application = slicer_standin.start(settings=tmp_path_factory.mktemp("settings"))
    gc.collect()
    gc.freeze()  # what is there to stay need not be gone through after each test
    yield application
    application.shutDown()


@pytest.fixture
def host(standInApplication: Any, tmp_path: Path) -> Iterator[Host]:
    """The host with an empty scene, private settings and an empty DICOM database; cleaned up afterwards."""
    from slicer_standin.host import Host

    host = Host(standInApplication, tmp_path)
    yield host
    raised = list(host.slotErrors)
    host.end()
    # Slicer only prints what a slot raises; a test that did not look at it must not pass.
    assert not raised, raised
