"""Where the pretrained CT branch starts: MONAI's whole-body CT bundle, the encoder pretrained here, or a random one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import Code, ModelRefused, RunFailed
from ..files import cache_folder, published_folder
from ..progress import Progress, silent
from .encoders import ENCODER_PARTS, PretrainedEncoder, build_segresnet
from .organs import embedded_encoder
from .presets import Preset
from .weights import layout_of, read_checkpoint, refuse_other_layout, tensors_sha256

BUNDLE_NAME = "wholeBody_ct_segmentation"
BUNDLE_SOURCE = f"{BUNDLE_NAME} bundle (MONAI model zoo)"
RANDOM_SOURCE = "random initialisation (control)"
BUNDLE_MEGABYTES = 150
"""Download size, both resolutions together: 2 x 18.8 million weights of 4 bytes."""

BUNDLE_INIT_FILTERS = 32
BUNDLE_BLOCKS_DOWN = (1, 2, 2, 4)
BUNDLE_CLASSES = 105
BUNDLE_GROUPS = 8
BUNDLE_HU_WINDOW = (-1024.0, 1500.0)
"""The bundle scales each scan's own minimum and maximum to [-1, 1]: in a whole-body CT about air and dense bone.
A fixed window does the same without letting one metal voxel change every other value."""

DOWNLOAD = "download"
"""In place of a path: fetch the bundle."""

WIDEST_FITTED_ON_CPU = 16
"""First-stage channels up to which the last stage of an encoder is fitted on a CPU; wider ones stay frozen there."""


def bundle_layout() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the bundle's 83 tensors."""
    with torch.device("meta"):
        network = build_segresnet(
            BUNDLE_INIT_FILTERS, BUNDLE_BLOCKS_DOWN, BUNDLE_GROUPS, out_channels=BUNDLE_CLASSES, dropout=0.2
        )
    return layout_of(network.state_dict())


def encoder_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a SegResNet's encoder, in float32."""
    return {
        name: tensor.detach().to(torch.float32).contiguous()
        for name, tensor in state.items()
        if name.startswith(ENCODER_PARTS)
    }


def load_bundle_encoder(path: Path) -> PretrainedEncoder:
    """The encoder of MONAI's ``wholeBody_ct_segmentation``.

    Parameters
    ----------
    path : Path
        ``model.pt`` or ``model_lowres.pt`` (a bare state dict or ``{"model": …}``), the same as ``.safetensors``, or
        the bundle's folder.

    Raises
    ------
    ModelRefused
        ``MODEL_MISSING`` when it is not there; ``WEIGHTS_MISMATCH`` when names, shapes or values are not the bundle's.
    """
    path = _weights_in(path) if path.is_dir() else path
    state = read_checkpoint(path)
    remedy = f"Use models/model.pt or models/model_lowres.pt of MONAI's {BUNDLE_NAME} bundle."
    refuse_other_layout(bundle_layout(), layout_of(state), path.name, remedy)
    tensors = encoder_part(state)
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ModelRefused(
            Code.WEIGHTS_MISMATCH, f"{broken[0]} holds values that are no numbers.", where=path.name, remedy=remedy
        )
    return PretrainedEncoder(
        source=BUNDLE_SOURCE,
        tensors=tensors,
        init_filters=BUNDLE_INIT_FILTERS,
        blocks_down=BUNDLE_BLOCKS_DOWN,
        num_groups=BUNDLE_GROUPS,
        hu_window=BUNDLE_HU_WINDOW,
        sha256=tensors_sha256(tensors),
    )


def download_bundle(folder: Path | None = None, progress: Progress = silent) -> Path:
    """Fetch MONAI's bundle (some 150 MB) once and return its 3 mm weights, which suit our coarse grid best.

    Raises
    ------
    ModelRefused
        ``MODEL_MISSING`` when it cannot be fetched (no network, no space).
    """
    folder = folder or cache_folder() / "bundles"
    target = folder / BUNDLE_NAME
    if not (target / "models").is_dir():
        progress("download", 0, 1, f"{BUNDLE_NAME}, about {BUNDLE_MEGABYTES} MB")
        try:
            with published_folder(target) as fresh:
                _download(fresh, progress)
        except (OSError, RuntimeError, ValueError, RunFailed) as error:
            raise ModelRefused(
                Code.MODEL_MISSING,
                f"The bundle {BUNDLE_NAME} could not be fetched ({type(error.__cause__ or error).__name__}).",
                remedy="Check the network and the room on the disk, or download model_lowres.pt elsewhere and give its "
                "path.",
            ) from error
        progress("download", 1, 1, BUNDLE_NAME)
    return _weights_in(target)


