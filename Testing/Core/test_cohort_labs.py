"""Labs: units, plausibility, what is refused and why, sampling date, De Ritis ratio."""

from __future__ import annotations

import math
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from PRRTPredictorCore.cohort.labs import (
    LabUnits,
    accepted_range,
    accepted_units,
    canonical_unit,
    check_sampling_date,
    input_title,
    lab_notices,
    lab_title,
    lab_value,
    make_labs,
    sampling_notices,
)
from PRRTPredictorCore.errors import Code, LabRefused
from PRRTPredictorCore.records import LABS, Labs

ENZYMES = ("ast", "alt", "ggt")
PAPER_RANGES = {"ast": (14, 139), "alt": (7, 132), "ggt": (9, 691), "cga": (24, 99590)}


def refusal(lab: str, value: float | str | None, unit: str = "") -> LabRefused:
    with pytest.raises(LabRefused) as caught:
        lab_value(lab, value, unit)
    assert caught.value.exit_code == 3
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("spelling", ["ukat/L", "µkat/L", "\u03bckat/l", "\u00b5KAT / l", "ukat/l", " µkat/l "])
@pytest.mark.parametrize("lab", ENZYMES)
def test_a_microkatal_is_sixty_units(lab: str, spelling: str) -> None:
    assert lab_value(lab, 0.5, spelling) == 30.0
    assert canonical_unit(lab, spelling) == "µkat/L"


@pytest.mark.parametrize("spelling", ["", "U/L", "u/l", "IU/L", "I.U./L", "U / l"])
def test_units_per_litre_stay(spelling: str) -> None:
    assert lab_value("ast", 28, unit=spelling) == 28.0


@pytest.mark.parametrize("spelling", ["", "ug/L", "µg/l", "\u03bcg/L", "mcg/L", "ng/mL", "NG/ML"])
def test_nanograms_per_millilitre_are_micrograms_per_litre(spelling: str) -> None:
    assert lab_value("cga", 419, spelling) == 419.0


@given(st.sampled_from(ENZYMES), st.floats(min_value=0.05, max_value=10))
def test_the_unit_never_changes_the_quantity(lab: str, microkatal: float) -> None:
    in_units = lab_value(lab, microkatal, "µkat/L")
    assert in_units == microkatal * 60
    if in_units in accepted_range(lab, "U/L"):
        assert lab_value(lab, in_units, "U/L") == in_units


@given(st.sampled_from(LABS), st.floats(min_value=5, max_value=5000))
def test_text_and_number_mean_the_same(lab: str, value: float) -> None:
    assert lab_value(lab, repr(value)) == lab_value(lab, value) == value


@given(st.integers(5, 999), st.integers(0, 99))
def test_a_decimal_comma_is_a_decimal_point(whole: int, hundredths: int) -> None:
    assert lab_value("ast", f"{whole},{hundredths:02d}") == float(f"{whole}.{hundredths:02d}")


@pytest.mark.parametrize("lab", LABS)
def test_the_papers_ranges_pass_without_a_refusal(lab: str) -> None:
    for value in PAPER_RANGES[lab]:
        assert lab_value(lab, value) == value
    for value in PAPER_RANGES[lab] if lab != "cga" else ():
        assert lab_value(lab, value / 60, "µkat/L") == pytest.approx(value, rel=1e-15)


@given(st.sampled_from(LABS), st.one_of(st.none(), st.text(max_size=12), st.floats()), st.text(max_size=8))
def test_whatever_comes_in_the_answer_is_a_believable_number_or_a_typed_refusal(
    lab: str, value: float | str | None, unit: str
) -> None:
    try:
        result = lab_value(lab, value, unit)
    except LabRefused:
        return
    assert math.isfinite(result)
    assert result > 0


@pytest.mark.parametrize("value", [None, "", "  ", "NA", "n/a", "NaN", float("nan"), "-", "unknown"])
def test_missing(value: float | str | None) -> None:
    assert refusal("alt", value).code is Code.LAB_MISSING


@pytest.mark.parametrize("value", [0, -1, "0", "-28", "\u221228", "0,0"])
def test_not_positive(value: float | str) -> None:
    assert refusal("ggt", value).code is Code.LAB_NOT_POSITIVE


