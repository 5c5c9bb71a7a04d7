"""The mean that noise lost where black and white cut it off.

Noise of standard deviation σ at a true value y near white is stored as min(y + noise, 1), whose mean is lower:
E = y - σ L((1 - y) / σ) with L(t) = φ(t) - t (1 - Φ(t)), φ and Φ the density and the distribution of the normal law.
A network that was trained on noise without limits takes white paper at σ 12 for 250 of 255. Here E is taken back to y,
and the same at black; as far as the pixels around were cut off, since a gray of 250 without noise is right.

Source: Foi, "Clipped noisy images: heteroskedastic modeling and practical denoising", Signal Processing 89(12), 2009,
section 4, of which this is the case of one σ for all values.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["with_clipped_mean"]

#: side of the neighbourhood in which clipped pixels are counted
_SIDE: Final = 7
#: (1 - E) / σ beyond which nothing is lost: 0.0004 σ
_FARTHEST: Final = 3.0
_NEWTON_STEPS: Final = 4


def with_clipped_mean(restored: Tensor, noisy: Tensor, sigma: float) -> Tensor:
    """Return restored values as if the noise had not been clipped at 0 and 1.

    Args:
        restored: (B, C, H, W), what a network made of ``noisy``.
        noisy: (B, C, H, W), read from whole numbers, so that clipped values are 0 or 1 exactly.
        sigma: standard deviation of the noise, white being 1; 0 changes nothing.
    """
    if sigma <= 0:
        return restored
    gain = _lost_below_white(restored, noisy >= 1, sigma) - _lost_below_white(1 - restored, noisy <= 0, sigma)
    return restored + gain


def _lost_below_white(mean: Tensor, clipped: Tensor, sigma: float) -> Tensor:
    """What values near 1 have lost of their mean."""
    if not bool(clipped.any()):
        return torch.zeros_like(mean)
    far = (1 - mean) / sigma
    distance = far.clamp(0, _FARTHEST)
    for _ in range(_NEWTON_STEPS):  # t Φ(t) + φ(t) = (1 - E) / σ, of derivative Φ(t)
        share = _distribution(distance)
        density = torch.exp(-distance.square() / 2) / math.sqrt(2 * math.pi)
        distance = (distance - (distance * share + density - far) / share).clamp(0, _FARTHEST)
    lost = (far - distance).clamp(min=0) * sigma * (far < _FARTHEST)
    expected = 1 - _distribution(distance)
    seen = F.avg_pool2d(clipped.to(mean.dtype), _SIDE, stride=1, padding=_SIDE // 2, count_include_pad=False)
    return lost * (2 * seen / expected - 0.5).clamp(0, 1)


def _distribution(t: Tensor) -> Tensor:
    return (1 + torch.erf(t / math.sqrt(2))) / 2