def _download(fresh: Path, progress: Progress) -> None:
    from monai.bundle.scripts import download

    arriving = fresh / ".download"
    arriving.mkdir()
    download(name=BUNDLE_NAME, bundle_dir=str(arriving), source="monaihosting", progress=progress is not silent)
    _weights_in(arriving / BUNDLE_NAME)
    for entry in list((arriving / BUNDLE_NAME).iterdir()):
        entry.replace(fresh / entry.name)
    shutil.rmtree(arriving)


def resolve_weights(choice: Path | None, progress: Progress = silent) -> Path | None:
    """The weight file meant by ``--pretrained``: a path, the word "download", or nothing (the embedded encoder).

    Raises
    ------
    ModelRefused
        ``MODEL_MISSING`` when a named path is not there or the download fails.
    """
    if choice is None:
        return None
    if str(choice) == DOWNLOAD:
        return download_bundle(progress=progress)
    if not choice.exists():
        raise ModelRefused(
            Code.MODEL_MISSING,
            "The pretrained weights do not exist.",
            where=choice.name,
            remedy=f"Give model.pt of MONAI's {BUNDLE_NAME}, write “{DOWNLOAD}”, or leave the option out.",
        )
    return choice


def ct_encoder_for(
    preset: Preset, weights: Path | None = None, *, cache_dir: Path | None = None, progress: Progress = silent
) -> PretrainedEncoder:
    """The start of the pretrained CT branch, as preset and user ask for it.

    Parameters
    ----------
    preset : Preset
        ``ct_init`` "random" gives the control: the same architecture, untrained.
    weights : Path, optional
        MONAI's bundle; left out, the encoder pretrained on made phantoms is used (and made, the first time).
    cache_dir : Path, optional
        Where that encoder is kept.

    Raises
    ------
    ModelRefused
        As :func:`load_bundle_encoder`.
    """
    if preset.ct_init == "random":
        if weights is not None:
            return random_encoder(
                BUNDLE_INIT_FILTERS, BUNDLE_BLOCKS_DOWN, BUNDLE_GROUPS, BUNDLE_HU_WINDOW, preset.pretraining.seed
            )
        settings = preset.pretraining
        return random_encoder(
            settings.init_filters, settings.blocks_down, settings.num_groups, settings.hu_window, settings.seed
        )
    if weights is not None:
        return load_bundle_encoder(weights)
    return embedded_encoder(preset.pretraining, cache_dir=cache_dir, progress=progress)


def random_encoder(
    init_filters: int, blocks_down: tuple[int, ...], num_groups: int, hu_window: tuple[float, float], seed: int
) -> PretrainedEncoder:
    """The control experiment: an encoder that has learnt nothing; the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_segresnet(init_filters, blocks_down, num_groups, out_channels=1)
    tensors = encoder_part(network.state_dict())
    return PretrainedEncoder(
        RANDOM_SOURCE, tensors, init_filters, blocks_down, num_groups, hu_window, tensors_sha256(tensors)
    )


def stages_to_fit(preset: Preset, encoder: PretrainedEncoder, *, gpu: bool) -> int:
    """How many stages of the CT encoder are fitted on this device.

    The bundle's last stage takes half a second a sample and step on one core, so that on a CPU only its head is fitted.
    """
    if gpu:
        return preset.ct_trainable_stages_gpu
    return preset.ct_trainable_stages if encoder.init_filters <= WIDEST_FITTED_ON_CPU else 0


def _weights_in(folder: Path) -> Path:
    for name in ("model_lowres.pt", "model.pt"):
        if (folder / "models" / name).is_file():
            return folder / "models" / name
    raise ModelRefused(
        Code.MODEL_MISSING,
        "The folder holds no models/model_lowres.pt and no models/model.pt.",
        where=folder.name,
        remedy=f"Give the folder or a weight file of MONAI's {BUNDLE_NAME} bundle.",
    )
