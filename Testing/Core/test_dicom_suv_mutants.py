"""SUVbw at the edges: each limit on both of its sides, each rule's other branch, each table against its source.

These are the behaviours that a changed source (`make mutation`) would else lose unnoticed. Expected numbers come from
definitions, published tables and the DICOM dictionary, not from the code under test.
"""

from __future__ import annotations

import math
from datetime import datetime, time, timedelta, timezone

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping
from test_dicom_suv_cases import (
    ADMIN_FACTOR,
    DOSE_BQ,
    HALF_LIFE_S,
    LAMBDA,
    START_FACTOR,
    UPTAKE_S,
    codes,
    each,
    enhanced,
    headers,
    injection,
    private,
    refusal,
    with_private,
)

from PRRTPredictorCore.dicom import suv
from PRRTPredictorCore.dicom.suv import suv_scale
from PRRTPredictorCore.dicom.suv_body import Body, to_body_weight
from PRRTPredictorCore.dicom.suv_clock import (
    acquisition_moments,
    frame_durations_s,
    parse_date_time,
    parse_time,
    scanner_zone,
)
from PRRTPredictorCore.dicom.suv_private import (
    GE_RADIONUCLIDE,
    GE_SCAN_DATETIME,
    GE_TRACER,
    PHILIPS_ACTIVITY_FACTOR,
    PHILIPS_SUV_FACTOR,
    PrivateElement,
    private_number,
    private_text,
    tells_of_series,
)
from PRRTPredictorCore.dicom.suv_times import decay_during_frame, mean_activity_time_s, uptake_s
from PRRTPredictorCore.dicom.suv_tracer import NUCLIDES, Nuclide, Tracer, tracer_of
from PRRTPredictorCore.dicom.suv_units import stored_unit
from PRRTPredictorCore.dicom.suv_values import SeriesHeaders, element, kinds
from PRRTPredictorCore.dicom.suv_worthy import require_attenuation_corrected, require_pet
from PRRTPredictorCore.errors import Code, SuvRefused

T_AVE_S = mean_activity_time_s(300.0, HALF_LIFE_S)
LATE = {"SeriesTime": "150000"}


def message(made: tuple[Dataset, ...]) -> str:
    with pytest.raises(SuvRefused) as caught:
        suv_scale(made)
    return caught.value.message


def uptake_of(scale: object) -> float:
    """Seconds from injection to reference time, worked back from the factor."""
    return math.log(float(scale.factors[0]) / ADMIN_FACTOR) / LAMBDA  # type: ignore[attr-defined]


# --- any number of slices ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Units": "GML", "SUVType": "BSA"} | {"Units": "CM2ML"},
        {"DecayCorrection": "NONE"},
        LATE,
        {"SeriesTime": None},
    ],
)
def test_one_slice_is_converted_as_many_are(changes: dict[str, object]) -> None:
    many = suv_scale(headers(4, FrameReferenceTime=T_AVE_S * 1000, **changes))
    one = suv_scale(headers(1, FrameReferenceTime=T_AVE_S * 1000, **changes))
    assert one.factors.shape == (1,)
    np.testing.assert_array_equal(many.factors, np.repeat(one.factors, 4))
    assert one.report == many.report


def test_one_slice_by_its_enhanced_unit_or_private_times() -> None:
    (only,) = enhanced()[:1]
    assert suv_scale((only,)).report.units == "BQML"
    made = headers(1, SeriesTime=None, AcquisitionTime=None)
    scan = private(0x0009, 0x100D, "20250101110000.00", "DT")
    np.testing.assert_allclose(suv_scale(with_private(made, scan)).factors, START_FACTOR, rtol=1e-12)


def test_the_report_has_the_factor_unless_the_values_are_suvbw_or_slices_differ() -> None:
    for changes in ({"Units": "CM2ML"}, {"Units": "GML", "SUVType": "LBM"}, {"Units": "GML", "SUVType": "IBW"}):
        scale = suv_scale(headers(**changes))
        assert scale.report.factor == scale.factors[0]
    made = headers(Units="CNTS")
    for number, item in enumerate(made):
        private(0x7053, 0x1000, 0.0005 * (1 + 1e-8 * number))(item)
    assert suv_scale(made).report.factor is None


def test_factors_that_differ_by_rounding_alone_are_one_and_the_first_slice_speaks_for_the_series() -> None:
    made = headers(Units="CNTS", Manufacturer="ACME")
    for number, item in enumerate(made):
        private(0x7053, 0x1000, 0.0005 * (1 + 1e-12 * number))(item)
    made[-1].Manufacturer = "OTHER"
    made[-1].RadiopharmaceuticalInformationSequence[0].Radiopharmaceutical = "DOTATOC"
    report = suv_scale(made).report
    assert (report.factor, report.manufacturer, report.tracer) == (0.0005, "ACME", "FDG F-18")


@pytest.mark.parametrize(
    ("values", "possible"),
    [
        ([0.0, 0.0], True),
        ([-1.0, -2.0], True),
        ([0.0, 0.5], True),
        ([0.0, 1e-4], True),
        ([0.0, 0.9e-4], False),
        ([0.0, 1e5], True),
        ([0.0, 1e5 + 0.5], False),
        ([-1e5, 1.0], True),
        ([-1e5 - 0.5, 1.0], False),
        ([math.nan, 1.0], True),
    ],
)
def test_suvs_that_a_patient_can_have(values: list[float], possible: bool) -> None:
    if possible:
        suv._require_possible(np.array(values))
        return
    with pytest.raises(SuvRefused, match="no patient can have") as caught:
        suv._require_possible(np.array(values))
    assert caught.value.code is Code.SUV_SCALE_FACTOR


