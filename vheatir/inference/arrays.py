"""A user's image (NumPy array or tensor) read in pieces (B, C, h, w), float32, in [0, 1]; and its result, written so.

Only pieces are ever converted: an image of 100 megapixels has no float copy of its own.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, TypeGuard, TypeVar

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Canvas", "ImageLike", "canvas_of", "check_bounds", "is_tensor", "plain_array", "refuse_empty"]

Array = npt.NDArray[Any]
ImageLike = TypeVar("ImageLike", Array, "Tensor")

# strong noise carries float images beyond [0, 1]; what passes these bounds has another scale, mostly 0..255
_FLOAT_BOUNDS: Final = (-2.0, 3.0)
_INTEGER_PEAKS: Final = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


class Canvas(ABC):
    """An image and the place of its result.

    Attributes:
        batch: B.
        channels: C, 1 or 3.
        height: H.
        width: W.
        has_equal_channels: one channel, or three equal ones.
        is_clipped: made of whole numbers, which cut noise off at black and white.
        result: of the image's kind, dtype, shape and device; whole once every row is written.
    """

    batch: int
    channels: int
    height: int
    width: int
    has_equal_channels: bool
    is_clipped: bool
    result: Array | Tensor

    @abstractmethod
    def read(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Give a piece of the image: (B, C, h, w)."""

    @abstractmethod
    def write(self, top: int, rows: NDArray[np.float32]) -> None:
        """Take finished rows (B, C or 1, n, W) from ``top`` on: clamped, rounded, in the image's own type."""


def canvas_of(image: Array | Tensor) -> Canvas:
    """Check an image and return its canvas.

    Args:
        image: array (H, W), (H, W, 1) or (H, W, 3), RGB, of uint8, uint16 or float in [0, 1]; or float tensor
            (C, H, W) or (B, C, H, W) in [0, 1], C 1 or 3. Float values may pass [0, 1] as noise makes them.

    Raises:
        TypeError: if it is neither an array nor a tensor, or of another dtype.
        ValueError: if the shape is another, the image is empty, or values are not finite or far outside
            [0, 1].
    """
    if is_tensor(image):
        from vheatir.inference.tensors import TensorCanvas

        return TensorCanvas(image)
    return ArrayCanvas(image)


def is_tensor(image: object) -> TypeGuard[Tensor]:
    """Tell whether something is a tensor of torch; there is none where torch was not imported."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(image, torch.Tensor)


def plain_array(image: object) -> Array:
    """Check the type and shape of an array, and return it in the machine's own byte order.

    Raises:
        TypeError: if it is no array, a matrix or a masked array, or of another dtype than :func:`canvas_of` names.
        ValueError: if it is of another shape, or empty.
    """
    if not isinstance(image, np.ndarray):
        remedy = "; give numpy.asarray(image)" if hasattr(image, "__array_interface__") else ""  # as Pillow's have
        raise TypeError(f"The image must be a NumPy array or a torch tensor, not {type(image).__name__}{remedy}.")
    if isinstance(image, np.matrix | np.ma.MaskedArray):  # which index and compare in ways of their own
        raise TypeError(
            f"The image must be a plain NumPy array, not {type(image).__name__}; give numpy.asarray(image)."
        )
    plain = np.asarray(image)
    if plain.dtype not in (np.uint8, np.uint16, ">u2") and not np.issubdtype(plain.dtype, np.floating):
        raise TypeError(f"Arrays must be uint8, uint16, or float in [0, 1], not {plain.dtype}.")
    if plain.ndim not in (2, 3) or (plain.ndim == 3 and plain.shape[2] not in (1, 3)):
        raise ValueError(f"Arrays must be (H, W), (H, W, 1) or (H, W, 3), not {plain.shape}.")
    refuse_empty(plain.size, plain.shape)
    return plain.astype(plain.dtype.newbyteorder("="), copy=False)


class ArrayCanvas(Canvas):
    """The canvas of an array."""

    def __init__(self, image: object) -> None:
        plain = plain_array(image)
        self._peak = _INTEGER_PEAKS.get(plain.dtype)
        self.is_clipped = self._peak is not None
        if self._peak is None:
            check_bounds(float(plain.min()), float(plain.max()))  # NaN becomes either
        self._image = plain if plain.ndim == 3 else plain[..., None]
        self.batch = 1
        self.height, self.width, self.channels = self._image.shape
        self.has_equal_channels = self.channels == 1 or all(
            np.array_equal(self._image[..., 0], self._image[..., channel]) for channel in (1, 2)
        )
        self.result = np.empty(plain.shape, image.dtype if isinstance(image, np.ndarray) else plain.dtype)
        self._result = self.result if plain.ndim == 3 else self.result[..., None]

    def read(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        values = self._image[rows, columns].astype(np.float32)
        if self._peak is not None:
            values /= np.float32(self._peak)
        return values.transpose(2, 0, 1)[None]

    def write(self, top: int, rows: NDArray[np.float32]) -> None:
        values: Array = np.clip(rows[0], 0, 1).transpose(1, 2, 0)
        if self._peak is not None:
            values *= np.float32(self._peak)
            np.rint(values, out=values)
        self._result[top : top + len(values)] = values


def refuse_empty(size: int, shape: tuple[int, ...]) -> None:
    """Refuse an image without pixels (ValueError)."""
    if size == 0:
        raise ValueError(f"The image is empty: its shape is {shape}.")


def check_bounds(low: float, high: float) -> None:
    """Refuse values that are not finite, or of another scale than [0, 1] (ValueError)."""
    if not np.isfinite([low, high]).all():
        raise ValueError("The image holds NaN or infinite values; replace them first.")
    if low < _FLOAT_BOUNDS[0] or high > _FLOAT_BOUNDS[1]:
        raise ValueError(f"Float images are in [0, 1]; this one reaches from {low:g} to {high:g}: divide by its peak.")
