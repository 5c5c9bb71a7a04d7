"""How much memory is free, and the largest tile that a network restores within it."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Final

import psutil
import torch
from torch import nn

from vheatir.inference.tiling import GRID
from vheatir.nn import VHeatIR, VHeatPyramid

__all__ = ["free_bytes", "is_out_of_memory", "largest_tile"]

#: smallest tile that out-of-memory errors lead to
SMALLEST_TILE: Final = 64

# Measured in fp32 at 768 x 768: 20 bytes for each of the 16 features (64 channels at a quarter of the positions) that a
# pixel has in the `fast` network, 17 for each of 60 in `light`. With room for other mixers, whose maps are more.
_BYTES_PER_FEATURE: Final = 50
_FEATURES_OF_OTHER_NETWORKS: Final = 64
# the rest is for the image, the band under work, and whatever else the machine does
_SHARE_FOR_TILES: Final = 0.5


def free_bytes(device: torch.device) -> int:
    """Return the bytes that can still be had on a device: the GPU's, or the machine's within this process' limits."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(max(0, min(psutil.virtual_memory().available, _group_bytes(), _address_bytes())))


def largest_tile(network: nn.Module, device: torch.device, *, images: int = 1) -> int:
    """Return the side of the largest square tile, a multiple of 8, expected to fit into the memory that is free.

    Args:
        network: one of ours, or any other.
        device: where it computes.
        images: images in a batch.
    """
    pixels = free_bytes(device) * _SHARE_FOR_TILES / (images * _bytes_per_pixel(network))
    return max(SMALLEST_TILE, math.isqrt(int(pixels)) // GRID * GRID)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch means that memory ran out, on a GPU, on MPS or on the CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    words = ("DefaultCPUAllocator", "MPS backend out of memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def _bytes_per_pixel(network: nn.Module) -> float:
    features: float = _FEATURES_OF_OTHER_NETWORKS
    if isinstance(network, VHeatPyramid):
        features = sum(width / 4.0 ** (scale + 1) for scale, width in enumerate(network.config.widths))
    elif isinstance(network, VHeatIR):
        features = network.config.embed_dim / network.config.downscale**2
    return _BYTES_PER_FEATURE * features


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
