"""DnCNN with its authors' weights as a peer, the proof of the benchmark's protocol; see docs/benchmark.md.

    git clone https://github.com/cszn/DnCNN && pip install h5py
    export DNCNN=DnCNN/model PYTHONPATH=docs/scripts
    vheatir benchmark --task denoise --sigma 15 25 50 --sets Set12=datasets/benchmarks/Set12 \
        --model --peer DnCNN=dncnn_peer:denoise
    vheatir benchmark --task jpeg --quality 10 20 30 40 --sets LIVE1=datasets/benchmarks/LIVE1 \
        --model --peer DnCNN-3=dncnn_peer:deblock

DnCNN (Zhang et al., IEEE TIP 2017) is a chain of 3 x 3 convolutions and ReLUs whose output, the noise, is subtracted
from the image; its batch normalisation is merged into the weights. They are MATLAB 7.3 files, which are HDF5.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

__all__ = ["deblock", "denoise"]


def denoise(degraded: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """Remove noise of standard deviation ``level``, a multiple of 5, with the weights for that σ; gray (H, W)."""
    return _restore(degraded, f"specifics/sigma={level:.0f}.mat")


def deblock(degraded: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """Remove JPEG artifacts with DnCNN-3, which is not told the quality; gray (H, W)."""
    del level
    return _restore(degraded, "DnCNN3.mat")


def _restore(degraded: NDArray[np.float32], weights: str) -> NDArray[np.float32]:
    if degraded.ndim != 2:
        raise ValueError("These weights of DnCNN are for gray images; use --channels gray.")
    with torch.inference_mode():
        noise = _network(Path(os.environ["DNCNN"]) / weights)(torch.from_numpy(degraded)[None, None])
    return degraded - np.asarray(noise[0, 0].numpy(), dtype=np.float32)


@cache
def _network(path: Path) -> nn.Sequential:
    """The layers of a MatConvNet file, in order."""
    layers: list[nn.Module] = []
    with h5py.File(path) as file:
        for reference in file["net"]["layers"][:, 0]:
            layer = file[reference]
            if bytes(layer["type"][:].astype(np.uint8).ravel()) == b"relu":
                layers.append(nn.ReLU(inplace=True))
                continue
            weight, bias = (np.asarray(file[place]) for place in layer["weights"][:].ravel())
            weight = weight.reshape(-1, *weight.shape[-3:])  # MATLAB drops the last dimension where it is 1
            layers.append(_convolution(weight.transpose(0, 1, 3, 2), bias.ravel()))  # and counts columns first
    return nn.Sequential(*layers)


def _convolution(weight: NDArray[np.float32], bias: NDArray[np.float32]) -> nn.Conv2d:
    """Weight (out, in, 3, 3), bias (out,)."""
    convolution = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[-1], padding=weight.shape[-1] // 2)
    convolution.weight.data = torch.from_numpy(np.ascontiguousarray(weight))
    convolution.bias = nn.Parameter(torch.from_numpy(bias.copy()))
    return convolution
