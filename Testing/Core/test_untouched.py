"""The user's DICOM files, his ctkDICOM.sql and his table are byte-identical before and after every command."""

from __future__ import annotations

import csv
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pydicom
import pytest
from dicom_objects import DATA
from untouched import differences, state_of, untouched

from PRRTPredictorCore.cli import main
from PRRTPredictorCore.dicom.database import read_database

pytestmark = pytest.mark.usefixtures("private_folders")

LABS = ("--ast", "28", "--alt", "25", "--ggt", "61", "--cga", "419", "--labs-date", "2021-01-01")
ROWS_BY_DATABASE = 3


def in_database(folder: Path, series: Sequence[Path]) -> list[str]:
    """Add a ctkDICOM.sql, as Slicer keeps it, that lists the files of these series; returns their UIDs."""
    connection = sqlite3.connect(folder / "ctkDICOM.sql")
    connection.execute("CREATE TABLE Images (SOPInstanceUID, Filename, SeriesInstanceUID, URL)")
    connection.execute("CREATE TABLE Series (SeriesInstanceUID, Modality, SeriesDescription)")
    uids = []
    for place in series:
        headers = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(place.glob("*.dcm"))}
        first = next(iter(headers.values()))
        uids.append(str(first.SeriesInstanceUID))
        connection.execute("INSERT INTO Series VALUES (?, ?, '')", (uids[-1], first.Modality))
        rows = [
            (one.SOPInstanceUID, path.relative_to(folder).as_posix(), uids[-1], None) for path, one in headers.items()
        ]
        connection.executemany("INSERT INTO Images VALUES (?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return uids


@pytest.fixture(scope="module")
def inputs(private_folders: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made patients, some of whom the table names by the series of a database."""
    folder = tmp_path_factory.mktemp("hospital") / "inputs"
    assert main(["synth", "--out", str(folder), "--patients", "9", "--seed", "3", "--jobs", "1"]) == 0
    table = folder / "cohort.csv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_database = rows[:ROWS_BY_DATABASE]
    uids = iter(in_database(folder, [folder / row[name] for row in by_database for name in ("pet", "ct")]))
    for row in by_database:
        row.update(pet=next(uids), ct=next(uids), database="ctkDICOM.sql")
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[-1], "database"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def commands(inputs: Path, out: Path) -> list[list[str]]:
    table, patient = str(inputs / "cohort.csv"), sorted((inputs / "dicom").iterdir())[-1]
    run, model = str(out / "run"), str(out / "model")
    images = ["--pet", str(patient / "pet"), "--ct", str(patient / "ct")]
    quick = ["--models", "rf_labs", "--preset", "quick", "--repeats", "1", "--jobs", "1"]
    return [
        ["index", str(inputs / "dicom")],
        ["index", str(inputs / "ctkDICOM.sql")],
        ["index", str(inputs)],
        ["suv", str(patient / "pet")],
        ["suv", str(patient / "ct")],  # refused
        ["cohort", "check", table],
        ["cohort", "describe", table],
        ["train", table, "--out", run, *quick],
        ["report", run, "--cohort", table],
        ["fit", "--run", run, "--model", "rf_labs", "--out", model],
        ["predict", "--model", model, *images, *LABS],
        ["evaluate", "--model", model, table, "--jobs", "1"],
    ]


def test_no_command_touches_what_it_is_given(inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ends = []
    with untouched(inputs, read_only=True):
        for line in commands(inputs, tmp_path):
            before = state_of(inputs)
            ends.append(main(line))
            assert not differences(before, state_of(inputs)), line
    assert ends == [0, 0, 0, 0, 3, *[0] * 7], capsys.readouterr().err


@pytest.mark.parametrize("kind", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_database_that_slicer_holds_is_read_and_left_alone(inputs: Path, kind: str) -> None:
    hold = (
        "import sqlite3, sys\nheld = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        f"held.execute('BEGIN {kind}')\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    line = [sys.executable, "-c", hold, str(inputs / "ctkDICOM.sql")]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "held"
        with untouched(inputs):
            assert main(["index", str(inputs / "ctkDICOM.sql")]) == 0


def test_the_real_database_and_its_files_stay_as_they_were() -> None:
    folder = DATA / "slicer-dicom-database"
    if not folder.is_dir():
        pytest.skip("real data missing: slicer-dicom-database")
    with untouched(folder):
        assert main(["index", str(folder / "ctkDICOM.sql")]) == 0
        for series in read_database(folder / "ctkDICOM.sql"):
            if series.modality == "PT":
                main(["suv", str(series.files[0].parent)])


def test_every_kind_of_change_would_be_seen(tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "1.dcm").write_bytes(b"one")
    (folder / "a" / "2.dcm").write_bytes(b"two")

    def short_lived() -> None:
        (folder / "a" / "x").write_bytes(b"")
        (folder / "a" / "x").unlink()

    for change in (
        lambda: (folder / "a" / "1.dcm").write_bytes(b"eno"),
        lambda: (folder / "a" / "2.dcm").rename(folder / "a" / "3.dcm"),
        lambda: (folder / "a" / "3.dcm").unlink(),
        lambda: (folder / "a" / "1.dcm").chmod(0o444),
        short_lived,
    ):
        with pytest.raises(AssertionError, match="changed"), untouched(folder):
            change()
