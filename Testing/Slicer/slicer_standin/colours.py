"""Colour files that every Slicer brings along and slicer-core does not (Inferno, Viridis …)."""

from __future__ import annotations

from pathlib import Path

_MAPS = ("inferno", "viridis", "plasma", "magma")


def writeColourFiles(home: Path) -> None:
    """Write the maps below ``home`` where Slicer's colour logic looks for them, from matplotlib's tables."""
    from matplotlib import colormaps

    folder = home / "share" / "ColorFiles"
    folder.mkdir(parents=True)
    for name in _MAPS:
        rows = (colormaps[name](index, bytes=True) for index in range(256))
        lines = (
            f"{index} {index} {red} {green} {blue} {alpha}" for index, (red, green, blue, alpha) in enumerate(rows)
        )
        (folder / f"{name.capitalize()}.txt").write_text("# Color table file\n# 256 values\n" + "\n".join(lines) + "\n")
