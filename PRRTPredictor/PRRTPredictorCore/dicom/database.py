"""Slicer's DICOM database (ctkDICOM.sql, SQLite) read without ever writing to it or waiting long for its locks."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from ..errors import Code, DicomRefused, RunFailed

DATABASE_NAME = "ctkDICOM.sql"
_MAGIC = b"SQLite format 3\0"
_WAL_VERSION = 2  # bytes 18 and 19 of the file header (SQLite file format, section 1.3.3)
_PATIENCE_S = 1.0
_SNAPSHOT_ATTEMPTS = 5
_SIDE_FILES = ("-journal", "-wal")
_LONGEST_READ_S = 60.0
_STEPS_BETWEEN_LOOKS = 100_000  # SQLite's virtual machine does some 10 million a second
_MOST_ROWS = 2_000_000
_READ_COLUMNS = {
    "Series": {"SeriesInstanceUID", "Modality", "SeriesDescription"},
    "Images": {"SeriesInstanceUID", "SOPInstanceUID", "Filename"},
}
_QUERY = """
    SELECT Series.SeriesInstanceUID, Series.Modality, Series.SeriesDescription, Images.Filename, Images.URL
    FROM Series LEFT JOIN Images ON Images.SeriesInstanceUID = Series.SeriesInstanceUID
    WHERE ?1 IS NULL OR Series.SeriesInstanceUID = ?1
    ORDER BY Series.SeriesInstanceUID, Images.Filename, Images.SOPInstanceUID
    LIMIT ?2
"""
_QUERY_BEFORE_URLS = _QUERY.replace("Images.URL", "NULL")


@dataclass(frozen=True)
class DatabaseSeries:
    """One series as Slicer's database lists it.

    Attributes
    ----------
    files : tuple of Path
        Absolute paths of the files that exist.
    missing : int
        Images whose file is gone, or was never fetched from the server.
    """

    series_uid: str
    modality: str
    description: str
    files: tuple[Path, ...]
    missing: int


def is_database(path: Path) -> bool:
    """Whether a file is an SQLite database, or is named like Slicer's."""
    if not path.is_file():
        return False
    if path.name == DATABASE_NAME:
        return True
    try:
        return _file_header(path).startswith(_MAGIC)
    except OSError:
        return False


def read_database(path: Path, series_uid: str | None = None) -> tuple[DatabaseSeries, ...]:
    """List the series of a Slicer DICOM database (schema 0.8; older ones differ in nothing that is read here).

    The file is opened read-only. While another program holds it locked, or where reading it would make SQLite write
    beside it (write-ahead log, unfinished transaction), a private copy is read instead. Only tables are read, for a
    bounded time and number of rows: a file made to harm cannot keep the reader busy or fill the memory.

    Parameters
    ----------
    path : Path
        ``ctkDICOM.sql`` or the folder it lies in. Relative file names in it start at that folder.
    series_uid : str, optional
        Only this series.

    Raises
    ------
    DicomRefused
        PATH_MISSING, DATABASE_UNREADABLE.
    RunFailed
        OUTPUT: no room for the private copy.
    """
    path = path / DATABASE_NAME if path.is_dir() else path
    if not path.is_file():
        raise DicomRefused(
            Code.PATH_MISSING,
            "The DICOM database does not exist.",
            where=path.name,
            remedy="Slicer shows the database's folder in its DICOM module, under the database menu.",
        )
    rows = _rows(path, series_uid)
    grouped: dict[str, list[_Row]] = {}
    for row in rows:
        grouped.setdefault(row.series_uid, []).append(row)
    return tuple(_series(group, path.resolve().parent) for group in grouped.values())


def database_files(path: Path, series_uid: str) -> tuple[Path, ...]:
    """Files of one series in a Slicer DICOM database.

    Raises
    ------
    DicomRefused
        SERIES_MISSING where the database does not hold the series; PATH_MISSING where files of it are gone;
        DATABASE_UNREADABLE.
    """
    found = read_database(path, series_uid)
    if not found:
        raise DicomRefused(
            Code.SERIES_MISSING,
            "The DICOM database does not hold this series.",
            where=series_uid,
            remedy="`prrt index` on the database lists its series; import the series in Slicer's DICOM module.",
        )
    if found[0].missing:
        raise DicomRefused(
            Code.PATH_MISSING,
            f"{found[0].missing} of {found[0].missing + len(found[0].files)} files of the series no longer exist.",
            where=series_uid,
            remedy="Bring the files back or import the series again in Slicer's DICOM module.",
        )
    return found[0].files


# --- rows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    series_uid: str
    modality: str
    description: str
    filename: str
    url: str


def _series(rows: Iterable[_Row], folder: Path) -> DatabaseSeries:
    rows = tuple(rows)
    images = [row for row in rows if row.filename or row.url]
    paths = [path for path in (_path(row, folder) for row in images) if path is not None and path.is_file()]
    first = rows[0]
    files = tuple(dict.fromkeys(paths))
    return DatabaseSeries(first.series_uid, first.modality, first.description, files, len(images) - len(paths))


