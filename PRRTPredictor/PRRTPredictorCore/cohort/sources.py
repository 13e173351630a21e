"""Where a row's PET, CT and organ labels lie: a folder, a series in a Slicer DICOM database, a file. Never reads them.

No message names the path, because folders are often named after patients.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import Code, CohortRefused
from ..records import SeriesSource
from .cells import is_missing

_UID = re.compile(r"[0-9]+(?:\.[0-9]+){3,}")
_DATABASE_FILE = "ctkDICOM.sql"


def locate_series(cell: str, database_cell: str, base: Path) -> SeriesSource:
    """Find the series that a ``pet`` or ``ct`` cell names.

    Parameters
    ----------
    cell : str
        A folder, absolute or relative to ``base``; or a SeriesInstanceUID.
    database_cell : str
        The row's ``database`` cell: a ctkDICOM.sql or the folder that holds it.
    base : Path
        The folder of cohort.csv.

    Raises
    ------
    CohortRefused
        COHORT_PATH: the cell is empty or points nowhere.
    """
    if is_missing(cell):
        raise _nowhere("No folder and no series UID is given.", "Name the folder of the series, relative to the table.")
    if _UID.fullmatch(cell) and not is_missing(database_cell):
        return SeriesSource(series_uid=cell, database=locate_database(database_cell, base))
    folder = _existing(cell, base)
    if folder is None:
        if _UID.fullmatch(cell):
            raise _nowhere(
                "A series UID is given without the database that holds it.",
                "Name the ctkDICOM.sql in the column database.",
            )
        raise _nowhere(
            "The folder does not exist.",
            "Correct the folder; it is looked for relative to where the table lies, unless it is absolute.",
        )
    if not folder.is_dir():
        raise _nowhere("This is a file, not a folder.", "Name the folder with the series' DICOM files.")
    if not _holds_a_file(folder):
        raise _nowhere("The folder is empty.", "Name the folder with the series' DICOM files.")
    return SeriesSource(folder=folder)


def locate_database(cell: str, base: Path) -> Path:
    """The ctkDICOM.sql that a ``database`` cell names, itself or through its folder."""
    found = _existing(cell, base)
    if found is not None and found.is_dir():
        found = found / _DATABASE_FILE
    if found is None or not found.is_file():
        raise _nowhere("The DICOM database does not exist.", f"Name Slicer's {_DATABASE_FILE} or its folder.")
    return found


def locate_organs(cell: str, base: Path) -> Path | None:
    """The segmentation that an ``organs`` cell names, absolute or relative to ``base``; None for an empty cell.

    Raises
    ------
    CohortRefused
        COHORT_PATH: there is no such file, or it is no NRRD.
    """
    if is_missing(cell):
        return None
    found = _existing(cell, base)
    if found is None or not found.is_file():
        raise _nowhere("The organ labels do not exist.", "Correct the path of the segmentation, or leave it empty.")
    if found.suffix.lower() != ".nrrd":
        raise _nowhere("The organ labels are no NRRD file.", "Save the segmentation from Slicer as .seg.nrrd.")
    return found


def _existing(cell: str, base: Path) -> Path | None:
    """The path that a cell names, if it is there; a table written on Windows may use backslashes."""
    for spelling in dict.fromkeys((cell, cell.replace("\\", "/"))):
        try:
            path = base / spelling
            if path.exists():
                return path.resolve()
        except (OSError, ValueError):  # too long, a NUL byte, a folder that may not be entered
            continue
    return None


def _holds_a_file(folder: Path) -> bool:
    try:
        return any(path.is_file() for path in folder.rglob("*"))
    except OSError:
        return False


def _nowhere(message: str, remedy: str) -> CohortRefused:
    return CohortRefused(Code.COHORT_PATH, message, remedy=remedy)
