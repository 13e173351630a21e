"""Everything wrong that a user can hand to ``prrt``: a typed error, exit 3, one line or one JSON object, nothing left.

The table of issue 2, "Bad input", item by item, through the command line. Folder names hold blanks and letters of other
scripts throughout; headers hold a patient's name, which no error may repeat.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_objects import DATA, ct_series, dotatoc, pet_series, write_series
from pydicom.dataset import Dataset

from PRRTPredictorCore.cli import main

pytestmark = pytest.mark.usefixtures("private_folders")

LABS = {"ast": "28", "alt": "25", "ggt": "61", "cga": "419"}
NUMBERS = np.random.default_rng(0)
PET_VALUES = NUMBERS.integers(1, 2000, (12, 10, 8)).astype(np.uint16)
CT_VALUES = NUMBERS.integers(0, 2000, (12, 10, 8)).astype(np.int16)
STUDY = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4"}

Change = Callable[[Dataset, int], object]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def cohort(private_folders: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "Köhler & Söhne 病 (1)"
    assert main(["synth", "--out", str(folder), "--patients", "10", "--seed", "5", "--jobs", "1"]) == 0
    return folder


@pytest.fixture(scope="module")
def run(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "Lauf 1"
    assert main(train_line(cohort / "cohort.csv", folder)) == 0
    return folder


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "Modell 1"
    assert main(["fit", "--run", str(run), "--model", "rf_labs", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of a tiny PET and CT of one examination."""
    write_series(pet_series(PET_VALUES, **STUDY), tmp_path / "pet ü")
    write_series(ct_series(CT_VALUES, **STUDY), tmp_path / "ct ü")
    return tmp_path / "pet ü", tmp_path / "ct ü"


def train_line(table: Path, out: Path, *more: str) -> list[str]:
    options = ("--models", "rf_labs", "--preset", "quick", "--repeats", "1", "--seed", "2", "--jobs", "1")
    return ["train", str(table), "--out", str(out), *options, *more]


def predict_line(model: Path, pet: Path, ct: Path, *more: object, **labs: str) -> list[str]:
    values = (word for name, value in {**LABS, **labs}.items() for word in (f"--{name}", value))
    return ["predict", "--model", str(model), "--pet", str(pet), "--ct", str(ct), *values, *map(str, more)]


def study(cohort: Path) -> tuple[Path, Path]:
    patient = sorted((cohort / "dicom").iterdir())[0]
    return patient / "pet", patient / "ct"


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(line: Sequence[str], capsys: Capture, code: str, exit_code: int = 3) -> dict[str, str]:
    """Give a line that must be refused, as JSON and as text; return the error's JSON object."""
    capsys.readouterr()
    assert main([*line, "--json"]) == exit_code
    told = capsys.readouterr()
    assert told.err == ""
    error = json.loads(told.out)["error"]
    assert error["code"] == code, error
    assert error["message"]
    assert error["remedy"]
    assert "CANARY" not in told.out
    return error


def refused_in_words(line: Sequence[str], capsys: Capture, code: str, exit_code: int = 3) -> str:
    """The same for a line without ``--json``: one line on stderr, nothing on stdout."""
    capsys.readouterr()
    assert main(list(line)) == exit_code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert told.err.startswith(f"prrt: {code}: ")
    assert "Remedy: " in told.err
    return told.err


