"""Where makers keep their private elements, and what all slices must share."""

from __future__ import annotations

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from suv_headers import each, headers, refusal

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
from PRRTPredictorCore.dicom.suv_values import SeriesHeaders, element, kinds
from PRRTPredictorCore.errors import Code


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


def test_a_damaged_value_is_told_to_nobody(recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture) -> None:
    written = b"\x1b_MUSTER^MAX"  # an escape sequence of no character set
    tags = (Tag(0x70530010), Tag(0x70531009))
    header = Dataset({tag: RawDataElement(tag, "LO", len(written), written, 0, False, True) for tag in tags})
    private_text(header, PHILIPS_ACTIVITY_FACTOR)
    assert [str(warning.message) for warning in recwarn if warning.category is not ResourceWarning] == []
    assert caplog.text == ""


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
