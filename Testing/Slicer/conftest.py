"""The running stand-in host for tests of the Slicer module."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
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


# --- the real panel, and what tests of failures in it need -----------------------------------------------------------


@pytest.fixture
def panel(host: Host) -> Iterator[Any]:
    """The module's panel in view; afterwards no child process of it is left."""
    from failing_panel import children, until
    from panel_driver import panel_in_view

    yield from panel_in_view(host)
    until(host, lambda: not children())


@pytest.fixture
def private_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and temporary files of the test's own; no graphics card."""
    from failing_panel import private

    private(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """PET and CT of a made patient, in memory."""
    from failing_panel import made_study

    return made_study(tmp_path_factory.mktemp("patient"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Model folders by the registry's name, packed when first asked for."""
    from failing_panel import packed_models

    return packed_models(tmp_path_factory.mktemp("Mödel ordner ü"))
