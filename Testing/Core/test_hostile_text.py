"""Hostile words in headers and tables break neither paths, nor pages, nor CSV files, nor the terminal."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from dicom_objects import ct_series, pet_series, write_series

from PRRTPredictorCore.cli import main
from PRRTPredictorCore.freetext import printable

pytestmark = pytest.mark.usefixtures("private_folders")

HOSTILE = (
    "../../x",
    "..\\..\\x",
    "/etc/passwd",
    "C:\\Windows\\x",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\" onload='x'",
    "=cmd|' /C calc'!A0",
    "@SUM(1)",
    "\uff1dcmd()",
    "+1+cmd()",
    "-2-cmd()",
    "\x1b]0;owned\x07\x1b[2J",
    "\x9b31m\x08\x08",
    "a\r\nb: c",
    "a\u202egpj.exe",
    "{{7*7}} {% raw %} ${x} %s {0}",
    "x" * 60,
    "NUL",
    ".",
    "..",
    "~",
    "-rf",
    "--json",
    "'; DROP TABLE Patients; --",
)
"""Identifiers, names and descriptions that mean something to a shell, a browser, a spreadsheet or a terminal."""

ESCAPES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize("text", HOSTILE)
def test_headers_cannot_command_the_terminal(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every free text of a header that `prrt index` and `prrt suv` print; JSON holds them as they are, in ASCII."""
    stored = np.arange(4 * 8 * 8, dtype=np.int16).reshape(4, 8, 8)
    words = {
        "PatientID": text,
        "PatientName": text,
        "SeriesDescription": text,
        "Manufacturer": text,
        "ManufacturerModelName": text,
        "SpecificCharacterSet": "ISO_IR 192",
    }
    pet = pet_series(stored, **words)
    ct = ct_series(stored, **words)
    for item in ct:
        item.StudyInstanceUID, item.FrameOfReferenceUID = pet[0].StudyInstanceUID, pet[0].FrameOfReferenceUID
    write_series(pet, tmp_path / "pet")
    write_series(ct, tmp_path / "ct")
    before = sorted(tmp_path.rglob("*"))
    assert main(["index", str(tmp_path)]) == 0
    assert main(["suv", str(tmp_path / "pet")]) == 0
    said = capsys.readouterr()
    assert ESCAPES.search(said.out + said.err) is None
    assert main(["index", str(tmp_path), "--json"]) == 0
    assert capsys.readouterr().out.isascii()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_refusal_cannot_command_the_terminal_either(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b]0;owned\x07.dcm"
    try:
        (tmp_path / name).write_bytes(b"no DICOM, though its name says so" * 9)
    except OSError:
        pytest.skip("this file system takes no such name")
    assert main(["suv", str(tmp_path)]) == 3
    said = capsys.readouterr().err
    assert "owned" in said
    assert ESCAPES.search(said) is None
    assert said.count("\n") == 1


@pytest.fixture(scope="module")
def hostile_run(private_folders: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of patients who are called as in :data:`HOSTILE`, in every free column of the table, and its report."""
    root = tmp_path_factory.mktemp("hostile")
    assert main(["synth", "--out", str(root / "made"), "--patients", "12", "--seed", "3", "--jobs", "1"]) == 0
    table = root / "made" / "cohort.csv"
    head, *rows = list(csv.reader(table.open(encoding="utf-8", newline="")))
    column = {name: place for place, name in enumerate(head)}
    words = [text for text in HOSTILE if "\n" not in text]  # a cell with a line break is refused
    for row, identifier, scanner in zip(rows, words, words[::-1], strict=False):
        row[column["patient"]], row[column["scanner"]] = identifier, scanner
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([[*head, "<b>=x()</b>"], *([*row, "1.5"] for row in rows)])
    folder = root / "run"
    training = ("--models", "rf_labs", "--preset", "quick", "--folds", "2", "--repeats", "1", "--jobs", "1")
    assert main(["train", str(table), "--out", str(folder), *training, "--extra", "<b>=x()</b>"]) == 0
    assert main(["report", str(folder)]) == 0
    assert sorted(path.name for path in root.iterdir()) == ["made", "run"]
    return folder


def test_identifiers_become_codes_and_paths_stay_inside(hostile_run: Path) -> None:
    names = [path.relative_to(hostile_run).as_posix() for path in hostile_run.rglob("*")]
    assert all(re.fullmatch(r"[A-Za-z0-9._/-]+", name) for name in names)
    assert all(".." not in name for name in names)


class Tags(HTMLParser):
    """The elements and attributes of a page that could run something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [name for name, _ in attrs if name.startswith("on")]
        if tag in ("b", "img", "iframe", "object", "script"):
            self.found.append(f"{tag} {dict(attrs).get('src', '')}"[:40])


def test_the_page_holds_no_mark_up_from_the_table(hostile_run: Path) -> None:
    page = (hostile_run / "report.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert [tag for tag in tags.found if not tag.startswith(("img data:image/", "script"))] == []
    assert "<script>alert" not in page
    assert "onerror=alert" not in re.sub(r"&lt;.*?&gt;", "", page)
    assert "&lt;b&gt;=x()&lt;/b&gt;" in page, "the extra input is named as it is called in the table"
    assert ESCAPES.search(page.replace("\r", "")) is None


def test_no_cell_of_a_table_is_a_formula(hostile_run: Path) -> None:
    tables = sorted(hostile_run.rglob("*.csv"))
    assert tables
    for path in tables:
        for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8"))):
            for cell in row:
                assert not cell.startswith(("=", "@", "\t", "\uff1d")), (path.name, cell)
                if cell.startswith(("+", "-")):
                    float(cell)
                assert ESCAPES.search(cell) is None, (path.name, cell)


@pytest.mark.parametrize("text", HOSTILE)
def test_printable_text_has_no_control_and_keeps_what_is_to_be_read(text: str) -> None:
    shown = printable(text)
    assert ESCAPES.search(shown) is None
    assert [letter for letter in shown if letter.isalnum()] == [letter for letter in text if letter.isalnum()]