# --- rescale, factors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"RescaleSlope": 0}, {"RescaleSlope": -0.5}, {"RescaleIntercept": 0.5}])
def test_a_rescale_that_moves_zero_or_turns_values_over_is_refused(changes: dict[str, object]) -> None:
    assert refusal(headers(**changes)) is Code.SUV_SCALE_FACTOR
    made = headers()
    for keyword, value in changes.items():
        setattr(made[-1], keyword, value)
    assert refusal(made) is Code.SUV_SCALE_FACTOR


def by_mapping(slope: float | None, intercept: float | None = 0.0, unit: str = "Bq/ml") -> tuple[Dataset, ...]:
    made = enhanced()
    for item in made:
        code, mapped = Dataset(), Dataset()
        code.CodeValue = unit
        mapped.MeasurementUnitsCodeSequence = [code]
        if slope is not None:
            mapped.RealWorldValueSlope = slope
        if intercept is not None:
            mapped.RealWorldValueIntercept = intercept
        item.RealWorldValueMappingSequence = [mapped]
        item.RescaleType, item.RescaleSlope = "US", 0.5
    return made


@pytest.mark.parametrize("slope", [0.0, -1.0, 1e308])
def test_a_mapping_that_leads_to_no_finite_positive_factor_is_refused(slope: float) -> None:
    assert refusal(by_mapping(slope)) is Code.SUV_SCALE_FACTOR


@pytest.mark.parametrize(("slope", "intercept"), [(None, 0.0), (1.0, None), (1.0, 0.5), (1.0, -0.5)])
def test_a_mapping_that_is_no_plain_factor_is_refused(slope: float | None, intercept: float | None) -> None:
    made = by_mapping(slope, intercept)
    assert refusal(made) is Code.SUV_SCALE_FACTOR
    assert "no plain factor" in message(made)


def test_a_mapping_to_suvbw_is_taken_as_it_stands() -> None:
    scale = suv_scale(by_mapping(0.25, unit="g/ml{SUVbw}"))
    assert scale.factors.tolist() == [0.5] * 3
    assert stored_unit(by_mapping(1.0, unit="{SUVbw}g/ml")).name == "GML"
    assert refusal(by_mapping(1.0, unit="mm")) is Code.UNITS_UNSUPPORTED


def test_mappings_to_other_units_are_passed_over() -> None:
    made = by_mapping(0.25)
    for item in made:
        others = [by_mapping(99.0, unit=unit)[0].RealWorldValueMappingSequence[0] for unit in ("1", "mm", "~")]
        item.RealWorldValueMappingSequence = [*others, *item.RealWorldValueMappingSequence]
    np.testing.assert_array_equal(suv_scale(made).factors, suv_scale(by_mapping(0.25)).factors)


def test_the_unit_is_named_where_it_is_refused() -> None:
    assert "PROPCNTS" in message(headers(Units="PROPCNTS"))
    assert "missing" in message(headers(Units=None))
    # Rescale Type tells the unit of enhanced objects alone.
    assert "missing" in message(headers(Units=None, RescaleType="BQML"))


@pytest.mark.parametrize("suv_factor", [-0.0005, math.nan])
def test_a_philips_factor_that_is_no_positive_number_is_as_none(suv_factor: float) -> None:
    made = with_private(
        headers(Units="CNTS"), private(0x7053, 0x1000, str(suv_factor), "LO"), private(0x7053, 0x1009, 2.5)
    )
    scale = suv_scale(made)
    np.testing.assert_allclose(scale.factors, 2.5 * START_FACTOR, rtol=1e-12)
    assert scale.report.path.startswith("CNTS, Philips activity scale factor (7053,1009), START")


# --- body -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "fits", "beyond", "code"),
    [
        ("PatientWeight", 1.0, 0.99, Code.SUV_WEIGHT),
        ("PatientWeight", 500.0, 500.5, Code.SUV_WEIGHT),
        ("PatientSize", 0.3, 0.29, Code.SUV_HEIGHT),
        ("PatientSize", 2.6, 2.61, Code.SUV_HEIGHT),
    ],
)
def test_limits_of_weight_and_height(keyword: str, fits: float, beyond: float, code: Code) -> None:
    suv_scale(headers(Units="CM2ML", **{keyword: fits}))
    assert refusal(headers(Units="CM2ML", **{keyword: beyond})) is code


