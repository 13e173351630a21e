"""Whether a new patient lies within what the model has seen in training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..cohort.labs import input_title
from ..records import Notice, PreparedStudy, TrainingRanges

FIELD_OF_VIEW_TOLERANCE = 0.1
"""Share by which a field of view may leave the training range before it is called unlike."""

SUV_TOLERANCE = 0.5
"""The same for the brightness of the PET, which varies far more between patients."""

AXES = ("head–foot", "anterior–posterior", "left–right")


def range_notices(ranges: TrainingRanges, study: PreparedStudy, tabular: Mapping[str, float]) -> tuple[Notice, ...]:
    """Name every input that lies outside of the training cohort.

    Parameters
    ----------
    ranges : TrainingRanges
    study : PreparedStudy
        PET in SUVbw on the common grid.
    tabular : mapping of str to float
        Labs and extras in their own units.
    """
    return (*_tabular(ranges, tabular), *_brightness(ranges, study), *_field_of_view(ranges, study))


def _tabular(ranges: TrainingRanges, tabular: Mapping[str, float]) -> list[Notice]:
    return [
        Notice(
            "LAB_OUT_OF_TRAINING_RANGE",
            f"{input_title(name)} {value:g} lies outside of the training cohort's {low:g} to {high:g}.",
        )
        for name, value in tabular.items()
        for low, high in (ranges.tabular.get(name, (-np.inf, np.inf)),)
        if not low <= value <= high
    ]


def _brightness(ranges: TrainingRanges, study: PreparedStudy) -> list[Notice]:
    low, high = ranges.suv_p99
    value = float(np.quantile(study.pet, 0.99))
    if low * (1 - SUV_TOLERANCE) <= value <= high * (1 + SUV_TOLERANCE):
        return []
    message = f"The PET's 99th percentile is SUV {value:.1f}; the training cohort had {low:.1f} to {high:.1f}."
    return [Notice("SUV_OUT_OF_TRAINING_RANGE", message)]


def _field_of_view(ranges: TrainingRanges, study: PreparedStudy) -> list[Notice]:
    extents = zip(AXES, study.grid.field_of_view_mm, ranges.field_of_view_mm, strict=True)
    unlike = [
        f"{axis} {value:.0f} mm (training {low:.0f} to {high:.0f})"
        for axis, value, (low, high) in extents
        if not low * (1 - FIELD_OF_VIEW_TOLERANCE) <= value <= high * (1 + FIELD_OF_VIEW_TOLERANCE)
    ]
    if not unlike:
        return []
    return [Notice("FIELD_OF_VIEW_UNLIKE", f"The field of view is unlike the training cohort's: {', '.join(unlike)}.")]
