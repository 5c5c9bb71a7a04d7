"""Learned perceptual distance, through the lpips package."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Lpips", "load_lpips"]

logger = logging.getLogger(__name__)


class Lpips:
    """LPIPS (Zhang et al., CVPR 2018): distance of two images in the features of a network; lower is better.

    Args:
        distance: maps two tensors (1, 3, H, W) in [-1, 1] to a tensor of one value.
    """

    def __init__(self, distance: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._distance = distance

    def __call__(self, restored: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
        """Distance of two images, (H, W) or (H, W, 3), sides of 32 pixels or more; gray counts as three equal channels.

        Raises:
            ValueError: if the shapes differ.
        """
        if restored.shape != truth.shape:
            raise ValueError(f"LPIPS compares images of one shape, not {restored.shape} and {truth.shape}.")
        with torch.inference_mode():
            return float(self._distance(_to_tensor(restored), _to_tensor(truth)))


def load_lpips() -> Lpips | None:
    """Load LPIPS 0.1 with AlexNet, as its authors advise for comparisons.

    Returns:
        None, with a logged sentence, if torchvision's AlexNet weights are not on this machine and cannot be downloaded.
    """
    from vheatir.system.torchvision import mend_torchvision

    mend_torchvision()
    import lpips  # an optional dependency, slow to import

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about torchvision's older spelling of "pretrained"
            network: Any = lpips.LPIPS(net="alex", verbose=False)
    except (OSError, RuntimeError) as error:
        logger.warning(
            "LPIPS is left empty: torchvision's AlexNet weights are not on this machine and cannot be downloaded (%s).",
            error,
        )
        return None
    return Lpips(network.eval())


def _to_tensor(image: NDArray[np.uint8]) -> Tensor:
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None].float() / 127.5 - 1