def test_what_is_missing_is_not_called_wrong() -> None:
    assert "weight is missing" in message(headers(PatientWeight=None))
    assert "weight is missing" in message(headers(PatientWeight=0))
    assert message(headers(PatientWeight=70000)).startswith("70000 is no weight")
    assert "height is missing" in message(headers(Units="CM2ML", PatientSize=None))
    assert message(headers(Units="CM2ML", PatientSize=175)).startswith("175 is no height")
    assert "dose is missing" in message(headers(injected={"RadionuclideTotalDose": None}))
    assert message(headers(injected={"RadionuclideTotalDose": 4e11})).startswith("4e+11 is no injected dose")
    assert "the radionuclide too" in message(
        headers(injected={"RadionuclideHalfLife": None, "RadionuclideCodeSequence": None})
    )
    assert "several radionuclides" in message(
        headers(injected={"RadionuclideHalfLife": None, "Radiopharmaceutical": "Ga-68 DOTATOC"})
    )
    assert "the half-life of F-18" in message(headers(injected={"RadionuclideHalfLife": 4062.6}))
    two = {"RadionuclideHalfLife": 500.0, "Radiopharmaceutical": "Ga-68 DOTATOC"}
    assert "the half-life of F-18" in message(headers(injected=two))
    unnamed = {"RadionuclideHalfLife": 500.0, "RadionuclideCodeSequence": None}
    assert "of a PET radionuclide" in message(headers(injected=unnamed))
    assert "time of injection is missing" in message(
        headers(injected={"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": None})
    )
    for keyword in ("RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime"):
        unreadable: dict[str, object] = {
            "RadiopharmaceuticalStartTime": None,
            "RadiopharmaceuticalStartDateTime": None,
            keyword: "10",
        }
        assert "cannot be read" in message(headers(injected=unreadable))
    assert "does not tell how" in message(headers(DecayCorrection=None))
    assert "MAYBE is unknown" in message(headers(DecayCorrection="MAYBE"))
    assert "MAYBE is unknown" in message(enhanced(DecayCorrected="MAYBE"))
    assert "does not describe" in message(headers(RadiopharmaceuticalInformationSequence=None))
    assert "2 injections" in message(headers(RadiopharmaceuticalInformationSequence=[injection(), injection()]))


def test_a_normalising_mass_of_zero_or_less_is_refused_and_any_above_is_taken() -> None:
    # Ideal body weight of a woman: 45.5 kg + 0.91 kg for each cm above 152 cm.
    for height_cm in (102.0, 101.999, 90.0):
        with pytest.raises(SuvRefused) as caught:
            to_body_weight(Body(30.0, height_cm, "F"), "IBW")
        assert caught.value.code is Code.SUV_HEIGHT
    assert to_body_weight(Body(30.0, 102.001, "F"), "IBW") == pytest.approx(30.0 / 0.00091, rel=1e-6)


@pytest.mark.parametrize("suv_type", ["AREA", "IBW"])
def test_square_centimetres_normalise_by_body_surface_area_alone(suv_type: str) -> None:
    assert refusal(headers(Units="CM2ML", SUVType=suv_type)) is Code.SUV_TYPE


def test_a_sex_that_no_formula_knows_is_refused() -> None:
    assert refusal(headers(Units="GML", SUVType="LBM", PatientSex="X")) is Code.SUV_SEX


def test_body_surface_area_needs_no_sex() -> None:
    made = headers(Units="CM2ML", PatientSex=None)
    np.testing.assert_allclose(suv_scale(made).factors, 70_000 / (71.84 * 175**0.725 * 70**0.425), rtol=1e-12)


# --- dose and half-life -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("written", "bq"), [(1.0, 1e6), (9999.0, 9999e6), (1e6, 1e6), (1e10, 1e10)])
def test_limits_of_the_dose(written: float, bq: float) -> None:
    scale = suv_scale(headers(injected={"RadionuclideTotalDose": written}))
    np.testing.assert_allclose(scale.factors, START_FACTOR * DOSE_BQ / bq, rtol=1e-12)
    assert ("DOSE_READ_AS_MBQ" in codes(scale)) == (written < 1e4)


@pytest.mark.parametrize("written", [0.999, -368.08, 9999.5 + 0.5, 1e6 - 0.5, 1e10 + 1])
def test_doses_beyond_the_limits_are_refused(written: float) -> None:
    assert refusal(headers(injected={"RadionuclideTotalDose": written})) is Code.SUV_DOSE


def test_published_half_lives_in_seconds() -> None:
    published = {
        "F-18": 6586.2, "Ga-68": 4062.6, "Cu-64": 45723.6, "C-11": 1221.84, "N-13": 597.9, "O-14": 70.62,
        "O-15": 122.24, "Rb-82": 76.38, "Zr-89": 282276, "I-124": 360806.4, "Ge-68": 23410080, "Na-22": 82112875.2,
        "Sc-43": 14007.6, "Sc-44": 14551.2, "Cu-60": 1422, "Cu-61": 12020.4, "Cu-62": 580.38, "Ga-66": 34164,
        "Br-76": 58320, "Y-86": 53064, "Y-90": 230580, "Ti-45": 11088, "Mn-52": 483062.4, "Tb-152": 63000,
        "Lu-177": 574300.8, "In-111": 242326.08, "Tc-99m": 21624.12, "I-123": 47602.8, "I-131": 693360,
        "Ga-67": 281808, "Tl-201": 262440, "Sm-153": 166608, "Ho-166": 96480, "Re-186": 321321.6, "Re-188": 61200,
        "Cu-67": 222588, "Tb-161": 600480, "Pb-203": 186912, "Pb-212": 38232, "Ac-225": 857088, "Ra-223": 987552,
        "Xe-133": 453384, "Sr-89": 4368384,
    }  # fmt: skip
    assert {nuclide.name: nuclide.half_life_s for nuclide in NUCLIDES} == pytest.approx(published, rel=1e-12)


