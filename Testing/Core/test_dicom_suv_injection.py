"""Weight, height, sex, dose and half-life at the edges of what is believed, and what each refusal says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping
from suv_headers import (
    DOSE_BQ,
    LAMBDA,
    START_FACTOR,
    UPTAKE_S,
    codes,
    enhanced,
    headers,
    injection,
    message,
    refusal,
    uptake_of,
)

from PRRTPredictorCore.dicom.suv import suv_scale
from PRRTPredictorCore.dicom.suv_body import Body, to_body_weight
from PRRTPredictorCore.dicom.suv_tracer import NUCLIDES
from PRRTPredictorCore.errors import Code, SuvRefused

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