def accepted(line: Sequence[str], capsys: Capture) -> dict:
    capsys.readouterr()
    assert main([*line, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def changed(series: list[Dataset], change: Change) -> list[Dataset]:
    for number, header in enumerate(series):
        change(header, number)
    return series


def without(*keywords: str) -> Change:
    return lambda header, _: [delattr(header, keyword) for keyword in keywords if keyword in header]


def put(**values: object) -> Change:
    return lambda header, _: [setattr(header, keyword, value) for keyword, value in values.items()]


def dose_without(*keywords: str) -> Change:
    return lambda header, number: without(*keywords)(header.RadiopharmaceuticalInformationSequence[0], number)


def dose_with(nuclide: tuple[str, str] | None = None, **values: object) -> Change:
    def change(header: Dataset, number: int) -> None:
        dose = header.RadiopharmaceuticalInformationSequence[0]
        put(**values)(dose, number)
        if nuclide:
            put(CodeValue=nuclide[0], CodeMeaning=nuclide[1])(dose.RadionuclideCodeSequence[0], number)

    return change


def placed(*, x: Callable[[int], float] = lambda k: 0.0, z: Callable[[int], float]) -> Change:
    return lambda header, k: setattr(header, "ImagePositionPatient", [-10 + x(k), -20, -300 + z(k)])


# --- PET series -------------------------------------------------------------------------------------------------------

LU_177 = dose_with(("C-156A6", "^177^Lutetium"), Radiopharmaceutical="DOTATATE", RadionuclideHalfLife=574300)
UNFIT_PET: dict[str, tuple[Change, str]] = {
    "no weight": (without("PatientWeight"), "SUV_WEIGHT"),
    "weight 0": (put(PatientWeight=0), "SUV_WEIGHT"),
    "weight in g": (put(PatientWeight=70000), "SUV_WEIGHT"),
    "no dose": (dose_without("RadionuclideTotalDose"), "SUV_DOSE"),
    "dose 0": (dose_with(RadionuclideTotalDose=0), "SUV_DOSE"),
    "no injection": (without("RadiopharmaceuticalInformationSequence"), "SUV_DOSE"),
    "two injections": (put(RadiopharmaceuticalInformationSequence=[dotatoc(), dotatoc()]), "SUV_DOSE"),
    "no half-life": (dose_without("RadionuclideHalfLife", "RadionuclideCodeSequence"), "SUV_HALF_LIFE"),
    "half-life wrong": (dose_with(RadionuclideHalfLife=999), "SUV_HALF_LIFE"),
    "no injection time": (
        dose_without("RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime"),
        "SUV_TIMES",
    ),
    "injected after the scan": (
        dose_with(RadiopharmaceuticalStartTime="120000", RadiopharmaceuticalStartDateTime="20200102120000"),
        "SUV_TIMES",
    ),
    "no scan time": (without("AcquisitionTime", "SeriesTime", "StudyTime"), "SUV_TIMES"),
    "PROPCNTS": (put(Units="PROPCNTS"), "UNITS_UNSUPPORTED"),
    "no units": (without("Units"), "UNITS_UNSUPPORTED"),
    "CNTS without factor": (put(Units="CNTS"), "SUV_SCALE_FACTOR"),
    "no rescale slope": (without("RescaleSlope"), "SUV_SCALE_FACTOR"),
    "NAC": (put(CorrectedImage=["DECY", "SCAT"]), "NOT_ATTENUATION_CORRECTED"),
    "no decay correction": (without("DecayCorrection"), "SUV_DECAY_CORRECTION"),
    "Lu-177 stored as PT": (LU_177, "NOT_PET"),
    "SPECT": (put(Modality="NM", SOPClassUID="1.2.840.10008.5.1.4.1.1.20"), "WRONG_MODALITY"),
    "no position": (without("ImagePositionPatient"), "BAD_GEOMETRY"),
    "no orientation": (without("ImageOrientationPatient"), "BAD_GEOMETRY"),
    "no pixel spacing": (without("PixelSpacing"), "BAD_GEOMETRY"),
    "slices jump sideways": (placed(x=lambda k: 3 * (k % 2), z=lambda k: 3 * k), "BAD_GEOMETRY"),
    "duplicate slice": (placed(z=lambda k: 3 * min(k, 10)), "DUPLICATE_SLICES"),
    "gap": (placed(z=lambda k: 3 * (k + (k > 5))), "MISSING_SLICES"),
    "tilt": (placed(x=lambda k: 0.6 * k, z=lambda k: 3 * k), "GANTRY_TILT"),
}


@pytest.mark.parametrize("fault", UNFIT_PET)
def test_an_unfit_pet_is_refused(fault: str, tmp_path: Path, capsys: Capture) -> None:
    change, code = UNFIT_PET[fault]
    write_series(changed(pet_series(PET_VALUES), change), tmp_path / "CANARY^NAME" / "pet")
    line = ["suv", str(tmp_path / "CANARY^NAME" / "pet")]
    assert refused(line, capsys, code)["where"]
    assert "CANARY" not in refused_in_words(line, capsys, code)


def cut(size: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes()[:size])


UNFIT_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut in its pixels": (cut(-40), "TRUNCATED"),
    "cut in its header": (cut(400), "TRUNCATED"),
    "cut in its preamble": (cut(60), "TRUNCATED"),
    "empty": (cut(0), "TRUNCATED"),
    "zeroed": (lambda path: path.write_bytes(bytes(path.stat().st_size)), "NOT_DICOM"),
    "copied": (lambda path: shutil.copy(path, path.with_name("copy of it.dcm")), "DUPLICATE_SLICES"),
    "gone": (lambda path: path.unlink(), "MISSING_SLICES"),
}


@pytest.mark.parametrize("fault", UNFIT_FILES)
def test_one_unfit_file_among_good_ones_is_refused(fault: str, pair: tuple[Path, Path], capsys: Capture) -> None:
    spoil, code = UNFIT_FILES[fault]
    spoil(pair[0] / "0003.dcm")
    error = refused(["suv", str(pair[0])], capsys, code)
    assert error["where"] in ("0003.dcm", "PET series")


def test_the_last_slice_is_not_lost_without_a_word(pair: tuple[Path, Path], capsys: Capture) -> None:
    cut(60)(pair[0] / "0011.dcm")
    assert refused(["suv", str(pair[0])], capsys, "TRUNCATED")["where"] == "0011.dcm"


def test_folders_that_are_no_series(pair: tuple[Path, Path], tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("no DICOM")
    (tmp_path / "ctkDICOM.sql").write_bytes(b"no database")
    for word in ("suv", "index"):
        refused([word, str(tmp_path / "empty")], capsys, "EMPTY_FOLDER")
        refused([word, str(tmp_path / "text")], capsys, "NOT_DICOM")
        refused([word, str(tmp_path / "nowhere")], capsys, "PATH_MISSING")
    refused(["index", str(tmp_path / "ctkDICOM.sql")], capsys, "DATABASE_UNREADABLE")
    refused(["suv", str(pair[1])], capsys, "WRONG_MODALITY")
    refused(["suv", str(tmp_path)], capsys, "MIXED_SERIES")
    write_series(pet_series(PET_VALUES), pair[0] / "another PET")
    refused(["suv", str(pair[0])], capsys, "MIXED_SERIES")


def test_index_names_what_it_leaves_out(pair: tuple[Path, Path], tmp_path: Path, capsys: Capture) -> None:
    pet, ct = pair
    assert [one["code"] for one in accepted(["index", str(pet)], capsys)["left_out"]] == ["NO_CT"]
    assert [one["code"] for one in accepted(["index", str(ct)], capsys)["left_out"]] == ["NO_PET"]
    cut(400)(ct / "0003.dcm")
    found = accepted(["index", str(tmp_path)], capsys)
    assert len(found["pairs"]) == 1
    assert [one["code"] for one in found["left_out"]] == ["TRUNCATED"]


ODD_BUT_LEGAL: dict[str, tuple[dict[str, object], Sequence[int]]] = {
    "stored from head to foot": ({}, range(11, -1, -1)),
    "sorted by other names": ({}, [7 * k % 12 for k in range(12)]),
    "coronal": ({"orientation": (1, 0, 0, 0, 0, -1)}, range(12)),
    "sagittal": ({"orientation": (0, 1, 0, 0, 0, -1)}, range(12)),
    "rows and columns reversed": ({"orientation": (-1, 0, 0, 0, -1, 0)}, range(12)),
}


@pytest.mark.parametrize("oddity", ODD_BUT_LEGAL)
def test_odd_but_legal_series_give_the_same_suv(
    oddity: str, pair: tuple[Path, Path], tmp_path: Path, capsys: Capture
) -> None:
    attributes, order = ODD_BUT_LEGAL[oddity]
    write_series(pet_series(PET_VALUES, **attributes), tmp_path / "odd", names=[f"{k:04d}" for k in order])
    (tmp_path / "odd" / ".DS_Store").write_bytes(b"of macOS")
    (tmp_path / "odd" / "._0001.dcm").write_bytes(b"of macOS")
    plain, odd = (accepted(["suv", str(folder)], capsys) for folder in (pair[0], tmp_path / "odd"))
    assert odd == {**plain, "spacing_mm": pytest.approx(plain["spacing_mm"])}


# --- one study --------------------------------------------------------------------------------------------------------

UNFIT_CT: dict[str, tuple[Change, str]] = {
    "gap": UNFIT_PET["gap"],
    "tilt": UNFIT_PET["tilt"],
    "duplicate slice": UNFIT_PET["duplicate slice"],
    "localizer": (put(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "WRONG_MODALITY"),
    "no Hounsfield units": (put(RescaleType="PCT"), "WRONG_MODALITY"),
    "elsewhere": (placed(z=lambda k: 5000 + 3 * k), "NO_OVERLAP"),
    "of one value": (put(PixelData=bytes(2 * 80)), "EMPTY_IMAGE"),
    "of another patient": (put(PatientID="CANARY-2", PatientName="CANARY^TWO"), "PATIENT_DIFFERS"),
}


@pytest.mark.parametrize("fault", UNFIT_CT)
def test_an_unfit_ct_is_refused(
    fault: str, model: Path, pair: tuple[Path, Path], tmp_path: Path, capsys: Capture
) -> None:
    change, code = UNFIT_CT[fault]
    write_series(changed(ct_series(CT_VALUES, **STUDY), change), tmp_path / "unfit")
    scene, picture = tmp_path / "out" / "scene.mrb", tmp_path / "out" / "overlay.png"
    line = predict_line(model, pair[0], tmp_path / "unfit", "--scene", scene, "--overlay", picture)
    refused(line, capsys, code)
    refused_in_words(line, capsys, code)
    assert not (tmp_path / "out").exists()


def test_the_wrong_folders_for_one_study(
    model: Path, run: Path, pair: tuple[Path, Path], tmp_path: Path, capsys: Capture
) -> None:
    pet, ct = pair
    refused(predict_line(model, ct, pet), capsys, "WRONG_MODALITY")
    refused(predict_line(model, pet, pet), capsys, "WRONG_MODALITY")
    refused(predict_line(model, tmp_path, tmp_path), capsys, "MIXED_SERIES")
    refused(predict_line(model, pet, tmp_path / "nowhere"), capsys, "PATH_MISSING")
    for no_model in (run, tmp_path / "nowhere", pet, run / "manifest.json"):
        refused(predict_line(no_model, pet, ct), capsys, "MODEL_MISSING")
    refused(predict_line(model, pet, ct, "--extra", "age=66"), capsys, "COHORT_VALUE")
    refused(predict_line(model, pet, ct, "--extra", "age"), capsys, "COHORT_VALUE")


ABSURD = {"ast": "1e9", "alt": "0.001", "ggt": "50000", "cga": "1e12"}
UNFIT_VALUES = {"": "MISSING", "nan": "MISSING", "0": "NOT_POSITIVE", "-5": "NOT_POSITIVE", "high": "UNREADABLE"}


@pytest.mark.parametrize("lab", LABS)
def test_unfit_labs_are_refused_before_anything_is_read(lab: str, tmp_path: Path, capsys: Capture) -> None:
    nowhere = tmp_path / "nowhere"
    for value, reason in {**UNFIT_VALUES, ABSURD[lab]: "IMPLAUSIBLE"}.items():
        error = refused(predict_line(nowhere, nowhere, nowhere, **{lab: value}), capsys, f"LAB_{reason}")
        assert error["where"].lower() == lab
    for unit in ("mg/dl", "nmol/L"):
        refused(predict_line(nowhere, nowhere, nowhere, f"--{lab}-unit", unit), capsys, "LAB_UNIT")
    dates = ("--labs-date", "2020-01-01", "--prrt-start", "2020-03-01")
    refused(predict_line(nowhere, nowhere, nowhere, *dates), capsys, "LAB_DATE")


def rewritten(source: Path, target: Path, change: Callable[[Dataset, float], object]) -> Path:
    """Copy a made series with changes; ``change`` gets each header and its place from foot (0) to head (1)."""
    headers = sorted((pydicom.dcmread(path) for path in source.glob("*.dcm")), key=lambda h: h.ImagePositionPatient[2])
    target.mkdir()
    for number, header in enumerate(headers):
        if change(header, number / (len(headers) - 1)) != "leave out":
            header.save_as(target / f"{number}.dcm")
    return target


def fdg(header: Dataset, _: float) -> None:
    dose_with(("C-111A1", "^18^Fluorine"), Radiopharmaceutical="FDG", RadionuclideHalfLife=6586.2)(header, 0)
    dose_without("RadiopharmaceuticalCodeSequence")(header, 0)


def unnamed_tracer(header: Dataset, _: float) -> None:
    dose_without("Radiopharmaceutical", "RadiopharmaceuticalCodeSequence")(header, 0)


def thorax_only(_: Dataset, height: float) -> str:
    return "" if 0.6 < height < 0.85 else "leave out"


QUESTIONABLE = {
    "FDG": ("pet", fdg, "TRACER_UNEXPECTED"),
    "unnamed tracer": ("pet", unnamed_tracer, "TRACER_UNEXPECTED"),
    "thorax only": ("pet", thorax_only, "FIELD_OF_VIEW_UNLIKE"),
    "CT of the thorax only": ("ct", thorax_only, "SMALL_OVERLAP"),
    "other frame": ("ct", lambda h, _: put(FrameOfReferenceUID="1.2.9")(h, 0), "FRAME_OF_REFERENCE_DIFFERS"),
    "other study": ("ct", lambda h, _: put(StudyInstanceUID="1.2.9")(h, 0), "STUDY_DIFFERS"),
    "other day": ("ct", lambda h, _: put(SeriesDate="20100101")(h, 0), "DATE_DIFFERS"),
}


@pytest.mark.parametrize("question", QUESTIONABLE)
def test_questionable_input_is_answered_with_a_warning(
    question: str, model: Path, cohort: Path, tmp_path: Path, capsys: Capture
) -> None:
    which, change, warning = QUESTIONABLE[question]
    folders = dict(zip(("pet", "ct"), study(cohort), strict=True))
    folders[which] = rewritten(folders[which], tmp_path / which, change)
    warnings = accepted(predict_line(model, folders["pet"], folders["ct"]), capsys)["warnings"]
    assert [text for text in warnings if text.startswith(warning)], warnings


def test_labs_out_of_the_training_range_are_named(model: Path, cohort: Path, capsys: Capture) -> None:
    warnings = accepted(predict_line(model, *study(cohort), ggt="1200", cga="90000"), capsys)["warnings"]
    assert [text.split(": ")[1].split()[0] for text in warnings if "TRAINING_RANGE" in text] == ["GGT", "CgA"]


def test_a_questionable_cohort_is_trained_on_and_validated_with_warnings(
    model: Path, cohort: Path, tmp_path: Path, capsys: Capture
) -> None:
    pet = rewritten(study(cohort)[0], tmp_path / "thorax", thorax_only)
    rewritten(pet, tmp_path / "pet", fdg)
    table = table_of(cohort, tmp_path / "table", lambda rows: rows[0].update(pet=str(tmp_path / "pet"), cga="90000"))
    warnings = accepted(["evaluate", "--model", str(model), str(table), "--jobs", "1"], capsys)["warnings"]
    counted = {text.split(":")[0] for text in warnings if "1 of 10 patients" in text}
    assert counted == {
        "TRACER_UNEXPECTED",
        "FIELD_OF_VIEW_UNLIKE",
        "LAB_OUT_OF_TRAINING_RANGE",
        "SLICES_ABSENT",
    }
    assert main(train_line(table, tmp_path / "run")) == 0
    assert "! TRACER_UNEXPECTED: 1 of 10 patients" in capsys.readouterr().out


# --- cohorts ----------------------------------------------------------------------------------------------------------

Rows = list[dict[str, str]]


def table_of(cohort: Path, target: Path, change: Callable[[Rows], object]) -> Path:
    """A cohort.csv in ``target`` on the made cohort's images, with changed rows."""
    with (cohort / "cohort.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row.update({name: str(cohort / row[name]) for name in ("pet", "ct", "organs")})
        row.update({f"{lab}_unit": "" for lab in LABS})
    change(rows)
    target.mkdir(parents=True, exist_ok=True)
    with (target / "cohort.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return target / "cohort.csv"


def cell(column: str, value: str) -> Callable[[Rows], object]:
    return lambda rows: rows[2].update({column: value})


UNFIT_ROWS: dict[str, tuple[Callable[[Rows], object], str]] = {
    "PET nowhere": (cell("pet", "CANARY/nowhere"), "COHORT_PATH"),
    "CT nowhere": (cell("ct", ""), "COHORT_PATH"),
    "a file for a folder": (cell("pet", "cohort.csv"), "COHORT_PATH"),
    "series UID without database": (cell("pet", "1.2.3.4.5"), "COHORT_PATH"),
    "one patient twice": (lambda rows: rows[3].update(patient=f" {rows[2]['patient'].lower()}"), "COHORT_DUPLICATE"),
    "one PET twice": (lambda rows: rows[3].update(pet=rows[2]["pet"]), "COHORT_DUPLICATE"),
    "no patient": (cell("patient", ""), "COHORT_VALUE"),
    "lab missing": (cell("ast", ""), "LAB_MISSING"),
    "lab zero": (cell("alt", "0"), "LAB_NOT_POSITIVE"),
    "lab negative": (cell("ggt", "-61"), "LAB_NOT_POSITIVE"),
    "lab in words": (cell("cga", "high"), "LAB_UNREADABLE"),
    "lab absurd": (cell("cga", "1e12"), "LAB_IMPLAUSIBLE"),
    "lab in µkat/L said to be U/L": (cell("ast", "0.5"), "LAB_IMPLAUSIBLE"),
    "lab in another unit": (cell("ast_unit", "mg/dL"), "LAB_UNIT"),
    "labs too old": (cell("labs_date", "2010-01-01"), "LAB_DATE"),
    "no such day": (cell("prrt_start", "2019-02-30"), "COHORT_VALUE"),
    "progression before the treatment": (cell("progression_date", "2000-01-01"), "COHORT_OUTCOME"),
    "event neither yes nor no": (cell("event", "2"), "COHORT_VALUE"),
}


@pytest.mark.parametrize("fault", UNFIT_ROWS)
def test_an_unfit_row_is_named_with_its_remedy(fault: str, cohort: Path, tmp_path: Path, capsys: Capture) -> None:
    change, code = UNFIT_ROWS[fault]
    table = table_of(cohort, tmp_path, change)
    capsys.readouterr()
    assert main(["cohort", "check", str(table), "--json"]) == 3
    told = capsys.readouterr().out
    found = json.loads(told)
    assert [(one["code"], one["row"]) for one in found["violations"]] in ([(code, 4)], [(code, 5)])
    assert all(one["remedy"] for one in found["violations"])
    assert found["error"]["code"] == "COHORT_REFUSED"
    assert "CANARY" not in told
    for line in (train_line(table, tmp_path / "run"), ["cohort", "describe", str(table)]):
        assert "row" in refused(line, capsys, code)["where"]
    assert contents(tmp_path) == ["cohort.csv"]


def all_long(rows: Rows) -> None:
    for row in rows:
        row["progression_date"] = "2049-01-01"


def all_censored(rows: Rows) -> None:
    for row in rows:
        row["event"] = "0"


def swap_two_cts(rows: Rows) -> None:
    rows[2]["ct"], rows[3]["ct"] = rows[3]["ct"], rows[2]["ct"]


UNFIT_COHORTS: dict[str, tuple[Callable[[Rows], object], str, str]] = {
    "one class": (all_long, "ONE_CLASS", "3"),
    "nobody left": (all_censored, "TOO_FEW_PATIENTS", "3"),
    "fewer patients than folds": (lambda rows: None, "TOO_FEW_PATIENTS", "8"),
    "PET and CT swapped": (lambda rows: rows[2].update(pet=rows[2]["ct"], ct=rows[2]["pet"]), "COHORT_REFUSED", "2"),
    "two patients' CTs exchanged": (swap_two_cts, "COHORT_REFUSED", "2"),
}


@pytest.mark.parametrize("fault", UNFIT_COHORTS)
def test_an_unfit_cohort_leaves_no_run(fault: str, cohort: Path, tmp_path: Path, capsys: Capture) -> None:
    change, code, folds = UNFIT_COHORTS[fault]
    table = table_of(cohort, tmp_path, change)
    error = refused(train_line(table, tmp_path / "run", "--folds", folds), capsys, code)
    assert not [row for row in csv.DictReader(table.open(encoding="utf-8")) if row["patient"] in error["message"]]
    assert contents(tmp_path) == ["cohort.csv"]


def test_no_table_at_all(tmp_path: Path, capsys: Capture) -> None:
    for content, code in ((b"", "COHORT_COLUMNS"), (b"hello\n", "COHORT_COLUMNS"), (b"PK\x03\x04..", "COHORT_COLUMNS")):
        (tmp_path / "cohort.csv").write_bytes(content)
        for line in (["cohort", "check"], ["cohort", "describe"]):
            refused([*line, str(tmp_path / "cohort.csv")], capsys, code)
    for missing in (tmp_path / "nowhere.csv", tmp_path):
        refused(["cohort", "check", str(missing)], capsys, "PATH_MISSING")
        refused(train_line(missing, tmp_path / "run"), capsys, "PATH_MISSING")


def test_files_of_the_system_beside_the_slices_do_no_harm(cohort: Path, tmp_path: Path, capsys: Capture) -> None:
    pet = tmp_path / "pet"
    shutil.copytree(study(cohort)[0], pet)
    for name in (".DS_Store", "Thumbs.db", "DICOMDIR", "._0001.dcm", "readme.txt"):
        (pet / name).write_bytes(b"of the system")
    table = table_of(cohort, tmp_path / "table", lambda rows: rows[0].update(pet=str(pet)))
    assert accepted(train_line(table, tmp_path / "run"), capsys)["models"]


# --- models, runs and outputs -----------------------------------------------------------------------------------------


def flip_last_byte(model: Path) -> None:
    member = next((model / "models").glob("member-*"))
    content = bytearray(member.read_bytes())
    content[-1] ^= 1
    member.write_bytes(content)


def other_preset(model: Path) -> None:
    metadata = model / "configs" / "metadata.json"
    metadata.write_text(metadata.read_text(encoding="utf-8").replace('"quick"', '"paper"'), encoding="utf-8")


UNFIT_MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped byte": (flip_last_byte, "MODEL_TAMPERED"),
    "another preset": (other_preset, "MODEL_TAMPERED"),
    "a member more": (lambda model: (model / "models" / "member-099.safetensors").write_bytes(b""), "MODEL_TAMPERED"),
    "a member less": (lambda model: next((model / "models").glob("member-*")).unlink(), "MODEL_MISSING"),
    "no metadata": (lambda model: (model / "configs" / "metadata.json").unlink(), "MODEL_MISSING"),
    "no hashes": (lambda model: (model / "configs" / "hashes.json").unlink(), "MODEL_MISSING"),
}


@pytest.mark.parametrize("fault", UNFIT_MODELS)
def test_an_unfit_model_is_refused(
    fault: str, model: Path, cohort: Path, pair: tuple[Path, Path], tmp_path: Path, capsys: Capture
) -> None:
    spoil, code = UNFIT_MODELS[fault]
    shutil.copytree(model, tmp_path / "copy")
    spoil(tmp_path / "copy")
    refused(predict_line(tmp_path / "copy", *pair), capsys, code)
    refused(["evaluate", "--model", str(tmp_path / "copy"), str(cohort / "cohort.csv")], capsys, code)


def test_another_run_in_the_same_folder_is_refused(cohort: Path, run: Path, capsys: Capture) -> None:
    before = contents(run)
    for change in (("--preset", "paper"), ("--seed", "3"), ("--folds", "2"), ("--extra", "ki67")):
        refused(train_line(cohort / "cohort.csv", run, *change), capsys, "RUN_MISMATCH")
    assert contents(run) == before


def test_what_is_no_finished_run_is_neither_packed_nor_reported(
    run: Path, model: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = str(tmp_path / "packed")
    for no_run in (model, tmp_path / "nowhere"):
        refused_in_words(["report", str(no_run)], capsys, "PATH_MISSING")
        refused_in_words(["fit", "--run", str(no_run), "--model", "rf_labs", "--out", out], capsys, "PATH_MISSING")
    refused_in_words(["fit", "--run", str(run), "--model", "pet", "--out", out], capsys, "MODEL_MISSING")
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "folds" / "rf_labs" / "0-1" / "done.json").unlink()
    refused_in_words(["fit", "--run", str(copy), "--model", "rf_labs", "--out", out], capsys, "RUN_INCOMPLETE")
    assert not Path(out).exists()
    assert main(["report", str(copy)]) == 0
    assert "1 of 3 fits are not finished" in (copy / "report.html").read_text(encoding="utf-8")


DAMAGE: dict[str, tuple[str, bytes | None]] = {
    "predictions of other patients": (
        "folds/rf_labs/0-1/predictions.csv",
        b"patient,repeat,fold,y,probability,logit\n",
    ),
    "predictions gone": ("folds/rf_labs/0-1/predictions.csv", None),
    "weights damaged": ("folds/rf_labs/0-1/weights.safetensors", b"rubbish"),
    "an outcome of another version": ("folds/rf_labs/0-1/done.json", b"{}"),
    "no splits": ("splits.json", b"[]"),
    "another cohort": ("cohort.json", b"{}"),
    "another manifest": ("manifest.json", b"[]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_is_not_packed(damage: str, run: Path, tmp_path: Path, capsys: Capture) -> None:
    name, content = DAMAGE[damage]
    shutil.copytree(run, tmp_path / "copy")
    file = tmp_path / "copy" / name
    file.unlink() if content is None else file.write_bytes(content)
    code = "WEIGHTS_MISMATCH" if "weights" in damage else "RUN_MISMATCH"
    line = ["fit", "--run", str(tmp_path / "copy"), "--model", "rf_labs", "--out", str(tmp_path / "packed")]
    assert file.name in refused_in_words(line, capsys, code)
    assert not (tmp_path / "packed").exists()


UNFIT_TARGETS: dict[str, Callable[[Path], list[Path]]] = {
    "below a file": lambda here: [here / "file" / "out.nrrd"],
    "a folder": lambda here: [here / "folder.nrrd"],
    "another suffix": lambda here: [here / "out.nii"],
    "the second below a file": lambda here: [here / "out.nrrd", here / "file" / "out.nrrd"],
    "twice the same": lambda here: [here / "out.nrrd", here / "out.nrrd"],
}


@pytest.mark.parametrize("target", UNFIT_TARGETS)
def test_pictures_that_could_not_be_written_are_refused_before_anything_is_read(
    target: str, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.nrrd").mkdir()
    options = zip(("--saliency", "--saliency-ct"), UNFIT_TARGETS[target](tmp_path), strict=False)
    nowhere = tmp_path / "nowhere"
    line = predict_line(nowhere, nowhere, nowhere, *(word for option in options for word in option))
    refused(line, capsys, "OUTPUT")
    assert contents(tmp_path) == ["file", "folder.nrrd"]


def test_missing_folders_of_pictures_are_made(model: Path, cohort: Path, tmp_path: Path, capsys: Capture) -> None:
    picture = tmp_path / "a" / "b ü" / "overlay.png"
    accepted(predict_line(model, *study(cohort), "--overlay", picture), capsys)
    assert contents(tmp_path / "a") == ["b ü", f"b ü{os.sep}overlay.png"]
    refused(predict_line(model, *study(cohort), "--saliency", tmp_path / "s.nrrd"), capsys, "MODEL_MISMATCH")
    assert contents(tmp_path) == ["a", f"a{os.sep}b ü", f"a{os.sep}b ü{os.sep}overlay.png"]


def test_folders_of_other_things_are_left_alone(cohort: Path, run: Path, tmp_path: Path, capsys: Capture) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.txt").write_text("mine")
    for out in (thesis, thesis / "chapter.txt", thesis / "chapter.txt" / "below"):
        code = "RUN_MISMATCH" if out == thesis else "OUTPUT"
        refused(train_line(cohort / "cohort.csv", out), capsys, code)
        refused(["synth", "--out", str(out), "--patients", "4"], capsys, "OUTPUT")
        refused_in_words(["fit", "--run", str(run), "--model", "rf_labs", "--out", str(out)], capsys, "OUTPUT")
    assert contents(tmp_path) == ["thesis", f"thesis{os.sep}chapter.txt"]
    weights = thesis / "chapter.txt"
    pretrained = ("--models", "pet_ct_labs_pretrained", "--pretrained", str(weights))
    refused([*train_line(cohort / "cohort.csv", tmp_path / "run"), *pretrained], capsys, "WEIGHTS_MISMATCH")
    assert not (tmp_path / "run").exists()


def test_further_models_extend_a_run(cohort: Path, run: Path, tmp_path: Path, capsys: Capture) -> None:
    shutil.copytree(run, tmp_path / "copy")
    before = (run / "folds" / "rf_labs" / "0-0" / "done.json").read_bytes()
    found = accepted([*train_line(cohort / "cohort.csv", tmp_path / "copy"), "--models", "pet_ct_labs"], capsys)
    assert set(found["models"]) == {"rf_labs", "pet_ct_labs"}
    assert (tmp_path / "copy" / "folds" / "rf_labs" / "0-0" / "done.json").read_bytes() == before


def test_wrong_numbers_are_wrong_usage(tmp_path: Path) -> None:
    for change in (("--seed", "-1"), ("--seed", str(2**40)), ("--folds", "1"), ("--repeats", "0"), ("--jobs", "0")):
        with pytest.raises(SystemExit) as end:
            main(train_line(tmp_path / "cohort.csv", tmp_path / "run", *change))
        assert end.value.code == 2


@pytest.fixture
def listens_to_ctrl_c():
    """Ctrl-C raises here even where the tests themselves were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listens_to_ctrl_c")
def test_ctrl_c_keeps_what_was_finished(
    cohort: Path, run: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PRRTPredictorCore.training.store import RunStore

    save, line = RunStore.save_fold, train_line(cohort / "cohort.csv", tmp_path / "run")

    def save_and_stop(store: RunStore, result: object) -> None:
        save(store, result)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "save_fold", save_and_stop)
        refused(line, capsys, "CANCELLED", exit_code=130)
    assert len(list((tmp_path / "run").glob("folds/*/*/done.json"))) == 1
    assert main(line) == 0
    assert (tmp_path / "run" / "metrics.json").read_bytes() == (run / "metrics.json").read_bytes()


@pytest.mark.usefixtures("listens_to_ctrl_c")
def test_ctrl_c_elsewhere_is_json_too(cohort: Path, tmp_path: Path, capsys: Capture, monkeypatch) -> None:
    def stop(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("PRRTPredictorCore.cohort.synthetic.cohort.write_patient", stop)
    refused(["synth", "--out", str(tmp_path / "made"), "--patients", "4", "--jobs", "1"], capsys, "CANCELLED", 130)
    assert contents(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipe that a reader can leave this way")
def test_a_reader_who_leaves_ends_it_quietly(pair: tuple[Path, Path]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "PRRTPredictorCore", "index", str(pair[0].parent), "--json"]
    ended = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


# --- real series ------------------------------------------------------------------------------------------------------

REAL_INDEX = {
    "acrin-nsclc-042-petct": (1, {"LOCALIZER"}),
    "crlm-ct-1004-abdomen": (0, {"NO_PET"}),
    "ct-transfer-syntax-zoo": (0, {"NO_PET", "OTHER_MODALITY", "TOO_FEW_SLICES"}),
    "ibsi-sts-petct-crops": (3, {"OTHER_MODALITY"}),
    "slicer-dicom-database": (2, {"NO_CT", "OTHER_MODALITY"}),
    "suv-dro": (0, {"NO_CT"}),
}


@pytest.mark.parametrize("folder", REAL_INDEX)
def test_index_of_real_folders(folder: str, capsys: Capture) -> None:
    if not (DATA / folder).is_dir():
        pytest.skip(f"real data missing: {folder}")
    found = accepted(["index", str(DATA / folder)], capsys)
    assert (len(found["pairs"]), {one["code"] for one in found["left_out"]}) == REAL_INDEX[folder]


@pytest.mark.parametrize("series", ["STS_002", "STS_007", "STS_018"])
def test_suv_of_real_crops_is_taken_as_stored(series: str, capsys: Capture) -> None:
    folder = DATA / "ibsi-sts-petct-crops" / series / "PET"
    if not folder.is_dir():
        pytest.skip(f"real data missing: {folder.parent.name}")
    found = accepted(["suv", str(folder)], capsys)
    assert (found["units"], found["suv_type"], found["factor"]) == ("GML", "BW", None)
    assert [text.split(":")[0] for text in found["warnings"]] == ["TRACER_UNEXPECTED"]
