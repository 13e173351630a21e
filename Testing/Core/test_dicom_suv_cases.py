"""SUVbw from headers alone: the 17 kinds of the IBSI digital reference objects, and what must be refused.

Every expected number is worked out here from the quantity's definition, not by the code under test.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from scipy.integrate import trapezoid
from suv_headers import (
    ADMIN_FACTOR,
    DOSE_BQ,
    HALF_LIFE_S,
    LAMBDA,
    START_FACTOR,
    UPTAKE_S,
    WEIGHT_G,
    codes,
    each,
    enhanced,
    headers,
    injected_item,
    injection,
    private,
    refusal,
    with_private,
)

from PRRTPredictorCore.dicom.suv import suv_scale
from PRRTPredictorCore.dicom.suv_body import Body, to_body_weight
from PRRTPredictorCore.dicom.suv_times import mean_activity_time_s
from PRRTPredictorCore.errors import Code

# --- the 17 kinds -----------------------------------------------------------------------------------------------------


def test_bqml_start():
    scale = suv_scale(headers())
    np.testing.assert_allclose(scale.factors, [START_FACTOR] * 3, rtol=1e-12)
    assert scale.report.factor == pytest.approx(START_FACTOR)
    assert scale.report.path == "BQML, START, reference time from SeriesTime"
    assert codes(scale) == {"TRACER_UNEXPECTED"}


def test_several_rescale_slopes_change_no_factor():
    def slope(item: Dataset, number: int) -> None:
        item.RescaleSlope = 0.5 + number

    np.testing.assert_allclose(suv_scale(each(headers(), slope)).factors, START_FACTOR, rtol=1e-12)


@pytest.mark.parametrize("suv_type", ["BW", "", None])
def test_gml_is_body_weight_unless_said_otherwise(suv_type: str | None):
    made = headers(Units="GML", **({} if suv_type is None else {"SUVType": suv_type}))
    for item in made:
        del item.PatientWeight
        del item.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose
    scale = suv_scale(made)
    assert scale.factors.tolist() == [1.0] * 3
    assert scale.report.factor is None
    assert scale.report.suv_type == "BW"


@pytest.mark.parametrize(
    ("suv_type", "sex", "measure_kg"),
    [
        ("LBMJAMES128", "M", 1.10 * 70 - 128 * 0.16),
        ("LBMJAMES128", "F", 1.07 * 70 - 148 * 0.16),
        ("LBMJAMES128", "O", 53.87),
        ("LBM", "M", 57.8),
        ("LBM", "F", 51.22),
        ("LBMJANMA", "M", 9270 * 70 / (6680 + 216 * 70 / 1.75**2)),
        ("LBMJANMA", "F", 9270 * 70 / (8780 + 244 * 70 / 1.75**2)),
        ("IBW", "M", 72.38),
        ("IBW", "F", 66.43),
        ("IBW", "O", 69.405),
    ],
)
def test_gml_normalised_otherwise(suv_type: str, sex: str, measure_kg: float):
    scale = suv_scale(headers(Units="GML", SUVType=suv_type, PatientSex=sex))
    np.testing.assert_allclose(scale.factors, 70.0 / measure_kg, rtol=1e-12)
    assert ("SEX_OTHER_MEAN" in codes(scale)) == (sex == "O")
    assert scale.report.suv_type == suv_type


def test_cm2ml_is_body_surface_area():
    scale = suv_scale(headers(Units="CM2ML", SUVType="BSA"))
    np.testing.assert_allclose(scale.factors, 70_000 / (71.84 * 175**0.725 * 70**0.425), rtol=1e-12)


def test_counts_with_philips_suv_factor_need_neither_weight_nor_dose_nor_times():
    made = with_private(headers(Units="CNTS", PatientWeight=None, SeriesTime=None), private(0x7053, 0x1000, 0.0005))
    for item in made:
        del item.RadiopharmaceuticalInformationSequence
    assert suv_scale(made).factors.tolist() == [0.0005] * 3


@pytest.mark.parametrize("suv_factor", [None, 0.0])
def test_counts_with_philips_activity_factor_only(suv_factor: float | None):
    changes = [private(0x7053, 0x1009, 2.5)]
    if suv_factor is not None:
        changes.append(private(0x7053, 0x1000, suv_factor))
    np.testing.assert_allclose(suv_scale(with_private(headers(Units="CNTS"), *changes)).factors, 2.5 * START_FACTOR)


def test_private_elements_with_creator_in_another_block_and_as_unknown_bytes():
    made = headers(Units="CNTS")
    for item in made:
        item.add_new((0x7053, 0x0010), "LO", "SOMEBODY ELSE")
        item.add_new((0x7053, 0x1000), "DS", "99")
        item.add_new((0x7053, 0x0011), "LO", "Philips PET Private Group")
        item.add_new((0x7053, 0x1100), "UN", b"0.0005 ")
    assert suv_scale(made).factors.tolist() == [0.0005] * 3


def test_dose_in_megabecquerel():
    scale = suv_scale(headers(injected={"RadionuclideTotalDose": 368.08}))
    np.testing.assert_allclose(scale.factors, START_FACTOR, rtol=1e-12)
    assert "DOSE_READ_AS_MBQ" in codes(scale)


def test_decay_corrected_to_administration_needs_no_times():
    made = headers(DecayCorrection="ADMIN", SeriesTime=None, AcquisitionTime=None)
    np.testing.assert_allclose(suv_scale(made).factors, ADMIN_FACTOR, rtol=1e-12)


def test_late_series_time_is_replaced_by_the_start_computed_back():
    t_ave = mean_activity_time_s(300.0, HALF_LIFE_S)
    made = headers(SeriesTime="150000", FrameReferenceTime=t_ave * 1000)
    scale = suv_scale(made)
    np.testing.assert_allclose(scale.factors, START_FACTOR, rtol=1e-6)
    assert "AcquisitionTime and FrameReferenceTime" in scale.report.path
    # The reference object rounds T_ave to half of the frame.
    np.testing.assert_allclose(suv_scale(headers(SeriesTime="150000")).factors, START_FACTOR, rtol=1e-4)


def test_late_series_time_with_beds_agrees_over_beds():
    t_ave = mean_activity_time_s(300.0, HALF_LIFE_S)

    def bed(item: Dataset, number: int) -> None:
        item.AcquisitionTime = f"11{5 * number:02d}00"
        item.FrameReferenceTime = (300.0 * number + t_ave) * 1000

    scale = suv_scale(each(headers(SeriesTime="150000"), bed))
    np.testing.assert_allclose(scale.factors, START_FACTOR, rtol=1e-6)


def test_late_series_time_and_disagreeing_beds_are_refused():
    def bed(item: Dataset, number: int) -> None:
        item.FrameReferenceTime = 303000.0 * number  # GE: one acquisition time, offsets of the frames' starts

    assert refusal(each(headers(SeriesTime="150000"), bed)) is Code.SUV_TIMES


def test_late_series_time_and_offsets_of_zero_are_refused():
    assert refusal(headers(SeriesTime="150000", FrameReferenceTime=0)) is Code.SUV_TIMES


@pytest.mark.parametrize("creator", ["", "GEMS_PETD_01"])
def test_ge_scan_date_time_where_series_time_is_late(creator: str):
    made = headers(SeriesTime="150000", AcquisitionTime="110500", FrameReferenceTime=0)
    scan = private(0x0009, 0x100D, "20250101110000.00", "DT", creator)
    scale = suv_scale(with_private(made, scan))
    np.testing.assert_allclose(scale.factors, START_FACTOR, rtol=1e-12)
    assert "0009,100D" in scale.report.path


@pytest.mark.parametrize("written", ["20241209110000.00", "20250101120000.00", "rubbish"])
def test_ge_scan_date_time_that_disagrees_is_not_used(written: str):
    made = headers(SeriesTime="150000", FrameReferenceTime=mean_activity_time_s(300.0, HALF_LIFE_S) * 1000)
    scale = suv_scale(with_private(made, private(0x0009, 0x100D, written, "LO")))
    np.testing.assert_allclose(scale.factors, START_FACTOR, rtol=1e-6)


def test_ge_scan_date_time_never_overrules_a_series_time_in_order():
    scale = suv_scale(with_private(headers(), private(0x0009, 0x100D, "20250101105000.00", "DT")))
    np.testing.assert_allclose(scale.factors, START_FACTOR, rtol=1e-12)


def test_uncorrected_decay_by_slice():
    def bed(item: Dataset, number: int) -> None:
        item.AcquisitionTime = f"11{10 * number:02d}00"

    scale = suv_scale(each(headers(DecayCorrection="NONE"), bed))
    decays = LAMBDA * 300.0
    expected = [
        WEIGHT_G / DOSE_BQ * decays / (1 - math.exp(-decays)) * math.exp(LAMBDA * (UPTAKE_S + 600.0 * number))
        for number in range(3)
    ]
    np.testing.assert_allclose(scale.factors, expected, rtol=1e-12)
    assert scale.report.factor is None
    assert "DECAY_CORRECTION_CONTRADICTED" in codes(scale)  # CorrectedImage says DECY


def test_uncorrected_decay_equals_the_mean_of_the_decaying_frame():
    """A frame that measures the mean activity of a decaying tissue of SUV 4 must give 4."""
    made = headers(DecayCorrection="NONE", ActualFrameDuration=1_800_000)
    seconds = np.linspace(UPTAKE_S, UPTAKE_S + 1800.0, 20_001)
    mean_bqml = trapezoid(4.0 * DOSE_BQ / WEIGHT_G * np.exp(-LAMBDA * seconds), seconds) / 1800.0
    np.testing.assert_allclose(mean_bqml * suv_scale(made).factors, 4.0, rtol=1e-7)


def test_uncorrected_decay_with_one_time_for_several_beds_is_refused():
    def bed(item: Dataset, number: int) -> None:
        item.FrameReferenceTime = 303000.0 * number

    assert refusal(each(headers(DecayCorrection="NONE"), bed)) is Code.SUV_TIMES


@pytest.mark.parametrize("gone", ["RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime"])
def test_one_injection_time_is_enough(gone: str):
    np.testing.assert_allclose(suv_scale(headers(injected={gone: None})).factors, START_FACTOR, rtol=1e-12)


@pytest.mark.parametrize("dated", [False, True])
def test_injection_before_midnight(dated: bool):
    injected: dict[str, object] = {"RadiopharmaceuticalStartTime": "233000"}
    injected["RadiopharmaceuticalStartDateTime"] = "20241231233000" if dated else None
    made = headers(SeriesTime="003000", AcquisitionTime="003000", injected=injected)
    np.testing.assert_allclose(suv_scale(made).factors, START_FACTOR, rtol=1e-12)


def test_gallium_68():
    nuclide = Dataset()
    # The reference object's own code is that of Ga-66; its meaning and half-life are right.
    nuclide.CodeValue, nuclide.CodeMeaning = "C-131A1", "^68^Gallium"
    injected = {"RadionuclideHalfLife": 4057.7, "RadionuclideCodeSequence": [nuclide], "Radiopharmaceutical": "Ga68"}
    scale = suv_scale(headers(injected=injected))
    np.testing.assert_allclose(scale.factors, ADMIN_FACTOR * 2 ** (UPTAKE_S / 4057.7), rtol=1e-12)
    assert scale.report.tracer == "Ga-68"


# --- enhanced PET -----------------------------------------------------------------------------------------------------


def test_enhanced_pet_by_decay_correction_date_time():
    expected = 70_000 / 1.5e8 * 2 ** (3600 / 4062.6)
    scale = suv_scale(enhanced())
    np.testing.assert_allclose(scale.factors, expected, rtol=1e-12)
    assert scale.report.tracer == "DOTATOC Ga-68"
    assert codes(scale) == set()
    with_offset = enhanced(DecayCorrectionDateTime="20200102090000+0000", TimezoneOffsetFromUTC="+0200")
    np.testing.assert_allclose(suv_scale(with_offset).factors, expected, rtol=1e-12)


def test_enhanced_pet_without_decay_correction():
    scale = suv_scale(enhanced(DecayCorrected="NO", DecayCorrectionDateTime=None))
    decays = math.log(2) * 120 / 4062.6
    expected = 70_000 / 1.5e8 * 2 ** (3600 / 4062.6) * decays / (1 - math.exp(-decays))
    np.testing.assert_allclose(scale.factors, expected, rtol=1e-12)


def test_enhanced_pet_refusals():
    assert refusal(enhanced(DecayCorrectionDateTime=None)) is Code.SUV_TIMES
    assert refusal(enhanced(DecayCorrected=None)) is Code.SUV_DECAY_CORRECTION
    assert refusal(enhanced(AttenuationCorrected="NO")) is Code.NOT_ATTENUATION_CORRECTED


def test_enhanced_pet_by_real_world_value_mapping():
    made = enhanced()
    for number, item in enumerate(made):
        unit, mapping = Dataset(), Dataset()
        unit.CodeValue, unit.CodingSchemeDesignator = "Bq/ml", "UCUM"
        mapping.MeasurementUnitsCodeSequence = [unit]
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = float(number + 1), 0.0
        item.RealWorldValueMappingSequence = [mapping]
        item.RescaleType = "US"
        item.RescaleSlope = 1.0
    plain = 70_000 / 1.5e8 * 2 ** (3600 / 4062.6)
    np.testing.assert_allclose(suv_scale(made).factors, [plain, 2 * plain, 3 * plain], rtol=1e-12)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Units": "PROPCNTS"}, Code.UNITS_UNSUPPORTED),
        ({"Units": "CPS"}, Code.UNITS_UNSUPPORTED),
        ({"Units": "1CM"}, Code.UNITS_UNSUPPORTED),
        ({"Units": None}, Code.UNITS_UNSUPPORTED),
        ({"Units": "CNTS"}, Code.SUV_SCALE_FACTOR),
        ({"Units": "GML", "SUVType": "BSA"}, Code.SUV_TYPE),
        ({"Units": "GML", "SUVType": "MAGIC"}, Code.SUV_TYPE),
        ({"Units": "CM2ML", "SUVType": "BW"}, Code.SUV_TYPE),
        ({"Units": "GML", "SUVType": "LBM", "PatientSex": None}, Code.SUV_SEX),
        ({"Units": "GML", "SUVType": "LBM", "PatientSize": None}, Code.SUV_HEIGHT),
        ({"Units": "GML", "SUVType": "LBM", "PatientSize": 175}, Code.SUV_HEIGHT),
        ({"Units": "GML", "SUVType": "IBW", "PatientSize": 0.9}, Code.SUV_HEIGHT),
        ({"Units": "GML", "SUVType": "LBM", "PatientWeight": None}, Code.SUV_WEIGHT),
        ({"PatientWeight": None}, Code.SUV_WEIGHT),
        ({"PatientWeight": 0}, Code.SUV_WEIGHT),
        ({"PatientWeight": -70}, Code.SUV_WEIGHT),
        ({"PatientWeight": 70000}, Code.SUV_WEIGHT),
        ({"DecayCorrection": None}, Code.SUV_DECAY_CORRECTION),
        ({"DecayCorrection": "MAYBE"}, Code.SUV_DECAY_CORRECTION),
        ({"CorrectedImage": ["NORM", "DECY"]}, Code.NOT_ATTENUATION_CORRECTED),
        ({"CorrectedImage": None}, Code.NOT_ATTENUATION_CORRECTED),
        ({"RescaleIntercept": -1024}, Code.SUV_SCALE_FACTOR),
        ({"RescaleIntercept": None}, Code.SUV_SCALE_FACTOR),
        ({"RescaleSlope": None}, Code.SUV_SCALE_FACTOR),
        ({"RescaleSlope": -1}, Code.SUV_SCALE_FACTOR),
        ({"SeriesTime": None, "AcquisitionTime": None}, Code.SUV_TIMES),
        ({"SeriesTime": None, "FrameReferenceTime": None}, Code.SUV_TIMES),
        ({"SeriesTime": None, "ActualFrameDuration": None}, Code.SUV_TIMES),
        ({"SeriesDate": "20250102", "AcquisitionDate": "20250102"}, Code.SUV_TIMES),
        ({"SeriesDate": "20241231", "AcquisitionDate": "20241231"}, Code.SUV_TIMES),
        ({"DecayCorrection": "NONE", "AcquisitionTime": None}, Code.SUV_TIMES),
        ({"DecayCorrection": "NONE", "ActualFrameDuration": None}, Code.SUV_TIMES),
        ({"Modality": "NM"}, Code.NOT_PET),
        ({"Modality": "CT"}, Code.NOT_PET),
        ({"CollimatorType": "PARA"}, Code.NOT_PET),
        ({"CountsSource": "TRANSMISSION"}, Code.NOT_PET),
        ({"SeriesType": ["WHOLE BODY", "REPROJECTION"]}, Code.NOT_PET),
        ({"RadiopharmaceuticalInformationSequence": None}, Code.SUV_DOSE),
    ],
)
def test_what_the_header_cannot_prove_is_refused(changes: dict[str, object], code: Code):
    assert refusal(headers(**changes)) is code


@pytest.mark.parametrize(
    ("injected", "code"),
    [
        ({"RadionuclideTotalDose": None}, Code.SUV_DOSE),
        ({"RadionuclideTotalDose": 0}, Code.SUV_DOSE),
        ({"RadionuclideTotalDose": -1e8}, Code.SUV_DOSE),
        ({"RadionuclideTotalDose": 5e5}, Code.SUV_DOSE),
        ({"RadionuclideTotalDose": 4e11}, Code.SUV_DOSE),
        ({"RadionuclideHalfLife": 0}, Code.SUV_HALF_LIFE),
        ({"RadionuclideHalfLife": 109.77}, Code.SUV_HALF_LIFE),
        ({"RadionuclideHalfLife": 4062.6}, Code.SUV_HALF_LIFE),
        ({"RadionuclideHalfLife": None, "RadionuclideCodeSequence": None}, Code.SUV_HALF_LIFE),
        ({"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": None}, Code.SUV_TIMES),
        ({"RadiopharmaceuticalStartTime": "093000"}, Code.SUV_TIMES),
        ({"RadiopharmaceuticalStartTime": "120000", "RadiopharmaceuticalStartDateTime": None}, Code.SUV_TIMES),
        ({"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20250102100000"}, Code.SUV_TIMES),
        ({"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20241209100000"}, Code.SUV_TIMES),
        ({"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": "20250101"}, Code.SUV_TIMES),
    ],
)
def test_a_doubtful_injection_is_refused(injected: dict[str, object], code: Code):
    assert refusal(headers(injected=injected)) is code


@pytest.mark.parametrize("name", ["Lu-177 DOTATATE", "177Lu-DOTATATE", "In-111 pentetreotide", "Tc99m MIBI", "I-131"])
def test_a_single_photon_tracer_is_no_pet(name: str):
    made = headers(injected={"Radiopharmaceutical": name, "RadionuclideCodeSequence": None})
    assert refusal(made) is Code.NOT_PET


@pytest.mark.parametrize("units", ["BQML", "GML", "CNTS"])
def test_lutetium_by_code_or_half_life_alone_is_no_pet(units: str):
    nuclide = Dataset()
    nuclide.CodeValue, nuclide.CodeMeaning = "447553000", "?"
    by_code = {"RadionuclideCodeSequence": [nuclide]}
    by_half_life = {"RadionuclideCodeSequence": None, "Radiopharmaceutical": "x", "RadionuclideHalfLife": 574_300}
    assert refusal(headers(Units=units, injected=by_code)) is Code.NOT_PET
    assert refusal(headers(Units=units, injected=by_half_life)) is Code.NOT_PET


def test_low_energy_window_is_no_pet():
    window = Dataset()
    window.EnergyWindowLowerLimit, window.EnergyWindowUpperLimit = 187, 229
    assert refusal(headers(EnergyWindowRangeSequence=[window])) is Code.NOT_PET


def test_two_injections_are_refused():
    assert refusal(headers(RadiopharmaceuticalInformationSequence=[injection(), injection()])) is Code.SUV_DOSE


@pytest.mark.parametrize(
    ("keyword", "value", "code"),
    [
        ("PatientWeight", 80, Code.SUV_WEIGHT),
        ("Units", "GML", Code.UNITS_UNSUPPORTED),
        ("DecayCorrection", "ADMIN", Code.SUV_DECAY_CORRECTION),
        ("SeriesTime", "110100", Code.SUV_TIMES),
    ],
)
def test_slices_that_contradict_each_other_are_refused(keyword: str, value: object, code: Code):
    made = headers()
    setattr(made[1], keyword, value)
    assert refusal(made) is code


def test_a_factor_that_one_slice_lacks_is_refused():
    made = headers(Units="CNTS")
    private(0x7053, 0x1000, 0.0005)(made[0])
    assert refusal(made) is Code.SUV_SCALE_FACTOR


def test_no_slices_are_refused():
    assert refusal(()) is Code.NOT_PET


def test_dates_at_the_end_of_the_calendar_are_refused():
    made = headers(
        SeriesDate="00010101",
        AcquisitionDate="00010101",
        SeriesTime="000100",
        AcquisitionTime="000100",
        injected={"RadiopharmaceuticalStartDateTime": None},
    )
    assert refusal(made) is Code.SUV_TIMES


# --- permitted with a word --------------------------------------------------------------------------------------------


def test_half_life_from_the_radionuclide():
    scale = suv_scale(headers(injected={"RadionuclideHalfLife": None}))
    np.testing.assert_allclose(scale.factors, ADMIN_FACTOR * 2 ** (UPTAKE_S / (109.77 * 60)), rtol=1e-12)
    assert "HALF_LIFE_FROM_RADIONUCLIDE" in codes(scale)


def test_attenuation_correction_method_proves_it_where_corrected_image_is_absent():
    made = headers(CorrectedImage=None, AttenuationCorrectionMethod="CT-derived mu-map")
    np.testing.assert_allclose(suv_scale(made).factors, START_FACTOR, rtol=1e-12)
    assert refusal(headers(CorrectedImage=None, AttenuationCorrectionMethod="NONE")) is Code.NOT_ATTENUATION_CORRECTED


def test_without_acquisition_time_series_time_is_used_with_a_word():
    scale = suv_scale(headers(AcquisitionTime=None))
    np.testing.assert_allclose(scale.factors, START_FACTOR, rtol=1e-12)
    assert "REFERENCE_TIME_UNVERIFIED" in codes(scale)


@pytest.mark.parametrize(
    ("written", "zone"),
    [("20250101090000+0000", "+0100"), ("20250101100000+0100", None), ("20250101040000-0500", "+0100")],
)
def test_offset_from_utc(written: str, zone: str | None):
    made = headers(injected={"RadiopharmaceuticalStartDateTime": written})
    for item in made:
        if zone:
            item.TimezoneOffsetFromUTC = zone
    np.testing.assert_allclose(suv_scale(made).factors, START_FACTOR, rtol=1e-12)


def test_an_offset_that_nothing_explains_is_refused():
    injected = {"RadiopharmaceuticalStartDateTime": "20250101090000+0000", "RadiopharmaceuticalStartTime": None}
    assert refusal(headers(injected=injected)) is Code.SUV_TIMES


def test_acquisition_after_midnight_without_its_own_date():
    def bed(item: Dataset, number: int) -> None:
        item.AcquisitionTime = ("235000", "235500", "000500")[number]
        item.SeriesTime = "235000"
        del item.AcquisitionDate
        injected_item(item).RadiopharmaceuticalStartDateTime = "20250101225000"
        injected_item(item).RadiopharmaceuticalStartTime = "225000"

    np.testing.assert_allclose(suv_scale(each(headers(), bed)).factors, START_FACTOR, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "code", "half_life", "expected", "bound"),
    [
        ("DOTATOC", "", 4062.6, "DOTATOC Ga-68", True),
        ("68Ga-dota-tate", "", 4062.6, "DOTATATE Ga-68", True),
        ("Edotreotide Ga^68^", "", 4062.6, "DOTATOC Ga-68", True),
        ("Cu-64 DOTATATE (Detectnet)", "", 45724.0, "DOTATATE Cu-64", True),
        ("[68Ga]Ga-DOTANOC", "", 4062.6, "DOTANOC Ga-68", True),
        ("18F-SiTATE", "", 6586.2, "SiFAlin-TATE F-18", True),
        ("solution", "724025002", 4062.6, "DOTATATE Ga-68", True),
        ("DOTATOC", "", 6586.2, "DOTATOC F-18", False),
        ("FLUORODEOXYGLUCOSE", "", 6586.2, "FDG F-18", False),
        ("Ga68-PSMA", "", 4062.6, "PSMA Ga-68", False),
        ("solution", "", 4062.6, "Ga-68", False),
    ],
)
def test_tracers(name: str, code: str, half_life: float, expected: str, bound: bool):
    injected: dict[str, object] = {
        "Radiopharmaceutical": name,
        "RadionuclideHalfLife": half_life,
        "RadionuclideCodeSequence": None,
    }
    if code:
        agent = Dataset()
        agent.CodeValue = code
        injected["RadiopharmaceuticalCodeSequence"] = [agent]
    scale = suv_scale(headers(injected=injected))
    assert scale.report.tracer == expected
    assert ("TRACER_UNEXPECTED" in codes(scale)) == (not bound)


def test_free_text_of_the_header_is_not_passed_on():
    scale = suv_scale(headers(injected={"Radiopharmaceutical": "CANARY FOR MRS SMITH"}))
    assert "CANARY" not in repr(scale)


# --- properties -------------------------------------------------------------------------------------------------------


@given(
    duration=st.floats(1e-3, 7200),
    half_life=st.floats(60, 3e7),
)
def test_mean_activity_time_is_where_the_decay_curve_meets_its_mean(duration: float, half_life: float):
    decay = math.log(2) / half_life
    mean = -math.expm1(-decay * duration) / (decay * duration)
    at = mean_activity_time_s(duration, half_life)
    assert 0 < at <= duration / 2 * (1 + 1e-6)
    assert math.exp(-decay * at) == pytest.approx(mean, rel=1e-9)


@given(weight=st.floats(30, 130), height=st.floats(140, 210))
def test_sex_other_lies_between_the_sexes(weight: float, height: float):
    for suv_type in ("LBM", "LBMJAMES128", "LBMJANMA", "IBW"):
        male, female, other = (to_body_weight(Body(weight, height, sex), suv_type) for sex in ("M", "F", "O"))
        assert min(male, female) - 1e-9 <= other <= max(male, female) + 1e-9


@given(weight=st.floats(30, 200), dose=st.floats(2e7, 9e9), minutes=st.integers(0, 300))
def test_suv_scales_with_weight_over_dose(weight: float, dose: float, minutes: int):
    clock = f"{11 + minutes // 60:02d}{minutes % 60:02d}00"
    made = headers(
        PatientWeight=weight, SeriesTime=clock, AcquisitionTime=clock, injected={"RadionuclideTotalDose": dose}
    )
    expected = weight * 1000 / dose * math.exp(LAMBDA * (3600 + 60 * minutes))
    np.testing.assert_allclose(suv_scale(made).factors, expected, rtol=1e-9)
