"""The embedded CT encoder: a narrow SegResNet learns to segment the organs of made phantoms, once, and is kept.

It stands in for MONAI's bundle where that cannot be had. The phantoms come from seeds that no cohort uses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..disk import remove_leftovers
from ..errors import Code, ModelRefused, RunFailed
from ..files import cache_folder, cannot_write
from ..locks import LockTaken, holding
from ..progress import Progress, silent
from .encoder_files import read_encoder, write_encoder
from .encoders import PretrainedEncoder, build_segresnet, to_bundle_axes
from .presets import PretrainingSettings
from .weights import tensors_sha256

EMBEDDED_SOURCE = "made phantoms (synthetic), organ segmentation"
RECIPE = 1
"""Raised whenever the pretraining itself changes, so that encoders kept by an older recipe are made anew."""

HELD_OUT_PHANTOMS = 3
GRADIENT_CLIP = 1.0
PATIENCE_S = 1800.0
"""For another process that makes the same encoder, which takes a minute or two; a machine may be slow."""

FIXED_THREADS = 1
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

    Raises
    ------
    RunFailed
        ``RUN_BUSY`` when another process has been making it for half an hour; ``OUTPUT`` when it cannot be kept.
    """
    key = hashlib.sha256(json.dumps([RECIPE, asdict(settings)], sort_keys=True).encode()).hexdigest()[:16]
    path = (cache_dir or cache_folder()) / "encoders" / f"organs-{key}.safetensors"
    with _one_maker(path, progress):
        if path.is_file():
            try:
                return read_encoder(path)
            except ModelRefused:
                progress("pretrain", 0, 1, "the kept encoder is damaged and is made anew")
        encoder = pretrain_on_phantoms(settings, progress=progress, make=make)
        write_encoder(path, encoder)
    return encoder


@contextmanager
def _one_maker(path: Path, progress: Progress) -> Iterator[None]:
    """Let one process make the encoder while others wait for it, though not for one that hangs."""
    lock = path.with_suffix(".lock")
    with ExitStack() as held:
        try:
            try:
                held.enter_context(holding(lock))
            except LockTaken:
                progress("pretrain", 0, 1, "another process is making the encoder")
                held.enter_context(holding(lock, patience_s=PATIENCE_S))
        except LockTaken as taken:
            raise RunFailed(
                Code.RUN_BUSY,
                f"Another process{f' (pid {taken.pid})' if taken.pid else ''} has not finished the CT encoder.",
                where=path.name,
                remedy="End that process if it hangs, and repeat the command.",
            ) from None
        except OSError as problem:
            raise cannot_write(path, problem) from problem
        remove_leftovers(path.parent, path.name)
        yield


class OrganHead(nn.Module):
    """Organ scores at half resolution from all stages of an encoder: a linear map of each, brought to one size, summed.

    Simpler than SegResNet's decoder, whose last stage has fewer channels than there are organs when it is this narrow;
    only the encoder is kept anyway.
    """

    def __init__(self, settings: PretrainingSettings, classes: int) -> None:
        super().__init__()
        widths = [settings.init_filters << stage for stage in range(len(settings.blocks_down))]
        self.maps = nn.ModuleList(nn.Conv3d(width, classes, kernel_size=1) for width in widths)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Scores [B, classes, x/2, y/2, z/2] from the stages' features, full resolution first."""
        size = stages[1].shape[2:]
        halved = [functional.avg_pool3d(stages[0], 2), *stages[1:]]
        scores = [scored(features) for scored, features in zip(self.maps, halved, strict=True)]
        coarse = [functional.interpolate(low, size=size, mode="trilinear") for low in scores[2:]]
        return torch.stack([*scores[:2], *coarse]).sum(dim=0)


@dataclass(frozen=True, eq=False)
class _Sample:
    """A phantom along the bundle's axes: image [1, 1, x, y, z], organ shares at half resolution [1, classes, …]."""

    image: Tensor
    shares: Tensor


