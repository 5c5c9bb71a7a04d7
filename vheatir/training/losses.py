"""Losses, by their names in option files."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["CharbonnierLoss", "L1Loss", "MSELoss", "PSNRLoss"]


class L1Loss(nn.Module):
    """Mean absolute error.

    Args:
        loss_weight: factor of the loss.
        reduction: over all values of a batch.
    """

    def __init__(self, loss_weight: float = 1.0, reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.reduction = reduction

    def error(self, difference: Tensor) -> Tensor:
        """The error of each value."""
        return difference.abs()

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Pred and target (B, C, H, W), weight of each pixel (B, 1, H, W) -> scalar, for ``mean`` a weighted one."""
        error = self.error(pred - target)
        if weight is None:
            return self.loss_weight * (error.mean() if self.reduction == "mean" else error.sum())
        total = (error * weight).sum()
        return self.loss_weight * (total / (weight.sum() * error.shape[1]) if self.reduction == "mean" else total)


class MSELoss(L1Loss):
    """Mean squared error.

    Args:
        loss_weight: factor of the loss.
        reduction: over all values of a batch.
    """

    def error(self, difference: Tensor) -> Tensor:
        return difference.square()


class CharbonnierLoss(L1Loss):
    """A smooth absolute error: sqrt(error² + eps).

    Args:
        loss_weight: factor of the loss.
        reduction: over all values of a batch.
        eps: what makes it smooth.
    """

    def __init__(
        self, loss_weight: float = 1.0, reduction: Literal["mean", "sum"] = "mean", eps: float = 1e-12
    ) -> None:
        super().__init__(loss_weight, reduction)
        self.eps = eps

    def error(self, difference: Tensor) -> Tensor:
        return torch.sqrt(difference.square() + self.eps)


class PSNRLoss(nn.Module):
    """Minus the mean PSNR of the images of a batch, in dB: what is measured in the end.

    Source: Chen, Lu, Zhang, Chu and Chen, "HINet", CVPRW 2021. Each image's squared error counts
    relative to its own size, so that weak noise and high qualities, whose errors are small, weigh as much as strong
    noise.

    Args:
        loss_weight: factor of the loss.
        eps: added to the mean squared error of values in [0, 1]: what is better restored than -10 log10(eps) dB hardly
            counts.

    Raises:
        ValueError: if eps is not positive.
    """

    def __init__(self, loss_weight: float = 1.0, eps: float = 1e-5) -> None:
        super().__init__()
        if not eps > 0:
            raise ValueError(f"PSNRLoss needs an eps of more than 0, not {eps}.")
        self.loss_weight = loss_weight
        self.eps = eps

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Pred and target (B, C, H, W), values in [0, 1] -> scalar."""
        error = (pred - target).square().mean(dim=(1, 2, 3))
        loss: Tensor = self.loss_weight * 10 / math.log(10) * torch.log(error + self.eps).mean()
        return loss
