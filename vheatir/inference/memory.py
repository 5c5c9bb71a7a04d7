"""How much memory is free, and the largest tile that a network restores within it."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from vheatir.inference.tiling import GRID
from vheatir.weights.file import WeightsHeader

if TYPE_CHECKING:
    import torch

__all__ = ["free_bytes", "is_out_of_memory", "largest_tile"]

#: smallest tile that out-of-memory errors lead to
SMALLEST_TILE: Final = 64

# Measured in fp32 at 768 x 768: 20 bytes for each of the 16 features (64 channels at a quarter of the positions) that a
# pixel has in the `fast` network, 17 for each of 60 in `light`. With room for other mixers, whose maps are more.
_BYTES_PER_FEATURE: Final = 50
_FEATURES_OF_OTHER_NETWORKS: Final = 64
# the rest is for the image, the band under work, and whatever else the machine does
_SHARE_FOR_TILES: Final = 0.5


def free_bytes(device: torch.device | None = None) -> int:
    """Return the bytes that can still be had: of a GPU, or of the machine's memory within this process' limits."""
    if device is not None and device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return int(max(0, min(psutil.virtual_memory().available, _group_bytes(), _address_bytes())))


def largest_tile(header: WeightsHeader, free: int, *, images: int = 1) -> int:
    """Return the side of the largest square tile, a multiple of 8, expected to fit into the memory that is free.

    Args:
        header: of the model.
        free: bytes where it computes.
        images: images in a batch.
    """
    pixels = free * _SHARE_FOR_TILES / (images * _BYTES_PER_FEATURE * _features(header))
    return max(SMALLEST_TILE, math.isqrt(int(pixels)) // GRID * GRID)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on a GPU (torch's OutOfMemoryError), on MPS or on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = ("DefaultCPUAllocator", "MPS backend out of memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def _features(header: WeightsHeader) -> float:
    """Features that a pixel has in a network."""
    arch: Mapping[str, Any] = header.arch
    if "widths" in arch:
        return float(sum(width / 4.0 ** (scale + 1) for scale, width in enumerate(arch["widths"])))
    if "embed_dim" in arch:
        return float(arch["embed_dim"] / arch["downscale"] ** 2)
    return _FEATURES_OF_OTHER_NETWORKS


def _group_bytes() -> float:
    """What the control group (a container's limit) leaves, version 2."""
    limit, used = (_first_line(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    return int(limit) - int(used) if limit.isdecimal() and used.isdecimal() else math.inf


def _address_bytes() -> float:
    """What ``ulimit -v`` leaves; only Linux has such a limit."""
    if sys.platform != "linux":
        return math.inf
    process = psutil.Process()
    limit, _ = process.rlimit(psutil.RLIMIT_AS)
    return math.inf if limit == psutil.RLIM_INFINITY else limit - process.memory_info().vms


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""
