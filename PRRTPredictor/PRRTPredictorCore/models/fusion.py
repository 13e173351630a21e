"""The fusion network of the paper's Fig. 1: image embeddings and labs side by side, three MLP layers, one logit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import Code, ModelRefused
from .encoders import DrawnDropout, ImageEncoder, PretrainedCtEncoder, PretrainedEncoder
from .presets import Preset
from .registry import ModelSpec

FROZEN_PREFIX = "ct_branch.front."
"""Of the tensors that no fold changes."""


def least_weights(spec: ModelSpec, preset: Preset, n_tabular: int) -> int:
    """How many weights a network has at least: its widest layers, without building any of them."""
    size = preset.network
    branch = size.widths[0] * size.stem_kernel**3 + size.widths[-1] * size.embedding
    # Two 3 x 3 x 3 convolutions lead to every wider stage.
    branch += sum(54 * narrower * wider for narrower, wider in zip(size.widths, size.widths[1:], strict=False))
    scratch = int(spec.uses_pet) + int(spec.ct_encoder == "scratch")
    first, second = size.mlp_widths
    images = size.embedding * (int(spec.uses_pet) + int(spec.uses_ct))
    fused = images + (n_tabular if spec.uses_labs else 0)
    return scratch * branch + fused * first + first * second + second


class FusionNetwork(nn.Module):
    """One of the registry's networks, on normalised inputs.

    Parameters
    ----------
    spec : ModelSpec
        Which inputs it fuses.
    preset : Preset
        Its sizes.
    n_tabular : int
        Tabular inputs: the four labs and any extras.
    ct_encoder : PretrainedEncoder, optional
        Start of the CT branch; needed exactly when ``spec.ct_encoder`` is "pretrained".
    trainable_stages : int, optional
        Overrides ``preset.ct_trainable_stages`` (a GPU can afford all four).

    Raises
    ------
    ModelRefused
        ``MODEL_MISMATCH`` when the spec is no network, or its pretrained encoder is not given.
    """

    def __init__(
        self,
        spec: ModelSpec,
        preset: Preset,
        n_tabular: int,
        ct_encoder: PretrainedEncoder | None = None,
        trainable_stages: int | None = None,
    ) -> None:
        super().__init__()
        if spec.kind != "network":
            raise ModelRefused(
                Code.MODEL_MISMATCH, f"“{spec.name}” is not a network.", where=spec.name, remedy="Fit it as a forest."
            )
        self.spec = spec
        self.n_tabular = n_tabular if spec.uses_labs else 0
        size = preset.network
        self.pet_branch = ImageEncoder(size, size.pet_levels) if spec.uses_pet else None
        self.ct_branch: ImageEncoder | PretrainedCtEncoder | None = None
        if spec.ct_encoder == "scratch":
            self.ct_branch = ImageEncoder(size, size.ct_levels)
        elif spec.ct_encoder == "pretrained":
            if ct_encoder is None:
                raise ModelRefused(
                    Code.MODEL_MISMATCH,
                    f"“{spec.name}” was given no pretrained CT encoder.",
                    where=spec.name,
                    remedy="Load the whole-body CT bundle, or let the embedded encoder be pretrained.",
                )
            stages = preset.ct_trainable_stages if trainable_stages is None else trainable_stages
            self.ct_branch = PretrainedCtEncoder(ct_encoder, size, stages)
        fused = size.embedding * (int(spec.uses_pet) + int(spec.uses_ct)) + self.n_tabular
        first, second = size.mlp_widths
        self.fused_inputs = fused
        self.hidden = nn.Sequential(
            nn.Linear(fused, first),
            nn.GELU(),
            DrawnDropout(size.dropout, first),
            nn.Linear(first, second),
            nn.GELU(),
        )
        self.output = nn.Sequential(DrawnDropout(size.dropout, second), nn.Linear(second, 1))

    def draw_dropout(self, rows: int, generator: torch.Generator) -> None:
        """Draw what the next training step of so many patients drops."""
        for module in self.modules():
            if isinstance(module, DrawnDropout):
                module.draw(rows, generator)

    @property
    def trainable_stages(self) -> int:
        """Fitted stages of a pretrained CT branch; 0 where there is none."""
        return self.ct_branch.trainable_stages if isinstance(self.ct_branch, PretrainedCtEncoder) else 0

    def frozen_features(self, ct: Tensor) -> Tensor:
        """The frozen stages' features of CTs in HU [B, 1, K, J, I]; compute once a patient, pass as ``ct_features``.

        Raises
        ------
        ModelRefused
            ``MODEL_MISMATCH`` for a model without a pretrained CT branch.
        """
        if not isinstance(self.ct_branch, PretrainedCtEncoder):
            raise ModelRefused(
                Code.MODEL_MISMATCH,
                f"“{self.spec.name}” has no frozen CT stages.",
                where=self.spec.name,
                remedy="Pass the CT itself.",
            )
        with torch.no_grad():
            return self.ct_branch.frozen_features(ct)

    def image_embedding(self, pet: Tensor | None, ct: Tensor | None, ct_features: Tensor | None = None) -> Tensor:
        """The image embeddings side by side, [B, embedding x images]; [B, 0] is never returned: images are needed."""
        parts = []
        if self.pet_branch is not None and pet is not None:
            parts.append(self.pet_branch(pet))
        if isinstance(self.ct_branch, PretrainedCtEncoder):
            parts.append(self.ct_branch(ct, ct_features))
        elif self.ct_branch is not None and ct is not None:
            parts.append(self.ct_branch(ct))
        return torch.cat(parts, dim=1)

    def fusion_inputs(
        self, pet: Tensor | None, ct: Tensor | None, tabular: Tensor | None, ct_features: Tensor | None = None
    ) -> Tensor:
        """What the MLP receives, [B, D]: the image embeddings, then the tabular inputs; arguments as in `forward`."""
        images = self.image_embedding(pet, ct, ct_features)
        return images if tabular is None or not self.spec.uses_labs else torch.cat((images, tabular), dim=1)

    def embed(
        self, pet: Tensor | None, ct: Tensor | None, tabular: Tensor | None, ct_features: Tensor | None = None
    ) -> Tensor:
        """The fused embedding [B, E]; arguments as in :meth:`forward`."""
        embedding: Tensor = self.hidden(self.fusion_inputs(pet, ct, tabular, ct_features))
        return embedding

    def forward(
        self, pet: Tensor | None, ct: Tensor | None, tabular: Tensor | None, ct_features: Tensor | None = None
    ) -> Tensor:
        """Logits of long PFS.

        Parameters
        ----------
        pet : Tensor or None, shape (B, 1, K, J, I)
            Normalised PET.
        ct : Tensor or None, shape (B, 1, K, J, I)
            Normalised CT; a pretrained CT branch takes HU instead, since its preparation is fixed.
        tabular : Tensor or None, shape (B, n_tabular)
            Normalised labs and extras.
        ct_features : Tensor or None
            :meth:`frozen_features` of the CT, instead of the CT.

        Returns
        -------
        Tensor, shape (B,)
        """
        logits: Tensor = self.output(self.embed(pet, ct, tabular, ct_features)).squeeze(1)
        return logits

    def fitted_tensors(self) -> dict[str, Tensor]:
        """What a fold fits: the state dict without the frozen CT stages (no copies)."""
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(FROZEN_PREFIX)}

    def load_fitted_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Put :meth:`fitted_tensors` back; the frozen stages stay as they are.

        Raises
        ------
        ModelRefused
            ``WEIGHTS_MISMATCH`` when names or shapes differ.
        """
        own = self.fitted_tensors()
        differing = sorted(
            name
            for name in own.keys() | tensors.keys()
            if name not in own or name not in tensors or own[name].shape != tensors[name].shape
        )
        if differing:
            raise ModelRefused(
                Code.WEIGHTS_MISMATCH,
                f"{len(differing)} weights do not fit the network “{self.spec.name}”: {', '.join(differing[:3])}.",
                where=self.spec.name,
                remedy="Use weights that were fitted with the same model and preset.",
            )
        self.load_state_dict(tensors, strict=False)

    def frozen_tensors(self) -> dict[str, Tensor]:
        """The tensors that no fold changes, shared by all of them."""
        return {name: tensor for name, tensor in self.state_dict().items() if name.startswith(FROZEN_PREFIX)}


def parameter_count(network: nn.Module, *, fitted_only: bool = False) -> int:
    """Number of weights; ``fitted_only`` leaves out frozen ones."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad or not fitted_only)
