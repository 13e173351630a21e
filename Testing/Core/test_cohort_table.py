"""cohort.csv: what is read, what is violated, what is refused, and that no identity survives."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from cohort_files import GOOD, good_rows, make_series, write_cohort

from PRRTPredictorCore.cohort.identity import study_code
from PRRTPredictorCore.cohort.table import check_cohort, read_cohort, require_extras
from PRRTPredictorCore.cohort.text import check_to_json, format_check
from PRRTPredictorCore.errors import Code, CohortRefused
from PRRTPredictorCore.records import Cohort, CohortPatient, SeriesSource

RESOURCES = Path(__file__).parents[2] / "Resources"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRRT_CONFIG_DIR", str(tmp_path / "config"))


def check(folder: Path, **cells: str) -> Cohort:
    """The check of a table of one good row with some cells replaced."""
    return check_cohort(write_cohort(folder, [{**GOOD, **cells}]))


def found(cohort: Cohort) -> list[tuple[int, str, Code]]:
    return [(one.row, one.column, one.code) for one in cohort.violations]


def only_patient(cohort: Cohort) -> CohortPatient:
    assert not cohort.violations
    (patient,) = cohort.patients
    return patient


# --- a good table -----------------------------------------------------------------------------------------------------


def test_a_good_row_becomes_a_patient(tmp_path: Path) -> None:
    patient = only_patient(check(tmp_path, pet_date="2020-01-06"))
    assert patient.code == study_code("PAT-1")
    assert patient.row == 2
    assert patient.pet == SeriesSource(folder=(tmp_path / "pet-1").resolve())
    assert patient.labs.values() == (28, 25, 61, 419)
    assert patient.outcome.long_pfs
    assert patient.outcome.pfs_months == pytest.approx(16.36, abs=0.01)
    assert not patient.synthetic


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_as_excel_writes_it(tmp_path: Path, separator: str, encoding: str) -> None:
    row = {**GOOD, "ast": "0,53", "ast_unit": "µkat/L", "cga": "1530,5", "cga_unit": "µg/l"}
    patient = only_patient(check_cohort(write_cohort(tmp_path, [row], separator=separator, encoding=encoding)))
    assert patient.labs.ast_u_per_l == pytest.approx(31.8)
    assert patient.labs.cga_ug_per_l == 1530.5


def test_header_case_blanks_and_empty_lines_do_not_matter(tmp_path: Path) -> None:
    path = write_cohort(tmp_path, good_rows(2, 1))
    header, first, second = path.read_text(encoding="utf-8").splitlines()
    path.write_text(
        f"sep=,\n {header.upper().replace(',', ' , ')}\n\n{first}\n,,,,,,,,,,\n  \n{second}\n", encoding="utf-8"
    )
    cohort = read_cohort(path)
    assert [one.row for one in cohort.patients] == [4, 7]


def test_all_columns_of_table_one(tmp_path: Path) -> None:
    cells = {
        "age": "66,5", "sex": "F", "primary": "Small Intestine", "metastases": "Pulmonal; liver;osseous",
        "functional": "No", "grade": "g2", "ki67": "5 %", "prrt_cycles": "4", "contrast_ct": "yes",
        "scanner": "GE  <Discovery> MI", "synthetic": "yes",
    }  # fmt: skip
    patient = only_patient(check(tmp_path, **cells))
    one = patient.characteristics
    assert patient.synthetic
    assert (one.age_years, one.sex, one.primary, one.grade) == (66.5, "female", "small_intestine", "G2")
    assert one.metastases == ("hepatic", "osseous", "pulmonary")
    assert (one.functional, one.ki67_percent, one.prrt_cycles, one.contrast_ct) == ("no", 5.0, 4, "yes")
    assert "<" not in one.scanner


def test_a_series_in_a_database(tmp_path: Path) -> None:
    (tmp_path / "slicer").mkdir()
    (tmp_path / "slicer" / "ctkDICOM.sql").write_bytes(b"not read here")
    for database in ("slicer/ctkDICOM.sql", "slicer", "slicer\\ctkDICOM.sql", str(tmp_path / "slicer")):
        patient = only_patient(check(tmp_path, pet="1.2.840.1.1", ct="1.2.840.1.2", database=database))
        assert patient.pet == SeriesSource(
            series_uid="1.2.840.1.1", database=(tmp_path / "slicer" / "ctkDICOM.sql").resolve()
        )


def test_absolute_and_windows_folders(tmp_path: Path) -> None:
    make_series(tmp_path / "deep" / "pet" / "inside")
    make_series(tmp_path / "elsewhere" / "ct")
    patient = only_patient(check(tmp_path, pet="deep\\pet", ct=str(tmp_path / "elsewhere" / "ct")))
    assert patient.pet.folder == (tmp_path / "deep" / "pet").resolve()


@pytest.mark.parametrize(
    ("written", "iso"),
    [("20200120", "2020-01-20"), ("20.01.2020", "2020-01-20"), ("2020-01-20 00:00:00", "2020-01-20")],
)
def test_unambiguous_dates(tmp_path: Path, written: str, iso: str) -> None:
    assert str(only_patient(check(tmp_path, labs_date=written)).labs.sampled_on) == iso


def test_pet_and_labs_on_the_day_of_the_first_cycle_are_accepted(tmp_path: Path) -> None:
    patient = only_patient(check(tmp_path, pet_date="2020-02-03", labs_date="2020-02-03"))
    assert patient.pet_date == patient.labs.sampled_on == patient.prrt_start


def test_organ_labels_are_found_and_are_never_an_input(tmp_path: Path) -> None:
    (tmp_path / "organs").mkdir()
    (tmp_path / "organs" / "one.seg.nrrd").write_bytes(b"NRRD0005")
    cohort = check(tmp_path, organs="organs/one.seg.nrrd")
    assert only_patient(cohort).organs == (tmp_path / "organs" / "one.seg.nrrd").resolve()
    assert "organs" not in cohort.extra_columns
    assert only_patient(check(tmp_path, organs="")).organs is None


def test_two_patients_cannot_have_the_same_organs(tmp_path: Path) -> None:
    (tmp_path / "one.seg.nrrd").write_bytes(b"NRRD0005")
    cohort = check_cohort(write_cohort(tmp_path, [{**row, "organs": "one.seg.nrrd"} for row in good_rows(2, 1)]))
    assert found(cohort) == [(3, "organs", Code.COHORT_DUPLICATE)]


# --- violations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "column", "code"),
    [
        ({"patient": ""}, "patient", Code.COHORT_VALUE),
        ({"pet": "nowhere"}, "pet", Code.COHORT_PATH),
        ({"pet": ""}, "pet", Code.COHORT_PATH),
        ({"ct": "cohort.csv"}, "ct", Code.COHORT_PATH),
        ({"ct": "x" * 5000}, "ct", Code.COHORT_PATH),
        ({"pet": "1.2.840.1.1"}, "pet", Code.COHORT_PATH),
        ({"pet": "1.2.840.1.1", "database": "nowhere.sql"}, "pet", Code.COHORT_PATH),
        ({"ast": ""}, "ast", Code.LAB_MISSING),
        ({"alt": "0"}, "alt", Code.LAB_NOT_POSITIVE),
        ({"ggt": "-61"}, "ggt", Code.LAB_NOT_POSITIVE),
        ({"cga": "high"}, "cga", Code.LAB_UNREADABLE),
        ({"ast": "0.47"}, "ast", Code.LAB_IMPLAUSIBLE),
        ({"ast_unit": "mg/dL"}, "ast_unit", Code.LAB_UNIT),
        ({"labs_date": "2019-12-01"}, "labs_date", Code.LAB_DATE),
        ({"labs_date": "2020-02-04"}, "labs_date", Code.LAB_DATE),
        ({"labs_date": "1/2/2020"}, "labs_date", Code.COHORT_VALUE),
        ({"prrt_start": "2020-02-30"}, "prrt_start", Code.COHORT_VALUE),
        ({"prrt_start": "9999-02-03"}, "prrt_start", Code.COHORT_VALUE),
        ({"progression_date": "2020-01-01"}, "progression_date", Code.COHORT_OUTCOME),
        ({"progression_date": ""}, "pfs_months", Code.COHORT_OUTCOME),
        ({"prrt_start": ""}, "progression_date", Code.COHORT_OUTCOME),
        ({"pfs_months": "9"}, "progression_date", Code.COHORT_OUTCOME),
        ({"event": ""}, "event", Code.COHORT_OUTCOME),
        ({"event": "2"}, "event", Code.COHORT_VALUE),
        ({"pet_date": "2020-02-04"}, "pet_date", Code.COHORT_VALUE),
        ({"prior_prrt": "perhaps"}, "prior_prrt", Code.COHORT_VALUE),
        ({"age": "old"}, "age", Code.COHORT_VALUE),
        ({"age": "660"}, "age", Code.COHORT_VALUE),
        ({"prrt_cycles": "2.5"}, "prrt_cycles", Code.COHORT_VALUE),
        ({"sex": "?x"}, "sex", Code.COHORT_VALUE),
        ({"grade": "G4"}, "grade", Code.COHORT_VALUE),
        ({"metastases": "hepatic;moon"}, "metastases", Code.COHORT_VALUE),
        ({"organs": "nowhere.seg.nrrd"}, "organs", Code.COHORT_PATH),
        ({"organs": "cohort.csv"}, "organs", Code.COHORT_PATH),
        ({"organs": "pet-1"}, "organs", Code.COHORT_PATH),
    ],
)
def test_each_rule(tmp_path: Path, cells: Mapping[str, str], column: str, code: Code) -> None:
    cohort = check(tmp_path, **cells)
    assert found(cohort) == [(2, column, code)]
    assert cohort.violations[0].remedy
    assert not cohort.patients
    assert (cohort.exclusions.screened, cohort.exclusions.refused, cohort.exclusions.included) == (1, 1, 0)
    with pytest.raises(CohortRefused) as caught:
        read_cohort(tmp_path / "cohort.csv")
    assert caught.value.code is code
    assert caught.value.exit_code == 3
    assert f"row 2, column {column}" in caught.value.where


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "hollow" / "inside").mkdir(parents=True)
    assert found(check(tmp_path, pet="hollow")) == [(2, "pet", Code.COHORT_PATH)]


def test_every_violation_is_listed_and_the_good_rows_remain(tmp_path: Path) -> None:
    rows = good_rows(5, 2)
    rows[0] |= {"ast": "", "alt": "0.4", "pet": "nowhere"}
    rows[2] |= {"cga": "", "labs_date": "2019-01-01", "event": "yes"}
    rows[4] |= {"patient": "PAT-2"}
    cohort = check_cohort(write_cohort(tmp_path, rows))
    assert found(cohort) == [
        (2, "pet", Code.COHORT_PATH),
        (2, "ast", Code.LAB_MISSING),
        (2, "alt", Code.LAB_IMPLAUSIBLE),
        (4, "cga", Code.LAB_MISSING),
        (4, "labs_date", Code.LAB_DATE),
        (6, "patient", Code.COHORT_DUPLICATE),
    ]
    assert "Rows 3 and 6" in cohort.violations[-1].message
    assert [one.row for one in cohort.patients] == [3, 5]
    with pytest.raises(CohortRefused, match="6 violations in 3 rows") as caught:
        read_cohort(tmp_path / "cohort.csv")
    assert caught.value.code is Code.COHORT_REFUSED
    assert "and 3 more" in caught.value.message


def test_the_same_images_under_two_names_are_a_duplicate(tmp_path: Path) -> None:
    rows = good_rows(2, 1)
    rows[1] |= {"pet": "./pet-1"}
    assert found(check_cohort(write_cohort(tmp_path, rows))) == [(3, "pet", Code.COHORT_DUPLICATE)]


def test_a_duplicate_counts_even_if_one_row_is_excluded(tmp_path: Path) -> None:
    rows = good_rows(3, 1)
    rows[2] |= {"patient": " pat-1 ", "event": "0"}
    cohort = check_cohort(write_cohort(tmp_path, rows))
    assert found(cohort) == [(4, "patient", Code.COHORT_DUPLICATE)]
    assert cohort.exclusions.screened == 3
    assert cohort.exclusions.refused == 1


def test_missing_columns_are_said_once_each(tmp_path: Path) -> None:
    rows = [
        {name: cell for name, cell in row.items() if name not in ("cga", "progression_date")} for row in good_rows(3)
    ]
    cohort = check_cohort(write_cohort(tmp_path, rows))
    assert found(cohort)[:2] == [(1, "cga", Code.COHORT_COLUMNS), (1, "progression_date", Code.COHORT_COLUMNS)]
    assert not cohort.patients
    assert not [one for one in cohort.violations if one.column == "cga" and one.row > 1]


def test_an_unquoted_decimal_comma_never_shifts_the_row(tmp_path: Path) -> None:
    path = write_cohort(tmp_path, [{**GOOD, "comment": ""}])
    path.write_text(path.read_text(encoding="utf-8").replace(",28,", ",28,5,"), encoding="utf-8")
    cohort = check_cohort(path)
    assert found(cohort) == [(2, "", Code.COHORT_COLUMNS)]
    assert "decimal comma" in cohort.violations[0].remedy
    assert cohort.exclusions.refused == 1


def test_a_quotation_mark_left_open_does_not_swallow_patients(tmp_path: Path) -> None:
    path = write_cohort(tmp_path, [{**row, "note": "fine"} for row in good_rows(4, 2)])
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[2] = lines[2].replace("fine", '"fine')
    path.write_text("\n".join(lines), encoding="utf-8")
    cohort = check_cohort(path)
    assert [(one.row, one.code) for one in cohort.violations] == [(3, Code.COHORT_COLUMNS)]


def test_thousands_dots_in_a_german_table(tmp_path: Path) -> None:
    path = write_cohort(tmp_path, [{**GOOD, "cga": "99.590"}], separator=";")
    assert found(check_cohort(path)) == [(2, "cga", Code.LAB_UNREADABLE)]
    path = write_cohort(tmp_path, [{**GOOD, "cga": "99.590", "ggt": "61.5"}], separator=";")
    assert only_patient(check_cohort(path)).labs.cga_ug_per_l == 99.59


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", Code.COHORT_COLUMNS),
        (b"\n\n", Code.COHORT_COLUMNS),
        (b"a,b\n1,2\n", Code.COHORT_COLUMNS),
        (b"PK\x03\x04rest of a workbook", Code.COHORT_COLUMNS),
        (b"\x00\x01\x02", Code.COHORT_COLUMNS),
        (b"patient,pet,PET \n1,2,3\n", Code.COHORT_COLUMNS),
    ],
)
def test_no_cohort_table(tmp_path: Path, content: bytes, code: Code) -> None:
    path = tmp_path / "cohort.csv"
    path.write_bytes(content)
    with pytest.raises(CohortRefused) as caught:
        check_cohort(path)
    assert caught.value.code is code


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "cohort.csv", tmp_path):
        with pytest.raises(CohortRefused) as caught:
            read_cohort(path)
        assert caught.value.code is Code.PATH_MISSING


def test_only_a_header(tmp_path: Path) -> None:
    path = tmp_path / "cohort.csv"
    path.write_text(",".join(GOOD) + "\n", encoding="utf-8")
    assert check_cohort(path).exclusions.screened == 0
    with pytest.raises(CohortRefused) as caught:
        read_cohort(path)
    assert caught.value.code is Code.TOO_FEW_PATIENTS


def test_one_class(tmp_path: Path) -> None:
    path = write_cohort(tmp_path, good_rows(3, 3))
    assert "ONE_CLASS" in [one.code for one in check_cohort(path).notices]
    with pytest.raises(CohortRefused, match="short PFS") as caught:
        read_cohort(path)
    assert caught.value.code is Code.ONE_CLASS


# --- identity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hostile", ["../../etc/x", "<script>alert(1)</script>", "=cmd()|' /C calc'!A0", "CANARY^NAME"])
def test_no_identity_in_anything_that_is_said(tmp_path: Path, hostile: str) -> None:
    rows = [{**row, **dict.fromkeys(("scanner", "comment"), "")} for row in good_rows(3, 1)]
    rows[0] |= {"patient": hostile}
    rows[1] |= {name: hostile for name in rows[1] if name != "patient"}
    rows[2] |= {"patient": hostile}
    path = write_cohort(tmp_path, rows)
    cohort = check_cohort(path)
    with pytest.raises(CohortRefused) as caught:
        read_cohort(path)
    said = "\n".join((repr(cohort), format_check(cohort), json.dumps(check_to_json(cohort)), str(caught.value)))
    assert hostile not in said
    assert (3, "pet", Code.COHORT_PATH) in found(cohort)
    assert (4, "patient", Code.COHORT_DUPLICATE) in found(cohort)


# --- extra inputs -----------------------------------------------------------------------------------------------------


def with_extras(folder: Path, **cells: str) -> Cohort:
    return read_cohort(write_cohort(folder, [{**row, **cells} for row in good_rows(4, 2)]))


def test_any_numeric_column_can_be_an_input(tmp_path: Path) -> None:
    cohort = with_extras(tmp_path, LDH="210,5", age="66", ki67="5 %", ward="7B")
    assert cohort.extra_columns == ("ldh", "age", "ki67", "ward")
    assert require_extras(cohort, ["LDH", "age"]) == ("ldh", "age")
    assert cohort.patients[0].extras == {"ldh": 210.5, "age": 66.0, "ki67": 5.0}
    assert cohort.patients[0].tabular(("ldh",)) == (28, 25, 61, 419, 210.5)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("prrt_cycles", Code.FORBIDDEN_INPUT),
        ("PRRT cycles", Code.FORBIDDEN_INPUT),
        ("pfs_months", Code.FORBIDDEN_INPUT),
        ("event", Code.FORBIDDEN_INPUT),
        ("progression_date", Code.FORBIDDEN_INPUT),
        ("pfs_days", Code.FORBIDDEN_INPUT),
        ("os_months", Code.FORBIDDEN_INPUT),
        ("ldh2", Code.COHORT_COLUMNS),
        ("ast", Code.COHORT_COLUMNS),
        ("patient", Code.COHORT_COLUMNS),
        ("ward", Code.COHORT_VALUE),
        ("endless", Code.COHORT_VALUE),
        ("huge", Code.COHORT_VALUE),
    ],
)
def test_what_can_be_no_input(tmp_path: Path, name: str, code: Code) -> None:
    cohort = with_extras(
        tmp_path, ldh="210", ward="7B", endless="1e999", huge="-1e39", pfs_days="400", os_months="30", prrt_cycles="4"
    )
    with pytest.raises(CohortRefused) as caught:
        require_extras(cohort, [name])
    assert caught.value.code is code
    assert set(cohort.patients[0].extras) == {"ldh"}


def test_an_extra_named_twice_or_missing_in_a_row(tmp_path: Path) -> None:
    rows = [{**row, "ldh": "210"} for row in good_rows(4, 2)]
    rows[2] |= {"ldh": ""}
    cohort = read_cohort(write_cohort(tmp_path, rows))
    with pytest.raises(CohortRefused, match=r"1 of 4 patients.*rows 4"):
        require_extras(cohort, ["ldh"])
    with pytest.raises(CohortRefused):
        require_extras(cohort, ["age", "Age"])


# --- the template -----------------------------------------------------------------------------------------------------


def test_the_template_is_right_but_for_its_made_up_files() -> None:
    cohort = check_cohort(RESOURCES / "cohort.csv")
    assert {one.code for one in cohort.violations} == {Code.COHORT_PATH}
    assert cohort.exclusions.screened == 3
    assert "MADE-UP" not in format_check(cohort)


def test_the_template_holds_and_explains_every_column() -> None:
    from PRRTPredictorCore.cohort.sheet import KNOWN_COLUMNS

    header = (RESOURCES / "cohort.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    explained = (RESOURCES / "cohort.md").read_text(encoding="utf-8")
    assert set(header) == set(KNOWN_COLUMNS)
    assert not [name for name in KNOWN_COLUMNS if f"`{name}`" not in explained]


def test_reading_a_cohort_loads_no_heavy_library() -> None:
    line = (
        "import sys, PRRTPredictorCore.cohort.table, PRRTPredictorCore.cohort.text, PRRTPredictorCore.cohort.describe;"
        "print(sorted({'pandas', 'scipy', 'torch', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[]"
