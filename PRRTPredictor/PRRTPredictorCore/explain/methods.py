"""The ways to ask a network where it looked, as data; known without loading torch or captum."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

SaliencyMethod = Literal["gradient", "smoothgrad", "integrated"]

METHOD_TITLES: Mapping[SaliencyMethod, str] = MappingProxyType(
    {
        "gradient": "Gradient",
        "smoothgrad": "SmoothGrad",
        "integrated": "Integrated gradients",
    }
)

METHOD_WORDS: Mapping[SaliencyMethod, str] = MappingProxyType(
    {
        "gradient": "how much the probability would change if one voxel changed a little",
        "smoothgrad": "the same gradient averaged over 24 copies of the images with random noise, so that what hangs "
        "on a single voxel's exact value fades",
        "integrated": "how much of the probability each voxel adds on the way from an empty image (no uptake, air) to "
        "the patient's own",
    }
)