@pytest.mark.parametrize(
    "value", ["high", "28 U/L", "1,234", "99,590", "1.234,5", "99 590", "<10", "=cmd()", "2020-01-01"]
)
def test_text_and_ambiguous_numbers(value: str) -> None:
    assert refusal("cga", value).code is Code.LAB_UNREADABLE


def test_a_german_thousands_dot_is_refused_where_it_may_be_one() -> None:
    assert lab_value("cga", "99.590") == 99.59
    with pytest.raises(LabRefused, match="two ways") as caught:
        lab_value("cga", "99.590", dot_may_group=True)
    assert caught.value.code is Code.LAB_UNREADABLE
    assert "99590" in caught.value.remedy


@pytest.mark.parametrize(
    ("lab", "unit", "hint"),
    [
        ("ast", "mg/dL", "U/L or µkat/L"),
        ("ast", "ug/L", "U/L or µkat/L"),
        ("ast", "nkat/L", "1000 nkat/L"),
        ("cga", "U/L", "assay"),
        ("cga", "nmol/L", "assay"),
        ("cga", "µkat/L", "µg/L"),
        ("ggt", "%", "U/L"),
    ],
)
def test_wrong_units(lab: str, unit: str, hint: str) -> None:
    error = refusal(lab, 28, unit)
    assert error.code is Code.LAB_UNIT
    assert hint in error.remedy


def test_a_name_that_slipped_into_the_unit_column_is_not_repeated() -> None:
    for slipped in ("Mustermann", "12/03/1950", "Mustermann/Max Moritz"):
        assert slipped not in str(refusal("ast", 28, slipped))


@pytest.mark.parametrize(
    ("lab", "value", "unit", "hint"),
    [
        ("ast", 0.5, "U/L", "µkat/L"),
        ("alt", 0.45, "", "µkat/L"),
        ("ggt", 1.02, "U/L", "µkat/L"),
        ("ast", 28, "µkat/L", "U/L"),
        ("alt", 28, "ukat/L", "1680 U/L"),
        ("ggt", 61, "µkat/L", "U/L"),
        ("cga", 3, "µg/L", "nmol/L"),
        ("cga", 4.19e6, "ng/mL", "ng/L"),
        ("ast", 1e5, "U/L", "5000"),
        ("ast", math.inf, "U/L", "5000"),
    ],
)
def test_absurd_values_and_the_unit_they_look_like(lab: str, value: float, unit: str, hint: str) -> None:
    error = refusal(lab, value, unit)
    assert error.code is Code.LAB_IMPLAUSIBLE
    assert hint in error.remedy


@pytest.mark.parametrize("lab", LABS)
@pytest.mark.parametrize("edge", ["low", "high"])
def test_the_limits_themselves_are_accepted_and_nothing_beyond(lab: str, edge: str) -> None:
    for unit in accepted_units(lab):
        limits = accepted_range(lab, unit)
        inside = getattr(limits, edge)
        beyond = math.nextafter(inside, math.inf if edge == "high" else 0)
        assert lab_value(lab, inside, unit) > 0
        assert refusal(lab, beyond, unit).code is Code.LAB_IMPLAUSIBLE


def test_four_labs_at_once() -> None:
    labs = make_labs("0,5", 25, 61.0, "419", LabUnits(ast="ukat/L", cga="ng/mL"), sampled_on=date(2020, 1, 20))
    assert labs == Labs(30.0, 25.0, 61.0, 419.0, date(2020, 1, 20))
    assert labs.de_ritis_ratio == 1.2


def test_the_first_problem_names_its_lab() -> None:
    with pytest.raises(LabRefused, match="GGT is missing"):
        make_labs(28, 25, None, None)


def test_an_unknown_lab_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="no such lab"):
        lab_value("ldh", 200)


@pytest.mark.parametrize("days", [0, 1, 28])
def test_four_weeks_before_the_first_cycle_are_accepted(days: int) -> None:
    start = date(2020, 3, 10)
    check_sampling_date(start - timedelta(days), start)


@pytest.mark.parametrize(("days", "words"), [(29, "29 days before"), (400, "400 days before"), (-1, "1 days after")])
def test_older_or_later_samples_are_refused(days: int, words: str) -> None:
    start = date(2020, 3, 10)
    with pytest.raises(LabRefused, match=words) as caught:
        check_sampling_date(start - timedelta(days), start)
    assert caught.value.code is Code.LAB_DATE


