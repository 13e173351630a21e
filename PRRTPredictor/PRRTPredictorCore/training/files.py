"""What is peculiar to the files of a run folder: reading them with a clear refusal, and clearing half-written ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..disk import remove_leftovers
from ..errors import Code, ModelRefused
from ..freetext import printable
from ..jsontext import parsed


def read_json(path: Path) -> Any:
    """Read a JSON file of a run folder; its texts without characters that cannot be shown.

    Raises
    ------
    ModelRefused
        ``RUN_MISMATCH`` when it is absent or no JSON.
    """
    try:
        return _shown(parsed(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as problem:
        raise ModelRefused(
            Code.RUN_MISMATCH,
            f"{path.name} is missing or unreadable, so this is no run folder of PRRTPredictor.",
            where=path.parent.name,
            remedy="Choose the folder of a training run.",
        ) from problem


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {printable(name): _shown(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return printable(value) if isinstance(value, str) else value


def remove_partials(run: Path) -> None:
    """Remove what killed processes left half-written in a run folder."""
    for folder in (run, *run.glob("folds/*")):
        remove_leftovers(folder)
