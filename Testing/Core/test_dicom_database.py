"""Slicer's database: its own file, locked files, write-ahead logs, moved files, foreign files."""

from __future__ import annotations

import errno
import hashlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dicom_objects import DATA

from PRRTPredictorCore.dicom import database
from PRRTPredictorCore.dicom.database import database_files, is_database, read_database
from PRRTPredictorCore.dicom.index import index_source, series_files
from PRRTPredictorCore.errors import Code, DicomRefused, RunFailed
from PRRTPredictorCore.records import SeriesSource

_HOLD_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(f"BEGIN {sys.argv[2]}")
connection.execute("UPDATE Series SET Modality = 'XX'")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def slicer_database() -> Path:
    path = DATA / "slicer-dicom-database" / "ctkDICOM.sql"
    if not path.exists():
        pytest.skip("real data missing: slicer-dicom-database")
    return path


@pytest.fixture
def copied(slicer_database: Path, tmp_path: Path) -> Path:
    """A copy of the database whose image files stay where they are: file names made absolute."""
    path = tmp_path / "ctkDICOM.sql"
    shutil.copyfile(slicer_database, path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE Images SET Filename = ? || '/' || Filename", (slicer_database.parent.as_posix(),))
    connection.close()
    return path


@contextmanager
def locked(path: Path, kind: str) -> Iterator[None]:
    """Another process holds the database and has begun to write."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD_LOCK, str(path), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline().strip() == "locked"
        yield
    finally:
        process.kill()
        process.communicate()


def test_slicer_database(slicer_database: Path):
    before = hashlib.sha256(slicer_database.read_bytes()).digest()
    listed = read_database(slicer_database)
    assert sorted((series.modality, len(series.files)) for series in listed) == [
        *[("CT", 48), ("CT", 70), ("PT", 20), ("PT", 20), ("PT", 48), ("PT", 70)],
        *[("RTSTRUCT", 1)] * 4,
    ]
    assert all(series.missing == 0 for series in listed)
    assert all(file.is_absolute() for series in listed for file in series.files)
    assert read_database(slicer_database.parent) == listed
    assert hashlib.sha256(slicer_database.read_bytes()).digest() == before


def test_pairs_of_slicer_database(slicer_database: Path):
    index = index_source(slicer_database)
    assert [(pair.patient, len(pair.pet.files), len(pair.ct.files)) for pair in index.pairs] == [
        ("STS_002", 48, 48),
        ("STS_007", 70, 70),
    ]
    assert all(pair.same_frame_of_reference for pair in index.pairs)
    assert sorted(left.code for left in index.left_out) == ["NO_CT"] * 2 + ["OTHER_MODALITY"] * 4


def test_absolute_file_names(copied: Path):
    assert len(index_source(copied).pairs) == 2


@pytest.mark.parametrize("kind", ["IMMEDIATE", "EXCLUSIVE"])
def test_locked_by_another_process(copied: Path, kind: str):
    free = read_database(copied)
    with locked(copied, kind):
        before = sorted(copied.parent.iterdir())
        held = read_database(copied)
        assert sorted(copied.parent.iterdir()) == before
    assert held == free  # not the half-written modality


def test_unfinished_transaction_of_a_dead_process(copied: Path):
    free = read_database(copied)
    with locked(copied, "EXCLUSIVE"):
        pass  # killed: the journal stays
    digest = hashlib.sha256(copied.read_bytes()).digest()
    assert read_database(copied) == free
    assert hashlib.sha256(copied.read_bytes()).digest() == digest


def test_write_ahead_log_leaves_nothing_beside_the_database(copied: Path):
    free = read_database(copied)
    writer = sqlite3.connect(copied)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("UPDATE Series SET SeriesDescription = 'fresh'")
    writer.commit()
    before = {path.name: path.read_bytes() for path in copied.parent.iterdir()}
    fresh = read_database(copied)
    assert {path.name: path.read_bytes() for path in copied.parent.iterdir()} == before
    writer.close()
    assert [series.files for series in fresh] == [series.files for series in free]
    assert {series.description for series in fresh} == {"fresh"}


def test_series_files(slicer_database: Path, copied: Path):
    pet = next(series for series in read_database(slicer_database) if series.modality == "PT")
    assert series_files(SeriesSource(series_uid=pet.series_uid, database=slicer_database)) == pet.files
    found = {path.resolve() for path in database_files(copied, pet.series_uid)}
    assert found == {path.resolve() for path in pet.files}
    with pytest.raises(DicomRefused) as missing:
        series_files(SeriesSource(series_uid="1.2.3", database=slicer_database))
    assert missing.value.code is Code.SERIES_MISSING


def test_files_that_are_gone(copied: Path):
    pet = next(pair for pair in index_source(copied).pairs if pair.patient == "STS_002").pet
    with sqlite3.connect(copied) as connection:
        connection.execute("UPDATE Images SET Filename = 'gone.dcm' WHERE Filename = ?", (pet.files[0].as_posix(),))
        connection.execute(
            "UPDATE Images SET Filename = NULL, URL = 'https://archive/1' WHERE Filename = ?",
            (pet.files[1].as_posix(),),
        )
    connection.close()
    with pytest.raises(DicomRefused) as caught:
        database_files(copied, pet.series_uid)
    assert caught.value.code is Code.PATH_MISSING
    assert "2 of 48" in caught.value.message
    index = index_source(copied)
    assert [pair.patient for pair in index.pairs] == ["STS_007"]
    assert ("PATH_MISSING", pet.series_uid) in {(left.code, left.series_uid) for left in index.left_out}


def test_files_named_by_address(copied: Path):
    pet = next(pair for pair in index_source(copied).pairs if pair.patient == "STS_002").pet
    with sqlite3.connect(copied) as connection:
        for file in pet.files:
            change = "UPDATE Images SET Filename = NULL, URL = ? WHERE Filename = ?"
            connection.execute(change, (file.as_uri(), file.as_posix()))
    connection.close()
    found = {path.resolve() for path in database_files(copied, pet.series_uid)}
    assert found == {path.resolve() for path in pet.files}


def test_what_is_no_database_of_slicer(tmp_path: Path):
    foreign, rubbish, empty = tmp_path / "other.sqlite", tmp_path / "ctkDICOM.sql", tmp_path / "empty" / "ctkDICOM.sql"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE Series (name TEXT)")
    connection.close()
    rubbish.write_bytes(b"no database at all" * 100)
    empty.parent.mkdir()
    empty.touch()
    for path in (foreign, rubbish, empty):
        assert is_database(path)
        with pytest.raises(DicomRefused) as caught:
            index_source(path)
        assert caught.value.code is Code.DATABASE_UNREADABLE
    with pytest.raises(DicomRefused) as missing:
        read_database(tmp_path / "nowhere.sql")
    assert missing.value.code is Code.PATH_MISSING


def made_database(path: Path, *statements: str) -> Path:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    return path


IMAGES = "CREATE TABLE Images (SeriesInstanceUID, SOPInstanceUID, Filename, URL)"
SERIES = "CREATE TABLE Series (SeriesInstanceUID, Modality, SeriesDescription)"


@pytest.mark.parametrize(
    "statements",
    [
        (
            IMAGES,
            "CREATE VIEW Series AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) "
            "SELECT n AS SeriesInstanceUID, 'PT' AS Modality, '' AS SeriesDescription FROM r",
        ),
        (
            SERIES,
            "CREATE TABLE Images (SeriesInstanceUID, SOPInstanceUID, Filename AS (printf('%.900000000c', 'x')), URL)",
        ),
    ],
    ids=["endless view", "computed column"],
)
def test_tables_that_compute_are_not_slicers(tmp_path: Path, statements: tuple[str, ...]):
    path = made_database(tmp_path / "ctkDICOM.sql", *statements)
    with pytest.raises(DicomRefused) as caught:
        read_database(path)
    assert caught.value.code is Code.DATABASE_UNREADABLE


@pytest.mark.parametrize("busy", [False, True])
def test_reading_ends_after_so_many_rows_and_after_so_much_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: bool
):
    # Without keys the join of two short lists has no end in sight.
    many = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 400)"
    path = made_database(
        tmp_path / "ctkDICOM.sql",
        IMAGES,
        SERIES,
        f"INSERT INTO Images {many} SELECT '1.2', n, 'f', NULL FROM r",
        f"INSERT INTO Series {many} SELECT '1.2', 'PT', '' FROM r",
    )
    if busy:
        monkeypatch.setattr(database, "_LONGEST_READ_S", 0.0)
    monkeypatch.setattr(database, "_MOST_ROWS", 5000)
    before = path.read_bytes()
    with pytest.raises(DicomRefused, match="takes over") as caught:
        read_database(path)
    assert caught.value.code is Code.DATABASE_UNREADABLE
    assert path.read_bytes() == before


def test_a_copy_that_finds_no_room_says_so(copied: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(database.shutil, "copyfile", full)
    with locked(copied, "EXCLUSIVE"), pytest.raises(RunFailed) as caught:
        read_database(copied)
    assert caught.value.code is Code.OUTPUT
    assert "temporary" in caught.value.message