def test_codes_of_the_nuclides_are_those_of_the_dicom_dictionary() -> None:
    """Context group 4020 lists the nuclides of PET, 18 those of radiopharmaceuticals; 4021 and none say nothing."""
    for nuclide in NUCLIDES:
        named = {
            (meaning, code): cids
            for scheme in ("SCT", "DCM", "NCIt")
            for names in concepts[scheme].values()
            for code, (meaning, cids) in names.items()
            if code in nuclide.codes
        }
        if not nuclide.codes:
            assert nuclide.name in {"Tb-161", "Pb-212", "Ac-225"}
            assert not nuclide.positron
            continue
        assert nuclide.positron == (4020 in named[f"^{nuclide.mass}^{nuclide.element.capitalize()}", nuclide.codes[0]])
        assert [mapping["SRT"][older] for older in nuclide.codes[1:]] == [nuclide.codes[0]] * (len(nuclide.codes) - 1)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_written_half_life_may_be_off_by_five_per_cent(sign: int) -> None:
    def written(off: float) -> tuple[Dataset, ...]:
        return headers(injected={"RadionuclideHalfLife": 6586.2 * (1 + sign * off)})

    suv_scale(written(0.0499))
    assert refusal(written(0.0501)) is Code.SUV_HALF_LIFE


def test_the_half_life_of_an_unnamed_nuclide_is_that_of_some_positron_emitter() -> None:
    unnamed = {"RadionuclideCodeSequence": None, "Radiopharmaceutical": "x", "RadionuclideHalfLife": 45723.6}
    scale = suv_scale(headers(injected=unnamed))
    assert scale.report.tracer == "Cu-64"
    assert uptake_of(scale) * LAMBDA / math.log(2) * 45723.6 == pytest.approx(UPTAKE_S, rel=1e-9)


# --- decay ------------------------------------------------------------------------------------------------------------


def test_decay_during_frames_too_short_to_matter() -> None:
    assert decay_during_frame(0.0, HALF_LIFE_S) == 1.0
    decays = 8e-10
    assert decay_during_frame(decays / math.log(2), 1.0) - 1.0 == pytest.approx(decays / 2, rel=1e-5)
    assert mean_activity_time_s(1e-3, 3e7) == pytest.approx(5e-4, rel=1e-9)
    assert mean_activity_time_s(0.0, HALF_LIFE_S) == 0.0


@pytest.mark.parametrize(
    ("correction", "corrected", "contradicts"),
    [
        ("START", ["ATTN", "DECY"], False),
        ("START", ["ATTN"], True),
        ("START", None, False),
        ("NONE", ["ATTN"], False),
        ("NONE", ["ATTN", "DECY"], True),
        ("NONE", None, False),
        ("ADMIN", ["ATTN"], True),
    ],
)
def test_corrected_image_may_contradict_decay_correction(
    correction: str, corrected: list[str] | None, contradicts: bool
) -> None:
    made = headers(1, DecayCorrection=correction, CorrectedImage=corrected, AttenuationCorrectionMethod="CT")
    assert ("DECAY_CORRECTION_CONTRADICTED" in codes(suv_scale(made))) == contradicts


@pytest.mark.parametrize("last", [["ATTN"], ["ATTN", ""]])
def test_a_single_slice_may_contradict_decay_correction(last: list[str]) -> None:
    made = headers()
    made[-1].CorrectedImage = last
    assert "DECAY_CORRECTION_CONTRADICTED" in codes(suv_scale(made))