def test_the_papers_extremes_are_usual() -> None:
    assert lab_notices(Labs(28, 28, 61, 419)) == ()
    assert not lab_notices(Labs(139, 132, 691, 99590))
    assert not lab_notices(Labs(14, 7, 9, 24))


def test_unusual_labs_and_ratios_are_noticed() -> None:
    assert [one.code for one in lab_notices(Labs(600, 590, 61, 419))] == ["LAB_UNUSUAL", "LAB_UNUSUAL"]
    for ast, alt in ((139.0, 7.0), (14.0, 132.0)):
        (notice,) = lab_notices(Labs(ast, alt, 61, 419))
        assert notice.code == "DE_RITIS_EXTREME"


# --- at the edges -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lab", "unit", "low", "high"),
    [
        ("ast", "U/L", 4, 5000),
        ("ast", "µkat/L", 0.05, 10),
        ("alt", "U/L", 3, 5000),
        ("alt", "µkat/L", 0.05, 10),
        ("ggt", "U/L", 3, 5000),
        ("ggt", "µkat/L", 0.05, 25),
        ("cga", "µg/L", 5, 1_000_000),
    ],
)
def test_what_is_accepted(lab: str, unit: str, low: float, high: float) -> None:
    limits = accepted_range(lab, unit)
    assert (limits.low, limits.high) == (low, high)
    assert f"{low:g} to {high:g} {unit} is accepted" in refusal(lab, 1e9, unit).remedy


@pytest.mark.parametrize(
    ("place", "low", "high", "words"),
    [
        (0, 8, 500, "AST of {value:g} U/L"),
        (1, 5, 500, "ALT of {value:g} U/L"),
        (2, 6, 1500, "GGT of {value:g} U/L"),
        (3, 10, 200_000, "CgA of {value:g} µg/L"),
    ],
)
def test_what_is_usual(place: int, low: float, high: float, words: str) -> None:
    def words_of(value: float) -> list[str]:
        values = [28.0, 28.0, 61.0, 419.0]
        values[place] = value
        return [one.message for one in lab_notices(Labs(*values)) if one.code == "LAB_UNUSUAL"]

    assert words_of(low) == words_of(high) == []
    for value, side in ((low - 0.25, "low"), (high + 0.25, "high")):
        assert words_of(value) == [f"{words.format(value=value)} is unusually {side}; check value and unit."]


@pytest.mark.parametrize(
    ("ast", "alt", "extreme"), [(30, 100, ""), (29, 100, "0.29"), (100, 20, ""), (101, 20, "5.05")]
)
def test_the_de_ritis_ratio_may_be_from_0_3_to_5(ast: float, alt: float, extreme: str) -> None:
    notices = lab_notices(Labs(ast, alt, 61, 419))
    assert bool(notices) == bool(extreme)
    for notice in notices:
        assert notice.code == "DE_RITIS_EXTREME"
        assert f"of {extreme} lies outside 0.3 to 5;" in notice.message


def test_zero_and_less_are_told_apart_and_a_half_is_neither() -> None:
    assert refusal("ast", 0).message.startswith("AST is zero,")
    assert refusal("ast", -0.5).message.startswith("AST is negative,")
    assert refusal("ast", 0.5).code is Code.LAB_IMPLAUSIBLE


def test_printed_names() -> None:
    assert [lab_title(lab) for lab in LABS] == ["AST", "ALT", "GGT", "CgA"]
    assert [input_title(name) for name in (*LABS, "haemoglobin")] == ["AST", "ALT", "GGT", "CgA", "haemoglobin"]


