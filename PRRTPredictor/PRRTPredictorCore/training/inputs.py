"""The normalised inputs of a fold's patients, in memory or gathered from disk, and their random changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..imaging.normalise import ImageNormaliser, TabularNormaliser, finite_images
from ..models.presets import AugmentationSettings, Preset
from ..models.registry import ModelSpec
from ..records import Image
from .data import TrainingData

RESIDENT_BYTES = 1 << 30
"""Up to this size a fold's normalised images stay in memory; a larger fold is read from disk batch by batch."""

NOISE_BANK = 1 << 20
"""Numbers drawn once for the noise of all augmentation; drawing anew for each voxel would cost more than fitting."""


@dataclass(frozen=True)
class FoldNormalisers:
    """All statistics that a fold takes from its training patients; None for an input that the model does not use."""

    pet: ImageNormaliser | None
    ct: ImageNormaliser | None
    tabular: TabularNormaliser | None

    @classmethod
    def fit(cls, data: TrainingData, rows: NDArray[np.int64], spec: ModelSpec, preset: Preset) -> FoldNormalisers:
        """Fit on the given rows alone.

        Raises
        ------
        InputRefused
            ``NOT_FINITE`` when an input of a training patient is not a number.
        """
        own_ct = spec.ct_encoder == "scratch"
        if spec.ct_encoder == "pretrained":  # which has a window of its own, and no normaliser to look for it
            deque(finite_images(data.iterate("ct", rows)), maxlen=0)
        return cls(
            pet=ImageNormaliser.fit(data.iterate("pet", rows), preset.suv_window) if spec.uses_pet else None,
            ct=ImageNormaliser.fit(data.iterate("ct", rows), preset.hu_window) if own_ct else None,
            tabular=TabularNormaliser.fit(data.tabular[rows], preset.log_labs) if spec.uses_labs else None,
        )


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs of some patients as the network receives them; None for an input that it does not use."""

    pet: Tensor | None
    ct: Tensor | None
    tabular: Tensor | None
    ct_features: Tensor | None
    y: Tensor


class ImageStore:
    """One modality of a fold's training patients, normalised, with a border so that shifting is cropping.

    Parameters
    ----------
    data, rows
        The patients; position p of this store is row ``rows[p]`` of the data.
    border : int
        Voxels by which each side is extended with its outermost values.
    device : torch.device
        Where the images are kept and handed out.
    """

    def __init__(
        self,
        data: TrainingData,
        rows: NDArray[np.int64],
        image: Image,
        normaliser: ImageNormaliser,
        border: int,
        device: torch.device,
    ) -> None:
        self._data, self._rows, self._image = data, rows, image
        self._normaliser, self._border, self._device = normaliser, border, device
        first = self._read(0)
        self._resident: Tensor | None = None
        if first.nbytes * len(rows) <= RESIDENT_BYTES:
            self._resident = torch.empty((len(rows), *first.shape), device=device)
            for position in range(len(rows)):
                self._resident[position] = self._read(position)

    def crop(self, position: int, shift: Sequence[int]) -> Tensor:
        """One patient's image [K, J, I], moved by ``shift`` voxels along (k, j, i)."""
        whole = self._read(position).to(self._device) if self._resident is None else self._resident[position]
        for axis, moved in enumerate(shift):
            whole = whole.narrow(axis, self._border + moved, whole.shape[axis] - 2 * self._border)
        return whole

    def _read(self, position: int) -> Tensor:
        (values,) = self._data.iterate(self._image, [int(self._rows[position])])
        normalised = torch.from_numpy(self._normaliser.apply(values))
        if not self._border:
            return normalised
        return functional.pad(normalised[None, None], (self._border,) * 6, mode="replicate")[0, 0]


