"""From a folder of DICOM files or Slicer's database to the PET/CT pairs in it, and every series that was left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import Code, DicomRefused
from ..progress import Progress, silent
from ..records import LeftOut, SeriesSource, StudyIndex
from .database import DatabaseSeries, database_files, is_database, read_database
from .headers import files_of, open_files, shown
from .index_facts import gather
from .pairing import pair_series
from .values import text

_PAIRED_MODALITIES = frozenset({"PT", "CT", ""})


def index_source(path: Path | str, progress: Progress = silent) -> StudyIndex:
    """Find the PET/CT pairs in a folder or in a Slicer DICOM database.

    Only headers are read; file names and folder structure mean nothing, and nothing is written.

    Parameters
    ----------
    path : Path
        A folder, searched to any depth, or ``ctkDICOM.sql``.

    Returns
    -------
    StudyIndex
        The pairs by the rules of :mod:`.pairing`, and each other series with code and reason. Damaged DICOM files
        are listed without series UID.

    Raises
    ------
    DicomRefused
        PATH_MISSING, EMPTY_FOLDER, NOT_DICOM, DATABASE_UNREADABLE.
    """
    path = Path(path)
    if is_database(path):
        return _index_database(path, progress)
    files = files_of(path)
    gathered = gather(files, progress)
    if not gathered.series:
        raise DicomRefused(
            Code.NOT_DICOM,
            f"None of the {len(files)} file(s) is a readable DICOM image or object.",
            where=shown(path),
            remedy="Choose the folder that holds the DICOM files of the PET/CT studies.",
        )
    return pair_series(gathered.series, gathered.damaged)


def series_files(source: SeriesSource) -> tuple[Path, ...]:
    """Files of the series that a cohort row or the command line names.

    Parameters
    ----------
    source : SeriesSource
        A folder (all its files), a folder and a series UID (the files of that series in it), or a Slicer database and
        a series UID.

    Raises
    ------
    DicomRefused
        PATH_MISSING, EMPTY_FOLDER, SERIES_MISSING, DATABASE_UNREADABLE.
    """
    if source.database is not None and source.series_uid:
        return database_files(source.database, source.series_uid)
    if source.folder is None:
        raise DicomRefused(
            Code.PATH_MISSING,
            "Neither a folder nor a series UID with its database is named.",
            remedy="Name the folder of the series, or its series UID together with ctkDICOM.sql.",
        )
    files = files_of(source.folder)
    return _files_of_series(files, source.series_uid, source.folder) if source.series_uid else files


def _files_of_series(files: Sequence[Path], series_uid: str, folder: Path) -> tuple[Path, ...]:
    found = tuple(file.path for file in open_files(files) if text(file.header, "SeriesInstanceUID") == series_uid)
    if not found:
        raise DicomRefused(
            Code.SERIES_MISSING,
            "The folder does not hold this series.",
            where=series_uid,
            remedy="`prrt index` on the folder lists its series.",
        )
    return found


def _index_database(path: Path, progress: Progress) -> StudyIndex:
    listed = read_database(path)
    gone = [reason for series in listed if (reason := _why_not_read(series)) is not None]
    skipped = {reason.series_uid for reason in gone}
    files = [file for series in listed if series.series_uid not in skipped for file in series.files]
    gathered = gather(files, progress)
    return pair_series(gathered.series, (*gone, *gathered.damaged))


def _why_not_read(series: DatabaseSeries) -> LeftOut | None:
    uid = series.series_uid
    if series.modality not in _PAIRED_MODALITIES:
        return LeftOut(uid, "OTHER_MODALITY", f"{series.modality} is neither PET nor CT.")
    if series.missing:
        total = series.missing + len(series.files)
        reason = f"{series.missing} of {total} files of the series no longer exist or were never fetched."
        return LeftOut(uid, Code.PATH_MISSING.value, reason)
    if not series.files:
        return LeftOut(uid, Code.PATH_MISSING.value, "The database lists no files of the series.")
    return None