@pytest.mark.parametrize(
    ("apart_ms", "acquired_apart_s", "fits"), [(5000, 0, True), (5004, 0, False), (9000, 5, False), (9000, 6, True)]
)
def test_beds_told_apart_by_frame_reference_time_alone(apart_ms: float, acquired_apart_s: int, fits: bool) -> None:
    def bed(item: Dataset, number: int) -> None:
        item.AcquisitionTime = f"1100{acquired_apart_s * (number // 2):02d}"
        item.FrameReferenceTime = 150000 + apart_ms * (number // 2)

    made = each(headers(DecayCorrection="NONE"), bed)
    if fits:
        assert suv_scale(made).factors.shape == (3,)
    else:
        assert "same acquisition time" in message(made)


def test_beds_of_which_one_has_no_frame_reference_time_are_not_compared() -> None:
    made = headers(DecayCorrection="NONE")
    made[0].FrameReferenceTime = 900000
    del made[2].FrameReferenceTime
    assert suv_scale(made).factors.shape == (3,)


def test_an_uncorrected_slice_without_acquisition_time_is_refused() -> None:
    made = headers(DecayCorrection="NONE")
    del made[1].AcquisitionTime
    assert "when it was acquired" in message(made)


@pytest.mark.parametrize("duration", [0, -1000])
def test_a_frame_that_took_no_time_is_refused(duration: int) -> None:
    assert "how long it was acquired" in message(headers(DecayCorrection="NONE", ActualFrameDuration=duration))


def test_frames_last_fractions_of_seconds_too() -> None:
    assert frame_durations_s(headers(2, ActualFrameDuration=1500)) == (1.5, 1.5)


def test_a_frame_of_half_a_millisecond_is_a_frame() -> None:
    scale = suv_scale(headers(DecayCorrection="NONE", ActualFrameDuration=0.5))
    np.testing.assert_allclose(scale.factors, START_FACTOR, rtol=1e-7)


# --- the start of the scan --------------------------------------------------------------------------------------------


def test_series_time_may_lie_one_second_behind_the_first_acquisition() -> None:
    assert "from SeriesTime" in suv_scale(headers(SeriesTime="110001")).report.path
    later = headers(SeriesTime="110001.5", FrameReferenceTime=T_AVE_S * 1000)
    assert "FrameReferenceTime" in suv_scale(later).report.path


@pytest.mark.parametrize("day_digits", ["20241231", "20250102"])
def test_ge_scan_date_time_without_acquisition_time_must_be_of_the_same_day(day_digits: str) -> None:
    def made(on: str) -> tuple[Dataset, ...]:
        return with_private(
            headers(SeriesTime=None, AcquisitionTime=None), private(0x0009, 0x100D, f"{on}110000.00", "DT")
        )

    assert "cannot be found" in message(made(day_digits))
    assert uptake_of(suv_scale(made("20250101"))) == pytest.approx(UPTAKE_S, abs=1e-6)


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("by_ge", [False, True])
def test_a_scan_over_midnight_begins_on_the_earlier_day_whichever_slice_comes_first(first: int, by_ge: bool) -> None:
    injected = {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20250101225000"}
    made = headers(SeriesTime="235000", SeriesDate=None, AcquisitionTime=None, injected=injected)
    for number, item in enumerate(made):
        item.AcquisitionDate = "20250101" if number == first else "20250102"
        if by_ge:
            del item.SeriesTime
            private(0x0009, 0x100D, "20250101235000.00", "DT")(item)
    assert uptake_of(suv_scale(made)) == pytest.approx(UPTAKE_S, abs=1e-5)


@pytest.mark.parametrize("gone", ["FrameReferenceTime", "AcquisitionTime"])
def test_a_start_that_one_slice_does_not_tell_cannot_be_found(gone: str) -> None:
    made = headers(SeriesTime=None, FrameReferenceTime=T_AVE_S * 1000)
    delattr(made[1], gone)
    assert "cannot be found" in message(made)


def test_frame_reference_time_of_zero_is_a_time() -> None:
    """Frames of 8 s: the activity equals its mean 4 s after the start, to which offset 0 then points."""
    made = headers(SeriesTime=None, FrameReferenceTime=0, ActualFrameDuration=8000)
    assert uptake_of(suv_scale(made)) == pytest.approx(UPTAKE_S + mean_activity_time_s(8.0, HALF_LIFE_S), abs=1e-5)


@pytest.mark.parametrize(("apart_ms", "fits"), [(4000, True), (5000, True), (5001, False)])
def test_starts_may_spread_over_five_seconds_and_the_middle_is_taken(apart_ms: int, fits: bool) -> None:
    made = headers(**LATE)
    made[1].FrameReferenceTime = 150000 + apart_ms
    if fits:
        expected = UPTAKE_S + T_AVE_S - 150.0 - apart_ms / 2000
        assert uptake_of(suv_scale(made)) == pytest.approx(expected, abs=1e-5)
    else:
        assert "differ by 5 s" in message(made)


@pytest.mark.parametrize(("behind_s", "fits"), [(4.9, True), (5.0, True), (5.1, False)])
def test_the_start_may_lie_five_seconds_behind_the_first_slice(behind_s: float, fits: bool) -> None:
    made = headers(**LATE, FrameReferenceTime=(T_AVE_S - behind_s) * 1000)
    if fits:
        assert uptake_of(suv_scale(made)) == pytest.approx(UPTAKE_S + behind_s, abs=1e-5)
    else:
        assert "after the first of them" in message(made)


# --- the injection ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clock", "moment", "agree"),
    [
        ("100059", "20250101100000", True),
        ("100100", "20250101100000", False),
        ("095901", "20250101100000", True),
        ("095900", "20250101100000", False),
        ("235930", "20250101000029", True),
        ("235930", "20250101000030", False),
    ],
)
def test_two_times_of_injection_agree_within_a_minute_over_midnight_too(clock: str, moment: str, agree: bool) -> None:
    injected = {"RadiopharmaceuticalStartTime": clock, "RadiopharmaceuticalStartDateTime": moment}
    made = headers(injected=injected)
    if agree:
        started = datetime.strptime(moment, "%Y%m%d%H%M%S")
        expected = (datetime(2025, 1, 1, 11) - started).total_seconds()
        assert uptake_of(suv_scale(made)) == pytest.approx(expected, abs=1e-5)
    else:
        assert "two different times" in message(made)


@pytest.mark.parametrize(
    ("clock", "uptake_h"), [("110000", 0), ("120000", 23), ("233000", 11.5), ("230000", 12), ("225959", None)]
)
def test_an_undated_injection_is_of_the_day_or_the_evening_before(clock: str, uptake_h: float | None) -> None:
    injected = {"RadiopharmaceuticalStartTime": clock, "RadiopharmaceuticalStartDateTime": None}
    made = headers(SeriesTime="110000", AcquisitionTime="110000", injected=injected)
    if uptake_h is None or uptake_h == 23:
        assert "later than the scan" in message(made)
    else:
        assert uptake_of(suv_scale(made)) == pytest.approx(uptake_h * 3600, abs=1e-4)


def test_uptake_from_nothing_to_ten_half_lives() -> None:
    scan = datetime(2025, 1, 1, 11)
    assert uptake_s(scan, scan, 6000.0) == 0
    assert uptake_s(scan - timedelta(seconds=60_000), scan, 6000.0) == 60_000
    with pytest.raises(SuvRefused, match="after the scan"):
        uptake_s(scan + timedelta(milliseconds=500), scan, 6000.0)
    with pytest.raises(SuvRefused, match="12 half-lives"):
        uptake_s(scan - timedelta(seconds=69_600), scan, 6000.0)
    with pytest.raises(SuvRefused, match="10 half-lives"):
        uptake_s(scan - timedelta(seconds=60_001), scan, 6000.0)


def test_offsets_from_utc_on_both_sides_cancel() -> None:
    def made(moment: str, injected: str, clock: str | None) -> tuple[Dataset, ...]:
        found = enhanced(DecayCorrectionDateTime=moment)
        for item in found:
            told = item.RadiopharmaceuticalInformationSequence[0]
            told.RadiopharmaceuticalStartDateTime = injected
            told.RadiopharmaceuticalStartTime = clock
        return found

    expected = 70_000 / 1.5e8 * 2 ** (3600 / 4062.6)
    both = made("20200102090000+0000", "20200102100000+0200", "100000")
    np.testing.assert_allclose(suv_scale(both).factors, expected, rtol=1e-12)
    undated = made("20200102110000+0200", "", "100000")
    np.testing.assert_allclose(suv_scale(undated).factors, expected, rtol=1e-12)
    one_sided = made("20200102110000+0200", "20200102100000", "100000")
    assert "with and without an offset" in message(one_sided)
    unexplained = made("20200102110000", "20200102080000+0000", "")
    assert "with and without an offset" in message(unexplained)


# --- dates and times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1015", time(10, 15)),
        ("101530", time(10, 15, 30)),
        (" 101530.5 ", time(10, 15, 30, 500_000)),
        ("101530.000007", time(10, 15, 30, 7)),
        ("10:15:30", time(10, 15, 30)),
        ("235960", time(23, 59, 59)),
        ("101500", time(10, 15)),
        ("240000", None),
        ("106000", None),
        ("10", None),
        ("", None),
    ],
)
def test_times_as_dicom_writes_them(written: str, expected: time | None) -> None:
    assert parse_time(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("202501311015", datetime(2025, 1, 31, 10, 15)),
        ("20251231101530.25", datetime(2025, 12, 31, 10, 15, 30, 250_000)),
        ("20250131101530+0530", datetime(2025, 1, 31, 10, 15, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))),
        ("20250131101530-0345", datetime(2025, 1, 31, 10, 15, 30, tzinfo=timezone(-timedelta(hours=3, minutes=45)))),
        ("20250131101530+1400", datetime(2025, 1, 31, 10, 15, 30, tzinfo=timezone(timedelta(hours=14)))),
        ("20250131101530+1401", datetime(2025, 1, 31, 10, 15, 30)),
        ("20250230101530", None),
        ("20250131251530", None),
        ("20250131", None),
    ],
)
def test_date_times_as_dicom_writes_them(written: str, expected: datetime | None) -> None:
    assert parse_date_time(written) == expected


