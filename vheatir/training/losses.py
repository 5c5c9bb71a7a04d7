"""Losses beside BasicSR's, by their names in option files."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vheatir.training.basicsr import LOSS_REGISTRY

__all__ = ["PSNRLoss"]


@LOSS_REGISTRY.register()
class PSNRLoss(nn.Module):
    """Minus the mean PSNR of the images of a batch, in dB: what is measured in the end.

    Source: Chen, Lu, Zhang, Chu and Chen, "HINet", CVPRW 2021. Each image's squared error counts
    relative to its own size, so that weak noise and high qualities, whose errors are small, weigh as much as strong
    noise.

    Args:
        loss_weight: factor.
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
        """pred and target (B, C, H, W), values in [0, 1] -> scalar."""
        error = (pred - target).square().mean(dim=(1, 2, 3))
        loss: Tensor = self.loss_weight * 10 / math.log(10) * torch.log(error + self.eps).mean()
        return loss
