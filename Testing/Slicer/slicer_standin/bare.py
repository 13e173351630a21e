"""``--bare``: imports of what Slicer does not bundle fail, so that the module is seen to do without."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_WORDS = """
SimpleITK captum dask distributed filelock gdcm hypothesis imagecodecs jinja2 joblib jpeg_ls lifelines matplotlib monai
nibabel nrrd numba openjpeg pandas platformdirs psutil pyjpegls pylibjpeg rich safetensors sklearn seaborn torch
torchvision tqdm umap
"""
NOT_BUNDLED = frozenset(_WORDS.split())
"""Import names, none of which a freshly installed Slicer has (those of pynrrd, scikit-learn … as they are imported)."""


class _Absent(importlib.abc.MetaPathFinder):
    """Finds none of the named packages, and says so as Python does."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in NOT_BUNDLED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


_absent = _Absent()


def block() -> None:
    """Hide the packages from now on, those imported before included."""
    if _absent not in sys.meta_path:
        sys.meta_path.insert(0, _absent)
    for name in list(sys.modules):
        if name.partition(".")[0] in NOT_BUNDLED:
            del sys.modules[name]


def unblock() -> None:
    """Show the packages again."""
    if _absent in sys.meta_path:
        sys.meta_path.remove(_absent)


def blocked() -> bool:
    return _absent in sys.meta_path
