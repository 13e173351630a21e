"""The embedded CT encoder: a narrow SegResNet learns to segment the organs of made phantoms, once, and is kept.

It stands in for MONAI's bundle where that cannot be had. The phantoms come from seeds that no cohort uses.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import ModelRefused
from ..progress import Progress, silent
from .encoder_files import read_encoder, write_encoder
from .encoders import PretrainedEncoder, build_segresnet, to_bundle_axes
from .presets import PretrainingSettings
from .weights import tensors_sha256

EMBEDDED_SOURCE = "made phantoms (synthetic), organ segmentation"
RECIPE = 1
"""Raised whenever the pretraining itself changes, so that encoders kept by an older recipe are made anew."""

HELD_OUT_PHANTOMS = 3
FIXED_THREADS = 2
"""The order of sums depends on the number of threads, and the kept weights must not depend on the machine's cores."""


@dataclass(frozen=True, eq=False)
class LabelledCt:
    """A CT whose organs are known.

    Attributes
    ----------
    ct_hu : ndarray, shape (K, J, I), float32
    labels : ndarray, shape (K, J, I), integer
        0 is everything that is no organ.
    classes : int
        Number of labels, background included.
    """

    ct_hu: NDArray[np.float32]
    labels: NDArray[np.integer]
    classes: int


PhantomMaker = Callable[[int, tuple[int, int, int]], LabelledCt]
"""Makes the phantom of a seed, at a shape."""


def made_phantom(seed: int, shape: tuple[int, int, int]) -> LabelledCt:
    """A phantom of :mod:`PRRTPredictorCore.cohort.synthetic`."""
    from ..cohort.synthetic import phantom_volumes

    phantom = phantom_volumes(seed, shape)
    return LabelledCt(phantom.ct_hu, phantom.labels, len(phantom.label_names))


def cache_folder() -> Path:
    """Where this machine keeps what can be made again; the environment variable PRRT_CACHE_DIR overrides it."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("PRRT_CACHE_DIR") or user_cache_dir("PRRTPredictor", appauthor=False))


def embedded_encoder(
    settings: PretrainingSettings,
    *,
    cache_dir: Path | None = None,
    progress: Progress = silent,
    make: PhantomMaker = made_phantom,
) -> PretrainedEncoder:
    """The encoder pretrained with these settings: from the cache, or made now.

    A kept encoder whose hash does not agree (a torn or altered file) is made anew.

    Parameters
    ----------
    cache_dir : Path, optional
        Default: :func:`cache_folder`.
    make : callable
        Where the phantoms come from.
    """
    key = hashlib.sha256(json.dumps([RECIPE, asdict(settings)], sort_keys=True).encode()).hexdigest()[:16]
    path = (cache_dir or cache_folder()) / "encoders" / f"organs-{key}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if path.is_file():
            try:
                return read_encoder(path)
            except ModelRefused:
                progress("pretrain", 0, 1, "the kept encoder is damaged and is made anew")
        encoder = pretrain_on_phantoms(settings, progress=progress, make=make)
        write_encoder(path, encoder)
    return encoder


def pretrain_on_phantoms(
    settings: PretrainingSettings, *, progress: Progress = silent, make: PhantomMaker = made_phantom
) -> PretrainedEncoder:
    """Train a SegResNet to segment organs on crops of made phantoms; keep its encoder and its Dice on others."""
    total = settings.phantoms + settings.batches
    phantoms = []
    for number in range(settings.phantoms):
        progress("pretrain", number, total, "making phantoms")
        phantoms.append(make(settings.seed + number, settings.shape))
    prepared = [_to_tensors(phantom, settings) for phantom in phantoms]
    classes = phantoms[0].classes
    training, held_out = prepared[:-HELD_OUT_PHANTOMS], prepared[-HELD_OUT_PHANTOMS:]
    with _reproducible(settings.seed):
        network = build_segresnet(settings.init_filters, settings.blocks_down, settings.num_groups, classes)
        optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, settings.batches)
        random = np.random.default_rng(settings.seed)
        for batch in range(settings.batches):
            images, labels = _crops(training, settings, random)
            optimiser.zero_grad()
            loss = _segmentation_loss(network(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            progress("pretrain", settings.phantoms + batch + 1, total, f"organ segmentation, loss {loss.item():.2f}")
        dice = float(np.mean([_organ_dice(network.eval(), image, labels) for image, labels in held_out]))
    tensors = {
        name: tensor.detach().clone()
        for name, tensor in network.state_dict().items()
        if name.startswith(("convInit.", "down_layers."))
    }
    return PretrainedEncoder(
        source=EMBEDDED_SOURCE,
        tensors=tensors,
        init_filters=settings.init_filters,
        blocks_down=settings.blocks_down,
        num_groups=settings.num_groups,
        hu_window=settings.hu_window,
        sha256=tensors_sha256(tensors),
        dice=dice,
    )


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(FIXED_THREADS)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _to_tensors(phantom: LabelledCt, settings: PretrainingSettings) -> tuple[Tensor, Tensor]:
    """Image [1, 1, x, y, z] and labels [1, 1, x, y, z] along the bundle's axes, padded to multiples of 8 with air."""
    image = torch.from_numpy(np.ascontiguousarray(phantom.ct_hu, dtype=np.float32))[None, None]
    labels = torch.from_numpy(np.ascontiguousarray(phantom.labels, dtype=np.int64))[None, None]
    prepared = to_bundle_axes(image, settings.hu_window)
    turned = labels.permute(0, 1, 4, 3, 2).flip((2, 3))
    multiple = 2 ** (len(settings.blocks_down) - 1)
    padding = [pad for size in reversed(prepared.shape[2:]) for pad in (0, -size % multiple)]
    return functional.pad(prepared, padding, value=-1.0), functional.pad(turned, padding)


def _crops(
    phantoms: list[tuple[Tensor, Tensor]], settings: PretrainingSettings, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A batch of random crops with a little noise, so that not the exact grey value alone names an organ."""
    images, labels = [], []
    for number in random.integers(len(phantoms), size=settings.batch_size):
        image, label = phantoms[number]
        starts = [
            int(random.integers(full - size + 1)) for full, size in zip(image.shape[2:], settings.crop, strict=True)
        ]
        box = (..., *(slice(start, start + size) for start, size in zip(starts, settings.crop, strict=True)))
        noise = torch.randn(settings.crop) * 0.03
        images.append(image[box] + noise + float(random.normal(0.0, 0.03)))
        labels.append(label[box])
    return torch.cat(images), torch.cat(labels)


def _segmentation_loss(scores: Tensor, labels: Tensor) -> Tensor:
    from monai.losses.dice import DiceCELoss

    loss: Tensor = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)(scores, labels)
    return loss


def _organ_dice(network: torch.nn.Module, image: Tensor, labels: Tensor) -> float:
    """Mean Dice over the organs that the phantom has, 0 to 1."""
    with torch.no_grad():
        found = network(image).argmax(dim=1, keepdim=True)
    organs = [int(organ) for organ in np.unique(labels.numpy()) if organ > 0]
    scores = []
    for organ in organs:
        truth, guess = labels == organ, found == organ
        scores.append(2.0 * float((truth & guess).sum()) / float(truth.sum() + guess.sum()))
    return float(np.mean(scores))
