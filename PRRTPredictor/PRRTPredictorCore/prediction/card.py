"""A model folder's card, as people read it before they choose the model: on whom trained, how well it did.

Every file of the folder is checked against its hash, but no weight is interpreted and torch is not needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import Code, ModelRefused
from ..models.bundle_files import METADATA, member_names, overall, parse_metadata, read_checked, read_hashes
from ..models.metadata import SurvivalCurve
from ..records import TrainingRanges


@dataclass(frozen=True)
class ModelCard:
    """What a packed model says of itself.

    Attributes
    ----------
    name, title : str
        Registry name, and the name for people.
    inputs : tuple of str
        In words, e.g. ("SR-PET", "CT", "labs").
    members : int
        Size of the fold ensemble.
    patients, long_pfs : int
        Of the training cohort.
    auroc : float or None
        Cross-validated; None where the model was not evaluated.
    auroc_ci95 : tuple of float or None
        Patients resampled.
    preset : str
    synthetic : bool
        Trained on made patients: its answers mean nothing for a real one.
    sha256 : str
        Over every file of the folder.
    created_utc : str
        ISO 8601.
    survival : tuple of SurvivalCurve
        Of the training cohort: "all", "predicted long", "predicted short", as far as there were such patients.
    tabular_names : tuple of str
        Labs and extra inputs that the model asks for, in order.
    training_ranges : TrainingRanges
    """

    name: str
    title: str
    inputs: tuple[str, ...]
    members: int
    patients: int
    long_pfs: int
    auroc: float | None
    auroc_ci95: tuple[float, float] | None
    preset: str
    synthetic: bool
    sha256: str
    created_utc: str
    survival: tuple[SurvivalCurve, ...]
    tabular_names: tuple[str, ...]
    training_ranges: TrainingRanges


def read_card(folder: Path) -> ModelCard:
    """Read the card of a model folder as ``prrt fit`` packs it.

    Raises
    ------
    ModelRefused
        ``MODEL_MISSING``: no model there, or a file of it is gone or unreadable. ``MODEL_TAMPERED``: a file is not
        what the model was packed with. ``MODEL_MISMATCH``: another schema or version.
    """
    try:
        hashes = read_hashes(folder)
    except OSError as problem:  # a folder that we may not look into, or a name longer than the system allows
        raise ModelRefused(
            Code.MODEL_MISSING,
            f"The model folder cannot be read: {problem.strerror or type(problem).__name__}.",
            where=folder.name[-60:],
            remedy="Choose a model folder that you may read.",
        ) from problem
    # Only the metadata are kept; the weights are read one after the other for their hashes alone.
    contents = {}
    for name, digest in hashes.items():
        content = read_checked(folder, name, digest)
        if name == METADATA:
            contents[name] = content
    metadata = parse_metadata(contents)
    spec, performance = metadata.spec, metadata.performance
    return ModelCard(
        name=spec.name,
        title=spec.title,
        inputs=spec.inputs,
        members=len(member_names(hashes)),
        patients=metadata.patients,
        long_pfs=metadata.long_pfs,
        auroc=performance.auroc if performance else None,
        auroc_ci95=performance.auroc_ci95 if performance else None,
        preset=metadata.preset.name,
        synthetic=metadata.synthetic,
        sha256=overall(hashes),
        created_utc=metadata.created_utc,
        survival=metadata.survival,
        tabular_names=metadata.tabular_names,
        training_ranges=metadata.training_ranges,
    )
