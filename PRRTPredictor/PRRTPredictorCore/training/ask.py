"""What a fitted network says of held-out patients: logits, embeddings and gradients, in one pass over the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.answers import ask
from .heldout import GradientHistograms, HeldOutEmbeddings, HeldOutGradients, HeldOutPermutations
from .permuting import shuffled_answers, tabular_groups

if TYPE_CHECKING:
    from ..models.fitted import FittedNetwork
    from ..records import Image
    from .data import TrainingData
    from .records import FoldTask

BATCH = 4

FROZEN_CT_GRADIENTS = 4
"""Held-out patients a fold whose CT gradient is taken through a pretrained encoder: on a CPU it costs as much as many
training steps, and the distribution over 15 folds does not need everyone."""


@dataclass(frozen=True, eq=False)
class HeldOutAnswers:
    """Logits [n] of the held-out patients and what else a fold leaves of them.

    Attributes
    ----------
    fusion_inputs : ndarray, shape (n, D)
        What the MLP's first layer received, for :func:`shuffled_network_answers`.
    """

    logits: NDArray[np.float64]
    fusion_inputs: NDArray[np.float64]
    embeddings: HeldOutEmbeddings
    gradients: HeldOutGradients


def ask_network(fitted: FittedNetwork, data: TrainingData, rows: NDArray[np.int64]) -> HeldOutAnswers:
    """Predict the patients at ``rows`` and differentiate the answer with respect to their inputs.

    The logit of a patient of whom an input is not finite is NaN, also where a window would make a number of it. What
    else there is of him comes from his inputs with zeros instead, so that the others' can be stored and read.
    """
    spec = fitted.spec
    pretrained = spec.ct_encoder == "pretrained"
    parts = [
        _ask_batch(fitted, data, rows[start : start + BATCH], ct_gradient=not pretrained or start < FROZEN_CT_GRADIENTS)
        for start in range(0, len(rows), BATCH)
    ]
    codes = tuple(data.codes[row] for row in rows)

    def histograms(image: Image, used: bool) -> GradientHistograms | None:
        found = [part.histograms[image] for part in parts if image in part.histograms]
        return GradientHistograms.stack(found, len(rows)) if used and found else None

    labs = [part.lab_contributions for part in parts if part.lab_contributions is not None]
    return HeldOutAnswers(
        logits=np.concatenate([part.logits for part in parts]),
        fusion_inputs=np.concatenate([part.fusion_inputs for part in parts]),
        embeddings=HeldOutEmbeddings(codes, np.concatenate([part.embeddings for part in parts])),
        gradients=HeldOutGradients(
            codes=codes,
            feature_names=data.feature_names,
            pet=histograms("pet", spec.uses_pet),
            ct=histograms("ct", spec.uses_ct),
            lab_contributions=np.concatenate(labs) if labs else None,
            lab_method="gradient x input" if labs else "none",
        ),
    )


def shuffled_network_answers(
    fitted: FittedNetwork, answers: HeldOutAnswers, names: Sequence[str], task: FoldTask, seed: int
) -> HeldOutPermutations:
    """Answers with one tabular input, all of them, or one image taken from another held-out patient.

    Shuffling happens where image embeddings and tabular inputs meet, so that no image is looked at again.
    """
    spec, device = fitted.spec, fitted.recalibration.device
    n_tabular = fitted.n_tabular
    images = [image for image, used in (("pet", spec.uses_pet), ("ct", spec.uses_ct)) if used]
    width = (answers.fusion_inputs.shape[1] - n_tabular) // len(images)
    groups: dict[str, Sequence[int]] = {
        image: range(place * width, (place + 1) * width) for place, image in enumerate(images)
    }
    if n_tabular:
        groups = {**tabular_groups(names, len(images) * width), **groups}

    def answer(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        with torch.no_grad():
            hidden = fitted.network.hidden(torch.from_numpy(inputs.astype(np.float32)).to(device))
            return fitted.answer(hidden).double().cpu().numpy()

    return shuffled_answers(answers.fusion_inputs, groups, answer, task, seed)


@dataclass(frozen=True, eq=False)
class _Part:
    logits: NDArray[np.float64]
    fusion_inputs: NDArray[np.float64]
    embeddings: NDArray[np.float32]
    histograms: dict[Image, GradientHistograms]
    lab_contributions: NDArray[np.float64] | None


def _ask_batch(fitted: FittedNetwork, data: TrainingData, rows: NDArray[np.int64], *, ct_gradient: bool) -> _Part:
    spec, device = fitted.spec, fitted.recalibration.device

    whole = np.ones(len(rows), dtype=bool)  # patients all of whose inputs are numbers

    def numbers(inputs: NDArray[np.floating]) -> Tensor:
        finite = np.isfinite(inputs)
        if not finite.all():
            np.logical_and(whole, finite.reshape(len(rows), -1).all(axis=1), out=whole)
            inputs = np.where(finite, inputs, 0)
        return torch.from_numpy(inputs.astype(np.float32, copy=False)).to(device)

    def raw(image: Image) -> Tensor:
        return numbers(data.stack(image, rows)).unsqueeze(1)

    features = None if ct_gradient or spec.ct_encoder != "pretrained" else data.features(rows)
    answers = ask(
        fitted,
        pet=raw("pet") if spec.uses_pet else None,
        ct=raw("ct") if spec.uses_ct and features is None else None,
        tabular=numbers(data.tabular[rows]),
        ct_features=None if features is None else numbers(features),
    )
    gradients: tuple[tuple[Image, Tensor | None], ...] = (
        ("pet", answers.pet_gradients),
        ("ct", answers.ct_gradients),
    )
    labs = answers.lab_contributions
    return _Part(
        logits=np.where(whole, answers.logits.double().cpu().numpy(), np.nan),
        fusion_inputs=answers.fusion_inputs.double().cpu().numpy(),
        embeddings=answers.embeddings.float().cpu().numpy(),
        histograms={
            image: GradientHistograms.of(gradient.cpu().numpy())
            for image, gradient in gradients
            if gradient is not None
        },
        lab_contributions=None if labs is None else labs.double().cpu().numpy(),
    )
