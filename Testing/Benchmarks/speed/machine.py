"""What this machine can do at best, measured: memory, files in the page cache, multiplications."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = (
    "prrtpredictor", "numpy", "torch", "monai", "captum", "pydicom", "SimpleITK", "itk-io", "dcm2niix", "nibabel",
    "joblib",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """Measured limits.

    Attributes
    ----------
    memory_bytes_per_s : float
        Copying a large array: bytes read and written.
    read_bytes_per_s : float
        Reading a file that lies in the page cache.
    flops_per_s : float
        Single-precision matrix product on all cores, two operations a multiplication.
    """

    words: str
    cores: int
    memory_bytes_per_s: float
    read_bytes_per_s: float
    flops_per_s: float
    gpu: str
    versions: dict[str, str]

    def moving(self, words: str, count: float) -> tuple[str, float]:
        """``count`` bytes through memory: the words, and the seconds they take at best."""
        return f"{words}: {_bytes(count)} through memory", count / self.memory_bytes_per_s

    def reading(self, words: str, count: float) -> tuple[str, float]:
        """``count`` bytes out of files: the words, and the seconds they take at best."""
        return f"{words}: {_bytes(count)} read", count / self.read_bytes_per_s

    def computing(self, words: str, count: float) -> tuple[str, float]:
        """``count`` floating-point operations: the words, and the seconds they take at best."""
        return f"{words}: {count / 1e9:.3g} GFLOP", count / self.flops_per_s


def measure(folder: Path) -> Machine:
    """Measure the machine; a few seconds."""
    import numpy as np
    import torch

    source = np.ones(64_000_000, dtype=np.float32)
    target = np.empty_like(source)
    memory = _best(lambda: np.copyto(target, source))
    one, other = torch.rand(3072, 3072), torch.rand(3072, 3072)
    product = _best(lambda: one @ other)
    file = folder / f"bytes-{os.getpid()}.bin"
    file.write_bytes(target.tobytes())
    buffer = bytearray(file.stat().st_size)
    read = _best(lambda: _read_into(file, buffer))
    file.unlink()
    return Machine(
        words=f"{platform.system()} {platform.machine()}, {_processor()}, Python {platform.python_version()}",
        cores=os.cpu_count() or 1,
        memory_bytes_per_s=2 * source.nbytes / memory,
        read_bytes_per_s=len(buffer) / read,
        flops_per_s=2 * 3072**3 / product,
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        versions=dict(_versions()),
    )


def _best(run: Callable[[], Any], rounds: int = 5) -> float:
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def _read_into(file: Path, buffer: bytearray) -> None:
    with file.open("rb", buffering=0) as stream:
        stream.readinto(memoryview(buffer))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def _versions() -> list[tuple[str, str]]:
    return [(package, version(package)) for package in PACKAGES]


def _bytes(count: float) -> str:
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"