def pretrain_on_phantoms(
    settings: PretrainingSettings, *, progress: Progress = silent, make: PhantomMaker = made_phantom
) -> PretrainedEncoder:
    """Train a SegResNet encoder to segment the organs of made phantoms; measure its Dice on others."""
    total = settings.phantoms + settings.batches
    samples = []
    for number in range(settings.phantoms):
        progress("pretrain", number, total, "making phantoms")
        samples.append(_sample(make(settings.seed + number, settings.shape), settings))
    training, held_out = samples[:-HELD_OUT_PHANTOMS], samples[-HELD_OUT_PHANTOMS:]
    with _reproducible(settings.seed):
        network = build_segresnet(settings.init_filters, settings.blocks_down, settings.num_groups, out_channels=1)
        head = OrganHead(settings, classes=samples[0].shares.shape[1])
        weights = [weight for name, weight in network.named_parameters() if _of_encoder(name)] + [*head.parameters()]
        optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, settings.batches)
        random = np.random.default_rng(settings.seed)
        for batch in range(settings.batches):
            images, shares = _batch(training, settings, random)
            optimiser.zero_grad()
            loss = _segmentation_loss(head(network.encode(images)[1]), shares)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(weights, GRADIENT_CLIP)
            optimiser.step()
            schedule.step()
            progress("pretrain", settings.phantoms + batch + 1, total, f"organ segmentation, loss {loss.item():.2f}")
        with torch.no_grad():
            dice = float(np.mean([_organ_dice(head(network.encode(one.image)[1]), one.shares) for one in held_out]))
    tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items() if _of_encoder(name)}
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


def _of_encoder(name: str) -> bool:
    return name.startswith(("convInit.", "down_layers."))


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


def _sample(phantom: LabelledCt, settings: PretrainingSettings) -> _Sample:
    """Turn to the bundle's axes and pad with air, so that every stage halves evenly."""
    image = torch.from_numpy(np.ascontiguousarray(phantom.ct_hu, dtype=np.float32))[None, None]
    labels = torch.from_numpy(np.ascontiguousarray(phantom.labels, dtype=np.int64))[None, None]
    prepared = to_bundle_axes(image, settings.hu_window)
    turned = labels.permute(0, 1, 4, 3, 2).flip((2, 3))
    multiple = 1 << (len(settings.blocks_down) - 1)
    padding = [pad for size in reversed(prepared.shape[2:]) for pad in (0, -size % multiple)]
    padded = functional.pad(turned, padding)
    one_hot = torch.stack([(padded[:, 0] == label).float() for label in range(phantom.classes)], dim=1)
    return _Sample(functional.pad(prepared, padding, value=-1.0), functional.avg_pool3d(one_hot, 2))


def _batch(samples: list[_Sample], settings: PretrainingSettings, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Whole phantoms with a little noise and offset, so that not the exact grey value alone names an organ."""
    chosen = [samples[number] for number in random.integers(len(samples), size=settings.batch_size)]
    images = torch.cat([one.image for one in chosen])
    offsets = torch.randn(len(chosen), 1, 1, 1, 1) * 0.03
    return images + offsets + torch.randn_like(images) * 0.03, torch.cat([one.shares for one in chosen])


def _segmentation_loss(scores: Tensor, shares: Tensor) -> Tensor:
    """Cross-entropy against the organ shares plus soft Dice over the organs, background left out of the latter."""
    cross_entropy = functional.cross_entropy(scores, shares)
    found, truth = scores.softmax(dim=1)[:, 1:], shares[:, 1:]
    space = (0, 2, 3, 4)
    overlap, size = (found * truth).sum(space), (found + truth).sum(space)
    return cross_entropy + 1.0 - ((2.0 * overlap + 1.0) / (size + 1.0)).mean()


def _organ_dice(scores: Tensor, shares: Tensor) -> float:
    """Mean Dice over the organs that the phantom has, 0 to 1, at half resolution."""
    found, truth = scores.argmax(dim=1), shares.argmax(dim=1)
    organs = [int(organ) for organ in np.unique(truth.numpy()) if organ > 0]
    dice = []
    for organ in organs:
        here, there = truth == organ, found == organ
        dice.append(2.0 * float((here & there).sum()) / float(here.sum() + there.sum()))
    return float(np.mean(dice))
