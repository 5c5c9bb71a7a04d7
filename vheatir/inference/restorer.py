"""Restoring arrays and tensors in one call, which chooses the model.

>>> clean = vheatir.restore(noisy, task="denoise", sigma=15)
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from vheatir.checkpoint import Degradation
from vheatir.inference.arrays import ImageLike, has_equal_channels, to_batch, to_same_kind
from vheatir.inference.compute import Precision, autocast, check_precision, select_device
from vheatir.inference.levels import trained_level
from vheatir.inference.network import RestorationNetwork, cached_model

__all__ = ["RestorationError", "restore"]

logger = logging.getLogger(__name__)


class RestorationError(RuntimeError):
    """The network gave values that are not finite, in full precision too."""


def restore(
    image: ImageLike,
    *,
    task: Degradation,
    sigma: float | None = None,
    quality: float | None = None,
    device: str | torch.device | None = None,
    model: str | Path | RestorationNetwork | None = None,
    precision: Precision = "fp32",
) -> ImageLike:
    """Remove noise or JPEG artifacts from an image.

    Models loaded here are kept for the next call. An image whose channels are all equal goes to the gray
    model, unless ``model`` is a colour one.

    Args:
        image: array (H, W), (H, W, 1) or (H, W, 3), RGB, of uint8, uint16 or float in [0, 1]; or float tensor
            (C, H, W) or (B, C, H, W) in [0, 1].
        task: "denoise" or "jpeg".
        sigma: standard deviation of the noise in 8-bit units, for "denoise"; within the trained range.
        quality: quality the JPEG was saved with, 1 to 100, for "jpeg"; outside the model's trained range the
            nearest trained quality is used, and logged.
        device: where to compute; None means a tensor's own device, for arrays CUDA where there is some, else
            the CPU. A model given as a module computes on its own device.
        model: bundled name, weights file, or loaded model; None chooses the bundled one by task and channels.
        precision: "fp32", or autocast to "bf16" or "fp16" (fp16 not on a CPU). A result that is not finite is
            computed again in fp32, and logged.

    Returns:
        The restored image: same kind, dtype, shape and device, clamped to the range and rounded.

    Raises:
        ValueError: if an argument is missing, out of range, or unfit for the others (CheckpointError is one).
        TypeError: if the image's type is not one of those above.
        RestorationError: if the result is not finite in fp32 either.
    """
    level = _requested_level(task, sigma, quality)
    batch = to_batch(image)
    loaded = _chosen_model(task, batch, model, _chosen_device(image, device, model))
    level = trained_level(loaded.header, level)
    replicated = batch.shape[1] == 3 and loaded.channels == 1
    restored = _restore_batch(loaded, batch[:, :1] if replicated else batch, level, precision)
    return to_same_kind(restored.expand_as(batch) if replicated else restored, image)


def _requested_level(task: str, sigma: float | None, quality: float | None) -> float:
    if task == "denoise":
        if sigma is None or quality is not None:
            raise ValueError(
                'Task "denoise" takes sigma, the noise\'s standard deviation in 8-bit units, and no quality.'
            )
        return sigma
    if task == "jpeg":
        if quality is None or sigma is not None:
            raise ValueError('Task "jpeg" takes quality, 1 to 100, which an array does not tell, and no sigma.')
        return quality
    raise ValueError(f'task is "denoise" or "jpeg", not {task!r}.')


def _chosen_device(
    image: npt.NDArray[Any] | Tensor,
    device: str | torch.device | None,
    model: str | Path | RestorationNetwork | None,
) -> torch.device:
    if isinstance(model, RestorationNetwork):
        if device is not None:
            raise ValueError("A loaded model computes on its own device: leave device out, or move the model.")
        return next(model.parameters()).device
    if device is None and isinstance(image, Tensor):
        return image.device
    return select_device(device)


def _chosen_model(
    task: Degradation,
    batch: Tensor,
    model: str | Path | RestorationNetwork | None,
    device: torch.device,
) -> RestorationNetwork:
    """The model asked for, or the bundled one that fits; refused if it is for something else."""
    is_gray = has_equal_channels(batch)
    if model is None:
        return cached_model(f"{task}-{'gray' if is_gray else 'color'}", device)
    loaded = model if isinstance(model, RestorationNetwork) else cached_model(model, device)
    if loaded.header.degradation != task:
        raise ValueError(f"The model is for task {loaded.header.degradation}, not {task}.")
    if loaded.channels == 1 and not is_gray:
        raise ValueError(f"The image is a colour one and model {loaded.task} takes gray ones; use a colour model.")
    if loaded.channels == 3 and batch.shape[1] == 1:
        raise ValueError(f"The image is a gray one and model {loaded.task} takes colour ones; use a gray model.")
    return loaded


def _restore_batch(model: RestorationNetwork, batch: Tensor, level: float, precision: Precision) -> Tensor:
    """Restore (B, C, H, W) in one pass, on the model's device; again in fp32 if a result is not finite."""
    device = next(model.parameters()).device
    check_precision(precision, device)
    x = batch.to(device, memory_format=torch.channels_last)
    restored = _run(model, x, level, precision)
    if precision != "fp32" and not _is_finite(restored):
        height, width = x.shape[-2:]
        logger.warning("%s overflowed on an image of %dx%d: computed again in fp32", precision, width, height)
        restored = _run(model, x, level, "fp32")
    if not _is_finite(restored):
        raise RestorationError(f"Model {model.task} gave values that are not finite; check its weights.")
    return restored


@torch.inference_mode()
def _run(model: RestorationNetwork, x: Tensor, level: float, precision: Precision) -> Tensor:
    with autocast(x.device, precision):
        restored: Tensor = model(x, level)
    return restored


def _is_finite(x: Tensor) -> bool:
    return bool(torch.isfinite(x).all())
