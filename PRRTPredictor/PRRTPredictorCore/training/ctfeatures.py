"""What the frozen stages of the pretrained CT branch make of each CT: the same in every fold, so computed once."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..files import replacing, write_bytes
from ..imaging.keys import file_hash
from ..models.registry import ModelSpec
from ..progress import Progress
from .data import TrainingData
from .engine import FitSettings, network_setup, one_thread

PATTERN = ".ct-features-*.npy"

AT_A_TIME = 2
"""Patients; more of them would need more memory and no less time."""


def with_ct_features(
    data: TrainingData, spec: ModelSpec, settings: FitSettings, run: Path, progress: Progress
) -> TrainingData:
    """Compute the frozen features of all patients into the run folder, or find them there.

    Nothing is fitted and no patient's features depend on another's, so held-out patients cannot leak into a fold.

    Returns
    -------
    TrainingData
        With ``ct_features`` set.

    Raises
    ------
    RunFailed
        ``OUTPUT`` when they cannot be written.
    """
    setup = network_setup(spec, settings)
    encoder = setup.ct_encoder.sha256 if setup.ct_encoder else ""
    keys = [data.images.content_key(code) for code in data.codes]
    named = "|".join((encoder, str(setup.trainable_stages), settings.device, *keys))
    target = run / PATTERN.replace("*", hashlib.sha256(named.encode()).hexdigest()[:16])
    if not _is_intact(target):
        with replacing(target) as temporary:
            _compute(temporary, data, spec, settings, progress)
            sha256 = file_hash(temporary)
        write_bytes(_sidecar(target), sha256.encode("ascii"))
    return replace(data, ct_features=target)


def remove_ct_features(run: Path) -> None:
    """Remove the features when no fold needs them any more."""
    for leftover in (*run.glob(PATTERN), *run.glob(_sidecar(run / PATTERN).name)):
        leftover.unlink(missing_ok=True)


def _sidecar(target: Path) -> Path:
    return target.with_suffix(".sha256")


def _is_intact(target: Path) -> bool:
    """Whether the features are those that were computed: wrong ones would make wrong models without a word."""
    try:
        return _sidecar(target).read_text(encoding="ascii") == file_hash(target)
    except (OSError, ValueError):
        return False


def _compute(target: Path, data: TrainingData, spec: ModelSpec, settings: FitSettings, progress: Progress) -> None:
    setup = network_setup(spec, settings)
    network = setup.build(data.tabular.shape[1]).eval()
    # Written row by row: through a memory map, a full disk would end the process (SIGBUS) instead of being an error.
    with one_thread(settings.device), target.open("wb") as stream:
        for row in range(0, len(data.codes), AT_A_TIME):
            progress("frozen CT features", row, len(data.codes))
            rows = range(row, min(row + AT_A_TIME, len(data.codes)))
            ct = torch.from_numpy(data.stack("ct", rows)).unsqueeze(1).to(setup.device)
            features = network.frozen_features(ct).float().cpu().numpy()
            if row == 0:
                layout = {
                    "descr": np.lib.format.dtype_to_descr(features.dtype),
                    "fortran_order": False,
                    "shape": (len(data.codes), *features.shape[1:]),
                }
                np.lib.format.write_array_header_1_0(stream, layout)
            stream.write(features.tobytes())
        progress("frozen CT features", len(data.codes), len(data.codes))
