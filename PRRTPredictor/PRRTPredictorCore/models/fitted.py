"""A fitted model, complete: raw SUV, HU and blood values in, logits out; its tensors go to disk without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import Code, ModelRefused
from ..records import Image
from .encoders import PretrainedCtEncoder, PretrainedEncoder
from .fusion import FusionNetwork, least_weights
from .presets import Preset
from .registry import MOST_INPUTS, ModelSpec

if TYPE_CHECKING:
    from ..imaging.normalise import ImageNormaliser, TabularNormaliser

PREDICTION_BATCH = 8
LAYOUT = "layout"
"""Names the tensor with the layout version, the number of tabular inputs and the fitted stages of the CT branch."""
LAYOUT_VERSION = 1


_WINDOWS = ("_scaling.low", "_scaling.high")
"""The ends of an image's window, infinite where a preset sets none; every other number of a fit is finite."""


def undefined(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of a network's tensors that hold what no fit leaves: a NaN, or an infinity other than a missing window."""
    return [
        name
        for name, tensor in tensors.items()
        if bool((tensor.isnan() if name.endswith(_WINDOWS) else ~tensor.isfinite()).any())
    ]


class FittedModel(Protocol):
    """What a fold leaves, network or forest."""

    @property
    def spec(self) -> ModelSpec:
        """The registry entry."""

    @property
    def n_tabular(self) -> int:
        """Tabular inputs that the model expects; 0 when it uses none."""

    def predict(
        self,
        pet: NDArray[np.float32] | None,
        ct: NDArray[np.float32] | None,
        tabular: NDArray[np.float64] | None,
    ) -> NDArray[np.float64]:
        """Logits of long PFS, shape (n,), for raw SUV and HU [n, K, J, I] and tabular inputs [n, F]."""

    def to_tensors(self) -> dict[str, Tensor]:
        """Everything that was fitted, for a safetensors file."""


class ImageScaling(nn.Module):
    """A fitted image normalisation inside torch: clamp to the window, subtract the mean, divide by the deviation."""

    low: Tensor
    high: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, normaliser: ImageNormaliser | None = None) -> None:
        super().__init__()
        window = (-np.inf, np.inf) if normaliser is None or normaliser.window is None else normaliser.window
        mean, std = (0.0, 1.0) if normaliser is None else (normaliser.mean, normaliser.std)
        for name, value in (("low", window[0]), ("high", window[1]), ("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(float(value), dtype=torch.float32))

    def forward(self, image: Tensor) -> Tensor:
        """Normalise; the gradient is that of the clamp: zero beyond the window."""
        given = (image, float(self.low), float(self.high), self.mean, self.std)
        scaled: Tensor = _ScaledWindow.apply(*given)  # type: ignore[no-untyped-call]
        return scaled


class _ScaledWindow(torch.autograd.Function):
    """Clamp, subtract, divide, in one new image each way.

    Clamps to tensors and masks of booleans, as autograd would use, are several times slower on a CPU.
    """

    @staticmethod
    def forward(image: Tensor, low: float, high: float, mean: Tensor, std: Tensor) -> Tensor:
        return image.clamp(low, high).sub_(mean).div_(std)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float, float, Tensor, Tensor], output: Tensor) -> None:
        image, ctx.low, ctx.high, _, std = inputs
        ctx.save_for_backward(image, std)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        image, std = ctx.saved_tensors
        inside = image.clamp(ctx.low, ctx.high).eq_(image)
        return inside.mul_(gradient).div_(std), None, None, None, None


class TabularScaling(nn.Module):
    """A fitted tabular normalisation inside torch: log(1 + x) where asked for, then standardised."""

    log1p: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, normaliser: TabularNormaliser | None, n_tabular: int) -> None:
        super().__init__()
        mean = np.zeros(n_tabular) if normaliser is None else np.asarray(normaliser.mean)
        std = np.ones(n_tabular) if normaliser is None else np.asarray(normaliser.std)
        log1p = False if normaliser is None else bool(normaliser.log1p)
        self.register_buffer("log1p", torch.tensor(log1p))
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).clone())
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32).clone())

    def forward(self, tabular: Tensor) -> Tensor:
        """Normalise [B, F]; the log is that of :class:`TabularNormaliser`: sign(x) * log(1 + |x|)."""
        values = tabular.sign() * tabular.abs().log1p() if bool(self.log1p) else tabular
        return (values - self.mean) / self.std