def test_the_scanners_zone() -> None:
    assert scanner_zone(headers()) is None
    assert scanner_zone(headers(TimezoneOffsetFromUTC="+0230")) == timezone(timedelta(hours=2, minutes=30))
    assert scanner_zone(headers(TimezoneOffsetFromUTC="-0100")) == timezone(-timedelta(hours=1))
    assert scanner_zone(headers(TimezoneOffsetFromUTC="+1500")) is None


def test_when_a_slice_was_acquired() -> None:
    def moment(**changes: object) -> datetime | None:
        (found,) = acquisition_moments(headers(1, **changes))
        return found

    assert moment() == datetime(2025, 1, 1, 11)
    assert moment(AcquisitionDate="20250102") == datetime(2025, 1, 2, 11)
    assert moment(AcquisitionTime=None) is None
    by_date_time = {"AcquisitionTime": None, "AcquisitionDateTime": "20250103101500+0000"}
    assert moment(**by_date_time) == datetime(2025, 1, 3, 10, 15)
    assert moment(**by_date_time, TimezoneOffsetFromUTC="+0200") == datetime(2025, 1, 3, 12, 15)
    assert moment(AcquisitionDate=None, SeriesDate="20250105") == datetime(2025, 1, 5, 11)
    assert moment(AcquisitionDate=None, SeriesDate=None) == datetime(2025, 1, 1, 11)
    assert moment(AcquisitionDate=None, SeriesDate=None, StudyDate=None) is None
    undated = {"AcquisitionDate": None, "AcquisitionTime": "001500"}
    assert moment(**undated, SeriesTime=None) == datetime(2025, 1, 1, 0, 15)
    assert moment(**undated, SeriesTime="121500") == datetime(2025, 1, 1, 0, 15)
    assert moment(**undated, SeriesTime="121501") == datetime(2025, 1, 2, 0, 15)


# --- private elements -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "tag", "maker"),
    [
        (PHILIPS_SUV_FACTOR, 0x70531000, "Philips PET Private Group"),
        (PHILIPS_ACTIVITY_FACTOR, 0x70531009, "Philips PET Private Group"),
        (GE_SCAN_DATETIME, 0x0009100D, "GEMS_PETD_01"),
        (GE_TRACER, 0x00091036, "GEMS_PETD_01"),
        (GE_RADIONUCLIDE, 0x0009103E, "GEMS_PETD_01"),
    ],
)
def test_private_elements_stand_where_the_conformance_statements_say(
    known: PrivateElement, tag: int, maker: str
) -> None:
    header = Dataset()
    header.add_new(tag, "LO", " 12.5 ")
    assert private_text(header, known) == "12.5"
    assert private_number(header, known) == 12.5
    header.add_new((tag & 0xFFFF0000) + 0x0010, "LO", maker.upper())
    assert private_text(header, known) == "12.5"
    header.add_new((tag & 0xFFFF0000) + 0x0010, "LO", "SOMEBODY ELSE")
    assert private_text(header, known) == ""
    assert private_number(header, known) is None


