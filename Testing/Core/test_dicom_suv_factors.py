"""From header to factor: any number of slices, rescale and mappings, and SUVs that a patient can have."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydicom.dataset import Dataset
from suv_headers import START_FACTOR, T_AVE_S, enhanced, headers, message, private, refusal, with_private

from PRRTPredictorCore.dicom import suv
from PRRTPredictorCore.dicom.suv import suv_scale
from PRRTPredictorCore.dicom.suv_units import stored_unit
from PRRTPredictorCore.errors import Code, SuvRefused

LATE = {"SeriesTime": "150000"}


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