class FittedNetwork(nn.Module):
    """A fusion network with its fitted normalisation and recalibration.

    Gradients of its logits reach the raw voxels and the raw blood values.

    Parameters
    ----------
    network : FusionNetwork
    pet, ct : ImageNormaliser, optional
        Fitted on the training patients; not needed for an input that the network does not use. A pretrained CT branch
        has its own fixed preparation and receives HU.
    tabular : TabularNormaliser, optional
    """

    recalibration: Tensor

    def __init__(
        self,
        network: FusionNetwork,
        pet: ImageNormaliser | None = None,
        ct: ImageNormaliser | None = None,
        tabular: TabularNormaliser | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.pet_scaling = ImageScaling(pet) if network.spec.uses_pet else None
        self.ct_scaling = ImageScaling(ct) if network.spec.ct_encoder == "scratch" else None
        self.tabular_scaling = TabularScaling(tabular, network.n_tabular) if network.spec.uses_labs else None
        self.register_buffer("recalibration", torch.tensor([1.0, 0.0]))
        self.eval()
        # It is fitted: whoever asks for a gradient means that of the inputs.
        self.requires_grad_(False)

    @property
    def spec(self) -> ModelSpec:
        """The registry entry."""
        return self.network.spec

    @property
    def n_tabular(self) -> int:
        """Tabular inputs that the model expects; 0 when it uses none."""
        return self.network.n_tabular

    def window(self, image: Image) -> tuple[float, float]:
        """The SUV or HU beyond which the network sees no difference; infinite where it has no window."""
        if image == "ct" and isinstance(self.network.ct_branch, PretrainedCtEncoder):
            return self.network.ct_branch.hu_window
        scaling = self.pet_scaling if image == "pet" else self.ct_scaling
        return (-np.inf, np.inf) if scaling is None else (float(scaling.low), float(scaling.high))

    def recalibrate(self, scale: float, bias: float) -> None:
        """Answer with ``scale * logit + bias`` from now on (Platt, fitted on inner out-of-fold predictions)."""
        self.recalibration.copy_(torch.tensor([scale, bias]))

    def normalise(
        self, pet: Tensor | None, ct: Tensor | None, tabular: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The inputs as the network receives them; None for those that it does not use."""
        use_ct = ct if self.spec.uses_ct else None
        return (
            self.pet_scaling(pet) if self.pet_scaling is not None and pet is not None else None,
            self.ct_scaling(use_ct) if self.ct_scaling is not None and use_ct is not None else use_ct,
            self.tabular_scaling(tabular) if self.tabular_scaling is not None and tabular is not None else None,
        )

    def embed(
        self, pet: Tensor | None, ct: Tensor | None, tabular: Tensor | None, ct_features: Tensor | None = None
    ) -> Tensor:
        """The fused embedding [B, E] of raw inputs: activations of the MLP's second layer."""
        return self.network.embed(*self.normalise(pet, ct, tabular), ct_features)

    def image_embedding(self, pet: Tensor | None, ct: Tensor | None, ct_features: Tensor | None = None) -> Tensor:
        """The image embeddings of raw images side by side, before the labs join."""
        pet, ct, _ = self.normalise(pet, ct, None)
        return self.network.image_embedding(pet, ct, ct_features)

    def forward(
        self, pet: Tensor | None, ct: Tensor | None, tabular: Tensor | None, ct_features: Tensor | None = None
    ) -> Tensor:
        """Logits of long PFS.

        Parameters
        ----------
        pet : Tensor or None, shape (B, 1, K, J, I)
            SUVbw.
        ct : Tensor or None, shape (B, 1, K, J, I)
            HU.
        tabular : Tensor or None, shape (B, F)
            AST, ALT, GGT in U/L, CgA in µg/L, then any extras.
        ct_features : Tensor or None
            The network's :meth:`FusionNetwork.frozen_features` of the CT, instead of the CT.

        Returns
        -------
        Tensor, shape (B,)
        """
        return self.answer(self.embed(pet, ct, tabular, ct_features))

    def answer(self, embeddings: Tensor) -> Tensor:
        """Recalibrated logits of long PFS, shape (B,), of fused embeddings [B, E]."""
        scale, bias = self.recalibration.unbind()
        logits: Tensor = self.network.output(embeddings).squeeze(1) * scale + bias
        return logits

    def predict(
        self,
        pet: NDArray[np.float32] | None,
        ct: NDArray[np.float32] | None,
        tabular: NDArray[np.float64] | None,
    ) -> NDArray[np.float64]:
        """Logits of long PFS, shape (n,), for raw SUV and HU [n, K, J, I] and tabular inputs [n, F]."""
        check_inputs(self.spec, self.n_tabular, pet, ct, tabular)
        used = [
            array
            for array, present in ((pet, self.spec.uses_pet), (ct, self.spec.uses_ct), (tabular, self.spec.uses_labs))
            if present and array is not None
        ]
        device = self.recalibration.device
        logits = []
        with torch.no_grad():
            for start in range(0, len(used[0]), PREDICTION_BATCH):
                rows = slice(start, start + PREDICTION_BATCH)
                logits.append(
                    self(
                        _images(pet, rows, device) if self.spec.uses_pet else None,
                        _images(ct, rows, device) if self.spec.uses_ct else None,
                        _table(tabular, rows, device) if self.spec.uses_labs else None,
                    )
                )
        return torch.cat(logits).double().cpu().numpy() if logits else np.empty(0)

    def to_tensors(self) -> dict[str, Tensor]:
        """What was fitted: weights, normalisation, recalibration. Frozen CT stages are not among them."""
        frozen = {f"network.{name}" for name in self.network.frozen_tensors()}
        tensors = {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in self.state_dict().items()
            if name not in frozen
        }
        tensors[LAYOUT] = torch.tensor(
            [LAYOUT_VERSION, self.n_tabular, self.network.trainable_stages], dtype=torch.int64
        )
        return tensors

    def frozen_tensors(self) -> dict[str, Tensor]:
        """The CT stages that all folds share."""
        return self.network.frozen_tensors()

    @classmethod
    def from_tensors(
        cls,
        spec: ModelSpec,
        preset: Preset,
        tensors: Mapping[str, Tensor],
        ct_encoder: PretrainedEncoder | None = None,
    ) -> FittedNetwork:
        """Rebuild a fitted network from :meth:`to_tensors`.

        Parameters
        ----------
        ct_encoder : PretrainedEncoder, optional
            The encoder that the pretrained CT branch started from; its frozen stages come from there.

        Raises
        ------
        ModelRefused
            ``MODEL_MISMATCH`` for another layout, ``WEIGHTS_MISMATCH`` for other names or shapes.
        """
        n_tabular, stages = _read_layout(spec, tensors)
        _refuse_larger_network(spec, preset, n_tabular, tensors)
        fitted = cls(FusionNetwork(spec, preset, n_tabular, ct_encoder, trainable_stages=stages))
        own = fitted.to_tensors()
        refuse_other_tensors(spec, own, tensors)
        weights = {name: tensor for name, tensor in tensors.items() if name != LAYOUT}
        fitted.load_state_dict(weights, strict=False)
        return fitted.eval()


def _read_layout(spec: ModelSpec, tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    layout = tensors.get(LAYOUT)
    readable = layout is not None and layout.shape == (3,) and layout.dtype == torch.int64
    numbers = [int(number) for number in layout] if layout is not None and readable else [0, 0, 0]
    if numbers[0] != LAYOUT_VERSION or not 0 <= numbers[1] <= MOST_INPUTS:
        raise ModelRefused(
            Code.MODEL_MISMATCH,
            f"The weights of “{spec.name}” were written in another layout than this version reads.",
            where=spec.name,
            remedy="Use the version of PRRTPredictor that wrote them, or train again.",
        )
    return numbers[1], numbers[2]


def _refuse_larger_network(spec: ModelSpec, preset: Preset, n_tabular: int, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a preset whose network could not be filled by these tensors, before memory is asked for it."""
    if least_weights(spec, preset, n_tabular) > sum(tensor.numel() for tensor in tensors.values()):
        raise ModelRefused(
            Code.WEIGHTS_MISMATCH,
            f"The preset “{preset.name}” describes a larger “{spec.name}” than there are weights for.",
            where=spec.name,
            remedy="Use weights that were fitted with the same model and preset.",
        )


def refuse_other_tensors(spec: ModelSpec, expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Refuse tensors whose names, shapes or types are not the expected ones.

    Raises
    ------
    ModelRefused
        ``WEIGHTS_MISMATCH`` naming the first few.
    """
    differing = sorted(
        name
        for name in expected.keys() | given.keys()
        if name not in expected
        or name not in given
        or expected[name].shape != given[name].shape
        or expected[name].dtype != given[name].dtype
    )
    if differing:
        raise ModelRefused(
            Code.WEIGHTS_MISMATCH,
            f"{len(differing)} tensors do not fit the model “{spec.name}”: {', '.join(differing[:3])}.",
            where=spec.name,
            remedy="Use weights that were fitted with the same model and preset.",
        )


def check_inputs(
    spec: ModelSpec,
    n_tabular: int,
    pet: NDArray[np.float32] | None,
    ct: NDArray[np.float32] | None,
    tabular: NDArray[np.float64] | None,
) -> None:
    """Refuse inputs that a model needs and does not get.

    Raises
    ------
    ModelRefused
        ``MODEL_MISMATCH`` naming the input.
    """
    missing = [
        name
        for name, array, used in (
            ("the PET", pet, spec.uses_pet),
            ("the CT", ct, spec.uses_ct),
            ("the labs", tabular, spec.uses_labs),
        )
        if used and array is None
    ]
    if spec.uses_labs and tabular is not None and (tabular.ndim != 2 or tabular.shape[1] != n_tabular):
        missing.append(f"{n_tabular} tabular inputs a patient (given: {tabular.shape[-1]})")
    if missing:
        raise ModelRefused(
            Code.MODEL_MISMATCH,
            f"The model “{spec.name}” needs {' and '.join(missing)}.",
            where=spec.name,
            remedy="Give the inputs that the model was fitted with.",
        )


def _images(array: NDArray[np.float32] | None, rows: slice, device: torch.device) -> Tensor | None:
    if array is None:
        return None
    return torch.from_numpy(np.array(array[rows], dtype=np.float32)).unsqueeze(1).to(device)


def _table(array: NDArray[np.float64] | None, rows: slice, device: torch.device) -> Tensor | None:
    return None if array is None else torch.from_numpy(np.array(array[rows], dtype=np.float32)).to(device)
