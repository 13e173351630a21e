"""Where networks are fitted and asked: the CPU, or one NVIDIA GPU."""

from __future__ import annotations

import torch

from ..errors import Code, InputRefused


def resolve_device(wanted: str) -> str:
    """Return "cpu" or "cuda" for "auto", "cpu" or "cuda".

    Raises
    ------
    InputRefused
        ``DEVICE_MISSING`` when CUDA is asked for where there is none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise InputRefused(
            Code.DEVICE_MISSING,
            "CUDA was asked for, but PyTorch finds no usable NVIDIA GPU.",
            where="device",
            remedy="Choose CPU or automatic as the device, or install a PyTorch build with CUDA and a current driver.",
        )
    return "cuda" if available and wanted != "cpu" else "cpu"
