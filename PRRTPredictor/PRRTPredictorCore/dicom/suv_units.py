"""In which unit a PET image stores its values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ..errors import Code
from .suv_values import Headers, element, refused, shared, shared_text
from .values import items, number, text

SUPPORTED_UNITS = frozenset({"BQML", "GML", "CM2ML", "CNTS"})
_MULTI_FRAME_PET = frozenset({"1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1"})
_MEASURED_UNITS = {
    "bq/ml": "BQML",
    "g/ml{suvbw}": "GML",
    "{suvbw}g/ml": "GML",
}
"""UCUM codes of Real World Value Mapping (PS3.16 CID 84 and 85) by Units (0054,1001); in order of preference."""


@dataclass(frozen=True, eq=False)
class StoredUnit:
    """The unit of a series' values.

    Attributes
    ----------
    name : {"BQML", "GML", "CM2ML", "CNTS"}
    written : str
        As the header has it.
    per_rescaled : ndarray, shape (K,), float64
        This unit per rescaled value: 1 unless a Real World Value Mapping uses another slope than Rescale Slope.
    """

    name: str
    written: str
    per_rescaled: NDArray[np.float64]


def stored_unit(headers: Headers) -> StoredUnit:
    """Find the unit: Units (0054,1001); in enhanced objects Rescale Type, else a Real World Value Mapping.

    Raises
    ------
    SuvRefused
        UNITS_UNSUPPORTED where the unit is absent, or none that can be converted to SUVbw.
    """
    ones = np.ones(len(headers))
    written = shared_text(headers, "Units", Code.UNITS_UNSUPPORTED)
    if not written and text(headers[0], "SOPClassUID") in _MULTI_FRAME_PET:
        rescale_type = shared_text(headers, "RescaleType", Code.UNITS_UNSUPPORTED)
        if rescale_type.upper() in SUPPORTED_UNITS:
            return StoredUnit(rescale_type.upper(), rescale_type, ones)
        mapped = shared(headers, _mapped_unit, Code.UNITS_UNSUPPORTED, element("RealWorldValueMappingSequence"))
        if mapped:
            ratios = [_mapping_ratio(header, mapped) for header in headers]
            return StoredUnit(_MEASURED_UNITS[mapped], mapped, np.array(ratios))
    if written.upper() not in SUPPORTED_UNITS:
        raise refused(
            Code.UNITS_UNSUPPORTED,
            f"Values in {written} cannot be converted to SUV." if written else "The unit of the values is missing.",
            element("Units"),
            "Export the attenuation-corrected series in BQML (becquerels per millilitre) or as SUV by body weight.",
        )
    return StoredUnit(written.upper(), written, ones)


def _mappings(header: Dataset) -> Iterator[tuple[str, Dataset]]:
    for mapping in items(header, "RealWorldValueMappingSequence"):
        for code in items(mapping, "MeasurementUnitsCodeSequence"):
            yield text(code, "CodeValue").lower(), mapping


def _mapped_unit(header: Dataset) -> str:
    units = {unit for unit, _ in _mappings(header)}
    return next((unit for unit in _MEASURED_UNITS if unit in units), "")


def _mapping_ratio(header: Dataset, unit: str) -> float:
    mapping = next(mapping for found, mapping in _mappings(header) if found == unit)
    slope, intercept = number(mapping, "RealWorldValueSlope"), number(mapping, "RealWorldValueIntercept")
    rescale = number(header, "RescaleSlope")
    if slope is None or intercept != 0 or not rescale:
        raise refused(
            Code.SUV_SCALE_FACTOR,
            "The mapping of stored to real-world values is no plain factor.",
            element("RealWorldValueSlope", "RealWorldValueIntercept"),
            "Export the series as single-frame PET images.",
        )
    return slope / rescale
