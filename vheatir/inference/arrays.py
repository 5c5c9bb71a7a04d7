"""Between a user's image (NumPy array or tensor) and the network's batch (B, C, H, W), float32, in [0, 1]."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["ImageLike", "has_equal_channels", "to_batch", "to_same_kind"]

Array = npt.NDArray[Any]
ImageLike = TypeVar("ImageLike", Array, Tensor)

# strong noise carries float images beyond [0, 1]; what passes these bounds has another scale, mostly 0..255
_FLOAT_BOUNDS: Final = (-2.0, 3.0)
_INTEGER_PEAKS: Final = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def to_batch(image: Array | Tensor) -> Tensor:
    """Turn an image into a batch.

    Args:
        image: array (H, W), (H, W, 1) or (H, W, 3), RGB, of uint8, uint16 or float in [0, 1]; or float tensor
            (C, H, W) or (B, C, H, W) in [0, 1], C 1 or 3. Float values may pass [0, 1] as noise makes them.

    Returns:
        Tensor (B, C, H, W), float32, on the image's device.

    Raises:
        TypeError: if it is neither an array nor a tensor, or of another dtype.
        ValueError: if the shape is another, the image is empty, or values are not finite or far outside
            [0, 1].
    """
    batch = _from_tensor(image) if isinstance(image, Tensor) else _from_array(image)
    if batch.numel() == 0:
        raise ValueError(f"The image is empty: its shape is {tuple(image.shape)}.")
    low, high = (float(bound) for bound in torch.aminmax(batch))
    if not np.isfinite([low, high]).all():
        raise ValueError("The image holds NaN or infinite values; replace them first.")
    if low < _FLOAT_BOUNDS[0] or high > _FLOAT_BOUNDS[1]:
        raise ValueError(f"Float images are in [0, 1]; this one reaches from {low:g} to {high:g}: divide by its peak.")
    return batch


def to_same_kind(batch: Tensor, image: ImageLike) -> ImageLike:
    """Turn a batch into what ``image`` is: kind, dtype, shape, device and range, clamped and rounded.

    Args:
        batch: restored images, shape (B, C, H, W), nominally in [0, 1].
        image: the image that :func:`to_batch` was given.
    """
    batch = batch.clamp(0.0, 1.0)
    if isinstance(image, Tensor):
        return batch.to(device=image.device, dtype=image.dtype).reshape(image.shape)
    values = batch[0].permute(1, 2, 0).cpu().numpy().reshape(image.shape)
    peak = _INTEGER_PEAKS.get(image.dtype)
    return (values if peak is None else np.rint(values * np.float32(peak))).astype(image.dtype)


def has_equal_channels(batch: Tensor) -> bool:
    """Tell whether the batch (B, C, H, W) is gray: one channel, or three equal ones."""
    return batch.shape[1] == 1 or bool((batch[:, 1:] == batch[:, :1]).all())


def _from_tensor(image: Tensor) -> Tensor:
    if not image.is_floating_point():
        raise TypeError(f"Tensors must be of a floating-point type, in [0, 1], not {image.dtype}.")
    if image.ndim not in (3, 4) or image.shape[-3] not in (1, 3):
        raise ValueError(f"Tensors must be (C, H, W) or (B, C, H, W) with C 1 or 3, not {tuple(image.shape)}.")
    return (image if image.ndim == 4 else image[None]).detach().to(torch.float32)


def _from_array(image: object) -> Tensor:
    if not isinstance(image, np.ndarray):
        raise TypeError(f"The image must be a NumPy array or a torch tensor, not {type(image).__name__}.")
    peak = _INTEGER_PEAKS.get(image.dtype)
    if peak is None and not np.issubdtype(image.dtype, np.floating):
        raise TypeError(f"Arrays must be uint8, uint16, or float in [0, 1], not {image.dtype}.")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ValueError(f"Arrays must be (H, W), (H, W, 1) or (H, W, 3), not {image.shape}.")
    values = (image if image.ndim == 3 else image[..., None]).astype(np.float32).transpose(2, 0, 1)
    if peak is not None:
        values /= np.float32(peak)
    return torch.from_numpy(np.ascontiguousarray(values)).unsqueeze(0)
