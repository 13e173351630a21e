"""``python -m slicer_standin``: run a script in the host, take a picture of its window.

Ends with what ``slicer.util.exit(n)`` asked for; with 1 when the script raised.
"""

from __future__ import annotations

import runpy
import sys
import traceback

from . import start
from .options import parse

STILL_OPEN = 125
"""Exit code of a script that left the application open: the real one would wait for its user."""


def main(words: list[str]) -> int:
    """Start the host, do what the flags say, end it; the exit code."""
    options = parse(words)
    application = start(**vars(options))
    try:
        code = _run(application, options)
        if options.screenshot is not None and options.noMainWindow:
            print("There is no main window to take a picture of.", file=sys.stderr)
            return 2
        if options.module is not None:
            import slicer

            slicer.util.selectModule(options.module)
        if options.screenshot is not None:
            application.grabMainWindow(options.screenshot)
        return code
    finally:
        application.shutDown()


def _run(application, options) -> int:  # type: ignore[no-untyped-def]
    if options.pythonScript is None:
        return 0
    sys.argv = [str(options.pythonScript), *options.arguments]
    try:
        runpy.run_path(str(options.pythonScript), run_name="__main__")
    except SystemExit as end:
        application.exit(end.code if isinstance(end.code, int) else int(end.code is not None))
    except Exception:  # noqa: BLE001 - whatever a script raises
        traceback.print_exc()
        return 1
    application.processEvents()
    if application.exitCode is not None:
        return int(application.exitCode)
    if options.testing or options.screenshot is not None:
        return 0
    print("The script ended without slicer.util.exit(): the real application would stay open.", file=sys.stderr)
    return STILL_OPEN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
