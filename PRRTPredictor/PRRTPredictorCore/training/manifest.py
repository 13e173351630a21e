"""What a run is: configuration, versions, seeds and the hash of its data; the record behind ``manifest.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import Code, ModelRefused
from ..files import write_json
from ..imaging.preprocess import PreprocessConfig
from ..models.bounds import refuse_absurd_preparation, refuse_absurd_preset
from ..models.decoding import decode
from ..models.presets import Preset
from ..models.registry import MODELS
from ..records import LABS, RESEARCH_USE_NOTICE, input_units
from .files import read_json

SCHEMA = 2
"""Version of the run folder's layout. 1 had neither units nor memory_short; its labs were in the same units."""

MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True)
class PretrainedSource:
    """Where the pretrained CT encoder came from; the report says it.

    Attributes
    ----------
    source : str
        In words, e.g. "phantom organ segmentation" or "wholeBody_ct_segmentation".
    sha256 : str
        Of the encoder's weights.
    """

    source: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The contents of ``manifest.json``.

    Attributes
    ----------
    models : tuple of str
        Registry names, in the registry's order.
    preset : str
        Its name.
    preset_values : mapping
        Every value of the preset as it was used; see :meth:`preset_record`.
    feature_names : tuple of str
        The tabular inputs in order: the four labs, then the extras.
    data_sha256 : str
        Over every patient's code, outcome, tabular inputs and image content.
    folds_together : mapping of str to int
        Folds that are fitted side by side, by model; chosen once, so that a resumed run groups them as before.
    memory_short : mapping of str to (mapping of str to int)
        How often a group of folds was halved because a GPU's memory did not hold it: by model, then by the label of
        the group's first fold ("2-0": repeat 2, fold 0). A resumed run halves the same groups.
    tabular_units : mapping of str to str
        The unit of every tabular input; "" for a further column of ``cohort.csv``, which alone could say it.
    exclusions : mapping of str to int
        Patients left out, counted by criterion.
    versions : mapping of str to str
        Of PRRTPredictor, Python and the packages that decide the numbers.
    """

    created_utc: str
    models: tuple[str, ...]
    preset: str
    preset_values: Mapping[str, Any]
    folds: int
    repeats: int
    seed: int
    feature_names: tuple[str, ...]
    preprocess: Mapping[str, Any]
    preprocess_digest: str
    data_sha256: str
    synthetic: bool
    n_patients: int
    n_long: int
    folds_together: Mapping[str, int]
    memory_short: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    tabular_units: Mapping[str, str] = field(default_factory=dict)
    exclusions: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    pretrained: PretrainedSource | None = None
    schema: int = SCHEMA

    def preset_record(self) -> Preset:
        """The preset as it was used, whatever the installed presets say by now; a ValueError for what is none."""
        preset = decode(Preset, json.loads(json.dumps(self.preset_values)))
        refuse_absurd_preset(preset)
        return preset

    def preprocess_record(self) -> PreprocessConfig:
        """How the images were prepared; a ValueError for what no machine should be asked for."""
        config = decode(PreprocessConfig, json.loads(json.dumps(self.preprocess)))
        refuse_absurd_preparation(config)
        return config

    @property
    def fits(self) -> int:
        """How many fits the whole protocol has."""
        return len(self.models) * self.folds * self.repeats


def write_manifest(run: Path, manifest: Manifest) -> None:
    """Save the manifest in its run folder."""
    write_json(run / MANIFEST_NAME, {**asdict(manifest), "notice": RESEARCH_USE_NOTICE})


def read_manifest(run: Path) -> Manifest:
    """Read the manifest of a run folder.

    Raises
    ------
    ModelRefused
        ``PATH_MISSING`` without a run folder; ``RUN_MISMATCH`` for a manifest of another version or of none.
    """
    if not (run / MANIFEST_NAME).is_file():
        raise ModelRefused(
            Code.PATH_MISSING,
            "There is no training run in this folder: manifest.json is missing.",
            where=run.name,
            remedy="Choose the folder of a training run.",
        )
    content = read_json(run / MANIFEST_NAME)
    _refuse_other_schema(run, content)
    try:
        current = _upgraded(content)
        if unknown := set(current) - set(Manifest.__dataclass_fields__) - {"notice"}:
            raise ValueError(f"fields of another version: {', '.join(sorted(unknown)[:3])}")
        manifest = decode(Manifest, {name: current[name] for name in Manifest.__dataclass_fields__})
        _require_possible(manifest)
        return manifest
    except (KeyError, TypeError, ValueError) as problem:
        raise ModelRefused(
            Code.RUN_MISMATCH,
            f"manifest.json is damaged, or was written by another version than this one ({__version__}).",
            where=run.name,
            remedy="Restore the run folder from a copy, use the version that made the run, or train into a new folder.",
        ) from problem


def _refuse_other_schema(run: Path, content: Any) -> None:
    schema = content.get("schema") if isinstance(content, Mapping) else None
    if not isinstance(schema, int) or schema in (1, SCHEMA):
        return
    versions = content.get("versions")
    writer = versions.get("prrtpredictor", "unknown") if isinstance(versions, Mapping) else "unknown"
    raise ModelRefused(
        Code.RUN_MISMATCH,
        f"The run was written by PRRTPredictor {str(writer)[:40]}, schema {schema}; this is {__version__}, "
        f"which reads schemas 1 to {SCHEMA}.",
        where=run.name,
        remedy="Use the version that made the run, or train into a new folder.",
    )


def _upgraded(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """A manifest of schema 1 as this version would have written it: its labs were in the same units, never named."""
    if content["schema"] != 1:
        return content
    units = input_units(map(str, content["feature_names"]))
    return {**content, "memory_short": {}, "tabular_units": units, "schema": SCHEMA}


def _require_possible(manifest: Manifest) -> None:
    """Refuse, as a ValueError, what no run of this version says of itself."""
    manifest.preset_record()
    manifest.preprocess_record()
    if (
        not manifest.models
        or len(set(manifest.models)) < len(manifest.models)
        or not set(manifest.models) <= set(MODELS)
        or manifest.feature_names[: len(LABS)] != LABS
        or manifest.folds < 2
        or manifest.repeats < 1
        or min(manifest.folds_together.values(), default=1) < 1
        or dict(manifest.tabular_units) != input_units(manifest.feature_names)
        or any(halvings < 1 for groups in manifest.memory_short.values() for halvings in groups.values())
    ):
        raise ValueError("not a run of this version")


def check_same_run(stored: Manifest, asked: Manifest, where: str) -> None:
    """Refuse to continue a run with other data, settings or software than it was begun with.

    The list of models is free: naming further ones extends the run, naming fewer leaves the others as they are.

    Raises
    ------
    ModelRefused
        ``RUN_MISMATCH``, naming what differs.
    """
    differing = [
        words
        for words, before, now in (
            ("the cohort's data", stored.data_sha256, asked.data_sha256),
            ("the preset", stored.preset, asked.preset),
            ("the preset's values", _plain(stored.preset_values), _plain(asked.preset_values)),
            ("the number of folds", stored.folds, asked.folds),
            ("the number of repeats", stored.repeats, asked.repeats),
            ("the seed", stored.seed, asked.seed),
            ("the tabular inputs", stored.feature_names, asked.feature_names),
            ("the units of the tabular inputs", dict(stored.tabular_units), dict(asked.tabular_units)),
            ("the image preparation", stored.preprocess_digest, asked.preprocess_digest),
            ("the pretrained CT encoder", *_comparable(stored.pretrained, asked.pretrained)),
            *(
                (f"the version of {package}", stored.versions.get(package), asked.versions.get(package))
                for package in ("prrtpredictor", "torch", "monai", "scikit-learn", "numpy", "scipy")
            ),
        )
        if before != now
    ]
    if differing:
        raise ModelRefused(
            Code.RUN_MISMATCH,
            f"This folder holds a run that differs in {_listed(differing)}; its folds must not be mixed with new ones.",
            where=where,
            remedy="Go on with the settings that the run was begun with, or choose a new run folder.",
        )


def _comparable(
    stored: PretrainedSource | None, asked: PretrainedSource | None
) -> tuple[PretrainedSource | None, PretrainedSource | None]:
    # A run without the pretrained model has no encoder; that is no contradiction to one that has.
    return (stored, asked) if stored and asked else (None, None)


def _plain(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
