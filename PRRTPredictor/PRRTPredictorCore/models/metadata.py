"""What a packed model says of itself: how it was made, on whom, how well it did, and that it is for research only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .. import __version__
from ..cohort.outcome import LONGEST_MONTHS
from ..errors import Code, ModelRefused
from ..freetext import one_line, printable
from ..imaging.preprocess import PreprocessConfig
from ..records import LABS, RESEARCH_USE_NOTICE, TrainingRanges, input_units
from .bounds import refuse_absurd_preparation, refuse_absurd_preset
from .decoding import decode
from .presets import Preset
from .registry import MOST_INPUTS, ModelSpec, model_spec

SCHEMA = 2
"""Version of our block in ``configs/metadata.json``. 1 named no units; its inputs were in the same ones."""

BLOCK = "prrt_predictor"
MONAI_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20220324.json"
)
_MOST_PATIENTS, _MOST_CURVES, _LONGEST_TEXT = 100_000, 16, 1000
LONG_PFS = "progression-free survival of more than one year after the first PRRT cycle"


@dataclass(frozen=True)
class Performance:
    """Discrimination in repeated cross-validation.

    Attributes
    ----------
    auroc, auroc_se : float
        Mean over repeats and its standard error; the error is None with one repeat.
    auroc_ci95 : tuple of float
        Patient-level bootstrap interval.
    """

    auroc: float
    auroc_se: float | None
    auroc_ci95: tuple[float, float]


@dataclass(frozen=True)
class SurvivalCurve:
    """An aggregate Kaplan–Meier curve of the training cohort.

    Attributes
    ----------
    label : str
        The group, e.g. "predicted long".
    months, survival : tuple of float
        Steps of the curve; survival is the progression-free share, 0 to 1.
    patients : int
    """

    label: str
    months: tuple[float, ...]
    survival: tuple[float, ...]
    patients: int


@dataclass(frozen=True)
class BundleMetadata:
    """Everything that prediction and the model card need to know; free of any patient.

    Attributes
    ----------
    model : str
        Registry name.
    preset : Preset
        With all its values, so that a later change of the defaults does not alter a packed model.
    preprocess : PreprocessConfig
    preprocess_digest : str
        ``PreprocessConfig.digest()`` of the version that trained; another digest means other voxels.
    tabular_names : tuple of str
        Tabular inputs in order.
    tabular_units : mapping of str to str
        The unit in which the model receives each of them; "" where only the cohort table could say it.
    training_ranges : TrainingRanges
    patients, long_pfs : int
        Size of the training cohort, and how many of it had long PFS.
    performance : Performance or None
    survival : tuple of SurvivalCurve
    synthetic : bool
        Trained on made patients.
    data_sha256, run_sha256 : str
        Of the training data and of the run that the ensemble comes from.
    encoder_source : str
        Where the pretrained CT branch started; empty for a model without one.
    created_utc : str
        ISO 8601.
    version : str
        Of PRRTPredictor.
    """

    model: str
    preset: Preset
    preprocess: PreprocessConfig
    preprocess_digest: str
    tabular_names: tuple[str, ...]
    training_ranges: TrainingRanges
    patients: int
    long_pfs: int
    performance: Performance | None
    survival: tuple[SurvivalCurve, ...]
    synthetic: bool
    data_sha256: str
    run_sha256: str
    encoder_source: str
    created_utc: str
    version: str
    tabular_units: Mapping[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> ModelSpec:
        """The registry entry."""
        return model_spec(self.model)


def monai_metadata(metadata: BundleMetadata, members: int) -> dict[str, Any]:
    """The contents of ``configs/metadata.json``: MONAI's keys, then our block."""
    spec = metadata.spec
    versions = _package_versions()
    return {
        "schema": MONAI_SCHEMA,
        "version": metadata.version,
        "changelog": {metadata.version: "packed from a finished cross-validation"},
        "monai_version": versions["monai"],
        "pytorch_version": versions["torch"],
        "numpy_version": versions["numpy"],
        "required_packages_version": {"safetensors": versions["safetensors"], "prrtpredictor": metadata.version},
        "name": f"PRRTPredictor {spec.title}",
        "task": f"Prediction of {LONG_PFS}, from {', '.join(spec.inputs)}",
        "description": f"{members} cross-validation members of “{spec.title}”, preset “{metadata.preset.name}”.",
        "authors": "The users who trained it with PRRTPredictor",
        "copyright": "Of those who trained it; PRRTPredictor itself is Apache-2.0",
        "intended_use": RESEARCH_USE_NOTICE,
        "data_type": "DICOM PET and CT, blood values",
        "network_data_format": _data_format(metadata),
        BLOCK: {"schema": SCHEMA, "members": members, **asdict(metadata)},
    }


