"""``PyramidModel``: trains a network that estimates the levels which it is not told."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from vheatir.training.restoration_model import RestorationModel

__all__ = ["PyramidModel"]


class PyramidModel(RestorationModel):
    """Trains a :class:`vheatir.nn.VHeatPyramid` on a mixture of degradations.

    The loss is that of the image, and ``level_weight`` (under ``train``) times the mean absolute error of the estimated
    levels. Batches hold the true levels, ``truth``, (B, 2, h/8, w/8).
    """

    def init_training_settings(self) -> None:
        self._level_weight = float(self.opt["train"]["level_weight"])
        super().init_training_settings()

    def feed_data(self, data: dict[str, Any]) -> None:
        super().feed_data(data)
        self.truth = data["truth"].to(self.device) if "truth" in data else None

    def batch(self) -> tuple[Tensor, ...]:
        assert self.truth is not None, "a mixture of degradations knows the true levels"
        return *super().batch(), self.truth

    def loss(self, lq: Tensor, gt: Tensor, level: Tensor, truth: Tensor) -> Tensor:  # type: ignore[override]
        """The loss of a batch, a scalar: lq and gt (B, C, H, W), level (B, 2), truth (B, 2, H/8, W/8)."""
        with self.autocast():
            restored, estimate = self.net_g(lq, level, with_levels=True)
        image_loss: Tensor = self.cri_pix(restored.float(), gt)
        return image_loss + self._level_weight * F.l1_loss(estimate.float(), truth)
