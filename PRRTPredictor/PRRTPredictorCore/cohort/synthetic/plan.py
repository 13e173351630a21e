"""Who the patients of a made cohort are: decided for the whole cohort at once, before any image is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ...errors import Code, CohortRefused
from ...records import Characteristics, Labs
from .anatomy import Body, draw_body
from .clinic import (
    Calendar,
    draw_calendars,
    draw_characteristics,
    draw_lab_values,
    draw_pfs_months,
    make_labs,
)
from .lesions import Lesion, burden_ml, draw_lesions, sink_factor
from .outcome_model import (
    LATENTS,
    SIGNALS,
    BayesAuroc,
    Signal,
    SignalName,
    bayes_auroc_of,
    draw_latents,
    draw_patients,
    probability_short,
)
from .seeds import SeedSpace, generator

SizeName = Literal["small", "full"]
_SHORT_SHARE = 0.36
_LATENT_LIMIT = 2.6


@dataclass(frozen=True)
class SyntheticConfig:
    """What cohort to make.

    Attributes
    ----------
    patients : int
        116 gives Table 1's counts exactly.
    seed : int
        The same seed gives the same bytes.
    signal : {"strong", "weak"}
        How well the outcome can be predicted; see ``SIGNALS``.
    null : bool
        The outcome depends on nothing; Table 1 is matched in its total column only.
    size : {"small", "full"}
        "full": PET 256 x 256 x about 300, CT 512 x 512 x about 350 for every patient.
    censored : int
        How many patients have no event (progression_date is then the last follow-up).
    """

    patients: int = 116
    seed: int = 0
    signal: SignalName = "strong"
    null: bool = False
    size: SizeName = "small"
    censored: int = 0

    def check(self) -> None:
        """Refuse what cannot be made.

        Raises
        ------
        CohortRefused
            ``COHORT_VALUE``.
        """
        problem = ""
        if self.patients < 1 or self.patients > 9999:
            problem = f"{self.patients} patients cannot be made."
        elif self.seed < 0:
            problem = f"The seed {self.seed} is negative."
        elif self.signal not in SIGNALS or self.size not in ("small", "full"):
            problem = f'There is no signal "{self.signal}" with size "{self.size}".'
        elif not 0 <= self.censored <= self.patients:
            problem = f"{self.censored} of {self.patients} patients cannot be censored."
        if problem:
            raise CohortRefused(
                Code.COHORT_VALUE,
                problem,
                where="synthetic cohort",
                remedy="Ask for 1 to 9999 patients, a seed from 0 on, signal strong or weak, size small or full.",
            )

    @property
    def stated_signal(self) -> Signal | None:
        """The coefficients of the risk; None for a null cohort."""
        return None if self.null else SIGNALS[self.signal]


@dataclass(frozen=True)
class PatientPlan:
    """One made patient before the images.

    Attributes
    ----------
    number : int
        From 1 on.
    latents : tuple of float
        In the order of ``LATENTS``.
    log_odds_short : float
        The stated risk; 0 in a null cohort.
    """

    number: int
    seed: int
    size: SizeName
    latents: tuple[float, float, float, float]
    log_odds_short: float
    long_pfs: bool
    pfs_months: float
    event: bool
    labs: Labs
    calendar: Calendar
    characteristics: Characteristics

    @property
    def patient_id(self) -> str:
        """The identifier in DICOM and cohort.csv."""
        return f"SYN-{self.seed}-{self.number:04d}"

    def image_rng(self, stream: int = 0) -> np.random.Generator:
        """Random numbers for this patient's images; 0: body and lesions, 1: CT noise, 2: PET noise, 3: examination."""
        return generator(SeedSpace.COHORT_IMAGES, self.seed, self.number, stream)


@dataclass(frozen=True)
class PatientAnatomy:
    """What the scanner will look at."""

    body: Body
    lesions: tuple[Lesion, ...]