def read_metadata(content: Any) -> BundleMetadata:
    """Our block of ``configs/metadata.json``, checked.

    Raises
    ------
    ModelRefused
        ``MODEL_MISMATCH`` for another schema, an unknown model, or voxels that this version prepares otherwise.
    """
    block = content.get(BLOCK) if isinstance(content, Mapping) else None
    if not isinstance(block, Mapping):
        raise _mismatch("The model folder holds a model of another program.")
    if block.get("schema") not in (1, SCHEMA):
        raise _mismatch(f"The model folder was written by {_writer(block)}; this is {__version__}, schema {SCHEMA}.")
    values = {name: value for name, value in block.items() if name not in ("schema", "members")}
    try:
        if block["schema"] == 1:
            values["tabular_units"] = input_units(map(str, block.get("tabular_names", ())))
        metadata = decode(BundleMetadata, values)
        model_spec(metadata.model)
        _require_possible(metadata)
    except (TypeError, ValueError) as error:
        raise _mismatch(f"The model's metadata cannot be understood: {one_line(str(error))}.") from error
    if metadata.preprocess.digest() != metadata.preprocess_digest:
        raise _mismatch(
            "The model was trained on images that another version of PRRTPredictor prepared "
            f"(PRRTPredictor {one_line(metadata.version)}; this is {__version__})."
        )
    return metadata


def _writer(block: Mapping[str, Any]) -> str:
    version, schema = (printable(str(block.get(name, "unknown")))[:40] for name in ("version", "schema"))
    return f"PRRTPredictor {version}, schema {schema}"


def _require_possible(metadata: BundleMetadata) -> None:
    """Refuse, as a ValueError, what no packed model says of itself."""
    refuse_absurd_preset(metadata.preset)
    refuse_absurd_preparation(metadata.preprocess)
    names, ranges = metadata.tabular_names, metadata.training_ranges
    if names[: len(LABS)] != LABS or len(set(names)) < len(names) or len(names) > MOST_INPUTS:
        raise ValueError("tabular_names are not the four labs and further inputs")
    if dict(metadata.tabular_units) != input_units(names):
        raise ValueError("tabular_units are not those of this version")
    spans = (*ranges.tabular.values(), ranges.suv_p99, *ranges.field_of_view_mm)
    if set(ranges.tabular) != set(names) or any(low > high for low, high in spans):
        raise ValueError("training_ranges are not those of the inputs")
    shares = [share for curve in metadata.survival for share in curve.survival]
    if metadata.performance is not None:
        shares += [metadata.performance.auroc, *metadata.performance.auroc_ci95]
    if not all(0 <= share <= 1 for share in shares) or not 0 <= metadata.long_pfs <= metadata.patients:
        raise ValueError("a share outside of 0 to 1")
    if metadata.patients > _MOST_PATIENTS or len(metadata.survival) > _MOST_CURVES:
        raise ValueError("more patients or survival curves than any model has")
    for curve in metadata.survival:
        if len(curve.months) != len(curve.survival) or not len(curve.months) - 1 <= curve.patients <= metadata.patients:
            raise ValueError("a survival curve of other patients than the model's")
        if any(not 0 <= month <= LONGEST_MONTHS for month in curve.months):
            raise ValueError("a survival curve of impossible months")
    texts = (metadata.version, metadata.created_utc, metadata.encoder_source, metadata.data_sha256, metadata.run_sha256)
    if any(len(text) > _LONGEST_TEXT for text in (*texts, *names, *(curve.label for curve in metadata.survival))):
        raise ValueError("a text longer than any model's")


