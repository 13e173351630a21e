"""What the host is started with: keywords of ``start()`` and flags of the command line alike."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]


@dataclass
class Options:
    """How the host starts.

    ``modulePaths`` are folders whose ``NAME.py`` holds a scripted module NAME; ``settings`` and ``database`` are
    folders (settings: a temporary one where not given; database: closed). ``windowSize`` is that of the main window in
    pixels.
    """

    pythonScript: Path | None = None
    arguments: tuple[str, ...] = ()
    screenshot: Path | None = None
    noMainWindow: bool = False
    testing: bool = False
    panelWidth: int = 400
    fontScale: float = 1.0
    bare: bool = False
    settings: Path | None = None
    database: Path | None = None
    windowSize: tuple[int, int] = (1500, 950)
    module: str | None = None
    modulePaths: tuple[Path, ...] = field(default_factory=lambda: (PROJECT / "PRRTPredictor",))


def parse(words: list[str]) -> Options:
    """The options that a command line asks for; what follows the script's name belongs to the script."""
    parser = argparse.ArgumentParser(prog="python -m slicer_standin", description="Stand-in for 3D Slicer (test only).")
    parser.add_argument("--python-script", type=Path, metavar="FILE")
    parser.add_argument("--screenshot", type=Path, metavar="PNG", help="picture of the main window after the script")
    parser.add_argument("--no-main-window", action="store_true")
    parser.add_argument("--testing", action="store_true", help="no dialogs; the application ends after the script")
    parser.add_argument("--panel-width", type=int, default=400, metavar="PIXELS")
    parser.add_argument("--font-scale", type=float, default=1.0)
    parser.add_argument("--bare", action="store_true", help="only what Slicer bundles can be imported")
    parser.add_argument("--settings", type=Path, metavar="DIR")
    parser.add_argument("--database", type=Path, metavar="DIR", help="folder of the DICOM database (ctkDICOM.sql)")
    parser.add_argument("--module", help="module to show in the panel")
    parser.add_argument("--additional-module-path", type=Path, action="append", metavar="DIR")
    parser.add_argument("--window-size", default="1500x950", metavar="WxH")
    words, after = _splitAtScript(words)
    found = parser.parse_args(words)
    width, height = (int(side) for side in found.window_size.split("x"))
    options = Options(
        pythonScript=found.python_script,
        arguments=tuple(after),
        screenshot=found.screenshot,
        noMainWindow=found.no_main_window,
        testing=found.testing,
        panelWidth=found.panel_width,
        fontScale=found.font_scale,
        bare=found.bare,
        settings=found.settings,
        database=found.database,
        module=found.module,
        windowSize=(width, height),
    )
    if found.additional_module_path:
        options.modulePaths = tuple(found.additional_module_path)
    return options


def _splitAtScript(words: list[str]) -> tuple[list[str], list[str]]:
    """Slicer hands everything after the script's file to the script."""
    if "--python-script" not in words:
        return words, []
    end = words.index("--python-script") + 2
    return words[:end], words[end:]
