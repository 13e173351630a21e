"""A key behind the study codes that is the same in every run of the tests.

The codes sort the patients, and so decide who is in which fold: with a key of chance, a forest of a few patients learns
nothing in every tenth run, and is refused as a model.
"""

from __future__ import annotations

from pathlib import Path


def with_key(config: Path) -> Path:
    """Put the key into a configuration folder, as the user's own is kept; returns the folder."""
    config.mkdir(parents=True, exist_ok=True)
    key = config / "study-code.key"
    key.write_text("6" * 64, encoding="ascii")
    key.chmod(0o600)
    return config