@pytest.mark.parametrize("other", ["SOMEBODY ELSE", "ACME"])
@pytest.mark.parametrize("block", [0x10, 0x11, 0xFF])
def test_a_maker_may_reserve_any_block(block: int, other: str) -> None:
    header = Dataset()
    header.add_new((0x7053, 0x0010), "LO", other)
    header.add_new((0x7053, block), "LO", "Philips PET Private Group")
    header.add_new((0x7053, (block << 8) + 0x09), "UN", b"0.5 ")
    assert private_number(header, PHILIPS_ACTIVITY_FACTOR) == 0.5


@pytest.mark.parametrize("beside", [0x000F, 0x0100])
def test_what_lies_beside_the_blocks_is_no_maker(beside: int) -> None:
    header = Dataset()
    header.add_new((0x7053, beside), "LO", "Philips PET Private Group")
    header.add_new((0x7053, 0x1009), "DS", "2.5")
    assert private_number(header, PHILIPS_ACTIVITY_FACTOR) == 2.5


def test_a_private_element_that_cannot_be_read_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(Dataset, "get", damaged)
    assert private_text(Dataset(), GE_TRACER) == ""


@pytest.mark.parametrize("written", ["inf", "nan", "", "x"])
def test_a_private_value_that_is_no_finite_number(written: str) -> None:
    header = Dataset()
    header.add_new((0x7053, 0x1000), "LO", written)
    assert private_number(header, PHILIPS_SUV_FACTOR) is None


@pytest.mark.parametrize(
    ("tag", "asked"),
    [
        (0x0009100D, True), (0x00091136, True), (0x0009FF3E, True), (0x00090010, True), (0x000900FF, True),
        (0x0009100E, False), (0x00091000, False), (0x00090100, False), (0x0009010D, True), (0x000B100D, False),
        (0x0007100D, False), (0x70531000, False), (0x70530010, False),
    ],
)  # fmt: skip
def test_private_elements_that_all_slices_must_share(tag: int, asked: bool) -> None:
    assert tells_of_series(tag) == asked


def test_slices_that_differ_in_what_is_asked_of_the_series_are_several_kinds() -> None:
    alike = headers(3)
    assert len(kinds(alike)) == len(SeriesHeaders(alike).kinds) == 1
    own = each(headers(3), lambda item, number: setattr(item, "AcquisitionTime", f"11000{number}"))
    assert len(kinds(own)) == 1
    for tag in (0x0009103E, 0x00090010):
        told = headers(3)
        told[1].add_new(tag, "LO", "x")
        assert len(kinds(told)) == 2
    aside = headers(3)
    aside[1].add_new(0x70531002, "LO", "x")
    assert len(kinds(aside)) == 1
    injected = headers(3)
    injected[2].RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose = 1e8
    assert len(kinds(injected)) == 2
    assert refusal(injected) is Code.SUV_DOSE


def test_a_refusal_names_its_elements_with_their_tags() -> None:
    assert element("PatientWeight", "SeriesTime") == "PatientWeight (0010,1030), SeriesTime (0008,0031)"


# --- what it is -------------------------------------------------------------------------------------------------------


def with_windows(*limits: float | None) -> tuple[Dataset, ...]:
    windows = []
    for limit in limits:
        window = Dataset()
        if limit is not None:
            window.EnergyWindowUpperLimit = limit
        windows.append(window)
    return headers(EnergyWindowRangeSequence=windows)


def test_energy_windows_of_pet_reach_450_kev() -> None:
    for fits in ((450.0,), (650.0,), (229.0, 650.0), (None,), (229.0, None), ()):
        require_pet(with_windows(*fits))
    for beyond in ((449.5,), (229.0, 400.0)):
        with pytest.raises(SuvRefused, match="511 keV"):
            require_pet(with_windows(*beyond))


def test_why_a_series_is_no_pet() -> None:
    assert message(headers(Modality="NM")) == "The modality is NM, not PT."
    assert message(headers(Modality="US")) == "The modality is US, not PT."
    require_pet(headers(SOPClassUID="1.2.840.10008.5.1.4.1.1.7", CountsSource="UNKNOWN"))
    assert message(headers(Modality=None)) == "The modality is not told, not PT."
    assert "nuclear medicine image" in message(headers(SOPClassUID="1.2.840.10008.5.1.4.1.1.20"))
    for collimator in ("PARA", "PINH", "FANB", "CONE", "SLNT", "ASTG", "DIVG"):
        assert "collimator" in message(headers(CollimatorType=collimator))
    require_pet(headers(CollimatorType="RING", CountsSource="EMISSION", SeriesType=["WHOLE BODY", "IMAGE"]))
    made = headers()
    made[2].CountsSource = "TRANSMISSION"
    assert "transmission" in message(made)


