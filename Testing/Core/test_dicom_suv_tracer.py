"""What was injected, and whether a series is a quantitative PET at all."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from suv_headers import headers, injection, message

from PRRTPredictorCore.dicom.suv import suv_scale
from PRRTPredictorCore.dicom.suv_tracer import NUCLIDES, Nuclide, Tracer, tracer_of
from PRRTPredictorCore.dicom.suv_worthy import require_attenuation_corrected, require_pet
from PRRTPredictorCore.errors import Code, SuvRefused

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
