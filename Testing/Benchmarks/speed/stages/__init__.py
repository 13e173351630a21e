"""One module a topic; each gives its stages (and sweeps) from the shared workplace, nothing heavy at import."""

from __future__ import annotations

TOPICS = (
    "dicom",
    "common_grid",
    "cohort_tensors",
    "folds",
    "pretrained",
    "saliency",
    "predict",
    "synthetic",
    "scaling",
)
"""Modules of this package, in the order of the table."""