def model_card(metadata: BundleMetadata, members: int) -> str:
    """``docs/README.md``: what a reader must know before using the model."""
    spec, performance = metadata.spec, metadata.performance
    warning = (
        "\n> **Trained on SYNTHETIC (made) patients. Its answers mean nothing for a real patient.**\n"
        if metadata.synthetic
        else ""
    )
    if performance is None:
        result = "Not evaluated."
    else:
        low, high = performance.auroc_ci95
        error = "" if performance.auroc_se is None else f" ± {performance.auroc_se:.2f} (standard error over repeats)"
        result = (
            f"AUROC {performance.auroc:.2f}{error}, 95 % interval {low:.2f} to {high:.2f} (patients resampled), "
            "in repeated cross-validation on the training cohort. Not externally validated."
        )
    ranges = "\n".join(
        f"| {name} | {metadata.tabular_units.get(name, '')} | {low:g} | {high:g} |"
        for name, (low, high) in metadata.training_ranges.tabular.items()
    )
    encoder = f"\nThe CT branch started from: {metadata.encoder_source}.\n" if metadata.encoder_source else ""
    return f"""# {spec.title}

{RESEARCH_USE_NOTICE}
{warning}
## What it answers
The probability of {LONG_PFS} (“long”), from {", ".join(spec.inputs)}. The answer is the mean of {members} members.

## Training
{metadata.patients} patients, {metadata.long_pfs} of them with long PFS. Preset “{metadata.preset.name}”,
PRRTPredictor {metadata.version}, packed {metadata.created_utc}. Patients without an observed progression or death were
left out, as in the paper.
{encoder}
Data SHA-256: `{metadata.data_sha256}`
Run SHA-256: `{metadata.run_sha256}`

## Performance
{result}

## Range of the training values
| input | unit | lowest | highest |
|---|---|---|---|
{ranges}

Outside of these ranges, on another scanner type, tracer or field of view the answer is an extrapolation; the
prediction says so in its warnings.

## Use
`prrt predict --model FOLDER --pet DIR --ct DIR --ast U --alt U --ggt U --cga UG`
"""


def inference_config() -> dict[str, Any]:
    """``configs/inference.json``: how MONAI's ConfigParser gets the ensemble."""
    return {
        "imports": ["$from pathlib import Path"],
        "bundle_root": ".",
        "ensemble": {"_target_": "PRRTPredictorCore.models.bundle.load_bundle", "path": "$Path(@bundle_root)"},
    }


def _data_format(metadata: BundleMetadata) -> dict[str, Any]:
    spec, shape = metadata.spec, list(metadata.preprocess.shape)
    inputs: dict[str, Any] = {}
    for name, used, modality, unit in (("pet", spec.uses_pet, "PT", "SUVbw"), ("ct", spec.uses_ct, "CT", "HU")):
        if used:
            inputs[name] = {
                "type": "image",
                "format": unit,
                "modality": modality,
                "num_channels": 1,
                "spatial_shape": shape,
                "dtype": "float32",
                "value_range": [],
                "is_patch_data": False,
                "channel_def": {"0": unit},
            }
    if spec.uses_labs:
        inputs["tabular"] = {
            "type": "feature",
            "format": ", ".join(metadata.tabular_names),
            "num_channels": len(metadata.tabular_names),
            "dtype": "float32",
            "value_range": [],
            "is_patch_data": False,
            "channel_def": {str(n): name for n, name in enumerate(metadata.tabular_names)},
        }
    output = {"type": "probabilities", "format": "logit", "num_channels": 1, "dtype": "float32", "value_range": []}
    return {
        "inputs": inputs,
        "outputs": {"pred": {**output, "is_patch_data": False, "channel_def": {"0": f"logit of {LONG_PFS}"}}},
    }


def _package_versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("monai", "torch", "numpy", "safetensors")}


def _mismatch(message: str) -> ModelRefused:
    return ModelRefused(
        Code.MODEL_MISMATCH,
        message,
        where="configs/metadata.json",
        remedy="Use the version of PRRTPredictor that packed the model, or pack it again with `prrt fit`.",
    )