def _path(row: _Row, folder: Path) -> Path | None:
    if row.filename:
        return folder / row.filename  # an absolute file name replaces the folder
    url = urlparse(row.url)
    return Path(url2pathname(unquote(url.path))) if url.scheme == "file" else None


def _rows(path: Path, series_uid: str | None) -> list[_Row]:
    if not _would_write_beside(path):
        try:
            return _query(path, "ro", series_uid)
        except sqlite3.OperationalError as error:
            _refuse_for_good(error, path)
        except sqlite3.DatabaseError as error:
            raise _unreadable(path) from error
    return _query_snapshot(path, series_uid)


def _query(path: Path, mode: str, series_uid: str | None) -> list[_Row]:
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    with closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE_S)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        deadline = time.monotonic() + _LONGEST_READ_S
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS)
        columns = _columns(connection, path)
        query = _QUERY if "URL" in columns else _QUERY_BEFORE_URLS
        rows = connection.execute(query, (series_uid, _MOST_ROWS + 1)).fetchmany(_MOST_ROWS + 1)
    if len(rows) > _MOST_ROWS:
        raise _endless(path)
    return [_Row(*("" if value is None else str(value) for value in row)) for row in rows]


def _columns(connection: sqlite3.Connection, path: Path) -> set[str]:
    """The columns of the table Images.

    Views and generated columns, which Slicer has none of, can compute without end; neither is listed here.

    Raises
    ------
    DicomRefused
        DATABASE_UNREADABLE: the tables are not Slicer's.
    """
    tables = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    found: dict[str, set[str]] = {}
    for table, needed in _READ_COLUMNS.items():
        found[table] = {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")}
        if table not in tables or not needed <= found[table]:
            raise _unreadable(path)
    return found["Images"]


def _refuse_for_good(error: sqlite3.OperationalError, path: Path) -> None:
    """Raise where trying again, or on a copy, would end the same way."""
    if any(words in str(error) for words in ("no such table", "no such column")):
        raise _unreadable(path) from error
    if "interrupted" in str(error):
        raise _endless(path) from error


def _endless(path: Path) -> DicomRefused:
    return DicomRefused(
        Code.DATABASE_UNREADABLE,
        f"The DICOM database lists over {_MOST_ROWS:,} images, or reading it takes over {_LONGEST_READ_S:g} s.",
        where=path.name,
        remedy="Index the folder of DICOM files itself, or a database with fewer studies.",
    )


def _file_header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(20)


def _unreadable(path: Path) -> DicomRefused:
    return DicomRefused(
        Code.DATABASE_UNREADABLE,
        "The file is no DICOM database of Slicer, or of a version that this software does not know.",
        where=path.name,
        remedy="Choose ctkDICOM.sql in Slicer's DICOM database folder, or index the folder of DICOM files itself.",
    )


# --- a private copy ---------------------------------------------------------------------------------------------------


def _would_write_beside(path: Path) -> bool:
    """Whether even a read-only connection would create files next to the database (write-ahead log)."""
    try:
        header = _file_header(path)
    except OSError as error:
        raise _unreadable(path) from error
    return header.startswith(_MAGIC) and _WAL_VERSION in header[18:20]


def _query_snapshot(path: Path, series_uid: str | None) -> list[_Row]:
    """Read a copy taken together with its journal; SQLite then undoes on the copy what was unfinished."""
    failure: sqlite3.Error | OSError | None = None
    for attempt in range(_SNAPSHOT_ATTEMPTS):
        time.sleep(0.1 * attempt)
        try:
            with tempfile.TemporaryDirectory(prefix="prrt-database-", ignore_cleanup_errors=True) as folder:
                copy = Path(folder) / path.name
                if not _copy_undisturbed(path, copy):
                    continue
                return _query(copy, "rw", series_uid)
        except sqlite3.OperationalError as error:
            _refuse_for_good(error, path)
            failure = error
        except (sqlite3.DatabaseError, OSError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise _no_room() from error
            failure = error
    raise DicomRefused(
        Code.DATABASE_UNREADABLE,
        "The DICOM database is being written by another program, or is damaged.",
        where=path.name,
        remedy="Wait until Slicer has finished importing, or close it; then try again.",
    ) from failure


def _no_room() -> RunFailed:
    return RunFailed(
        Code.OUTPUT,
        "The DICOM database is in use, and the temporary folder has no room for a private copy of it.",
        remedy="Make room there, name another folder in the environment variable TMPDIR, or close Slicer.",
    )


def _copy_undisturbed(path: Path, copy: Path) -> bool:
    """Copy a database with its journal; False where it changed meanwhile."""
    before = _fingerprint(path)
    shutil.copyfile(path, copy)
    for suffix in _SIDE_FILES:
        side = path.with_name(path.name + suffix)
        if side.exists():
            shutil.copyfile(side, copy.with_name(copy.name + suffix))
    return _fingerprint(path) == before


def _fingerprint(path: Path) -> tuple[tuple[int, int] | None, ...]:
    found = []
    for name in (path.name, *(path.name + suffix for suffix in _SIDE_FILES)):
        part = path.with_name(name)
        found.append((part.stat().st_size, part.stat().st_mtime_ns) if part.exists() else None)
    return tuple(found)
