"""What a cross-validation run is asked to do, and which of it decides the numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..imaging.preprocess import PreprocessConfig
from ..models.presets import Preset

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class RunConfig:
    """The settings of ``prrt train``.

    Attributes
    ----------
    models : tuple of str
        Registry names; the protocol runs them in the registry's order.
    folds, repeats : int
        Cross-validation (paper, section 2.6: 3 and 5).
    preset : str or Preset
        Name in ``models.presets.PRESETS``, or settings of one's own (control experiments).
    seed : int
        Every split and every fit derives its own seed from this one.
    device : {"auto", "cpu", "cuda"}
    jobs : int
        Fits side by side on the CPU; does not change any result.
    extras : tuple of str
        Further numeric columns of ``cohort.csv`` that join the four labs as tabular inputs.
    preprocess : PreprocessConfig
        How DICOM became model voxels.
    pretrained_weights : Path or None
        Weights of MONAI's ``wholeBody_ct_segmentation``; None: the encoder pretrained on phantoms.
    """

    models: tuple[str, ...]
    folds: int = 3
    repeats: int = 5
    preset: str | Preset = "tuned"
    seed: int = 0
    device: Device = "auto"
    jobs: int = 1
    extras: tuple[str, ...] = ()
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    pretrained_weights: Path | None = None
