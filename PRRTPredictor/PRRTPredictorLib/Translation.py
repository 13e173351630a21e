"""``tr``: Slicer's translation inside Slicer; on slicer-core alone, which has none, the text as it stands.

Import it as ``_``, as Slicer's own collector of texts expects.
"""

from __future__ import annotations

__all__ = ["tr"]

try:
    from slicer.i18n import tr
except ImportError:

    def tr(text: str) -> str:
        """The text as it stands."""
        return text
