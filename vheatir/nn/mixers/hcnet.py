"""One explicit step of heat conduction between neighbours: HcNet's heat conduction layer."""

from __future__ import annotations

from typing import Final, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vheatir.nn.mixers.interface import TokenMixer
from vheatir.nn.ops import extend_by_edges
from vheatir.nn.ops.precision import autocast_off

__all__ = ["HcNetMixer", "StepKind"]

#: k is one constant; learned per channel; or computed from the pooled input (Table 5 of the paper)
StepKind = Literal["fixed", "learned", "input"]

#: the weights of the four neighbours sum up to less than this
_LARGEST_SUM: Final = 0.5
#: places of the upper, left, right and lower neighbour in a 3 x 3 kernel
_NEIGHBOURS: Final = (1, 3, 5, 7)
_CENTRE: Final = 4


class HcNetMixer(TokenMixer):
    """``z + k (N(z) - W z)``: N the weighted sum of the four neighbours, W the sum of the weights.

    Source: HcNet (arXiv 2408.05901), equations 4 to 6: finite differences of the heat equation in space and one
    explicit Euler step in time, with k = sigmoid(Linear(GAP(z))) per channel.

    What differs from its public code: four neighbours, as in its equations, not 5 x 5; edges are insulated (a neighbour
    outside the map has the value of the edge, so that no heat flows) instead of cold; and the weights are positive and
    sum up to less than 1/2, ``w = sigmoid(a) / 8`` with a learned per neighbour and channel. An explicit step is a
    weighted mean of a pixel and its neighbours if k W <= 1, so nothing can grow; with k W < 1/2 a checkerboard, the
    highest frequency, is damped by 1 - 2 k W > 0 and does not even change its sign.

    Args:
        dim: C.
        step: what k is; 1/2 in each case at the start, and always below 1.

    Raises:
        ValueError: if there is no such step.
    """

    name = "hcnet"

    def __init__(self, dim: int, *, step: StepKind) -> None:
        super().__init__()
        if step not in get_args(StepKind):
            raise ValueError(f"hcnet_step is {', '.join(get_args(StepKind))}, not {step!r}.")
        self.neighbours = nn.Parameter(torch.zeros(dim, 4))
        self.logit = nn.Parameter(torch.zeros(dim)) if step == "learned" else None
        self.linear = nn.Linear(dim, dim) if step == "input" else None
        if self.linear is not None:
            nn.init.zeros_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)

    def forward(self, u: Tensor, embedding: Tensor | None, level: Tensor | None) -> Tensor:
        """u (B, H, W, C) -> (B, H, W, C)."""
        _, height, width, _ = u.shape
        insulated = extend_by_edges(extend_by_edges(u, 1, 1, height + 2), 2, 1, width + 2)
        flow = F.conv2d(insulated.permute(0, 3, 1, 2), self._kernel(), groups=u.shape[-1]).permute(0, 2, 3, 1)
        return u + self._step(u).to(flow.dtype) * flow

    def weights(self) -> Tensor:
        """Weights of the upper, left, right and lower neighbour, shape (C, 4), each in (0, 1/8)."""
        return torch.sigmoid(self.neighbours) * (_LARGEST_SUM / 4)

    def _kernel(self) -> Tensor:
        """``N(z) - W z`` as a depthwise convolution: one pass over the map, where four shifts would take more."""
        weights = self.weights()
        kernel = weights.new_zeros(weights.shape[0], 9)
        kernel = kernel.index_copy(1, torch.tensor(_NEIGHBOURS, device=kernel.device), weights)
        kernel = kernel.index_copy(1, torch.tensor([_CENTRE], device=kernel.device), -weights.sum(1, keepdim=True))
        return kernel.view(-1, 1, 3, 3)

    def _step(self, u: Tensor) -> Tensor:
        """k, shape (B or 1, 1, 1, C), in float32 or wider."""
        if self.linear is not None:
            with autocast_off(u.device):
                pooled = u.to(self.linear.weight.dtype).mean(dim=(1, 2))
                logit: Tensor = self.linear(pooled)
        elif self.logit is not None:
            logit = self.logit[None]
        else:
            logit = self.neighbours.new_zeros(1, 1)
        return torch.sigmoid(logit)[:, None, None, :]
