"""The laboratory fields: a word at each field that needs one, and the same judgement as the command line's."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import pytest

from PRRTPredictorCore.cli import build_parser
from PRRTPredictorCore.errors import Code, LabRefused
from PRRTPredictorLib.LabSheet import LabEntry, LabSheet

FULL = LabSheet(
    ast=LabEntry(28, "U/L"),
    alt=LabEntry(25, "U/L"),
    ggt=LabEntry(61, "U/L"),
    cga=LabEntry(419, "µg/L"),
    sampledOn=date(2026, 3, 1),
    firstCycle=date(2026, 3, 20),
)


def test_a_full_sheet_needs_no_remark() -> None:
    assert FULL.remarks() == {}
    assert FULL.labs().values() == (28, 25, 61, 419)
    assert FULL.labs().sampled_on == date(2026, 3, 1)
    assert FULL.deRitis == pytest.approx(28 / 25)


def test_units_are_converted() -> None:
    sheet = replace(FULL, ast=LabEntry(0.5, "µkat/L"), cga=LabEntry(419, "ng/mL"))
    assert sheet.labs().values() == (30, 25, 61, 419)
    assert sheet.deRitis == pytest.approx(30 / 25)


@pytest.mark.parametrize(
    ("sheet", "field", "words"),
    [
        (replace(FULL, ggt=LabEntry(None, "U/L")), "ggt", "missing"),
        (replace(FULL, ggt=LabEntry(math.nan, "U/L")), "ggt", "missing"),
        (replace(FULL, ast=LabEntry(0, "U/L")), "ast", "zero"),
        (replace(FULL, alt=LabEntry(-3, "U/L")), "alt", "negative"),
        (replace(FULL, alt=LabEntry(90_000, "U/L")), "alt", "beyond what can be believed"),
        (replace(FULL, cga=LabEntry(419, "nmol/L")), "cga", "ask the laboratory"),
        (replace(FULL, sampledOn=date(2026, 1, 1)), "sampledOn", "78 days before"),
        (replace(FULL, sampledOn=date(2026, 3, 21)), "sampledOn", "after the first"),
    ],
)
def test_what_is_refused_is_said_at_its_field_with_the_remedy(sheet: LabSheet, field: str, words: str) -> None:
    remarks = sheet.remarks()
    assert set(remarks) == {field}
    assert words in remarks[field]
    with pytest.raises(LabRefused) as caught:
        sheet.labs()
    assert remarks[field] == f"{caught.value.message} {caught.value.remedy}"
    with pytest.raises(LabRefused):
        sheet.words()


@pytest.mark.parametrize(
    ("sheet", "field", "words"),
    [
        (replace(FULL, cga=LabEntry(300_000, "µg/L")), "cga", "unusually high"),
        (replace(FULL, ast=LabEntry(5, "U/L"), alt=LabEntry(6, "U/L")), "ast", "unusually low"),
        (replace(FULL, ast=LabEntry(200, "U/L"), alt=LabEntry(10, "U/L")), "alt", "exchanged"),
        (replace(FULL, sampledOn=None), "sampledOn", "not checked"),
        (replace(FULL, firstCycle=None), "firstCycle", "not checked"),
    ],
)
def test_what_is_only_unusual_is_said_and_goes_on(sheet: LabSheet, field: str, words: str) -> None:
    assert words in sheet.remarks()[field]
    assert set(sheet.remarks()) == {field}
    sheet.labs()


def test_an_unusual_value_is_said_before_the_other_fields_are_filled() -> None:
    remarks = LabSheet(cga=LabEntry(300_000, "µg/L")).remarks()
    assert "unusually high" in remarks["cga"]
    assert all("missing" in remarks[name] for name in ("ast", "alt", "ggt"))


def test_the_last_allowed_day_and_the_day_itself() -> None:
    for day in (date(2026, 2, 20), date(2026, 3, 20)):
        assert replace(FULL, sampledOn=day).remarks() == {}
    assert "29 days" in replace(FULL, sampledOn=date(2026, 2, 19)).remarks()["sampledOn"]


def test_without_dates_one_remark_is_enough() -> None:
    assert set(replace(FULL, sampledOn=None, firstCycle=None).remarks()) == {"sampledOn"}


@pytest.mark.parametrize("missing", ["ast", "alt"])
def test_no_de_ritis_ratio_without_both(missing: str) -> None:
    assert replace(FULL, **{missing: LabEntry(None)}).deRitis is None
    assert replace(FULL, **{missing: LabEntry(20, "mol")}).deRitis is None


def test_the_command_line_says_the_same() -> None:
    sheet = replace(FULL, ast=LabEntry(0.1 + 0.2, "µkat/L"))
    line = ["predict", "--model=m", "--pet=p", "--ct=c", *sheet.words()]
    said = build_parser().parse_args(line)
    assert float(said.ast) == 0.1 + 0.2
    assert (said.ast_unit, said.cga_unit) == ("µkat/L", "µg/L")
    assert (said.labs_date, said.prrt_start) == (sheet.sampledOn, sheet.firstCycle)
    bare = replace(FULL, sampledOn=None, firstCycle=None).words()
    assert not [word for word in bare if "date" in word or "start" in word]


def test_an_empty_sheet_refuses_the_first_lab() -> None:
    with pytest.raises(LabRefused) as caught:
        LabSheet().labs()
    assert caught.value.code is Code.LAB_MISSING
    assert LabSheet().deRitis is None