def test_a_half_life_that_a_positron_emitter_shares_is_no_reason_to_refuse() -> None:
    def unnamed(half_life: float) -> tuple[Dataset, ...]:
        injected = {"RadionuclideCodeSequence": None, "Radiopharmaceutical": "x", "RadionuclideHalfLife": half_life}
        return headers(injected=injected)

    require_pet(unnamed(63000.0))  # Tb-152, and Re-188
    require_pet(unnamed(1.0))  # nobody's
    with pytest.raises(SuvRefused, match="Tc-99m is no positron emitter"):
        require_pet(unnamed(21624.12))
    with pytest.raises(SuvRefused, match="Lu-177 is no positron emitter"):
        require_pet(unnamed(590000.0))  # Tb-161 as well
    with pytest.raises(SuvRefused, match="Lu-177 is no positron emitter"):
        require_pet(headers(injected={"Radiopharmaceutical": "Lu-177 DOTATATE"}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"CorrectedImage": ["NORM"]}, "is not corrected"),
        ({"CorrectedImage": None}, "does not prove"),
        ({"CorrectedImage": None, "AttenuationCorrected": "NO"}, "is not corrected"),
        ({"CorrectedImage": None, "AttenuationCorrected": "YES"}, ""),
        ({"CorrectedImage": None, "AttenuationCorrected": "MAYBE"}, "does not prove"),
        ({"CorrectedImage": None, "AttenuationCorrectionMethod": "No correction"}, "is not corrected"),
        ({"CorrectedImage": None, "AttenuationCorrectionMethod": "measured"}, ""),
        ({"CorrectedImage": ["NORM"], "AttenuationCorrected": "YES"}, "is not corrected"),
    ],
)
def test_attenuation_correction_must_be_proved(changes: dict[str, object], words: str) -> None:
    if not words:
        require_attenuation_corrected(headers(**changes))
        return
    with pytest.raises(SuvRefused, match=words) as caught:
        require_attenuation_corrected(headers(**changes))
    assert caught.value.code is Code.NOT_ATTENUATION_CORRECTED


# --- tracers ----------------------------------------------------------------------------------------------------------


def nuclide(name: str) -> Nuclide:
    return next(one for one in NUCLIDES if one.name == name)


def test_the_nuclide_is_the_one_that_fits_the_written_half_life() -> None:
    gallium, fluorine, copper = nuclide("Ga-68"), nuclide("F-18"), nuclide("Cu-64")
    assert Tracer("", (fluorine, gallium), 4062.6).nuclide == gallium
    assert Tracer("", (fluorine, gallium), None).nuclide == fluorine
    assert Tracer("", (fluorine, gallium), 45723.6).nuclide == fluorine
    assert Tracer("", (), 45723.6).nuclide == copper
    assert Tracer("", (), 1.0).nuclide is None
    assert Tracer("", (), None).nuclide is None
    assert Tracer("", (), None).name == ""
    assert Tracer("DOTATOC", (), None).name == "DOTATOC"


def test_tracers_that_bind_to_somatostatin_receptors() -> None:
    gallium, fluorine = (nuclide("Ga-68"),), (nuclide("F-18"),)
    assert Tracer("DOTATOC", gallium, None).binds_somatostatin_receptors
    assert Tracer("DOTATOC", (), None).binds_somatostatin_receptors
    assert not Tracer("DOTATOC", fluorine, None).binds_somatostatin_receptors
    assert not Tracer("FDG", fluorine, None).binds_somatostatin_receptors
    assert not Tracer("FDG", (), None).binds_somatostatin_receptors
    assert not Tracer("", (), None).binds_somatostatin_receptors


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Ga-68", "Ga-68"), ("68Ga-something", "Ga-68"), ("^68^Gallium", "Ga-68"), ("GALLIUM 68", "Ga-68"),
        ("68-Ga", "Ga-68"), ("Ga 680", ""), ("168Ga", ""), ("Tc99m", "Tc-99m"), ("I-131", "I-131"), ("SigA-68", ""),
        ("x" * 122 + " Ga-68", "Ga-68"), ("x" * 123 + " Ga-68", ""),
    ],
)  # fmt: skip
def test_nuclides_as_people_write_them(written: str, name: str) -> None:
    header = Dataset()
    header.Radiopharmaceutical = written
    assert tracer_of(header).name == name


def test_ge_names_its_tracer_in_private_elements() -> None:
    header = Dataset()
    header.add_new((0x0009, 0x1036), "LO", "DOTATOC")
    header.add_new((0x0009, 0x103E), "LO", "68Ga")
    assert tracer_of(header).name == "DOTATOC Ga-68"


def test_the_first_injection_names_the_tracer() -> None:
    header = Dataset()
    header.RadiopharmaceuticalInformationSequence = [injection(Radiopharmaceutical="DOTATOC"), injection()]
    assert tracer_of(header).name == "DOTATOC F-18"


def test_the_name_of_a_nuclide_goes_before_its_code() -> None:
    code = Dataset()
    code.CodeValue, code.CodeMeaning = "c-131a3", "^18^Fluorine"
    header = Dataset()
    header.RadiopharmaceuticalInformationSequence = [injection(RadionuclideCodeSequence=[code])]
    assert [one.name for one in tracer_of(header).nuclides] == ["F-18", "Ga-68"]


def test_what_is_said_of_an_unexpected_tracer() -> None:
    (notice,) = (one for one in suv_scale(headers()).notices if one.code == "TRACER_UNEXPECTED")
    assert notice.message.startswith("The tracer is FDG F-18;")
    (notice,) = suv_scale(headers(injected={"Radiopharmaceutical": "x"})).notices
    assert notice.message.startswith("The header does not name the radiopharmaceutical;")