class FoldInputs:
    """Batches of a fold's training patients, with or without random changes.

    Parameters
    ----------
    data : TrainingData
    rows : ndarray of int
        The training patients; nothing else of the data is ever looked at.
    spec, preset, normalisers
    device : torch.device
    generator : torch.Generator
        On the CPU; source of all random changes.
    """

    def __init__(
        self,
        data: TrainingData,
        rows: NDArray[np.int64],
        spec: ModelSpec,
        preset: Preset,
        normalisers: FoldNormalisers,
        device: torch.device,
        generator: torch.Generator,
    ) -> None:
        self._settings = preset.augmentation or AugmentationSettings()
        self._device, self._generator = device, generator
        border = self._settings.shift_voxels
        self._pet = ImageStore(data, rows, "pet", normalisers.pet, border, device) if normalisers.pet else None
        self._ct = ImageStore(data, rows, "ct", normalisers.ct, border, device) if normalisers.ct else None
        features = data.features(rows) if spec.ct_encoder == "pretrained" else None
        self._features = None if features is None else torch.from_numpy(features)
        table = None if normalisers.tabular is None else normalisers.tabular.apply(data.tabular[rows])
        self._table = None if table is None else torch.from_numpy(table)
        self._y = torch.from_numpy(data.y[rows].astype(np.float32))
        noisy = self._settings.noise_sd > 0 and (self._pet is not None or self._ct is not None)
        self._noise = self._drawn_bank() if noisy else None

    def _drawn_bank(self) -> Tensor:
        bank = torch.randn(NOISE_BANK, generator=self._generator) * self._settings.noise_sd
        return bank.to(self._device)

    def batch(self, positions: Sequence[int], *, augment: bool) -> Batch:
        """The patients at these positions of ``rows``."""
        index = torch.as_tensor(list(positions))
        shifts = [self._shift() if augment else (0, 0, 0) for _ in positions]
        return Batch(
            pet=self._images(self._pet, positions, shifts, augment),
            ct=self._images(self._ct, positions, shifts, augment),
            tabular=self._move(self._table, index),
            ct_features=self._move(self._features, index),
            y=self._y[index].to(self._device),
        )

    def outcomes(self, positions: NDArray[np.int64]) -> Tensor:
        """1 = long PFS of these positions of ``rows``, float32, on the CPU."""
        return self._y[torch.from_numpy(positions)]

    def _move(self, table: Tensor | None, index: Tensor) -> Tensor | None:
        return None if table is None else table[index].to(self._device)

    def _shift(self) -> tuple[int, int, int]:
        # One shift for PET and CT, so that they stay aligned.
        reach = self._settings.shift_voxels
        k, j, i = torch.randint(-reach, reach + 1, (3,), generator=self._generator).tolist()
        return k, j, i

    def _images(
        self, store: ImageStore | None, positions: Sequence[int], shifts: Sequence[tuple[int, int, int]], augment: bool
    ) -> Tensor | None:
        if store is None:
            return None
        crops = [store.crop(position, shift) for position, shift in zip(positions, shifts, strict=True)]
        if not augment:
            return torch.stack(crops).unsqueeze(1)
        spread = self._settings.scale_sd
        factors = 1 + spread * torch.randn(len(crops), generator=self._generator) if spread else torch.ones(len(crops))
        images = crops[0].new_empty((len(crops), *crops[0].shape))
        for image, crop, factor in zip(images, crops, factors.tolist(), strict=True):
            # One pass over each image: it is crop * factor + noise.
            torch.add(self._noise_like(crop), crop, alpha=factor, out=image)
        return images.unsqueeze(1)

    def _noise_like(self, image: Tensor) -> Tensor:
        """A stretch of the noise bank, from its beginning again where it ends."""
        if self._noise is None:
            return image.new_zeros(())
        start = int(torch.randint(0, len(self._noise), (1,), generator=self._generator))
        stretch = self._noise[start : start + image.numel()]
        while len(stretch) < image.numel():
            stretch = torch.cat((stretch, self._noise[: image.numel() - len(stretch)]))
        return stretch.view(image.shape)


def inner_split(
    y: NDArray[np.int64], share: float, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Set aside training patients for early stopping, stratified by outcome.

    Parameters
    ----------
    y : ndarray of int, shape (n,)
        Outcomes of the training patients.
    share : float
        0 sets nobody aside; otherwise at least one patient of each outcome is set aside and one is kept.

    Returns
    -------
    fitting, validation : ndarray of int
        Positions in ``y``, sorted.
    """
    validation: list[int] = []
    for outcome in (0, 1):
        members = np.flatnonzero(y == outcome)
        count = min(max(1, round(share * len(members))), len(members) - 1) if share > 0 else 0
        validation.extend(generator.permutation(members)[: max(0, count)])
    aside = np.array(sorted(validation), dtype=np.int64)
    return np.setdiff1d(np.arange(len(y)), aside), aside
