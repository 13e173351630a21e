"""PythonSlicer: a launcher on PATH that runs this Python, as the real one runs Slicer's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_LAUNCHER = """#!/bin/sh
exec 3<&0  # the shell gives background processes no input of their own
"{python}" "$@" <&3 3<&- &
exec 3<&-
trap 'exit 143' TERM
wait $!
"""


class PythonSlicer:
    """Writes the launcher into ``folder`` and puts that first on PATH; :meth:`remove` takes it off again."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        if os.name == "nt":
            (folder / "PythonSlicer.bat").write_text(f'@"{sys.executable}" %*\r\n')
        else:
            launcher = folder / "PythonSlicer"
            # The real launcher starts Python as a child of its own as well: ending it alone must not be enough.
            launcher.write_text(_LAUNCHER.format(python=sys.executable))
            launcher.chmod(0o755)
        os.environ["PATH"] = os.pathsep.join([self._folder, os.environ.get("PATH", "")])

    def remove(self) -> None:
        parts = os.environ.get("PATH", "").split(os.pathsep)
        os.environ["PATH"] = os.pathsep.join(part for part in parts if part != self._folder)