@pytest.mark.parametrize(
    ("lab", "unit", "remedy"),
    [
        ("ast", "mg/dL", "Give AST in U/L or µkat/L."),
        ("ast", "nmol/L", "Give AST in U/L or µkat/L."),
        ("ggt", "nmol/L", "Give GGT in U/L or µkat/L."),
        ("ggt", "ug/L", "Give GGT in U/L or µkat/L."),
        ("ast", "nkat/L", "Give AST in U/L or µkat/L. 1000 nkat/L = 1 µkat/L."),
        ("ggt", "nkat/L", "Give GGT in U/L or µkat/L. 1000 nkat/L = 1 µkat/L."),
        ("cga", "nkat/L", "Give CgA in µg/L."),
        ("cga", "mg/dL", "Give CgA in µg/L."),
        ("cga", "µkat/L", "Give CgA in µg/L."),
        (
            "cga",
            "pmol/L",
            "Give CgA in µg/L. "
            "A molar CgA value has no fixed factor to µg/L: it depends on the assay; ask the laboratory.",
        ),
        (
            "cga",
            "U/L",
            "Give CgA in µg/L. CgA in U/L is an assay's own unit without a fixed factor to µg/L; ask the laboratory.",
        ),
    ],
)
def test_a_wrong_unit_gets_the_hint_that_fits_and_no_other(lab: str, unit: str, remedy: str) -> None:
    assert refusal(lab, 28, unit).remedy == remedy


@pytest.mark.parametrize(
    ("unit", "quoted"),
    [
        ("mmol/L", True),
        ("abcdefgh/L", True),
        ("abcdefghi/L", False),
        ("g / dL", True),
        ("µg/dL", True),
        ("mmolL", False),
        ("m/m/L", False),
        ("12/L", False),
        ("a-b/L", False),
    ],
)
def test_only_what_looks_like_a_unit_is_repeated(unit: str, quoted: bool) -> None:
    message = refusal("ast", 28, f" {unit} ").message
    assert message == f"The unit {unit if quoted else 'as written'} is not one in which AST can be used."


@pytest.mark.parametrize(
    ("lab", "value", "unit", "remedy"),
    [
        (
            "ast",
            0.5,
            "",
            "0.5 looks like a value in µkat/L: check the unit. "
            "Check the value and its unit; 4 to 5000 U/L is accepted.",
        ),
        ("ast", 0.06, "", "Check the value and its unit; 4 to 5000 U/L is accepted."),
        ("ggt", 6000, "", "Check the value and its unit; 3 to 5000 U/L is accepted."),
        ("ast", 6000, "", "Check the value and its unit; 4 to 5000 U/L is accepted."),
        (
            "ast",
            28,
            "µkat/L",
            "28 looks like a value in U/L: check the unit. "
            "Check the value and its unit; 0.05 to 10 µkat/L is accepted. "
            "If it is 28 µkat/L indeed, enter 1680 U/L.",
        ),
        ("ast", 0.04, "µkat/L", "Check the value and its unit; 0.05 to 10 µkat/L is accepted."),
        ("ast", 2000, "µkat/L", "Check the value and its unit; 0.05 to 10 µkat/L is accepted."),
        (
            "cga",
            4,
            "",
            "4 looks like a value in nmol/L or mg/L: check the unit. "
            "Check the value and its unit; 5 to 1e+06 µg/L is accepted.",
        ),
        (
            "cga",
            2e6,
            "",
            "2e+06 looks like a value in ng/L: check the unit. "
            "Check the value and its unit; 5 to 1e+06 µg/L is accepted.",
        ),
    ],
)
def test_an_absurd_value_gets_the_hint_that_fits_and_no_other(lab: str, value: float, unit: str, remedy: str) -> None:
    assert refusal(lab, value, unit).remedy == remedy


def test_how_late_a_sample_is_stands_in_the_refusal() -> None:
    with pytest.raises(LabRefused) as caught:
        check_sampling_date(date(2020, 3, 12), date(2020, 3, 10))
    assert caught.value.message.startswith("The blood was taken 2 days after the first PRRT cycle;")


@pytest.mark.parametrize(("days", "far"), [(0, False), (120, False), (-120, False), (121, True), (-121, True)])
def test_blood_and_pet_may_lie_120_days_apart(days: int, far: bool) -> None:
    labs = Labs(28, 25, 61, 419, date(2020, 3, 10))
    notices = sampling_notices(labs, date(2020, 3, 10) + timedelta(days))
    assert [one.code for one in notices] == ["LABS_FAR_FROM_PET"] * far
    assert not far or f"taken {abs(days)} days from the PET" in notices[0].message
    assert sampling_notices(labs, None) == sampling_notices(Labs(28, 25, 61, 419), date(2020, 3, 10)) == ()
