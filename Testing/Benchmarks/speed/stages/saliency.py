"""Tensors to probability and saliency: an ensemble asked where it looked, in one patient and in a whole cohort."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..side_by_side import Contender, Limit, Peer, Stage
from ..workplace import Workplace

if TYPE_CHECKING:
    from PRRTPredictorCore.models.fitted import FittedNetwork

MEMBERS, PATIENTS, BATCH = 15, 29, 8
PROBABILITY_TOLERANCE, MAP_TOLERANCE = 1e-5, 5e-3


@dataclass(frozen=True, eq=False)
class Seen:
    """One patient's answer: the ensemble's mean probability, and both maps scaled to [0, 1]."""

    probability: float
    pet: np.ndarray
    ct: np.ndarray


def stages(bench: Workplace) -> Iterator[Stage]:
    """One patient, then a cohort."""
    images = _Images(bench)
    one = (
        f"{MEMBERS} `pet_ct_labs` networks, 75 x 50 x 50, CPU: mean probability, mean |gradient| of both images;"
        " the peers ask the same networks made of MONAI's blocks, as loaded, and once more for the probability"
    )
    yield Stage(
        "saliency-patient",
        "one patient: tensors to probability and saliency",
        one,
        Contender("ours", lambda: [_ours_one(images, 0)], "a member a core"),
        (
            Peer(Contender("Captum Saliency", lambda: [_captum(images, 0)]), 0.7),
            Peer(Contender("MONAI VanillaGrad", lambda: [_vanilla(images, 0)]), 0.7),
        ),
        _check,
        _limit(bench, 1),
    )
    yield Stage(
        "saliency-cohort",
        f"{PATIENTS} patients: tensors to probability and saliency",
        f"{one}; ours in batches of {BATCH}, the peers patient by patient",
        Contender("ours", lambda: _ours_all(images), "a member a core"),
        (
            Peer(Contender("Captum Saliency", lambda: [_captum(images, n) for n in range(PATIENTS)]), 0.3),
            Peer(Contender("MONAI VanillaGrad", lambda: [_vanilla(images, n) for n in range(PATIENTS)]), 0.3),
        ),
        _check,
        _limit(bench, PATIENTS),
        repeats=3,
        rate=("patients", float(PATIENTS)),
    )


def _check(mine: list[Seen], theirs: list[Seen]) -> str:
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.probability, b.probability, atol=PROBABILITY_TOLERANCE)
        np.testing.assert_allclose(a.pet, b.pet, atol=MAP_TOLERANCE)
        np.testing.assert_allclose(a.ct, b.ct, atol=MAP_TOLERANCE)
    return f"probability to {PROBABILITY_TOLERANCE:g}, maps in [0, 1] to {MAP_TOLERANCE:g}"


def _limit(bench: Workplace, patients: int) -> Limit:
    """Each network needs both images once on its way forward and writes both gradients once."""
    moved = 4 * 75 * 50 * 50 * 2 * 2 * MEMBERS * patients
    return Limit(*bench.machine.moving("images read and gradients written once a network", moved))


class _Images:
    """The made cohort on the common grid, in memory; read when it is first asked for."""

    def __init__(self, bench: Workplace) -> None:
        self._bench = bench
        self._found: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def stacked(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """PET and CT [n, K, J, I], labs [n, 4]."""
        if self._found is None:
            from PRRTPredictorCore.cohort.table import read_cohort
            from PRRTPredictorCore.imaging.cache import prepare_cohort

            patients = read_cohort(self._bench.cohort(PATIENTS)).patients
            prepared = prepare_cohort(patients, jobs=self._bench.machine.cores)
            rows = [(prepared.study(one.code), one.tabular()) for one in patients]
            while len(rows) < PATIENTS:  # the eligibility rules may have left somebody out
                rows.append(rows[0])
            pet, ct = (np.stack([getattr(study, name) for study, _ in rows]) for name in ("pet", "ct"))
            self._found = pet, ct, np.array([labs for _, labs in rows], dtype=np.float64)
        return self._found

    def tensors(self, rows: slice) -> tuple[Any, Any, Any]:
        """PET and CT [B, 1, K, J, I], labs [B, 4]."""
        import torch

        pet, ct, labs = self.stacked()
        images = (torch.from_numpy(array[rows]).unsqueeze(1) for array in (pet, ct))
        return (*images, torch.from_numpy(labs[rows].astype(np.float32)))  # type: ignore[return-value]


@lru_cache(maxsize=1)
def members() -> tuple[FittedNetwork, ...]:
    """Networks as a fold leaves them, but for their weights: time does not depend on these."""
    import torch

    from PRRTPredictorCore.imaging.normalise import ImageNormaliser, TabularNormaliser
    from PRRTPredictorCore.models.fitted import FittedNetwork
    from PRRTPredictorCore.models.fusion import FusionNetwork
    from PRRTPredictorCore.models.presets import TUNED
    from PRRTPredictorCore.models.registry import model_spec

    found = []
    for seed in range(MEMBERS):
        torch.manual_seed(seed)
        network = FusionNetwork(model_spec("pet_ct_labs"), TUNED, 4)
        pet, ct = ImageNormaliser(1.0, 2.0, (0.0, 20.0)), ImageNormaliser(-20.0, 90.0, (-200.0, 300.0))
        found.append(FittedNetwork(network, pet, ct, TabularNormaliser(np.full(4, 3.5), np.full(4, 0.8), log1p=True)))
    return tuple(found)


# --- ours -------------------------------------------------------------------------------------------------------------


def _ours_one(images: _Images, number: int) -> Seen:
    from PRRTPredictorCore.explain.saliency import ask_one, gradient_saliency
    from PRRTPredictorCore.models.answers import side_by_side

    pet, ct, labs = (array[number] for array in images.stacked())
    answers = side_by_side(members(), lambda member: ask_one(member, pet, ct, labs))
    maps = gradient_saliency(answers)
    assert maps.pet is not None
    assert maps.ct is not None
    return Seen(float(np.mean([float(answer.logits.sigmoid()[0]) for answer in answers])), maps.pet, maps.ct)


def _ours_all(images: _Images) -> list[Seen]:
    from PRRTPredictorCore.explain.saliency import gradient_saliency
    from PRRTPredictorCore.models.answers import ask, side_by_side

    found = []
    for start in range(0, PATIENTS, BATCH):
        batch = images.tensors(slice(start, start + BATCH))
        answers = side_by_side(members(), lambda member, batch=batch: ask(member, *batch))
        probability = np.mean([answer.logits.sigmoid().numpy() for answer in answers], axis=0)
        for row, chance in enumerate(probability):
            maps = gradient_saliency(answers, row)
            assert maps.pet is not None
            assert maps.ct is not None
            found.append(Seen(float(chance), maps.pet, maps.ct))
    return found


# --- peers ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def stock_members(given: tuple[FittedNetwork, ...]) -> tuple[FittedNetwork, ...]:
    """The same networks as a user of the peers has them: MONAI's blocks, torch's operations, every weight free."""
    import copy

    import torch
    from monai.networks.blocks.convolutions import Convolution, ResidualUnit

    from PRRTPredictorCore.models.presets import TUNED

    class Histogram(torch.nn.Module):
        """The intensity histogram as its definition reads."""

        def __init__(self, centres: tuple[float, ...]) -> None:
            super().__init__()
            self.centres = centres

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            thirds = image.flatten(3).squeeze(1).tensor_split(3, dim=1)
            above = [torch.ones(len(image), 3)]
            for low, high in pairwise(self.centres):
                means = [third.clamp(low, high).mean(dim=(1, 2)) for third in thirds]
                above.append((torch.stack(means, dim=1) - low) / (high - low))
            shares = [upper - lower for upper, lower in pairwise([*above, torch.zeros_like(above[0])])]
            return (torch.cat(shares, dim=1).clamp(min=0.0) + 1e-5).log()

    size = TUNED.network
    found = []
    for member in given:
        user = copy.deepcopy(member).requires_grad_(True)
        for branch in (user.network.pet_branch, user.network.ct_branch):
            weights = branch.state_dict()
            branch.stem = Convolution(
                3,
                1,
                size.widths[0],
                strides=size.stem_stride,
                kernel_size=size.stem_kernel,
                adn_ordering="A",
                act="relu",
            )
            for place, (narrower, wider) in enumerate(pairwise(size.widths)):
                branch.stages[2 * place] = ResidualUnit(
                    3, narrower, wider, strides=2, subunits=2, adn_ordering="A", act="relu"
                )
            branch.histogram = Histogram(branch.histogram.centres)
            branch.load_state_dict(weights)
        found.append(user.eval())
    return tuple(found)


def _captum(images: _Images, number: int) -> Seen:
    import torch
    from captum.attr import Saliency

    pet, ct, labs = images.tensors(slice(number, number + 1))
    probabilities, gradients = [], []
    for member in stock_members(members()):

        def probability(pet: Any, ct: Any, labs: Any, member: Any = member) -> Any:
            return torch.sigmoid(member(pet, ct, labs))

        with torch.no_grad():
            probabilities.append(float(probability(pet, ct, labs)))
        given = (pet.clone().requires_grad_(), ct.clone().requires_grad_())
        gradients.append(Saliency(probability).attribute(given, additional_forward_args=(labs,)))
    return _averaged(probabilities, [(pet[0, 0], ct[0, 0]) for pet, ct in gradients])


def _vanilla(images: _Images, number: int) -> Seen:
    import torch
    from monai.visualize import VanillaGrad

    class TwoChannels(torch.nn.Module):
        """VanillaGrad knows one image and classes: PET and CT as its channels, short and long PFS as classes."""

        def __init__(self, member: torch.nn.Module, labs: torch.Tensor) -> None:
            super().__init__()
            self.member, self.labs = member, labs

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            probability = torch.sigmoid(self.member(image[:, :1], image[:, 1:], self.labs))
            return torch.stack((1 - probability, probability), dim=1)

    pet, ct, labs = images.tensors(slice(number, number + 1))
    both = torch.cat((pet, ct), dim=1)
    probabilities, gradients = [], []
    for member in stock_members(members()):
        # VanillaGrad puts its network back into training if it found it there, and the member in it.
        network = TwoChannels(member, labs).eval()
        with torch.no_grad():
            probabilities.append(float(network(both)[0, 1]))
        (gradient,) = VanillaGrad(network)(both.clone(), index=1).abs()
        gradients.append((gradient[0], gradient[1]))
    return _averaged(probabilities, gradients)


def _averaged(probabilities: list[float], gradients: list[tuple[Any, Any]]) -> Seen:
    import torch

    maps = []
    for each in zip(*gradients, strict=True):
        mean = torch.stack(each).mean(dim=0)
        low, high = mean.min(), mean.max()
        maps.append(((mean - low) / (high - low)).numpy())
    return Seen(float(np.mean(probabilities)), *maps)
