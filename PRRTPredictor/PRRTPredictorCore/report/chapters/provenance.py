"""How the report was made: data, models, settings and software, each with what identifies it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

from ... import __version__
from ...cohort.labs import input_title
from ...errors import ModelRefused
from ...evaluation.summary import model_title
from ...training.manifest import Manifest
from ..chapter import Block, Chapter, Folded, Table, Words
from ..content import RunContent
from ..wording import minus

DRAWN_WITH = ("numpy", "scipy", "scikit-learn", "lifelines", "matplotlib", "umap-learn", "captum")
"""Packages beside those of the fits that decide what the report shows."""

_PACKAGE_TITLES = {"prrtpredictor": "PRRTPredictor", "python": "Python"}


def chapter(content: RunContent) -> Chapter:
    """Where the numbers come from, for whoever repeats or checks them."""
    manifest = content.manifest
    hashes, missing = model_hashes(content)
    blocks: list[Block] = [
        Words(
            (
                "All fitting, normalisation and early stopping included where a model has them, took place inside the "
                "training folds; this run tried no other settings."
                + (
                    f" The pretrained CT branch started from: {pretrained_in_words(manifest)}."
                    if manifest.pretrained is not None
                    else ""
                ),
            )
        ),
        _configuration(manifest),
        _models(content, hashes),
        _software(manifest),
        Folded("Every value of the preset", (_preset(manifest),)),
        Folded("Every value of the image preparation", (_preparation(manifest),)),
    ]
    notices = content.cohort.cohort.notices
    if notices:
        blocks.append(
            Folded(
                f"Remarks on the cohort ({len(notices)})", (Words(tuple(one.message for one in notices), listed=True),)
            )
        )
    return Chapter("provenance", "How it was made", tuple(blocks), missing)


def provenance(content: RunContent) -> dict[str, Any]:
    """What identifies software, data and models, for ``report.json``."""
    manifest = content.manifest
    return {
        "version": __version__,
        "data_sha256": manifest.data_sha256,
        "preprocess_digest": manifest.preprocess_digest,
        "weights_sha256": model_hashes(content)[0],
        "preset": manifest.preset,
        "seed": manifest.seed,
        "folds": manifest.folds,
        "repeats": manifest.repeats,
        "fitted_with": dict(manifest.versions),
        "reported_with": installed_versions(),
    }


def model_hashes(content: RunContent) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """The hash of every model's weights, None where some are missing, and what is missing in sentences."""
    hashes: dict[str, str | None] = {}
    missing = []
    for name in content.names:
        try:
            hashes[name] = content.store.weights_sha256(name)
        except ModelRefused as refusal:
            hashes[name] = None
            missing.append(f"{refusal.message} {refusal.remedy}")
    return hashes, tuple(missing)


def installed_versions() -> dict[str, str]:
    """The versions of Python and of those of :data:`DRAWN_WITH` that are installed."""
    found = {"python": python_version()}
    for name in DRAWN_WITH:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def pretrained_in_words(manifest: Manifest) -> str:
    """Where the pretrained CT encoder came from."""
    if manifest.pretrained is None:
        return "none in this run"
    return f"{manifest.pretrained.source} (weights {manifest.pretrained.sha256[:12]}…)"


def _configuration(manifest: Manifest) -> Table:
    shape = manifest.preprocess.get("shape")
    repeats = "repeat" if manifest.repeats == 1 else "repeats"
    rows = [
        ("Preset", manifest.preset),
        ("Cross-validation", f"{manifest.folds} folds × {manifest.repeats} {repeats}, stratified, grouped by patient"),
        ("Models", ", ".join(model_title(name) for name in manifest.models)),
        ("Blood values and further inputs", ", ".join(input_title(name) for name in manifest.feature_names)),
        (
            "Model image size (head–foot × front–back × left–right)",
            " × ".join(str(side) for side in shape) if shape else "–",
        ),
        ("Pretrained CT encoder", pretrained_in_words(manifest)),
        ("Seed", str(manifest.seed)),
        ("Begun", manifest.created_utc),
        ("Data hash (SHA-256)", manifest.data_sha256),
        ("Image preparation (digest)", manifest.preprocess_digest),
    ]
    return Table(key="configuration", title="Configuration of the run", header=("Setting", "Value"), rows=tuple(rows))


def _models(content: RunContent, hashes: Mapping[str, str | None]) -> Table:
    whole = content.manifest.folds * content.manifest.repeats
    return Table(
        key="model-hashes",
        title="The models",
        header=("Model", "Finished fits", "Model hash (SHA-256)"),
        rows=tuple(
            (model_title(name), f"{len(folds)} of {whole}", hashes[name] or "weights missing")
            for name, folds in content.predictions.items()
        ),
        note="The hash is taken over the SHA-256 of every finished fit’s weights: equal hashes mean the same models.",
    )


def _software(manifest: Manifest) -> Table:
    fitted, drawn = dict(manifest.versions), {"prrtpredictor": __version__, **installed_versions()}
    rows = tuple(
        (_PACKAGE_TITLES.get(name, name), fitted.get(name, "–"), drawn.get(name, "–")) for name in {**fitted, **drawn}
    )
    return Table(key="software", title="Software", header=("Package", "At the fits", "In this report"), rows=rows)


def _preset(manifest: Manifest) -> Table:
    return _settings("preset", f"Preset “{manifest.preset}”", manifest.preset_values)


def _preparation(manifest: Manifest) -> Table:
    return _settings("preparation", "Image preparation", manifest.preprocess)


def _settings(key: str, title: str, values: object) -> Table:
    return Table(key=key, title=title, header=("Setting", "Value"), rows=tuple(flattened(values)))


def flattened(values: object, name: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, value) lines."""
    if hasattr(values, "items"):
        return [
            line
            for key, value in values.items()
            for line in flattened(value, f"{name}.{key}".lstrip(".").replace("_", " "))
        ]
    if isinstance(values, list | tuple):
        sides = all(isinstance(value, int) for value in values)  # of an image or of layers; else a window or levels
        return [(name, (" × " if sides else "; ").join(minus(str(value)) for value in values))]
    return [(name, "–" if values is None else minus(str(values)) if isinstance(values, float) else str(values))]
