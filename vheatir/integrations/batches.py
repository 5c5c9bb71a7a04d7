"""Batches of images as node editors pass them: channels last, floats."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vheatir.inference.restorer import Restorer
from vheatir.weights.file import Task

__all__ = ["restore_batch"]


def restore_batch(
    images: Tensor,
    task: Task,
    *,
    level: float = 0.0,
    strength: float = 1.0,
    device: str | torch.device | None = None,
) -> Tensor:
    """Restore images, each by itself.

    Args:
        images: shape (B, H, W, C), values in [0, 1]; C is 1, 3, or 4 with an alpha channel, which is kept.
        task: "photo", "denoise" or "jpeg".
        level: σ in 8-bit units for "denoise", the quality for "jpeg"; 0 finds it in each image. "photo" sees what is
            wrong with an image, and takes none.
        strength: as of :class:`vheatir.Restorer`.
        device: where to compute; None as for :class:`vheatir.Restorer`.

    Returns:
        Restored images: shape, dtype and device of ``images``.

    Raises:
        ValueError: if a level or the strength is out of range, or an image shows no trace of JPEG compression.
    """
    restorer = Restorer(task, device=device, strength=strength)
    told: float | Literal["auto"] = level or "auto"
    colours = min(images.shape[-1], 3)
    result = images.clone()
    for image, restored in zip(images[..., :colours], result, strict=True):
        pixels = image.detach().to("cpu", torch.float32).numpy()
        done = restorer.restore(
            np.ascontiguousarray(pixels),
            sigma=told if task == "denoise" else None,
            quality=told if task == "jpeg" else None,
        )
        restored[..., :colours] = torch.from_numpy(done).to(restored)
    return result