def bayes_auroc(config: SyntheticConfig) -> BayesAuroc:
    """The AUROC that no model can beat on cohorts of this kind, from features as they survive the resize."""
    return bayes_auroc_of(config.stated_signal)


def plan_cohort(config: SyntheticConfig) -> tuple[PatientPlan, ...]:
    """Decide everything but the images: latents, outcome, labs, categories, dates.

    Raises
    ------
    CohortRefused
        ``COHORT_VALUE``: see :meth:`SyntheticConfig.check`.
    """
    config.check()
    rng = generator(SeedSpace.COHORT_PLAN, config.seed)
    n = config.patients
    n_short = round(_SHORT_SHARE * n)
    if n >= 4:
        n_short = max(2, n_short)
    signal = config.stated_signal
    if signal is None:
        latents, long_pfs = draw_latents(rng, n), np.arange(n) >= n_short
    else:
        latents, long_pfs = draw_patients(rng, signal, n_short, n - n_short)
    latents = np.clip(latents, -_LATENT_LIMIT, _LATENT_LIMIT)
    order = rng.permutation(n)
    latents, long_pfs = latents[order], long_pfs[order]
    log_odds = np.zeros(n) if signal is None else signal.log_odds_short(latents)
    labs = draw_lab_values(rng, latents[:, 0])
    characteristics = draw_characteristics(rng, long_pfs, by_group=signal is not None)
    months = draw_pfs_months(rng, long_pfs, log_odds if signal is not None else rng.standard_normal(n))
    calendars = draw_calendars(rng, months, long_pfs)
    censored = set(rng.permutation(n)[: config.censored].tolist())
    return tuple(
        PatientPlan(
            number=index + 1,
            seed=config.seed,
            size=config.size,
            latents=(
                float(latents[index, 0]),
                float(latents[index, 1]),
                float(latents[index, 2]),
                float(latents[index, 3]),
            ),
            log_odds_short=float(log_odds[index]),
            long_pfs=bool(long_pfs[index]),
            pfs_months=float((calendars[index].progression - calendars[index].prrt_start).days / 30.4375),
            event=index not in censored,
            labs=make_labs(labs[index], calendars[index].labs),
            calendar=calendars[index],
            characteristics=characteristics[index],
        )
        for index in range(n)
    )


def anatomy_of(plan: PatientPlan) -> PatientAnatomy:
    """The body and the metastases of a planned patient, always the same for the same plan."""
    _, burden, heterogeneity, morphology = plan.latents
    volume = burden_ml(burden)
    rng = plan.image_rng()
    sex = plan.characteristics.sex
    body = draw_body(
        rng,
        sex="female" if sex == "female" else "male",
        contrast=plan.characteristics.contrast_ct == "yes",
        morphology=morphology,
        sink=sink_factor(volume),
    )
    return PatientAnatomy(body, draw_lesions(rng, body, plan.characteristics.metastases, volume, heterogeneity))


def truth_of(plan: PatientPlan, anatomy: PatientAnatomy, signal: Signal | None) -> dict[str, Any]:
    """What truth.json tells of one patient."""
    risk = float(probability_short(signal, np.array(plan.latents))) if signal is not None else _SHORT_SHARE
    return {
        "patient": plan.patient_id,
        "latents": dict(zip(LATENTS, plan.latents, strict=True)),
        "log_odds_short": plan.log_odds_short,
        "probability_short": risk,
        "y": int(plan.long_pfs),
        "pfs_months": plan.pfs_months,
        "lesion_volume_ml": sum(lesion.volume_ml for lesion in anatomy.lesions),
        "lesion_uptake_suv_ml": sum(lesion.uptake_suv_ml for lesion in anatomy.lesions),
        "uptake_suv": asdict(anatomy.body.uptake),
        "density_hu": asdict(anatomy.body.density),
        "lesions": [asdict(lesion) for lesion in anatomy.lesions],
    }
