"""Tensors as images: restored piece by piece as arrays, in the memory that torch has them in."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vheatir.inference.arrays import Canvas, check_bounds, refuse_empty

__all__ = ["TensorCanvas"]

_DTYPES: Final = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class TensorCanvas(Canvas):
    """The canvas of a tensor."""

    def __init__(self, image: Tensor) -> None:
        if image.layout != torch.strided or image.is_meta:
            raise TypeError("Tensors must hold all their values: this one is sparse, or on the device meta.")
        if image.dtype not in _DTYPES:
            raise TypeError(f"Tensors must be float16, bfloat16, float32 or float64, in [0, 1], not {image.dtype}.")
        if image.ndim not in (3, 4) or image.shape[-3] not in (1, 3):
            raise ValueError(f"Tensors must be (C, H, W) or (B, C, H, W) with C 1 or 3, not {tuple(image.shape)}.")
        refuse_empty(image.numel(), tuple(image.shape))
        self._image = (image if image.ndim == 4 else image[None]).detach()
        check_bounds(*(float(bound) for bound in torch.aminmax(self._image)))
        self.batch, self.channels, self.height, self.width = self._image.shape
        self.is_clipped = False
        self.has_equal_channels = self.channels == 1 or bool((self._image[:, 1:] == self._image[:, :1]).all())
        self.result = torch.empty_like(image, requires_grad=False)
        self._result = self.result if image.ndim == 4 else self.result[None]

    def read(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        piece: NDArray[np.float32] = self._image[..., rows, columns].to("cpu", torch.float32).numpy()
        return piece

    def write(self, top: int, rows: NDArray[np.float32]) -> None:
        self._result[..., top : top + rows.shape[-2], :] = torch.from_numpy(np.clip(rows, 0, 1)).to(self._result)
